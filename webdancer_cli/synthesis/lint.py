"""What is wrong with a set of questions, whoever wrote them: each on its own, beside the others, and all together.

On its own: ``checks.wording_faults``. Beside the others: ``duplicate`` (the same question, up to case, punctuation and
spaces), ``near_duplicate`` (nearly the same words, by MinHash, with the same names, numbers and answer) and
``contaminated`` (shares a run of words with a question of an evaluation set). All together: the ``Report``.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from webdancer_cli.records import QA
from webdancer_cli.synthesis.checks import YES_NO, Fault, fold, wording_faults
from webdancer_cli.web.similar import Similar, shingles, signature
from webdancer_cli.web.words import raw_words

PERMUTATIONS = 64
"""Half of what pages get: questions are many. The index takes some 2 KB for each that is kept."""
SHINGLE_WORDS = 2

_NAME = re.compile(r"(?<!^)(?<![.!?]\s)\b[A-Z][\w'’-]*|\d[\d.,]*\d|\d")


def _tokens(qa: QA) -> list[str]:
    """The pairs of words of a question, each under the question's names, numbers, level and answer.

    Templates make many questions that differ in a name alone, and a rewrite may add a few words only; these are
    different questions, and share no token.
    """
    names = sorted({name.casefold() for name in _NAME.findall(" ".join(qa.question.split()))})
    label = "|".join([fold(qa.answer), str(qa.level), *names])
    return [f"{label}|{pair}" for pair in shingles(qa.question, SHINGLE_WORDS)]


class Evaluation:
    """The runs of ``ngram_words`` words of an evaluation set; a shorter question counts as one run."""

    def __init__(self, questions: Iterable[str], ngram_words: int):
        self._words = ngram_words
        self._runs = {hash(run) for question in questions for run in self._runs_of(question)}

    def shared(self, question: str) -> str:
        """The first run of words that an evaluation question has too; "" if there is none."""
        return next((" ".join(run) for run in self._runs_of(question) if hash(run) in self._runs), "")

    def _runs_of(self, question: str) -> Iterator[tuple[str, ...]]:
        words = raw_words(question)
        for at in range(max(1, len(words) - self._words + 1)):
            yield tuple(words[at : at + self._words])


@dataclass
class Report:
    """What a set of questions looks like. ``faults`` counts every fault of every question, not only the first."""

    questions: int = 0
    good: int = 0
    yes_no: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    levels: Counter[int] = field(default_factory=Counter)
    answer_words: Counter[int] = field(default_factory=Counter)
    question_words: Counter[int] = field(default_factory=Counter)

    def add(self, qa: QA, faults: list[Fault]) -> None:
        self.questions += 1
        self.good += not faults
        self.yes_no += fold(qa.answer).rstrip(".") in YES_NO
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
            "types": dict(self.types.most_common()),
            "levels": {str(level): count for level, count in sorted(self.levels.items())},
            "answer_words": _spread(self.answer_words),
            "question_words": _spread(self.question_words),
        }

    def table(self) -> str:
        """The report for reading."""
        lines = [f"{'questions':<24}{self.questions:>10}", self._row("good", self.good)]
        lines += [self._row(f"  {reason}", count) for reason, count in self.faults.most_common()]
        lines.append(self._row("yes/no answers", self.yes_no))
        lines += [self._row(f"type {kind}", count) for kind, count in self.types.most_common(20)]
        lines += [self._row(f"level {level}", count) for level, count in sorted(self.levels.items()) if level]
        for name, counts in (("answer", self.answer_words), ("question", self.question_words)):
            spread = ", ".join(f"{point} {length}" for point, length in _spread(counts).items())
            lines.append(f"{f'words of {name}':<24}{spread}")
        return "\n".join(lines)

    def _row(self, name: str, count: int) -> str:
        return f"{name:<24}{count:>10}{100 * self._share(count):>8.1f} %"

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

    def __init__(self, *, similarity: float, evaluation: Evaluation | None = None, allow_boolean: bool = False):
        self._near = Similar(similarity, PERMUTATIONS)
        self._evaluation = evaluation
        self._allow_boolean = allow_boolean
        self._met: set[int] = set()
        self.report = Report()

    def faults(self, qa: QA) -> list[Fault]:
        """Everything wrong with a question; only one that is good on its own can make a later one a duplicate."""
        found = [*wording_faults(qa, allow_boolean=self._allow_boolean), *self._contamination(qa)]
        if not found:
            found = [*self._repetition(qa)]
        self.report.add(qa, found)
        return found

    def _contamination(self, qa: QA) -> Iterator[Fault]:
        if self._evaluation and (run := self._evaluation.shared(qa.question)):
            yield Fault("contaminated", f"an evaluation question has: {run}")

    def _repetition(self, qa: QA) -> Iterator[Fault]:
        question = hash(tuple(raw_words(qa.question)))
        if question in self._met:
            yield Fault("duplicate", qa.question)
        elif self._near.met(signature(_tokens(qa), PERMUTATIONS)):
            yield Fault("near_duplicate", qa.question)
        self._met.add(question)
