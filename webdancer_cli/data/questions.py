"""Questions from wherever they come: our lines, the authors' lines, and the files of evaluation sets.

JSON lines, whole JSON documents and tables are told apart by how they begin. A column is known by its name in any
case: ``question`` or ``problem``, ``answer`` or ``Final answer`` (see ``QUESTION_NAMES``, ``ANSWER_NAMES``,
``ALIAS_NAMES``). All other columns are kept, in ``extra``; so is a column that has a name of ours and another type
(``level: "hard"``). SimpleQA's ``metadata``, which is written as a Python dictionary, becomes an object. Rows of an
encrypted set are opened by their canary (``sealed``).
"""

import ast
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any

import msgspec

from webdancer_cli.data import sealed, tables
from webdancer_cli.data.input_streams import Lines, open_input
from webdancer_cli.data.jsonl import MAX_LINE_BYTES, BadLine, refuse_other_kind, report_bad_line, stream_values
from webdancer_cli.data.records import QA, Rejected, WrongShape, from_object
from webdancer_cli.data.sealed import NO_SEAL_TERMS, SealTerms
from webdancer_cli.errors import UsageError
from webdancer_cli.text.lenient_json import parse_list

QUESTION_NAMES = ("question", "problem", "prompt", "query")
ANSWER_NAMES = (
    "answer", "final answer", "correct answer", "gold answer", "golden answer", "golden answers", "answers",
    "possible answers", "gold", "ground truth", "target",
)  # fmt: skip
"""The best first; "_" and "-" count as spaces."""
ALIAS_NAMES = (
    "aliases", "answer aliases", "alternative answers", "acceptable answers", "answers", "golden answers",
    "possible answers",
)  # fmt: skip
"""Columns with more answers, beside the one that holds the answer."""
LISTS = frozenset(ALIAS_NAMES)
CANARY_NAMES = ("canary", "canary string")
DELIMITERS = ",;\t"
MOST_DOCUMENT_BYTES = MAX_LINE_BYTES
"""A JSON document is read whole."""
DEEPEST = 6
"""Objects within objects in which rows are looked for."""

NO_QUESTION = frozenset(["", "?", "n/a", "nan", "null", "none", "-"])
"""What stands in a row that has no question."""

_NO_TEXT = frozenset(field.name for field in msgspec.structs.fields(QA) if field.type is not str) - {"aliases"}
"""Fields of a QA that a cell of a table holds as JSON."""
_VALUE_NAMES = ("value", "text", "answer", "name", "label", "spans", "number")
"""Where an answer that is an object has its text."""


def read_questions(
    source: str, on_bad: BadLine | None = None, terms: SealTerms = NO_SEAL_TERMS, *, answered: bool = True
) -> Iterator[QA]:
    """Stream the questions of a file or of stdin ("-").

    What cannot be read goes to ``on_bad`` as ``broken_line`` or ``wrong_shape``, with file and line; without ``on_bad``
    it raises UsageError, as do a file of another kind, a table whose header names no question, and an encrypted set
    that no canary opens. A question without a field for its answer is wrong, unless ``answered`` is False: then its
    answer is "". One that is empty is for ``lint`` to find.
    """
    with open_input(source) as (name, stream):
        first = True
        for place, value in _rows(name, stream, on_bad):
            try:
                qa = as_question(value, terms, answered=answered)
            except EncryptedQuestion as error:
                if first:
                    raise UsageError(f"{place}: {error}") from None
                report_bad_line(on_bad, Rejected(reason="encrypted", detail=f"{place}: {error}", record=value))
            except WrongShape as error:
                report_bad_line(on_bad, Rejected(reason="wrong_shape", detail=f"{place}: {error}", record=value))
            else:
                if terms.taped:
                    sealed.refuse_taping(place, qa.extra)
                yield qa
            first = False


