"""Processes untrusted documents in worker processes that can be killed.

A document of the web may cost a library an hour, all the memory, or the life of its process. So it is worked on in a
process of its own, within bounds, and whatever it provokes there is its own failure. For one that is
slow another process is started, so that heavy documents hold up no others. One whose process dies is worked on once
more: something else may have ended it.

The standard library's pool cannot end one task, and a broken process breaks all of it. The processes are forked from a
server that has imported what they need: a new one takes some milliseconds.
"""

import asyncio
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from webdancer_cli.errors import Outage, Reject, ToolError
from webdancer_cli.parent_death import die_with_parent
from webdancer_cli.user_functions import describe_error
from webdancer_cli.web.deadline import paused

if sys.platform == "linux":
    import resource

Result = TypeVar("Result")

SPARE = 8
"""Extra processes, beyond one per core, started while documents are slow: so many slow ones delay no others."""
SLOW_SECONDS = 1.0
"""A process that has worked this long on one document no longer counts against one per core."""
MOST_BYTES = 2 << 30
"""Memory that a document may take, beyond what an idle worker has."""
LEAST_SECONDS = 2.0
"""Processor time that every document gets, whatever was configured."""
OVERLOADED = "overloaded"
"""The reason of a Reject that this machine caused, and not the document."""
OURS = frozenset([OVERLOADED, "proxy_failure"])
"""Reasons that say nothing about the page: they are Outages, and never observations."""
PRELOADED = ["webdancer_cli.web.extract.documents", "webdancer_cli.text.passages"]


@dataclass(frozen=True)
class Job:
    """A call, what it works on (for messages), and where its result goes."""

    function: Callable[..., Any]
    given: tuple[Any, ...]
    about: str
    future: "Future[Any]" = field(default_factory=Future)


@dataclass(frozen=True)
class JobOutcome:
    """What came of a call: its ``value``, or else why not, as reason and detail. ``spent``: the process is used up;
    ``died``: it ended before it could say why."""

    value: Any = None
    no: tuple[str, str] | None = None
    spent: bool = False
    died: bool = False


class Workers:
    """Processes that work on a document each, one for each core unless told otherwise. ``with Workers() as workers``.

    ``seconds`` is the processor time that one document may take: a busy machine changes nothing about it. Processes
    are started when they are needed and end with ours, however that ends.
    """

    def __init__(self, seconds: float = 20.0, processes: int | None = None):
        self._seconds = max(seconds, LEAST_SECONDS)
        self._at_work = processes or _cores()
        self._most = self._at_work + SPARE
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._keepers = 0
        self._unfinished = 0
        self._workers: set[Worker] = set()
        self._closed = False

    async def run(self, function: Callable[..., Result], *given: Any, about: str) -> Result:
        """The result of a function that can be imported by its name. No deadline around it runs while it waits.

        Raises what the function rejects, and Reject: ``extraction_failed`` for whatever else it raises, or if its
        process dies; ``too_heavy`` beyond the bounds; ``overloaded`` when this machine is to blame.
        """
        job = Job(function, given, about)
        self._put(job)
        with paused():
            outcome: JobOutcome = await asyncio.wrap_future(job.future)
        if outcome.no:
            raise Reject(*outcome.no)
        value: Result = outcome.value
        return value

    def _put(self, job: Job) -> None:
        with self._lock:
            self._unfinished += 1
            self._hire()
        self._jobs.put(job)

    def _hire(self) -> None:
        if self._keepers < min(self._unfinished, self._at_work, self._most):
            self._keepers += 1
            threading.Thread(target=self._keep, daemon=True, name="keeper of a worker").start()

    @contextmanager
    def _another(self) -> Iterator[None]:
        """One more process may work while this block runs."""
        with self._lock:
            self._at_work += 1
            self._hire()
        try:
            yield
        finally:
            with self._lock:
                self._at_work -= 1

    def _keep(self) -> None:
        """One process, one job after the other; in a thread."""
        worker: Worker | None = None
        while (job := self._jobs.get()) is not None:
            if job.future.set_running_or_notify_cancel():
                try:
                    worker, outcome = self._work(worker, job)
                    if outcome.died and not self._closed:  # of what it read, or not: another process tells
                        worker, outcome = self._work(worker, job)
                    job.future.set_result(outcome)
                except BaseException as error:  # our own fault: raised where the result is awaited
                    job.future.set_exception(error)
            with self._lock:
                self._unfinished -= 1

    def _work(self, worker: "Worker | None", job: Job) -> tuple["Worker | None", JobOutcome]:
        """The outcome of a job, and the process if it can be used again."""
        try:
            worker = worker or self._start_worker()
        except (OSError, EOFError, RuntimeError) as error:
            return None, JobOutcome(
                no=(OVERLOADED, f"{job.about}: no process could be started ({describe_error(error)})")
            )
        outcome = worker.do(job, self._seconds, self._another)
        if not outcome.spent:
            return worker, outcome
        worker.end()
        self._workers.discard(worker)
        return None, outcome

    def _start_worker(self) -> "Worker":
        worker = Worker()
        self._workers.add(worker)
        if self._closed:
            worker.end()
        return worker

    def close(self) -> None:
        """End all processes. What they were working on is cancelled."""
        self._closed = True
        with suppress(Empty):
            while job := self._jobs.get_nowait():
                job.future.cancel()
        for _ in range(self._keepers):
            self._jobs.put(None)
        for worker in list(self._workers):
            worker.end()

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def visit_failure(reject: Reject, told: str = "", *, lasts: bool = True) -> ToolError | Outage:
    """The error of a page that could not be processed; an Outage if this machine is the cause."""
    if reject.reason in OURS:
        return Outage(told or reject.detail)
    return ToolError(told or reject.detail, lasts=lasts)


