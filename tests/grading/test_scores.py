"""Scores by hand: pass@k, intervals, majority, groups; and unjudged runs in none of them."""

import random
import time
import tracemalloc
from collections.abc import Iterator

import pytest

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import Anatomy, Attempt, Ending, Failure, ModelCall, Outcome, SearchCall, Usage, Verdict
from webdancer_cli.grading.scores import from_attempts
from webdancer_cli.grading.statistics import wilson


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


# ---- intervals


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


def test_those_who_were_told_to_answer_are_counted_by_the_budget_that_was_spent() -> None:
    attempts = [attempt("a"), attempt("b"), attempt("c", outcome="wrong"), attempt("d", outcome="unjudged")]
    for item, spent in zip(attempts, (None, "token_limit", "token_limit", "call_limit"), strict=True):
        item.last_call = spent
    scores = from_attempts(attempts)
    assert scores.conduct.hurried == {"token_limit": (2, 1), "call_limit": (1, 0)}
    assert "told to answer before they were done: token limit 2 (1 right), call limit 1 (0 right)" in scores.table()
    assert "told to answer" not in from_attempts(attempts[:1]).table()


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
    attempts[-1] = attempt("q102", outcome="wrong", answer=None, ending="call_limit", level=1)
    lines = from_attempts([*attempts, attempt("u", outcome="unjudged")]).table().splitlines()
    header, overall, without_level, level_1, level_2, how, each, judges = lines
    assert header.split() == ["questions", "correct", "pass@1", "95", "%", "no", "answer", "unjudged"]
    assert overall.split() == ["all", "104", "53/103", "51.5", "%", "[41.9,", "60.9]", "1", "1"]
    assert without_level.startswith("(none)") and without_level.split()[1:3] == ["1", "0/0"]
    assert level_1.startswith("level 1") and "27/52" in level_1
    assert level_2.startswith("level 2") and "26/51" in level_2
    assert how == "104 runs; well-formed 100.0 %; endings: answered 103, call limit 1"
    assert each.startswith("each run: 2.0 tool calls, 2.0 searches")
    assert judges == "judged by: match 103"


def test_the_table_names_k_when_there_are_several_runs() -> None:
    attempts = [attempt("a", 0), attempt("a", 1, "wrong"), attempt("b", 0, "wrong"), attempt("b", 1, "wrong")]
    overall, runs = from_attempts(attempts).table().splitlines()[1:3]
    assert "1/4" in overall and "25.0 %" in overall and "50.0 % (k=2)" in overall
    assert runs.startswith("runs: 50.0 %, 0.0 %; pass@1 = avg@2 (the paper's cons@2), maj@2 = majority")


def test_a_run_without_an_answer_stays_in_the_denominator() -> None:
    attempts = [attempt("a"), attempt("b", outcome="wrong", answer=None, ending="token_limit")]
    row = from_attempts(attempts).overall
    assert (row.correct, row.judged, row.unanswered, row.pass_1) == (1, 2, 1, 0.5)


def test_every_column_that_is_named_is_a_break_down() -> None:
    first, second = attempt("a"), attempt("b", outcome="wrong", level=2)
    first.groups, second.groups = {"language": "en", "topic": "Art"}, {"language": "zh", "level": "hard"}
    scores = from_attempts([first, second])
    assert {by: [row.name for row in rows] for by, rows in scores.groups.items()} == {
        "language": ["language: en", "language: zh"],
        "topic": ["(none)", "topic: Art"],
    }
    assert [row.name for row in scores.by_level] == ["(none)", "level 2"]  # its own level goes before the column
    second.level = 0
    assert [row.name for row in from_attempts([first, second]).by_level] == ["(none)", "level hard"]


def test_a_break_down_of_many_groups_is_for_the_report() -> None:
    attempts = [attempt(f"q{n}") for n in range(21)]
    for number, item in enumerate(attempts):
        item.groups = {"topic": str(number), "language": "en"}
    scores = from_attempts(attempts)
    assert len(scores.groups["topic"]) == 21
    assert "topic: 3" not in scores.table() and "by topic: 21 groups, in the report" in scores.table()
    assert "language: en" in scores.table()


