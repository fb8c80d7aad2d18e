"""How often each question was answered rightly before: of a file of attempts, several a question."""

from collections import Counter
from typing import NamedTuple

from webdancer_cli.data.records import Rejected
from webdancer_cli.data.sealed import NO_SEAL_TERMS, SealTerms
from webdancer_cli.grading.exact_match import match_answer
from webdancer_cli.grading.predictions import Questions, read_predictions


class PassCount(NamedTuple):
    """Right answers among the judged ones."""

    right: int = 0
    judged: int = 0

    @property
    def learnability(self) -> float:
        """The expected variance p (1 - p) of an outcome, for a pass rate p that may be any before an attempt is seen.

        With p ~ Beta(1 + right, 1 + wrong): E[p (1 - p)] = (right + 1)(wrong + 1) / ((judged + 2)(judged + 3)). It is
        1/6 without attempts, as it is after a single one, and largest where half of many were right.
        """
        wrong = self.judged - self.right
        return (self.right + 1) * (wrong + 1) / ((self.judged + 2) * (self.judged + 3))

    @property
    def hardness(self) -> float:
        """The expected share of wrong answers."""
        return (self.judged - self.right + 1) / (self.judged + 2)


def read_pass_counts(
    source: str, questions: Questions, terms: SealTerms = NO_SEAL_TERMS
) -> tuple[dict[str, PassCount], Counter[str]]:
    """The counts by the ids of ``questions``, and how many lines were left out, by reason.

    ``source`` holds attempts of ``eval``, trajectories of ``sample``, or answers that others gave. What has no verdict
    yet is graded by rule; what could not be judged counts for nothing.
    """
    left_out: Counter[str] = Counter()

    def leave_out(rejected: Rejected) -> None:
        left_out[rejected.reason] += 1

    counts: dict[str, PassCount] = {}
    for qa, attempt in read_predictions(source, questions, leave_out, terms, with_verdicts=True):
        verdict = attempt.verdict if attempt.verdict.method else match_answer(attempt.answer, qa.answer, qa.aliases)
        if verdict.outcome == "unjudged":
            left_out["unjudged"] += 1
        else:
            before = counts.get(qa.id, PassCount())
            counts[qa.id] = PassCount(before.right + (verdict.outcome == "correct"), before.judged + 1)
    return counts, left_out
