"""What is wrong with a set of questions, whoever wrote them: each on its own, beside the others, and all together.

On its own: ``checks.wording_faults``. Beside the others: ``duplicate`` and ``near_duplicate`` (``repeats``), and
``contaminated`` (shares a run of words with a question of an evaluation set). All together: the ``LintReport``.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from webdancer_cli.data.records import QA
from webdancer_cli.synthesis.checks import QuestionFault, answers_whether, wording_faults
from webdancer_cli.synthesis.repeated_questions import Repeats
from webdancer_cli.text.words import raw_words

SHORTEST_RUN = 5
"""A shorter evaluation question is found only where it stands alone: "Who wrote Emma?" is part of many others."""


class BenchmarkNgrams:
    """The runs of ``ngram_words`` words of evaluation sets. A shorter question of theirs is a run as a whole."""

    def __init__(self, ngram_words: int):
        self._words = ngram_words
        self._files: dict[int, frozenset[str]] = {}
        self._lengths: set[int] = {ngram_words}

    def add(self, file: str, questions: Iterable[str]) -> None:
        for question in questions:
            words = _words(question)
            if SHORTEST_RUN <= len(words) < self._words:
                self._lengths.add(len(words))
            for run in _runs(words, min(self._words, len(words))):
                self._files[hash(run)] = self._files.get(hash(run), frozenset()) | {file}

    def shared(self, question: str) -> dict[str, str]:
        """The first run of words that each file has too, by file; the longest runs are looked at first."""
        words = _words(question)
        lengths = sorted({length for length in self._lengths if length <= len(words)} | {len(words)}, reverse=True)
        found: dict[str, str] = {}
        for run in (run for length in lengths for run in _runs(words, length)):
            for file in self._files.get(hash(run), ()):
                found.setdefault(file, " ".join(run))
        return found


def _words(question: str) -> list[str]:
    """The words of a question; an apostrophe is one apostrophe, curly or straight."""
    return raw_words(question.replace("’", "'"))


def _runs(words: list[str], length: int) -> Iterator[tuple[str, ...]]:
    return (tuple(words[at : at + length]) for at in range(len(words) - length + 1) if length)


@dataclass
class LintReport:
    """What a set of questions looks like. ``faults`` counts every fault of every question, not only the first."""

    questions: int = 0
    good: int = 0
    yes_no: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    contaminated_by: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    levels: Counter[int] = field(default_factory=Counter)
    answer_words: Counter[int] = field(default_factory=Counter)
    question_words: Counter[int] = field(default_factory=Counter)

    def add(self, qa: QA, faults: list[QuestionFault], files: Iterable[str] = ()) -> None:
        """``files``: the evaluation files that have a run of the question's words."""
        self.questions += 1
        self.good += not faults
        self.yes_no += answers_whether(qa)
        self.contaminated_by.update(list(files))
        self.faults.update({fault.reason for fault in faults})
        self.types[qa.type or qa.tag or "untyped"] += 1
        self.levels[qa.level] += 1
        self.answer_words[len(raw_words(qa.answer))] += 1
        self.question_words[len(raw_words(qa.question))] += 1

    def values(self) -> dict[str, Any]:
        """The report as a JSON object. Shares are of all questions; lengths are in words."""
        return {
            "questions": self.questions,
            "good": self.good,
            "yes_no_share": self._share(self.yes_no),
            "faults": dict(self.faults.most_common()),
            "fault_shares": self._shares(self.faults),
            "duplicates": {reason: self.faults[reason] for reason in ("duplicate", "near_duplicate")},
            "contaminated_by": dict(self.contaminated_by.most_common()),
            "contaminated_shares": self._shares(self.contaminated_by),
            "types": dict(self.types.most_common()),
            "type_shares": self._shares(self.types),
            "levels": {str(level): count for level, count in sorted(self.levels.items())},
            "answer_words": _spread(self.answer_words),
            "question_words": _spread(self.question_words),
        }

    def table(self) -> str:
        """The report for reading."""
        lines = [f"{'questions':<24}{self.questions:>10}", self._row("good", self.good)]
        lines += [self._row(f"  {reason}", count) for reason, count in self.faults.most_common()]
        lines += [self._row(f"  in {file}", count) for file, count in self.contaminated_by.most_common()]
        lines.append(self._row("yes/no answers", self.yes_no))
        lines += [self._row(f"type {kind}", count) for kind, count in self.types.most_common(20)]
        lines += [self._row(f"level {level}", count) for level, count in sorted(self.levels.items()) if level]
        for name, counts in (("answer", self.answer_words), ("question", self.question_words)):
            spread = ", ".join(f"{point} {length}" for point, length in _spread(counts).items())
            lines.append(f"{f'words of {name}':<24}{spread}")
        return "\n".join(lines)

    def _row(self, name: str, count: int) -> str:
        return f"{name:<24}{count:>10}{100 * self._share(count):>8.1f} %"

    def _shares(self, counts: Counter[str]) -> dict[str, float]:
        return {name: self._share(count) for name, count in counts.most_common()}

    def _share(self, count: int) -> float:
        return round(count / self.questions, 4) if self.questions else 0.0


_POINTS = {"shortest": 0.0, "median": 0.5, "p95": 0.95, "longest": 1.0}


def _spread(counts: Counter[int]) -> dict[str, int]:
    """Shortest, median, 95th percentile and longest, by the nearest rank."""
    total = counts.total()
    spread = {}
    for name, share in _POINTS.items():
        rank, seen = max(1, -(-share * total // 1)), 0
        for length in sorted(counts):
            seen += counts[length]
            if seen >= rank:
                spread[name] = length
                break
    return spread


class Linter:
    """Judges questions in the order of their coming; of duplicates the first is kept."""

    def __init__(self, repeats: Repeats, *, evaluation: BenchmarkNgrams | None = None, allow_boolean: bool = False):
        self._repeats = repeats
        self._evaluation = evaluation
        self._allow_boolean = allow_boolean
        self.report = LintReport()

    def examine(self, qa: QA) -> list[QuestionFault]:
        """Count a question; everything wrong with it. Only one that is good on its own makes later ones duplicates."""
        shared = self._evaluation.shared(qa.question) if self._evaluation else {}
        found = [*wording_faults(qa, allow_boolean=self._allow_boolean)]
        found += [QuestionFault("contaminated", f"{file} has: {run}") for file, run in shared.items()]
        if not found and (repeated := self._repeats.add_unless_found(qa)):
            found = [repeated]
        self.report.add(qa, found, shared)
        return found
