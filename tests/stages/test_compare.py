"""compare: two evaluations question by question; the numbers by hand, and what cannot be compared refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from webdancer_cli.cli import run_command
from webdancer_cli.data import jsonl, sealed
from webdancer_cli.data.records import Anatomy, Attempt, Outcome, Usage, Verdict
from webdancer_cli.errors import UsageError
from webdancer_cli.grading.comparison import Comparison
from webdancer_cli.grading.statistics import mcnemar_exact, paired_bootstrap, wilson
from webdancer_cli.options import config
from webdancer_cli.stages import compare as stage


def attempt(number: int, outcome: Outcome, run: int = 0, **more: Any) -> Attempt:
    given = {
        "id": f"{number}/{run}", "qa_id": f"q{number}", "run": run, "model": "m", "question": f"Question {number}?",
        "gold": "X", "answer": "X" if outcome == "correct" else "Y", "format_ok": True, "ending": "answered",
        "verdict": Verdict(outcome=outcome, method="match"), "tools": {"search": 1 + number % 2}, **more,
    }  # fmt: skip
    return Attempt(**given)


def side(outcomes: str, **more: Any) -> list[Attempt]:
    words: dict[str, Outcome] = {"+": "correct", "-": "wrong", "?": "unjudged"}
    return [attempt(number, words[mark], **more) for number, mark in enumerate(outcomes) if mark != " "]


def run(folder: Path, before: list[Attempt], after: list[Attempt], **more: Any) -> Comparison:
    files = [str(folder / name) for name in ("before.jsonl", "after.jsonl")]
    for path, attempts in zip(files, (before, after), strict=True):
        jsonl.write_records(path, attempts)
    return stage.run(config.CompareOptions(files=files, out=str(folder / "changed.jsonl"), **more)).report


def changed(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "changed.jsonl").read_bytes().splitlines()]


def test_one_run_each_by_hand(tmp_path: Path) -> None:
    found = run(tmp_path, side("++++------"), side("+++-+++++-"))
    # q3 is lost, q4 to q8 are gained: (8 - 4)/10
    assert (found.questions, found.gained, found.lost, found.left_out) == (10, 5, 1, 0)
    assert found.difference == pytest.approx(0.4)
    assert found.p_value == mcnemar_exact(5, 1) == pytest.approx(2 * (1 + 6) / 2**6)
    assert found.interval == paired_bootstrap([0, 0, 0, -1, 1, 1, 1, 1, 1, 0])
    assert (found.before.correct, found.before.judged, found.before.interval) == (4, 10, wilson(4, 10))
    assert found.power is not None and found.power.needed == 27  # (1.96·√0.6 + 0.8416·√0.44)² / 0.16 = 26.95


def test_questions_gained_and_lost_are_records(tmp_path: Path) -> None:
    run(tmp_path, side("+-+"), side("-++"))
    assert [(line["qa_id"], line["change"], line["shares"], line["answers"]) for line in changed(tmp_path)] == [
        ("q0", "lost", [1.0, 0.0], ["X", "Y"]),
        ("q1", "gained", [0.0, 1.0], ["Y", "X"]),
    ]


def test_several_runs_are_compared_by_their_share(tmp_path: Path) -> None:
    def runs(*correct: int) -> list[Attempt]:
        return [attempt(n, "correct" if r < c else "wrong", r) for n, c in enumerate(correct) for r in range(3)]

    found = run(tmp_path, runs(0, 1, 2), runs(3, 2, 1))
    assert (found.gained, found.lost) == (2, 1) and found.difference == pytest.approx((1 + 1 / 3 - 1 / 3) / 3)


def test_only_what_both_have_judged_is_compared(tmp_path: Path) -> None:
    found = run(tmp_path, side("++-? "), side("+?-+-"))
    assert (found.questions, found.left_out) == (2, 3)  # q1 and q3 are judged on one side, q4 is on one
    assert "(3 more are judged on one side only)" in found.table()


def test_files_without_a_common_question_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no judged question in common"):
        run(tmp_path, side("++"), side("  ++"))
    with pytest.raises(UsageError, match="no judged question in common"):
        run(tmp_path, side("??"), side("++"))
    assert not (tmp_path / "changed.jsonl").exists()


@pytest.mark.parametrize("files", [[], ["a"], ["a", "b", "c"], ["-", "-"], ["missing", "missing"]])
def test_what_is_no_pair_of_files_is_refused(files: list[str]) -> None:
    with pytest.raises(UsageError):
        stage.run(config.CompareOptions(files=files))


def test_the_output_overwrites_no_input(tmp_path: Path) -> None:
    files = [str(tmp_path / "a"), str(tmp_path / "b")]
    for path in files:
        jsonl.write_records(path, side("+"))
    with pytest.raises(UsageError, match="named twice"):
        stage.run(config.CompareOptions(files=files, out=files[0]))
    with pytest.raises(UsageError, match="named twice"):
        stage.run(config.CompareOptions(files=files, report=files[0]))


def test_behaviour_is_compared_question_by_question(tmp_path: Path) -> None:
    before = side("++--", usage=Usage(calls=2, output_tokens=100))
    after = side("++--", usage=Usage(calls=3, output_tokens=150), tools={"search": 3})
    found = {item.name: item for item in run(tmp_path, before, after).behaviours}
    assert (found["model calls"].before, found["model calls"].after, found["model calls"].difference) == (2, 3, 1)
    assert found["tokens out"].interval == (50.0, 50.0)
    assert found["searches"].before == 1.5 and found["searches"].interval[0] >= 1
    assert found["answered"].difference == 0 and "seconds" not in found and "visits" not in found


def test_what_was_not_the_same_on_both_sides_is_told(tmp_path: Path) -> None:
    judged = Verdict(outcome="correct", method="model:j judge")
    found = run(tmp_path, side("+"), side("+", verdict=judged, web="corpus:1", model="n"))
    assert set(found.made_with) == {"judge", "web", "model"}
    assert "judge: A match, B model:j judge" in found.table() and "web: A none, B corpus:1" in found.table()


def test_endings_and_failures_stand_side_by_side(tmp_path: Path) -> None:
    before = side("--", anatomy=Anatomy(basis="evidence", failure="never_surfaced"))
    after = side("--", anatomy=Anatomy(basis="evidence", failure="cut_off"), ending="call_limit")
    table = run(tmp_path, before, after).table()
    assert "A: endings: answered 2; wrong because: never surfaced 2" in table
    assert "B: endings: call limit 2; wrong because: cut off 2" in table


def test_the_report_and_the_table_say_the_same(tmp_path: Path) -> None:
    found = run(tmp_path, side("++++------"), side("+++-+++++-"), report=str(tmp_path / "report.json"))
    report = json.loads((tmp_path / "report.json").read_bytes())
    assert (report["gained"], report["lost"], report["p_value"]) == (5, 1, found.p_value)
    assert report["power"]["needed"] == found.power.needed if found.power else False
    lines = found.table().splitlines()
    assert lines[0].startswith("A = ") and lines[3].split()[:3] == ["correct", "4/10", "8/10"]
    assert lines[4].split()[:6] == ["pass@1", "40.0", "%", "80.0", "%", "+40.0"]
    assert "10 common questions: 5 gained, 1 lost; exact McNemar p = 0.219" in found.table()


def test_the_same_file_twice_differs_in_nothing(tmp_path: Path) -> None:
    found = run(tmp_path, side("+-+-"), side("+-+-"))
    assert (found.difference, found.p_value, found.power) == (0, 1.0, None)
    assert found.interval[0] < 0 < found.interval[1] and changed(tmp_path) == []


def test_a_file_may_be_compared_with_itself(tmp_path: Path) -> None:
    path = str(tmp_path / "a")
    jsonl.write_records(path, side("+-"))
    found = stage.run(config.CompareOptions(files=[path, path], out=str(tmp_path / "changed"))).report
    assert (found.questions, found.difference) == (2, 0)


def test_nothing_of_an_encrypted_set_is_told_in_the_clear(tmp_path: Path) -> None:
    marks = sealed.Seal("a canary", "sha256").mark()
    run(tmp_path, side("+-", extra=dict(marks)), side("-+", extra=dict(marks)), report=str(tmp_path / "report.json"))
    (line, _) = changed(tmp_path)
    assert line["canary"] == "a canary" and line["question"] != "Question 0?" and line["answers"] != ["X", "Y"]
    assert "Question" not in (tmp_path / "report.json").read_text()


def test_on_the_command_line_records_go_to_stdout_and_the_table_to_stderr(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    files = [str(tmp_path / name) for name in ("one, two.jsonl", "b.jsonl")]
    for path, marks in zip(files, ("+-", "++"), strict=True):
        jsonl.write_records(path, side(marks))
    assert run_command(["compare", *files]) == 0
    told = capfdbinary.readouterr()
    assert [json.loads(line)["qa_id"] for line in told.out.splitlines()] == ["q1"]
    assert b"2 common questions: 1 gained, 0 lost; exact McNemar p = 1" in told.err
    assert run_command(["compare", files[0]]) == 2
    assert capfdbinary.readouterr().err.count(b"\n") == 1
