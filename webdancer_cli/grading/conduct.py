"""How episodes went: calls, pages, tokens, time and cost, endings, and why the wrong ones failed."""

import math
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from webdancer_cli.data.key_set import KeySet
from webdancer_cli.data.records import Anatomy, Attempt
from webdancer_cli.grading.table import listed, percent, ranked


def _seconds(attempt: Attempt) -> float | None:
    """Of models and tools; None where no timings were asked for."""
    seconds = [call.seconds for call in attempt.calls if call.seconds is not None]
    tool_seconds = [call.tool_seconds for call in attempt.calls if call.tool_seconds is not None]
    return math.fsum([*seconds, *tool_seconds]) if seconds else None


def _share(count: Callable[[Anatomy], int]) -> Callable[[Attempt], float | None]:
    """The share of a question's gold pages; None for a question that names none."""

    def share(attempt: Attempt) -> float | None:
        anatomy = attempt.anatomy
        return count(anatomy) / anatomy.gold if anatomy and anatomy.gold else None

    return share


MEASURES: dict[str, Callable[[Attempt], float | None]] = {
    "tool calls": lambda attempt: sum(attempt.tools.values()),
    "searches": lambda attempt: attempt.tools.get("search", 0),
    "visits": lambda attempt: attempt.tools.get("visit", 0),
    "pages": lambda attempt: attempt.anatomy.pages if attempt.anatomy else None,
    "model calls": lambda attempt: attempt.usage.calls,
    "tokens in": lambda attempt: attempt.usage.input_tokens,
    "tokens out": lambda attempt: attempt.usage.output_tokens,
    "seconds": _seconds,
    "well-formed": lambda attempt: attempt.format_ok,
    "answered": lambda attempt: attempt.ending == "answered",
    "gold listed": _share(lambda anatomy: anatomy.surfaced),
    "gold opened": _share(lambda anatomy: anatomy.opened),
    "gold shown": _share(lambda anatomy: anatomy.shown),
}
"""What is counted of an episode, by name; None where an episode cannot tell."""
SHARES = frozenset(["well-formed", "answered", "gold listed", "gold opened", "gold shown"])
"""Measures between 0 and 1."""


class Searching(NamedTuple):
    """How well search calls found the gold pages: the share of them that one call lists, and the mean rank of the best
    where it lists any."""

    calls: int
    recall: float
    rank: float | None


@dataclass
class Conduct:
    """The means over all ``attempts`` (of those that can tell), and counts.

    ``hurried`` counts episodes that were told to answer at once, by the budget that was nearly spent, and how many of
    them were right. ``failures`` counts wrong episodes by why they failed, ``bases`` by what that was told from, and
    ``leaks`` those in which a page gave the question away. Costs are of all attempts together, in US dollars, None
    where no price is known.
    """

    attempts: int
    means: dict[str, float]
    endings: dict[str, int]
    hurried: dict[str, tuple[int, int]]
    failures: dict[str, int]
    bases: dict[str, int]
    leaks: int
    searching: Searching | None
    cost: float | None
    judge_cost: float | None

    @property
    def format_share(self) -> float | None:
        return self.means.get("well-formed")

    @property
    def tool_calls(self) -> float | None:
        return self.means.get("tool calls")

    def lines(self) -> list[str]:
        """For reading."""
        means = self.means
        head = [
            f"{self.attempts} runs",
            f"well-formed {percent(self.format_share)}",
            f"endings: {listed(self.endings)}",
        ]
        each = [f"{means[name]:,.1f} {name}" for name in MEASURES if name in means and name not in SHARES]
        costs = [("cost", self.cost), ("judge", self.judge_cost)]
        each += [f"{name} ${cost:,.4f} in all" for name, cost in costs if cost is not None]
        return ["; ".join(head), *([f"each run: {', '.join(each)}"] if self.attempts else []), *self._found()]

    def _found(self) -> list[str]:
        lines = []
        if self.hurried:
            counts = (f"{name.replace('_', ' ')} {n} ({right} right)" for name, (n, right) in self.hurried.items())
            lines.append(f"told to answer before they were done: {', '.join(counts)}")
        if "gold listed" in self.means:
            shares = ", ".join(
                f"{name} {percent(self.means[f'gold {name}'])}" for name in ("listed", "opened", "shown")
            )
            lines.append(f"gold pages: {shares}")
        if found := self.searching:
            rank = f", the best at rank {found.rank:.1f}" if found.rank else ""
            lines[-1] += f"; a search call lists {percent(found.recall)} of them{rank}"
        if self.leaks:
            lines.append(f"in {self.leaks} runs a page gave the question away, or a canary was seen")
        if self.failures:
            told = ", ".join(f"{count} by the {basis}" for basis, count in self.bases.items())
            lines.append(f"wrong because: {listed(self.failures)} (told {told})")
        return lines


