"""Values packed for a browser to unpack on demand: JSON in compressed chunks, long texts once each.

A chunk is a JSON array, compressed by raw DEFLATE (RFC 1951, what browsers call "deflate-raw") and written in ASCII.
The address of a value is the number of its chunk and its place in it.
"""

import hashlib
import zlib
from typing import Any

import msgspec

from webdancer_cli.data.jsonl import encode
from webdancer_cli.report.ascii_bytes import to_ascii

CHUNK_BYTES = 1 << 19
"""JSON per chunk, before it is compressed: a browser unpacks that much to show one episode."""
SHARED_CHARS = 200
"""Texts from this length on are kept once, however many episodes hold them: pages, prompts."""
_LEVEL = 9

Address = tuple[int, int]


class Shared(msgspec.Struct, array_like=True):
    """Stands for a text that lies in a chunk of texts. In JSON: ``[chunk, place]``."""

    chunk: int
    place: int


Text = str | Shared


class _Open:
    """A chunk that is being filled. Its number is given when it is begun."""

    def __init__(self, number: int):
        self.number = number
        self.parts: list[bytes] = []
        self.bytes = 0


class Chunks:
    """Chunks of values and chunks of texts, under one numbering."""

    def __init__(self, chunk_bytes: int = CHUNK_BYTES):
        self._chunk_bytes = chunk_bytes
        self._packed: list[bytes] = []
        self._places: dict[bytes, Shared] = {}
        self._values = self._begin()
        self._texts = self._begin()
        self.kinds: list[str] = ["values", "texts"]
        """Of each chunk, whether it holds values or texts."""

    def put(self, value: Any) -> Address:
        """Keep a value; where it lies."""
        if self._values.bytes >= self._chunk_bytes:
            self._values = self._next(self._values, "values")
        return self._append(self._values, encode(value))

    def text(self, text: str) -> Text:
        """The text itself if it is short; else where it lies, the same place for the same text."""
        if len(text) < SHARED_CHARS:
            return text
        raw = encode(text)
        digest = hashlib.blake2b(raw, digest_size=12).digest()
        place = self._places.get(digest)
        if place is None:
            if self._texts.bytes >= self._chunk_bytes:
                self._texts = self._next(self._texts, "texts")
            place = self._places[digest] = Shared(*self._append(self._texts, raw))
        return place

    def finish(self) -> list[bytes]:
        """All chunks as ``to_ascii`` writes them, by number."""
        for chunk in (self._values, self._texts):
            self._pack(chunk)
            chunk.parts = []
        return self._packed

    def _append(self, chunk: _Open, raw: bytes) -> Address:
        chunk.parts.append(raw)
        chunk.bytes += len(raw)
        return chunk.number, len(chunk.parts) - 1

    def _begin(self) -> _Open:
        self._packed.append(b"")
        return _Open(len(self._packed) - 1)

    def _next(self, full: _Open, kind: str) -> _Open:
        self._pack(full)
        self.kinds.append(kind)
        return self._begin()

    def _pack(self, chunk: _Open) -> None:
        squeezer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        raw = b"[" + b",".join(chunk.parts) + b"]"
        self._packed[chunk.number] = to_ascii(squeezer.compress(raw) + squeezer.flush())
