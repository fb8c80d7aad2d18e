"""``--web web.index``: the pages of an index, searched where they lie.

Nothing is read at the start but how far the index goes. The operating system keeps in memory what is searched most, one
copy for all processes.
"""

import os
from pathlib import Path

import tantivy
from tantivy import Occur, Query

from webdancer_cli.errors import UsageError
from webdancer_cli.web.fixed_pages import FixedPages, telling_words
from webdancer_cli.web.page_index import layout
from webdancer_cli.web.page_index.layout import (
    COPY,
    ROW_BYTES,
    ROW_NUMBER,
    TABLE,
    TERMS,
    URL_KEY,
    WORDS,
    Commit,
    IndexedFile,
)
from webdancer_cli.web.page_index.passages import stem
from webdancer_cli.web.page_index.sources import copied_line
from webdancer_cli.web.urls import page_hash

SCORE_DIGITS = 2
"""Scores are compared to so many digits: what a sum of floats gives beyond depends on how the index was merged."""
PASSAGES_PER_PAGE = 6
"""So many passages are looked at for each page that is wanted, at first."""
OPENINGS = 5
"""So often an index is opened that a writer commits to at the same moment."""
MOST_PASSAGES = 1 << 16
"""More passages with one score are not told apart by their place in the files."""


class PageIndex(FixedPages):
    """The pages of an index. ``name`` tells them by their content."""

    @classmethod
    def open(cls, folder: str, *, snippet_chars: int = 160) -> "PageIndex":
        """Raises UsageError for a folder that holds no index, for an empty one, and for one whose pages are gone."""
        return cls(folder, snippet_chars)

    def __init__(self, folder: str, snippet_chars: int):
        self.path = folder
        self.snippet_chars = snippet_chars
        self._descriptors: dict[str, int] = {}
        self._searcher, commit = _opened(Path(folder))
        self._schema = layout.schema()
        if not commit.pages:
            raise UsageError(f"{folder}: holds no pages: add some with `webdancer index --pages FILE --out {folder}`")
        _require_whole(Path(folder) / TABLE, commit.pages * ROW_BYTES)
        if any(file.copied for file in commit.files):
            _require_whole(Path(folder) / COPY, commit.copied_bytes)
        self._count = commit.pages
        self.passages = commit.passages
        self._files = [str(_found(Path(folder), file)) for file in commit.files]
        self._copied = [file.copied for file in commit.files]
        self.name = f"index:{commit.digest[:16]}"

    def __len__(self) -> int:
        return self._count

    def __del__(self) -> None:
        for descriptor in getattr(self, "_descriptors", {}).values():
            os.close(descriptor)

    def _row(self, url: str) -> int | None:
        asked = Query.term_query(self._schema, URL_KEY, page_hash(url), index_option="basic")
        first = self._searcher.search(asked, 1, count=False, order_by_field=ROW_NUMBER, order=tantivy.Order.Asc)
        return next((row for row, _ in first.hits), None)

    def best(self, query: str, results: int) -> list[int]:
        """Of a page its best passage counts. More passages are looked at until every equal of the last page is seen."""
        terms = dict.fromkeys(map(stem, telling_words(query)))
        any_of = [(Occur.Should, Query.term_query(self._schema, WORDS, term, index_option="freq")) for term in terms]
        if not any_of:
            return []
        limit = PASSAGES_PER_PAGE * results
        while True:
            found = self._passages(Query.boolean_query(any_of), limit)
            scores = {row: score for score, row in reversed(found)}
            best = list(dict.fromkeys(row for _, row in found))[:results]
            if len(found) < limit or limit >= MOST_PASSAGES:
                return best
            if len(best) == results and scores[best[-1]] < found[-1][0]:
                return best
            limit *= 4

    def _passages(self, query: Query, limit: int) -> list[tuple[float, int]]:
        """The best passages, each by its score below zero and the row of its page, in this order."""
        hits = self._searcher.search(query, limit, count=False).hits
        rows = self._searcher.fast_field_values(ROW_NUMBER, [address for _, address in hits])
        return sorted((-round(score, SCORE_DIGITS), int(row or 0)) for (score, _), row in zip(hits, rows, strict=True))

    def _line(self, row: int) -> bytes:
        place = layout.row_at(self._descriptor(str(Path(self.path) / TABLE)), row)
        if self._copied[place.file]:
            with open(Path(self.path) / COPY, "rb") as copy:
                return copied_line(copy, place.start, place.within, place.length)
        return os.pread(self._descriptor(self._files[place.file]), place.length, place.start)

    def _descriptor(self, path: str) -> int:
        if path not in self._descriptors:
            self._descriptors[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return self._descriptors[path]


def _opened(folder: Path) -> tuple[tantivy.Searcher, Commit]:
    """What is committed, and how far that goes. Tried again where a writer committed twice meanwhile."""
    for _ in range(OPENINGS):
        searcher = _searcher(folder)
        if commit := layout.commit_of(folder, searcher.num_docs):
            return searcher, commit
    raise UsageError(f"{folder}: its {layout.COMMITS} does not fit its {TERMS}: build the index anew")


def _searcher(folder: Path) -> tantivy.Searcher:
    """Of what is committed now: a writer that goes on disturbs nobody."""
    if not (folder / TERMS).is_dir() or not tantivy.Index.exists(str(folder / TERMS)):
        raise UsageError(f"{folder}: is no index: make one with `webdancer index --pages FILE --out {folder}`")
    try:
        index = tantivy.Index.open(str(folder / TERMS))
        index.config_reader("manual")
        return index.searcher()
    except ValueError as error:
        raise UsageError(f"{folder}: {error}: build the index anew") from None


def _require_whole(part: Path, least_bytes: int) -> None:
    """Of the index's own files; those of pages may lie elsewhere. Raises UsageError."""
    if not part.is_file() or part.stat().st_size < least_bytes:
        raise UsageError(f"{part}: gone, or shorter than its index says: build {part.parent} anew")


def _found(folder: Path, file: IndexedFile) -> Path:
    """Where a file of pages lies now: from the index as it did, or where it was."""
    if file.copied:
        return folder / COPY
    near, far = folder / file.path, Path(file.absolute)
    path = near if near.is_file() else far
    if not path.is_file():
        raise UsageError(f"{folder}: its pages are not there: neither {near} nor {far}")
    if path.stat().st_size < file.bytes:
        raise UsageError(f"{path}: shorter than when it was indexed: build {folder} anew")
    return path
