"""One terminal, several stages of a pipe: each has a line of its own, and nobody writes over it.

The stages of a job know of each other by a small file, named for the terminal and the job, that holds the line of each.
Whoever has something new takes the file's lock, and draws the lines of all, in the order in which the stages were
started. Between two drawings the cursor stands at the first of these lines: what anybody else writes is not lost, and
the lines are drawn anew below it.
"""

import fcntl
import os
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

import msgspec

CLEAR_LINE, CLEAR_BELOW = "\x1b[K", "\x1b[J"
NARROWEST = 20
"""Columns of a terminal that does not know how wide it is, or is no wider."""


class StageLine(msgspec.Struct):
    """A stage of the job. ``given`` is how many records it has handed on, once it has ended."""

    pid: int
    line: str = ""
    given: int | None = None
    has_ended: bool = False


class Board:
    """The lines of the stages of one job on one terminal, of which one is this process's.

    Everything raises OSError where the file that the stages share cannot be kept.
    """

    def __init__(self, terminal: int, path: Path):
        self._terminal = terminal
        self._path = path

    @classmethod
    def of(cls, stream: TextIO | None) -> "Board | None":
        """The board of the terminal that a stream goes to; None where nothing can be drawn."""
        if stream is None or os.environ.get("TERM", "") in ("", "dumb"):
            return None
        try:
            terminal = stream.fileno()
            if not os.isatty(terminal) or _in_background(terminal):
                return None
            device = os.fstat(terminal).st_rdev
        except (OSError, ValueError):
            return None
        name = f"webdancer-{os.getuid()}-{device:x}-{os.getpgrp()}"
        return cls(terminal, Path(os.environ.get("XDG_RUNTIME_DIR") or os.environ.get("TMPDIR") or "/tmp") / name)

    @property
    def columns(self) -> int:
        try:
            return max(NARROWEST, os.get_terminal_size(self._terminal).columns)
        except OSError:
            return NARROWEST

    def show(self, line: str) -> None:
        """Draw this process's line anew, and with it those of the others."""
        with self._stages() as stages:
            _own(stages).line = line
            self._write(self._drawn(stages))

    def tell(self, text: str, *, as_it_is: bool = False) -> None:
        """Write lines that stay, above those that are drawn; long ones in several, unless ``as_it_is``."""
        with self._stages() as stages:
            lines = text.split("\n")
            if not as_it_is:
                lines = [part for line in lines for part in _wrapped(line, self.columns - 1)]
            if not any(stage.line for stage in stages):
                self._write("".join(f"{line}\n" for line in lines))
                return
            above = "".join(f"{line}{CLEAR_LINE}\n" for line in lines)
            self._write("\r" + above + self._drawn(stages))

    def leave(self, given: int | None = None) -> None:
        """Take this process's line off. ``given``: how many records it has handed on, for the stage behind it."""
        with self._stages() as stages:
            mine = _own(stages)
            was_drawn = any(stage.line for stage in stages)
            mine.line, mine.given, mine.has_ended = "", given, True
            if was_drawn:
                self._write(self._drawn(stages))

    def given_before(self) -> int | None:
        """How many records the stage before has handed on, if it has ended."""
        with self._stages() as stages:
            before = [stage for stage in stages if stage.pid < os.getpid()]
            return before[-1].given if before and before[-1].has_ended else None

    def _drawn(self, stages: list[StageLine]) -> str:
        """The lines of all who have one, as they are written; the cursor then is at the beginning of the first."""
        shown = [clipped(stage.line, self.columns - 1) for stage in stages if stage.line]
        up = f"\x1b[{len(shown) - 1}A" if len(shown) > 1 else ""
        return "\r" + f"{CLEAR_LINE}\n".join(shown) + CLEAR_LINE + CLEAR_BELOW + up + "\r"

    def _write(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        with suppress(OSError):  # a terminal that was closed
            while data:
                data = data[os.write(self._terminal, data) :]

    @contextmanager
    def _stages(self) -> Iterator[list[StageLine]]:
        """The stages of the job, by their process ids, while nobody else draws. Those that were killed are left out."""
        descriptor = self._locked()
        try:
            stages = [stage for stage in _read(descriptor) if stage.has_ended or _is_alive(stage.pid)]
            yield stages
            if all(stage.has_ended for stage in stages):
                self._path.unlink(missing_ok=True)
            else:
                _replace(descriptor, stages)
        finally:
            os.close(descriptor)

    def _locked(self) -> int:
        """The file, held. One that was removed while it was waited for is not the job's any more."""
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            found = os.fstat(descriptor)
            if found.st_uid != os.getuid():
                os.close(descriptor)
                raise PermissionError(f"{self._path}: is another user's")
            if found.st_nlink:
                return descriptor
            os.close(descriptor)


def tell(text: str, *, as_it_is: bool = False) -> None:
    """Write lines on stderr, above what stages draw there; on a terminal long ones in several, unless ``as_it_is``."""
    if sys.stderr is None:
        return
    if board := Board.of(sys.stderr):
        sys.stderr.flush()
        with suppress(OSError):
            board.tell(text, as_it_is=as_it_is)
            return
    print(text, file=sys.stderr, flush=True)


def _wrapped(line: str, columns: int) -> list[str]:
    """A message in lines of whole words; what stands in columns, or has only long words, stays as it is."""
    if len(line) <= columns or "  " in line.strip():
        return [line]
    return textwrap.wrap(line, columns, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def clipped(line: str, columns: int) -> str:
    return line if len(line) <= columns else line[: columns - 1] + "…"


def _own(stages: list[StageLine]) -> StageLine:
    """The line of this process, which is put among the others by its id: a shell starts a pipe from left to right."""
    pid = os.getpid()
    if not any(stage.pid == pid for stage in stages):
        stages.append(StageLine(pid))
        stages.sort(key=lambda stage: stage.pid)
    return next(stage for stage in stages if stage.pid == pid)


def _read(descriptor: int) -> list[StageLine]:
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        return msgspec.json.decode(os.read(descriptor, 1 << 20) or b"[]", type=list[StageLine])
    except msgspec.DecodeError:
        return []


def _replace(descriptor: int, stages: list[StageLine]) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, msgspec.json.encode(stages), 0)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _in_background(terminal: int) -> bool:
    """Whether another job has the terminal; False where it is nobody's."""
    try:
        return os.tcgetpgrp(terminal) not in (0, os.getpgrp())
    except OSError:
        return False
