"""Records through an asynchronous worker: bounded, in order, resumable, interruptible.

Every data stage is ``await run(items, work, output)``: items stream in (stdin too, without blocking the event loop), at
most ``jobs`` are worked on at once, results leave in the order of the input as soon as they can, and what fails is
rejected with a reason. Memory is flat: a bounded window of items is alive at any time, and of those before it at most
a hash each.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import msgspec

from webdancer_cli.data import sealed
from webdancer_cli.data.jsonl import STDIN, LineWriter, recover_written_keys
from webdancer_cli.data.key_set import KeySet
from webdancer_cli.data.records import QA, Rejected, to_object
from webdancer_cli.errors import EXIT_OK, EXIT_SOME_FAILED, Reject, RunStopped, ServiceRefused

Item = TypeVar("Item")


Result = TypeVar("Result")


class Progress(Protocol):
    """Is told how far a stage is; ``cli`` draws it when stderr is a terminal."""

    def step(self, done: int, total: int | None, note: str) -> None: ...


Say = Callable[[str], None]
"""Tells the user a line on stderr."""


def say_nothing(line: str) -> None:
    """Tells nobody."""


@dataclass
class RunStats:
    """What became of the items: counted by name, and by reason for those that did not make it.

    ``stopped`` says why the run ended before its input did, if it did; ``last_failure`` what failed last, in words;
    ``remark`` what else the user should know about the whole.
    """

    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    stopped: str = ""
    last_failure: str = ""
    remark: str = ""

    @property
    def exit_code(self) -> int:
        return EXIT_SOME_FAILED if self.failed or self.stopped else EXIT_OK

    def summary(self) -> str:
        """One line for stderr: ``12 in, 10 out, 2 rejected (broken_line 2)``."""
        names = dict.fromkeys(["in", "already done", "out", "rejected", *self.counts])
        text = ", ".join(f"{self.counts[name]} {name}" for name in names if name in self.counts) or "0 out"
        if self.reasons:
            text += " (" + ", ".join(f"{reason} {count}" for reason, count in self.reasons.most_common()) + ")"
        return text


class RecordWriter:
    """Where a stage's records go: ``out``, the optional ``rejects`` file, and the tally of both.

    With ``resume`` the records of an earlier run stay (``done`` holds their keys) and new ones are appended. The
    rejects file is written anew: what was rejected before is tried again, so it always speaks of what ``out`` lacks.
    ``key`` maps an output record to the key of the item it was made from, where that is not the record's own id.
    """

    def __init__(
        self,
        stage: str,
        out: str = STDIN,
        rejects: str | None = None,
        *,
        resume: bool = False,
        key: Callable[[dict[str, Any]], str] | None = None,
    ):
        self.stage = stage
        self.done = recover_written_keys(out, key) if resume else KeySet()
        self.writer = LineWriter(out, append=resume)
        self._rejects = LineWriter(rejects) if rejects else None
        self.stats = RunStats()
        self._lock = threading.Lock()  # lines that cannot be read are rejected from the thread that reads

    def write(self, record: msgspec.Struct | dict[str, Any]) -> None:
        self.writer.write(record)
        self.stats.counts["out"] += 1

    def write_line(self, line: bytes) -> None:
        """Put a record that is encoded already."""
        self.writer.write_line(line)
        self.stats.counts["out"] += 1

    def reject(self, reject: Reject, record: msgspec.Struct | None = None, id: str = "") -> None:
        value = to_object(record) if record is not None else None
        seal = sealed.seal_of(value) if value else None
        detail = seal.close(reject.detail) if seal else reject.detail  # a detail may quote the question
        rejected = Rejected(reason=reject.reason, detail=detail, id=id, record=value)
        self.reject_line(rejected, reject.failed, reject.detail)

    def reject_line(self, rejected: Rejected, failed: bool = True, said: str = "") -> None:
        """Also called by ``read_records`` for a line that cannot be read. ``said``: the detail as the user is told."""
        rejected.stage = self.stage
        with self._lock:
            self.stats.counts["rejected"] += 1
            self.stats.reasons[rejected.reason] += 1
            self.stats.failed += failed
            if failed:
                self.stats.last_failure = f"{rejected.reason}: {said or rejected.detail}"
            if self._rejects:
                self._rejects.write(rejected)

    def close(self, *, failed: bool = False) -> None:
        try:
            self.writer.close(failed=failed)
        finally:
            if self._rejects:
                self._rejects.close(failed=failed)

    def __enter__(self) -> "RecordWriter":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close(failed=kind is not None)


class Stopped(Exception):
    """What ``work`` raises when ``cause`` stops the run in the middle of an item: ``finished`` is written first."""

    def __init__(self, cause: RunStopped, finished: Sequence[msgspec.Struct]):
        super().__init__(str(cause))
        self.cause = cause
        self.finished = finished


async def run_pipeline(
    items: Iterable[Item],
    work: Callable[[Item], Awaitable[Sequence[msgspec.Struct | dict[str, Any]]]],
    output: RecordWriter,
    *,
    jobs: int = 8,
    key: Callable[[Item], str] | None = None,
    progress: Progress | None = None,
    total: int | None = None,
) -> RunStats:
    """Work on every item; put what ``work`` returns, reject the item when it raises Reject.

    Items whose ``key`` is in ``output.done`` are skipped. Any other exception, from ``work`` or ``items``, ends the
    run: what came before that item has been written, and work under way is cancelled and waited for. So it is when the
    run itself is cancelled (Ctrl-C): the file ends with a whole record, and ``--resume`` does the rest.

    On BudgetSpent and on ServiceRefused nothing new is begun; what can still be finished is, and written. Then
    ``stats.stopped`` says why the budget ended the run, and ServiceRefused is raised. ``work`` says by Stopped what it
    has of an item.
    """
    window = _Window(jobs)
    feeder = asyncio.create_task(_feed(items, work, output, window, key))
    feeder.add_done_callback(lambda _: window.close())
    finished = 0
    try:
        async for item, task in window.results():
            try:
                for record in await _outcome(task):
                    output.write(record)
            except Reject as reject:
                output.reject(reject, _as_struct(item), key(item) if key else "")
            if window.stop:
                feeder.cancel()
            finished += 1
            if progress:
                progress.step(finished, total, output.stats.summary())
        await _end(window.stop, feeder, output.stats)
    finally:
        feeder.cancel()
        await asyncio.gather(feeder, *window.cancel(), return_exceptions=True)
    return output.stats


async def _outcome(task: asyncio.Task[Any]) -> Sequence[msgspec.Struct | dict[str, Any]]:
    """The records of an item; of one in whose middle the run was stopped, those that it had."""
    try:
        records: Sequence[msgspec.Struct | dict[str, Any]] = await task
    except Stopped as stopped:
        return stopped.finished
    except RunStopped:
        return []
    return records


async def _end(stop: RunStopped | None, feeder: asyncio.Task[None], stats: RunStats) -> None:
    """All that was begun is written. Raises ServiceRefused, and what the input raised."""
    if isinstance(stop, ServiceRefused):
        raise stop
    if stop:
        stats.stopped = str(stop)
    else:
        await feeder


class _Window:
    """The items from the one that is written next to the one that was read last, in order, each with its task.

    At most ``jobs`` are worked on at a time; at most four times as many are alive, so that one slow item at the head
    holds up neither the others nor the memory. Once there is a reason to ``stop``, none of them is begun any more.
    """

    def __init__(self, jobs: int):
        self.stop: RunStopped | None = None
        self.working = asyncio.Semaphore(jobs)
        self._room = asyncio.Semaphore(4 * jobs)
        self._entries: asyncio.Queue[tuple[Any, asyncio.Task[Any]] | None] = asyncio.Queue()
        self._head: asyncio.Task[Any] | None = None

    async def add(self, item: Any, work: Callable[[Any], Awaitable[Any]]) -> None:
        """Start on an item as soon as there is room."""
        await self._room.acquire()
        self._entries.put_nowait((item, asyncio.create_task(self._bounded(work, item))))

    async def _bounded(self, work: Callable[[Any], Awaitable[Any]], item: Any) -> Any:
        async with self.working:
            if self.stop:
                raise Stopped(self.stop, [])
            try:
                return await work(item)
            except RunStopped as stop:
                self.stop = stop
                raise
            except Stopped as stopped:
                self.stop = stopped.cause
                raise

    def close(self) -> None:
        self._entries.put_nowait(None)

    async def results(self) -> AsyncIterator[tuple[Any, asyncio.Task[Any]]]:
        while (entry := await self._entries.get()) is not None:
            self._head = entry[1]
            yield entry
            self._room.release()

    def cancel(self) -> list[asyncio.Task[Any]]:
        """Cancel all that is under way; the tasks that are still to be waited for."""
        tasks = [self._head] if self._head else []
        while not self._entries.empty():
            entry = self._entries.get_nowait()
            tasks += [entry[1]] if entry else []
        for task in tasks:
            task.cancel()
        return tasks


async def _feed(
    items: Iterable[Item],
    work: Callable[[Item], Awaitable[Any]],
    output: RecordWriter,
    window: _Window,
    key: Callable[[Item], str] | None,
) -> None:
    async with aclosing(iterate_in_thread(items)) as arrived:
        async for item in arrived:
            output.stats.counts["in"] += 1
            if key and key(item) in output.done:
                output.stats.counts["already done"] += 1
            else:
                await window.add(item, work)


async def gather_or_cancel(works: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """The results of all, in order. When one raises, the others are cancelled and waited for: none runs on unheard."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _as_struct(item: object) -> msgspec.Struct | None:
    return item if isinstance(item, msgspec.Struct) else None


