"""What lies in the folder of an index, and how a reader and a killed writer know how far it goes.

``terms/``
    tantivy's files: one document for each passage. A commit is whole or not there (one rename).
``commits.jsonl``
    two lines, of the last commit and of the next, written before that: how many passages it makes, and what of which
    file of pages they are. Passages are only ever added, so their number tells which of the two came about.
``pages.table``
    where the line of each page stands: ``ROW`` bytes a page, in the order of the pages.
``pages.zst``
    the lines of compressed files, which cannot be read at any place, as zstd frames. Other lines stay where they are.
``vectors.*``
    the vectors of the passages, if they have any: ``vectors.py``.
"""

import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import tantivy

from webdancer_cli.data.whole_file import write_whole
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


def commit_of(folder: Path, passages: int) -> Commit | None:
    """The commit that made so many passages; None if there have been two others since. Raises UsageError for what
    another version wrote."""
    path = folder / COMMITS
    found = Commit() if passages == 0 else None
    for line in path.read_bytes().splitlines() if path.is_file() else []:
        try:
            commit = msgspec.json.decode(line, type=Commit)
        except msgspec.DecodeError as error:
            raise UsageError(f"{path}: {error}: build the index anew") from None
        if commit.format != FORMAT:
            raise UsageError(f"{folder}: an index of format {commit.format}, not {FORMAT}: build it anew")
        found = commit if commit.passages == passages else found
    return found


def write_commits(folder: Path, last: bytes, coming: bytes) -> None:
    """By one rename: whoever reads sees these two or those before."""
    write_whole(folder / COMMITS, last + coming)


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
