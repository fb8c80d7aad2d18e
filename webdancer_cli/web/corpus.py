"""A fixed corpus as a web: a file of pages, searched by BM25 and read by URL.

Only the index, the URLs and the byte offsets of the lines are held in memory; a page is read from its line when it is
asked for. That is what lets a laptop serve a million pages.
"""

import hashlib
import os
import tempfile
import weakref
from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import IO

import msgspec
import numpy as np

from webdancer_cli.data import jsonl
from webdancer_cli.data.input_streams import STDIN, open_utf8
from webdancer_cli.data.jsonl import BadLine
from webdancer_cli.data.records import Page, Rejected, to_object
from webdancer_cli.errors import ToolError, UsageError
from webdancer_cli.text.passages import snippet
from webdancer_cli.text.words import STOPWORDS, raw_words, stem
from webdancer_cli.web import urls
from webdancer_cli.web.bm25 import Tokenized, bm25s
from webdancer_cli.web.page_lines import parse_page
from webdancer_cli.web.protocols import Hit

TITLE_WEIGHT = 3
"""How many times a word of the title counts; a word of the URL counts once."""


class CorpusEntry(msgspec.Struct):
    """What the index and a search result need of a line of ``pages.jsonl``; its links are skipped unread."""

    url: str
    title: str
    text: str
    requested_url: str = ""
    date: str = ""


SNIPPET_LOOK_CHARS = 200_000
"""So much of a page is looked through for the sentence that a search result shows."""


class Corpus:
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
        self._decoder = msgspec.json.Decoder(CorpusEntry)
        self._starts = array("q")
        self._lengths = array("q")
        self._rows: dict[str, int] = {}
        vocabulary = Vocabulary()
        documents: list[array[int]] = []
        digest = hashlib.sha256()
        self.rejected: list[Rejected] = []
        for start, line, entry in _entries(path, stream, self._entry, self.rejected.append):
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

    def _add(self, start: int, length: int, entry: CorpusEntry) -> bool:
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

    def __iter__(self) -> Iterator[Page]:
        return (self._page(row) for row in range(len(self)))

    def _page(self, row: int) -> Page:
        page = parse_page(self._line(row), self.path)
        if isinstance(page, Rejected):
            raise UsageError(f"{page.detail}: the file was changed while it was read")
        return page

    def _entry(self, line: bytes, name: str) -> CorpusEntry | Rejected:
        """What the index needs of a line. Most lines need no mending, and are decoded without their links."""
        try:
            return self._decoder.decode(line)
        except (ValueError, RecursionError):
            page = parse_page(line, name)
        if isinstance(page, Rejected):
            return page
        requested, date = (page.extra.get(field) for field in ("requested_url", "date"))
        return CorpusEntry(page.url, page.title, page.text, _text(requested), _text(date))

    def _line(self, row: int) -> bytes:
        return os.pread(self._file, self._lengths[row], self._starts[row])

    def page(self, url: str) -> Page | None:
        """The page at a URL, also when scheme, fragment, trailing slash or ``index.html`` differ."""
        row = self._rows.get(urls.page_key(url))
        return None if row is None else self._page(row)

    def search_now(self, query: str, results: int) -> list[Hit]:
        """The best pages for a query, best first; equal scores in the order of the file. No shared word, no hit."""
        return [self._hit(row, query) for row in self._best(query, results)]

    def _best(self, query: str, results: int) -> list[int]:
        wanted = self._vocabulary.query(query)
        if not wanted or self._ranking is None or results <= 0:
            return []
        scores = self._ranking.get_scores(wanted)
        found = _leaders(scores, results)
        return [int(row) for row in found[np.argsort(-scores[found], kind="stable")][:results]]

    def _hit(self, row: int, query: str) -> Hit:
        entry = self._entry(self._line(row), self.path)
        if isinstance(entry, Rejected):
            raise UsageError(f"{entry.detail}: the file was changed while it was read")
        shown = snippet(_beginning(entry.text, SNIPPET_LOOK_CHARS), query, self.snippet_chars)
        return Hit(entry.title, entry.url, shown, entry.date)

    async def search(self, query: str, results: int) -> list[Hit]:
        return self.search_now(query, results)

    async def read(self, url: str) -> Page:
        page = self.page(url)
        if page is None:
            raise ToolError(f"{url}: no such page; visit a URL from the search results or from a page")
        return page


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

    def document(self, entry: CorpusEntry) -> "array[int]":
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
        every = list(dict.fromkeys(raw_words(text)))
        telling = [word for word in every if word not in STOPWORDS] or every
        return list(dict.fromkeys(self.ids[known] for word in telling if (known := stem(word)) in self.ids))


def _ranking(documents: "list[array[int]]", vocabulary: dict[str, int]) -> bm25s.BM25 | None:
    if not vocabulary:
        return None
    ranking = bm25s.BM25(method="lucene", backend="numpy")
    ranking.index(Tokenized(documents, vocabulary), create_empty_token=False, show_progress=False)
    return ranking


def _beginning(text: str, chars: int) -> str:
    """At most so many characters, up to the end of a line or a sentence."""
    if len(text) <= chars:
        return text
    end = max(text.rfind("\n", 0, chars), text.rfind(". ", 0, chars) + 1)
    return text[: end if end > 0 else chars]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


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


def _entries(
    path: str, stream: IO[bytes], read: Callable[[bytes, str], CorpusEntry | Rejected], on_bad: BadLine
) -> Iterator[tuple[int, bytes, CorpusEntry]]:
    """Every line that is a page, with its byte offset. A torn last line (a crawl writes it, or was killed) is none."""
    start = stream.tell()
    for number, line in enumerate(stream, 1):
        if line.strip():
            entry = read(line, f"{path}:{number}")
            if isinstance(entry, CorpusEntry):
                yield start, line, entry
            elif line.endswith(b"\n"):
                on_bad(entry)
        start += len(line)
