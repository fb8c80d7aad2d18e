"""Two evaluations of the same questions, compared question by question.

A question is compared by its share of correct runs; with one run each that is right or wrong, and the test is
McNemar's. A question that one side has not, or has no verdict on, is left out and counted.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import msgspec

from webdancer_cli.data.records import Attempt, Failure, Record
from webdancer_cli.data.sealed import seal_marks
from webdancer_cli.errors import UsageError
from webdancer_cli.grading import statistics
from webdancer_cli.grading.conduct import MEASURES, SHARES
from webdancer_cli.grading.statistics import Interval, Power, interval_of_shares
from webdancer_cli.grading.table import columns, listed, percent, points, ranked, span

PROVENANCE = ("agent", "model", "prompts", "web", "summariser", "judge")
"""What can move a score, beside the model."""


class Change(Record, kw_only=True):
    """A question whose share of correct runs is not the same on both sides. Answers and failures are of either side's
    first run."""

    qa_id: str
    change: Literal["gained", "lost"]
    question: str
    gold: str
    shares: tuple[float, float]
    answers: tuple[str | None, str | None]
    failures: tuple[Failure | None, Failure | None] = (None, None)


@dataclass
class Runs:
    """What one side knows of a question. ``sums`` adds up each measure over the runs that can tell, and counts them."""

    first: Attempt
    correct: int = 0
    judged: int = 0
    sums: dict[str, tuple[float, int]] = field(default_factory=dict)
    endings: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)

    def add(self, attempt: Attempt) -> None:
        if attempt.run < self.first.run:
            self.first = _slim(attempt)
        if attempt.verdict.outcome != "unjudged":
            self.judged += 1
            self.correct += attempt.verdict.outcome == "correct"
        self.endings[attempt.ending] += 1
        if attempt.verdict.outcome == "wrong" and attempt.anatomy:
            self.failures[attempt.anatomy.failure or "untold"] += 1
        for name, measure in MEASURES.items():
            if (value := measure(attempt)) is not None:
                total, count = self.sums.get(name, (0.0, 0))
                self.sums[name] = (total + value, count + 1)

    @property
    def share(self) -> float:
        return self.correct / self.judged

    def mean(self, name: str) -> float | None:
        total, count = self.sums.get(name, (0.0, 0))
        return total / count if count else None


class Side:
    """The runs of one evaluation, by question, and what they were made with."""

    def __init__(self, name: str, attempts: Iterable[Attempt]):
        self.name = name
        self.made_with: dict[str, set[str]] = {what: set() for what in PROVENANCE}
        self.questions: dict[str, Runs] = {}
        for attempt in attempts:
            self.questions.setdefault(attempt.qa_id, Runs(_slim(attempt))).add(attempt)
            for what in PROVENANCE:
                self.made_with[what].add(_provenance(attempt, what))

    def judged(self) -> set[str]:
        return {id for id, runs in self.questions.items() if runs.judged}


def _slim(attempt: Attempt) -> Attempt:
    """An attempt without its episode, so that many can be held."""
    return msgspec.structs.replace(attempt, messages=[], calls=[], evidence=[], groups={}, aliases=[])


def _provenance(attempt: Attempt, what: str) -> str:
    """By rule a judge that reads decides, too: what is asked is who decides where no rule does."""
    return attempt.verdict.method if what == "judge" else str(getattr(attempt, what))


class Score(NamedTuple):
    """The score of one side on the common questions."""

    name: str
    correct: int
    judged: int
    pass_1: float
    interval: Interval
    endings: dict[str, int]
    failures: dict[str, int]


class Behaviour(NamedTuple):
    """The means of a measure over the common questions that can tell on both sides, and the difference per question."""

    name: str
    before: float
    after: float
    difference: float
    interval: Interval


@dataclass
class Comparison:
    """``difference`` is the second side's pass@1 less the first's, over ``questions`` that both have judged."""

    before: Score
    after: Score
    questions: int
    left_out: int
    difference: float
    interval: Interval
    gained: int
    lost: int
    p_value: float
    power: Power | None
    behaviours: list[Behaviour]
    made_with: dict[str, tuple[list[str], list[str]]]

    def values(self) -> dict[str, Any]:
        values: dict[str, Any] = msgspec.to_builtins(self)
        return values | {"power": self.power._asdict() if self.power else None}

    def table(self) -> str:
        """For reading."""
        head = ["", "A", "B", "B - A", "95 %"]
        scores = (self.before, self.after)
        rows = [
            ["correct", *(f"{score.correct}/{score.judged}" for score in scores), "", ""],
            ["pass@1", *(percent(score.pass_1) for score in scores), points(self.difference), span(self.interval)],
            ["  95 %", *(span(score.interval) for score in scores), "", ""],
            *map(_cells, self.behaviours),
        ]
        names = [f"A = {self.before.name}", f"B = {self.after.name}"]
        return "\n".join([*names, *columns([head, *rows]), *self._told()])

    def _told(self) -> list[str]:
        left = f" ({self.left_out} more are judged on one side only)" if self.left_out else ""
        test = f"exact McNemar p = {self.p_value:.3g}"
        lines = [f"{self.questions} common questions{left}: {self.gained} gained, {self.lost} lost; {test}"]
        if self.power:
            found = f"so many questions find a difference of {100 * self.power.detectable:.1f} points 4 times of 5"
            needed = (
                f"; one of {100 * abs(self.difference):.1f} takes {self.power.needed:,}" if self.power.needed else ""
            )
            lines.append(found + needed)
        for label, score in zip("AB", (self.before, self.after), strict=True):
            why = f"; wrong because: {listed(score.failures)}" if score.failures else ""
            lines.append(f"{label}: endings: {listed(score.endings)}{why}")
        lines += [f"{what}: A {_or_none(one)}, B {_or_none(other)}" for what, (one, other) in self.made_with.items()]
        return lines


def _or_none(names: Sequence[str]) -> str:
    return ", ".join(filter(None, names)) or "none"


def _cells(behaviour: Behaviour) -> list[str]:
    name, before, after, difference, interval = behaviour
    if name in SHARES:
        return [name, percent(before), percent(after), points(difference), span(interval)]
    low, high = interval
    return [name, f"{before:,.1f}", f"{after:,.1f}", f"{difference:+,.1f}", f"[{low:,.1f}, {high:,.1f}]"]


def compare_sides(before: Side, after: Side, seed: int = 0) -> Comparison:
    """Raises UsageError when no question is judged on both sides."""
    common = sorted(before.judged() & after.judged())
    if not common:
        raise UsageError(f"{before.name}, {after.name}: have no judged question in common: nothing can be compared")
    differences = [after.questions[id].share - before.questions[id].share for id in common]
    gained, lost = sum(difference > 0 for difference in differences), sum(difference < 0 for difference in differences)
    return Comparison(
        before=_score(before, common, seed),
        after=_score(after, common, seed),
        questions=len(common),
        left_out=len(before.judged() ^ after.judged()),
        difference=math.fsum(differences) / len(common),
        interval=statistics.paired_bootstrap(differences, seed),
        gained=gained,
        lost=lost,
        p_value=statistics.mcnemar_exact(gained, lost),
        power=statistics.power_of(differences),
        behaviours=list(_behaviours(before, after, common, seed)),
        made_with=_made_differently(before, after),
    )


def changes(before: Side, after: Side) -> Iterator[Change]:
    """The questions gained and lost, in the order of the first side."""
    both = before.judged() & after.judged()
    for id in (id for id in before.questions if id in both):
        one, other = before.questions[id], after.questions[id]
        if one.share == other.share:
            continue
        yield Change(
            qa_id=id,
            change="gained" if other.share > one.share else "lost",
            question=one.first.question,
            gold=one.first.gold,
            shares=(one.share, other.share),
            answers=(one.first.answer, other.first.answer),
            failures=(_failure(one.first), _failure(other.first)),
            extra=seal_marks(one.first.extra),
        )


def _failure(attempt: Attempt) -> Failure | None:
    return attempt.anatomy.failure if attempt.anatomy and attempt.verdict.outcome == "wrong" else None


def _score(side: Side, common: Sequence[str], seed: int) -> Score:
    runs = [side.questions[id] for id in common]
    shares = [one.share for one in runs]
    return Score(
        name=side.name,
        correct=sum(one.correct for one in runs),
        judged=sum(one.judged for one in runs),
        pass_1=math.fsum(shares) / len(shares),
        interval=interval_of_shares(shares, seed),
        endings=ranked(sum((one.endings for one in runs), Counter())),
        failures=ranked(sum((one.failures for one in runs), Counter())),
    )


def _behaviours(before: Side, after: Side, common: Sequence[str], seed: int) -> Iterator[Behaviour]:
    for name in MEASURES:
        means = [(before.questions[id].mean(name), after.questions[id].mean(name)) for id in common]
        pairs = [(one, other) for one, other in means if one is not None and other is not None]
        if not pairs or not any(one or other for one, other in pairs):
            continue
        differences = [other - one for one, other in pairs]
        yield Behaviour(
            name,
            before=math.fsum(one for one, _ in pairs) / len(pairs),
            after=math.fsum(other for _, other in pairs) / len(pairs),
            difference=math.fsum(differences) / len(pairs),
            interval=statistics.bootstrap_of_means(differences, seed),
        )


def _made_differently(before: Side, after: Side) -> dict[str, tuple[list[str], list[str]]]:
    """What the sides were made with, where that is not the same: the difference may come from there."""
    pairs = {what: (sorted(before.made_with[what]), sorted(after.made_with[what])) for what in PROVENANCE}
    return {what: pair for what, pair in pairs.items() if pair[0] != pair[1]}
