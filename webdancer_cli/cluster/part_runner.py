"""One part, from its input to its manifest: the same wherever it runs.

The stage is a process of its own. What ends it without its doing (a signal, a lost machine) is tried again from where
it was; what it says itself (a wrong option, a spent budget) is not.
"""

import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from webdancer_cli.cluster.child import PARENT
from webdancer_cli.cluster.map_folder import Manifest, MapFolder, StageSummary
from webdancer_cli.data import locks
from webdancer_cli.errors import EXIT_OK, EXIT_SOME_FAILED, EXIT_USAGE, UsageError

ATTEMPTS = 3
_CODES_OF_DONE = (EXIT_OK, EXIT_SOME_FAILED)
_POLL_SECONDS = 0.05
_GRACE_SECONDS = 10.0
"""A child that is told to end may take so long to write what it has."""
PART, INPUT = "{part}", "{input}"
"""Stand in the words of a stage for the name of the part, and the path of its input."""


class PartTask(msgspec.Struct, frozen=True):
    """What has to be known on any machine to do a part. ``words`` are those of the command line of the stage."""

    part: str
    input: str
    out: str
    folder: str
    """Where the command was given: paths in ``words`` are seen from there."""
    words: list[str]
    version: str


class PartOutcome(msgspec.Struct):
    """``manifest`` if the part is done, else why it is not."""

    part: str
    manifest: Manifest | None = None
    failure: str = ""
    is_usage: bool = False
    already: bool = False


def run_part(task: PartTask, stop: threading.Event | None = None, *, lock_seconds: float = 0.0) -> PartOutcome:
    """Do a part that is not done yet. Raises UsageError if another process still does it after ``lock_seconds``. Ends
    early when ``stop`` is set."""
    folder = MapFolder(task.out)
    folder.aside.mkdir(parents=True, exist_ok=True)
    with _held(folder.beside(task.part, "lock"), lock_seconds):
        if folder.changed(task.part, Path(task.input)):
            said = f"{task.input} was changed since the part was begun: give the same, or another --out"
            return PartOutcome(task.part, failure=said, is_usage=True)
        if folder.is_done(task.part):
            return PartOutcome(task.part, folder.manifest(task.part), already=True)
        folder.begin(task.part)
        said = ""
        for attempt in range(1, ATTEMPTS + 1):
            code = _run_stage(task, folder, stop)
            if stop and stop.is_set():
                return PartOutcome(task.part, failure="interrupted")
            summary = _summary(folder.beside(task.part, "summary.json"))
            if code in _CODES_OF_DONE and summary and not summary.stopped:
                versions = {"webdancer": task.version, "python": platform.python_version()}
                manifest = Manifest(task.part, code, attempt, summary, {}, versions)
                folder.finish(manifest, Path(task.input))
                return PartOutcome(task.part, manifest)
            said = _last_line(folder.beside(task.part, "log")) or f"exit code {code}"
            if code in (*_CODES_OF_DONE, EXIT_USAGE):
                return PartOutcome(task.part, failure=said, is_usage=code == EXIT_USAGE)
        return PartOutcome(task.part, failure=f"ended {ATTEMPTS} times, the last with exit code {code}: {said}")


@contextmanager
def _held(lock: Path, seconds: float) -> Iterator[None]:
    until = time.monotonic() + seconds
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(locks.hold_outputs([str(lock)]))
                break
            except UsageError:
                if time.monotonic() >= until:
                    raise
                time.sleep(_POLL_SECONDS)
        yield


def _run_stage(task: PartTask, folder: MapFolder, stop: threading.Event | None) -> int:
    """The exit code of the stage, below zero for a signal."""
    summary = folder.beside(task.part, "summary.json")
    summary.unlink(missing_ok=True)
    words = [word.replace(PART, task.part).replace(INPUT, task.input) for word in task.words]
    if not any(INPUT in word for word in task.words):
        words += ["--data", task.input]
    words += ["--out", str(folder.beside(task.part, "partial")), "--rejects", str(folder.beside(task.part, "rejects"))]
    words += ["--summary", str(summary), "--resume"]
    command = [sys.executable, "-m", "webdancer_cli.cluster.child", f"{PARENT}{os.getpid()}", *words]
    with open(folder.beside(task.part, "log"), "ab") as log:
        process = subprocess.Popen(
            command, cwd=task.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        try:
            return _waited_for(process, stop)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def _waited_for(process: "subprocess.Popen[bytes]", stop: threading.Event | None) -> int:
    while process.poll() is None and not (stop and stop.is_set()):
        time.sleep(_POLL_SECONDS)
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def _summary(path: Path) -> StageSummary | None:
    """None if the stage did not come to its end."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=StageSummary)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _last_line(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").splitlines()
    return lines[-1] if lines else ""
