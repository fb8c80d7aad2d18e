"""Pages of what was fetched earlier, in folders of HTML and WARC files, through the gate of the crawl."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

from webdancer_cli import encoding
from webdancer_cli.errors import Reject
from webdancer_cli.records import Page
from webdancer_cli.web import warc
from webdancer_cli.web.extraction import Extraction
from webdancer_cli.web.gate import Document, Reading, Terms
from webdancer_cli.web.similar import Similar, signature

FOLDER_URL = "http://localhost/"
"""Where the files of a folder are said to be: their links need a base to resolve against."""

AHEAD = 32
"""Documents read at once."""


async def pages(
    paths: Iterable[str], terms: Terms, similarity: float, refused: Callable[[Reject], None]
) -> AsyncGenerator[Page, None]:
    """The pages of folders and WARC files, each text once; ``refused`` is told of every document that is none."""
    kept = _Kept(similarity)
    with Extraction() as extraction:
        under_way: deque[tuple[Source, asyncio.Task[Reading]]] = deque()
        for source in _sources(paths):
            under_way.append((source, asyncio.create_task(extraction.read(source.document, terms))))
            if len(under_way) == AHEAD and (page := await _next(under_way, kept, refused)):
                yield page
        while under_way:
            if page := await _next(under_way, kept, refused):
                yield page


class Source:
    """A document, and when it was fetched ("" if nobody knows)."""

    def __init__(self, document: Document, fetched_at: str = ""):
        self.document = document
        self.fetched_at = fetched_at


def _sources(paths: Iterable[str]) -> Iterator[Source]:
    for path in paths:
        if warc.is_warc(path):
            for fetched in warc.documents(path):
                yield Source(Document(fetched.text(), fetched.url, fetched.headers), fetched.fetched_at)
        else:
            yield from map(Source, _folder(Path(path)))


def _folder(folder: Path) -> Iterator[Document]:
    """The HTML files below a folder, in the order of their paths."""
    for file in sorted(folder.rglob("*.htm*")):
        url = FOLDER_URL + quote(file.relative_to(folder).as_posix())
        yield Document(encoding.text_of(file.read_bytes(), markup=True), url)


async def _next(
    under_way: "deque[tuple[Source, asyncio.Task[Reading]]]", kept: "_Kept", refused: Callable[[Reject], None]
) -> Page | None:
    source, task = under_way.popleft()
    try:
        reading = await task
        if reading.refusal:
            raise Reject(reading.refusal.reason, reading.refusal.detail)
        kept.check(reading.page)
    except Reject as reject:
        refused(reject)
        return None
    reading.page.fetched_at = source.fetched_at
    return reading.page


class _Kept:
    """The texts kept so far."""

    def __init__(self, similarity: float):
        self._texts: set[str] = set()
        self._similar = Similar(similarity) if similarity < 1 else None

    def check(self, page: Page) -> None:
        """Raises Reject ``duplicate`` or ``near_duplicate``."""
        if page.sha256 in self._texts:
            raise Reject("duplicate", f"{page.url}: the same text as an earlier page")
        self._texts.add(page.sha256)
        if self._similar and self._similar.met(signature(page.text)):
            raise Reject("near_duplicate", f"{page.url}: nearly the same text as an earlier page")
