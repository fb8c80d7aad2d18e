"""Scores by hand: pass@k, intervals, majority, groups; and unjudged runs in none of them."""

import random
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import Attempt, Ending, Outcome, Verdict
from webdancer_cli.grading.scores import bootstrap, by_level, from_attempts, pass_at_k, wilson


def attempt(
    qa_id: str,
    run: int = 0,
    outcome: Outcome = "correct",
    *,
    level: int = 0,
    type: str = "",
    answer: str | None = "42",
    ending: Ending = "answered",
    format_ok: bool = True,
    calls: int = 2,
) -> Attempt:
    return Attempt(
        id=f"{qa_id}/{run}",
        qa_id=qa_id,
        run=run,
        model="m",
        question="What?",
        gold="42",
        answer=answer,
        verdict=Verdict(outcome=outcome, method="match"),
        format_ok=format_ok,
        ending=ending,
        level=level,
        type=type,
        tools={"search": calls},
    )


# ---- pass@k


@pytest.mark.parametrize(
    ("n", "c", "k", "expected"),
    [
        (1, 0, 1, 0.0),
        (1, 1, 1, 1.0),
        (3, 1, 1, 1 / 3),
        (3, 1, 3, 1.0),
        (5, 2, 3, 0.9),  # 1 - C(3,3)/C(5,3) = 1 - 1/10
        (10, 3, 5, 1 - 21 / 252),  # 1 - C(7,5)/C(10,5)
        (4, 4, 2, 1.0),
    ],
)
def test_pass_at_k_by_hand(n: int, c: int, k: int, expected: float) -> None:
    assert pass_at_k(n, c, k) == pytest.approx(expected, abs=1e-12)


@given(st.integers(1, 8), st.data())
def test_pass_at_k_is_the_share_of_subsets_that_hold_a_correct_run(n: int, data: st.DataObject) -> None:
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    subsets = list(combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets), abs=1e-12)


@pytest.mark.parametrize(("n", "c", "k"), [(3, 1, 4), (3, 4, 1), (3, -1, 1), (3, 1, 0), (0, 0, 1)])
def test_pass_at_k_refuses_what_makes_no_sense(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="pass@k needs"):
        pass_at_k(n, c, k)


# ---- intervals


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        # centre (p + z²/2n) / (1 + z²/n), half z √(p(1-p)/n + z²/4n²) / (1 + z²/n), z = 1.96
        (53, 103, 0.4193, 0.6088),  # GAIA, 51.5 %: [41.9, 60.9]
        (0, 10, 0.0, 0.2775),  # z²/(n + z²) = 3.8415/13.8415
        (10, 10, 0.7225, 1.0),
        (1, 2, 0.0945, 0.9055),
        (500, 1000, 0.4691, 0.5309),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilsons_interval_by_hand(k: int, n: int, low: float, high: float) -> None:
    assert wilson(k, n) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 500), st.data())
