"""``webdancer index``: files of pages into an index on disk, in pieces that are whole or not there.

A run that was killed is gone on with from its last commit; so is an index whose files have grown, or that is given
further ones. What was read before is only hashed again, to be sure that it is still the same.
"""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import tantivy

from webdancer_cli.data.input_streams import Lines
from webdancer_cli.data.jsonl import BadLine
from webdancer_cli.data.key_set import KeySet
from webdancer_cli.data.locks import FOLDER_LOCK
from webdancer_cli.errors import UsageError
from webdancer_cli.web.fixed_pages import PageLine, parse_entry
from webdancer_cli.web.page_index import layout
from webdancer_cli.web.page_index.layout import (
    COMMITS,
    COPY,
    ROW_NUMBER,
    TABLE,
    TERMS,
    URL_KEY,
    WORDS,
    IndexedFile,
    Row,
)
from webdancer_cli.web.page_index.passages import passage_words
from webdancer_cli.web.page_index.sources import CopiedLines, PageSource, open_source
from webdancer_cli.web.urls import page_hash

HEAP_BYTES = 256_000_000
"""Of postings in memory before tantivy writes a segment."""
COMMIT_PAGES = 50_000
COMMIT_SECONDS = 20.0
"""A killed run loses at most so much work."""


class PageIndexWriter:
    """Adds files of pages to an index, and makes it if there is none. Whoever opens it holds the folder.

    ``added`` and ``repeated`` count the pages of this run: those that are new, and those whose URL was there already.
    Raises UsageError for a folder that holds something else, or an index that another version wrote.
    """

    def __init__(self, folder: str):
        self.folder = Path(folder)
        self.added = self.repeated = 0
        self._schema = layout.schema()
        index = _open_or_make(self.folder, self._schema)
        self._writer = index.writer(HEAP_BYTES, num_threads=1)
        state = layout.commit_of(self.folder, index.searcher().num_docs)
        if state is None:
            raise UsageError(f"{folder}: its {COMMITS} does not fit its {TERMS}: build the index anew")
        self._state = state
        self._numbers = _places(self.folder, state.files)
        self._known = KeySet()
        for row in layout.table_rows(self.folder / TABLE, self._state.pages):
            self._known.update(str(key) for key in (row.key, row.asked_key) if key)
        self._table = open(self.folder / TABLE, "ab")  # noqa: SIM115
        self._table.truncate(self._state.pages * layout.ROW_BYTES)
        self._copy = CopiedLines(self.folder / COPY, self._state.copied_bytes)
        self._last_commit = _line(self._state)
        self._committed_pages, self._committed_at = self._state.pages, time.monotonic()

    def __len__(self) -> int:
        return self._state.pages

    def add_file(self, path: str, on_bad: BadLine, tell: Callable[[], None]) -> None:
        """Add what of a file is not in the index yet. ``tell`` is called for each page.

        Raises UsageError if the file cannot be read, or is no longer the one that was read before.
        """
        known = self._numbers.get(Path(path).resolve())
        if known is not None and _is_as_it_was(self._state.files[known], path):
            return
        with open_source(path) as source:
            number = self._new_file(path, source.copied) if known is None else known
            file, status = self._state.files[number], Path(path).stat()
            digest = _read_again(source.lines, file)
            for line in iter(source.lines.readline, b""):
                if not self._add_line(line, source, number, f"{path}:{file.lines + 1}", on_bad):
                    break  # the file ends within a line, which may still be written
                digest.update(line)
                file.bytes, file.lines, file.sha256 = file.bytes + len(line), file.lines + 1, digest.hexdigest()
                tell()
                self._commit_now_and_then()
        file.size, file.modified_ns = status.st_size, status.st_mtime_ns

    def _new_file(self, path: str, copied: bool) -> int:
        place = Path(path).resolve()
        near = os.path.relpath(place, self.folder.resolve())
        self._numbers[place] = len(self._state.files)
        self._state.files.append(IndexedFile(near, str(place), copied, sha256=hashlib.sha256().hexdigest()))
        return len(self._state.files) - 1

    def _add_line(self, line: bytes, source: PageSource, number: int, name: str, on_bad: BadLine) -> bool:
        """Whether the line is whole: a last one that is no page and has no end is not."""
        if not line.strip():
            return True
        entry = parse_entry(line, name)
        if not isinstance(entry, PageLine):
            if not line.endswith(b"\n"):
                return False
            on_bad(entry)
            return True
        key, asked = page_hash(entry.url), page_hash(entry.requested_url) if entry.requested_url else 0
        if not self._known.add(str(key)):
            self.repeated += 1
            return True
        if asked and not self._known.add(str(asked)):
            asked = 0
        start, within = self._place(line, source, number)
        self._table.write(Row(start, len(line), within, number, key, asked).packed())
        self._add_passages(entry, [key, asked] if asked else [key])
        return True

    def _place(self, line: bytes, source: PageSource, number: int) -> tuple[int, int]:
        if source.copied:
            return self._copy.add(line)
        return source.start + self._state.files[number].bytes, 0

    def _add_passages(self, entry: PageLine, keys: list[int]) -> None:
        for words in passage_words(entry):
            document = tantivy.Document()
            document.add_text(WORDS, words)
            document.add_unsigned(ROW_NUMBER, self._state.pages)
            for key in keys:
                document.add_unsigned(URL_KEY, key)
            keys = []
            self._writer.add_document(document)
            self._state.passages += 1
        self._state.pages += 1
        self.added += 1

    def _commit_now_and_then(self) -> None:
        pages = self._state.pages - self._committed_pages
        if pages >= COMMIT_PAGES or (pages and time.monotonic() - self._committed_at > COMMIT_SECONDS):
            self.commit()

    def commit(self) -> None:
        """What is in the index now stays, whatever happens; readers that open it from now on see it."""
        self._state.copied_bytes = self._copy.flush()
        self._table.flush()
        os.fsync(self._table.fileno())
        next_commit = _line(self._state)
        layout.write_commits(self.folder, self._last_commit, next_commit)
        self._writer.commit()
        self._last_commit = next_commit
        self._committed_pages, self._committed_at = self._state.pages, time.monotonic()

    def close(self) -> None:
        """Wait until tantivy has merged what it wants to merge. What was not committed is lost."""
        self._writer.wait_merging_threads()
        for stream in (self._table, self._copy):
            stream.close()


