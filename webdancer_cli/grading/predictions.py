"""Answers that were given earlier or elsewhere, to be graded: our attempts and episodes, and other harnesses' files.

A row holds an answer in one of ``ANSWER_COLUMNS``, or inside what a harness calls its output: inspect's and
lm-evaluation-harness's samples, BrowseComp-Plus's run files, HLE's object of responses by id. Its question and gold
answer stand beside it, or are found in a file of questions, by id or by the question's text.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from webdancer_cli.data.jsonl import BadLine, open_input, report_bad_line
from webdancer_cli.data.questions import ANSWER_NAMES, QUESTION_NAMES, as_question
from webdancer_cli.data.records import (
    QA,
    AnyRecord,
    Attempt,
    Ending,
    Message,
    Rejected,
    Trajectory,
    Verdict,
    WrongShape,
    content_id,
    from_object,
)
from webdancer_cli.data.rows import RowReader, column
from webdancer_cli.data.sealed import NO_SEAL_TERMS, SEALED, SealTerms, refuse_taping
from webdancer_cli.data.table_questions import table_rules
from webdancer_cli.errors import UsageError
from webdancer_cli.text.spacing import fold

ANSWER_COLUMNS = (
    "prediction", "model answer", "model response", "predicted answer", "final response", "response", "pred",
    "generated answer", "completion", "output", "resps", "result",
)  # fmt: skip
"""Where a given answer stands, the best name first; "_" and "-" count as spaces."""
ID_COLUMNS = ("qa id", "question id", "task id", "query id", "instance id", "doc id", "id")
RUN_COLUMNS = ("run", "rollout", "rollout id", "rollout idx", "epoch", "attempt", "trial idx")
MODEL_COLUMNS = ("model", "model name", "model id")
NESTED = ("doc", "metadata")
"""Where a harness keeps the question's own columns."""
NOT_JUDGED = Verdict(outcome="unjudged", method="")

ROWS = RowReader("prediction", ("verdict", "messages", *ANSWER_COLUMNS), by_columns=False)

_ANSWER_TAG = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.DOTALL | re.IGNORECASE)
_FINAL = re.compile(r"^[\s*#>]*(?:final|exact) answer[\s*]*:[\s*]*(.+?)[\s*]*$", re.MULTILINE | re.IGNORECASE)
_CONFIDENCE = re.compile(r"^[\s*#>]*confidence[\s*]*:[\s*]*(\d+(?:\.\d+)?)\s*%", re.MULTILINE | re.IGNORECASE)


class Prediction(NamedTuple):
    """An answer to a question, as an attempt that nobody has judged."""

    qa: QA
    attempt: Attempt


class Questions:
    """The questions of a gold file, by id and by their text; which were answered is remembered."""

    def __init__(self, path: str, questions: Iterable[QA]):
        """Raises UsageError for a file without a question."""
        self._by_id: dict[str, QA] = {}
        self._by_text: dict[str, QA] = {}
        self._answered: set[str] = set()
        for qa in questions:
            for name in (qa.id, *_ids(qa.extra)):
                self._by_id.setdefault(name, qa)
            self._by_text.setdefault(fold(qa.question), qa)
        if not self._by_text:
            raise UsageError(f"--gold {path}: holds no question")

    def take(self, ids: Iterable[str], question: str) -> QA | None:
        """The question of a prediction; None if there is no such one."""
        found = self._by_text.get(fold(question)) if question else None
        found = found or next((self._by_id[id] for id in ids if id in self._by_id), None)
        if found:
            self._answered.add(found.id)
        return found

    def unanswered(self) -> list[QA]:
        """Those that no prediction was for, in the order of the file."""
        return [qa for qa in {qa.id: qa for qa in self._by_text.values()}.values() if qa.id not in self._answered]


def read_predictions(
    source: str,
    gold: Questions | None = None,
    on_bad: BadLine | None = None,
    terms: SealTerms = NO_SEAL_TERMS,
    *,
    with_verdicts: bool = False,
) -> Iterator[Prediction]:
    """Stream the predictions of a file or of stdin ("-"). Further answers to a question are its further runs.

    What cannot be read goes to ``on_bad`` as ``broken_line`` or ``wrong_shape``, and what answers none of the ``gold``
    questions as ``unknown_question``. ``with_verdicts``: what was judged already keeps its verdict.
    """
    counts: Counter[str] = Counter()
    with open_input(source) as (name, stream):
        for place, value in ROWS.read(name, stream, on_bad):
            try:
                prediction = _prediction(value, place, gold, terms, with_verdicts)
            except WrongShape as error:
                report_bad_line(on_bad, Rejected(reason="wrong_shape", detail=f"{place}: {error}", record=value))
                continue
            except _UnknownQuestion:
                detail = f"{place}: its question is not among those of --gold, by id or by text"
                report_bad_line(on_bad, Rejected(reason="unknown_question", detail=detail, record=value))
                continue
            if terms.taped:
                refuse_taping(place, prediction.qa.extra)
            yield _numbered(prediction, counts)


