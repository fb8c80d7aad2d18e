"""Pages that do not change while a run lasts, as a web: whoever ranks them, and wherever their lines lie."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import msgspec

from webdancer_cli.data.records import Page, Rejected
from webdancer_cli.errors import ToolError, UsageError
from webdancer_cli.text.passages import snippet
from webdancer_cli.text.words import STOPWORDS, raw_words
from webdancer_cli.web.page_lines import parse_page
from webdancer_cli.web.protocols import Hit

TITLE_WEIGHT = 3
"""How many times a word of the title counts; a word of the URL counts once."""

SNIPPET_LOOK_CHARS = 200_000
"""So much of a page is looked through for the sentence that a search result shows."""


class PageLine(msgspec.Struct):
    """What an index and a search result need of a line of ``pages.jsonl``; its links are skipped unread."""

    url: str
    title: str
    text: str
    requested_url: str = ""
    date: str = ""


_decoder = msgspec.json.Decoder(PageLine)


def parse_entry(line: bytes, name: str) -> PageLine | Rejected:
    """What an index needs of a line. Most lines need no mending, and are decoded without their links."""
    try:
        return _decoder.decode(line)
    except (ValueError, RecursionError):
        page = parse_page(line, name)
    if isinstance(page, Rejected):
        return page
    requested, date = (page.extra.get(field) for field in ("requested_url", "date"))
    return PageLine(page.url, page.title, page.text, _text(requested), _text(date))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


class FixedPages(ABC):
    """Implements ``Web``. Whoever extends it ranks pages, and finds their lines; rows count pages from 0.

    ``name`` tells the pages by their content, for provenance; ``path`` is for messages.
    """

    name: str
    path: str
    snippet_chars: int

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def _row(self, url: str) -> int | None:
        """The row of the page at a URL, also when scheme, fragment, trailing slash or ``index.html`` differ."""

    @abstractmethod
    def best(self, query: str, results: int) -> list[int]:
        """The rows of the best pages, best first; equal scores in the order of the pages. No shared word, no hit."""

    @abstractmethod
    def _line(self, row: int) -> bytes:
        """The line of a file of pages."""

    def __iter__(self) -> Iterator[Page]:
        return (self._page(row) for row in range(len(self)))

    def page(self, url: str) -> Page | None:
        """The page at a URL, also when scheme, fragment, trailing slash or ``index.html`` differ."""
        row = self._row(url)
        return None if row is None else self._page(row)

    def search_now(self, query: str, results: int) -> list[Hit]:
        """The best pages for a query, best first; equal scores in the order of the pages. No shared word, no hit."""
        return [self.hit(row, query) for row in self.best(query, results)] if results > 0 else []

    async def search(self, query: str, results: int) -> list[Hit]:
        return self.search_now(query, results)

    async def read(self, url: str) -> Page:
        page = self.page(url)
        if page is None:
            raise ToolError(f"{url}: no such page; visit a URL from the search results or from a page")
        return page

    def _page(self, row: int) -> Page:
        page = parse_page(self._line(row), self.path)
        if isinstance(page, Rejected):
            raise UsageError(f"{page.detail}: the file was changed while it was read")
        return page

    def entry(self, row: int) -> PageLine:
        """What an index and a search result need of a page."""
        entry = parse_entry(self._line(row), self.path)
        if isinstance(entry, Rejected):
            raise UsageError(f"{entry.detail}: the file was changed while it was read")
        return entry

    def hit(self, row: int, query: str) -> Hit:
        """A page as a search result."""
        entry = self.entry(row)
        shown = snippet(_beginning(entry.text, SNIPPET_LOOK_CHARS), query, self.snippet_chars)
        return Hit(entry.title, entry.url, shown, entry.date)


def _beginning(text: str, chars: int) -> str:
    """At most so many characters, up to the end of a line or a sentence."""
    if len(text) <= chars:
        return text
    end = max(text.rfind("\n", 0, chars), text.rfind(". ", 0, chars) + 1)
    return text[: end if end > 0 else chars]


def telling_words(query: str) -> list[str]:
    """The distinct words of a query; stop words only if there is nothing else."""
    every = list(dict.fromkeys(raw_words(query)))
    return [word for word in every if word not in STOPWORDS] or every
