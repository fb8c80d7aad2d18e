"""What a report holds: entries for lists, threads for readers, evaluations, pairs and curves."""

import json
import zlib
from math import isclose
from typing import Any

import pytest
from report_records import QUOTE, attempt, from_ascii, question, trajectory

from webdancer_cli.data.records import WrongShape
from webdancer_cli.data.sealed import CANARY, KEYS, SEALED, Seal
from webdancer_cli.grading.statistics import mcnemar_exact
from webdancer_cli.report.model import Report, ReportBuilder


def report(*files: list[Any]) -> Report:
    builder = ReportBuilder("Title", [f"file {number}" for number, _ in enumerate(files)])
    for source, lines in enumerate(files):
        for line in lines:
            builder.add(source, line)
    return builder.report()


def unpacked(made: Report, address: tuple[int, int]) -> Any:
    """As the page's script reads it."""
    chunk, place = address
    return json.loads(zlib.decompress(from_ascii(made.chunks[chunk]), -zlib.MAX_WBITS))[place]


def test_an_episode_becomes_an_entry_and_a_thread() -> None:
    made = report([trajectory(answer="Mary Shelley", outcome="wrong", repairs=["4:unclosed_answer"])])
    [entry] = made.episodes
    assert (entry.question, entry.gold, entry.answer) == ("Who wrote Emma?", "Jane Austen", "Mary Shelley")
    assert (entry.verdict, entry.ending, entry.level, entry.calls, entry.repairs) == ("wrong", "answered", 1, 1, 1)
    thread = unpacked(made, entry.at)
    assert [step["role"] for step in thread["steps"]] == ["system", "user", "assistant", "tool", "assistant"]
    assert thread["steps"][2]["call"] == {"name": "search", "arguments": {"query": "Emma"}}
    assert thread["steps"][3]["text"] == f"Emma is a novel. {QUOTE}"
    assert thread["steps"][4]["answer"] == "Mary Shelley"
    assert thread["evidence"][0]["quote"] == QUOTE


def test_a_turn_that_needed_repair_is_also_shown_as_it_was_written() -> None:
    broken = trajectory()
    broken["messages"][4]["content"] = "<answer>Jane Austen"
    made = report([broken])
    step = unpacked(made, made.episodes[0].at)["steps"][4]
    assert step["text"] == "<answer>Jane Austen"
    assert "unclosed_answer" in step["repairs"]


def test_a_long_text_is_kept_once() -> None:
    page = " ".join(f"word{number}" for number in range(100))
    made = report([trajectory(rollout=number) for number in range(5)], [{"url": "u", "title": "", "text": page}] * 2)
    first, second = (unpacked(made, entry.at)["text"] for entry in made.pages)
    assert first == second
    assert unpacked(made, first) == page


def test_a_rejected_line_is_shown_as_its_record_with_the_reason() -> None:
    def reject(record: Any) -> dict[str, Any]:
        return {"reason": "wrong", "detail": "no match", "stage": "filter", "record": record}

    made = report([reject(trajectory()), reject(question()), reject("{torn"), reject({"messages": 3, "qa": {}})])
    assert [entry.reason for entry in made.episodes] == ["wrong"]
    assert ["left out by", "filter"] in unpacked(made, made.episodes[0].at)["facts"]
    assert [entry.reason for entry in made.questions] == ["wrong"]
    assert [(other.stage, other.detail) for other in made.others] == [("filter", "no match")] * 2


def test_fields_that_the_records_do_not_know_are_used_where_they_are_known_here() -> None:
    anatomy = {"basis": "evidence", "failure": "not_opened", "gold": 2, "surfaced": 1}
    evidence = [{"url": "http://example.org/emma", "quote": QUOTE}]
    made = report([attempt(1, "wrong", anatomy=anatomy, evidence=evidence)])
    assert made.episodes[0].failure == "not_opened"
    thread = unpacked(made, made.episodes[0].at)
    assert (thread["anatomy"]["surfaced"], thread["evidence"]) == (1, evidence)
    assert made.evaluations[0].failures == {"not_opened": 1}


