"""How far a stage is, on stderr: a line of its own on a terminal, else a plain line every half a minute."""

import os
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from webdancer_cli.terminal.board import Board
from webdancer_cli.terminal.pace import Pace, rate_text, time_text

DRAWN_EVERY_SECONDS = 0.5
TOLD_EVERY_SECONDS = 30.0
"""In a log, where each line stays."""
NAME_COLUMNS = 7
UNITS = {"crawlqa": "pages", "index": "pages", "world": "pages", "sft": "steps", "rl": "steps"}
"""What is counted, where it is no record that the stage is done with."""
BAR_CELLS = 10
LEAST_BAR_COLUMNS = 72
"""On a narrower terminal the counts are worth more than a bar."""

Spent = Callable[[], str]
"""What the run has spent so far, in words; "" for nothing."""


class StageProgress:
    """Is told how far the stage is, as often as it likes; somebody else looks at it now and then.

    ``within_seconds``: the run ends by then, whatever is left.
    """

    def __init__(self, stage: str, spent: Spent = lambda: "", within_seconds: float | None = None):
        self.stage = stage
        self.total: int | None = None
        self.learnt_total: int | None = None  # from the stage before, when it has ended
        self.has_begun = False
        self._note, self._done = "", 0
        self._spent = spent
        self._within_seconds = within_seconds
        self._pace = Pace()
        self._opened_at = time.monotonic()

    def step(self, done: int, total: int | None, note: str) -> None:
        if not self.has_begun:
            self._pace.note(done)
        self.has_begun = True
        self._done, self.total, self._note = done, total, note

    def measured(self) -> None:
        """Look at the clock; called by whoever shows it."""
        if self.has_begun:
            self._pace.note(self._done)

    def line(self, columns: int) -> str:
        """As it is now, for a line of its own; with a bar where there is room for one."""
        if not self.has_begun:
            since = time.monotonic() - self._opened_at
            return f"{self.stage:<{NAME_COLUMNS}}  starting" + (f"  {time_text(since)}" if since >= 2 else "")
        total = self._known_total
        bar = [_bar(self._done / total)] if total and columns >= LEAST_BAR_COLUMNS else []
        return "  ".join([f"{self.stage:<{NAME_COLUMNS}}", *bar, *self._far(), *self._counts()])

    def plain(self) -> str:
        """The same for a log."""
        return f"webdancer {self.stage}: " + "; ".join([", ".join(self._far()), *self._counts()])

    @property
    def _known_total(self) -> int | None:
        total = self.total or self.learnt_total
        return total if total and total >= self._done else None

    def _far(self) -> list[str]:
        total, rate = self._known_total, self._pace.per_second
        left = self._seconds_left(total)
        unit = UNITS.get(self.stage, "" if total else "done")
        far = f"{self._done:,}/{total:,} {unit}".rstrip() if total else f"{self._done:,} {unit}"
        return [far, *([rate_text(rate)] if rate else []), *([f"{time_text(left)} left"] if left is not None else [])]

    def _counts(self) -> list[str]:
        counts = ", ".join(filter(None, [self._note, self._spent()]))
        return [counts] if counts else []

    def _seconds_left(self, total: int | None) -> float | None:
        left = self._pace.seconds_left(total) if total and total > self._done else None
        if self._within_seconds is None:
            return left
        until = max(0.0, self._within_seconds - self._pace.seconds)
        return until if left is None else min(left, until)


def _bar(share: float) -> str:
    filled = int(BAR_CELLS * share)
    return "━" * filled + "╌" * (BAR_CELLS - filled)


@contextmanager
def show_progress(
    stage: str,
    *,
    quiet: bool = False,
    spent: Spent = lambda: "",
    within_seconds: float | None = None,
    told_every_seconds: float = TOLD_EVERY_SECONDS,
) -> Iterator[StageProgress | None]:
    """The progress of one stage while the block runs; None when nothing is to be shown."""
    if quiet:
        yield None
        return
    progress = StageProgress(stage, spent, within_seconds)
    board = Board.of(sys.stderr)
    if board:
        _draw(progress, board)
        try:
            with _every(DRAWN_EVERY_SECONDS, lambda: _draw(progress, board)):
                yield progress
        finally:
            _leave(board)
    else:
        with _every(told_every_seconds, lambda: _tell(progress)):
            yield progress


def hand_on(given: int) -> None:
    """Tell the stage behind this one in the pipe, if it draws on the same terminal, how many records it gets."""
    if is_pipe(sys.stdout) and (board := Board.of(sys.stderr)):
        _leave(board, given)


def is_pipe(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return False


def _leave(board: Board, given: int | None = None) -> None:
    with suppress(OSError):  # a run does not end because nobody can see how far it is
        board.leave(given)


def _draw(progress: StageProgress, board: Board) -> None:
    progress.measured()
    with suppress(OSError):
        if progress.total is None and is_pipe(sys.stdin):
            progress.learnt_total = board.given_before()
        board.show(progress.line(board.columns))


def _tell(progress: StageProgress) -> None:
    progress.measured()
    if progress.has_begun:
        print(progress.plain(), file=sys.stderr, flush=True)


@contextmanager
def _every(seconds: float, work: Callable[[], None]) -> Iterator[None]:
    """Do something again and again in a thread, as long as the block runs."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(seconds):
            work()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
