"""Files compressed in gzip or zstd, told by their first bytes: of one member or frame, or of many."""

import gzip
import io
import zlib
from typing import IO

import zstandard

from webdancer_cli.errors import UsageError

_GZIP, _ZSTD, _SKIPPED_ZSTD = b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\x2a\x4d\x18"
_FED_BYTES = 4096
"""What zstd is given at once: its library gives all that the bytes hold, and a block of four bytes may hold 128 KB."""


def is_compressed(head: bytes) -> bool:
    """Whether a file that begins so is compressed: RFC 1952 (deflate is the one method of gzip), RFC 8878."""
    return head.startswith((_GZIP, _ZSTD)) or _is_skipped_frame(head)


def _is_skipped_frame(head: bytes) -> bool:
    """RFC 8878, 3.1.2: 0x184D2A50 to 0x184D2A5F, the lowest byte first."""
    return len(head) >= 4 and head[0] & 0xF0 == 0x50 and head[1:4] == _SKIPPED_ZSTD


class DecompressedFile:
    """The bytes in a compressed file, from its beginning on. Raises UsageError where it is damaged or cut off."""

    def __init__(self, source: str, stream: IO[bytes], head: bytes):
        """``stream`` stands at its beginning, which is ``head``, and is closed with this."""
        self._source = source
        self._stream = stream
        self._bytes: io.BufferedIOBase
        self._bytes = gzip.GzipFile(fileobj=stream) if head.startswith(_GZIP) else io.BufferedReader(_Zstd(stream))

    def readline(self, limit: int = -1, /) -> bytes:
        try:
            return self._bytes.readline(limit)
        except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
            raise UsageError(f"{self._source}: {error}: the file is damaged, or not whole yet") from None

    def close(self) -> None:
        self._bytes.close()
        self._stream.close()


class _Zstd(io.RawIOBase):
    """The library's own reader takes a file that is cut off for one that has ended."""

    def __init__(self, stream: IO[bytes]):
        self._stream = stream
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._ahead = b""
        """Read already, of the next frame."""
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        while not self._ready:
            fed = self._ahead or self._stream.read(_FED_BYTES)
            if not fed:
                if self._frame:
                    raise EOFError("zstd data ended within a frame")
                return 0
            self._frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
            self._ready, self._ahead = self._frame.decompress(fed), b""
            if self._frame.eof:
                self._ahead, self._frame = self._frame.unused_data, None
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size
