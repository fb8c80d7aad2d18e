"""Files of pages as an index reads them: plain or compressed, and any line of them again later."""

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import zstandard

from webdancer_cli.data.input_streams import HEAD_BYTES, Lines, as_utf8, opened
from webdancer_cli.errors import UsageError
from webdancer_cli.text import encoding

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
FRAME_BYTES = 1 << 17
"""Of text in a frame of the copy: to show a page, so much has to be decompressed."""


class PageSource(NamedTuple):
    """The lines of a file as UTF-8. ``copied``: their places are not the file's, so they are kept beside the index."""

    lines: Lines
    start: int
    copied: bool


@contextmanager
def open_source(path: str) -> Iterator[PageSource]:
    """Open a file of pages: as it is, in gzip or in zstd. Raises UsageError for one that cannot be read."""
    with opened(path) as stream:
        head = stream.read(HEAD_BYTES)
        stream.seek(0)
        codec, mark_bytes = encoding.byte_order_mark(head)
        if head.startswith((_GZIP, _ZSTD)) or codec not in ("", "utf-8"):
            try:
                yield PageSource(as_utf8(_decompressed(stream, head)), 0, copied=True)
            except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
                raise UsageError(f"{path}: {error}: the file is damaged, or not whole yet") from None
        else:
            stream.seek(mark_bytes)
            yield PageSource(stream, mark_bytes, copied=False)


def _decompressed(stream: IO[bytes], head: bytes) -> Lines:
    if head.startswith(_GZIP):
        return gzip.GzipFile(fileobj=stream)
    if head.startswith(_ZSTD):
        return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True))
    return stream


class CopiedLines:
    """The lines of compressed files, appended as zstd frames."""

    def __init__(self, path: Path, size: int):
        """Goes on behind the first ``size`` bytes; what a killed run left behind them is cut off."""
        self._file = open(path, "ab")  # noqa: SIM115
        self._file.truncate(size)
        self._start = size
        self._frame = bytearray()

    def add(self, line: bytes) -> tuple[int, int]:
        """Where the line will be found: the start of its frame, and its place within."""
        if len(self._frame) >= FRAME_BYTES:
            self._write_frame()
        place = self._start, len(self._frame)
        self._frame += line
        return place

    def flush(self) -> int:
        """Put all on the disk; how many bytes there are."""
        self._write_frame()
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._start

    def _write_frame(self) -> None:
        if self._frame:
            self._start += self._file.write(zstandard.compress(bytes(self._frame)))
            self._frame.clear()

    def close(self) -> None:
        self._file.close()


def copied_line(stream: IO[bytes], start: int, within: int, length: int) -> bytes:
    """A line of the frame that starts there. The stream is the caller's alone."""
    stream.seek(start)
    frame = zstandard.ZstdDecompressor().stream_reader(stream, closefd=False)
    return frame.read(within + length)[within:]
