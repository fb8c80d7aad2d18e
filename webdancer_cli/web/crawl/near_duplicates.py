"""Which texts were kept: the same again, or nearly (MinHash), told in memory that does not grow with their number."""

import hashlib
import struct

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

from webdancer_cli.text.words import raw_words
from webdancer_cli.web.crawl.crawl_database import CrawlDatabase, key_of

PERMUTATIONS = 128
"""Hash functions of a signature; the similarity that it estimates has a standard error of at most ``0.5 / √n``."""
SEED = 42
SHINGLE_WORDS = 3
MOST_MISSED = 0.01
"""Of pairs that are just as similar as is asked for, the share that may be missed because no band is the same."""
_BLOCK = 4096
"""Signatures that are compared at once."""
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
        self._bands = bands_for(similarity)
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
        while rows := near.fetchmany(_BLOCK):
            if _alike(signature, b"".join(other for (other,) in rows)).max() >= self.similarity:
                return False
        page = self._database.execute("INSERT INTO signatures (signature) VALUES (?)", (signature,)).lastrowid
        self._database.executemany("INSERT OR IGNORE INTO bands VALUES (?, ?)", [(key, page) for key in keys])
        return True


def bands_for(similarity: float) -> int:
    """Into how many parts of equal length signatures are cut; those that are the same in one part are compared.

    Two texts with the similarity s are with the probability ``1 - (1 - s^(128/bands))^bands``: the fewest bands that
    miss at most ``MOST_MISSED`` of them, for fewer mean fewer comparisons.
    """
    numbers = [2**power for power in range(PERMUTATIONS.bit_length())]  # 1, 2, 4, … 128
    enough = (each for each in numbers if (1 - similarity ** (PERMUTATIONS // each)) ** each <= MOST_MISSED)
    return next(enough, PERMUTATIONS)


def _alike(signature: bytes, others: bytes) -> NDArray[np.float64]:
    """The share of hash functions with the same value, for each of the others: an estimate of the Jaccard
    similarity."""
    matrix = np.frombuffer(others, "<u4").reshape(-1, PERMUTATIONS)
    found: NDArray[np.float64] = (matrix == np.frombuffer(signature, "<u4")).mean(axis=1)
    return found


def _band_keys(signature: bytes, bands: int) -> list[int]:
    """64 bits for each band of a signature, and its place."""
    width = len(signature) // bands
    parts = (bytes([band]) + signature[width * band : width * (band + 1)] for band in range(bands))
    digests = (hashlib.blake2b(part, digest_size=8).digest() for part in parts)
    return [int.from_bytes(digest, "little", signed=True) for digest in digests]
