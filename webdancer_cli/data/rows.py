"""The rows of any file: JSON lines, whole JSON documents and tables, told apart by how they begin.

A row is an object that has one of certain columns (a question, a prediction). A column is known by its name in any
case; "_" and "-" count as spaces.
"""

import io
import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

import msgspec

from webdancer_cli.data import tables
from webdancer_cli.data.binary_tables import binary_rows, is_binary_table
from webdancer_cli.data.input_streams import Lines
from webdancer_cli.data.jsonl import MAX_LINE_BYTES, BadLine, refuse_other_kind, report_bad_line, stream_values
from webdancer_cli.data.records import Record, Rejected
from webdancer_cli.errors import UsageError

DELIMITERS = ",;\t"
MOST_DOCUMENT_BYTES = MAX_LINE_BYTES
"""A JSON document is read whole."""
DEEPEST = 6
"""Objects within objects in which rows are looked for."""

Row = tuple[str, object]
"""The place of a row, for messages, and what stands there: a row, unless the file is amiss."""


@lru_cache(maxsize=1024)
def spelled(name: str) -> str:
    return name.casefold().replace("_", " ").replace("-", " ").strip()


def column(names: Iterable[str], wanted: Sequence[str], *, filled: bool = False) -> str | None:
    """The name of a column by the best of the wanted names that is there; the exact spelling goes first.

    ``filled``: of a row, a column that holds something.
    """
    found: dict[str, str] = {}
    for name in names:
        if filled and isinstance(names, dict) and names[name] in (None, "", [], {}):
            continue
        plain = spelled(name)
        if name == plain or plain not in found:
            found[plain] = name
    return next((found[name] for name in wanted if name in found), None)