class ConductTotals:
    """Collects attempts one by one, eight bytes of each measure."""

    def __init__(self) -> None:
        self._attempts = self._leaks = 0
        self._asked = KeySet()
        self._values = {name: array("d") for name in MEASURES}
        self._endings: Counter[str] = Counter()
        self._hurried: Counter[str] = Counter()
        self._hurried_right: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._bases: Counter[str] = Counter()
        self._costs, self._judge_costs, self._recalls = array("d"), array("d"), array("d")
        self._ranks = array("l")

    def add(self, attempt: Attempt) -> None:
        self._attempts += 1
        self._endings[attempt.ending] += 1
        if attempt.last_call:
            self._hurried[attempt.last_call] += 1
            self._hurried_right[attempt.last_call] += attempt.verdict.outcome == "correct"
        self._leaks += bool(attempt.leaks)
        for name, measure in MEASURES.items():
            if (value := measure(attempt)) is not None:
                self._values[name].append(value)
        if attempt.usage.cost is not None:
            self._costs.append(attempt.usage.cost)
        self._pay(attempt)
        if attempt.anatomy:
            self._dissect(attempt.anatomy, is_wrong=attempt.verdict.outcome == "wrong")

    def _pay(self, attempt: Attempt) -> None:
        """What the judges took. The same answer to a question was asked about once."""
        for verdict in (attempt.verdict, *attempt.verdicts):
            cost = verdict.usage.cost if verdict.usage else None
            if cost is not None and self._asked.add(f"{verdict.method}\x1f{attempt.qa_id}\x1f{attempt.answer}"):
                self._judge_costs.append(cost)

    def _dissect(self, anatomy: Anatomy, *, is_wrong: bool) -> None:
        if anatomy.gold:
            self._recalls.extend(call.found / anatomy.gold for call in anatomy.searches)
            self._ranks.extend(call.rank for call in anatomy.searches if call.rank)
        if is_wrong:
            self._failures[anatomy.failure or "untold"] += 1
            self._bases[anatomy.basis] += 1

    def totals(self) -> Conduct:
        """The conduct so far; the order in which attempts came makes no difference."""
        return Conduct(
            attempts=self._attempts,
            means={name: math.fsum(values) / len(values) for name, values in self._values.items() if values},
            endings=ranked(self._endings),
            hurried={name: (count, self._hurried_right[name]) for name, count in ranked(self._hurried).items()},
            failures=ranked(self._failures),
            bases=ranked(self._bases),
            leaks=self._leaks,
            searching=self._searching(),
            cost=math.fsum(self._costs) if self._costs else None,
            judge_cost=math.fsum(self._judge_costs) if self._judge_costs else None,
        )

    def _searching(self) -> Searching | None:
        if not self._recalls:
            return None
        rank = sum(self._ranks) / len(self._ranks) if self._ranks else None
        return Searching(len(self._recalls), math.fsum(self._recalls) / len(self._recalls), rank)
