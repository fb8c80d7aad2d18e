"""How long code computes, on a machine that does other things as well."""

import gc
import time
from collections.abc import Callable


def processor_seconds(code: Callable[[], object], tries: int = 3) -> float:
    """The least of ``tries`` runs, in seconds of this thread: no other thread counts, and no collection of
    what earlier tests left (over a second where thousands ran before)."""
    collects = gc.isenabled()
    gc.disable()
    try:
        return min(_once(code) for _ in range(tries))
    finally:
        if collects:
            gc.enable()


def _once(code: Callable[[], object]) -> float:
    start = time.thread_time()
    code()
    return time.thread_time() - start
