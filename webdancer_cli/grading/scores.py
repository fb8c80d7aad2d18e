"""Scores of an evaluation: k of n with intervals, and broken down, never a bare percentage.

``pass_at_k`` has the names of what is computed (pass@k, avg@k, best-of-k, maj@k, the paper's "cons@k"). A run without
an answer is wrong, and in the denominator. A run that was not judged is neither right nor wrong: it enters no accuracy
and is counted apart.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

import msgspec

from webdancer_cli.data.records import Attempt
from webdancer_cli.grading import statistics
from webdancer_cli.grading.conduct import Conduct, ConductTotals
from webdancer_cli.grading.exact_match import normalise_answer
from webdancer_cli.grading.pass_at_k import majority_is_correct, pass_at_k
from webdancer_cli.grading.statistics import Interval, interval_of_shares
from webdancer_cli.grading.table import columns, listed, percent, ranked, span

MOST_ROWS = 20
"""Of a break-down that a table shows; a report has all."""


@dataclass
class Question:
    """The runs of one question: how many were correct, judged and unjudged, and the judged answers by run."""

    groups: dict[str, str]
    correct: int = 0
    judged: int = 0
    unjudged: int = 0
    unanswered: int = 0
    answers: list[tuple[int, str, bool]] = field(default_factory=list)
    f1s: list[float] = field(default_factory=list)
    row_f1s: list[float] = field(default_factory=list)

    def majority_is_correct(self) -> bool:
        """None at all is an answer too; the earlier run's wins a tie."""
        return majority_is_correct([(answer, correct) for _, answer, correct in sorted(self.answers)])


@dataclass
class ScoreRow:
    """The scores of a group of questions. ``k`` is the greatest number of judged runs that every question has.

    ``unanswered`` runs are among the ``judged`` ones, ``unjudged`` runs are not. ``f1``, over items, is the mean over
    the questions whose answers are sets or tables, ``row_f1`` over those whose answers are tables.
    """

    name: str
    questions: int
    correct: int
    judged: int
    unanswered: int
    unjudged: int
    k: int
    pass_1: float | None
    pass_1_interval: Interval
    pass_k: float | None
    pass_k_interval: Interval
    best: float | None
    majority: float | None
    f1: float | None = None
    f1_interval: Interval | None = None
    row_f1: float | None = None
    row_f1_interval: Interval | None = None


@dataclass
class JudgeAgreement:
    """How far the judges of the same ``answers`` agree. An answer that one of them did not judge is left out.

    ``kappas`` are Cohen's, of the first judge with each other one, ``alpha`` is Krippendorff's of all; None where all
    said one word. ``disagreements`` are the ids of attempts on which they are not of one mind.
    """

    judges: list[str]
    answers: int
    kappas: list[float | None]
    alpha: float | None
    disagreements: list[str]


@dataclass
class Calibration:
    """How well the confidence that came with answers fits what was right: over so many ``runs``."""

    runs: int
    calibration_error: float
    brier: float


@dataclass
class Scores:
    """What ``eval`` found: one row over all, rows for each break-down, how the episodes went, and who judged them.

    ``by_run`` is the share of correct answers in each run; ``groups`` has the break-downs by other columns than level
    and type, by their name.
    """

    overall: ScoreRow
    by_level: list[ScoreRow]
    by_type: list[ScoreRow]
    groups: dict[str, list[ScoreRow]]
    by_run: list[float]
    judges: dict[str, int]
    calibration: Calibration | None
    agreement: JudgeAgreement | None
    conduct: Conduct

    @property
    def attempts(self) -> int:
        return self.conduct.attempts

    @property
    def format_share(self) -> float | None:
        return self.conduct.format_share

    @property
    def mean_calls(self) -> float | None:
        return self.conduct.tool_calls

    @property
    def endings(self) -> dict[str, int]:
        return self.conduct.endings

    def values(self) -> dict[str, object]:
        """All of it as JSON values."""
        values: dict[str, object] = msgspec.to_builtins(self)
        return values

    def table(self) -> str:
        """A table for reading, and lines on how the episodes went."""
        short = [rows for rows in self.groups.values() if len(rows) <= MOST_ROWS]
        rows = [self.overall, *self.by_level, *self.by_type, *(row for rows in short for row in rows)]
        return "\n".join(
            [*score_table(rows), *self._left_out(), *self._runs(), *self.conduct.lines(), *self._judging()]
        )

    def _left_out(self) -> list[str]:
        long = {name: len(rows) for name, rows in self.groups.items() if len(rows) > MOST_ROWS}
        return [f"by {name}: {count} groups, in the report" for name, count in long.items()]

    def _runs(self) -> list[str]:
        k = self.overall.k
        if len(self.by_run) < 2:
            return []
        shares = ", ".join(percent(share) for share in self.by_run)
        return [f"runs: {shares}; pass@1 = avg@{k} (the paper's cons@{k}), maj@{k} = majority (others' cons@{k})"]

    def _judging(self) -> list[str]:
        lines = [f"judged by: {listed(self.judges)}"]
        if found := self.calibration:
            told = f"calibration error {found.calibration_error:.3f}, Brier score {found.brier:.3f}"
            lines.insert(0, f"confidence given in {found.runs} runs: {told}")
        return lines + (_agreement_lines(self.agreement) if self.agreement else [])