def _rows(name: str, stream: Lines, on_bad: BadLine | None) -> Iterator[tuple[str, object]]:
    begun = _Begun(stream)
    first = begun.first_line.strip()
    if first.startswith((b"PAR1", b"PK\x03\x04")):
        raise UsageError(f"{name}: this is a Parquet or Excel file: save it as CSV or as JSON lines")
    if first.startswith(b"[") or (first.startswith(b"{") and not _is_row(first)):
        return _document(begun, name, on_bad)
    delimiter = _delimiter(first)
    if first and not delimiter and name.casefold().endswith((".csv", ".tsv")):
        raise UsageError(f"{name}:1: the header names no question: expected one of {', '.join(QUESTION_NAMES)}")
    return _table(begun, name, delimiter, on_bad) if delimiter else _json_lines(begun, name, on_bad)


class EncryptedQuestion(WrongShape):
    """A question that no canary opens."""


def as_question(value: object, terms: SealTerms = NO_SEAL_TERMS, *, answered: bool = True) -> QA:
    """The question of a decoded line or row. Raises WrongShape."""
    if not isinstance(value, dict):
        raise WrongShape(f"expected a JSON object, got {type(value).__name__}")
    fields = _opened(dict(value), terms)
    name = _column(fields, QUESTION_NAMES) or ""
    question = fields.pop(name, None)
    if _is_blank(question) or str(question).strip().casefold() in (name.casefold(), *QUESTION_NAMES):
        raise WrongShape(f"has no question: expected one of the fields {', '.join(QUESTION_NAMES)}")
    if isinstance(question, str) and sealed.looks_encrypted(question):
        raise EncryptedQuestion("the questions are encrypted, and no canary opens them: name the set's with --canary")
    answers = _answers(fields)
    if not answers and answered:
        raise WrongShape(f"has no answer: expected one of the fields {', '.join(ANSWER_NAMES)}")
    fields.pop("answer", None)  # an empty one, beside a column that holds some
    if answers[1:]:
        fields["aliases"] = answers[1:]
    plain = {"question": question, "answer": answers[0] if answers else "", **_plain(fields)}
    return from_object(QA, plain, is_open=True)


def _is_blank(question: object) -> bool:
    return question is None or str(question).strip().casefold() in NO_QUESTION


def _answers(fields: dict[str, Any]) -> list[Any]:
    """The answer, then its aliases, out of all the columns that hold some; these are taken from ``fields``."""
    name = _column(fields, ANSWER_NAMES, filled=True) or _column(fields, ANSWER_NAMES)
    columns = [name] if name else []
    columns += [column for column in fields if _spelled(column) in ALIAS_NAMES and column != name]
    found = [text for column in columns for text in _texts(fields.pop(column), _spelled(column) in LISTS)]
    return list(dict.fromkeys(found)) if all(isinstance(text, str) for text in found) else found


def _texts(answer: object, is_list: bool = False) -> list[Any]:
    """The texts of an answer: a list, also one that stands in a cell as text, and an object hold several. A number is
    its digits. ``is_list``: the name of the column says that it holds a list."""
    if isinstance(answer, list):
        return [text for part in answer for text in _texts(part, is_list)]
    if isinstance(answer, dict):
        return _texts_of_object(answer)
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        return [str(answer)]
    if isinstance(answer, str) and (listed := _list_in(answer, is_list)) is not None:
        return _texts(listed)
    return [] if answer is None else [answer]


def _texts_of_object(answer: dict[str, Any]) -> list[Any]:
    """``{"value": ..., "aliases": [...]}``, ``{"text": [...], "answer_start": [...]}`` and the like."""
    names = {_spelled(name): name for name in answer}
    value = [text for name in _VALUE_NAMES if name in names for text in _texts(answer[names[name]])]
    more = [text for name in ALIAS_NAMES if name in names for text in _texts(answer[names[name]], True)]
    if not value and not more:
        raise WrongShape(f"has an answer that is an object, with none of {', '.join(_VALUE_NAMES)}")
    return [text for text in [*value, *more] if text != ""]


