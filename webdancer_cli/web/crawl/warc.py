"""Documents out of WARC files (ISO 28500), plain or compressed: what an earlier crawl, or Common Crawl, has fetched.

Records are parsed by warcio; the file is read here, so that where it is damaged or cut off, only what stands there is
lost, is told with its place, and reading goes on at the next record.
"""

import io
import mmap
import re
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from warcio.bufferedreaders import ChunkedDataReader
from warcio.exceptions import ArchiveLoadFailed
from warcio.recordloader import ArcWarcRecordLoader
from warcio.statusandheaders import StatusAndHeadersParserException

from webdancer_cli.errors import Reject, UsageError
from webdancer_cli.web import urls
from webdancer_cli.web.fetch import media_types
from webdancer_cli.web.fetch.decompression import decompress
from webdancer_cli.web.fetch.fetcher import MAX_BYTES, FetchedDocument

SUFFIXES = (".warc", ".warc.gz")
BLOCK_BYTES = 65536
GZIP = b"\x1f\x8b\x08"
_FIRST_LINE = rb"WARC/\d\.\d\r?\n"
_BEGINS = re.compile(rb"\s*" + _FIRST_LINE)
_RECORD = re.compile(rb"(?:^|(?<=\n))" + _FIRST_LINE)
_NO_DOCUMENT = frozenset(["warcinfo", "request", "metadata"])
"""Records about documents."""


class LostBytes(Reject):
    """Bytes of a file that cannot be read, and so whatever stood there."""

    def __init__(self, path: str, start: int, end: int, why: str):
        super().__init__("damaged_archive", f"{path}: what stands in bytes {start:,} to {end:,} is lost: {why}")
        self.path = path


def is_warc(path: str) -> bool:
    return Path(path).is_file() and path.lower().endswith(SUFFIXES)


def read_warc(path: str) -> Iterator[FetchedDocument | Reject]:
    """The HTML documents of a file, in its order, as if they had just been fetched, and why the others are none.

    What cannot be read is ``LostBytes``. Raises UsageError for a file without any record. Of records about documents,
    such as requests, nothing is said.
    """
    with open(path, "rb") as file:
        if file.read(1):
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
                yield from _Archive(path, file, whole).documents()


class _Damaged(Exception):
    """The bytes at hand are no record, or not all of one."""


class _Archive:
    """A file that is read from record to record. ``whole`` is all of it, to look for the next one after damage."""

    def __init__(self, path: str, file: BinaryIO, whole: mmap.mmap):
        self._path = path
        self._file = file
        self._whole = whole
        self._loader = ArcWarcRecordLoader(verify_http=False, arc2warc=False)
        self._at = 0
        """Where the record at hand, or the member that holds it, begins."""
        self._compressed = whole[: len(GZIP)] == GZIP
        if not self._compressed and not _BEGINS.match(whole[:64]):
            plain, member = self._next_plain(0), self._next_member(0)
            self._compressed = member is not None and (plain is None or member < plain)

    def documents(self) -> Iterator[FetchedDocument | Reject]:
        at, size = 0, len(self._whole)
        if self._next(0) == size:
            raise UsageError(f"{self._path}: not a WARC file: there is no record in it")
        while at < size:
            self._at = self._next(at)
            if self._whole[at : min(self._at, at + BLOCK_BYTES)].strip(b"\0\r\n"):
                yield self._lost(at, self._at, "no record begins there")
            if self._at == size:
                return
            try:
                at = yield from self._member() if self._compressed else self._rest()
            except _Damaged as damage:
                at = self._next(self._at + 1)
                yield self._lost(self._at, at, str(damage))

    def _member(self) -> Generator[FetchedDocument | Reject, None, int]:
        """The records of one gzip member, of which there is one each as a rule. Returns where the member ends."""
        member = _Member(self._file, self._at)
        with io.BufferedReader(member, BLOCK_BYTES) as stream:
            yield from self._records(stream)
        return member.end

    def _rest(self) -> Generator[FetchedDocument | Reject, None, int]:
        """The records of a plain file. Returns where they end."""
        self._file.seek(self._at)
        yield from self._records(self._file)
        return self._file.tell()

    def _records(self, stream: Any) -> Iterator[FetchedDocument | Reject]:
        """A document is given when its record has turned out whole: the checksum of a member comes last."""
        line = _next_line(stream)
        while line:
            self._note(stream, line)
            document = self._document(stream, line)
            line = _next_line(stream)
            foreign = bool(line) and not _BEGINS.match(line)
            if foreign and not self._compressed and self._next(self._at + 1) < stream.tell() - len(line):
                raise _Damaged("the record's length is wrong")
            if document:
                yield document
            if foreign:
                self._note(stream, line)
                raise _Damaged("no record begins there")

    def _note(self, stream: Any, line: bytes) -> None:
        if not self._compressed:
            self._at = stream.tell() - len(line)

    def _document(self, stream: Any, line: bytes) -> FetchedDocument | Reject | None:
        """The document of the record that begins with a line. Raises _Damaged."""
        try:
            record = self._loader.parse_record_stream(stream, line, "warc")
        except (ArchiveLoadFailed, StatusAndHeadersParserException, EOFError) as error:
            raise _Damaged(f"no whole record: {type(error).__name__}") from None
        document: FetchedDocument | Reject | None
        try:
            document = _document(record)
        except Reject as reject:
            document = reject
        while record.raw_stream.read(BLOCK_BYTES):
            pass
        if getattr(record.raw_stream, "limit", 0) > 0:
            raise _Damaged("the record is cut off")
        return document

    def _next(self, at: int) -> int:
        """Where the next record, or the member that holds it, begins; the end of the file if there is none."""
        found = self._next_member(at) if self._compressed else self._next_plain(at)
        return len(self._whole) if found is None else found

    def _lost(self, start: int, end: int, why: str) -> LostBytes:
        return LostBytes(self._path, start, end, why)

    def _next_plain(self, at: int) -> int | None:
        found = _RECORD.search(self._whole, at)
        return found.start() if found else None

    def _next_member(self, at: int) -> int | None:
        """Where the next gzip member begins that holds a record."""
        while (at := self._whole.find(GZIP, at)) >= 0:
            try:
                if _BEGINS.match(zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(self._whole[at : at + 1024], 64)):
                    return at
            except zlib.error:
                pass
            at += 1
        return None


