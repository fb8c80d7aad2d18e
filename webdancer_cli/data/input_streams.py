"""What is read, as UTF-8: files and stdin, whatever they are written in, and compressed or not; a byte-order
mark is left out."""

import codecs
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from tempfile import TemporaryFile
from typing import IO, Protocol

from webdancer_cli.data.compression import DecompressedFile, is_compressed
from webdancer_cli.errors import UsageError
from webdancer_cli.text import encoding

STDIN = "-"


class Lines(Protocol):
    """What lines are read from."""

    def readline(self, limit: int = -1, /) -> bytes: ...


@contextmanager
def open_input(source: str) -> Iterator[tuple[str, Lines]]:
    """The name for messages and the bytes of a file or of stdin ("-"), as UTF-8 without a mark. Raises UsageError."""
    if source == STDIN:
        yield "stdin", as_utf8(_stdin())
        return
    with decompressed(source) as stream:
        yield source, as_utf8(stream)


def as_utf8(stream: Lines) -> Lines:
    """A stream as UTF-8 without a byte-order mark; one that is UTF-8 already is handed through. Offsets of a converted
    stream are its own, not the file's."""
    head = stream.readline(HEAD_BYTES)
    codec, mark_bytes = encoding.byte_order_mark(head)
    if codec in ("", "utf-8"):
        return Begun(head[mark_bytes:], stream, mark_bytes)
    return _Converted(head[mark_bytes:], stream, codec)


HEAD_BYTES = 8
"""Enough to tell the encoding by; a pipe whose first line is shorter is not waited for any longer."""
_BLOCK_BYTES = 65536


def open_utf8(path: str) -> IO[bytes]:
    """A file to be read at any place, as UTF-8: from behind its byte-order mark, or a converted copy of it that goes
    when it is closed. Raises UsageError."""
    if plain := open_plain(path):
        return plain[0]
    converted: IO[bytes] = TemporaryFile()  # noqa: SIM115
    with decompressed(path) as packed:
        lines = as_utf8(packed)
        while line := lines.readline(_BLOCK_BYTES):
            converted.write(line)
    converted.flush()
    converted.seek(0)
    return converted


def open_plain(path: str) -> tuple[IO[bytes], int] | None:
    """A file that is UTF-8 as it lies, behind its byte-order mark, and the length of that; None for one that is
    compressed or written otherwise. Raises UsageError."""
    stream = opened(path)
    head = stream.read(HEAD_BYTES)
    codec, mark_bytes = encoding.byte_order_mark(head)
    if is_compressed(head) or codec not in ("", "utf-8"):
        stream.close()
        return None
    stream.seek(mark_bytes)
    return stream, mark_bytes


class Begun:
    """A stream whose first bytes were read already."""

    def __init__(self, head: bytes, stream: Lines, skipped_bytes: int):
        self.skipped_bytes = skipped_bytes
        self._head = head
        self._stream = stream

    def readline(self, limit: int = -1, /) -> bytes:
        if not self._head:
            return self._stream.readline(limit)
        head, self._head = self._head, b""
        if 0 <= limit < len(head):
            head, self._head = head[:limit], head[limit:]
        if head.endswith(b"\n") or self._head:
            return head
        return head + self._stream.readline(limit - len(head) if limit >= 0 else limit)


class _Converted:
    """A stream of UTF-16 or UTF-32 as UTF-8; what cannot be read becomes U+FFFD."""

    def __init__(self, head: bytes, stream: Lines, codec: str):
        self._decoder = codecs.getincrementaldecoder(codec)("replace")
        self._stream = stream
        self._ahead = self._decoder.decode(head).encode("utf-8", "replace")
        self._ended = False

    def readline(self, limit: int = -1, /) -> bytes:
        while not self._ended and b"\n" not in self._ahead and (limit < 0 or len(self._ahead) < limit):
            block = self._stream.readline(_BLOCK_BYTES)
            self._ended = not block
            self._ahead += self._decoder.decode(block, final=self._ended).encode("utf-8", "replace")
        end = self._ahead.find(b"\n") + 1 or len(self._ahead)
        end = min(end, limit) if limit >= 0 else end
        line, self._ahead = self._ahead[:end], self._ahead[end:]
        return line


def opened(source: str) -> IO[bytes]:
    """The bytes of a file, as they lie. Raises UsageError."""
    try:
        return open(source, "rb")
    except OSError as error:
        raise UsageError(f"{source}: {error.strerror}: name a readable JSON lines file") from None


@contextmanager
def decompressed(source: str) -> Iterator[Lines]:
    """The bytes of a file, or of what is compressed in it. Raises UsageError."""
    stream = opened(source)
    lines: IO[bytes] | DecompressedFile = stream
    if stream.seekable():
        head = stream.read(HEAD_BYTES)
        stream.seek(0)
        if is_compressed(head):
            lines = DecompressedFile(source, stream, head)
    with closing(lines):
        yield lines


def _stdin() -> IO[bytes]:
    """Standard input, through a buffer of our own.

    A thread may still be waiting in a read when the interpreter shuts down; if that read held the lock of Python's own
    stdin buffer, the shutdown would end in a fatal error.
    """
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("nothing on stdin: pipe JSON lines in, or name a file")
    try:
        descriptor = sys.stdin.fileno()
    except (OSError, ValueError):
        return sys.stdin.buffer
    return open(descriptor, "rb", closefd=False)