class Worker:
    """A process, and our end of the pipe to it."""

    def __init__(self) -> None:
        context = _context()
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)  # type: ignore[attr-defined]
        with _exits:
            self._process.start()
        theirs.close()

    def do(self, job: Job, seconds: float, another: Callable[[], AbstractContextManager[None]]) -> JobOutcome:
        """The outcome of a job, within so many seconds of processor time, and many more on the clock.

        ``another`` is entered for as long as the job is a slow one.
        """
        patience = 60 + 10 * seconds
        try:
            self._pipe.send((job.function, job.given, job.about, seconds))
            if not self._pipe.poll(SLOW_SECONDS):
                with another():
                    if not self._pipe.poll(patience):
                        detail = f"{job.about}: not read within {patience:g} seconds: this machine is too busy"
                        return JobOutcome(no=(OVERLOADED, detail), spent=True)
            outcome: JobOutcome = self._pipe.recv()
        except (OSError, EOFError):
            return self._fate(job, seconds)
        return outcome

    def _fate(self, job: Job, seconds: float) -> JobOutcome:
        """Why there is no process any more."""
        with _exits:
            self._process.join(5)
        code = self._process.exitcode
        if hasattr(signal, "SIGPROF") and code == -signal.SIGPROF:
            heavy = "too_heavy", f"{job.about}: takes more than {seconds:g} seconds of work"
            return JobOutcome(no=heavy, spent=True)
        dead = "extraction_failed", f"{job.about}: the process that read it died (exit code {code})"
        return JobOutcome(no=dead, spent=True, died=True)

    def end(self) -> None:
        with suppress(OSError, AttributeError):  # it has gone already
            self._process.kill()
        with _exits:
            self._process.join(5)
        with suppress(OSError):
            self._pipe.close()


_exits = threading.Lock()
"""An exit code can be read once, and the start of any process looks for those of all."""


def _context() -> multiprocessing.context.BaseContext:
    """The start method of the processes: never a fork of this one, with its threads and locks."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def _serve(pipe: Connection) -> None:
    """The life of a worker: one job after the other, until the parent process has closed the pipe."""
    _prepare()
    with suppress(EOFError, OSError):
        while True:
            pipe.send(_done(*pipe.recv()))


def _done(function: Callable[..., Any], given: tuple[Any, ...], about: str, seconds: float) -> JobOutcome:
    """The outcome of a call. Whatever it raises is the failure of what it works on."""
    _allow(seconds)
    try:
        return JobOutcome(function(*given), spent=_has_grown())
    except Reject as reject:
        return JobOutcome(no=(reject.reason, reject.detail))
    except MemoryError:
        return JobOutcome(no=("too_heavy", f"{about}: takes more than {MOST_BYTES >> 20:,} MB of memory"), spent=True)
    except BaseException as error:
        return JobOutcome(no=("extraction_failed", f"{about}: {describe_error(error)}"), spent=True)
    finally:
        _allow(0)


def _allow(seconds: float) -> None:
    """From now on so much processor time. Then the system ends the process, whatever it does; 0 lifts the bound."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


def _has_grown() -> bool:
    """Whether a process holds so much memory that the next document might miss it."""
    if sys.platform != "linux":
        return False
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > MOST_BYTES >> 12


def _prepare() -> None:
    """Ctrl-C is the parent's to handle, the output is for records, and no worker outlives a parent that was killed: it
    dies with the server that it was forked from, which ends with our parent. The thread that waits for the parent does
    not get to it while a library keeps all of Python waiting.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    silent = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silent, stream)
    die_with_parent()
    if sys.platform == "linux":
        _bound_memory()


def _bound_memory() -> None:
    """Also no core file, which would be as large."""
    with open("/proc/self/statm") as sizes:
        now = int(sizes.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MOST_BYTES, now + MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(0)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
