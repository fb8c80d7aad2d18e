"""The funnel: what is kept, what is dropped and why, what is left for RL; streaming, resumable, in both forms."""

import asyncio
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from webdancer_cli.data import jsonl
from webdancer_cli.data.pipeline import RunStats
from webdancer_cli.data.records import QA, Ending, Message, Opinion, Rejected, Trajectory, Verdict, to_object
from webdancer_cli.errors import BudgetSpent, ModelError, Reject, UsageError
from webdancer_cli.grading.critic import Critic
from webdancer_cli.grading.exact_match import Judge
from webdancer_cli.grading.funnel import Funnel, FunnelStep
from webdancer_cli.options import config
from webdancer_cli.stages import filter as stage
from webdancer_cli.transcript import released_format
from webdancer_cli.transcript.grammar import ToolCall, Turn, render_response, render_turn

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

    def run(
        self, *trajectories: Trajectory, judge: Judge | None = None, critic: Critic | None = None, **options: Any
    ) -> tuple[RunStats, Funnel]:
        if trajectories:
            jsonl.write_records(self.file("in"), trajectories)
        given = {"data": self.file("in"), "out": self.file("out"), "rejects": self.file("rejects"), **options}
        stats = asyncio.run(stage.run(config.FilterOptions(**given), judge=judge, critic=critic))
        return stats, stats.report

    def kept(self) -> list[Trajectory]:
        return list(jsonl.read_records(self.file("out"), Trajectory))

    def rejected(self) -> list[Rejected]:
        lines = (self.path / "rejects").read_bytes().splitlines()
        return [Rejected(**json.loads(line)) for line in lines]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


# ---- the stages


def test_a_good_trajectory_is_kept_with_its_verdict(folder: Folder) -> None:
    good = trajectory()
    stats, funnel = folder.run(good)
    (kept,) = folder.kept()
    assert kept.verdict == Verdict(outcome="correct", method="match", detail="exact")
    kept.verdict = None
    assert kept == good
    assert stats.summary() == "1 in, 1 out" and stats.exit_code == 0
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
    stats, funnel = folder.run(bad)
    (rejected,) = folder.rejected()
    assert folder.kept() == []
    assert (rejected.reason, rejected.stage, rejected.id) == (reason, "filter", bad.id)
    assert rejected.record["id"] == bad.id  # type: ignore[index]
    assert stats.reasons == {reason: 1} and stats.exit_code == 0  # a decision, not a failure
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
    stats, funnel = folder.run()
    assert folder.kept() == [] and stats.exit_code == 0
    assert funnel.table().splitlines()[-1].split() == ["all", "0", "0", "-"]


# ---- input


def test_a_broken_line_is_a_failure_and_loses_nothing_else(folder: Folder) -> None:
    jsonl.write_records(folder.file("in"), [trajectory()])
    with open(folder.file("in"), "ab") as stream:
        stream.write(b'{"qa": \n{"qa": {}}\n')
    with open(folder.file("in"), "ab") as stream:
        stream.write(json.dumps(to_object(trajectory(rollout=1))).encode() + b"\n")
    stats, _ = folder.run()
    assert len(folder.kept()) == 2
    assert [rejected.reason for rejected in folder.rejected()] == ["broken_line", "wrong_shape"]
    assert stats.exit_code == 1


def test_questions_instead_of_trajectories_are_told_at_once(folder: Folder) -> None:
    jsonl.write_records(folder.file("in"), [QA(question="a", answer="b")])
    with pytest.raises(UsageError, match="this is a question"):
        folder.run()


def test_limit_counts_input_records(folder: Folder) -> None:
    stats, _ = folder.run(*(trajectory(rollout=n) for n in range(5)), limit=2)
    assert stats.counts["in"] == 2 and len(folder.kept()) == 2


# ---- what is left for RL


