"""Questions from wherever they come: our lines, the authors' lines, and the files of evaluation sets.

JSON lines and CSV are told apart by the first line. A column is known by its name in any case: ``question`` or
``problem``, ``answer`` or ``Final answer`` (see ``QUESTION_NAMES``, ``ANSWER_NAMES``). All other columns are kept, in
``extra``; SimpleQA's ``metadata``, which is written as a Python dictionary, becomes an object.
"""

import ast
import csv
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import IO, Any

import msgspec

from webdancer_cli.errors import UsageError
from webdancer_cli.jsonl import MAX_LINE_BYTES, BadLine, open_input, refuse_other_kind, tell, values_in
from webdancer_cli.records import QA, Rejected, WrongShape, from_object

QUESTION_NAMES = ("question", "problem", "prompt")
ANSWER_NAMES = ("answer", "final answer", "correct answer", "golden answers", "answers")
"""The best first; "_" and "-" count as spaces."""
DELIMITERS = ",;\t"

_NO_TEXT = frozenset(field.name for field in msgspec.structs.fields(QA) if field.type is not str)
"""Fields of a QA that a cell of a table holds as JSON."""
_BOM = b"\xef\xbb\xbf"


def read_questions(source: str, on_bad: BadLine | None = None, *, answered: bool = True) -> Iterator[QA]:
    """Stream the questions of a file or of stdin ("-").

    What cannot be read goes to ``on_bad`` as ``broken_line`` or ``wrong_shape``, with file and line; without ``on_bad``
    it raises UsageError, as do a file of another kind and a table whose header names no question. A question without
    a field for its answer is wrong, unless ``answered`` is False: then its answer is "". One that is empty is for
    ``lint`` to find.
    """
    with open_input(source) as (name, stream):
        begun = _Begun(stream)
        delimiter = _delimiter(begun.first_line)
        if begun.first_line and not delimiter and name.casefold().endswith((".csv", ".tsv")):
            raise UsageError(f"{name}:1: the header names no question: expected one of {', '.join(QUESTION_NAMES)}")
        rows = _table(begun, name, delimiter, on_bad) if delimiter else _json_lines(begun, name, on_bad)
        for place, value in rows:
            try:
                yield as_question(value, answered=answered)
            except WrongShape as error:
                tell(on_bad, Rejected(reason="wrong_shape", detail=f"{place}: {error}", record=value))


def as_question(value: object, *, answered: bool = True) -> QA:
    """The question of a decoded line or row. Raises WrongShape."""
    if not isinstance(value, dict):
        raise WrongShape(f"expected a JSON object, got {type(value).__name__}")
    fields = dict(value)
    question = fields.pop(_column(fields, QUESTION_NAMES) or "", None)
    if question is None or not str(question).strip():
        raise WrongShape(f"has no question: expected one of the fields {', '.join(QUESTION_NAMES)}")
    answers = _texts(fields.pop(_column(fields, ANSWER_NAMES) or "", None))
    if not answers and answered:
        raise WrongShape(f"has no answer: expected one of the fields {', '.join(ANSWER_NAMES)}")
    if answers[1:]:
        fields["aliases"] = [*answers[1:], *_texts(fields.get("aliases"))]
    return from_object(QA, {"question": question, "answer": answers[0] if answers else "", **_plain(fields)})


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """The other fields, as we write them: an id is a text, SimpleQA's metadata an object."""
    if isinstance(fields.get("id"), int):
        fields["id"] = str(fields["id"])
    if isinstance(fields.get("metadata"), str):
        fields["metadata"] = _dictionary(fields["metadata"])
    return fields


def _column(names: Iterable[str], wanted: tuple[str, ...]) -> str | None:
    """The name of a column by the best of the wanted names that is there; the exact spelling goes first."""
    spelled: dict[str, str] = {}
    for name in names:
        plain = name.casefold().replace("_", " ").replace("-", " ").strip()
        if name == plain or plain not in spelled:
            spelled[plain] = name
    return next((spelled[name] for name in wanted if name in spelled), None)


