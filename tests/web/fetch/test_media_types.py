"""What a document is: by its media type, and by its first bytes where that says nothing or plainly something wrong."""

import gzip
import io
import zipfile

import pytest
from processor_time import processor_seconds

from webdancer_cli.web.fetch.media_types import detect_media_type, media_type_of_header

PAGE = b"<!doctype html><html><head><title>Town</title></head><body><p>A town.</body></html>"
XHTML = (
    b'<?xml version="1.0"?>\n<!-- a page -->\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "x">' + PAGE[15:]
)
PART = b"<div class=story><p>A town.</p></div>"
TEXT = "The notes of the council, in 1 < 2 lines – “quoted”.\n".encode() * 3
JSON = b'{"town": ["Orrin", 1900]}'
FEED = b'<?xml version="1.0"?><rss version="2.0"><channel><title>News</title></channel></rss>'
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj"
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
GIF = b"GIF89a\x10\x00\x10\x00\x80"
GZIP = gzip.compress(PAGE, mtime=0)
DATA = bytes(range(256)) * 4


def zipped() -> bytes:
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("mimetype", "application/epub+zip")
        return file.getvalue()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("text/html", "text/html"),
        ("Text/HTML; Charset=UTF-8", "text/html"),
        ("text/html charset=utf-8", "text/html"),
        ("text/html,text/html; charset=utf-8", "text/html"),
        ('"text/html"', "text/html"),
        ("text/html;", "text/html"),
        ("  application/ld+json;x", "application/ld+json"),
        ("html", ""),
        ("charset=utf-8", ""),
        ("", ""),
        (";", ""),
    ],
)
def test_a_media_type_is_what_stands_before_its_parameters(header: str, expected: str) -> None:
    assert media_type_of_header(header) == expected


GENERIC = [
    "",
    "application/octet-stream",
    "binary/octet-stream",
    "application/x-download",
    "unknown/unknown",
    "*/*",
    "html",
]


@pytest.mark.parametrize("header", GENERIC)
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (PAGE, "text/html"),
        (b"\xef\xbb\xbf\r\n" + PAGE, "text/html"),
        ("\ufeff".encode("utf-16-le") + PAGE.decode().encode("utf-16-le"), "text/html"),
        (XHTML, "text/html"),
        (PART, "text/html"),
        (PDF, "application/pdf"),
        (b"\n junk \n" + PDF, "application/pdf"),
        (TEXT, "text/plain"),
        ("Plain, but wide.".encode("utf-16"), "text/plain"),
        (JSON, "application/json"),
        (FEED, "application/xml"),
        (PNG, "image/png"),
        (zipped(), "application/zip"),
        (GZIP, "application/gzip"),
        (DATA, "application/octet-stream"),
    ],
)
def test_the_first_bytes_decide_where_the_type_says_nothing(header: str, body: bytes, expected: str) -> None:
    assert detect_media_type(header, body) == expected


@pytest.mark.parametrize(
    ("header", "body", "expected"),
    [
        ("text/html; charset=utf-8", PDF, "application/pdf"),
        ("text/plain", PDF, "application/pdf"),
        ("text/html", PNG, "image/png"),
        ("text/plain", zipped(), "application/zip"),
        ("application/json", GZIP, "application/gzip"),
        ("text/markdown", DATA, "application/octet-stream"),
        ("text/plain", PAGE, "text/html"),
        ("application/pdf", PAGE, "text/html"),
        ("image/jpeg", XHTML, "text/html"),
        ("text/xml", XHTML, "text/html"),
        ("text/html", JSON, "application/json"),
    ],
)
def test_the_first_bytes_decide_where_the_type_is_plainly_wrong(header: str, body: bytes, expected: str) -> None:
    assert detect_media_type(header, body) == expected


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ("text/html", PAGE),
        ("text/html", PART),
        ("text/html", TEXT),
        ("text/html", b"[1] A note, and no JSON."),
        ("text/html", b"<table>\x00<tr><td>a byte too many"),
        ("text/html", b""),
        ("text/html", FEED),
        ("application/xhtml+xml", XHTML),
        ("text/plain", PART),
        ("text/plain", TEXT),
        ("text/plain", JSON),
        ("text/plain", b"Some lines of code with \x1b[1mbold\x1b[0m letters\x08." * 9),
        ("text/markdown", b"<h1 align=center>Orrin</h1>\n\nA town."),
        ("application/json", b"{broken"),
        ("application/pdf", b"not at all"),
        ("image/png", PNG),
        ("application/zip", DATA),
        ("application/rss+xml", FEED),
        ("application/epub+zip", zipped()),
        ("text/css", b"p { color: red }"),
    ],
)
def test_a_type_that_the_first_bytes_do_not_gainsay_is_believed(header: str, body: bytes) -> None:
    assert detect_media_type(header, body) == media_type_of_header(header)


def test_a_hundred_comments_before_nothing_cost_nothing() -> None:
    body = b"<!-- a -->\n" * 300 + b"text"
    assert detect_media_type("", body) == "text/plain"
    assert processor_seconds(lambda: detect_media_type("", body)) < 0.1