def _places(folder: Path, files: list[IndexedFile]) -> dict[Path, int]:
    """The numbers of files, by where they were and by where they are if they were moved with the index."""
    far = {Path(file.absolute): number for number, file in enumerate(files)}
    return far | {(folder / file.path).resolve(): number for number, file in enumerate(files)}


def _line(commit: layout.Commit) -> bytes:
    return msgspec.json.encode(commit) + b"\n"


def _open_or_make(folder: Path, schema: tantivy.Schema) -> tantivy.Index:
    held = {entry.name for entry in folder.iterdir()} - {FOLDER_LOCK} if folder.is_dir() else set()
    if held and TERMS not in held:
        raise UsageError(f"{folder}: holds something else than an index: name another folder")
    try:
        (folder / TERMS).mkdir(parents=True, exist_ok=True)
        return tantivy.Index(schema, str(folder / TERMS))
    except ValueError as error:
        raise UsageError(f"{folder}: {error}: build the index anew, in another folder") from None
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}: name a folder that can be written") from None


def _is_as_it_was(file: IndexedFile, path: str) -> bool:
    status = Path(path).stat() if Path(path).exists() else None
    return status is not None and (file.size, file.modified_ns) == (status.st_size, status.st_mtime_ns)


def _read_again(lines: Lines, file: IndexedFile) -> "hashlib._Hash":
    """The digest of what of a file is in the index; the next line is the first that is not.

    Raises UsageError if it is not what it was.
    """
    digest, left = hashlib.sha256(), file.bytes
    while left and (line := lines.readline(left)):
        digest.update(line)
        left -= len(line)
    if left or digest.hexdigest() != file.sha256:
        raise UsageError(f"{file.absolute}: is not what was indexed: pages may only be added to it; build anew")
    return digest
