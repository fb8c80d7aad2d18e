"""Finds near-duplicate texts by MinHash; memory grows by one signature per text kept, not by the texts."""

from rensa import RMinHash, RMinHashDeduplicator

from webdancer_cli.text.words import raw_words

PERMUTATIONS = 128
"""Hash functions of a signature; the similarity that it estimates has a standard error of at most ``0.5 / √n``."""
SEED = 42
SHINGLE_WORDS = 3


def minhash_signature(text: str) -> RMinHash:
    """The MinHash of the runs of ``SHINGLE_WORDS`` words of a text; of all of it, if it is shorter."""
    words = raw_words(text)
    starts = range(max(1, len(words) - SHINGLE_WORDS + 1))
    found = RMinHash(PERMUTATIONS, SEED)
    found.update([" ".join(words[at : at + SHINGLE_WORDS]) for at in starts])
    return found


class NearDuplicates:
    """Remembers signatures. ``similarity`` is the share of common runs of words (Jaccard) from which on two are one."""

    def __init__(self, similarity: float):
        self._index = RMinHashDeduplicator(similarity, PERMUTATIONS, True)
        self._size = 0

    def add(self, found: RMinHash) -> bool:
        """Remember a signature, unless something similar is there; whether it was new."""
        self._size += 1
        return self._index.add(str(self._size), found)
