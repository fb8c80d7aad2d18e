"""Pages out of WARC files and folders: what is a page there, and what is not."""

import asyncio
import gzip
import io
import zlib
from pathlib import Path

import brotli
import pytest
import zstandard
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from webdancer_cli.data.records import Page
from webdancer_cli.errors import Reject, UsageError
from webdancer_cli.web.crawl import local_files, warc
from webdancer_cli.web.crawl.near_duplicates import KeptTexts
from webdancer_cli.web.extract.page_filter import PageCriteria


def html(name: str, more: str = "") -> str:
    return (
        f"<html><title>{name}</title><main><p>{name} is a town by the sea, says <a href='/x'>Ada</a>.{more}</p></main>"
    )


def archive(path: Path, *answers: tuple[str, str, str, str]) -> str:
    """A WARC file of answers: URL, status, media type, body."""
    with open(path, "wb") as stream:
        writer = WARCWriter(stream, gzip=path.name.endswith(".gz"))
        for url, status, media_type, body in answers:
            headers = StatusAndHeaders(status, [("Content-Type", media_type)], protocol="HTTP/1.1")
            request = writer.create_warc_record(url, "request", payload=io.BytesIO(b""), http_headers=headers)
            response = writer.create_warc_record(
                url,
                "response",
                payload=io.BytesIO(body.encode("latin-1")),
                http_headers=headers,
                warc_headers_dict={"WARC-Date": "2025-01-02T03:04:05Z"},
            )
            writer.write_request_response_pair(request, response)
    return str(path)


async def read(*paths: str) -> tuple[list[Page], list[str]]:
    refused: list[Reject] = []
    pages = [
        page
        async for page in local_files.read_local_pages(
            paths, PageCriteria(min_chars=20), KeptTexts(0.9), refused.append
        )
    ]
    return pages, [reject.reason for reject in refused]


@pytest.mark.parametrize("name", ["crawl.warc", "crawl.warc.gz"])
async def test_the_pages_of_a_warc_file_as_if_they_had_just_been_fetched(tmp_path: Path, name: str) -> None:
    path = archive(
        tmp_path / name,
        ("http://e.org/a#top", "200 OK", "text/html; charset=latin-1", html("Velmörä")),
        ("http://e.org/b", "200 OK", "application/pdf", "%PDF"),
        ("http://e.org/c", "404 Not Found", "text/html", html("Kemlo")),
        ("http://e.org/d", "200 OK", "text/html", "<title>404 Not Found</title><h1>404 Not Found</h1>nginx"),
        ("http://e.org/e", "200 OK", "text/html; charset=latin-1", html("Velmörä")),
    )
    pages, refused = await read(path)
    assert [(page.url, page.title, page.fetched_at) for page in pages] == [
        ("http://e.org/a", "Velmörä", "2025-01-02T03:04:05Z")
    ]
    assert pages[0].links[0].url == "http://e.org/x" and sorted(refused) == [
        "duplicate",
        "http_404",
        "not_html",
        "soft_404",
    ]


async def test_a_file_that_is_no_warc_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "x.warc").write_text("this is text\n")
    with pytest.raises(UsageError, match="not a WARC file"):
        await read(str(tmp_path / "x.warc"))
    assert not warc.is_warc(str(tmp_path)) and not warc.is_warc(str(tmp_path / "none.warc"))


