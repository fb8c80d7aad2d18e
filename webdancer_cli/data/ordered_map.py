"""Work side by side whose results leave in the order of its items: for whole stages, for steps inside one, for a crawl.

``ordered_map`` works on whatever a stream gives. ``TasksInOrder`` is the queue below it, for who has to fill it by
hand: a crawl, where only a page that has left tells which URLs come next.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

from webdancer_cli.errors import RunStopped

Item = TypeVar("Item")
Result = TypeVar("Result")


class Stopped(Exception):
    """What work raises when ``cause`` stops the run in the middle of an item: ``finished`` is the result it has."""

    def __init__(self, cause: RunStopped, finished: Any):
        super().__init__(str(cause))
        self.cause = cause
        self.finished = finished


class TasksInOrder(Generic[Item, Result]):
    """Tasks under way, each with its item; to be iterated over: the first that was begun is the first to leave."""

    def __init__(self) -> None:
        self._entries: deque[tuple[Item, asyncio.Task[Result]]] = deque()
        self._is_over = False
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._entries)

    def begin(self, item: Item, work: Coroutine[Any, Any, Result]) -> None:
        self._entries.append((item, asyncio.create_task(work)))
        self._changed.set()

    def end(self) -> None:
        """No more will be begun."""
        self._is_over = True
        self._changed.set()

    def __aiter__(self) -> "TasksInOrder[Item, Result]":
        return self

    async def __anext__(self) -> tuple[Item, asyncio.Task[Result]]:
        """The oldest item with its task, once that is done, however it ended."""
        while not self._entries:
            if self._is_over:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        _, task = self._entries[0]
        if not task.done():
            await asyncio.wait([task])
        return self._entries.popleft()

    async def cancel(self) -> None:
        """End all that is under way, and wait for it."""
        tasks = [task for _, task in self._entries]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def ordered_map(
    items: AsyncIterable[Item],
    work: Callable[[Item], Awaitable[Result]],
    jobs: int,
    *,
    held_per_job: int = 2,
) -> AsyncGenerator[tuple[Item, asyncio.Task[Result]], None]:
    """``work`` on every item: each with its finished task, in the order of the items, as soon as it can be.

    ``jobs`` are worked on at a time, and ``held_per_job`` times as many are held, finished ones included: the more, the
    less a slow one holds up those behind it, and the more was begun in vain when nobody listens any more. What ``work``
    raised is raised by the task's ``result()``. Closing the generator (use ``aclosing``) cancels what is under way.

    On RunStopped, from ``items`` or from ``work``, nothing more is begun; what was begun is finished and given, as is
    what ``work`` hands over by Stopped; then it is raised. Another error of ``items`` is raised after what came before.
    """
    tasks: TasksInOrder[Item, Result] = TasksInOrder()
    room, turn = asyncio.Semaphore(held_per_job * jobs), _Turn(jobs)

    async def feed() -> None:
        async for item in items:
            await room.acquire()
            tasks.begin(item, turn.take(work, item))

    feeder = asyncio.create_task(feed())
    feeder.add_done_callback(lambda _: tasks.end())
    try:
        async for item, task in tasks:
            if turn.stop:
                feeder.cancel()
            if not _was_stopped(task):
                yield item, task
            room.release()
        if turn.stop:
            raise turn.stop
        await feeder
    finally:
        feeder.cancel()
        await tasks.cancel()
        await asyncio.gather(feeder, return_exceptions=True)


class _Turn:
    """Lets so many work at a time, and nobody any more once there is a reason to ``stop``."""

    def __init__(self, jobs: int):
        self.stop: RunStopped | None = None
        self._free = asyncio.Semaphore(jobs)

    async def take(self, work: Callable[[Item], Awaitable[Result]], item: Item) -> Result:
        async with self._free:
            if self.stop:
                raise self.stop
            try:
                return await work(item)
            except RunStopped as stop:
                self.stop = stop
                raise
            except Stopped as stopped:
                self.stop = stopped.cause
                finished: Result = stopped.finished
                return finished


def _was_stopped(task: asyncio.Task[Any]) -> bool:
    """Whether nothing has come of an item because the run was stopped."""
    return not task.cancelled() and isinstance(task.exception(), RunStopped)