def _list_in(text: str, is_list: bool) -> list[Any] | None:
    """The list that a cell holds as text, JSON's or Python's; a text that merely looks like one is none.

    Of numbers only where the column is one of lists: ``[0, 1]`` may be an interval, and its ends no answers.
    """
    body = text.strip().removeprefix("array(")
    if not body.startswith("[") and not (is_list and body.startswith("(")):
        return None
    if body.startswith("[") and not text.strip().startswith("["):
        body = body[: body.rfind("]") + 1]
    read = parse_list(body)
    if read is None or not (is_list or all(isinstance(part, str | list | dict) for part in read[0])):
        return None
    return read[0]


def _opened(fields: dict[str, Any], terms: SealTerms) -> dict[str, Any]:
    """A row with what is encrypted opened in memory, and marked so that no record holds it in the clear."""
    if isinstance(fields.get(sealed.SEALED), dict):
        try:
            fields = sealed.unseal_object(fields)
        except sealed.CannotOpen as error:
            raise EncryptedQuestion(f"sealed, and {error}") from None
    else:
        fields = _newly_opened(fields, terms)
    if terms.reveal:
        fields.pop(sealed.SEALED, None)
    return fields


def _newly_opened(fields: dict[str, Any], terms: SealTerms) -> dict[str, Any]:
    own = _column(fields, CANARY_NAMES)
    canary = terms.canary or (fields[own] if own else None)
    question = _column(fields, QUESTION_NAMES)
    seal = sealed.seal_for(fields.get(question or ""), canary) if isinstance(canary, str) else None
    if not seal:
        return fields
    certain = [name for name in fields if _spelled(name) in (*QUESTION_NAMES, *ANSWER_NAMES, *ALIAS_NAMES)]
    opened = sealed.unseal_columns(fields, seal, certain)
    also = tuple(name for name, value in opened.items() if value != fields[name] and name not in certain)
    if own:
        opened.pop(own)
    return opened | seal._replace(fields=also).mark()


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """The other fields, as we write them: an id is a text, SimpleQA's metadata an object."""
    id = fields.get("id")
    if id is not None and not isinstance(id, str):
        fields["id"] = json.dumps(id)
    if isinstance(fields.get("metadata"), str):
        fields["metadata"] = _dictionary(fields["metadata"])
    return fields


@lru_cache(maxsize=1024)
def _spelled(name: str) -> str:
    return name.casefold().replace("_", " ").replace("-", " ").strip()


def _column(names: Iterable[str], wanted: tuple[str, ...], *, filled: bool = False) -> str | None:
    """The name of a column by the best of the wanted names that is there; the exact spelling goes first.

    ``filled``: of a row, a column that holds something.
    """
    spelled: dict[str, str] = {}
    for name in names:
        if filled and isinstance(names, dict) and names[name] in (None, "", [], {}):
            continue
        plain = _spelled(name)
        if name == plain or plain not in spelled:
            spelled[plain] = name
    return next((spelled[name] for name in wanted if name in spelled), None)


def _dictionary(text: str) -> Any:
    """What a Python dictionary in a cell holds; the text itself, if it is none."""
    with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
        found = ast.literal_eval(text)
        return found if isinstance(found, dict) else text
    return text


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


def _is_row(line: bytes) -> bool:
    """Whether a line is an object by itself, and not one that holds rows."""
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return not (isinstance(value, dict) and _holds_rows(value))


def _holds_rows(value: dict[str, Any]) -> bool:
    name = _column(value, QUESTION_NAMES)
    return isinstance(value[name], list | dict) if name else next(_rows_in(value, ""), None) is not None


def _document(begun: _Begun, name: str, on_bad: BadLine | None) -> Iterator[tuple[str, object]]:
    """The rows of a JSON document: a list, an object that holds one somewhere, or an object of columns."""
    lines, is_whole = begun.read_all(MOST_DOCUMENT_BYTES)
    values = _values_in(b"".join(lines)) if is_whole else []
    if len(values) == 1:
        return _rows_of(values[0], name)
    if values and all(isinstance(value, dict) for value in values):
        return ((f"{name}: item {number}", value) for number, value in enumerate(values, 1))
    return _json_lines(_Begun(begun, lines), name, on_bad)


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