def _numbered(prediction: Prediction, counts: Counter[str]) -> Prediction:
    """Our own records and rows that number their runs keep the number."""
    qa, attempt = prediction
    if not attempt.id:
        run = attempt.run or counts[qa.id]
        counts[qa.id] += 1
        attempt.run, attempt.id = run, content_id(qa.id, run, attempt.model, attempt.answer)
    return prediction


class _UnknownQuestion(Exception):
    pass


def _prediction(value: object, place: str, gold: Questions | None, terms: SealTerms, with_verdict: bool) -> Prediction:
    if not isinstance(value, dict):
        raise WrongShape(f"expected a JSON object, got {type(value).__name__}")
    if "verdict" in value and "qa_id" in value:
        judged = _revealed(from_object(Attempt, value), terms)
        return _with_verdict(_of_attempt(judged, gold), judged.verdict if with_verdict else None)
    if isinstance(value.get("qa"), dict) and "messages" in value:
        played = from_object(Trajectory, value)
        _revealed(played.qa, terms)
        return _with_verdict(_of_trajectory(played, gold), played.verdict if with_verdict else None)
    return _of_row(value, place, gold, terms)


def _with_verdict(prediction: Prediction, verdict: Verdict | None) -> Prediction:
    if verdict is None:
        return prediction
    return Prediction(prediction.qa, msgspec.structs.replace(prediction.attempt, verdict=verdict))


def _revealed(record: AnyRecord, terms: SealTerms) -> AnyRecord:
    if terms.reveal:
        record.extra.pop(SEALED, None)
    return record


def question_of(attempt: Attempt) -> QA:
    """The question as an attempt remembers it."""
    return QA(
        question=attempt.question, answer=attempt.gold, id=attempt.qa_id, aliases=attempt.aliases, level=attempt.level,
        type=attempt.type, evidence=attempt.evidence, extra=dict(attempt.extra),
    )  # fmt: skip


def _of_attempt(attempt: Attempt, gold: Questions | None) -> Prediction:
    qa = _known(gold, [attempt.qa_id], attempt.question) if gold else question_of(attempt)
    return Prediction(qa, msgspec.structs.replace(attempt, verdict=NOT_JUDGED, anatomy=None))


def _of_trajectory(played: Trajectory, gold: Questions | None) -> Prediction:
    qa = _known(gold, [played.qa.id], played.qa.question) if gold else played.qa
    return Prediction(qa, attempt_of(played))


def attempt_of(played: Trajectory, *, well_formed: bool | None = None, agent: str = "react") -> Attempt:
    """An episode as an attempt that nobody has judged. ``well_formed``: if not given, that there are no repairs."""
    qa = played.qa
    return Attempt(
        id=played.id,
        qa_id=qa.id,
        run=played.rollout,
        model=played.model,
        question=qa.question,
        gold=qa.answer,
        aliases=qa.aliases,
        answer=played.answer,
        verdict=NOT_JUDGED,
        format_ok=not played.repairs if well_formed is None else well_formed,
        ending=played.ending,
        level=qa.level,
        type=qa.type,
        prompts=played.prompts,
        web=played.web,
        summariser=played.summariser,
        tools=played.tools,
        usage=played.usage,
        calls=played.calls,
        last_call=played.last_call,
        messages=played.messages,
        context=played.context,
        agent=agent,
        evidence=qa.evidence,
    )


def no_attempt(qa: QA) -> Prediction:
    """A question that nobody answered."""
    id = content_id(qa.id, 0, "", "unanswered")
    return Prediction(qa, _attempt(qa, id=id, run=0, model="", answer=None, ending="no_answer"))


def _attempt(qa: QA, *, id: str, run: int, model: str, answer: str | None, ending: Ending) -> Attempt:
    return Attempt(
        id=id, qa_id=qa.id, run=run, model=model, question=qa.question, gold=qa.answer, aliases=qa.aliases,
        answer=answer, verdict=NOT_JUDGED, format_ok=True, ending=ending, level=qa.level, type=qa.type,
        evidence=qa.evidence, agent="",
    )  # fmt: skip


# ---- rows of others ------------------------------------------------------------------------------------------------


