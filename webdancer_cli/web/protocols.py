"""What the tools stand on: something to search, and to read pages from."""

from typing import Protocol

import msgspec

from webdancer_cli.data.records import Page


class Hit(msgspec.Struct):
    """One search result. ``date`` is the page's own date, where it gives one."""

    title: str
    url: str
    snippet: str = ""
    date: str = ""


def make_hit(title: str | None, url: str | None, snippet: str | None, date: str | None = None) -> Hit:
    """A hit of what a service gave; nothing in it is certain to be there."""
    return Hit(title or url or "", url or "", snippet or "", date or "")


class Web(Protocol):
    """A corpus, or the live web. ``name`` is its provenance."""

    name: str

    async def search(self, query: str, results: int) -> list[Hit]:
        """The best ``results`` pages for a query.

        Raises ToolError; Outage when a service does not answer; ServiceRefused when no further call can succeed.
        """
        ...

    async def read(self, url: str) -> Page:
        """The page at a URL. Raises as ``search`` does; a page that cannot be had is a ToolError."""
        ...


class Search(Protocol):
    """A search back end. ``name`` is its provenance, and holds no secret."""

    name: str

    async def search(self, query: str, results: int) -> list[Hit]:
        """What it finds, best first; it may be more than ``results``. Raises ToolError, Outage, or ServiceRefused."""
        ...

    async def aclose(self) -> None: ...


class Reader(Protocol):
    """What turns a URL into a page. ``name`` is its provenance."""

    name: str

    async def read(self, url: str) -> Page:
        """Raises ToolError, Outage, or ServiceRefused."""
        ...

    async def aclose(self) -> None: ...