def test_wilsons_interval_holds_the_share(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    low, high = wilson(k, n)
    assert 0 <= low <= k / n + 1e-12 and k / n - 1e-12 <= high <= 1


def test_wilsons_interval_refuses_more_successes_than_tries() -> None:
    with pytest.raises(ValueError, match="0 <= k <= n"):
        wilson(3, 2)


def test_the_bootstrap_agrees_with_the_normal_interval_and_repeats_itself() -> None:
    # 200 questions, half of them 1/3 and half 2/3: the mean's standard error is (1/6)/√200 = 0.01179
    values = [1 / 3, 2 / 3] * 100
    low, high = bootstrap(values, seed=1)
    assert (low, high) == pytest.approx((0.5 - 1.96 * 0.01179, 0.5 + 1.96 * 0.01179), abs=0.003)
    assert bootstrap(values, seed=1) == (low, high) != bootstrap(values, seed=2)


def test_where_all_questions_are_alike_the_interval_is_not_a_point() -> None:
    assert bootstrap([1.0] * 10) == wilson(10, 10)
    assert bootstrap([]) == (0.0, 1.0)


def test_runs_of_one_question_do_not_narrow_the_interval() -> None:
    """Ten identical runs of each question say no more about the model than one."""
    outcomes: list[Outcome] = ["correct", "wrong"] * 10
    one = from_attempts(attempt(f"q{n}", 0, outcome) for n, outcome in enumerate(outcomes))
    ten = from_attempts(attempt(f"q{n}", run, outcome) for n, outcome in enumerate(outcomes) for run in range(10))
    assert one.overall.pass_1_interval == ten.overall.pass_1_interval == wilson(10, 20)


# ---- the whole


def test_one_run_each() -> None:
    scores = from_attempts([attempt("a"), attempt("b", outcome="wrong"), attempt("c"), attempt("d")])
    row = scores.overall
    assert (row.questions, row.correct, row.judged, row.unjudged, row.k) == (4, 3, 4, 0, 1)
    assert row.pass_1 == row.pass_k == 0.75
    assert row.pass_1_interval == wilson(3, 4)


def test_several_runs_each() -> None:
    attempts = [
        *(attempt("a", run, "correct") for run in range(3)),
        *(attempt("b", run, "correct" if run == 1 else "wrong", answer=f"{run}") for run in range(3)),
        *(attempt("c", run, "wrong", answer="7") for run in range(3)),
        *(attempt("d", run, "wrong" if run == 0 else "correct", answer="7" if run == 0 else "42") for run in range(3)),
    ]
    row = from_attempts(attempts).overall
    assert (row.correct, row.judged, row.k) == (6, 12, 3)
    assert row.pass_1 == pytest.approx((1 + 1 / 3 + 0 + 2 / 3) / 4)  # avg@3
    assert row.pass_k == 3 / 4  # pass@3: a, b and d
    assert row.majority == 2 / 4  # a and d; b's three answers tie, and its first is wrong
    assert row.pass_1_interval[0] < row.pass_1 < row.pass_1_interval[1]


def test_unjudged_runs_enter_nothing_and_are_counted() -> None:
    attempts = [
        attempt("a", 0),
        attempt("a", 1, "unjudged"),
        attempt("b", 0, "wrong"),
        attempt("b", 1, "wrong"),
        attempt("c", 0, "unjudged"),
        attempt("c", 1, "unjudged"),
    ]
    row = from_attempts(attempts).overall
    assert (row.questions, row.correct, row.judged, row.unjudged) == (3, 1, 3, 3)
    assert row.pass_1 == 0.5  # a: 1 of 1, b: 0 of 2; c says nothing
    assert row.k == 1  # only one run of a is judged


def test_nothing_judged_is_no_accuracy() -> None:
    for attempts in ([], [attempt("a", 0, "unjudged")]):
        row = from_attempts(attempts).overall
        assert row.pass_1 is None and row.pass_k is None and row.majority is None
        assert row.pass_1_interval == (0.0, 1.0)
        assert "-" in from_attempts(attempts).table()


def test_levels_and_types_have_their_own_rows_in_order() -> None:
    attempts = [
        attempt("a", level=10, type="count"),
        attempt("b", level=2, type="multi_hop", outcome="wrong"),
        attempt("c", level=2, type="count"),
    ]
    scores = from_attempts(attempts)
    assert [(row.name, row.correct, row.judged) for row in scores.by_level] == [("level 2", 1, 2), ("level 10", 1, 1)]
    assert [(row.name, row.correct, row.judged) for row in scores.by_type] == [("count", 2, 2), ("multi_hop", 0, 1)]
    assert by_level(attempts) == scores.by_level


def test_without_levels_or_types_there_are_no_such_rows() -> None:
    scores = from_attempts([attempt("a")])
    assert scores.by_level == [] and scores.by_type == []


def test_format_calls_and_endings_speak_of_all_runs() -> None:
    attempts = [
        attempt("a", calls=1),
        attempt("b", outcome="unjudged", format_ok=False, calls=4),
        attempt("c", outcome="wrong", ending="call_limit", answer=None, format_ok=False, calls=4),
        attempt("d", calls=3),
    ]
    scores = from_attempts(attempts)
    assert (scores.attempts, scores.format_share, scores.mean_calls) == (4, 0.5, 3.0)
    assert scores.endings == {"answered": 3, "call_limit": 1}


def test_the_order_of_attempts_makes_no_difference() -> None:
    draw = random.Random(5)
    attempts = [
        attempt(f"q{n}", run, draw.choice(["correct", "wrong"]), answer=draw.choice("xyz"))
        for n in range(30)
        for run in range(4)
    ]
    shuffled = draw.sample(attempts, len(attempts))
    assert from_attempts(attempts, seed=3) == from_attempts(shuffled, seed=3)


def test_scores_come_back_from_a_file(tmp_path: object) -> None:
    attempts = [attempt(f"q{n}", run, "correct" if n % 3 else "wrong") for n in range(9) for run in range(2)]
    path = f"{tmp_path}/attempts.jsonl"
    jsonl.write_records(path, attempts)
    assert from_attempts(jsonl.read_records(path, Attempt)) == from_attempts(attempts)


def test_the_table_shows_counts_and_intervals() -> None:
    attempts = [attempt(f"q{n}", outcome="correct" if n < 53 else "wrong", level=1 + n % 2) for n in range(103)]
    lines = from_attempts([*attempts, attempt("u", outcome="unjudged")]).table().splitlines()
    header, overall, without_level, level_1, level_2, how = lines
    assert header.split() == ["questions", "correct", "pass@1", "95", "%", "pass@k", "95", "%", "majority", "unjudged"]
    assert overall.split() == ["all", "104", "53/103", "51.5", "%", "[41.9,", "60.9]", "-", "-", "-", "1"]
    assert without_level.startswith("(none)") and without_level.split()[1:3] == ["1", "0/0"]
    assert level_1.startswith("level 1") and "27/52" in level_1
    assert level_2.startswith("level 2") and "26/51" in level_2
    assert how == "104 runs; well-formed 100.0 %; 2.0 tool calls each; endings: answered 104; judged by: match 103"


def test_the_table_names_k_when_there_are_several_runs() -> None:
    attempts = [attempt("a", 0), attempt("a", 1, "wrong"), attempt("b", 0, "wrong"), attempt("b", 1, "wrong")]
    overall = from_attempts(attempts).table().splitlines()[1]
    assert "1/4" in overall and "25.0 %" in overall and "50.0 % (k=2)" in overall
