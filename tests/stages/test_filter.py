"""The funnel: what is kept, what is dropped and why, what is left for RL; streaming, resumable, in both forms."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from webdancer_cli import config, jsonl, upstream
from webdancer_cli.errors import UsageError
from webdancer_cli.flow import Tally
from webdancer_cli.records import QA, Ending, Message, Rejected, Trajectory, Verdict, to_object
from webdancer_cli.stages import filter as stage
from webdancer_cli.stages.filter import Funnel
from webdancer_cli.transcript import ToolCall, Turn, render_response, render_turn

TRAJECTORIES = Path(__file__).parent.parent.parent.parent / "shared" / "data" / "webdancer_trajectories.jsonl"


def trajectory(
    question: str = "Who built the tower?",
    answer: str | None = "Eiffel",
    *,
    gold: str = "Eiffel",
    queries: tuple[str, ...] = ("tower",),
    rollout: int = 0,
    thought: str = "Look.",
    ending: Ending = "answered",
    verdict: Verdict | None = None,
) -> Trajectory:
    messages = [Message("user", question)]
    for query in queries:
        call = ToolCall("search", {"query": [query]})
        messages += [
            Message("assistant", render_turn(Turn(thought=thought, call=call))),
            Message("user", render_response("The tower was built by Eiffel.")),
        ]
    if answer is not None:
        messages.append(Message("assistant", render_turn(Turn(thought=thought, answer=answer))))
    return Trajectory(
        qa=QA(question=question, answer=gold),
        messages=messages,
        ending=ending,
        answer=answer,
        rollout=rollout,
        verdict=verdict,
    )


def broken(**changes: Any) -> Trajectory:
    bad = trajectory(**changes)
    bad.messages[-1].content = "It is Eiffel."
    return bad


class Folder:
    """A folder to filter in: writes the input, runs the stage, reads what came out."""

    def __init__(self, path: Path):
        self.path = path

    def file(self, name: str) -> str:
        return str(self.path / name)

    def run(self, *trajectories: Trajectory, **options: Any) -> tuple[Tally, Funnel]:
        if trajectories:
            jsonl.write_all(self.file("in"), trajectories)
        given = {"data": self.file("in"), "out": self.file("out"), "rejects": self.file("rejects"), **options}
        return stage.run(config.Filter(**given))

    def kept(self) -> list[Trajectory]:
        return list(jsonl.read(self.file("out"), Trajectory))

    def rejected(self) -> list[Rejected]:
        lines = (self.path / "rejects").read_bytes().splitlines()
        return [Rejected(**json.loads(line)) for line in lines]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


# ---- the stages


def test_a_good_trajectory_is_kept_with_its_verdict(folder: Folder) -> None:
    good = trajectory()
    tally, funnel = folder.run(good)
    (kept,) = folder.kept()
    assert kept.verdict == Verdict(outcome="correct", method="match", detail="exact")
    kept.verdict = None
    assert kept == good
    assert tally.line() == "1 in, 1 out" and tally.exit_code == 0
    assert [(step.name, step.entered, step.kept) for step in funnel.steps] == [
        ("validity", 1, 1),
        ("correctness", 1, 1),
        ("quality", 1, 1),
    ]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (broken(), "malformed_turn"),
        (trajectory(answer=None, ending="call_limit"), "no_answer"),
        (trajectory(queries=()), "no_tool_call"),
        (trajectory(answer="Bartholdi"), "wrong_answer"),
        (trajectory(gold=" "), "unjudged"),
        (trajectory(queries=("tower", "tower")), "repeated_call"),
        (trajectory(thought="one two three four five six seven eight nine ten " * 3), "repetition"),
    ],
)
def test_a_bad_trajectory_is_dropped_with_its_reason(folder: Folder, bad: Trajectory, reason: str) -> None:
    tally, funnel = folder.run(bad)
    (rejected,) = folder.rejected()
    assert folder.kept() == []
    assert (rejected.reason, rejected.stage, rejected.id) == (reason, "filter", bad.id)
    assert rejected.record["id"] == bad.id  # type: ignore[index]
    assert tally.reasons == {reason: 1} and tally.exit_code == 0  # a decision, not a failure
    assert sum((step.dropped for step in funnel.steps), start=funnel.steps[0].dropped)[reason] >= 1


def test_limits_on_actions_and_repetition_are_options(folder: Folder) -> None:
    three = trajectory(queries=("a", "b", "c"))
    for options, count in (({}, 1), ({"min_actions": 4}, 0), ({"max_actions": 2}, 0), ({"max_actions": 3}, 1)):
        folder.run(three, **options)
        assert len(folder.kept()) == count
    folder.run(trajectory(thought="one two three four five six seven eight nine ten " * 3), max_ngram_repeats=6)
    assert len(folder.kept()) == 1


def test_a_verdict_that_came_along_is_trusted(folder: Folder) -> None:
    sentence = "It was Gustave Eiffel who built it."
    by_judge = [Verdict(outcome=outcome, method="llm") for outcome in ("correct", "wrong", "unjudged")]
    folder.run(*(trajectory(answer=sentence, verdict=verdict, rollout=n) for n, verdict in enumerate(by_judge)))
    assert [kept.verdict for kept in folder.kept()] == by_judge[:1]
    assert [rejected.reason for rejected in folder.rejected()] == ["wrong_answer", "unjudged"]


def test_an_unjudged_answer_that_matches_is_correct(folder: Folder) -> None:
    folder.run(trajectory(answer="eiffel.", verdict=Verdict(outcome="unjudged", method="llm")))
    assert [kept.verdict.method for kept in folder.kept() if kept.verdict] == ["match"]


def test_stages_are_chosen_and_ordered(folder: Folder) -> None:
    wrong_and_broken = broken(answer="Bartholdi")
    for stages, reason in (
        (["validity", "correctness"], "malformed_turn"),
        (["correctness", "validity"], "wrong_answer"),
    ):
        _, funnel = folder.run(wrong_and_broken, stages=stages)
        assert [rejected.reason for rejected in folder.rejected()] == [reason]
        assert [step.name for step in funnel.steps] == stages
    folder.run(wrong_and_broken, stages=["quality"])
    assert len(folder.kept()) == 1


@pytest.mark.parametrize("stages", [["validity", "beauty"], []])
def test_an_unknown_stage_is_refused_before_anything_is_written(folder: Folder, stages: list[str]) -> None:
    with pytest.raises(UsageError, match="choose from validity, correctness, quality"):
        folder.run(trajectory(), stages=stages)
    assert not (folder.path / "out").exists()


def test_the_funnel_is_a_table(folder: Folder) -> None:
    _, funnel = folder.run(
        trajectory(),
        trajectory(answer="Bartholdi", rollout=1),
        trajectory(answer="Sauvestre", rollout=2),
        broken(rollout=3),
    )
    assert [line.split() for line in funnel.table().splitlines()] == [
        ["stage", "in", "out", "share"],
        ["validity", "4", "3", "75.0", "%"],
        ["malformed_turn", "-1", "25.0", "%"],
        ["correctness", "3", "1", "33.3", "%"],
        ["wrong_answer", "-2", "66.7", "%"],
        ["quality", "1", "1", "100.0", "%"],
        ["all", "4", "1", "25.0", "%"],
    ]


def test_an_empty_input_gives_an_empty_funnel(folder: Folder) -> None:
    (folder.path / "in").write_bytes(b"")
    tally, funnel = folder.run()
    assert folder.kept() == [] and tally.exit_code == 0
    assert funnel.table().splitlines()[-1].split() == ["all", "0", "0", "-"]


# ---- input


def test_a_broken_line_is_a_failure_and_loses_nothing_else(folder: Folder) -> None:
    jsonl.write_all(folder.file("in"), [trajectory()])
    with open(folder.file("in"), "ab") as stream:
        stream.write(b'{"qa": \n{"qa": {}}\n')
    with open(folder.file("in"), "ab") as stream:
        stream.write(json.dumps(to_object(trajectory(rollout=1))).encode() + b"\n")
    tally, _ = folder.run()
    assert len(folder.kept()) == 2
    assert [rejected.reason for rejected in folder.rejected()] == ["broken_line", "wrong_shape"]
    assert tally.exit_code == 1


def test_questions_instead_of_trajectories_are_told_at_once(folder: Folder) -> None:
    jsonl.write_all(folder.file("in"), [QA(question="a", answer="b")])
    with pytest.raises(UsageError, match="this is a question"):
        folder.run()


def test_limit_counts_input_records(folder: Folder) -> None:
    tally, _ = folder.run(*(trajectory(rollout=n) for n in range(5)), limit=2)
    assert tally.counts["in"] == 2 and len(folder.kept()) == 2


# ---- what is left for RL


def test_questions_without_a_kept_trajectory_are_left_for_rl(folder: Folder) -> None:
    solved = [trajectory("solved?", "no", rollout=0), trajectory("solved?", rollout=1)]
    unsolved = [trajectory("unsolved?", "no", rollout=n) for n in range(2)]
    tally, _ = folder.run(*unsolved, *solved, broken(question="broken?"), unused_qa=folder.file("rl"))
    assert list(jsonl.read(folder.file("rl"), QA)) == [
        QA(question="unsolved?", answer="Eiffel"),
        QA(question="broken?", answer="Eiffel"),
    ]
    assert tally.counts["unused questions"] == 2


def test_a_users_columns_reach_the_rl_set(folder: Folder) -> None:
    bad = broken()
    bad.qa.extra = {"mine": 1}
    folder.run(bad, unused_qa=folder.file("rl"))
    assert next(jsonl.read(folder.file("rl"), QA)).extra == {"mine": 1}


# ---- the best of each question


def test_the_shortest_trajectories_of_each_question_are_kept_in_input_order(folder: Folder) -> None:
    one = [trajectory("one?", queries=("a", "b", "c")[:count], rollout=count) for count in (3, 1, 2)]
    two = [trajectory("two?", thought=thought, rollout=n) for n, thought in enumerate(["so long a thought", "short"])]
    _, funnel = folder.run(one[0], two[0], one[1], one[2], two[1], per_question=1)
    assert [(kept.qa.question, kept.rollout) for kept in folder.kept()] == [("one?", 1), ("two?", 1)]
    assert [rejected.reason for rejected in folder.rejected()] == ["not_among_best"] * 3
    assert (funnel.steps[-1].name, funnel.steps[-1].entered, funnel.steps[-1].kept) == ("per question", 5, 2)
    folder.run(per_question=2)
    assert [(kept.qa.question, kept.rollout) for kept in folder.kept()] == [
        ("two?", 0), ("one?", 1), ("one?", 2), ("two?", 1),
    ]  # fmt: skip


def test_a_question_whose_trajectories_are_beaten_is_not_left_for_rl(folder: Folder) -> None:
    folder.run(trajectory(rollout=0), trajectory(rollout=1), per_question=1, unused_qa=folder.file("rl"))
    assert (folder.path / "rl").read_bytes() == b""


# ---- the authors' form


def test_our_trajectories_are_written_in_the_authors_form(folder: Folder) -> None:
    folder.run(trajectory(), format="webdancer")
    (line,) = (folder.path / "out").read_bytes().splitlines()
    assert list(json.loads(line)) == list(upstream.KEYS)
    assert upstream.from_upstream(json.loads(line)).messages == trajectory().messages


@pytest.mark.skipif(not TRAJECTORIES.exists(), reason="the authors' released lines are not here")
def test_released_lines_pass_the_rules_byte_for_byte(folder: Folder) -> None:
    stages = ["validity", "quality"]
    tally, funnel = folder.run(data=str(TRAJECTORIES), format="webdancer", stages=stages)
    kept = (folder.path / "out").read_bytes().splitlines()
    assert set(kept) <= set(TRAJECTORIES.read_bytes().splitlines())
    assert tally.counts["in"] == 153 and len(kept) >= 0.95 * 153
    assert len(kept) == funnel.steps[-1].kept


# ---- resuming and memory


@pytest.mark.parametrize("format", ["record", "webdancer"])
@pytest.mark.parametrize("per_question", [None, 1])
def test_a_filter_cut_anywhere_is_resumed_to_the_same_files(
    folder: Folder, format: Any, per_question: int | None
) -> None:
    trajectories = [trajectory(f"q{n % 4}?", queries=(f"a{n}",), rollout=n) for n in range(8)] + [broken()]
    options = {"format": format, "per_question": per_question, "unused_qa": folder.file("rl")}
    _, funnel = folder.run(*trajectories, **options)
    whole, rl = (folder.path / "out").read_bytes(), (folder.path / "rl").read_bytes()
    for cut in [*range(0, len(whole), 97), len(whole)]:
        (folder.path / "out").write_bytes(whole[:cut])
        _, again = folder.run(resume=True, **options)
        assert (folder.path / "out").read_bytes() == whole
        assert (folder.path / "rl").read_bytes() == rl
        assert again.table() == funnel.table()


@pytest.mark.slow
@pytest.mark.parametrize("per_question", [None, 2])
def test_memory_stays_flat(folder: Folder, per_question: int | None) -> None:
    thought = " ".join(str(number) for number in range(2000))
    line = json.dumps(to_object(trajectory(thought=thought))).encode() + b"\n"  # 19 KB
    peaks = []
    for count in (20, 200):
        (folder.path / "in").write_bytes(line * count)
        tracemalloc.start()
        folder.run(per_question=per_question)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 500_000  # 3.4 MB more input, less than 0.5 MB more memory
