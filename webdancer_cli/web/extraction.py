"""Extraction beside the event loop: in a thread for a few pages, in processes of its own for many.

Main text costs some 30 ms of CPU a page, nearly all of a crawl. Threads keep the loop responsive, processes use the
other cores; they take a second to start, so a small crawl never starts them, and a large one does not wait for them.
"""

import asyncio
import multiprocessing
import os
import signal
import threading
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from lxml.etree import LxmlError

from webdancer_cli.errors import Reject
from webdancer_cli.web.gate import Document, Reading, Terms, read

PAGES_BEFORE_PROCESSES = 100

TRIPPED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    LxmlError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)
"""What a library raises on HTML that it was not written for. Policy: no document of the web may end a crawl."""


class Extraction:
    """Where HTML becomes pages. Use as ``with Extraction() as extraction``."""

    def __init__(self, processes: int | None = None):
        self._processes = _cores() if processes is None else processes
        self._pages = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="extraction")
        self._pool: ProcessPoolExecutor | None = None
        self._starting: list[Future[int]] = []

    async def read(self, document: Document, terms: Terms) -> Reading:
        """The page of a document, judged. Raises Reject ``extraction_failed`` when its HTML defeats the libraries."""
        self._pages += 1
        pool = self._executor()
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, read, document, terms)
        except BrokenProcessPool:
            if self._pool is pool:
                self._pool = None
            raise Reject("extraction_failed", f"{document.url}: the process that read it died") from None
        except TRIPPED as error:
            raise Reject("extraction_failed", f"{document.url}: {type(error).__name__}: {error}") from None

    def _executor(self) -> ThreadPoolExecutor | ProcessPoolExecutor:
        if self._pages <= PAGES_BEFORE_PROCESSES or self._processes < 2:
            return self._thread
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._processes, context, initializer=_prepare_worker)
            self._starting = [self._pool.submit(_ready) for _ in range(self._processes)]
        return self._pool if all(start.done() for start in self._starting) else self._thread

    def __enter__(self) -> "Extraction":
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def _prepare_worker() -> None:
    """A Ctrl-C is the parent's to handle, and a worker must not outlive a parent that was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _ready() -> int:
    """Says that a worker has imported what it needs: to find this function it had to."""
    return os.getpid()


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(0)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
