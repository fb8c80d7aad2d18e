"""Records through an asynchronous worker: bounded, in order, resumable, interruptible.

Every data stage is ``await run(items, work, output)``: items stream in (stdin too, without blocking the event loop), at
most ``jobs`` are worked on at once, results leave in the order of the input as soon as they can, and what fails is
rejected with a reason. Memory is flat: a bounded window of items is alive at any time, and of those before it at most
a hash each.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from webdancer_cli.data import jsonl, sealed
from webdancer_cli.data.input_streams import STDIN
from webdancer_cli.data.jsonl import LineWriter
from webdancer_cli.data.key_set import KeySet
from webdancer_cli.data.ordered_map import ordered_map
from webdancer_cli.data.records import QA, Rejected, to_object
from webdancer_cli.errors import EXIT_OK, EXIT_SOME_FAILED, BudgetSpent, Reject
from webdancer_cli.options import config

Item = TypeVar("Item")
Result = TypeVar("Result")


HELD_PER_JOB = 4
"""One slow item at the head holds up neither the others nor the memory."""


class Progress(Protocol):
    """Is told how far a stage is, as often as it likes. ``total`` is None where only the end tells."""

    def step(self, done: int, total: int | None, note: str) -> None: ...


Say = Callable[[str], None]
"""Tells the user a line on stderr."""


def say_nothing(line: str) -> None:
    """Tells nobody."""


@dataclass
class RunStats:
    """What a stage returns: what became of its items, by name, and by reason for those that did not make it.

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

    def brief(self) -> str:
        """The counts that matter while it runs: ``10 kept, 1 left out, 1 failed, 2 unjudged``."""
        unjudged = self.counts["unjudged"]
        failed = max(0, self.failed - unjudged)
        left_out = max(0, self.counts["rejected"] - failed)
        counts = {"left out": left_out, "failed": failed, "unjudged": unjudged}
        return ", ".join([f"{self.counts['out']:,} kept", *(f"{n:,} {name}" for name, n in counts.items() if n)])

    def summary(self) -> str:
        """One line for stderr: ``12 in, 10 out, 2 rejected (broken_line 2)``."""
        names = dict.fromkeys(["in", "already done", "out", "rejected", *self.counts])
        text = ", ".join(f"{self.counts[name]} {name}" for name in names if name in self.counts) or "0 out"
        if self.reasons:
            text += " (" + ", ".join(f"{reason} {count}" for reason, count in self.reasons.most_common()) + ")"
        return text


class Table(Protocol):
    """What can be read as a table: a funnel, scores."""

    def table(self) -> str: ...


Found = TypeVar("Found", bound=Table)


@dataclass
class ReportedStats(RunStats, Generic[Found]):
    """What a stage returns that is there to find something out about all its items together."""

    report: Found = field(kw_only=True)

    @classmethod
    def of(cls, stats: RunStats, report: Found) -> "ReportedStats[Found]":
        return cls(**vars(stats), report=report)


class RecordWriter:
    """Where a stage's records go: ``out``, the optional ``rejects`` file, and the tally of both.

    With ``resume`` the records of an earlier run stay (``done`` holds their keys) and new ones are appended. The
    rejects file is written anew: what was rejected before is tried again, so it always speaks of what ``out`` lacks.
    ``key`` maps an output record to the key of the item it was made from, where that is not the record's own id. A
    stage that has to know more of an earlier run reads it back itself, once, and gives the keys as ``done``.
    """

    def __init__(
        self,
        stage: str,
        out: str = STDIN,
        rejects: str | None = None,
        *,
        resume: bool = False,
        key: jsonl.Key | None = None,
        done: KeySet | None = None,
    ):
        if resume and done is None:
            jsonl.prepare_resume(out, key)
            done = jsonl.earlier_keys(out, key)
        self.stage = stage
        self.done = KeySet() if done is None else done
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


async def run_pipeline(
    items: Iterable[Item],
    work: Callable[[Item], Awaitable[Sequence[msgspec.Struct | dict[str, Any]]]],
    output: RecordWriter,
    *,
    jobs: int = config.DataOptions.jobs,
    key: Callable[[Item], str] | None = None,
    progress: Progress | None = None,
    total: int | None = None,
) -> RunStats:
    """Work on every item; put what ``work`` returns, reject the item when it raises Reject.

    Items whose ``key`` is in ``output.done`` are skipped. Any other exception, from ``work`` or ``items``, ends the
    run: what came before that item has been written, and work under way is cancelled and waited for. So it is when the
    run itself is cancelled (Ctrl-C): the file ends with a whole record, and ``--resume`` does the rest.

    On BudgetSpent and on ServiceRefused nothing new is begun; what can still be finished is, and written. Then
    ``stats.stopped`` says why the budget ended the run, and ServiceRefused is raised. ``work`` says by
    ``ordered_map.Stopped`` what it has of an item. ``total`` is how many items there are, about, with those that are
    done; None where only the end tells.
    """
    finished = 0
    left = None if total is None else max(0, total - len(output.done))
    if progress:
        progress.step(0, left, output.stats.brief())
    fresh = _fresh(items, output, key)
    try:
        async with aclosing(fresh), aclosing(ordered_map(fresh, work, jobs, held_per_job=HELD_PER_JOB)) as worked_on:
            async for item, task in worked_on:
                try:
                    for record in task.result():
                        output.write(record)
                except Reject as reject:
                    output.reject(reject, _as_struct(item), key(item) if key else "")
                finished += 1
                if progress:
                    progress.step(finished, left, output.stats.brief())
    except BudgetSpent as stop:
        output.stats.stopped = str(stop)
    return output.stats


async def _fresh(
    items: Iterable[Item], output: RecordWriter, key: Callable[[Item], str] | None
) -> AsyncGenerator[Item, None]:
    """The items that are to be worked on, counted."""
    async with aclosing(iterate_in_thread(items)) as arrived:
        async for item in arrived:
            output.stats.counts["in"] += 1
            if key and key(item) in output.done:
                output.stats.counts["already done"] += 1
            else:
                yield item


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