def test_an_evaluation_counts_what_it_judged_and_shows_its_interval() -> None:
    made = report([attempt(1, "correct"), attempt(2, "correct"), attempt(3, "wrong"), attempt(4, "unjudged")])
    [evaluation] = made.evaluations
    overall = evaluation.overall
    assert (overall.correct, overall.judged, overall.unjudged) == (2, 3, 1)
    # Wilson for 2 of 3: centre (2/3 + 1.9208/3) / (1 + 3.8415/3) = 0.5730, half-width 0.3653
    assert isclose(overall.low, 0.2077, abs_tol=1e-3) and isclose(overall.high, 0.9385, abs_tol=1e-3)
    assert [(bar.name, bar.correct, bar.judged) for bar in evaluation.groups["level"]] == [
        ("level 1", 1, 1),
        ("level 2", 1, 2),
    ]


def test_two_evaluations_are_compared_on_the_questions_that_both_have() -> None:
    before = [
        attempt(1, "wrong"),
        attempt(2, "wrong"),
        attempt(3, "correct"),
        attempt(4, "correct"),
        attempt(9, "wrong"),
    ]
    after = [attempt(1, "correct"), attempt(2, "correct"), attempt(3, "wrong"), attempt(4, "correct")]
    [pair] = report(before, after).pairs
    assert (pair.questions, pair.gained, pair.lost, pair.difference) == (4, ["q1", "q2"], ["q3"], 0.25)


def test_mcnemar_is_the_exact_two_sided_sign_test() -> None:
    assert mcnemar_exact(0, 0) == 1.0
    assert mcnemar_exact(3, 3) == 1.0
    assert mcnemar_exact(5, 0) == 2 / 32
    assert mcnemar_exact(8, 2) == 2 * (1 + 10 + 45) / 1024


def test_curves_have_a_value_for_each_step_and_nested_counts_are_curves_of_their_own() -> None:
    lines = [
        {"step": 1, "reward": 0.1, "endings": {"answered": 3}},
        {"step": 3, "reward": 0.3, "alarms": ["entropy collapse: raise the temperature"]},
        {"step": 2, "reward": 9.0, "loss": float("inf")},
        {"step": 2, "reward": 0.2, "alarms": [{"name": "no signal", "message": "all groups are alike"}]},
    ]
    [run] = report(lines).runs
    assert (run.method, run.steps) == ("rl", [1, 2, 3])
    assert run.curves == {"reward": [0.1, 0.2, 0.3], "endings.answered": [3, None, None]}
    assert [(alarm.step, alarm.text) for alarm in run.alarms] == [
        (2, "no signal: all groups are alike"),
        (3, "entropy collapse: raise the temperature"),
    ]


def test_what_is_sealed_stays_sealed_unless_it_is_revealed() -> None:
    seal = Seal("canary words", next(iter(KEYS)))
    line = {"question": seal.close("Who wrote Emma?"), "answer": seal.close("Jane Austen"), "id": "q"}
    line |= {CANARY: seal.canary, SEALED: {"scheme": seal.scheme, "fields": []}}
    hidden, shown = ReportBuilder("", ["f"]), ReportBuilder("", ["f"], reveal=True)
    hidden.add(0, dict(line))
    shown.add(0, dict(line))
    assert hidden.report().questions[0].question == line["question"]
    assert shown.report().questions[0].question == "Who wrote Emma?"


def test_a_line_that_is_nearly_a_record_is_refused_by_the_name_of_its_field() -> None:
    with pytest.raises(WrongShape, match="ending"):
        report([trajectory(ending="bored")])


def test_f1_stands_beside_the_share_and_a_group_is_named_once() -> None:
    verdict = {"outcome": "wrong", "method": "match", "f1": 0.9, "row_f1": 0.5}
    lines = [attempt(number, "wrong", verdict=verdict, groups={"language": name}) for number, name in enumerate("ab")]
    [evaluation] = report(lines).evaluations
    assert (evaluation.overall.f1, evaluation.overall.row_f1) == (0.9, 0.5)
    assert [bar.name for bar in evaluation.groups["language"]] == ["a", "b"]
