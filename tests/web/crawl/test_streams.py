"""Archives as streams: of any size, from a folder or a server, listed by their paths, whatever breaks on the way."""

import asyncio
import gzip
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.data import jsonl
from webdancer_cli.data.pipeline import RecordWriter, RunStats
from webdancer_cli.data.records import Page
from webdancer_cli.errors import UsageError
from webdancer_cli.options import config
from webdancer_cli.web.crawl import byte_source, crawl_database
from webdancer_cli.web.crawl.byte_source import ByteSource
from webdancer_cli.web.crawl.local_files import read_local_pages
from webdancer_cli.web.crawl.near_duplicates import KeptTexts
from webdancer_cli.web.crawl.roots import RootPages
from webdancer_cli.web.extract.page_filter import PageCriteria
from webdancer_cli.web.fetch.file_stream import FileStreams


def text_of(name: str) -> str:
    return f"{name} is a town by the sea. It has streets and houses, and a harbour that was built in 1704."


def response(name: str) -> bytes:
    body = f"<html><title>{name}</title><main><p>{text_of(name)}</p></main></html>".encode()
    block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + body
    return record("response", f"http://e.org/{name}", "application/http; msgtype=response", block)


def conversion(name: str, text: str = "") -> bytes:
    block = f"{name} – a guide\n{text or text_of(name)}".encode()
    return record("conversion", f"http://e.org/{name}", "text/plain", block)


def record(kind: str, url: str, media_type: str, block: bytes) -> bytes:
    lines = [f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2025-01-02T03:04:05Z"]
    lines += [f"Content-Type: {media_type}\r\nContent-Length: {len(block)}\r\n\r\n"]
    return gzip.compress("\r\n".join(lines).encode() + block + b"\r\n\r\n")


class Server:
    """Serves a folder. ``cut`` closes each connection after so many bytes; ``ranges`` says whether it knows them."""

    def __init__(self, folder: Path, cut: int, ranges: bool):
        self.folder, self.cut, self.ranges = folder, cut, ranges
        self.asked: list[tuple[str, int]] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split()[1]
        start = int(head.partition("bytes=")[2].partition("-")[0] or 0) if self.ranges else 0
        self.asked.append((path.rpartition("/")[2], start))
        file = self.folder / path.lstrip("/")
        body = file.read_bytes()[start:] if file.is_file() else b""
        status = "404 Not Found" if not file.is_file() else "206 Partial Content" if start else "200 OK"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode())
        writer.write(body[: self.cut])
        await writer.drain()
        writer.close()