def test_questions_without_a_kept_trajectory_are_left_for_rl(folder: Folder) -> None:
    solved = [trajectory("solved?", "no", rollout=0), trajectory("solved?", rollout=1)]
    unsolved = [trajectory("unsolved?", "no", rollout=n) for n in range(2)]
    stats, _ = folder.run(*unsolved, *solved, broken(question="broken?"), unused_qa=folder.file("rl"))
    assert list(jsonl.read_records(folder.file("rl"), QA)) == [
        QA(question="unsolved?", answer="Eiffel"),
        QA(question="broken?", answer="Eiffel"),
    ]
    assert stats.counts["unused questions"] == 2


def test_a_users_columns_reach_the_rl_set(folder: Folder) -> None:
    bad = broken()
    bad.qa.extra = {"mine": 1}
    folder.run(bad, unused_qa=folder.file("rl"))
    assert next(jsonl.read_records(folder.file("rl"), QA)).extra == {"mine": 1}


# ---- the best of each question


def test_the_shortest_trajectories_of_each_question_are_kept_in_input_order(folder: Folder) -> None:
    one = [trajectory("one?", queries=("a", "b", "c")[:count], rollout=count) for count in (3, 1, 2)]
    two = [trajectory("two?", thought=thought, rollout=n) for n, thought in enumerate(["so long a thought", "short"])]
    _, funnel = folder.run(one[0], two[0], one[1], one[2], two[1], per_question=1)
    assert [(kept.qa.question, kept.rollout) for kept in folder.kept()] == [("one?", 1), ("two?", 1)]
    assert [rejected.reason for rejected in folder.rejected()] == ["not_among_best"] * 3
    assert (funnel.steps[-1].name, funnel.steps[-1].entered, funnel.steps[-1].kept) == ("per question", 5, 2)
    folder.run(per_question=2)  # of (a, b, c) and (a, b), the first differs more from (a)
    assert [(kept.qa.question, kept.rollout) for kept in folder.kept()] == [
        ("one?", 3), ("two?", 0), ("one?", 1), ("two?", 1),
    ]  # fmt: skip


def test_a_question_whose_trajectories_are_beaten_is_not_left_for_rl(folder: Folder) -> None:
    folder.run(trajectory(rollout=0), trajectory(rollout=1), per_question=1, unused_qa=folder.file("rl"))
    assert (folder.path / "rl").read_bytes() == b""


# ---- the authors' form


def test_our_trajectories_are_written_in_the_authors_form(folder: Folder) -> None:
    folder.run(trajectory(), format="webdancer")
    (line,) = (folder.path / "out").read_bytes().splitlines()
    assert list(json.loads(line)) == list(released_format.KEYS)
    assert released_format.from_released(json.loads(line)).messages == trajectory().messages


@pytest.mark.skipif(not TRAJECTORIES.exists(), reason="the authors' released lines are not here")
def test_released_lines_pass_the_rules_byte_for_byte(folder: Folder) -> None:
    stages = ["validity", "quality"]
    stats, funnel = folder.run(data=str(TRAJECTORIES), format="webdancer", stages=stages)
    kept = (folder.path / "out").read_bytes().splitlines()
    assert set(kept) <= set(TRAJECTORIES.read_bytes().splitlines())
    assert stats.counts["in"] == 153 and len(kept) >= 0.95 * 153
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
    """Some 100 trajectories are under way at once; what comes after them takes the place of what is done."""
    thought = " ".join(str(number) for number in range(2000))
    peaks = []
    for count in (200, 800):
        with (folder.path / "in").open("wb") as stream:  # 19 KB each, four to a question
            for n in range(count):
                record = to_object(trajectory(f"q{n // 4}?", thought=thought, rollout=n))
                stream.write(json.dumps(record).encode() + b"\n")
        tracemalloc.start()
        stats, _ = folder.run(per_question=per_question)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert stats.counts["out"] == (count // 2 if per_question else count)
    assert peaks[1] < peaks[0] + 1_000_000  # 11 MB more input, less than 1 MB more memory


# ---- the models


class Asked:
    """A judge and a critic in one: verdicts and opinions by answer; keeps what it was asked, and how many at once."""

    name = "model:asked"

    def __init__(self, words: dict[str, Any] | None = None, seconds: float = 0.0):
        self.words = words or {}
        self.seconds = seconds
        self.asked: list[int] = []
        self.at_once = self.most_at_once = 0

    async def judge(self, qa: QA, answer: str | None) -> Verdict:
        said = await self._said(answer, len(self.asked))
        return Verdict(outcome=said or "correct", method=self.name)

    async def opinions(self, trajectory: Trajectory) -> list[Opinion]:
        said = await self._said(trajectory.answer, trajectory.rollout)
        return [Opinion(criterion="accuracy", good=said is None, reason=said or "All is in step 1.")]

    async def _said(self, answer: str | None, number: int) -> Any:
        self.asked.append(number)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self.seconds / (1 + number % 3))
        self.at_once -= 1
        said = self.words.get(answer or "")
        if isinstance(said, Exception):
            raise said
        return said


