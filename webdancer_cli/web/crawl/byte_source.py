"""The bytes of a file or of a URL, read forwards: memory holds a window of them, however many there are.

Whoever wants to look again at what has left the window opens the source there anew; a URL is asked for from that byte
on, as it is for the rest after a broken connection.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Protocol

from webdancer_cli.errors import Reject
from webdancer_cli.services.retry import GaveUp, RetryPolicy, Transient
from webdancer_cli.web.fetch.fetcher import may_pass
from webdancer_cli.web.fetch.file_stream import FileStreams

BLOCK_BYTES = 1 << 16
KEPT_BYTES = 1 << 20
"""Of what was read, at least so much can be looked at again without opening the source anew."""


class Blocks(Protocol):
    """Gives bytes one after the other, b"" at the end. Raises Reject when no more can be had."""

    def __call__(self) -> bytes: ...


class ByteSource:
    """Bytes by their place. ``open_at`` opens the source at a place."""

    def __init__(self, name: str, open_at: Callable[[int], Blocks]):
        self.name = name
        self._open_at = open_at
        self._blocks: Blocks | None = None
        self._window = bytearray()
        self._start = 0
        self.size: int | None = None
        """How many bytes there are, once the end was met."""
        self.failure: Reject | None = None
        """Why the source ended too early, if it did."""

    def at(self, start: int, size: int) -> bytes:
        """So many bytes from a place on; fewer at the end only."""
        if start < self._start:
            self._reopen(start)
        while self.size is None and self._end < start + size:
            self._forget(min(start, self._end) - KEPT_BYTES)
            if block := self._next_block():
                self._window += block
            else:
                self.size = self._end
        return bytes(self._window[start - self._start : start - self._start + size])

    def _next_block(self) -> bytes:
        try:
            if self._blocks is None:
                self._blocks = self._open_at(self._start)
            return self._blocks()
        except Reject as reject:
            self.failure = reject
            return b""

    @property
    def _end(self) -> int:
        return self._start + len(self._window)

    def _forget(self, before: int) -> None:
        """Let go what stands before a place, once that is worth it."""
        if before - self._start > KEPT_BYTES:
            del self._window[: before - self._start]
            self._start = before

    def _reopen(self, start: int) -> None:
        self.failure = None
        self._blocks, self._start, self.size = None, start, None
        self._window.clear()

    def find(self, what: bytes, start: int) -> int | None:
        """Where some bytes stand from a place on."""
        while block := self.at(start, BLOCK_BYTES):
            if (found := block.find(what)) >= 0:
                return start + found
            if len(block) < BLOCK_BYTES:
                return None
            start += len(block) - len(what) + 1
        return None


def open_file(path: str) -> ByteSource:
    """The bytes of a file. Raises Reject ``unreadable``."""

    def open_at(start: int) -> Blocks:
        try:
            file = open(path, "rb")  # noqa: SIM115
            file.seek(start)
        except OSError as error:
            raise Reject("unreadable", f"{path}: {error.strerror}") from None

        def block() -> bytes:
            found = file.read(BLOCK_BYTES)
            if not found:
                file.close()
            return found

        return block

    return ByteSource(path, open_at)


RETRY = RetryPolicy(attempts=5, attempt_seconds=60.0, growth=2.0)


class _Broken(Transient):
    """A connection that may be opened again where it ended."""

    def __init__(self, reject: Reject):
        super().__init__(str(reject))
        self.reject = reject


class _Remote:
    """The bytes of a URL from a place on, for a thread beside the event loop."""

    def __init__(self, url: str, start: int, streams: FileStreams, loop: asyncio.AbstractEventLoop):
        self._url = url
        self._at = start
        self._streams = streams
        self._loop = loop
        self._parts: AsyncGenerator[bytes, None] | None = None

    def __call__(self) -> bytes:
        return asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()

    async def _next(self) -> bytes:
        try:
            part = await RETRY.run(lambda number, deadline: self._attempt())
        except GaveUp as end:
            assert isinstance(end.last, _Broken)
            raise end.last.reject from None
        self._at += len(part)
        return part

    async def _attempt(self) -> bytes:
        if self._parts is None:
            self._parts = self._streams.stream(self._url, self._at)
        try:
            return await anext(self._parts, b"")
        except Reject as reject:
            self._parts = None
            if not may_pass(reject):
                raise
            raise _Broken(reject) from None


def open_url(url: str, streams: FileStreams, loop: asyncio.AbstractEventLoop) -> ByteSource:
    """The bytes of a URL, to be read in another thread than the loop's."""
    return ByteSource(url, lambda start: _Remote(url, start, streams, loop))