def _texts(answer: object) -> list[Any]:
    """The answer, then its aliases: a list, and the authors' list of lists, hold several. A number is its digits."""
    if isinstance(answer, list):
        return [text for part in answer for text in _texts(part)]
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        return [str(answer)]
    return [] if answer is None else [answer]


def _dictionary(text: str) -> Any:
    """What a Python dictionary in a cell holds; the text itself, if it is none."""
    with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
        found = ast.literal_eval(text)
        return found if isinstance(found, dict) else text
    return text


class _Begun:
    """A stream whose lines were looked at up to the first that is not empty; they are read again."""

    def __init__(self, stream: IO[bytes]):
        self._stream = stream
        self._ahead: list[bytes] = []
        self.first_line = b""
        while not self.first_line.strip() and (line := stream.readline(MAX_LINE_BYTES)):
            self.first_line = line
            self._ahead.append(line)

    def readline(self, limit: int = -1) -> bytes:
        return self._ahead.pop(0) if self._ahead else self._stream.readline(limit)


def _json_lines(stream: _Begun, name: str, on_bad: BadLine | None) -> Iterator[tuple[str, object]]:
    first = True
    for place, _, value in values_in(stream, name, on_bad):
        if first and isinstance(value, dict) and not _column(value, QUESTION_NAMES):
            refuse_other_kind(place, QA, value)
        first = False
        yield place, value


def _delimiter(line: bytes) -> str:
    """What parts the cells, if a line is the header of a table with questions; else ""."""
    text = line.removeprefix(_BOM).decode("utf-8", "replace").strip()
    if text.startswith("{"):
        return ""
    return next((mark for mark in DELIMITERS if _column(_cells(text, mark), QUESTION_NAMES)), "")


def _cells(line: str, delimiter: str) -> list[str]:
    with suppress(csv.Error):
        return next(csv.reader([line], delimiter=delimiter), [])
    return []


def _table(stream: _Begun, name: str, delimiter: str, on_bad: BadLine | None) -> Iterator[tuple[str, object]]:
    """The rows under a header, each with its place: the line where it begins."""
    reader = csv.reader(_lines_of(stream), delimiter=delimiter, strict=True)
    columns: list[str] = []
    while True:
        place = f"{name}:{reader.line_num + 1}"
        try:
            cells = next(reader)
            "".join(cells).encode()
        except StopIteration:
            return
        except (csv.Error, UnicodeEncodeError) as error:
            detail = f"{place}: not a row of CSV in UTF-8: {error}"
            tell(on_bad, Rejected(reason="broken_line", detail=detail))
            continue
        if not cells:
            continue
        if not columns:
            columns = cells
        elif len(cells) == len(columns):
            yield place, _row(dict(zip(columns, cells, strict=True)))
        else:
            detail = f"{place}: has {len(cells)} cells, but the header names {len(columns)}"
            tell(on_bad, Rejected(reason="wrong_shape", detail=detail, record=cells))


def _lines_of(stream: _Begun) -> Iterator[str]:
    """Text; bytes that are no UTF-8 become surrogates, which the row is refused for."""
    start = _BOM
    while line := stream.readline(MAX_LINE_BYTES):
        yield line.removeprefix(start).decode("utf-8", "surrogateescape")
        start = b""


def _row(cells: dict[str, str]) -> dict[str, Any]:
    """A row with those cells decoded that hold no text; an empty one of them is not there."""
    texts = {name: cell for name, cell in cells.items() if name not in _NO_TEXT}
    return texts | {name: _decoded(cell) for name, cell in cells.items() if name in _NO_TEXT and cell.strip()}


def _decoded(cell: str) -> Any:
    with suppress(msgspec.DecodeError):
        return msgspec.json.decode(cell)
    return cell
