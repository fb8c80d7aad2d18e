"""Documents out of WARC files (ISO 28500), plain or compressed: what an earlier crawl, or Common Crawl, has fetched.

Records are parsed by warcio; the bytes are read here, forwards, so that a file may come from anywhere and be of any
size. Where it is damaged or cut off, only what stands there is lost, is told with its place, and reading goes on at the
next record. WET files have texts instead of documents.
"""

import io
import re
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from warcio.bufferedreaders import ChunkedDataReader
from warcio.exceptions import ArchiveLoadFailed
from warcio.recordloader import ArcWarcRecordLoader
from warcio.statusandheaders import StatusAndHeadersParserException

from webdancer_cli.errors import Reject, UsageError
from webdancer_cli.web import urls
from webdancer_cli.web.crawl.byte_source import BLOCK_BYTES, ByteSource, open_file
from webdancer_cli.web.extract.page_filter import ConvertedText
from webdancer_cli.web.fetch import media_types
from webdancer_cli.web.fetch.decompression import decompress
from webdancer_cli.web.fetch.fetcher import MAX_BYTES, FetchedDocument

SUFFIXES = (".warc", ".warc.gz", ".wet", ".wet.gz")
GZIP = b"\x1f\x8b\x08"
_FIRST_LINE = rb"WARC/\d\.\d\r?\n"
_LINE_BYTES = 16
_BEGINS = re.compile(rb"\s*" + _FIRST_LINE)
_RECORD = re.compile(rb"(?<=\n)" + _FIRST_LINE)
_NO_DOCUMENT = frozenset(["warcinfo", "request", "metadata"])
"""Records about documents."""


class LostBytes(Reject):
    """Bytes of a file that cannot be read, and so whatever stood there."""

    def __init__(self, path: str, start: int, end: int, why: str):
        super().__init__("damaged_archive", f"{path}: what stands in bytes {start:,} to {end:,} is lost: {why}")
        self.path = path


class LostFile(Reject):
    """A file that cannot be had, or not to its end; another time it may be."""

    def __init__(self, path: str, reject: Reject):
        super().__init__(reject.reason, f"{reject.detail}; the rest of the file was not read")
        self.path = path


Found = FetchedDocument | ConvertedText | Reject
"""What a record holds, or why that is nothing to read."""


def is_warc(path: str) -> bool:
    """Whether a path is a file of records, by its name; or a URL, which then is one."""
    return path.lower().endswith(SUFFIXES) and Path(path).is_file()


def is_warc_url(root: str) -> bool:
    parts = urlsplit(root)
    return parts.scheme in ("http", "https") and parts.path.lower().endswith(SUFFIXES)


def read_warc(path: str) -> Iterator[Found]:
    """The HTML documents of a file, in its order, as if they had just been fetched, and why the others are none.

    What cannot be read is ``LostBytes``. Raises UsageError for a file without any record. Of records about documents,
    such as requests, nothing is said.
    """
    return read_source(open_file(path))


def read_source(source: ByteSource) -> Iterator[Found]:
    """The same of any source. One that ends too early is ``LostFile``."""
    if source.at(0, 1):
        for found in _Archive(source).documents():
            if not (source.failure and isinstance(found, LostBytes)):  # what is torn there is not the file's fault
                yield found
    if source.failure:
        yield LostFile(source.name, source.failure)


class _Damaged(Exception):
    """The bytes at hand are no record, or not all of one."""


