"""A fixed corpus as a web: a file of pages, searched by BM25 and read by URL.

Only the index, the URLs and the byte offsets of the lines are held in memory; a page is read from its line when it is
asked for. That is what lets a laptop serve a million pages.
"""

import hashlib
import os
import tempfile
import weakref
from array import array
from collections.abc import Iterable, Iterator
from typing import IO

import numpy as np

from webdancer_cli.data import jsonl
from webdancer_cli.data.input_streams import STDIN, open_utf8
from webdancer_cli.data.jsonl import BadLine
from webdancer_cli.data.records import Page, Rejected, to_object
from webdancer_cli.errors import UsageError
from webdancer_cli.text.words import raw_words, stem
from webdancer_cli.web import urls
from webdancer_cli.web.bm25 import Tokenized, bm25s
from webdancer_cli.web.fixed_pages import TITLE_WEIGHT, FixedPages, PageLine, parse_entry, telling_words


class Corpus(FixedPages):
    """The pages of a file, searchable. ``name`` tells the file by its content, for provenance.

    ``rejected`` holds the lines that are no pages.
    """

    @classmethod
    def load(cls, path: str, *, snippet_chars: int = 160) -> "Corpus":
        """Index a file of pages. Raises UsageError when it is missing or holds no page."""
        if path == STDIN:
            raise UsageError(
                "--web needs a file: pages on stdin cannot be read again; name the file that --pages wrote"
            )
        with open_utf8(path) as stream:
            return cls(path, stream, snippet_chars)

    @classmethod
    def of(cls, pages: Iterable[Page], *, snippet_chars: int = 160) -> "Corpus":
        """Index pages that are at hand; they are kept in a file that ends with the corpus. UsageError if none is."""
        with tempfile.TemporaryFile() as stream:
            for page in pages:
                stream.write(jsonl.encode(to_object(page)) + b"\n")
            stream.seek(0)
            return cls("pages", stream, snippet_chars)

    def __init__(self, path: str, stream: IO[bytes], snippet_chars: int):
        self.path = path
        self.snippet_chars = snippet_chars
        self._starts = array("q")
        self._lengths = array("q")
        self._rows: dict[str, int] = {}
        vocabulary = Vocabulary()
        documents: list[array[int]] = []
        digest = hashlib.sha256()
        self.rejected: list[Rejected] = []
        for start, line, entry in _entries(path, stream, self.rejected.append):
            digest.update(line)
            if self._add(start, len(line), entry):
                documents.append(vocabulary.document(entry))
        if not self._starts:
            raise _no_pages(path, self.rejected)
        self.name = f"corpus:{digest.hexdigest()[:16]}"
        self._vocabulary = vocabulary
        self._ranking = _ranking(documents, vocabulary.ids)
        self._file = os.dup(stream.fileno())
        weakref.finalize(self, os.close, self._file)

    def _add(self, start: int, length: int, entry: PageLine) -> bool:
        """Note where a page stands; False if its URL is there already."""
        row = len(self._starts)
        if self._rows.setdefault(urls.page_key(entry.url), row) != row:
            return False
        if entry.requested_url:
            self._rows.setdefault(urls.page_key(entry.requested_url), row)
        self._starts.append(start)
        self._lengths.append(length)
        return True

    def __len__(self) -> int:
        return len(self._starts)

    def _line(self, row: int) -> bytes:
        return os.pread(self._file, self._lengths[row], self._starts[row])

    def _row(self, url: str) -> int | None:
        return self._rows.get(urls.page_key(url))

    def best(self, query: str, results: int) -> list[int]:
        wanted = self._vocabulary.query(query)
        if not wanted or self._ranking is None:
            return []
        scores = self._ranking.get_scores(wanted)
        found = _leaders(scores, results)
        return [int(row) for row in found[np.argsort(-scores[found], kind="stable")][:results]]


def _leaders(scores: np.ndarray, results: int) -> np.ndarray:
    """The rows among which the best ``results`` are. Sorting these few is many times faster than partitioning all."""
    best = scores.max(initial=0.0)
    for share in (0.8, 0.6, 0.4, 0.2):
        found = np.flatnonzero(scores > share * best)
        if len(found) >= results:
            return found
    return np.flatnonzero(scores > 0)


class Vocabulary:
    """Words to term ids. ``ids`` maps stems; raw words are remembered too, so that each is stemmed only once."""

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}
        self._raw: dict[str, int] = {}

    def document(self, entry: PageLine) -> "array[int]":
        """The term ids of a page, title and URL included, each as often as it weighs."""
        title = raw_words(entry.title) * TITLE_WEIGHT
        return array(
            "i", [self._id(word) for word in (*title, *raw_words(urls.url_words(entry.url)), *raw_words(entry.text))]
        )

    def _id(self, word: str) -> int:
        found = self._raw.get(word)
        if found is None:
            found = self._raw[word] = self.ids.setdefault(stem(word), len(self.ids))
        return found

    def query(self, text: str) -> list[int]:
        """The distinct term ids of a query that the corpus knows; stop words only if there is nothing else."""
        return list(dict.fromkeys(self.ids[known] for word in telling_words(text) if (known := stem(word)) in self.ids))


def _ranking(documents: "list[array[int]]", vocabulary: dict[str, int]) -> bm25s.BM25 | None:
    if not vocabulary:
        return None
    ranking = bm25s.BM25(method="lucene", backend="numpy")
    ranking.index(Tokenized(documents, vocabulary), create_empty_token=False, show_progress=False)
    return ranking


def _no_pages(path: str, rejected: list[Rejected]) -> UsageError:
    """Why a file without a single page is refused. Raises the better reason if it holds other records."""
    if not rejected:
        return UsageError(f"{path}: holds no pages: crawl some with `webdancer crawlqa URL --pages {path}`")
    jsonl.refuse_other_kind(rejected[0].detail.partition(": ")[0], Page, rejected[0].record)
    return UsageError(f"{rejected[0].detail}: and no other line is a page")


def report_rejected(web: object, tell: BadLine) -> None:
    """Hand on the lines of a corpus that are no pages; the live web has none."""
    for rejected in web.rejected if isinstance(web, Corpus) else ():
        tell(rejected)


def _entries(path: str, stream: IO[bytes], on_bad: BadLine) -> Iterator[tuple[int, bytes, PageLine]]:
    """Every line that is a page, with its byte offset. A torn last line (a crawl writes it, or was killed) is none."""
    start = stream.tell()
    for number, line in enumerate(stream, 1):
        if line.strip():
            entry = parse_entry(line, f"{path}:{number}")
            if isinstance(entry, PageLine):
                yield start, line, entry
            elif line.endswith(b"\n"):
                on_bad(entry)
        start += len(line)
