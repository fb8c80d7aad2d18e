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


def unnamed_items(gold: str, answer: str) -> list[str]:
    """The known items that an answer does not name, by normalised match; all of them if it names them all."""
    given = {normalise_answer(part) for part in items(answer)}
    known = items(gold)
    return [part for part in known if normalise_answer(part) not in given] or known