ALL = ["validity", "correctness", "quality", "model"]


def asked_critic(**more: Any) -> Any:
    return Asked(**more)


def test_the_judge_is_asked_where_the_rule_found_no_match(folder: Folder) -> None:
    judge = Asked({"Bartholdi": "wrong", "perhaps": "unjudged"})
    sentence = "It was Eiffel who built it."
    stats, funnel = folder.run(
        trajectory(answer=sentence, rollout=1),
        trajectory(answer="Bartholdi", rollout=2),
        trajectory(answer="perhaps", rollout=3),
        trajectory(answer=sentence, verdict=Verdict(outcome="wrong", method="match"), rollout=4),
        trajectory(answer=sentence, verdict=Verdict(outcome="unjudged", method="model:other"), rollout=5),
        trajectory(answer="Bartholdi", verdict=Verdict(outcome="correct", method="model:other"), rollout=6),
        trajectory(answer=sentence, verdict=Verdict(outcome="wrong", method="model:other"), rollout=7),
        judge=judge,
    )
    assert [(kept.rollout, kept.verdict.method) for kept in folder.kept() if kept.verdict] == [
        (1, "model:asked"), (4, "model:asked"), (5, "model:asked"), (6, "model:other"),
    ]  # fmt: skip
    assert len(judge.asked) == 5
    assert stats.reasons == {"wrong_answer": 2, "unjudged": 1}
    assert funnel.step("correctness").dropped == {"wrong_answer": 2, "unjudged": 1}
    assert stats.exit_code == 1  # the judge could not do its work


def test_the_critic_is_asked_about_what_the_rules_let_through(folder: Folder) -> None:
    critic = Asked({"eiffel": "Step 1 made it up.", "EIFFEL": ModelError("HTTP 500 (6 attempts)")})
    stats, funnel = folder.run(
        trajectory(),
        trajectory(answer="Bartholdi", rollout=1),
        trajectory(answer="eiffel", rollout=2),
        trajectory(answer="EIFFEL", rollout=3),
        critic=critic,
        stages=ALL,
    )
    (kept,) = folder.kept()
    assert kept.opinions == [Opinion(criterion="accuracy", good=True, reason="All is in step 1.")]
    assert sorted(critic.asked) == [0, 2, 3]
    told = [(rejected.reason, rejected.detail) for rejected in folder.rejected()]
    assert told[1:] == [("accuracy", "Step 1 made it up."), ("model_error", "HTTP 500 (6 attempts)")]
    assert (stats.failed, stats.exit_code) == (1, 1)
    assert [line.split() for line in funnel.table().splitlines()[-4:]] == [
        ["model", "3", "1", "33.3", "%"],
        ["accuracy", "-1", "33.3", "%"],
        ["model_error", "-1", "33.3", "%"],
        ["all", "4", "1", "25.0", "%"],
    ]


def test_the_model_stage_without_a_model_is_refused_before_anything_is_written(folder: Folder) -> None:
    with pytest.raises(UsageError, match="--judge-model"):
        folder.run(trajectory(), stages=ALL)
    assert not (folder.path / "out").exists()


