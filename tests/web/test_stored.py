"""Pages out of WARC files and folders: what is a page there, and what is not."""

import io
from pathlib import Path

import pytest
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from webdancer_cli.errors import Reject, UsageError
from webdancer_cli.records import Page
from webdancer_cli.web import stored, warc
from webdancer_cli.web.gate import Terms


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
    pages = [page async for page in stored.pages(paths, Terms(min_chars=20), 0.9, refused.append)]
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
    assert pages[0].links[0].url == "http://e.org/x" and refused == ["soft_404", "duplicate"]


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
