"""Nearly the same text again: by MinHash, in memory that grows by a signature per text kept, not by the texts."""

from collections.abc import Iterable

from rensa import RMinHash, RMinHashDeduplicator

from webdancer_cli.web.words import raw_words

PERMUTATIONS = 128
"""Hash functions of a signature; the similarity that it estimates has a standard error of at most ``0.5 / √n``."""
SEED = 42
SHINGLE_WORDS = 3


def shingles(text: str, size: int = SHINGLE_WORDS) -> list[str]:
    """The runs of ``size`` words of a text; all of it, if it is shorter."""
    words = raw_words(text)
    return [" ".join(words[at : at + size]) for at in range(max(1, len(words) - size + 1))]


def signature(tokens: Iterable[str], permutations: int = PERMUTATIONS) -> RMinHash:
    """The MinHash of a set of tokens."""
    found = RMinHash(permutations, SEED)
    found.update(list(tokens))
    return found


class Similar:
    """Remembers signatures. ``similarity`` is the share of common tokens (Jaccard) from which on two are one."""

    def __init__(self, similarity: float, permutations: int = PERMUTATIONS):
        self._index = RMinHashDeduplicator(similarity, permutations, True)
        self._size = 0

    def met(self, found: RMinHash) -> bool:
        """Whether something similar was there before; if not, this is remembered."""
        self._size += 1
        return not self._index.add(str(self._size), found)
