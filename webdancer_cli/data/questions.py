"""Questions from wherever they come: our lines, the authors' lines, and the files of evaluation sets.

``rows`` reads JSON lines, whole JSON documents and tables. A column is known by its name in any case: ``question`` or
``problem``, ``answer`` or ``Final answer`` (see ``QUESTION_NAMES``, ``ANSWER_NAMES``, ``ALIAS_NAMES``). All other
columns are kept, in ``extra``; so is a column that has a name of ours and another type (``level: "hard"``). SimpleQA's
``metadata``, which is written as a Python dictionary, becomes an object. Rows of an encrypted set are opened by their
canary (``sealed``).
"""

import ast
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec

from webdancer_cli.data import sealed
from webdancer_cli.data.input_streams import open_input
from webdancer_cli.data.jsonl import BadLine, report_bad_line
from webdancer_cli.data.records import QA, Rejected, WrongShape, from_object
from webdancer_cli.data.rows import RowReader, column, spelled
from webdancer_cli.data.sealed import NO_SEAL_TERMS, SealTerms
from webdancer_cli.data.table_questions import with_gold_table
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
NO_QUESTION = frozenset(["", "?", "n/a", "nan", "null", "none", "-"])
"""What stands in a row that has no question."""

_NO_TEXT = frozenset(field.name for field in msgspec.structs.fields(QA) if field.type is not str) - {"aliases"}
"""Fields of a QA that a cell of a table holds as JSON."""
ROWS = RowReader("question", QUESTION_NAMES, decoded=_NO_TEXT, kind=QA)
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
        for place, value in ROWS.read(name, stream, on_bad):
            try:
                qa = as_question(with_gold_table(value, source), terms, answered=answered)
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


class EncryptedQuestion(WrongShape):
    """A question that no canary opens."""


def as_question(value: object, terms: SealTerms = NO_SEAL_TERMS, *, answered: bool = True) -> QA:
    """The question of a decoded line or row. Raises WrongShape."""
    if not isinstance(value, dict):
        raise WrongShape(f"expected a JSON object, got {type(value).__name__}")
    fields = _opened(dict(value), terms)
    name = column(fields, QUESTION_NAMES) or ""
    question = fields.pop(name, None)
    if _is_blank(question) or str(question).strip().casefold() in (name.casefold(), *QUESTION_NAMES):
        raise WrongShape(f"has no question: expected one of the fields {', '.join(QUESTION_NAMES)}")
    has_canary = bool(terms.canary or column(fields, CANARY_NAMES)) and sealed.SEALED not in fields
    if isinstance(question, str) and sealed.looks_encrypted(question, has_canary=has_canary):
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
    name = column(fields, ANSWER_NAMES, filled=True) or column(fields, ANSWER_NAMES)
    columns = [name] if name else []
    columns += [other for other in fields if spelled(other) in ALIAS_NAMES and other != name]
    found = [text for holder in columns for text in _texts(fields.pop(holder), spelled(holder) in LISTS)]
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
    names = {spelled(name): name for name in answer}
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
    own = column(fields, CANARY_NAMES)
    canary = terms.canary or (fields[own] if own else None)
    question = column(fields, QUESTION_NAMES)
    seal = sealed.seal_for(fields.get(question or ""), canary) if isinstance(canary, str) else None
    if not seal:
        return fields
    certain = [name for name in fields if spelled(name) in (*QUESTION_NAMES, *ANSWER_NAMES, *ALIAS_NAMES)]
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


def _dictionary(text: str) -> Any:
    """What a Python dictionary in a cell holds; the text itself, if it is none."""
    with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
        found = ast.literal_eval(text)
        return found if isinstance(found, dict) else text
    return text
