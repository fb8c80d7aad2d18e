"""The time limit of a tool call. Time spent waiting for this process, and not for the web, does not count."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar


class Deadline:
    """A time limit that can be stopped, by several at once, and runs on when the last of them is done."""

    def __init__(self, timeout: asyncio.Timeout):
        self._timeout = timeout
        self._stops = 0
        self._left: float | None = None

    def stop(self) -> None:
        self._stops += 1
        when = self._timeout.when()
        if self._stops == 1 and when is not None and not self._timeout.expired():
            self._left = when - asyncio.get_running_loop().time()
            self._timeout.reschedule(None)

    def go_on(self) -> None:
        self._stops -= 1
        if self._stops == 0 and self._left is not None:
            self._timeout.reschedule(asyncio.get_running_loop().time() + self._left)
            self._left = None

    def end(self) -> None:
        """Stop for good: pauses that are still open no longer move the limit."""
        self._left = None


_around: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Raises TimeoutError when the block takes longer than ``seconds``, not counting its pauses."""
    async with asyncio.timeout(seconds) as timeout:
        deadline = Deadline(timeout)
        before = _around.set(deadline)
        try:
            yield
        finally:
            deadline.end()
            _around.reset(before)


@contextmanager
def paused() -> Iterator[None]:
    """The deadline around this block, if there is one, stands still while the block runs."""
    deadline = _around.get()
    if deadline is None:
        yield
        return
    deadline.stop()
    try:
        yield
    finally:
        deadline.go_on()