class _Archive:
    """A file that is read from record to record."""

    def __init__(self, source: ByteSource):
        self._source = source
        self._loader = ArcWarcRecordLoader(verify_http=False, arc2warc=False)
        self._at = 0
        """Where the record at hand, or the member that holds it, begins."""
        self._compressed = source.at(0, len(GZIP)) == GZIP
        if not self._compressed and not _BEGINS.match(source.at(0, 64)):
            plain, member = self._next_plain(0), self._next_member(0)
            self._compressed = member is not None and (plain is None or member < plain)

    def documents(self) -> Iterator[Found]:
        if self._next(0) is None:
            raise UsageError(f"{self._source.name}: not a WARC file: there is no record in it")
        at = 0
        while True:
            found = self._next(at)
            end = self._source.size or at if found is None else found
            if self._source.at(at, min(end - at, BLOCK_BYTES)).strip(b"\0\r\n"):
                yield self._lost(at, end, "no record begins there")
            if found is None:
                return
            self._at = found
            try:
                at = yield from self._member() if self._compressed else self._rest()
            except _Damaged as damage:
                start = self._at
                after = self._next(start + 1)
                at = self._source.size or start if after is None else after
                yield self._lost(start, at, str(damage))

    def _member(self) -> Generator[Found, None, int]:
        """The records of one gzip member, of which there is one each as a rule. Returns where the member ends."""
        member = _Member(self._source, self._at)
        with io.BufferedReader(member, BLOCK_BYTES) as stream:
            yield from self._records(stream)
        return member.end

    def _rest(self) -> Generator[Found, None, int]:
        """The records of a plain file. Returns where they end."""
        with io.BufferedReader(_Plain(self._source, self._at), BLOCK_BYTES) as stream:
            yield from self._records(stream)
            return stream.tell()

    def _records(self, stream: Any) -> Iterator[Found]:
        """A document is given when its record has turned out whole: the checksum of a member comes last."""
        line = _next_line(stream)
        while line:
            self._note(stream, line)
            document = self._document(stream, line)
            line = _next_line(stream)
            foreign = bool(line) and not _BEGINS.match(line)
            if foreign and not self._compressed and self._has_record_before(stream.tell() - len(line)):
                raise _Damaged("the record's length is wrong")
            if document:
                yield document
            if foreign:
                self._note(stream, line)
                raise _Damaged("no record begins there")

    def _has_record_before(self, end: int) -> bool:
        """Whether another record begins within the one at hand."""
        found = self._next_plain(self._at + 1)
        return found is not None and found < end

    def _note(self, stream: Any, line: bytes) -> None:
        if not self._compressed:
            self._at = stream.tell() - len(line)

    def _document(self, stream: Any, line: bytes) -> Found | None:
        """The document of the record that begins with a line. Raises _Damaged."""
        try:
            record = self._loader.parse_record_stream(stream, line, "warc")
        except (ArchiveLoadFailed, StatusAndHeadersParserException, EOFError) as error:
            raise _Damaged(f"no whole record: {type(error).__name__}") from None
        document: Found | None
        try:
            document = _document(record)
        except Reject as reject:
            document = reject
        while record.raw_stream.read(BLOCK_BYTES):
            pass
        if getattr(record.raw_stream, "limit", 0) > 0:
            raise _Damaged("the record is cut off")
        return document

    def _next(self, at: int) -> int | None:
        """Where the next record, or the member that holds it, begins."""
        return self._next_member(at) if self._compressed else self._next_plain(at)

    def _lost(self, start: int, end: int, why: str) -> LostBytes:
        return LostBytes(self._source.name, start, end, why)

    def _next_plain(self, at: int) -> int | None:
        if at == 0 and re.match(_FIRST_LINE, self._source.at(0, _LINE_BYTES)):
            return 0
        start = max(0, at - 1)
        while block := self._source.at(start, BLOCK_BYTES):
            if found := _RECORD.search(block):
                return start + found.start()
            if len(block) < BLOCK_BYTES:
                return None
            start += len(block) - _LINE_BYTES
        return None

    def _next_member(self, at: int) -> int | None:
        """Where the next gzip member begins that holds a record."""
        found = self._source.find(GZIP, at)
        while found is not None:
            try:
                head = self._source.at(found, 1024)
                if _BEGINS.match(zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, 64)):
                    return found
            except zlib.error:
                pass
            found = self._source.find(GZIP, found + 1)
        return None


class _Plain(io.RawIOBase):
    """The bytes of a source from a place on; it tells places of the source."""

    def __init__(self, source: ByteSource, start: int):
        self._source = source
        self._at = start

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self._source.at(self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class _Member(io.RawIOBase):
    """What one gzip member holds. Reading raises _Damaged where that cannot be had."""

    def __init__(self, source: ByteSource, start: int):
        self._source = source
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
        more = self._source.at(self.end, BLOCK_BYTES)
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


def _document(record: Any) -> FetchedDocument | ConvertedText | None:
    """What a record holds; None if it is only about a document. Raises Reject."""
    kind = record.rec_type or ""
    if kind in _NO_DOCUMENT:
        return None
    named = record.rec_headers.get_header("WARC-Target-URI") or ""
    url = urls.canonical_url(named)
    if url is None:
        raise Reject("bad_url", f"{named or 'a record without an address'}: not an http or https URL")
    fetched_at = record.rec_headers.get_header("WARC-Date") or ""
    if kind == "conversion":
        return _converted(record, url, fetched_at)
    if kind not in ("response", "resource"):
        raise Reject("no_response", f"{url}: a record of the kind {kind!r}, not an answer with its text")
    headers = _headers(record, kind, url)
    body = _body(record, headers, url)
    said = headers.get("content-type", "")
    if (content_type := media_types.detect_media_type(said, body)) not in media_types.HTML_TYPES:
        raise Reject("not_html", f"{url}: is {content_type}")
    return FetchedDocument(
        url=url, requested_url=url, content_type=content_type, body=body, fetched_at=fetched_at, headers=headers
    )


def _converted(record: Any, url: str, fetched_at: str) -> ConvertedText:
    """The text that somebody made of a document, as in WET files. Raises Reject."""
    said = (record.rec_headers.get_header("Content-Type") or "").partition(";")[0].strip().lower()
    if said != "text/plain":
        raise Reject("no_response", f"{url}: a conversion to {said or 'something without a name'}, not to text")
    body = record.raw_stream.read(MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        raise Reject("too_large", f"{url}: more than {MAX_BYTES:,} bytes")
    return ConvertedText(url, body.decode("utf-8", "replace"), fetched_at)


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
