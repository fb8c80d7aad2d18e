"""Pass rates of a file of attempts: whoever wrote it, and what they say about what can be learned."""

import json
from pathlib import Path

import pytest

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import QA, Attempt, Message, Trajectory, Verdict
from webdancer_cli.grading.pass_rates import PassCount, read_pass_counts
from webdancer_cli.grading.predictions import Questions

ASKED = [QA(question=f"{name}?", answer="red") for name in "ABCD"]


def attempt(qa: QA, run: int, verdict: Verdict) -> Attempt:
    return Attempt(
        id=f"{qa.id}{run}", qa_id=qa.id, run=run, model="m", question=qa.question, gold=qa.answer, answer="blue",
        verdict=verdict, format_ok=True, ending="answered",
    )  # fmt: skip


def test_attempts_count_by_their_own_verdicts_and_what_nobody_judged_by_rule(tmp_path: Path):
    judged, unjudged = Verdict(outcome="correct", method="model:j"), Verdict(outcome="unjudged", method="model:j")
    ends = [Message("user", "B?"), Message("assistant", "<answer>red</answer>")]
    stranger = QA(question="E?", answer="red")
    lines = [
        attempt(ASKED[0], 0, judged),  # "blue" is no "red", but the judge has spoken
        attempt(ASKED[0], 1, Verdict(outcome="wrong", method="match")),
        attempt(ASKED[0], 2, unjudged),
        Trajectory(qa=ASKED[1], messages=ends, ending="answered", answer="red"),
        Trajectory(qa=ASKED[1], messages=ends, ending="no_answer"),
        attempt(stranger, 0, judged),
    ]
    path = tmp_path / "attempts.jsonl"
    jsonl.write_records(str(path), lines)
    with path.open("a") as more:
        more.write(json.dumps({"question": "C?", "response": "Exact answer: red"}) + "\n")
    counts, left_out = read_pass_counts(str(path), Questions("qa.jsonl", ASKED))
    assert counts == {ASKED[0].id: (1, 2), ASKED[1].id: (1, 2), ASKED[2].id: (1, 1)}
    assert left_out == {"unjudged": 1, "unknown_question": 1}


@pytest.mark.parametrize(
    ("right", "judged", "expected"),
    # (right + 1)(wrong + 1) / ((judged + 2)(judged + 3))
    [(0, 0, 1 / 6), (1, 1, 2 / 12), (0, 1, 2 / 12), (4, 8, 25 / 110), (2, 8, 21 / 110), (0, 8, 9 / 110)],
)
def test_learnability_by_hand(right: int, judged: int, expected: float):
    assert PassCount(right, judged).learnability == pytest.approx(expected)


def test_the_harder_of_two_has_the_smaller_share_of_right_answers():
    shares = [PassCount(right, 8).hardness for right in range(9)]
    assert shares == sorted(shares, reverse=True) and PassCount(4, 8).hardness == PassCount().hardness == 0.5