def drop_duplicates(questions: Iterable[QA], output: RecordWriter) -> Iterator[QA]:
    """Each question once: one that stands twice in the data would give records with the same ids, and count double."""
    seen = KeySet()
    for qa in questions:
        if seen.add(qa.id):
            yield qa
        else:
            output.reject(Reject("duplicate_question", failed=False), qa, qa.id)


async def iterate_in_thread(items: Iterable[Item]) -> AsyncGenerator[Item, None]:
    """Iterate over a blocking iterable from a daemon thread, at most 64 items ahead.

    A plain thread pool would be joined at exit and hang on a stdin that stays open after Ctrl-C.
    """
    if isinstance(items, Sequence):
        for item in items:
            yield item
        return
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
    ahead = threading.Semaphore(64)
    stop = threading.Event()

    def send(kind: str, value: Any) -> None:
        with suppress(RuntimeError):  # the loop was closed while we waited for a line: nobody is there to be told
            loop.call_soon_threadsafe(queue.put_nowait, (kind, value))

    def pump(iterator: Iterator[Item]) -> None:
        try:
            for item in iterator:
                ahead.acquire()
                if stop.is_set():
                    return
                send("item", item)
            send("end", None)
        except BaseException as error:  # handed to the consumer, which raises it in the event loop
            send("error", error)

    threading.Thread(target=pump, args=(iter(items),), daemon=True).start()
    try:
        while True:
            kind, value = await queue.get()
            if kind == "error":
                raise value
            if kind == "end":
                return
            ahead.release()
            yield value
    finally:
        stop.set()
        ahead.release()
