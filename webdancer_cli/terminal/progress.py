"""How far a stage is, on stderr: a live line on a terminal, else a plain line every ten seconds."""

import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status

from webdancer_cli.data.pipeline import Progress

EVERY_SECONDS = 10.0


class PlainProgress:
    """One plain line now and then: for logs, and for stages in a pipe, which share one terminal."""

    def __init__(self, stage: str, every_seconds: float = EVERY_SECONDS):
        self.stage = stage
        self.every_seconds = every_seconds
        self._last = time.monotonic()

    def step(self, done: int, total: int | None, note: str) -> None:
        if time.monotonic() - self._last >= self.every_seconds:
            self._last = time.monotonic()
            print(f"webdancer {self.stage}: {_far(done, total, note)}", file=sys.stderr, flush=True)


class LiveProgress:
    """A line that is redrawn in place."""

    def __init__(self, stage: str, status: Status):
        self.stage = stage
        self._status = status

    def step(self, done: int, total: int | None, note: str) -> None:
        self._status.update(f"webdancer {self.stage}: {_far(done, total, note)}")


def _far(done: int, total: int | None, note: str) -> str:
    return f"{done} of {total} done; {note}" if total else f"{done} done; {note}"


@contextmanager
def show_progress(stage: str, *, quiet: bool = False) -> Iterator[Progress | None]:
    """The progress of one stage while the block runs; None when nothing is to be shown."""
    if quiet:
        yield None
    elif sys.stderr.isatty() and not _in_a_pipe():
        with Console(stderr=True, markup=False).status(f"webdancer {stage}") as status:
            yield LiveProgress(stage, status)
    else:
        yield PlainProgress(stage)


def _in_a_pipe() -> bool:
    """Whether a neighbour in a pipe may be writing to the same terminal."""
    return any(_is_pipe(stream.fileno()) for stream in (sys.stdin, sys.stdout) if stream is not None)


def _is_pipe(descriptor: int) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    except OSError:
        return False
