"""Answers that are sets: how many of the known items an answer names, and how many others."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from webdancer_cli.grading.exact_match import normalise_answer

_APART = re.compile(r"\s*(?:[;\n、；|]|,(?!\d{3}\b)|，)\s*")
_BULLET = re.compile(r"^(?:[-*•]|\d+[.)])\s+|^(?:and|und|et|y)\s+", re.IGNORECASE)


class Found(NamedTuple):
    """Of ``known`` items so many were ``named``, and so many ``others``."""

    named: int
    known: int
    others: int

    @property
    def f1(self) -> float:
        """The harmonic mean of precision, named / (named + others), and recall, named / known."""
        total = self.known + self.named + self.others
        return 2 * self.named / total if total else 0.0


def items(text: str) -> list[str]:
    """The items of a list in a text: one on each line, or parted by semicolons or commas."""
    parts = (_BULLET.sub("", part.strip()).strip() for part in _APART.split(text))
    return list(dict.fromkeys(part for part in parts if part))


def found_by_rule(answer: str, gold: Sequence[str]) -> Found:
    """What is named by normalised match; each known item once."""
    given = {normalise_answer(part) for part in items(answer)}
    known = {normalise_answer(part) for part in gold}
    return Found(len(given & known), len(known), len(given - known))
