"""Files of pages as an index reads them: plain or compressed, and any line of them again later."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import zstandard

from webdancer_cli.data.input_streams import Lines, as_utf8, decompressed, open_plain

FRAME_BYTES = 1 << 17
"""Of text in a frame of the copy: to show a page, so much has to be decompressed."""


class PageSource(NamedTuple):
    """The lines of a file as UTF-8. ``copied``: their places are not the file's, so they are kept beside the index."""

    lines: Lines
    start: int
    copied: bool


@contextmanager
def open_source(path: str) -> Iterator[PageSource]:
    """Open a file of pages: as it is, or compressed. Raises UsageError for one that cannot be read."""
    if plain := open_plain(path):
        stream, start = plain
        with stream:
            yield PageSource(stream, start, copied=False)
    else:
        with decompressed(path) as lines:
            yield PageSource(as_utf8(lines), 0, copied=True)


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