def _of_row(value: dict[str, Any], place: str, gold: Questions | None, terms: SealTerms) -> Prediction:
    row = {**_inner(value), **value}
    name = column(row, ANSWER_COLUMNS, filled=True) or column(row, ANSWER_COLUMNS)
    messages = _messages(row)
    if name is None and not messages:
        raise WrongShape(f"has no prediction: expected one of the fields {', '.join(ANSWER_COLUMNS)}")
    given = (_text(row[name]) if name else "") or (messages[-1].content if messages else "")
    ids = [*_ids(row), place.rpartition(": ")[2].strip("'")]
    qa = _known(gold, ids, _question_in(row)) if gold else _question(row, name, terms)
    answer, confidence = read_answer(given)
    if table_rules(qa):
        answer = read_table_answer(given)
    run, model = _number(row, RUN_COLUMNS), _text(row.get(column(row, MODEL_COLUMNS) or "", ""))
    made = _attempt(
        qa,
        id="",
        run=run,
        model=model,
        answer=answer or None,
        ending="answered" if answer else "no_answer",
    )
    return Prediction(qa, msgspec.structs.replace(made, confidence=_own_confidence(row, confidence), messages=messages))


def read_answer(text: str) -> tuple[str, float | None]:
    """The final answer that a text marks as one (answer tags, "Exact Answer:", "Final answer:"), else all of it; and
    the confidence, from 0 to 1, if it gives one as "Confidence: 80%"."""
    said = _CONFIDENCE.findall(text)
    confidence = min(1.0, float(said[-1]) / 100) if said else None
    for mark in (_ANSWER_TAG, _FINAL):
        if found := mark.findall(text):
            return found[-1].strip(), confidence
    return text.strip(), confidence


def read_table_answer(text: str) -> str:
    """The final answer of a text that asks for a table: what stands in answer tags, else all of it."""
    found = _ANSWER_TAG.findall(text)
    return (found[-1] if found else text).strip()


def _inner(row: dict[str, Any]) -> dict[str, Any]:
    inner = (row[name] for name in NESTED if isinstance(row.get(name), dict))
    return {name: value for part in inner for name, value in part.items()}


def _question_in(row: dict[str, Any]) -> str:
    name = column(row, (*QUESTION_NAMES, "input"))
    return _text(row[name]) if name else ""


def _question(row: dict[str, Any], prediction: str | None, terms: SealTerms) -> QA:
    fields = {name: value for name, value in row.items() if name not in (prediction, "messages", "id")}
    if not column(fields, QUESTION_NAMES) and "input" in fields:
        fields["question"] = _text(fields.pop("input"))
    if column(fields, ANSWER_NAMES) is None and "true_answer" in fields:
        fields["answer"] = fields.pop("true_answer")
    return as_question(fields, terms, answered=False)


def _known(gold: Questions, ids: Iterable[str], question: str) -> QA:
    if (qa := gold.take(ids, question)) is None:
        raise _UnknownQuestion
    return qa


def _ids(row: dict[str, Any]) -> list[str]:
    found = (column(row, (name,)) for name in ID_COLUMNS)
    return [str(row[name]) for name in found if name and isinstance(row[name], str | int)]


def _number(row: dict[str, Any], names: tuple[str, ...]) -> int:
    name = column(row, names)
    value = row[name] if name else 0
    return int(value) if isinstance(value, int) or (isinstance(value, str) and value.isdigit()) else 0


def _own_confidence(row: dict[str, Any], said: float | None) -> float | None:
    """A column's, as a share or as a percentage; else what the text said."""
    name = column(row, ("confidence",))
    value = row[name] if name else None
    try:
        number = float(str(value).rstrip(" %"))
    except ValueError:
        return said
    number = number / 100 if number > 1 or "%" in str(value) else number
    return number if 0 <= number <= 1 else said


def _text(value: Any) -> str:
    """The text of an output: a string, or what stands in the shapes of chat and harness outputs, their last."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return next((text for part in reversed(value) if (text := _text(part))), "")
    if isinstance(value, dict):
        names = ("completion", "output", "content", "text", "message", "choices", "response")
        return next((text for name in names if (text := _text(value.get(name)))), "")
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _messages(row: dict[str, Any]) -> list[Message]:
    """A conversation in the text grammar; what is none is left out."""
    found = row.get("messages")
    if not isinstance(found, list) or not all(isinstance(part, dict) for part in found):
        return []
    roles = {"system": "system", "user": "user", "assistant": "assistant", "tool": "user"}
    return [
        Message(roles[part["role"]], text)  # type: ignore[arg-type]
        for part in found
        if part.get("role") in roles and (text := _text(part.get("content")))
    ]
