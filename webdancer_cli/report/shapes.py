"""What a line is, told from the line itself: files may hold lines of several kinds."""

from typing import Any, Literal

from webdancer_cli.data.records import QA, Attempt, Page, Record, Rejected, Trajectory, from_object
from webdancer_cli.transcript.released_format import from_released, is_released

Shape = Literal["trajectory", "attempt", "question", "page", "rejected", "metrics", "other"]

_RECORDS: dict[Shape, type[Record]] = {"trajectory": Trajectory, "attempt": Attempt, "question": QA, "page": Page}
_METRICS = ("loss", "reward", "accuracy", "held_out_loss")
"""One of them stands beside ``step`` in every line of a ``metrics.jsonl``."""


def shape_of(value: object) -> Shape:
    """The kind of a decoded line. Cheap: only which fields are there is looked at."""
    if not isinstance(value, dict):
        return "other"
    if "messages" in value and ("qa" in value or is_released(value)):
        return "trajectory"
    if "qa_id" in value and "verdict" in value:
        return "attempt"
    if "reason" in value and ("record" in value or "stage" in value or "detail" in value):
        return "rejected"
    if "question" in value and "answer" in value:
        return "question"
    if "url" in value and "text" in value:
        return "page"
    if isinstance(value.get("step"), int) and any(name in value for name in _METRICS):
        return "metrics"
    return "other"


def record_of(shape: Shape, value: Any, *, reveal: bool = False) -> Record:
    """The record of a line that is a trajectory, an attempt, a question or a page.

    What is sealed stays as it is written unless it is to be revealed. Raises WrongShape.
    """
    if is_released(value):
        return from_released(value)
    return from_object(_RECORDS[shape], value, is_open=not reveal)


def rejected_of(value: dict[str, Any]) -> Rejected:
    """A line of ``--rejects``; fields that are no text are told as text."""
    texts = {name: str(value.get(name) or "") for name in ("reason", "detail", "id", "stage")}
    return Rejected(**texts, record=value.get("record"))
