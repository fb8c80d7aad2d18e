"""Content encodings, undone in bounded steps: a chunk of 64 KB may hold 66 MB, and must not be inflated whole."""

import zlib
from typing import Protocol

import brotli
import zstandard

from webdancer_cli.errors import Reject

SLICE_BYTES = 64
"""What zstd is fed at once: its library gives all that the bytes hold, and a block of four bytes may hold 128 KB."""


class _Engine(Protocol):
    def feed(self, chunk: bytes, room: int) -> bytes: ...


class Decompressor:
    """Decompresses a stream. Raises Reject ``bad_encoding``, with the encoding's name."""

    def __init__(self, url: str, encoding: str):
        self._url = url
        self._encoding = ", ".join(name for name in encoding.lower().replace(" ", "").split(",") if name != "identity")
        if self._encoding and self._encoding not in _ENGINES:
            raise Reject("bad_encoding", f"{url}: content encoding {encoding} is not known")
        self._engine: _Engine | None = _ENGINES[self._encoding]() if self._encoding else None

    def feed(self, chunk: bytes, room: int) -> bytes:
        """What the chunk inflates to, at most ``room`` bytes of it."""
        if self._engine is None:
            return chunk[:room]
        try:
            return self._engine.feed(chunk, room)
        except (zlib.error, brotli.error, zstandard.ZstdError) as error:
            raise Reject("bad_encoding", f"{self._url}: broken compression ({self._encoding}: {error})") from None


class _Zlib:
    """gzip, and deflate with zlib's header."""

    def __init__(self) -> None:
        self._engine = zlib.decompressobj(zlib.MAX_WBITS | 32)

    def feed(self, chunk: bytes, room: int) -> bytes:
        return self._engine.decompress(chunk, room)


class _Deflate(_Zlib):
    """Some servers send raw deflate without zlib's header."""

    def feed(self, chunk: bytes, room: int) -> bytes:
        try:
            return super().feed(chunk, room)
        except zlib.error:
            self._engine = zlib.decompressobj(-zlib.MAX_WBITS)
            return super().feed(chunk, room)


class _Brotli:
    def __init__(self) -> None:
        self._engine = brotli.Decompressor()

    def feed(self, chunk: bytes, room: int) -> bytes:
        out = bytearray(self._engine.process(chunk, output_buffer_limit=max(1, room)))
        while len(out) < room and not self._engine.can_accept_more_data():
            out += self._engine.process(b"", output_buffer_limit=room - len(out))
        return bytes(out[:room])


class _Zstd:
    def __init__(self) -> None:
        self._engine = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True)

    def feed(self, chunk: bytes, room: int) -> bytes:
        out = bytearray()
        for at in range(0, len(chunk), SLICE_BYTES):
            out += self._engine.decompress(chunk[at : at + SLICE_BYTES])
            if len(out) > room:
                break
        return bytes(out[:room])


_ENGINES: dict[str, type[_Engine]] = {
    "gzip": _Zlib,
    "x-gzip": _Zlib,
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _Zstd,
}


def decompress(body: bytes, encoding: str, limit: int, url: str) -> bytes:
    """A whole body, at most ``limit`` bytes of it. Raises Reject ``bad_encoding``."""
    return Decompressor(url, encoding).feed(body, limit)
