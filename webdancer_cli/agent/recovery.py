"""Wrong turns that a demonstration takes on purpose, as anybody may, so that it can show how to come back from one."""

import random
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from webdancer_cli.data.records import QA
from webdancer_cli.text.names import mentions
from webdancer_cli.text.spacing import fold

SPARE_CALLS = 3
"""Calls that a wrong turn may take, with the answer."""


@dataclass(frozen=True)
class WrongTurn:
    """At page ``page`` of the evidence: a query that is too vague, another result, or a view without the passage."""

    page: int
    kind: Literal["query", "result", "view"]


def draw_wrong_turn(qa: QA, share: float, max_calls: int, choice: random.Random) -> WrongTurn | None:
    """For a share of the questions; none where the calls would not do for it."""
    if choice.random() >= share or not qa.evidence or 2 * len(qa.evidence) + SPARE_CALLS > max_calls:
        return None
    kinds: list[Literal["query", "result", "view"]] = ["query", "result", "view"]
    return WrongTurn(choice.randrange(len(qa.evidence)), choice.choice(kinds))


def is_namesake(title: str, other: str) -> bool:
    """Whether two different titles name things of one name: "Velmora (ship)" and "Velmora"."""
    return title != other and fold(title.partition(" (")[0]) == fold(other.partition(" (")[0])


def is_old(shown: str) -> bool:
    """Whether a page says of itself that it is out of date."""
    return re.search(r"\bnot been (revised|updated)\b|\bout of date\b|\boutdated\b", shown, re.IGNORECASE) is not None


def misleading_result(
    results: Iterable[tuple[str, str]], wanted: str, title: str, known: Collection[str]
) -> str | None:
    """The URL of a result that could be taken for the page ``wanted``: of its name, about it, or listed before it."""
    before = True
    for other, url in results:
        before = before and url != wanted
        near = before or is_namesake(other, title) or (other != title and mentions(other, title))
        if url != wanted and url not in known and near:
            return url
    return None
