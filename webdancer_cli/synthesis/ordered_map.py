"""A stream through an asynchronous worker, in order: what ``run_pipeline`` is for a stage, for the steps inside one."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TypeVar

from webdancer_cli.errors import RunStopped

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 2
"""Items alive for each that is worked on: one slow item at the head does not hold up the others, and what was begun in
vain when nobody listens any more is little."""


async def in_order(
    items: AsyncIterator[Item], work: Callable[[Item], Awaitable[Result]], jobs: int
) -> AsyncGenerator[Result, None]:
    """``work`` on every item, on ``jobs`` at once; the results in the order of the items.

    On RunStopped, from ``items`` or from ``work``, no further item is taken; what can still be finished is given, and
    then it is raised. Any other error ends the stream at its place.
    """
    window: deque[asyncio.Task[Result]] = deque()
    working = asyncio.Semaphore(jobs)
    stop: RunStopped | None = None

    async def bounded(item: Item) -> Result:
        async with working:
            return await work(item)

    try:
        try:
            async for item in items:
                window.append(asyncio.create_task(bounded(item)))
                while window and (len(window) >= AHEAD * jobs or window[0].done()):
                    yield await window.popleft()
        except RunStopped as error:
            stop = error
        while window:
            try:
                yield await window.popleft()
            except RunStopped as error:
                stop = error
        if stop:
            raise stop
    finally:
        for task in window:
            task.cancel()
        await asyncio.gather(*window, return_exceptions=True)
