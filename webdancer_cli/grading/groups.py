"""Which of a question's own columns scores are broken down by."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from webdancer_cli.data.records import QA
from webdancer_cli.data.sealed import SEALED
from webdancer_cli.text.spacing import squeeze

COLUMNS: dict[str, tuple[str, ...]] = {
    "level": ("level", "difficulty", "difficulty_level"),
    "type": ("type", "question_type"),
    "language": ("language", "lang"),
    "topic": ("topic", "problem_topic", "problem_category"),
    "domain": ("domain",),
    "category": ("category",),
    "answer_type": ("answer_type",),
    "reasoning": ("reasoning_types",),
}
"""The name of a break-down, and the columns in which evaluation sets have it, the best first."""
NESTED = ("metadata", "info")
"""Columns that hold further ones."""
LONGEST_CHARS = 80
"""A longer text names no group."""


def groups_of(qa: QA, by: Sequence[str] = ()) -> dict[str, str]:
    """The groups of a question by the name of the break-down: of the columns ``by``, or of those that sets often have.

    What was opened for this run alone names no group: a report would tell it.
    """
    mark = qa.extra.get(SEALED)
    secret = set(mark["fields"]) if mark else set()
    columns = {name.casefold(): value for name, value in _columns(qa.extra) if name not in secret}
    wanted = {name: (name,) for name in by} if by else COLUMNS
    found = {name: _first(columns, names) for name, names in wanted.items()}
    return {name: value for name, value in found.items() if value}


def _columns(extra: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The outer column of a name goes before an inner one."""
    for name in NESTED:
        if isinstance(inner := extra.get(name), dict):
            yield from inner.items()
    yield from extra.items()


def _first(columns: Mapping[str, Any], names: Sequence[str]) -> str:
    texts = (_text(columns.get(name.casefold())) for name in names)
    return next(filter(None, texts), "")


def _text(value: object) -> str:
    if isinstance(value, list):
        value = " | ".join(map(str, value))
    if not isinstance(value, str | int | float) or value != value:
        return ""
    text = squeeze(str(value))
    return text if len(text) <= LONGEST_CHARS else ""