def test_the_f1_of_sets_has_a_column_where_there_is_one() -> None:
    attempts = [attempt("a", outcome="wrong"), attempt("b"), attempt("c")]
    attempts[0].verdict.f1, attempts[1].verdict.f1 = 0.5, 1.0
    scores = from_attempts(attempts)
    assert scores.overall.f1 == 0.75 and scores.table().splitlines()[1].endswith("75.0 %")
    assert "F1" not in from_attempts(attempts[2:]).table()


def test_calls_tokens_time_and_cost_are_means_and_sums() -> None:
    attempts = [attempt("a", calls=1), attempt("b", calls=3)]
    for item, cost in zip(attempts, (0.25, 0.5), strict=True):
        item.usage = Usage(calls=2, input_tokens=100, output_tokens=int(40 * cost), cost=cost)
        item.calls = [ModelCall(seconds=1.0, tool_seconds=0.5), ModelCall(seconds=4 * cost)]
        item.verdict = Verdict(outcome="correct", method="model:j", usage=Usage(calls=1, cost=0.01))
    conduct = from_attempts(attempts).conduct
    assert (conduct.cost, conduct.judge_cost) == (0.75, 0.02)
    means = conduct.means
    assert (means["tool calls"], means["model calls"], means["tokens in"], means["tokens out"]) == (2, 2, 100, 15)
    assert means["seconds"] == 3.0  # (1 + 0.5 + 1 + 1 + 0.5 + 2) / 2
    assert "3.0 seconds, cost $0.7500 in all, judge $0.0200 in all" in from_attempts(attempts).table()


def test_failures_are_counted_of_wrong_runs_and_search_of_all() -> None:
    def with_anatomy(qa_id: str, failure: Failure | None, *ranks: int) -> Attempt:
        made = attempt(qa_id, outcome="wrong" if failure else "correct")
        searches = [SearchCall(found=bool(rank), rank=rank) for rank in ranks]
        made.anatomy = Anatomy(basis="evidence", failure=failure, gold=2, surfaced=1, opened=1, searches=searches)
        return made

    attempts = [with_anatomy("a", None, 1, 3), with_anatomy("b", "not_shown", 0), with_anatomy("c", "not_shown", 2)]
    scores = from_attempts(attempts)
    assert (scores.conduct.failures, scores.conduct.bases) == ({"not_shown": 2}, {"evidence": 2})
    assert scores.conduct.searching == (4, 0.375, 2.0)  # (1 + 1 + 0 + 1)/2/4; (1 + 3 + 2)/3
    table = scores.table()
    assert "gold pages: listed 50.0 %, opened 50.0 %, shown 0.0 %; a search call lists 37.5 % of them" in table
    assert "wrong because: not shown 2 (told 2 by the evidence)" in table


def test_confidence_is_held_against_what_was_right() -> None:
    attempts = [attempt("a"), attempt("b", outcome="wrong"), attempt("c"), attempt("d", outcome="unjudged")]
    for item, confidence in zip(attempts, (0.8, 0.6, None, 0.9), strict=True):
        item.confidence = confidence
    found = from_attempts(attempts).calibration
    assert found is not None and found.runs == 2
    assert found.brier == pytest.approx((0.04 + 0.36) / 2) and found.calibration_error == pytest.approx(0.4)
    assert "confidence given in 2 runs" in from_attempts(attempts).table()
    assert from_attempts([attempt("a")]).calibration is None


@pytest.mark.slow
def test_50_000_records_are_scored_in_ten_seconds_and_flat_memory() -> None:
    def many(count: int) -> Iterator[Attempt]:
        for n in range(count):
            made = attempt(f"q{n // 3}", n % 3, "wrong" if n % 7 else "correct", answer=f"{n % 40}", level=1 + n % 3)
            made.groups = {"language": "en" if n % 2 else "zh", "topic": f"t{n % 11}"}
            yield made

    began = time.process_time()
    assert from_attempts(many(50_000)).attempts == 50_000
    assert time.process_time() - began < 10
    tracemalloc.start()
    from_attempts(many(10_000))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 10_000 * 2_000