class _Member(io.RawIOBase):
    """What one gzip member holds. Reading raises _Damaged where that cannot be had."""

    def __init__(self, file: BinaryIO, start: int):
        self._file = file
        self._engine = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self.end = start
        """Where the member ends, when all of it has been read."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = b""
        while not data and not self._engine.eof:
            data = self._inflate(self._engine.unconsumed_tail or self._more(), len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _more(self) -> bytes:
        self._file.seek(self.end)
        more = self._file.read(BLOCK_BYTES)
        if not more:
            raise _Damaged("the file is cut off")
        self.end += len(more)
        return more

    def _inflate(self, chunk: bytes, room: int) -> bytes:
        try:
            data = self._engine.decompress(chunk, room)
        except zlib.error as error:
            raise _Damaged(str(error)) from None
        if self._engine.eof:
            self.end -= len(self._engine.unused_data)
        return data


def _next_line(stream: Any) -> bytes:
    """The next line that is not empty; b"" at the end."""
    line = b"\n"
    while line and not line.strip():
        line = stream.readline(BLOCK_BYTES)
    return line


def _document(record: Any) -> FetchedDocument | None:
    """What a record holds; None if it is only about a document. Raises Reject."""
    kind = record.rec_type or ""
    if kind in _NO_DOCUMENT:
        return None
    named = record.rec_headers.get_header("WARC-Target-URI") or ""
    url = urls.canonical_url(named)
    if url is None:
        raise Reject("bad_url", f"{named or 'a record without an address'}: not an http or https URL")
    if kind not in ("response", "resource"):
        raise Reject("no_response", f"{url}: a record of the kind {kind!r}, not an answer with its text")
    headers = _headers(record, kind, url)
    body = _body(record, headers, url)
    said = headers.get("content-type", "")
    if (content_type := media_types.detect_media_type(said, body)) not in media_types.HTML_TYPES:
        raise Reject("not_html", f"{url}: is {content_type}")
    fetched_at = record.rec_headers.get_header("WARC-Date") or ""
    return FetchedDocument(
        url=url, requested_url=url, content_type=content_type, body=body, fetched_at=fetched_at, headers=headers
    )


def _headers(record: Any, kind: str, url: str) -> dict[str, str]:
    """The headers of the answer, their names in lower case; a resource has its type alone."""
    answer = record.http_headers
    if answer is None:
        if kind == "response":
            raise Reject("no_response", f"{url}: an answer without its headers")
        return {"content-type": record.rec_headers.get_header("Content-Type") or ""}
    if (status := answer.get_statuscode()) != "200":
        raise Reject(f"http_{status}", f"{url}: the server answered {status}")
    return {name.lower(): value for name, value in answer.headers}


def _body(record: Any, headers: dict[str, str], url: str) -> bytes:
    """The body as it was meant, whether or not the archive has undone its encodings already."""
    chunked = "chunked" in headers.get("transfer-encoding", "").lower()
    stream = ChunkedDataReader(record.raw_stream) if chunked else record.raw_stream
    if chunked:
        stream.set_decomp(None)
    packed = stream.read(MAX_BYTES + 1)
    try:
        body = decompress(packed, headers.get("content-encoding", ""), MAX_BYTES + 1, url)
    except Reject:
        if media_types.detect_media_type("", packed) not in media_types.HTML_TYPES:
            raise
        body = packed
    if max(len(packed), len(body)) > MAX_BYTES:
        raise Reject("too_large", f"{url}: more than {MAX_BYTES:,} bytes")
    return body
