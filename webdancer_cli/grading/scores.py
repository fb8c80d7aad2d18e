"""Scores of an evaluation: k of n with intervals, by level and by type, never a bare percentage.

The names, since papers disagree on them. With k runs of every question:
pass@k      the chance that at least one of k runs is correct (unbiased estimate from n >= k runs; arXiv 2107.03374)
avg@k       the mean share of correct runs; this is pass@1, and what the WebDancer paper's table calls "cons@3"
majority@k  the share of questions whose most frequent answer is correct; elsewhere this is called cons@k or maj@k

Unjudged runs enter none of them and are counted apart.
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from webdancer_cli.data.records import Attempt
from webdancer_cli.grading.exact_match import normalise_answer

Interval = tuple[float, float]
Z95 = 1.959963984540054
"""The 97.5 % point of the normal distribution: two-sided 95 %."""


def pass_at_k(n: int, c: int, k: int) -> float:
    """1 - C(n-c, k) / C(n, k): the chance that k of n runs, drawn without replacement, hold one of the c correct."""
    if not 0 <= c <= n or not 1 <= k <= n:
        raise ValueError(f"pass@k needs 0 <= c <= n and 1 <= k <= n, got n={n}, c={c}, k={k}")
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def wilson(k: int, n: int, z: float = Z95) -> Interval:
    """Wilson's score interval for k successes of n; (0, 1) for no observations."""
    if not 0 <= k <= n:
        raise ValueError(f"an interval needs 0 <= k <= n, got k={k}, n={n}")
    if n == 0:
        return 0.0, 1.0
    share, weight = k / n, 1 + z * z / n
    centre = (share + z * z / (2 * n)) / weight
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / weight
    return max(0.0, centre - half), min(1.0, centre + half)


def bootstrap(values: Sequence[float], seed: int = 0, resamples: int = 2000) -> Interval:
    """95 % percentile interval of the mean, with whole questions drawn: runs of one question are not independent.

    ``values`` holds one number in [0, 1] per question. Where all are equal, resampling would claim certainty; then it
    is Wilson's interval over the questions.
    """
    if len(set(values)) < 2:
        return wilson(round(sum(values)), len(values))
    draw = random.Random(seed)
    means = sorted(fmean(draw.choices(values, k=len(values))) for _ in range(resamples))
    return means[int(0.025 * resamples)], means[math.ceil(0.975 * resamples) - 1]


@dataclass
class Question:
    """The runs of one question: how many were correct, judged and unjudged, and the judged answers by run."""

    level: int = 0
    type: str = ""
    correct: int = 0
    judged: int = 0
    unjudged: int = 0
    answers: list[tuple[int, str, bool]] = field(default_factory=list)

    def majority_is_correct(self) -> bool:
        """Whether the most frequent answer is correct. None at all is an answer too; the earlier run's wins a tie."""
        answers = sorted(self.answers)
        winner = Counter(answer for _, answer, _ in answers).most_common(1)[0][0]
        return any(correct for _, answer, correct in answers if answer == winner)


@dataclass
class ScoreRow:
    """The scores of a group of questions. ``k`` is the greatest number of judged runs that every question has."""

    name: str
    questions: int
    correct: int
    judged: int
    unjudged: int
    k: int
    pass_1: float | None
    pass_1_interval: Interval
    pass_k: float | None
    pass_k_interval: Interval
    majority: float | None


@dataclass
class Scores:
    """What ``eval`` found: one row over all, rows by level and by type, how the episodes went, and who judged them."""

    overall: ScoreRow
    by_level: list[ScoreRow]
    by_type: list[ScoreRow]
    attempts: int
    format_share: float | None
    mean_calls: float | None
    endings: dict[str, int]
    judges: dict[str, int]

    def table(self) -> str:
        """A table for reading, and a line on how the episodes went."""
        rows = [self.overall, *self.by_level, *self.by_type]
        how = [
            f"{self.attempts} runs",
            f"well-formed {_percent(self.format_share)}",
            f"{self.mean_calls or 0:.1f} tool calls each",
            f"endings: {_listed(self.endings)}",
            f"judged by: {_listed(self.judges)}",
        ]
        return "\n".join([*_columns([_HEADER, *map(_cells, rows)]), "; ".join(how)])