def test_models_are_asked_about_several_at_once_and_the_output_keeps_the_order(folder: Folder) -> None:
    critic = Asked(seconds=0.03)
    folder.run(*(trajectory(rollout=n) for n in range(20)), critic=critic, stages=ALL, jobs=5)
    assert [kept.rollout for kept in folder.kept()] == list(range(20))
    assert critic.most_at_once == 5


def test_a_spent_budget_stops_the_run_and_resume_asks_about_the_rest_only(folder: Folder) -> None:
    class Spends(Asked):
        async def opinions(self, trajectory: Trajectory) -> list[Opinion]:
            if len(self.asked) == 3:
                raise BudgetSpent("--max-cost 1 is spent")
            return await super().opinions(trajectory)

    trajectories = [trajectory(f"q{n}?", answer="eiffel" if n == 1 else "Eiffel", rollout=n) for n in range(8)]
    options = {"stages": ALL, "jobs": 1, "unused_qa": folder.file("rl")}
    words = {"eiffel": "no"}
    stats, _ = folder.run(*trajectories, critic=Spends(words), **options)
    assert (stats.stopped, stats.exit_code) == ("--max-cost 1 is spent", 1)
    assert [kept.rollout for kept in folder.kept()] == [0, 2]
    assert not (folder.path / "rl").exists()  # which questions are unsolved is not known yet
    critic = Asked(words)
    stats, funnel = folder.run(critic=critic, resume=True, **options)
    assert critic.asked == [1, 3, 4, 5, 6, 7]
    assert [kept.rollout for kept in folder.kept()] == [0, 2, 3, 4, 5, 6, 7]
    assert (stats.exit_code, stats.counts["already done"], funnel.steps[-1].entered) == (0, 2, 8)
    assert [qa.question for qa in jsonl.read_records(folder.file("rl"), QA)] == ["q1?"]


def test_a_spent_budget_lets_no_half_of_a_choice_out(folder: Folder) -> None:
    critic = Asked({"eiffel": BudgetSpent("spent")})
    trajectories = [trajectory(), trajectory(answer="eiffel", rollout=1)]
    stats, _ = folder.run(*trajectories, critic=critic, stages=ALL, per_question=1)
    assert stats.stopped and folder.kept() == []


async def test_an_interrupted_run_is_resumed_without_asking_twice(folder: Folder) -> None:
    jsonl.write_records(folder.file("in"), [trajectory(rollout=n) for n in range(12)])
    options = config.FilterOptions(data=folder.file("in"), out=folder.file("out"), stages=[*ALL], jobs=2, resume=True)

    class Silent(Asked):
        async def opinions(self, trajectory: Trajectory) -> list[Opinion]:
            """Those of the first five, and no more."""
            return await (super().opinions(trajectory) if trajectory.rollout < 5 else asyncio.Event().wait())  # type: ignore[return-value]

    first, second = Silent(), asked_critic()
    running = asyncio.create_task(stage.run(options, critic=first))
    while not Path(folder.file("out")).exists() or len(folder.kept()) < 5:
        await asyncio.sleep(0.005)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    kept = len(folder.kept())
    assert kept == 5
    await stage.run(options, critic=second)
    assert second.asked == list(range(kept, 12))
    assert [trajectory.rollout for trajectory in folder.kept()] == list(range(12))


# ---- more rules


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"min_thought_words": 3}, "short_thought"),
        ({"max_thought_words": 1}, "long_thought"),
        ({"min_support": 0.6}, "unsupported_answer"),
        ({"min_thought_words": 2, "max_thought_words": 2, "min_support": 0.5}, None),
    ],
)
def test_thoughts_and_support_are_options(folder: Folder, options: dict[str, Any], reason: str | None) -> None:
    # the observation has "Eiffel" and not "Gustave": half of the answer's words
    folder.run(trajectory(thought="Two words.", answer="Gustave Eiffel", gold="Gustave Eiffel"), **options)
    assert [rejected.reason for rejected in folder.rejected()] == ([reason] if reason else [])