async def test_folders_and_archives_make_one_corpus_in_the_order_given(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    for nth in range(40):  # more than are read at once
        (folder / f"{nth:02}.html").write_text(html(f"Town{nth}", f" It was founded in {1700 + nth} by settlers."))
    (folder / "wall.html").write_text("<title>Just a moment...</title><p>Checking your browser</p>")
    path = archive(tmp_path / "a.warc", ("http://e.org/", "200 OK", "text/html", html("Velmora")))
    pages, refused = await read(str(folder), path)
    assert [page.title for page in pages] == [*(f"Town{nth}" for nth in range(40)), "Velmora"]
    assert pages[0].url == "http://localhost/00.html" and refused == ["bot_wall"]


BODY = html("Velmora", " It has a harbour, a market and two bridges.").encode()
ENCODED = {
    "": BODY,
    "gzip": gzip.compress(BODY),
    "deflate": zlib.compress(BODY),
    "br": brotli.compress(BODY),
    "zstd": zstandard.compress(BODY),
    "identity": BODY,
    "GZIP": gzip.compress(BODY),
}


def response(body: bytes, *, url: str = "http://e.org/a", kind: str = "response", **headers: str) -> bytes:
    """A record, written by hand."""
    fields = {
        "Content-Type": "text/html; charset=utf-8",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    block = f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + body if kind != "resource" else body
    lines = [f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2025-01-02T03:04:05Z"]
    lines += ["Content-Type: " + ("text/html" if kind == "resource" else "application/http; msgtype=response")]
    return "\r\n".join([*lines, f"Content-Length: {len(block)}\r\n\r\n"]).encode() + block + b"\r\n\r\n"


def town(nth: int) -> bytes:
    return response(html(f"Town{nth}", f" It was founded in {1700 + nth}.").encode(), url=f"http://e.org/{nth}")


def stored_as(path: Path, records: list[bytes], form: str) -> str:
    """A file of records: plain, each in a member of its own, or all of them in one."""
    joined = {
        "plain": b"".join(records),
        "members": b"".join(map(gzip.compress, records)),
        "one member": gzip.compress(b"".join(records)),
    }[form]
    path.write_bytes(joined)
    return str(path)


def found_in(path: str) -> tuple[list[str], list[Reject]]:
    """The addresses of the documents, and what is said of everything else."""
    found = list(warc.read_warc(path))
    return [one.url for one in found if not isinstance(one, Reject)], [one for one in found if isinstance(one, Reject)]


@pytest.mark.parametrize("form", ["plain", "members", "one member"])
def test_an_archive_is_read_whole_however_it_is_compressed(tmp_path: Path, form: str) -> None:
    path = stored_as(tmp_path / "a.warc.gz", [town(n) for n in range(5)], form)
    assert found_in(path) == ([f"http://e.org/{n}" for n in range(5)], [])


@pytest.mark.parametrize("encoding", ENCODED)
@pytest.mark.parametrize("undone", [False, True])
def test_encodings_are_undone_unless_the_archive_has_done_so(tmp_path: Path, encoding: str, undone: bool) -> None:
    record = response(BODY if undone else ENCODED[encoding], Content_Encoding=encoding)
    (fetched,) = warc.read_warc(stored_as(tmp_path / "a.warc", [record], "plain"))
    assert not isinstance(fetched, Reject) and fetched.body == BODY


@pytest.mark.parametrize("encoding", ["", "br"])
def test_chunks_are_joined(tmp_path: Path, encoding: str) -> None:
    packed = ENCODED[encoding]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (packed[:9], packed[9:])) + b"0\r\n\r\n"
    record = response(chunks, Content_Encoding=encoding, Transfer_Encoding="chunked")
    (fetched,) = warc.read_warc(stored_as(tmp_path / "a.warc", [record], "plain"))
    assert not isinstance(fetched, Reject) and fetched.body == BODY


def test_what_is_no_page_is_counted_by_its_reason(tmp_path: Path) -> None:
    records = [
        response(b"\x1f\x9d\x90 packed by compress", Content_Encoding="compress"),
        response(gzip.compress(BODY)[:10] + b"\xff" * 30, Content_Encoding="gzip"),
        response(b"%PDF-1.7 \x00", Content_Type="text/html"),
        response(BODY, kind="revisit"),
        response(BODY, url="dns:e.org"),
        response(BODY, url="http://e.org/r", kind="resource"),
        response(b"", kind="request"),
        b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://e.org/\r\nContent-Length: 0\r\n\r\n\r\n\r\n",
    ]
    pages, refused = found_in(stored_as(tmp_path / "a.warc", records, "plain"))
    reasons = ["bad_encoding", "bad_encoding", "not_html", "no_response", "bad_url", "no_response"]
    assert pages == ["http://e.org/r"] and [reject.reason for reject in refused] == reasons
    assert "compress" in refused[0].detail


def damaged(records: list[bytes], nth: int, form: str) -> tuple[bytes, range]:
    """An archive whose nth record is overwritten in its middle, and the bytes of that record."""
    parts = records if form == "plain" else list(map(gzip.compress, records))
    start = sum(map(len, parts[:nth]))
    part = parts[nth]
    parts[nth] = part[:60] + b"\x00" * 40 + part[100:]
    return b"".join(parts), range(start, start + len(part))


def test_a_damaged_member_costs_its_record_alone_and_its_place_is_told(tmp_path: Path) -> None:
    file = tmp_path / "a.warc.gz"
    body, place = damaged([town(n) for n in range(9)], 4, "members")
    file.write_bytes(body)
    pages, refused = found_in(str(file))
    assert pages == [f"http://e.org/{n}" for n in range(9) if n != 4]
    assert [type(reject) for reject in refused] == [warc.LostBytes]
    assert f"{file}: what stands in bytes {place.start:,} to {place.stop:,} is lost" in refused[0].detail


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"WARC/1.0", b"\x00\x00\x00\x00/1.0"),
        (b"Content-Length: ", b"Content-Length: 9"),
        (b"Content-Length: ", b"Content-Length: x"),
        (b" by the sea", b""),
    ],
)
@pytest.mark.parametrize("nth", [0, 4, 8])
def test_a_damaged_record_of_a_plain_file_costs_itself_alone(tmp_path: Path, old: bytes, new: bytes, nth: int) -> None:
    records = [town(n) for n in range(9)]
    records[nth] = records[nth].replace(old, new, 1)
    pages, refused = found_in(stored_as(tmp_path / "a.warc", records, "plain"))
    assert pages == [f"http://e.org/{n}" for n in range(9) if n != nth]
    assert any(isinstance(reject, warc.LostBytes) for reject in refused)