class Scoreboard:
    """Collects attempts one by one, keeping a few bytes of each, so that an evaluation of any size can be scored."""

    def __init__(self) -> None:
        self._questions: dict[str, Question] = {}
        self._endings: Counter[str] = Counter()
        self._judges: Counter[str] = Counter()
        self._well_formed = 0
        self._calls = 0

    def add(self, attempt: Attempt) -> None:
        question = self._questions.setdefault(attempt.qa_id, Question(level=attempt.level, type=attempt.type))
        if attempt.verdict.outcome == "unjudged":
            question.unjudged += 1
        else:
            correct = attempt.verdict.outcome == "correct"
            question.judged += 1
            question.correct += correct
            question.answers.append((attempt.run, normalise_answer(attempt.answer or ""), correct))
            self._judges[attempt.verdict.method] += 1
        self._endings[attempt.ending] += 1
        self._well_formed += attempt.format_ok
        self._calls += sum(attempt.tools.values())

    def scores(self, seed: int = 0) -> Scores:
        """The scores so far; the order in which attempts came makes no difference."""
        questions = [self._questions[id] for id in sorted(self._questions)]
        attempts = self._endings.total()
        return Scores(
            overall=_row("all", questions, seed),
            by_level=_grouped(questions, lambda question: f"level {question.level}" if question.level else "", seed),
            by_type=_grouped(questions, lambda question: question.type, seed),
            attempts=attempts,
            format_share=self._well_formed / attempts if attempts else None,
            mean_calls=self._calls / attempts if attempts else None,
            endings=_ranked(self._endings),
            judges=_ranked(self._judges),
        )


def _ranked(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


def from_attempts(attempts: Iterable[Attempt], seed: int = 0) -> Scores:
    """The scores of attempts, e.g. of an evaluation file read back."""
    board = Scoreboard()
    for attempt in attempts:
        board.add(attempt)
    return board.scores(seed)


def by_level(attempts: Iterable[Attempt], seed: int = 0) -> list[ScoreRow]:
    return from_attempts(attempts, seed).by_level


def _grouped(questions: Sequence[Question], name: Callable[[Question], str], seed: int) -> list[ScoreRow]:
    """A row per group, by name; none when nothing names a group."""
    groups: dict[str, list[Question]] = {}
    for question in questions:
        groups.setdefault(name(question), []).append(question)
    if set(groups) <= {""}:
        return []
    return [_row(name or "(none)", groups[name], seed) for name in sorted(groups, key=_by_number)]


def _by_number(name: str) -> tuple[str, int, str]:
    """Sorts "level 10" after "level 9"."""
    head, _, tail = name.rpartition(" ")
    return (head, int(tail), "") if tail.isdigit() else (name, 0, name)


def _row(name: str, questions: Sequence[Question], seed: int) -> ScoreRow:
    judged = [question for question in questions if question.judged]
    k = min((question.judged for question in judged), default=0)
    shares = [question.correct / question.judged for question in judged]
    best = [pass_at_k(question.judged, question.correct, k) for question in judged]
    return ScoreRow(
        name=name,
        questions=len(questions),
        correct=sum(question.correct for question in judged),
        judged=sum(question.judged for question in judged),
        unjudged=sum(question.unjudged for question in questions),
        k=k,
        pass_1=fmean(shares) if shares else None,
        pass_1_interval=_interval(shares, seed),
        pass_k=fmean(best) if best else None,
        pass_k_interval=_interval(best, seed),
        majority=fmean(question.majority_is_correct() for question in judged) if judged else None,
    )


def _interval(values: Sequence[float], seed: int) -> Interval:
    """Wilson's where every question is right or wrong; else a bootstrap over the questions."""
    if all(value in (0.0, 1.0) for value in values):
        return wilson(round(sum(values)), len(values))
    return bootstrap(values, seed)


_HEADER = ["", "questions", "correct", "pass@1", "95 %", "pass@k", "95 %", "majority", "unjudged"]


def _cells(row: ScoreRow) -> list[str]:
    several = row.k > 1
    return [
        row.name,
        str(row.questions),
        f"{row.correct}/{row.judged}",
        _percent(row.pass_1),
        _span(row.pass_1_interval) if row.judged else "-",
        f"{_percent(row.pass_k)} (k={row.k})" if several else "-",
        _span(row.pass_k_interval) if several else "-",
        _percent(row.majority) if several else "-",
        str(row.unjudged),
    ]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _span(interval: Interval) -> str:
    return f"[{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
