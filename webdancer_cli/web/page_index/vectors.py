"""The vectors of an index's passages: a matrix in a file that is mapped into memory, and searched as a whole.

``vectors.f32``
    the vector of each passage, 4 bytes a number, in the order of the passages.
``vectors.rows``
    the row of each passage's page, 4 bytes.
``vectors.json``
    which model made them, and how many there are. It is written last, by one rename, and always ends with a whole page:
    what lies behind in the two files is a killed run's, and is cut off.

All passages are compared, by one product of matrix and query. That is exact, the same in every run, and needs nothing
built or held: a graph of neighbours would take a thousand times as long to build as to search once, and pays only where
queries to millions of passages come by the thousand.
"""

import os
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from webdancer_cli.data.whole_file import write_whole
from webdancer_cli.errors import UsageError
from webdancer_cli.llm.embeddings import Vectors

FORMAT = 1
MATRIX, ROWS, ABOUT = "vectors.f32", "vectors.rows", "vectors.json"
_NUMBER, _ROW = np.dtype("<f4"), np.dtype("<u4")

SCORE_DIGITS = 5
"""Cosines are compared to so many digits: what is beyond depends on how the processor sums."""
PASSAGES_PER_PAGE = 6
"""So many passages are looked at for each page that is wanted, at first."""


class EmbeddingSpace(msgspec.Struct, frozen=True):
    """What has to be the same for vectors to be compared."""

    model: str
    query_prefix: str = ""
    passage_prefix: str = ""


class VectorCount(msgspec.Struct):
    """The vectors that belong to an index: those of the ``passages`` of its first ``pages``.

    ``probe`` is the vector of one text that is always the same: by it the model is known again.
    """

    space: EmbeddingSpace
    probe: list[float]
    pages: int = 0
    passages: int = 0
    format: int = FORMAT

    @property
    def dimension(self) -> int:
        return len(self.probe)


def vectors_in(folder: Path) -> VectorCount | None:
    """None if the index has no vectors. Raises UsageError for what another version wrote."""
    path = folder / ABOUT
    if not path.is_file():
        return None
    try:
        found = msgspec.json.decode(path.read_bytes(), type=VectorCount)
    except msgspec.DecodeError as error:
        raise UsageError(f"{path}: {error}: build the index anew") from None
    if found.format != FORMAT:
        raise UsageError(f"{path}: vectors of format {found.format}, not {FORMAT}: build the index anew")
    return found


class PassageVectors:
    """The vectors of a whole index. Raises UsageError where some passages have none, or the files are cut."""

    def __init__(self, folder: Path, passages: int):
        about = vectors_in(folder)
        if about is None:
            raise UsageError(f"{folder}: has no vectors: add them with `webdancer index --embed URL`")
        if about.passages != passages:
            said = f"has vectors of {about.passages:,} of its {passages:,} passages"
            raise UsageError(f"{folder}: {said}: go on with `webdancer index --embed`, or take --rank bm25")
        self.about = about
        try:
            self._matrix = np.asarray(np.memmap(folder / MATRIX, _NUMBER, "r", shape=(passages, about.dimension)))
            self._rows = np.asarray(np.memmap(folder / ROWS, _ROW, "r", shape=(passages,)))
        except (OSError, ValueError) as error:
            raise UsageError(f"{folder}: its vectors cannot be read: {error}: build the index anew") from None

    def best(self, query: Vectors, pages: int) -> list[int]:
        """The rows of the best pages, each by its best passage; equal ones in the order of the pages. What points away
        from the query is no hit, and nothing is one for a query without a direction."""
        cosines: NDArray[np.float32] = self._matrix @ query
        limit = PASSAGES_PER_PAGE * pages
        while True:
            passages = _largest(cosines, limit)
            rows = list(dict.fromkeys(int(row) for row in self._rows[passages]))
            if len(rows) >= pages or len(passages) < limit:
                return rows[:pages]
            limit *= 4


def _largest(cosines: NDArray[np.float32], limit: int) -> NDArray[np.int64]:
    """The places of the largest cosines above zero, at least so many if there are, with all equals of the last."""
    least = 0.0
    if limit < len(cosines):
        least = float(np.partition(cosines, len(cosines) - limit)[len(cosines) - limit])
    places = np.flatnonzero((cosines > 0) & (cosines >= least - 10**-SCORE_DIGITS))
    return places[np.argsort(-np.round(cosines[places], SCORE_DIGITS), kind="stable")]


class VectorFiles:
    """Adds vectors to an index, page by page. Whoever opens it holds the folder."""

    def __init__(self, folder: Path, about: VectorCount):
        self.about = about
        self._folder = folder
        self._matrix = open(folder / MATRIX, "ab")  # noqa: SIM115
        self._rows = open(folder / ROWS, "ab")  # noqa: SIM115
        self._matrix.truncate(about.passages * about.dimension * _NUMBER.itemsize)
        self._rows.truncate(about.passages * _ROW.itemsize)

    def add(self, rows: list[int], vectors: Vectors, pages: int) -> None:
        """The vectors of passages of these pages, which end with the page before row ``pages``."""
        self._matrix.write(vectors.astype(_NUMBER).tobytes())
        self._rows.write(np.array(rows, _ROW).tobytes())
        self.about.passages += len(rows)
        self.about.pages = pages

    def commit(self) -> None:
        """What is there now stays, whatever happens."""
        for file in (self._matrix, self._rows):
            file.flush()
            os.fsync(file.fileno())
        write_whole(self._folder / ABOUT, msgspec.json.encode(self.about) + b"\n")

    def close(self) -> None:
        self._matrix.close()
        self._rows.close()
