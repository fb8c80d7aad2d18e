"""Evaluations as they are shown: scores with intervals, break-downs, endings, and each against each other."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import msgspec

from webdancer_cli.data.records import Attempt
from webdancer_cli.grading.scores import Scoreboard, ScoreRow
from webdancer_cli.grading.statistics import mcnemar_exact


class Bar(msgspec.Struct, kw_only=True):
    """A share with its 95 % interval, out of ``judged`` runs of ``questions``; F1 where answers are sets or tables."""

    name: str
    share: float | None
    low: float
    high: float
    correct: int
    judged: int
    unjudged: int
    questions: int
    f1: float | None
    row_f1: float | None


class EvaluationView(msgspec.Struct, kw_only=True):
    """What one file says about one model. ``outcomes`` holds the share of correct runs per question, by its id."""

    name: str
    source: int
    model: str
    overall: Bar
    groups: dict[str, list[Bar]]
    attempts: int
    format_share: float | None
    mean_calls: float | None
    endings: dict[str, int]
    judges: dict[str, int]
    failures: dict[str, int]
    outcomes: dict[str, float]


class Pair(msgspec.Struct, kw_only=True):
    """Two evaluations by the questions that both have judged. A question is gained if ``second`` does better on it.

    ``p`` is McNemar's, exact and two-sided, over the questions that changed.
    """

    first: int
    second: int
    questions: int
    gained: list[str]
    lost: list[str]
    difference: float
    p: float


class EvaluationTotals:
    """Collects the attempts of one file and one model."""

    def __init__(self) -> None:
        self._board = Scoreboard()
        self._failures: Counter[str] = Counter()
        self._runs: dict[str, list[bool]] = {}

    def add(self, attempt: Attempt, failure: str) -> None:
        self._board.add(attempt)
        if failure:
            self._failures[failure] += 1
        if attempt.verdict.outcome != "unjudged":
            self._runs.setdefault(attempt.qa_id, []).append(attempt.verdict.outcome == "correct")

    def view(self, name: str, source: int, model: str) -> EvaluationView:
        scores = self._board.scores()
        groups = {"level": scores.by_level, "type": scores.by_type, **scores.groups}
        return EvaluationView(
            name=name,
            source=source,
            model=model,
            overall=_bar(scores.overall),
            groups={title: [_bar(row, title) for row in rows] for title, rows in groups.items() if len(rows) > 1},
            attempts=scores.attempts,
            format_share=scores.format_share,
            mean_calls=scores.mean_calls,
            endings=scores.endings,
            judges=scores.judges,
            failures=dict(self._failures),
            outcomes={question: sum(runs) / len(runs) for question, runs in self._runs.items()},
        )


def _bar(row: ScoreRow, group: str = "") -> Bar:
    """Under the heading of its ``group``, "language: en" is "en"."""
    low, high = row.pass_1_interval
    return Bar(
        name=row.name.removeprefix(f"{group}: "),
        share=row.pass_1,
        low=low,
        high=high,
        correct=row.correct,
        judged=row.judged,
        unjudged=row.unjudged,
        questions=row.questions,
        f1=row.f1,
        row_f1=row.row_f1,
    )


def pairs(evaluations: Sequence[EvaluationView]) -> list[Pair]:
    """Every two evaluations that share a question."""
    made = [_pair(i, j, evaluations) for i, j in combinations(range(len(evaluations)), 2)]
    return [pair for pair in made if pair.questions]


def _pair(first: int, second: int, evaluations: Sequence[EvaluationView]) -> Pair:
    before, after = evaluations[first].outcomes, evaluations[second].outcomes
    both = [question for question in before if question in after]
    gained = [question for question in both if after[question] > before[question]]
    lost = [question for question in both if after[question] < before[question]]
    total = math.fsum(after[question] - before[question] for question in both)
    return Pair(
        first=first,
        second=second,
        questions=len(both),
        gained=gained,
        lost=lost,
        difference=total / len(both) if both else 0.0,
        p=mcnemar_exact(len(gained), len(lost)),
    )
