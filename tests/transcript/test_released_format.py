"""The authors' lines: read and written without loss, and our own trajectories in their form."""

import json
from pathlib import Path

import msgspec
import pytest

from webdancer_cli.data.jsonl import write_records
from webdancer_cli.data.records import QA, Message, Rejected, Trajectory, from_object, to_object
from webdancer_cli.errors import UsageError
from webdancer_cli.transcript import released_format
from webdancer_cli.transcript.grammar import ToolCall, Turn, render_response, render_turn

DATA = Path(__file__).parents[3] / "shared" / "data"
TRAJECTORIES = DATA / "webdancer_trajectories.jsonl"
QUESTIONS = DATA / "webdancer_qa.jsonl"
needs_data = pytest.mark.skipif(not TRAJECTORIES.exists(), reason="the authors' released lines are not here")

TOOLS = '{"name": "search", "description": "Finds.", "parameters": {"type": "object"}}'
PROMPT = f"The tools:\n<tools>\n{TOOLS}\n</tools>\nUser: this is an example\n\nUser: Who built the tower?"


def messages() -> list[Message]:
    return [
        Message("system", "You seek."),
        Message("user", PROMPT),
        Message("assistant", render_turn(Turn(thought="Look.", call=ToolCall("search", {"query": ["tower"]})))),
        Message("user", render_response("It was built by Eiffel — in 1889.")),
        Message("assistant", render_turn(Turn(thought="So.", answer="Eiffel"))),
    ]


def line(**changes: object) -> dict[str, object]:
    return {
        "type": "chatml",
        "task": "agent/multiturn_search",
        "messages": [{"role": message.role, "content": message.content} for message in messages()],
        "functions": [{"name_for_human": "search"}],
        "tool_calls": [],
        "answer": [["Gustave Eiffel", "Eiffel"]],
        "tag": "e2hqa",
        **changes,
    }


@needs_data
def test_every_released_line_round_trips_byte_for_byte() -> None:
    lines = TRAJECTORIES.read_bytes().splitlines()
    trajectories = list(released_format.read_trajectories(str(TRAJECTORIES)))
    assert len(lines) == len(trajectories) == 153
    for raw, trajectory in zip(lines, trajectories, strict=True):
        assert released_format.encode_released(trajectory) == raw
        ours = from_object(Trajectory, msgspec.json.decode(msgspec.json.encode(to_object(trajectory))))
        assert released_format.encode_released(ours) == raw  # through our own form, too


@needs_data
def test_released_lines_hold_question_gold_answer_and_tag() -> None:
    trajectories = list(released_format.read_trajectories(str(TRAJECTORIES)))
    assert len({trajectory.id for trajectory in trajectories}) == 153
    assert {trajectory.qa.tag for trajectory in trajectories} == {"crawlqa", "e2hqa"}
    assert all(t.qa.question and t.qa.answer and t.answer and t.ending == "answered" for t in trajectories)
    assert not any("\nUser:" in trajectory.qa.question for trajectory in trajectories)


@needs_data
def test_released_questions_are_questions_as_they_are() -> None:
    raw = [json.loads(text) for text in QUESTIONS.read_text("utf-8").splitlines()]
    for value in raw:
        qa = from_object(QA, value)
        assert {**value, "id": qa.id} == to_object(qa)


def test_a_line_is_read_as_a_trajectory() -> None:
    trajectory = released_format.from_released(line())
    assert trajectory.qa.question == "Who built the tower?"
    assert (trajectory.qa.answer, trajectory.qa.aliases, trajectory.qa.tag) == ("Gustave Eiffel", ["Eiffel"], "e2hqa")
    assert (trajectory.answer, trajectory.ending, trajectory.messages) == ("Eiffel", "answered", messages())


def test_columns_that_nobody_knows_are_kept() -> None:
    value = line(mine={"a": [1.5, None]})
    assert json.loads(released_format.encode_released(released_format.from_released(value))) == value


def test_keys_keep_the_authors_order() -> None:
    assert list(json.loads(released_format.encode_released(released_format.from_released(line())))) == list(
        released_format.KEYS
    )


def test_our_trajectory_is_written_in_their_form() -> None:
    qa = QA(question="Who built the tower?", answer="Gustave Eiffel", aliases=["Eiffel"], type="single_hop")
    ours = Trajectory(qa=qa, messages=messages(), ending="answered", answer="Eiffel", model="m", rollout=3)
    value = released_format.to_released(ours)
    assert value["functions"] == [
        {
            "name_for_human": "search",
            "name_for_model": "search",
            "description_for_model": "Finds.",
            "parameters": {"type": "object"},
        }
    ]
    assert (value["answer"], value["tag"], value["tool_calls"]) == ([["Gustave Eiffel", "Eiffel"]], "single_hop", [])
    again = released_format.from_released(value)
    assert (again.messages, again.qa.question, again.qa.answer) == (ours.messages, qa.question, qa.answer)


def test_an_episode_without_declared_tools_or_answer_has_a_line_too() -> None:
    qa = QA(question="Who?", answer="Eiffel")
    ours = Trajectory(qa=qa, messages=[Message("user", "Who?")], ending="call_limit")
    assert released_format.to_released(ours)["functions"] == []
    again = released_format.from_released(released_format.to_released(ours))
    assert (again.qa.question, again.answer, again.ending) == ("Who?", None, "no_answer")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (line(), True),
        ({"type": "chatml", "messages": []}, True),
        ({"messages": [], "qa": {}, "type": "chatml"}, False),
        ({"messages": []}, False),
        ({"question": "a", "answer": "b", "tag": "c"}, False),
        ([], False),
        (None, False),
    ],
)
def test_their_lines_are_recognised(value: object, expected: bool) -> None:
    assert released_format.is_released(value) is expected


def test_both_forms_may_be_mixed_and_bad_lines_are_told(tmp_path: Path) -> None:
    path = tmp_path / "mixed.jsonl"
    ours = Trajectory(qa=QA(question="a", answer="b"), messages=messages(), ending="answered")
    write_records(str(path), [ours])
    with path.open("ab") as stream:
        for value in (
            line(),
            line(messages=[{"role": "tool", "content": "x"}]),
            line(answer="Eiffel"),
            line(answer=[]),
        ):
            stream.write(json.dumps(value).encode() + b"\n")
    bad: list[Rejected] = []
    trajectories = list(released_format.read_trajectories(str(path), bad.append))
    assert [trajectory.qa.answer for trajectory in trajectories] == ["b", "Gustave Eiffel", ""]
    assert [(told.reason, told.detail.partition(": ")[0]) for told in bad] == [
        ("wrong_shape", f"{path}:3"),
        ("wrong_shape", f"{path}:4"),
    ]
    assert "not a line in the authors' form" in bad[0].detail


def test_questions_are_refused_where_trajectories_are_read(tmp_path: Path) -> None:
    path = tmp_path / "qa.jsonl"
    write_records(str(path), [QA(question="a", answer="b")])
    with pytest.raises(UsageError, match=r"this is a question .* but the stage takes a trajectory"):
        list(released_format.read_trajectories(str(path)))
