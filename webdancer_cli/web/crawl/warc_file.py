"""Keeps what a crawl fetched as WARC files (ISO 28500): a gzip member per record, a new file when one is full.

The records are warcio's: per file a ``warcinfo``, per exchange a ``request`` and a ``response`` with its digests.
Bodies stand as they were sent, compressed as the headers say; chunks are joined, which ``X-Crawler-Transfer-Encoding``
tells.
"""

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from webdancer_cli import __version__
from webdancer_cli.errors import UsageError, WebdancerError
from webdancer_cli.web.crawl.crawl_database import CrawlDatabase
from webdancer_cli.web.fetch.exchanges import HttpExchange

FULL_BYTES = 1_000_000_000
VERSION = "WARC/1.1"
_ENDING = ".warc.gz"
_HTTP = "HTTP/1.1"
"""What status lines say: a block is text of HTTP/1.1 whatever the wire had, which ``WARC-Protocol`` tells."""
_PROTOCOLS = {"HTTP/2": "h2", "HTTP/1.0": "http/1.0"}


def warc_files(path: str) -> list[Path]:
    """The files of an archive that are there, in order: ``name.warc.gz``, ``name-00001.warc.gz``, …"""
    first = Path(path)
    later = sorted(first.parent.glob(f"{_stem(first)}-[0-9][0-9][0-9][0-9][0-9]{_ENDING}"))
    return [*([first] if first.is_file() else []), *later]


def _stem(path: Path) -> str:
    return path.name.removesuffix(_ENDING)


class WarcFile:
    """Appends records. ``database`` knows how far the files went at its last commit: what a killed run left behind that
    is cut off. Without that, or where a file does not go so far, a run that goes on begins a new file; another one
    writes over what is there.

    Nothing changes before there is something to write. Raises UsageError if that is not possible, and WebdancerError
    when the disk is full.
    """

    def __init__(self, path: str, database: CrawlDatabase, *, resume: bool):
        self._first = Path(path)
        self._database = database
        self._file: BinaryIO | None = None
        self._number = self._bytes = 0
        self._stale: list[Path] = []
        there = warc_files(path)
        number, size = database.noted("warc_number", 0), database.noted("warc_bytes", 0)
        if database.is_resumed and database.noted("warc", "") == path and _goes_to(self._path(number), size):
            self._number, self._bytes = number, size
            kept = {self._path(number) for number in range(self._number + 1)}
            self._stale = [file for file in there if file not in kept]
        elif resume and any(file.stat().st_size for file in there):
            self._number = max(_number_of(file, self._first) for file in there) + 1
        else:
            self._stale = [file for file in there if file != self._first]

    def _path(self, number: int) -> Path:
        return self._first.with_name(f"{_stem(self._first)}-{number:05}{_ENDING}") if number else self._first

    def _open(self, size: int) -> BinaryIO:
        """The file at hand, behind its first bytes; a new one with its first record."""
        path = self._path(self._number)
        try:
            for file in self._stale:
                file.unlink()
            file_size = path.stat().st_size if path.exists() else 0
            stream = open(path, "ab")  # noqa: SIM115
            stream.truncate(size if size <= file_size else 0)
        except OSError as error:
            raise UsageError(f"--warc {path}: {error.strerror}: name a file that can be written") from None
        self._stale = []
        if not stream.tell():
            stream.write(_information(path.name))
        return stream

    def append(self, records: bytes) -> None:
        """Add records as ``packed`` gives them; a new file is begun when this one is full."""
        if not records:
            return
        if self._file is None:
            self._file = self._open(self._bytes)
        if self._file.tell() >= FULL_BYTES:
            self._file.close()
            self._number += 1
            self._file = self._open(0)
        try:
            self._file.write(records)
            self._file.flush()
        except OSError as error:
            raise WebdancerError(f"{self._path(self._number)}: {error.strerror}: no more could be written") from None
        self._bytes = self._file.tell()

    def note(self) -> None:
        """Tell the database how far the files go; to be called before each commit."""
        place = {"warc": str(self._first), "warc_number": self._number, "warc_bytes": self._bytes}
        for name, value in place.items():
            self._database.note(name, value)

    def close(self) -> None:
        if self._file:
            self._file.close()


def _goes_to(file: Path, size: int) -> bool:
    """Whether a file has so many bytes; one that was taken away is begun anew."""
    return not file.exists() or file.stat().st_size >= size


def _number_of(file: Path, first: Path) -> int:
    return 0 if file == first else int(file.name.removesuffix(_ENDING)[-5:])


def _information(name: str) -> bytes:
    """What stands at the head of a file."""
    stream = io.BytesIO()
    writer = WARCWriter(stream, gzip=True, warc_version=VERSION)
    software = {"software": f"webdancer/{__version__}", "format": "WARC File Format 1.1", "robots": "obey"}
    writer.write_record(writer.create_warcinfo_record(name, software))
    return stream.getvalue()


def packed(exchanges: Iterable[HttpExchange]) -> bytes:
    """The records of exchanges, each a gzip member."""
    stream = io.BytesIO()
    writer = WARCWriter(stream, gzip=True, warc_version=VERSION)
    for exchange in exchanges:
        request = StatusAndHeaders(
            f"GET {exchange.target} {_HTTP}", exchange.request_headers, protocol="", is_http_request=True
        )
        answer = StatusAndHeaders(exchange.status, _as_stored(exchange.headers), protocol=_HTTP)
        about = {"WARC-Date": exchange.at}
        asked = writer.create_warc_record(exchange.url, "request", http_headers=request, warc_headers_dict=about)
        said = writer.create_warc_record(
            exchange.url,
            "response",
            payload=io.BytesIO(exchange.body),
            http_headers=answer,
            warc_headers_dict=_about(exchange),
        )
        writer.write_request_response_pair(asked, said)
    return stream.getvalue()


def _about(exchange: HttpExchange) -> dict[str, Any]:
    about = {"WARC-Date": exchange.at}
    if exchange.address:
        about["WARC-IP-Address"] = exchange.address
    if protocol := _PROTOCOLS.get(exchange.protocol):
        about["WARC-Protocol"] = protocol
    if not exchange.is_whole:
        about["WARC-Truncated"] = "unspecified"
    return about


def _as_stored(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Headers that fit the body as it stands there: chunks have been joined."""
    return [
        ("X-Crawler-Transfer-Encoding" if name.lower() == "transfer-encoding" else name, value)
        for name, value in headers
    ]
