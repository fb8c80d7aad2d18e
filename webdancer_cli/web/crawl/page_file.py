"""The file that new pages go to, and how far it goes: what was written when a run was killed is not written again."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from webdancer_cli.data import jsonl
from webdancer_cli.data.input_streams import STDIN
from webdancer_cli.data.jsonl import BadLine, LineWriter
from webdancer_cli.data.records import Page
from webdancer_cli.web.crawl.crawl_database import SUFFIX, CrawlDatabase, discard
from webdancer_cli.web.page_lines import read_pages

LAST_BYTES = 1 << 12
"""Of the end of the file, to tell that it is the one that was written."""


@contextmanager
def open_page_file(path: str, asked: object, *, resume: bool, at_once: bool = False) -> Iterator["PageFile"]:
    """The file of pages of a run, with its database. ``asked`` is what has to be the same to go on with
    that; ``at_once`` it stands beside the pages from the beginning."""
    file = PageFile(path, msgspec.json.encode(asked).decode(), resume, at_once)
    try:
        yield file
    finally:
        file.close()


class PageFile:
    """Pages of an earlier run come from ``earlier``, new ones go through ``write``. ``database`` remembers what else
    the run has to know; where that is not there, or about another file, it begins anew."""

    def __init__(self, path: str, identity: str, resume: bool, at_once: bool):
        self.path = path
        self._resume = resume
        is_file = path != STDIN and (Path(path).is_file() or not Path(path).exists())
        self._place = Path(path + SUFFIX) if is_file else None
        self._writer: LineWriter | None = None
        self.database = CrawlDatabase(self._place, identity, resume=resume, at_once=at_once)
        if self.database.is_resumed and not self._is_as_it_was():
            self.database.close()
            self.database = CrawlDatabase(self._place, identity, at_once=at_once)

    def _is_as_it_was(self) -> bool:
        size = self.database.noted("pages_bytes", 0)
        return _end_digest(self.path, size) == self.database.noted("pages_end", "")

    def earlier(self, on_bad: BadLine) -> Iterator[Page]:
        """What an interrupted run left, which is mended; nothing unless it is to be resumed."""
        if not (self._resume and Path(self.path).is_file()):
            return
        if self.database.is_resumed:
            os.truncate(self.path, self.database.noted("pages_bytes", 0))
        else:
            jsonl.cut_torn_line(self.path)
            self._note_size()
        yield from read_pages(self.path, on_bad)

    def open(self, *, append: bool) -> None:
        """To be called when the earlier pages were read. Without ``append`` the first new one takes their place."""
        self._writer = LineWriter(self.path, append=append)

    def write(self, page: Page) -> None:
        """Write a page, and note in the database how far the file goes."""
        assert self._writer
        if self._place and not (self._writer.count or self.database.is_saved):
            discard(self._place)  # about other pages than those that the file has from now on
        self._writer.write(page)
        if self._place:
            self._note_size()

    def _note_size(self) -> None:
        size = Path(self.path).stat().st_size
        self.database.note("pages_bytes", size)
        self.database.note("pages_end", _end_digest(self.path, size))

    def close(self) -> None:
        """A run that keeps no page leaves what another wrote: a mistyped root must not cost a corpus."""
        try:
            if self._writer:
                self._writer.close(failed=not self._writer.count)
        finally:
            self.database.close()


def _end_digest(path: str, size: int) -> str:
    """Of the last bytes before ``size``; "" where there are not so many."""
    if not Path(path).is_file() or Path(path).stat().st_size < size:
        return ""
    with open(path, "rb") as file:
        file.seek(max(0, size - LAST_BYTES))
        return hashlib.sha256(file.read(size - file.tell())).hexdigest()
