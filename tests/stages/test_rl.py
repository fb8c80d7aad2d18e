"""rl: what is refused before any work, and what is left out of the questions."""

from pathlib import Path

import pytest

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import QA, Message, Page, Trajectory
from webdancer_cli.errors import UsageError
from webdancer_cli.options.config import RlOptions
from webdancer_cli.stages import rl


def options(folder: Path, **changes: object) -> RlOptions:
    jsonl.write_records(str(folder / "pages.jsonl"), [Page(url="http://127.0.0.1/a", title="A", text="A is one.")])
    settings = {"data": str(folder / "qa.jsonl"), "web": str(folder / "pages.jsonl"), "out": str(folder / "out")}
    return RlOptions(**{**settings, **changes})  # type: ignore[arg-type]


def test_questions_are_read_and_what_cannot_be_used_is_counted(tmp_path: Path):
    (tmp_path / "qa.jsonl").write_text(
        '{"question": "A?", "answer": "one"}\n'
        '{"question": "B?", "ans\n'
        '{"question": "C?", "answer": " "}\n'
        '{"question": "D?", "answer": "four"}\n'
    )
    questions = rl.read_question_set(options(tmp_path))
    assert [qa.question for qa in questions.items] == ["A?", "D?"]
    assert questions.stats.reasons == {"broken_line": 1, "no_answer": 1}
    assert questions.stats.failed == 1
    assert [qa.question for qa in rl.read_question_set(options(tmp_path, limit=1)).items] == ["A?"]


def test_without_a_usable_question_it_says_so(tmp_path: Path):
    jsonl.write_records(str(tmp_path / "qa.jsonl"), [QA(question="A?", answer="")])
    with pytest.raises(UsageError, match=r"nothing to practise on: 1 in, 0 trained on \(no_answer 1\)"):
        rl.read_question_set(options(tmp_path))


def test_trajectories_are_the_wrong_file(tmp_path: Path):
    qa = QA(question="A?", answer="one")
    line = Trajectory(qa=qa, messages=[Message("user", "A?")], ending="answered")
    jsonl.write_records(str(tmp_path / "qa.jsonl"), [line])
    with pytest.raises(UsageError, match="this is a trajectory"):
        rl.read_question_set(options(tmp_path))


def test_what_cannot_work_is_refused_in_one_line(tmp_path: Path):
    jsonl.write_records(str(tmp_path / "qa.jsonl"), [QA(question="A?", answer="one")])
    with pytest.raises(UsageError, match="no such checkpoint") as caught:
        rl.run(options(tmp_path, model="./no-such-checkpoint"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "config.json").exists()


def test_a_curriculum_is_of_these_questions_and_is_counted(tmp_path: Path):
    jsonl.write_records(str(tmp_path / "qa.jsonl"), [QA(question="A?", answer="one"), QA(question="B?", answer="two")])
    attempts = tmp_path / "attempts.jsonl"
    attempts.write_text('{"question": "B?", "answer": "two", "prediction": "two"}\n' * 3)
    questions = rl.read_question_set(options(tmp_path, curriculum=str(attempts)))
    assert questions.measured == {questions.items[1].id: (3, 3)} and questions.measured_sha256
    assert questions.stats.counts["with a pass rate"] == 1
    attempts.write_text('{"question": "C?", "answer": "two", "prediction": "two"}\n')
    with pytest.raises(UsageError, match=r"no judged attempt at a question of --data \(unknown_question 1\)"):
        rl.read_question_set(options(tmp_path, curriculum=str(attempts)))
