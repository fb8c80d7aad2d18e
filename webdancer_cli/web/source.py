"""What the tools stand on: something to search, and to read pages from."""

from typing import Protocol

import msgspec

from webdancer_cli.records import Page


class Hit(msgspec.Struct):
    """One search result. ``date`` is the page's own date, where it gives one."""

    title: str
    url: str
    snippet: str
    date: str = ""


class Web(Protocol):
    """A corpus, or the live web. ``name`` is its provenance."""

    name: str

    async def search(self, query: str, results: int) -> list[Hit]:
        """The best ``results`` pages for a query. Raises ToolError."""
        ...

    async def read(self, url: str) -> Page:
        """The page at a URL. Raises ToolError."""
        ...
