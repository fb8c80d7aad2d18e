"""Ends a process that does not come on: a deadline that holds even where the event loop itself is stuck.

Episodes, turns and tools have deadlines of their own. What is left is code that blocks the loop, or a server that
takes new weights and never says so: nobody would be told, and every other rank would wait.
"""

import faulthandler
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from webdancer_cli.errors import EXIT_SOME_FAILED

GRACE_SECONDS = 10.0
"""How much later than its own deadline something may end."""
GRACE_SHARE = 0.1
SHOWN = 5


class Watchdog:
    """Watches what a run waits for; ``under_way`` tells what has begun and not ended."""

    def __init__(self, log: Path, under_way: Callable[[], Sequence[str]], resumable: Callable[[], bool]):
        self._log = log
        self._under_way = under_way
        self._resumable = resumable

    @contextmanager
    def watching(self, what: str, seconds: float) -> Iterator[None]:
        """When the block takes much longer than ``seconds``, the process says so and ends, with exit code 1."""
        timer = threading.Timer(seconds * (1 + GRACE_SHARE) + GRACE_SECONDS, self._end, (what, seconds))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _end(self, what: str, seconds: float) -> None:
        stuck = list(self._under_way())
        named = f"; under way: {', '.join(stuck[:SHOWN])}" + (f" and {len(stuck) - SHOWN} more" * (len(stuck) > SHOWN))
        with open(self._log, "w") as log:
            faulthandler.dump_traceback(log, all_threads=True)
        remedy = "; --resume goes on from the last checkpoint" if self._resumable() else ""
        print(
            f"webdancer rl: {what} did not end within {seconds:g} s (--step-seconds)"
            f"{named if stuck else ''}; where each thread is stands in {self._log}{remedy}",
            file=sys.stderr,
            flush=True,
        )
        os._exit(EXIT_SOME_FAILED)