@asynccontextmanager
async def served(folder: Path, *, cut: int = 1 << 30, ranges: bool = True) -> AsyncIterator[tuple[str, Server]]:
    serving = Server(folder, cut, ranges)
    server = await asyncio.start_server(serving.answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", serving


async def gathered(
    folder: Path, *roots: str, after_each: Callable[[int], None] = lambda count: None, **more: object
) -> tuple[list[str], RunStats]:
    """The titles of the pages of a run, and its tally."""
    files = {"pages": str(folder / "pages.jsonl"), "out": str(folder / "qa.jsonl")}
    options = config.CrawlqaOptions(roots=list(roots), allow_private=True, similarity=1.0, **files | more)
    titles = []
    with RecordWriter("crawlqa", options.out, resume=options.resume) as output:
        async with aclosing(RootPages(options, output, None, None).stream()) as pages:
            async for page in pages:
                titles.append(page.title)
                after_each(len(titles))
    return titles, output.stats


@pytest.fixture
def crawl(tmp_path: Path) -> Path:
    """Three archives of four pages each, the second of texts, and their list."""
    folder = tmp_path / "crawl" / "segments"
    folder.mkdir(parents=True)
    for name, kind in (("a.warc.gz", response), ("b.warc.wet.gz", conversion), ("c.warc.gz", response)):
        (folder / name).write_bytes(b"".join(kind(f"{name[0]}{number}") for number in range(4)))
    paths = [f"segments/{path.name}" for path in sorted(folder.iterdir())]
    (tmp_path / "warc.paths.gz").write_bytes(gzip.compress("\n".join(paths).encode() + b"\n"))
    return tmp_path


EVERY = [*(f"a{n}" for n in range(4)), *(f"b{n} – a guide" for n in range(4)), *(f"c{n}" for n in range(4))]


async def test_a_list_of_paths_is_read_from_a_folder_and_from_a_server_alike(crawl: Path) -> None:
    local, _ = await gathered(crawl, str(crawl / "warc.paths.gz"), base=str(crawl / "crawl"))
    async with served(crawl / "crawl") as (url, server):
        remote, _ = await gathered(crawl, str(crawl / "warc.paths.gz"), base=url)
        alone, _ = await gathered(crawl, f"{url}segments/c.warc.gz")
    assert local == remote == EVERY and alone == EVERY[8:]
    assert [start for _, start in server.asked] == [0] * 4
    texts = {page.url: page.text for page in jsonl.read_records(str(crawl / "pages.jsonl"), Page)}
    assert texts["http://e.org/c0"] == text_of("c0")


@pytest.mark.parametrize("ranges", [True, False])
async def test_a_connection_that_breaks_is_gone_on_with_where_it_broke(
    crawl: Path, monkeypatch: pytest.MonkeyPatch, ranges: bool
) -> None:
    quickly = msgspec.structs.replace(byte_source.RETRY, attempts=2, first_pause_seconds=0.01)
    monkeypatch.setattr(byte_source, "RETRY", quickly)
    size = (crawl / "crawl/segments/a.warc.gz").stat().st_size
    async with served(crawl / "crawl", cut=size // 3 if ranges else size - 40, ranges=ranges) as (url, server):
        titles, stats = await gathered(crawl, f"{url}segments/a.warc.gz")
    if ranges:
        starts = [start for _, start in server.asked]
        assert titles == EVERY[:4] and starts == [size // 3 * times for times in range(len(starts))]
    else:  # it never gets further than that: what came is kept, and the file may be tried again
        assert titles == EVERY[:3] and stats.reasons["connection_broken"] == 1 and stats.failed == 1


async def test_what_cannot_be_had_of_a_list_is_told_and_the_rest_goes_on(crawl: Path) -> None:
    segments = crawl / "crawl/segments"
    torn = (segments / "a.warc.gz").read_bytes()
    middle = len(response("a0")) + 60
    (segments / "a.warc.gz").write_bytes(torn[:middle] + bytes(40) + torn[middle + 40 :])
    (segments / "c.warc.gz").unlink()
    wet = (segments / "b.warc.wet.gz").read_bytes()
    (segments / "b.warc.wet.gz").write_bytes(wet[:-30])
    titles, stats = await gathered(crawl, str(crawl / "warc.paths.gz"), base=str(crawl / "crawl"))
    assert titles == ["a0", "a2", "a3", *EVERY[4:7]]
    assert stats.reasons == {"damaged_archive": 2, "unreadable": 1} and stats.failed == 3
    async with served(crawl / "crawl") as (url, _):
        again, stats = await gathered(crawl, str(crawl / "warc.paths.gz"), base=url)
    assert again == titles and stats.reasons == {"damaged_archive": 2, "http_404": 1}


async def test_files_that_were_read_are_not_read_again_and_those_begun_are(
    crawl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crawl_database, "SAVE_AFTER_PAGES", 3)
    killed = crawl / "killed"
    killed.mkdir()

    def keep(count: int) -> None:
        if count == 6:  # two pages into the second file
            for path in crawl.glob("pages.jsonl*"):
                shutil.copy(path, killed)

    async with served(crawl / "crawl") as (url, server):
        await gathered(crawl, str(crawl / "warc.paths.gz"), base=url, after_each=keep)
        server.asked.clear()
        titles, _ = await gathered(killed, str(crawl / "warc.paths.gz"), base=url, resume=True)
    assert titles == EVERY and [name for name, _ in server.asked] == ["b.warc.wet.gz", "c.warc.gz"]
    kept = [page.title for page in jsonl.read_records(str(killed / "pages.jsonl"), Page)]
    assert kept == EVERY


async def test_whoever_has_enough_of_a_stream_leaves_nothing_behind(crawl: Path) -> None:
    (crawl / "crawl/long.warc.gz").write_bytes(b"".join(response(f"long{number}") for number in range(400)))
    async with (
        served(crawl / "crawl") as (url, _),
        FileStreams(allow_private=True, timeout_seconds=9, contact=None) as s,
    ):
        found = read_local_pages([f"{url}long.warc.gz"], PageCriteria(), KeptTexts(1.0), lambda reject: None, s)
        assert (await anext(found)).title == "long0"
        await found.aclose()
    assert [task for task in asyncio.all_tasks() if task.get_coro().__qualname__.startswith("_Remote")] == []


async def test_a_text_that_is_no_page_is_counted_by_its_reason(tmp_path: Path) -> None:
    records = [conversion("short", "x"), conversion("broken", "Ã¼ber Ã¤lter Ã¶fter " * 9), conversion("good")]
    (tmp_path / "a.wet.gz").write_bytes(b"".join(records))
    titles, stats = await gathered(tmp_path, str(tmp_path / "a.wet.gz"))
    assert titles == ["good – a guide"] and stats.reasons == {"too_little_text": 1, "mojibake": 1}


@pytest.mark.parametrize(
    ("roots", "more", "why"),
    [
        (["warc.paths.gz"], {}, "say with --base"),
        (["broken.paths.gz"], {"base": "x"}, "name a list of paths"),
        (["crawl"], {"base": "x"}, "no root is a list"),
    ],
)
async def test_a_list_that_leads_nowhere_is_refused(
    crawl: Path, roots: list[str], more: dict[str, str], why: str
) -> None:
    (crawl / "broken.paths.gz").write_bytes(b"\x1f\x8b\x08 no list")
    with pytest.raises(UsageError, match=why):
        await gathered(crawl, *(str(crawl / root) for root in roots), **more)


@given(st.binary(max_size=400), st.lists(st.tuples(st.integers(0, 450), st.integers(1, 200))), st.integers(1, 90))
def test_any_place_of_a_source_can_be_read_again(content: bytes, places: list[tuple[int, int]], block: int) -> None:
    opened, kept = [], byte_source.KEPT_BYTES

    def open_at(start: int):
        opened.append(start)
        parts = iter([content[at : at + block] for at in range(start, len(content), block)])
        return lambda: next(parts, b"")

    byte_source.KEPT_BYTES = 32
    try:
        source = ByteSource("x", open_at)
        for start, size in places:
            assert source.at(start, size) == content[start : start + size]
            assert len(source._window) <= 2 * 32 + size + block
            found = content.find(b"\0\1", start)
            assert source.find(b"\0\1", start) == (None if found < 0 else found)
    finally:
        byte_source.KEPT_BYTES = kept
    forwards = all(before <= after for (before, _), (after, _) in pairwise(places))
    assert len(opened) <= 1 or not forwards