def test_repetition_can_be_allowed_without_limit(folder: Folder) -> None:
    folder.run(trajectory(thought="one two three four five six seven eight nine ten " * 9), max_ngram_repeats=0)
    assert len(folder.kept()) == 1


def test_own_tools_are_known_to_validity(folder: Folder) -> None:
    (folder.path / "mine.py").write_text(
        'def metres(feet: float) -> str:\n    """Feet in metres.\n\n    Args:\n        feet: how many\n    """\n'
    )
    good, bad = trajectory(rollout=0), trajectory(rollout=1)
    for played, feet in ((good, "1063"), (bad, '"many"')):
        call = '<tool_call>\n{"name": "metres", "arguments": {"feet": ' + feet + "}}\n</tool_call>"
        played.messages[1].content = f"<think>\nLook.\n</think>\n{call}"
    folder.run(good, bad)
    assert [rejected.reason for rejected in folder.rejected()] == ["unknown_tool", "unknown_tool"]
    folder.run(tool=[f"{folder.file('mine.py')}:metres"])
    assert [kept.rollout for kept in folder.kept()] == [0]
    assert [rejected.reason for rejected in folder.rejected()] == ["invalid_arguments"]


def test_of_trajectories_with_the_same_calls_and_answer_the_first_is_kept(folder: Folder) -> None:
    same = [trajectory(thought=thought, rollout=n) for n, thought in enumerate(["One.", "Other.", "Third."])]
    other = [trajectory(queries=("height",), rollout=3), trajectory("Who else?", rollout=4)]
    same[0].messages[-1].content = "no answer"  # the first that passes, not the first that came
    stats, funnel = folder.run(*same, *other, dedup=True)
    assert [kept.rollout for kept in folder.kept()] == [1, 3, 4]
    assert stats.reasons == {"malformed_turn": 1, "duplicate": 1}
    assert (funnel.steps[-1].name, funnel.steps[-1].entered, funnel.steps[-1].kept) == ("dedup", 4, 3)


def test_a_shard_holds_all_trajectories_of_its_questions(folder: Folder) -> None:
    trajectories = [trajectory(f"q{n % 7}?", rollout=n) for n in range(28)]
    parts = []
    for part in ("1/2", "2/2"):
        folder.run(*trajectories, shard=part)
        parts.append({kept.qa.question for kept in folder.kept()})
        assert len(folder.kept()) == 4 * len(parts[-1])
    assert parts[0] | parts[1] == {f"q{n}?" for n in range(7)} and not parts[0] & parts[1]


async def test_rules_over_a_file_can_be_interrupted_and_resumed(folder: Folder) -> None:
    jsonl.write_records(folder.file("in"), [trajectory(rollout=n) for n in range(400)])
    options = config.FilterOptions(data=folder.file("in"), out=folder.file("out"), resume=True)
    running = asyncio.create_task(stage.run(options))
    while not Path(folder.file("out")).exists() or not folder.kept():
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert 0 < len(folder.kept()) < 400
    stats = await stage.run(options)
    assert [kept.rollout for kept in folder.kept()] == list(range(400))
    assert stats.counts["already done"] > 0


# ---- resuming a choice


def by_rule_wrong() -> Verdict:
    return Verdict(outcome="wrong", method="match", detail="no match")


def test_what_a_resumed_filter_finds_in_out_is_among_the_best_whatever_it_carried(folder: Folder) -> None:
    short = trajectory(answer="It was Eiffel.", rollout=0, verdict=by_rule_wrong())
    long = trajectory(queries=("a", "b"), rollout=1)
    folder.run(short, long, judge=Asked(), per_question=1)
    whole = (folder.path / "out").read_bytes()
    assert [kept.rollout for kept in folder.kept()] == [0]
    folder.run(judge=Asked(), per_question=1, resume=True)
    assert (folder.path / "out").read_bytes() == whole
    assert [rejected.record["rollout"] for rejected in folder.rejected()] == [1]  # type: ignore[index]