class Scoreboard:
    """Collects attempts one by one, keeping a few bytes of each, so that an evaluation of any size can be scored."""

    def __init__(self) -> None:
        self._questions: dict[str, Question] = {}
        self._judges: Counter[str] = Counter()
        self._runs: dict[int, list[bool]] = {}
        self._confidences: list[tuple[float, bool]] = []
        self._panels: dict[str, list[tuple[str, str]]] = {}
        self._conduct = ConductTotals()

    def add(self, attempt: Attempt) -> None:
        question = self._questions.setdefault(attempt.qa_id, Question(groups=_groups_of(attempt)))
        self._conduct.add(attempt)
        if attempt.verdict.outcome == "unjudged":
            question.unjudged += 1
            return
        correct = attempt.verdict.outcome == "correct"
        question.judged += 1
        question.correct += correct
        question.unanswered += not (attempt.answer or "").strip()
        question.answers.append((attempt.run, normalise_answer(attempt.answer or ""), correct))
        self._judges[attempt.verdict.method] += 1
        self._runs.setdefault(attempt.run, []).append(correct)
        if attempt.verdict.f1 is not None:
            question.f1s.append(attempt.verdict.f1)
        if attempt.verdict.row_f1 is not None:
            question.row_f1s.append(attempt.verdict.row_f1)
        if attempt.verdicts:
            panel = [attempt.verdict, *attempt.verdicts]
            self._panels[attempt.id] = [(verdict.method, verdict.outcome) for verdict in panel]
        if attempt.confidence is not None:
            self._confidences.append((attempt.confidence, correct))

    def scores(self, seed: int = 0) -> Scores:
        """The scores so far; the order in which attempts came makes no difference."""
        questions = [self._questions[id] for id in sorted(self._questions)]
        names = sorted({name for question in questions for name in question.groups} - {"level", "type"})
        return Scores(
            overall=_row("all", questions, seed),
            by_level=_grouped(questions, "level", lambda level: f"level {level}", seed),
            by_type=_grouped(questions, "type", str, seed),
            groups={name: _grouped(questions, name, f"{name}: {{}}".format, seed) for name in names},
            by_run=[fmean(self._runs[run]) for run in sorted(self._runs)],
            judges=ranked(self._judges),
            calibration=self._calibration(),
            agreement=_agreement(self._panels),
            conduct=self._conduct.totals(),
        )

    def _calibration(self) -> Calibration | None:
        if not self._confidences:
            return None
        confidences, correct = zip(*sorted(self._confidences), strict=True)
        error = statistics.calibration_error(confidences, correct)
        return Calibration(len(correct), error, statistics.brier(confidences, correct))


def _agreement(panels: dict[str, list[tuple[str, str]]]) -> JudgeAgreement | None:
    """Of the panels that are whole, judged by the judges of the most."""
    whole = {id: panel for id, panel in panels.items() if all(outcome != "unjudged" for _, outcome in panel)}
    if not whole:
        return None
    judges = Counter(tuple(method for method, _ in panel) for panel in whole.values()).most_common(1)[0][0]
    words = {
        id: [outcome for _, outcome in panel]
        for id, panel in sorted(whole.items())
        if tuple(method for method, _ in panel) == judges
    }
    by_judge = list(zip(*words.values(), strict=True))
    return JudgeAgreement(
        judges=list(judges),
        answers=len(words),
        kappas=[statistics.cohen_kappa(by_judge[0], other) for other in by_judge[1:]],
        alpha=statistics.krippendorff_alpha(list(words.values())),
        disagreements=[id for id, said in words.items() if len(set(said)) > 1],
    )