def _rows_of(document: Any, name: str) -> Iterator[tuple[str, object]]:
    """The rows that a document holds; one that holds none is a row itself, or a list of them, to be told of."""
    if not (isinstance(document, dict) and _column(document, QUESTION_NAMES) and not _holds_rows(document)):
        found = list(_rows_in(document, name))
        if found or document == []:
            return iter(found)
    if isinstance(document, list):
        return ((f"{name}: item {number}", item) for number, item in enumerate(document, 1))
    refuse_other_kind(f"{name}:1", QA, document)
    return iter([(f"{name}:1", document)])


def _rows_in(value: object, place: str, depth: int = 0) -> Iterator[tuple[str, object]]:
    """The rows in a document: items of its lists, all of them if any is a question."""
    if depth > DEEPEST:
        return
    if isinstance(value, dict):
        if columns := _as_columns(value):
            yield from ((f"{place}: row {number}", row) for number, row in enumerate(columns, 1))
            return
        if value and all(isinstance(part, dict) and _column(part, QUESTION_NAMES) for part in value.values()):
            yield from ((f"{place}: {key!r}", row) for key, row in value.items())
            return
        for part in value.values():
            if isinstance(part, list | dict):
                yield from _rows_in(part, place, depth + 1)
    elif isinstance(value, list):
        if any(isinstance(item, dict) and _column(item, QUESTION_NAMES) for item in value):
            yield from ((f"{place}: item {number}", item) for number, item in enumerate(value, 1))
            return
        for part in value:
            if isinstance(part, list | dict):
                yield from _rows_in(part, place, depth + 1)


def _as_columns(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of an object of columns, which are lists or objects by row; none if it is no such object."""
    name = _column(value, QUESTION_NAMES)
    if not name or not isinstance(value[name], list | dict):
        return []
    columns = {key: list(part.values()) if isinstance(part, dict) else part for key, part in value.items()}
    height = len(columns[name])
    columns = {key: part for key, part in columns.items() if isinstance(part, list) and len(part) == height}
    return [{key: part[at] for key, part in columns.items()} for at in range(height)]


def _json_lines(stream: _Begun, name: str, on_bad: BadLine | None) -> Iterator[tuple[str, object]]:
    first = True
    for place, _, value in stream_values(stream, name, on_bad):
        if first and isinstance(value, dict) and not _column(value, QUESTION_NAMES):
            refuse_other_kind(place, QA, value)
        first = False
        yield place, value


def _delimiter(line: bytes) -> str:
    """What parts the cells, if a line is the header of a table with questions; else ""."""
    text = line.decode("utf-8", "replace").strip("\r\n")
    if text.startswith("{"):
        return ""
    return next((mark for mark in DELIMITERS if _column(_cells(text, mark), QUESTION_NAMES)), "")


def _cells(line: str, delimiter: str) -> list[str]:
    return tables.Dialect(delimiter).cells(line, literal=True) or []


def _table(stream: _Begun, name: str, delimiter: str, on_bad: BadLine | None) -> Iterator[tuple[str, object]]:
    """The rows under a header, each with its place: the line where it begins."""

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
            yield place, _row(dict(zip(columns, cells, strict=True)))
        else:
            detail = f"{place}: has {len(cells)} cells, but the header names {len(columns)}"
            report_bad_line(on_bad, Rejected(reason="wrong_shape", detail=detail, record=cells))


def _row(cells: dict[str, str]) -> dict[str, Any]:
    """A row with those cells decoded that hold no text; an empty one of them is not there."""
    texts = {name: cell for name, cell in cells.items() if name not in _NO_TEXT}
    return texts | {name: _decoded(cell) for name, cell in cells.items() if name in _NO_TEXT and cell.strip()}


def _decoded(cell: str) -> Any:
    with suppress(msgspec.DecodeError):
        return msgspec.json.decode(cell)
    return cell
