"""Pages of what was fetched earlier, in folders of saved pages and WARC files, through the gate of the crawl."""

import asyncio
import mimetypes
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing
from pathlib import Path
from urllib.parse import quote

from webdancer_cli.data.ordered_map import ordered_map
from webdancer_cli.data.pipeline import iterate_in_thread
from webdancer_cli.data.records import Page
from webdancer_cli.errors import Reject, UsageError
from webdancer_cli.web.crawl import warc
from webdancer_cli.web.crawl.byte_source import open_url
from webdancer_cli.web.crawl.near_duplicates import KeptTexts, minhash_signature
from webdancer_cli.web.crawl.warc import Found
from webdancer_cli.web.extract.page_extractor import PageExtractor
from webdancer_cli.web.extract.page_filter import PageCriteria
from webdancer_cli.web.fetch import media_types
from webdancer_cli.web.fetch.decompression import decompress
from webdancer_cli.web.fetch.fetcher import MAX_BYTES, FetchedDocument
from webdancer_cli.web.fetch.file_stream import FileStreams

FOLDER_URL = "http://localhost/"
"""Where the files of a folder are said to be: their links need a base to resolve against."""

AHEAD = 32
"""Documents read at once."""


async def read_local_pages(
    paths: Iterable[str],
    terms: PageCriteria,
    kept: KeptTexts,
    refused: Callable[[Reject], None],
    streams: FileStreams | None = None,
) -> AsyncGenerator[Page, None]:
    """The pages of folders and WARC files, each text once; ``refused`` is told of every document that is none.

    WARC files may be URLs where there are ``streams``. Raises UsageError for a file here that is no WARC file.
    """
    with PageExtractor() as extraction:

        async def read(source: Found) -> Page:
            """Raises Reject."""
            if isinstance(source, Reject):
                raise source
            reading = await extraction.read(source, terms)
            if reading.refusal:
                raise Reject(reading.refusal.reason, reading.refusal.detail)
            reading.page.fetched_at = source.fetched_at
            return reading.page

        async with aclosing(ordered_map(_sources(paths, streams), read, AHEAD, held_per_job=1)) as documents:
            async for _, reading in documents:
                try:
                    page = reading.result()
                    _keep(page, kept)
                except Reject as reject:
                    refused(reject)
                else:
                    yield page


async def _sources(paths: Iterable[str], streams: FileStreams | None) -> AsyncIterator[Found]:
    """What the paths hold, and why the rest of it is no page."""
    for path in paths:
        if streams and warc.is_warc_url(path):
            async with aclosing(_remote(path, streams)) as documents:
                async for document in documents:
                    yield document
            continue
        for source in warc.read_warc(path) if not Path(path).is_dir() else _folder(Path(path)):
            yield source


async def _remote(url: str, streams: FileStreams) -> AsyncGenerator[Found, None]:
    """What a WARC file elsewhere holds; it is read in a thread, which waits for its bytes."""
    source = open_url(url, streams, asyncio.get_running_loop())
    try:
        async with aclosing(iterate_in_thread(warc.read_source(source))) as documents:
            async for document in documents:
                yield document
    except UsageError as error:
        yield warc.LostFile(url, Reject("no_archive", str(error)))


def _folder(folder: Path) -> Iterator[Found]:
    """The pages and archives below a folder, whatever their names, in the order of their paths."""
    for file in sorted(folder.rglob("*")):
        if warc.is_warc(str(file)):
            yield from warc.read_warc(str(file))
        elif not file.is_dir():
            try:
                yield _read_document(file, FOLDER_URL + quote(os.fsencode(file.relative_to(folder).as_posix())))
            except Reject as reject:
                yield reject


_NAMES = mimetypes.MimeTypes()
"""What names stand for, wherever this runs: the system's own lists are not asked."""

_SOURCES = dict.fromkeys([".md", ".markdown", ".rst", ".ts", ".tsx", ".jsx", ".vue", ".rb", ".go", ".rs"], "text/plain")
"""Names of texts that may begin like a page, and are none."""


def _read_document(file: Path, url: str) -> FetchedDocument:
    """The document that a file holds, if a look inside shows a page. Raises Reject."""
    said = _NAMES.guess_type(file.name.lower())[0] or _SOURCES.get(file.suffix.lower(), "application/octet-stream")
    try:
        with open(file, "rb") as stream:
            head = stream.read(media_types.HEAD_BYTES)
            packed = head.startswith(warc.GZIP)
            if not packed and (kind := media_types.detect_media_type(said, head)) not in media_types.HTML_TYPES:
                raise Reject("not_html", f"{file}: is {kind}")
            body = head + stream.read(MAX_BYTES + 1 - len(head))
    except OSError as error:
        raise Reject("unreadable", f"{file}: {error.strerror}") from None
    if packed:
        body = decompress(body, "gzip", MAX_BYTES + 1, str(file))
        if (kind := media_types.detect_media_type(said, body)) not in media_types.HTML_TYPES:
            raise Reject("not_html", f"{file}: is {kind}, compressed")
    if len(body) > MAX_BYTES:
        raise Reject("too_large", f"{file}: more than {MAX_BYTES:,} bytes")
    return FetchedDocument(url=url, requested_url=url, content_type="text/html", body=body, fetched_at="")


def _keep(page: Page, kept: KeptTexts) -> None:
    """Remember a page's text. Raises Reject ``duplicate`` or ``near_duplicate``."""
    if not kept.add(page.sha256):
        raise Reject("duplicate", f"{page.url}: the same text as an earlier page")
    if kept.similarity < 1 and not kept.add_signature(minhash_signature(page.text)):
        raise Reject("near_duplicate", f"{page.url}: nearly the same text as an earlier page")