def _agreement_lines(found: JudgeAgreement) -> list[str]:
    first, *others = found.judges
    pairs = [f"{name} {_number(kappa)}" for name, kappa in zip(others, found.kappas, strict=True)]
    apart = f"{len(found.disagreements)} of {found.answers} answers judged differently"
    kappas = f"Cohen's kappa of {first} with {', '.join(pairs)}"
    return [f"{apart}; {kappas}; Krippendorff's alpha {_number(found.alpha)}"]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _groups_of(attempt: Attempt) -> dict[str, str]:
    own = {"level": str(attempt.level) if attempt.level else "", "type": attempt.type}
    return {**attempt.groups, **{name: value for name, value in own.items() if value}}


def from_attempts(attempts: Iterable[Attempt], seed: int = 0) -> Scores:
    """The scores of attempts, e.g. of an evaluation file read back."""
    board = Scoreboard()
    for attempt in attempts:
        board.add(attempt)
    return board.scores(seed)


def _grouped(questions: Sequence[Question], by: str, name: Callable[[str], str], seed: int) -> list[ScoreRow]:
    """A row per group, by name; none when nothing names a group."""
    groups: dict[str, list[Question]] = {}
    for question in questions:
        groups.setdefault(question.groups.get(by, ""), []).append(question)
    if set(groups) <= {""}:
        return []
    return [_row(name(group) if group else "(none)", groups[group], seed) for group in sorted(groups, key=_by_number)]


def _by_number(name: str) -> tuple[int, int, str]:
    """Sorts "10" after "9"; what has no name goes first."""
    return (0, int(name), "") if name.isascii() and name.isdigit() else (bool(name), 0, name)


def _row(name: str, questions: Sequence[Question], seed: int) -> ScoreRow:
    judged = [question for question in questions if question.judged]
    k = min((question.judged for question in judged), default=0)
    shares = [question.correct / question.judged for question in judged]
    chances = [pass_at_k(question.judged, question.correct, k) for question in judged]
    f1s = [fmean(question.f1s) for question in judged if question.f1s]
    row_f1s = [fmean(question.row_f1s) for question in judged if question.row_f1s]
    return ScoreRow(
        name=name,
        questions=len(questions),
        correct=sum(question.correct for question in judged),
        judged=sum(question.judged for question in judged),
        unanswered=sum(question.unanswered for question in judged),
        unjudged=sum(question.unjudged for question in questions),
        k=k,
        pass_1=fmean(shares) if shares else None,
        pass_1_interval=interval_of_shares(shares, seed),
        pass_k=fmean(chances) if chances else None,
        pass_k_interval=interval_of_shares(chances, seed),
        best=fmean(question.correct > 0 for question in judged) if judged else None,
        majority=fmean(question.majority_is_correct() for question in judged) if judged else None,
        f1=fmean(f1s) if f1s else None,
        f1_interval=_interval_of_f1(f1s, seed),
        row_f1=fmean(row_f1s) if row_f1s else None,
        row_f1_interval=_interval_of_f1(row_f1s, seed),
    )


def _interval_of_f1(f1s: Sequence[float], seed: int) -> Interval | None:
    """To a thousandth, so that of many questions few values are distinct: the bootstrap's time is theirs."""
    return interval_of_shares([round(f1, 3) for f1 in f1s], seed) if f1s else None


# ---- for reading ---------------------------------------------------------------------------------------------------


def score_table(rows: Sequence[ScoreRow]) -> list[str]:
    """The lines of a table; columns that only several runs fill stand there for several runs alone."""
    k = max(row.k for row in rows)
    head = ["", "questions", "correct", "pass@1", "95 %", "no answer", "unjudged"]
    cells = [_cells(row) for row in rows]
    if any(row.row_f1 is not None for row in rows):
        head += ["item F1", "row F1"]
        cells = [[*row_cells, percent(row.f1), percent(row.row_f1)] for row_cells, row in zip(cells, rows, strict=True)]
    elif any(row.f1 is not None for row in rows):
        head.append("F1")
        cells = [[*row_cells, percent(row.f1)] for row_cells, row in zip(cells, rows, strict=True)]
    if k > 1:
        head += ["pass@k", "95 %", "best", "majority"]
        cells = [[*row_cells, *_cells_of_several(row)] for row_cells, row in zip(cells, rows, strict=True)]
    return columns([head, *cells])


def _cells(row: ScoreRow) -> list[str]:
    return [
        row.name,
        str(row.questions),
        f"{row.correct}/{row.judged}",
        percent(row.pass_1),
        span(row.pass_1_interval) if row.judged else "-",
        str(row.unanswered),
        str(row.unjudged),
    ]


def _cells_of_several(row: ScoreRow) -> list[str]:
    if row.k < 2:
        return ["-"] * 4
    return [f"{percent(row.pass_k)} (k={row.k})", span(row.pass_k_interval), percent(row.best), percent(row.majority)]