class RowReader:
    """Reads rows that have one of the columns ``known_by``, the best first; ``what`` says in a message what that is.

    Under the names ``decoded``, the cell of a table holds JSON. A file that clearly holds another kind of record than
    ``kind`` is refused. ``by_columns``: an object may hold a list for each column; else what holds one is a row.
    """

    def __init__(
        self,
        what: str,
        known_by: Sequence[str],
        *,
        decoded: Collection[str] = (),
        kind: type[Record] | None = None,
        by_columns: bool = True,
    ):
        self._what = what
        self._known_by = known_by
        self._decoded = decoded
        self._kind = kind
        self._by_columns = by_columns

    def read(self, name: str, stream: Lines, on_bad: BadLine | None = None) -> Iterator[Row]:
        """The rows of a stream. Raises UsageError for one that cannot be read."""
        begun = _Begun(stream)
        first = begun.first_line.strip()
        if is_binary_table(first):
            lines, is_whole = begun.read_all(MOST_DOCUMENT_BYTES)
            if not is_whole:
                raise UsageError(f"{name}: more than {MOST_DOCUMENT_BYTES} bytes: save it as JSON lines")
            return binary_rows(b"".join(lines), name)
        if first.startswith(b"[") or (first.startswith(b"{") and not self._is_row(first)):
            return self._document(begun, name, on_bad)
        delimiter = self._delimiter(first)
        if first and not delimiter and name.casefold().endswith((".csv", ".tsv")):
            expected = ", ".join(self._known_by)
            raise UsageError(f"{name}:1: the header names no {self._what}: expected one of {expected}")
        return self._table(begun, name, delimiter, on_bad) if delimiter else self._json_lines(begun, name, on_bad)

    def _column(self, names: Iterable[str]) -> str | None:
        return column(names, self._known_by)

    # ---- JSON ----

    def _is_row(self, line: bytes) -> bool:
        """Whether a line is an object by itself, and not one that holds rows."""
        try:
            value = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        return not (isinstance(value, dict) and self._holds_rows(value))

    def _holds_rows(self, value: dict[str, Any]) -> bool:
        name = self._column(value)
        if name and not self._by_columns:
            return False
        return isinstance(value[name], list | dict) if name else next(self._rows_in(value, ""), None) is not None

    def _document(self, begun: "_Begun", name: str, on_bad: BadLine | None) -> Iterator[Row]:
        """The rows of a JSON document: a list, an object that holds one somewhere, or an object of columns."""
        lines, is_whole = begun.read_all(MOST_DOCUMENT_BYTES)
        values = _values_in(b"".join(lines)) if is_whole else []
        if len(values) == 1:
            return self._rows_of(values[0], name)
        if values and all(isinstance(value, dict) for value in values):
            return ((f"{name}: item {number}", value) for number, value in enumerate(values, 1))
        if is_whole and not values and not any(map(_is_object, lines)):
            raise UsageError(f"{name}: not a whole JSON document: it was cut off, or is damaged")
        return self._json_lines(_Begun(begun, lines), name, on_bad)

    def _rows_of(self, document: Any, name: str) -> Iterator[Row]:
        """The rows that a document holds; one that holds none is a row itself, or a list of them, to be told of."""
        if not (isinstance(document, dict) and self._column(document) and not self._holds_rows(document)):
            found = list(self._rows_in(document, name))
            if found or document == []:
                return iter(found)
        if isinstance(document, list):
            return ((f"{name}: item {number}", item) for number, item in enumerate(document, 1))
        if self._kind:
            refuse_other_kind(f"{name}:1", self._kind, document)
        return iter([(f"{name}:1", document)])

    def _rows_in(self, value: object, place: str, depth: int = 0) -> Iterator[Row]:
        """The rows in a document: items of its lists, all of them if any is a row."""
        if depth > DEEPEST:
            return
        if isinstance(value, dict):
            if columns := self._as_columns(value):
                yield from ((f"{place}: row {number}", row) for number, row in enumerate(columns, 1))
                return
            if value and all(isinstance(part, dict) and self._column(part) for part in value.values()):
                yield from ((f"{place}: {key!r}", row) for key, row in value.items())
                return
            for part in value.values():
                if isinstance(part, list | dict):
                    yield from self._rows_in(part, place, depth + 1)
        elif isinstance(value, list):
            if any(isinstance(item, dict) and self._column(item) for item in value):
                yield from ((f"{place}: item {number}", item) for number, item in enumerate(value, 1))
                return
            for part in value:
                if isinstance(part, list | dict):
                    yield from self._rows_in(part, place, depth + 1)

    def _as_columns(self, value: dict[str, Any]) -> list[dict[str, Any]]:
        """The rows of an object of columns, which are lists or objects by row; none if it is no such object."""
        name = self._column(value)
        if not self._by_columns or not name or not isinstance(value[name], list | dict):
            return []
        columns = {key: list(part.values()) if isinstance(part, dict) else part for key, part in value.items()}
        height = len(columns[name])
        columns = {key: part for key, part in columns.items() if isinstance(part, list) and len(part) == height}
        return [{key: part[at] for key, part in columns.items()} for at in range(height)]

    def _json_lines(self, stream: "_Begun", name: str, on_bad: BadLine | None) -> Iterator[Row]:
        first = True
        for place, _, value in stream_values(stream, name, on_bad):
            if first and self._kind and isinstance(value, dict) and not self._column(value):
                refuse_other_kind(place, self._kind, value)
            first = False
            yield place, value

    # ---- tables ----

    def _delimiter(self, line: bytes) -> str:
        """What parts the cells, if a line is the header of a table with such rows; else ""."""
        text = line.decode("utf-8", "replace").strip("\r\n")
        if text.startswith("{"):
            return ""
        return next((mark for mark in DELIMITERS if self._column(_cells(text, mark))), "")

    def _table(self, stream: "_Begun", name: str, delimiter: str, on_bad: BadLine | None) -> Iterator[Row]:
        """The rows under a header, each with its place: the line where it begins."""
        if b"\r" in stream.first_line.rstrip(b"\r\n"):
            stream = _with_newlines(stream, name)

        def readline() -> str:
            """Text; bytes that are no UTF-8 become surrogates, which the row is refused for."""
            return stream.readline(MAX_LINE_BYTES).decode("utf-8", "surrogateescape")

        columns: list[str] = []
        for number, cells in tables.rows(readline, delimiter):
            place = f"{name}:{number}"
            if not columns:
                columns = cells
                continue
            try:
                "".join(cells).encode()
            except UnicodeEncodeError as error:
                report_bad_line(on_bad, Rejected(reason="broken_line", detail=f"{place}: not a row in UTF-8: {error}"))
                continue
            if len(cells) > len(columns) and not any(cells[len(columns) :]):
                cells = cells[: len(columns)]
            if len(cells) == len(columns):
                yield place, self._row(dict(zip(columns, cells, strict=True)))
            else:
                detail = f"{place}: has {len(cells)} cells, but the header names {len(columns)}"
                report_bad_line(on_bad, Rejected(reason="wrong_shape", detail=detail, record=cells))

    def _row(self, cells: dict[str, str]) -> dict[str, Any]:
        """A row with those cells decoded that hold no text; an empty one of them is not there."""
        texts = {name: cell for name, cell in cells.items() if name not in self._decoded}
        return texts | {name: _decoded(cell) for name, cell in cells.items() if name in self._decoded and cell.strip()}