def test_what_stands_in_out_counts_even_when_a_better_one_came_to_light(folder: Folder) -> None:
    short, long = trajectory(answer="It was Eiffel.", rollout=0), trajectory(queries=("a", "b"), rollout=1)
    folder.run(short, long, judge=Asked({"It was Eiffel.": "unjudged"}), per_question=1)
    assert [kept.rollout for kept in folder.kept()] == [1]
    folder.run(judge=Asked(), per_question=1, resume=True)
    assert [kept.rollout for kept in folder.kept()] == [1]
    assert [rejected.reason for rejected in folder.rejected()] == ["not_among_best"]
    folder.run(judge=Asked(), per_question=2, resume=True)
    assert [kept.rollout for kept in folder.kept()] == [1, 0]
    folder.run(judge=Asked(), per_question=1, resume=True)
    assert [kept.rollout for kept in folder.kept()] == [1, 0]
    assert folder.rejected() == []  # what stands in out is no reject


@pytest.mark.parametrize("cut", range(3))
def test_a_choice_that_was_cut_is_finished_as_it_was_begun(folder: Folder, cut: int) -> None:
    """The best is (a), and farthest from it is (x), which comes out first; yet farthest from that is (a, c)."""
    queries = [("x",), ("a", "c"), ("a",)]
    given = [trajectory(queries=asked, rollout=n, thought="t" * (5 - n)) for n, asked in enumerate(queries)]
    folder.run(*given, per_question=2)
    whole = (folder.path / "out").read_bytes()
    (folder.path / "out").write_bytes(b"".join(whole.splitlines(keepends=True)[:cut]))
    folder.run(per_question=2, resume=True)
    assert (folder.path / "out").read_bytes() == whole


@pytest.mark.parametrize("format", ["record", "webdancer"])
def test_a_resumed_filter_lets_no_duplicate_of_what_stands_in_out_by(folder: Folder, format: Any) -> None:
    first, second = trajectory(answer="EIFFEL!", rollout=0), trajectory(answer="eiffel", rollout=1)
    for number, each in enumerate((first, second)):
        each.qa.id, each.messages[1].content = "my own id", each.messages[1].content.replace("Look", f"Look {number}")
    other = trajectory(queries=("other",), rollout=2)
    options = {"dedup": True, "format": format}
    folder.run(first, second, other, judge=Asked({"EIFFEL!": "unjudged"}), **options)
    whole = (folder.path / "out").read_bytes()
    assert len(whole.splitlines()) == 2
    kept = whole.splitlines(keepends=True)
    folder.run(judge=Asked(), resume=True, **options)
    assert sorted((folder.path / "out").read_bytes().splitlines(keepends=True)) == sorted(kept)
    assert [(rejected.reason, rejected.id) for rejected in folder.rejected()] == [("duplicate", first.id)]


@pytest.mark.parametrize("budget", [{"max_cost": 1.0}, {"max_tokens": 100}])
def test_a_choice_under_a_budget_needs_a_tape(folder: Folder, budget: dict[str, Any]) -> None:
    judging = {"judge_model": "strict", "judge_base_url": ["http://127.0.0.1:9/v1"], **budget}
    with pytest.raises(UsageError, match="--tape"):
        config.FilterOptions(per_question=1, **judging)
    folder.run(trajectory(), judge=Asked(), per_question=1, tape=folder.file("tape"), **judging)
    folder.run(trajectory(), per_question=1, **budget)  # by rule nothing is paid for
    assert len(folder.kept()) == 1


def test_what_passed_all_stages_and_cannot_be_written_is_told_by_the_last() -> None:
    funnel = Funnel([FunnelStep("validity"), FunnelStep("quality")])
    funnel.count(2, Reject("encrypted", "no place for a canary"))
    assert [(step.entered, step.kept) for step in funnel.steps] == [(1, 1), (1, 0)]
