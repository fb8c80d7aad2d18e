"""A clock for tests that wait: it stands still while code runs, and jumps to the next timer when nothing else is left.

So an hour of pauses takes no time, a limit of a second is not met early on a busy machine, and what is measured is
exact. It is the clock of the event loop and, in its thread, of ``time.monotonic``. It knows of what the loop itself
waits for: its sockets, where both ends are in this process, and the threads of its executor; not of other threads and
processes.
"""

import asyncio
import math
import selectors
import threading
import time
from collections.abc import Callable
from typing import Any

TICK_SECONDS = 1e-8
"""What a round of the loop takes: a wait for less than the loop's resolution would else never end."""
LOOK_SECONDS = 1e-10
"""What a look at the clock takes: too little to be seen in what is measured."""
GRACE_SECONDS = 0.01
"""How long the kernel may take to bring what one socket of this process has sent to another."""


class JumpingSelector(selectors.DefaultSelector):
    """Waits for sockets and threads as long as they take, and for timers not at all."""

    now = 0.0
    threads_at_work = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += TICK_SECONDS
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(GRACE_SECONDS)
        if not ready and not self.threads_at_work:
            self.now += timeout
        return ready


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """An event loop with such a clock, which is that of the whole process until the loop is closed."""

    def __init__(self) -> None:
        self._jumping = JumpingSelector()
        self._jumping.now = time.monotonic()
        super().__init__(self._jumping)
        self._thread = threading.get_ident()
        self._genuine, time.monotonic = time.monotonic, self._tick

    def time(self) -> float:
        return self._jumping.now

    def _tick(self) -> float:
        """``time.monotonic``. It is later each time: who asks it in a loop, until a moment is past, comes out.

        Threads have the genuine one: multiprocessing waits in them, for processes that take their time.
        """
        if threading.get_ident() != self._thread:
            return self._genuine()
        now = self._jumping.now
        self._jumping.now = max(now + LOOK_SECONDS, math.nextafter(now, math.inf))
        return self._jumping.now

    def close(self) -> None:
        if time.monotonic == self._tick:
            time.monotonic = self._genuine
        super().close()

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":
        self._jumping.threads_at_work += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: "asyncio.Future[Any]") -> None:
        self._jumping.threads_at_work -= 1