def _with_newlines(stream: "_Begun", name: str) -> "_Begun":
    """A table whose lines end in CR alone, as spreadsheets on a Mac write them: it is one line to whoever reads lines.

    Raises UsageError for one that is too long to be read whole.
    """
    lines, is_whole = stream.read_all(MOST_DOCUMENT_BYTES)
    if not is_whole:
        raise UsageError(f"{name}: its lines end in CR alone, and it is too long to be mended here: save it with LF")
    content = b"".join(lines).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return _Begun(io.BytesIO(b""), content.splitlines(keepends=True))


def _cells(line: str, delimiter: str) -> list[str]:
    return tables.Dialect(delimiter).cells(line, literal=True) or []


def _decoded(cell: str) -> Any:
    with suppress(msgspec.DecodeError):
        return msgspec.json.decode(cell)
    return cell


class _Begun:
    """A stream whose lines were looked at up to the first that is not empty; they are read again."""

    def __init__(self, stream: Lines, ahead: Iterable[bytes] = ()):
        self._stream = stream
        self._ahead: list[bytes] = list(ahead)
        self.first_line = b""
        while not ahead and not self.first_line.strip() and (line := stream.readline(MAX_LINE_BYTES)):
            self.first_line = line
            self._ahead.append(line)

    def readline(self, limit: int = -1, /) -> bytes:
        return self._ahead.pop(0) if self._ahead else self._stream.readline(limit)

    def read_all(self, most_bytes: int) -> tuple[list[bytes], bool]:
        """The lines up to the end, and whether that was within ``most_bytes``."""
        lines: list[bytes] = []
        size = 0
        while size <= most_bytes and (line := self.readline(MAX_LINE_BYTES)):
            lines.append(line)
            size += len(line)
        return lines, size <= most_bytes


def _is_object(line: bytes) -> bool:
    """Whether a line holds an object, so that the file is one of lines."""
    if not line.lstrip().startswith(b"{"):
        return False
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _values_in(document: bytes) -> list[Any]:
    """The values of a document, one after the other (as ``jq`` writes them); none if it is torn or no JSON."""
    values: list[Any] = []
    with suppress(ValueError, RecursionError):
        text, at = document.decode().strip(), 0
        while at < len(text):
            value, end = _DECODER.raw_decode(text, at)
            values.append(value)
            at = _SPACE.match(text, end).end()  # type: ignore[union-attr]
        return values
    return []


_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"\s*")