@pytest.mark.parametrize("form", ["plain", "members", "one member"])
@pytest.mark.parametrize("missing", [1, 12, 30])
def test_a_file_that_is_cut_off_lacks_its_end_alone(tmp_path: Path, form: str, missing: int) -> None:
    file = tmp_path / "a.warc.gz"
    stored_as(file, [town(n) for n in range(4)], form)
    file.write_bytes(file.read_bytes()[: -missing - 4 * (form == "plain")])
    pages, refused = found_in(str(file))
    assert pages[:2] == ["http://e.org/0", "http://e.org/1"] and len(pages) < 4
    assert [type(reject) for reject in refused] == [warc.LostBytes]


def test_padding_is_no_damage_and_foreign_bytes_are(tmp_path: Path) -> None:
    file = tmp_path / "a.warc.gz"
    members = [gzip.compress(town(n)) for n in range(2)]
    file.write_bytes(members[0] + bytes(512) + members[1] + bytes(512))
    assert found_in(str(file)) == (["http://e.org/0", "http://e.org/1"], [])
    file.write_bytes(b"HTTP/1.1 206\r\n" + members[0] + gzip.compress(b"a diary") + members[1] + b"tail")
    pages, refused = found_in(str(file))
    assert pages == ["http://e.org/0", "http://e.org/1"] and len(refused) == 3


async def test_saved_pages_are_seen_under_any_name_and_the_rest_is_counted(tmp_path: Path) -> None:
    names = [
        "a.HTM",
        "b.html",
        "c.php",
        "d.asp?id=3",
        "e",
        "example.com",
        "Node.js",
        "g.html.gz",
        "h.xhtml",
        "sub/i.Html",
    ]
    for nth, name in enumerate(names):
        body = f"<!doctype html>{html(f'Town{nth}', f' It was founded in {1700 + nth}.')}".encode()
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(gzip.compress(body) if name.endswith(".gz") else body)
    others = {
        "style.css": b"main { color: red }",
        "code.js": b"document.write('<html><p>')",
        "README.md": b"<h1 align=center>Town</h1>",
        "notes.txt": b"The notes of the council.",
        "map.png": b"\x89PNG\r\n\x1a\n",
        "false.html": b"%PDF-1.7\n\x00",
        "data.gz": gzip.compress(b"1,2,3"),
    }
    for name, body in others.items():
        (tmp_path / name).write_bytes(body)
    (tmp_path / "gone.html").symlink_to(tmp_path / "nowhere")
    stored_as(tmp_path / "z.warc.gz", [town(50)], "members")
    pages, refused = await read(str(tmp_path))
    assert sorted(page.title for page in pages) == sorted(["Town50", *(f"Town{nth}" for nth in range(len(names)))])
    assert sorted(refused) == ["not_html"] * len(others) + ["unreadable"]
    assert "http://localhost/d.asp%3Fid%3D3" in [page.url for page in pages]


@pytest.mark.parametrize(("codec", "head"), [("gb18030", "<meta charset=gbk>"), ("utf-16", ""), ("utf-8-sig", "")])
async def test_saved_pages_are_read_by_the_rules_for_charsets(tmp_path: Path, codec: str, head: str) -> None:
    text = "奥林水厂于一九〇〇年开放，由市议会建造，至今仍然是居民周末散步的好去处。"
    (tmp_path / "a.htm").write_bytes(f"<html>{head}<title>奥林</title><p>{text}</p>".encode(codec))
    pages, _ = await read(str(tmp_path))
    assert [page.title for page in pages] == ["奥林"] and text in pages[0].text


async def test_whoever_has_enough_pages_leaves_no_document_behind(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"{number:02}.html").write_text(f"<title>P{number}</title><main><p>{f'Page {number}. ' * 30}</p>")
    found = local_files.read_local_pages([str(tmp_path)], PageCriteria(), KeptTexts(1.0), lambda reject: None)
    assert (await anext(found)).title == "P0"
    await found.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}
