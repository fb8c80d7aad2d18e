"""Politeness to one host: few requests under way at once, and their starts apart."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from webdancer_cli.web.deadline import paused


class HostQueue:
    """The turn-taking at one host: at most ``at_once`` requests under way, their starts ``delay`` seconds apart."""

    def __init__(self, at_once: int, delay: float):
        self._room = asyncio.Semaphore(at_once)
        self._line = asyncio.Lock()
        self._next_start = 0.0
        self.delay = delay

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        with paused():
            await self._room.acquire()
        try:
            with paused():
                async with self._line:
                    while (wait := self._next_start - time.monotonic()) > 0:
                        await asyncio.sleep(wait)
                    self._next_start = time.monotonic() + self.delay
            yield
        finally:
            self._room.release()

    def rest(self, seconds: float) -> None:
        """Start nothing for so long: the server asked for it."""
        self._next_start = max(self._next_start, time.monotonic() + seconds)
