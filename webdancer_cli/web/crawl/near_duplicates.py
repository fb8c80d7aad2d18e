"""Which texts were kept: the same again, or nearly (MinHash), told in memory that does not grow with their number."""

import hashlib
import struct
from operator import eq

from rensa import RMinHash

from webdancer_cli.text.words import raw_words
from webdancer_cli.web.crawl.crawl_database import CrawlDatabase, key_of

PERMUTATIONS = 128
"""Hash functions of a signature; the similarity that it estimates has a standard error of at most ``0.5 / √n``."""
SEED = 42
SHINGLE_WORDS = 3
BANDS = ((0.9, 4), (0.8, 8), (0.7, 16), (0.5, 32), (0.0, 64))
"""From which similarity on signatures are compared by how many bands, parts of equal length: those that are the same in
one of them. Texts with the similarity s are so with the probability ``1 - (1 - s^(128/bands))^bands``; fewer bands mean
fewer comparisons."""
_VALUES = struct.Struct(f"<{PERMUTATIONS}I")


def minhash_signature(text: str) -> bytes:
    """The MinHash of the runs of ``SHINGLE_WORDS`` words of a text; of all of it, if it is shorter."""
    words = raw_words(text)
    starts = range(max(1, len(words) - SHINGLE_WORDS + 1))
    found = RMinHash(PERMUTATIONS, SEED)
    found.update([" ".join(words[at : at + SHINGLE_WORDS]) for at in starts])
    return _VALUES.pack(*found.digest())


class KeptTexts:
    """Remembers texts by their digest, and by their signature. ``similarity`` is the share of common runs of words
    (Jaccard) from which on two are one; 1 tells equal texts only."""

    def __init__(self, similarity: float, database: CrawlDatabase | None = None):
        self.similarity = similarity
        self._bands = next(bands for least, bands in BANDS if similarity >= least)
        self._database = database or CrawlDatabase()

    def add(self, sha256: str) -> bool:
        """Remember a text; whether it was new."""
        return self._database.add("texts", key_of(sha256))

    def add_signature(self, signature: bytes) -> bool:
        """Remember a signature, unless something similar is there; whether it was new."""
        keys = _band_keys(signature, self._bands)
        marks = ",".join("?" * len(keys))
        near = self._database.execute(
            f"SELECT signature FROM signatures WHERE page IN (SELECT page FROM bands WHERE key IN ({marks}))", keys
        )
        mine = _VALUES.unpack(signature)
        if any(_alike(mine, _VALUES.unpack(other)) >= self.similarity for (other,) in near):
            return False
        page = self._database.execute("INSERT INTO signatures (signature) VALUES (?)", (signature,)).lastrowid
        self._database.executemany("INSERT OR IGNORE INTO bands VALUES (?, ?)", [(key, page) for key in keys])
        return True


def _alike(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """The share of hash functions with the same value: an estimate of the Jaccard similarity."""
    return sum(map(eq, one, other)) / PERMUTATIONS


def _band_keys(signature: bytes, bands: int) -> list[int]:
    """64 bits for each band of a signature, and its place."""
    width = len(signature) // bands
    parts = (bytes([band]) + signature[width * band : width * (band + 1)] for band in range(bands))
    digests = (hashlib.blake2b(part, digest_size=8).digest() for part in parts)
    return [int.from_bytes(digest, "little", signed=True) for digest in digests]
