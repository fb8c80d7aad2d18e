"""Two run cards side by side: what two scores were made with that is not the same, and which numbers differ."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from webdancer_cli.errors import UsageError
from webdancer_cli.report import card as cards

SCORES, OVERALL = "scores.", "scores.overall."
LINES, EXCHANGES = "attempts.lines", "tape.exchanges"
SHOWN_CHARS = 28
"""Of a value in the table; the records have all of it."""
MOST_ROWS = 40
"""Of the table, for each of its two parts; of the scores it has those over all."""


class CardDifference(msgspec.Struct):
    """A field that is not the same in two cards; None where a card has no such field."""

    field: str
    a: Any = None
    b: Any = None


class CardComparison(msgspec.Struct):
    """All differences of two cards, those in what the scores were made with first."""

    a: str
    b: str
    made_with: list[CardDifference]
    scores: list[CardDifference]

    def values(self) -> dict[str, Any]:
        """All of it as JSON values."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain

    def table(self) -> str:
        """For reading."""
        lines = [f"A = {self.a}", f"B = {self.b}"]
        overall = [difference for difference in self.scores if difference.field.startswith(OVERALL)]
        for head, found, shown in (("made with", self.made_with, self.made_with), ("scores", self.scores, overall)):
            lines += ["", *(_rows(head, shown, len(found)) if found else [f"{head}: the same"])]
        return "\n".join(lines)


def compare_cards(a: str, b: str) -> CardComparison:
    """Raises UsageError for what is no card."""
    found = list(differences(cards.read(a), cards.read(b)))
    scores = [difference for difference in found if difference.field.startswith(SCORES)]
    return CardComparison(a, b, [difference for difference in found if difference not in scores], scores)


def are_cards(*paths: str) -> bool:
    """Whether all of the files are run cards: whole JSON objects with what a card has."""
    try:
        return all(Path(path).is_file() and bool(cards.read(path)) for path in paths)
    except UsageError:
        return False


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[CardDifference]:
    """Field by field. Of the digests of records and exchanges it is told how many differ."""
    one, other = _leaves(a), _leaves(b)
    for field in dict.fromkeys([*one, *other]):
        if one.get(field) == other.get(field):
            continue
        if field in (LINES, EXCHANGES):
            yield _counted(field, str(one.get(field, "")).split(), str(other.get(field, "")).split())
        else:
            yield CardDifference(field, one.get(field), other.get(field))


def _leaves(card: Mapping[str, Any]) -> dict[str, Any]:
    return dict(cards.flat({name: part for name, part in card.items() if name != cards.DIGESTS}))


def _counted(field: str, a: list[str], b: list[str]) -> CardDifference:
    """How many digests each side has, and how many of them the other has not."""
    return CardDifference(
        field, *(f"{len(own)}, {len(set(own) - set(others))} of them its own" for own, others in ((a, b), (b, a)))
    )


def _rows(head: str, shown: list[CardDifference], of: int) -> list[str]:
    """Rows for so many of ``of`` differences."""
    shown = shown[:MOST_ROWS]
    width = max(len(head), *(len(difference.field) for difference in shown), 0)
    rows = [f"{head:<{width}}  {'A':<{SHOWN_CHARS}}  B"]
    rows += [f"{each.field:<{width}}  {_shown(each.a):<{SHOWN_CHARS}}  {_shown(each.b)}" for each in shown]
    left = of - len(shown)
    return [*rows, f"and {left} more, in the records"] if left else rows


def _shown(value: Any) -> str:
    text = "-" if value is None else value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + "…"
