"""Processor time of a command and of all that it started, also of what outlived its own parent."""

import ctypes
import os
import resource
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

PR_SET_CHILD_SUBREAPER = 36
"""Of ``prctl`` in <sys/prctl.h>."""


def seconds_of(command: list[str], **options: Any) -> tuple[float, "subprocess.CompletedProcess[bytes]"]:
    """User and system time until the last process has ended, and how the command itself ended.

    Whoever's parent ends becomes a child of this process (a server that forks workers, for one), and is waited for.
    """
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    others, before = _children(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, **options)
    while _children() - others:
        for orphan in _children() - others:
            with suppress(ChildProcessError):
                os.waitpid(orphan, os.WNOHANG)
        time.sleep(0.01)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done


def _children() -> set[int]:
    """Of all threads of this process."""
    files = Path("/proc/self/task").glob("*/children")
    return {int(child) for file in files for child in file.read_text().split()}
