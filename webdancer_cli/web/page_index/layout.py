"""What lies in the folder of an index, and how a reader and a killed writer know how far it goes.

``terms/``
    tantivy's files: one document for each passage. A commit is whole or not there (one rename).
``commits.jsonl``
    one line for each commit, written before it: how many passages it makes, and what of which file of pages they are.
    Passages are only ever added, so their number tells which line is the one of the commit that came about.
``pages.table``
    where the line of each page stands: ``ROW`` bytes a page, in the order of the pages.
``pages.zst``
    the lines of compressed files, which cannot be read at any place, as zstd frames. Other lines stay where they are.
"""

import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import msgspec
import tantivy

from webdancer_cli.data import jsonl
from webdancer_cli.errors import UsageError

FORMAT = 1
TERMS, COMMITS, TABLE, COPY = "terms", "commits.jsonl", "pages.table", "pages.zst"

WORDS, ROW_NUMBER, URL_KEY = "words", "page", "url"
"""The fields of a passage: its stems, the row of its page, and (of a page's first passage) the keys of its URLs."""


class IndexedFile(msgspec.Struct):
    """A file of pages, and how much of it is in the index: ``sha256`` is that of its first ``bytes`` as UTF-8."""

    path: str
    """Seen from the index, so that both can be moved together."""
    absolute: str
    copied: bool
    bytes: int = 0
    lines: int = 0
    sha256: str = ""
    size: int = -1
    modified_ns: int = -1
    """Size and time of the file when its end was reached: nothing is new in one that has both still."""


class Commit(msgspec.Struct):
    """How far an index goes. Of ``pages.table`` and ``pages.zst`` only so much belongs to it."""

    passages: int = 0
    pages: int = 0
    copied_bytes: int = 0
    files: list[IndexedFile] = []
    format: int = FORMAT

    @property
    def digest(self) -> str:
        """Of the pages' content: of one file, the SHA-256 of its bytes; of several, that of theirs."""
        digests = [file.sha256 for file in self.files]
        return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


def commits(folder: Path) -> Iterator[Commit]:
    """The lines of the log; one that a kill tore is left out. Raises UsageError for what another version wrote."""
    path = folder / COMMITS
    for line in path.read_bytes().splitlines(keepends=True) if path.is_file() else []:
        if not line.endswith(b"\n"):
            return
        try:
            commit = msgspec.json.decode(line, type=Commit)
        except msgspec.DecodeError as error:
            raise UsageError(f"{path}: {error}: build the index anew") from None
        if commit.format != FORMAT:
            raise UsageError(f"{folder}: an index of format {commit.format}, not {FORMAT}: build it anew")
        yield commit


def commit_of(folder: Path, passages: int) -> Commit:
    """The commit that made so many passages. Raises UsageError if the log does not know it."""
    found = Commit() if passages == 0 else None
    for commit in commits(folder):
        found = commit if commit.passages == passages else found
    if found is None:
        raise UsageError(f"{folder}: its {COMMITS} does not fit its {TERMS}: build the index anew")
    return found


def open_commit_log(folder: Path) -> IO[bytes]:
    """The log, to be added to."""
    path = folder / COMMITS
    jsonl.cut_torn_line(str(path))
    return open(path, "ab")


class Row(NamedTuple):
    """Where the line of a page stands: ``length`` bytes from ``start`` of the file; or, where it was copied, ``within``
    the frame that starts there. ``keys`` are the hashes of its URL and of the one that was asked for (0: the same)."""

    start: int
    length: int
    within: int
    file: int
    key: int
    asked_key: int

    def packed(self) -> bytes:
        return _ROW.pack(*self)


_ROW = struct.Struct("<QIIQQQ")
ROW_BYTES = _ROW.size


def row_at(descriptor: int, number: int) -> Row:
    return Row(*_ROW.unpack(os.pread(descriptor, ROW_BYTES, number * ROW_BYTES)))


def table_rows(path: Path, count: int) -> Iterator[Row]:
    """The first so many rows of a table."""
    if not count:
        return
    with open(path, "rb") as table:
        for _ in range(count):
            yield Row(*_ROW.unpack(table.read(ROW_BYTES)))


def schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field(WORDS, tokenizer_name="whitespace", index_option="freq")
    builder.add_unsigned_field(ROW_NUMBER, fast=True)
    builder.add_unsigned_field(URL_KEY, indexed=True)
    return builder.build()
