"""How long a call of a tool may take. Time that it waits for us, and not for the web, does not count."""

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
        """What still waits inside was left behind."""
        self._left = None


_around: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Raises TimeoutError when what is inside takes longer, its pauses aside."""
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
    """While this lasts, no time passes for the deadline around it, if there is one."""
    deadline = _around.get()
    if deadline is None:
        yield
        return
    deadline.stop()
    try:
        yield
    finally:
        deadline.go_on()
