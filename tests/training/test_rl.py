"""The RL loop: the update does not depend on how a batch is cut, and reward rises on a task that can be learned."""

import asyncio
import json
import math
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from typing import cast

import pytest
import torch
from safetensors.torch import load_file
from training_runs import QUESTIONS, attempts, environment, toy

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import QA, Trajectory, Verdict
from webdancer_cli.errors import BudgetSpent, ServiceRefused
from webdancer_cli.options.config import RlOptions
from webdancer_cli.options.option_checks import option
from webdancer_cli.stages import rl as stage
from webdancer_cli.training import rl
from webdancer_cli.training.distributed import ProcessGroup
from webdancer_cli.training.layout import Batch, Kind, Layout, pad
from webdancer_cli.training.logprobs import Scorer, token_logprobs
from webdancer_cli.training.models import load_trainable
from webdancer_cli.training.question_stream import QuestionStream
from webdancer_cli.training.reference import Reference
from webdancer_cli.training.renderer import Tokens
from webdancer_cli.training.rl_metrics import PolicyUpdate
from webdancer_cli.training.rollout_batches import RolloutBatch, round_size
from webdancer_cli.training.rollouts import OverlongPunishment, Rollout, SampledContext, TrainingSample

ROOT = Path(__file__).parent.parent.parent


def options(**changes: object) -> RlOptions:
    return RlOptions(**{"lr": 1e-2, "micro_tokens": 10_000, "max_grad_norm": 1e9, **changes})  # type: ignore[arg-type]


def batch(seed: int = 0) -> list[TrainingSample]:
    """Episodes of uneven length, with old log-probs near the model's and both signs of advantage."""
    rng = torch.Generator().manual_seed(seed)
    lessons = []
    prompt = torch.randint(0, 300, (16,), generator=rng).tolist()
    for length in (9, 30, 17, 5, 22, 41):
        ids = (prompt + torch.randint(0, 300, (length,), generator=rng).tolist())[:length]
        trainable = [at > 0 and at % 4 != 0 for at in range(length)]
        logprobs = (-5.7 + 0.5 * torch.randn(sum(trainable), generator=rng)).tolist()
        lessons.append(TrainingSample(Tokens(ids, trainable), logprobs, float(torch.randn(1, generator=rng))))
    return lessons


def updated(
    folder: Path, layout: Layout, world: ProcessGroup | None = None, **changes: object
) -> tuple[PolicyUpdate, list[torch.Tensor]]:
    """One update by SGD (Adam would hide a wrong scale of the gradient); the weights after it."""
    model, compute = load_trainable(str(folder), "float32")
    scorer = Scorer(model, compute)
    optimizer = torch.optim.SGD(scorer.parameters(), lr=1.0)
    update = rl.update_policy(scorer, optimizer, batch(), 1.0, options(**changes), layout, world or ProcessGroup())
    return update, [parameter.detach().clone() for parameter in scorer.parameters()]


def test_micro_batches_change_nothing(tiny_folder: Path):
    whole, weights = updated(tiny_folder, Layout("padded", 10_000))
    for kind, micro_tokens in (
        ("padded", 1),
        ("padded", 90),
        ("packed", 50),
        ("tree", 1),
        ("tree", 50),
        ("tree", 10_000),
    ):
        parts, same = updated(tiny_folder, Layout(kind, micro_tokens))
        assert parts.loss == pytest.approx(whole.loss, abs=1e-5)
        assert parts.grad_norm == pytest.approx(whole.grad_norm, rel=1e-5)
        assert (
            parts.sums.tokens == whole.sums.tokens == sum(len(training_sample.logprobs) for training_sample in batch())
        )
        for left, right in zip(weights, same, strict=True):
            assert torch.allclose(left, right, atol=1e-5)


def test_the_loss_by_hand_at_ratio_one(tiny_folder: Path):
    """With old = new every ratio is 1, and the loss is minus the mean over tokens of the advantages."""
    model, _ = load_trainable(str(tiny_folder), "float32")
    lessons = batch()
    for training_sample in lessons:
        micro = pad([training_sample.tokens])
        training_sample.logprobs[:] = token_logprobs(model, micro).tolist()
    scorer = Scorer(model)
    update = rl.update_policy(
        scorer,
        torch.optim.SGD(scorer.parameters(), lr=0.0),
        lessons,
        0.0,
        options(),
        Layout("tree", 10_000),
        ProcessGroup(),
    )
    tokens = sum(len(training_sample.logprobs) for training_sample in lessons)
    expected = -sum(training_sample.advantage * len(training_sample.logprobs) for training_sample in lessons) / tokens
    assert update.loss == pytest.approx(expected, abs=1e-5)
    assert update.sums.ratio_max == pytest.approx(1, abs=1e-5)
    assert update.sums.clipped_low == update.sums.clipped_high == 0


def test_the_mean_over_episodes_by_hand_at_ratio_one(tiny_folder: Path):
    """Each episode counts the same, however long it is: minus the mean of the advantages, and of the mean penalties."""
    model, _ = load_trainable(str(tiny_folder), "float32")
    drawn = batch()
    for sample in drawn:
        sample.logprobs[:] = token_logprobs(model, pad([sample.tokens])).tolist()
    samples = [replace(sample, weight=1 / len(sample.logprobs)) for sample in drawn]
    scorer, layout, world = Scorer(model), Layout("tree", 50), ProcessGroup()
    update = rl.update_policy(
        scorer, torch.optim.SGD(scorer.parameters(), lr=0.0), samples, 0.0, options(), layout, world
    )
    assert update.loss == pytest.approx(-sum(sample.advantage for sample in samples) / len(samples), abs=1e-5)

    class Shifted:
        """A reference for which every token is half as likely: k3 = 0.5 - 1 - ln 0.5 = 0.193147."""

        def logprobs(self, micro: Batch, temperature: float) -> torch.Tensor:
            with torch.no_grad():
                return scorer(micro, temperature) + math.log(0.5)

    flat = [replace(sample, advantage=0.0) for sample in samples]
    held = rl.update_policy(
        scorer,
        torch.optim.SGD(scorer.parameters(), lr=0.0),
        flat,
        0.0,
        options(kl=2.0),
        layout,
        world,
        reference=cast(Reference, Shifted()),
    )
    assert held.loss == pytest.approx(2 * 0.193147, abs=1e-4)
    assert held.sums.reference_kl / held.sums.tokens == pytest.approx(0.193147, abs=1e-4)


TWO_RANKS = """
import sys, torch
sys.path[:0] = [{tests!r}, {tests!r} + "/.."]
from pathlib import Path
from test_rl import batch, options
from webdancer_cli.training import rl
from webdancer_cli.training.checkpoint_writer import full_state
from webdancer_cli.training.distributed import process_group, shard
from webdancer_cli.training.layout import Layout
from webdancer_cli.training.logprobs import Scorer
from webdancer_cli.training.models import load_trainable
with process_group() as world:
    model, compute = load_trainable({folder!r}, "float32")
    scorer = shard(Scorer(model, compute), {{"Qwen3DecoderLayer"}}, world)
    optimizer = torch.optim.SGD(scorer.parameters(), lr=1.0)
    update = rl.update_policy(scorer, optimizer, batch(), 1.0, options(), Layout({kind!r}, 60), world)
    state = full_state(model, {{}}, world, everywhere=True)
    if world.rank == 1:
        torch.save((update, state), {out!r})
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["padded", "tree"])
def test_two_ranks_make_the_same_update_as_one(tiny_folder: Path, tmp_path: Path, kind: Kind):
    script, out = tmp_path / "two.py", tmp_path / "two.pt"
    places = {"tests": str(Path(__file__).parent), "folder": str(tiny_folder), "out": str(out)}
    script.write_text(TWO_RANKS.format(kind=kind, **places))
    torchrun(script)
    two, state = torch.load(out, weights_only=False)
    one, weights = updated(tiny_folder, Layout(kind, 10_000))
    assert two.loss == pytest.approx(one.loss, abs=1e-5)
    assert two.grad_norm == pytest.approx(one.grad_norm, rel=1e-5)
    assert two.sums.tokens == one.sums.tokens
    assert two.sums.ratio_max == pytest.approx(one.sums.ratio_max, abs=1e-5)
    names = [name for name, _ in load_trainable(str(tiny_folder), "float32")[0].named_parameters()]
    for name, weight in zip(names, weights, strict=True):
        assert torch.allclose(state[name], weight, atol=1e-5), name


def torchrun(*command: object, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    arguments = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *map(str, command)]
    done = subprocess.run(
        [sys.executable, *arguments], input=stdin, env=environment(2), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done


def flags(given: RlOptions) -> list[str]:
    """What the command line needs for these options."""
    own = {field.name: getattr(given, field.name) for field in fields(RlOptions)}
    return [
        word
        for name, value in own.items()
        if value != getattr(RlOptions(), name)
        for word in (option(name), str(value))
    ]


@pytest.mark.slow
@pytest.mark.parametrize("staleness", [0, 1])
def test_torchrun_goes_as_a_plain_run_and_speaks_once(tmp_path: Path, undecided: Path, staleness: int):
    """Two steps, each with an update; the questions come on the stdin that all ranks share. The second run has a
    curriculum, too, questions that rest, and some that are held out."""
    ordered: dict[str, object] = {}
    if staleness:
        jsonl.write_records(str(tmp_path / "held.jsonl"), [QA(question=f"Shade {n}?", answer="red") for n in range(3)])
        ordered = {"rest": 1, "curriculum": attempts(tmp_path), "eval_data": str(tmp_path / "held.jsonl")}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    plain = toy(tmp_path / "one", undecided, steps=2, save_every=1, max_staleness=staleness, **ordered)
    stage.run(plain)
    given = toy(tmp_path / "two", undecided, steps=2, save_every=1, max_staleness=staleness, data="-", **ordered)
    done = torchrun("-m", "webdancer_cli", "rl", *flags(given), stdin=Path(plain.data).read_text())
    assert done.stdout == ""
    assert done.stderr.count("webdancer rl: 4 in, 4 trained on") == 1, done.stderr
    ones, twos = metrics(tmp_path / "one"), metrics(tmp_path / "two")
    assert [line["updates"] for line in ones] == [1, 1]
    for one, two in zip(ones, twos, strict=True):
        counted = ("endings", "accuracy_by_level", "alarms")
        assert [two[name] for name in counted] == [one[name] for name in counted]
        assert (one["copies"], two["copies"]) == (1, 2)
        measured = ("seconds", "peak", "copies", "tokens_per", "drawn_per", *counted)
        same = [name for name in one if not name.startswith(measured)]
        assert {name: two[name] for name in same} == pytest.approx({name: one[name] for name in same}, abs=1e-5)
    if staleness:
        told = [json.loads((tmp_path / name / "out" / "held_out.jsonl").read_text()) for name in ("one", "two")]
        same = ("step", "rollouts", "unjudged", "reward", "accuracy", "format")
        assert [told[1][name] for name in same] == pytest.approx([told[0][name] for name in same])
        assert (told[0]["step"], told[0]["rollouts"]) == (2, 3)
    weights = [load_file(tmp_path / name / "out" / "model.safetensors") for name in ("one", "two")]
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-5) for name in weights[0])


def test_refill_rounds_follow_the_share_of_learnable_groups():
    # nothing known: all 16; 8 of 16 kept: 8 missing / 0.5 = 16; 12 of 16: 4 / 0.75 = 5.3 -> 6; none kept: all again
    assert round_size(collected(kept=0, played=0), 16) == 16
    assert round_size(collected(kept=8, played=16), 16) == 16
    assert round_size(collected(kept=12, played=16), 16) == 6
    assert round_size(collected(kept=0, played=16), 16) == 16


def collected(kept: int, played: int) -> RolloutBatch:
    class Counted(RolloutBatch):
        @property
        def kept(self) -> list:  # type: ignore[type-arg]
            return [None] * kept

    return Counted(groups=[[]] * played)


def test_passes_go_through_all_questions_before_repeating_one():
    questions = [QA(question=f"{number}?", answer="x") for number in range(7)]
    stream = QuestionStream(questions, seed=3)
    first, second = ([stream.take(1)[0].question for _ in range(7)] for _ in range(2))
    assert sorted(first) == sorted(second) and first != second
    assert [qa.question for qa in QuestionStream(questions, seed=3).take(1)] == first[:1]


@pytest.mark.parametrize(("count", "size"), [(7, 3), (7, 4), (5, 16), (1, 4), (6, 5)])
def test_no_round_holds_a_question_twice_and_all_come_equally_often(count: int, size: int):
    questions = [QA(question=f"{number}?", answer="x") for number in range(count)]
    for seed in range(20):
        stream = QuestionStream(questions, seed)
        rounds = [[qa.id for qa in stream.take(size)] for _ in range(2 * count)]
        assert all(len(set(ids)) == len(ids) == min(size, count) for ids in rounds)
        times = Counter(id for ids in rounds for id in ids)
        # 2 * count rounds of size questions are 2 * size passes; the last round may hold some back.
        assert len(times) == count and max(times.values()) - min(times.values()) <= 2


def metrics(folder: Path) -> list[dict]:  # type: ignore[type-arg]
    return [json.loads(line) for line in (folder / "out" / "metrics.jsonl").read_text().splitlines()]


def test_reward_rises_on_a_task_that_can_be_learned(tmp_path: Path, undecided: Path):
    stage.run(toy(tmp_path, undecided))
    lines = metrics(tmp_path)
    assert 0.3 < lines[0]["accuracy"] < 0.7
    assert sum(line["accuracy"] for line in lines[-4:]) / 4 > 0.85
    trained = [line for line in lines if line["updates"]]
    assert all(line["kl"] < 1e-4 and abs(line["ratio_max"] - 1) < 0.01 for line in trained)
    assert all(line["clip_fraction"] == 0 for line in trained)
    shown = [json.loads(line) for line in (tmp_path / "out" / "rollouts.jsonl").read_text().splitlines()]
    assert {line["step"] for line in shown} == set(range(1, len(lines) + 1))
    first = [(line["qa"]["question"], line["reward"]) for line in shown if line["step"] == 1]
    # right beside wrong, of one question and then of another
    assert first[0][0] == first[1][0] != first[2][0] == first[3][0]
    assert first[0][1] > first[1][1] and first[2][1] > first[3][1]


MEASURES = {
    *("reward", "accuracy", "format", "accuracy_by_level", "endings", "unjudged"),
    *("groups", "kept", "kept_share", "rounds", "epoch", "resting"),  # accuracy is that of all groups, kept or not
    *("calls", "tool_calls", "pages", "right_unseen", "length", "sampled", "repeating"),
    *("entropy", "clip_low_fraction", "clip_high_fraction", "right_logprob", "grad_norm"),
    *("sampler_gap", "canary_gap", "staleness", "truncated_fraction"),
    *("seconds_rollout", "seconds_train", "seconds_sync", "tokens_per_second", "drawn_per_second", "alarms"),
}
"""What every step has to tell of itself."""


def test_several_updates_per_batch_leave_the_sampling_policy(tmp_path: Path, undecided: Path):
    stage.run(toy(tmp_path, undecided, minibatches=2, steps=1))
    line = metrics(tmp_path)[0]
    assert line["updates"] == 2
    assert line["ratio_max"] > 1.01
    assert set(line) >= MEASURES
    shares = line["seconds_share"]
    assert set(shares) == {"rollout", "train", "sync"} and sum(shares.values()) == pytest.approx(1, abs=0.02)


def test_a_step_without_a_learnable_group_is_skipped_and_said(tmp_path: Path, undecided: Path):
    given = toy(tmp_path, undecided, steps=2, max_rounds=3)
    jsonl.write_records(given.data, [QA(question=question, answer="green") for question in QUESTIONS])
    stage.run(given)
    for line in metrics(tmp_path):
        assert (line["updates"], line["kept"], line["rounds"], line["groups"]) == (0, 0, 3, 12)


def test_without_dynamic_sampling_one_round_is_trained_on_as_it_is(tmp_path: Path, undecided: Path):
    stage.run(toy(tmp_path, undecided, steps=1, max_rounds=3, dynamic_sampling="off", questions=8))
    (line,) = metrics(tmp_path)
    assert (line["rounds"], line["groups"], line["updates"]) == (1, 4, 1)  # there are four questions
    given = toy(tmp_path, undecided, steps=1, max_rounds=3, dynamic_sampling="off", out=str(tmp_path / "flat" / "out"))
    jsonl.write_records(given.data, [QA(question=question, answer="green") for question in QUESTIONS])
    stage.run(given)
    (line,) = metrics(tmp_path / "flat")
    assert (line["rounds"], line["groups"], line["kept"], line["updates"]) == (1, 4, 0, 1)
    assert line["tokens_per_second"] > 0


def test_a_group_without_an_answer_to_learn_from_weighs_in_the_mean_all_the_same():
    def rollout(reward: float | None, tokens: int = 4) -> Rollout:
        context = SampledContext(Tokens(list(range(tokens + 1)), [False] + [True] * tokens), [-1.0] * tokens)
        trajectory = Trajectory(qa=QA(question="?", answer="x"), messages=[], ending="answered")
        return Rollout(trajectory, [context], tokens, True, reward, reward)

    mixed, flat, silent = [rollout(1.0), rollout(0.0, 2)], [rollout(1.0), rollout(1.0)], [rollout(None)]
    strict = RolloutBatch(groups=[mixed, flat, silent])
    loose = RolloutBatch(dynamic=False, groups=[mixed, flat, silent])
    assert strict.trained_on == strict.kept == loose.kept == [mixed] and loose.trained_on == [mixed, flat]
    ((*samples,),) = rl.minibatches(loose.trained_on, options(loss_mean="episodes"))
    assert [(sample.advantage, sample.weight) for sample in samples] == [
        (1, 1 / 4),
        (-1, 1 / 2),
        (0, 1 / 4),
        (0, 1 / 4),
    ]
    assert sum(sample.weight * len(sample.logprobs) for sample in samples) == 4  # episodes


def test_the_same_seed_gives_the_same_run(tmp_path: Path, undecided: Path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        stage.run(toy(tmp_path / name, undecided, steps=2))
    a, b = (metrics(tmp_path / name)[-1] for name in ("a", "b"))
    assert a["reward"] == b["reward"] and a["loss"] == pytest.approx(b["loss"], abs=1e-5)


class Knows:
    """A judge that knows Italian: it takes "red" for "rosso" after a moment; ``out`` makes it fail."""

    name = "model:knows"

    def __init__(self, *, out: bool = False):
        self.out = out
        self.loops: set[int] = set()
        self.closed_in: set[int] = set()

    async def judge(self, qa: QA, answer: str | None) -> Verdict:
        self.loops.add(id(asyncio.get_running_loop()))
        await asyncio.sleep(0.001)
        outcome = "unjudged" if self.out else "correct" if (qa.answer, answer) == ("rosso", "red") else "wrong"
        return Verdict(outcome=outcome, method=self.name)  # type: ignore[arg-type]

    async def aclose(self) -> None:
        self.closed_in.add(id(asyncio.get_running_loop()))


def italian(folder: Path, undecided: Path, **changes: object) -> RlOptions:
    given = toy(folder, undecided, **changes)
    jsonl.write_records(given.data, [QA(question=question, answer="rosso") for question in QUESTIONS])
    return given


@pytest.mark.slow
def test_a_judge_that_reads_teaches_what_a_match_cannot(tmp_path: Path, undecided: Path):
    judge = Knows()
    stats = stage.run(italian(tmp_path, undecided, steps=16), judge=judge)
    lines = metrics(tmp_path)
    assert 0.3 < lines[0]["accuracy"] < 0.7
    assert sum(line["accuracy"] for line in lines[-4:]) / 4 > 0.85
    assert len(judge.loops) == 1 and judge.closed_in == judge.loops
    assert stats.exit_code == 0
    about = json.loads((tmp_path / "out" / "webdancer.json").read_text())
    assert about["judge"] == "model:knows"


def test_a_judge_that_is_out_of_order_ends_the_run_after_a_step_with_a_checkpoint(tmp_path: Path, undecided: Path):
    judge = Knows(out=True)
    stats = stage.run(italian(tmp_path, undecided), judge=judge)
    (line,) = metrics(tmp_path)
    assert (line["updates"], line["kept"], line["unjudged"], line["accuracy"]) == (0, 0, line["rollouts"], None)
    assert "could be judged" in stats.stopped and stats.exit_code == 1
    assert (tmp_path / "out" / "config.json").exists()
    assert judge.closed_in


JUDGING_RANKS = """
import json, sys
sys.path[:0] = [{tests!r}, {tests!r} + "/.."]
from pathlib import Path
from test_rl import Knows, italian
from webdancer_cli.stages import rl as stage
judge = Knows()
asked = []
judge.judge, said = (lambda qa, answer: asked.append(qa.question) or said(qa, answer)), judge.judge
stats = stage.run(italian(Path({folder!r}), Path({model!r}), steps=2), judge=judge)
import os
Path({folder!r}, "rank" + os.environ["RANK"]).write_text(json.dumps(sorted(asked)))
"""


@pytest.mark.slow
def test_every_rank_judges_its_own_episodes(tmp_path: Path, undecided: Path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    stage.run(italian(tmp_path / "one", undecided, steps=2), judge=Knows())
    script = tmp_path / "ranks.py"
    names = {"tests": str(Path(__file__).parent), "folder": str(tmp_path / "two"), "model": str(undecided)}
    script.write_text(JUDGING_RANKS.format(**names))
    torchrun(script)
    asked = [json.loads((tmp_path / "two" / f"rank{rank}").read_text()) for rank in (0, 1)]
    # 4 questions, dealt out, 16 rollouts each, 2 steps: both ranks judged 64, each its own
    assert [len(each) for each in asked] == [64, 64]
    ones, twos = metrics(tmp_path / "one"), metrics(tmp_path / "two")
    assert [line["accuracy"] for line in twos] == pytest.approx([line["accuracy"] for line in ones])
    assert [line["reward"] for line in twos] == pytest.approx([line["reward"] for line in ones])


def test_minutes_end_a_run_with_a_checkpoint(tmp_path: Path, undecided: Path):
    stage.run(toy(tmp_path, undecided, steps=10_000, minutes=1e-9))
    assert (tmp_path / "out" / "config.json").exists()
    assert len(metrics(tmp_path)) <= 1


class Poor(Knows):
    """Has money for so many verdicts."""

    def __init__(self, verdicts: int, error: Exception):
        super().__init__()
        self.verdicts = verdicts
        self.error = error

    async def judge(self, qa: QA, answer: str | None) -> Verdict:
        self.verdicts -= 1
        if self.verdicts < 0:
            raise self.error
        return await super().judge(qa, answer)


@pytest.mark.parametrize(
    "error", [BudgetSpent("--max-cost 1 is spent; --resume does the rest"), ServiceRefused("no key; --resume goes on")]
)
def test_what_stops_a_data_stage_ends_the_rounds_and_what_was_learned_is_saved(
    tmp_path: Path, undecided: Path, error: Exception
):
    judge = Poor(70, error)  # the first step takes 64; the second is cut in its only round of five
    stats = stage.run(italian(tmp_path, undecided, max_rounds=5, questions=4), judge=judge)
    lines = metrics(tmp_path)
    assert (lines[-1]["rounds"], stats.exit_code) == (1, 1) and len(lines) <= 2
    assert lines[0]["updates"] == 1
    assert stats.stopped == str(error).partition(";")[0]
    assert (tmp_path / "out" / "model.safetensors").exists()


STOPPED_RANK = """
import os, sys
sys.path[:0] = [{tests!r}, {tests!r} + "/.."]
from pathlib import Path
from test_rl import Knows, Poor, italian
from webdancer_cli.errors import BudgetSpent
from webdancer_cli.stages import rl as stage
rank = os.environ["RANK"]
judge = Poor(10, BudgetSpent("spent")) if rank == "1" else Knows()
stats = stage.run(italian(Path({folder!r}), Path({model!r}), max_rounds=5), judge=judge)
Path({folder!r}, "rank" + rank).write_text(stats.stopped)
"""


@pytest.mark.slow
def test_a_rank_that_can_judge_no_more_ends_the_run_on_all(tmp_path: Path, undecided: Path):
    script = tmp_path / "ranks.py"
    names = {"tests": str(Path(__file__).parent), "folder": str(tmp_path), "model": str(undecided)}
    script.write_text(STOPPED_RANK.format(**names))
    torchrun(script)
    assert [(tmp_path / f"rank{rank}").read_text() for rank in (0, 1)] == ["spent", "spent"]
    assert [line["rounds"] for line in metrics(tmp_path)] == [1]
    assert (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.parametrize("staleness", [0, 1])
def test_the_best_checkpoint_by_held_out_questions_is_the_result(tmp_path: Path, undecided: Path, staleness: int):
    """What is rewarded on the questions trained on is wrong on the others: so the policy is best before any step."""
    held_out = [QA(question=question, answer="blue") for question in QUESTIONS]  # other questions: ids have the answer
    jsonl.write_records(str(tmp_path / "held.jsonl"), [*held_out, QA(question=QUESTIONS[0], answer="red")])
    said: list[str] = []
    given = toy(tmp_path, undecided, steps=5, eval_data=str(tmp_path / "held.jsonl"), eval_every=2, keep_best=True)
    stage.run(replace(given, max_staleness=staleness, save_every=4), say=said.append)
    lines = [json.loads(line) for line in (tmp_path / "out" / "held_out.jsonl").read_text().splitlines()]
    assert [(line["step"], line["rollouts"]) for line in lines] == [(0, 4), (2, 4), (4, 4), (5, 4)]
    rewards = [line["reward"] for line in lines]
    assert rewards[0] == max(rewards) > rewards[-1]
    assert any("1 of 5 questions are left out" in line for line in said)
    start, last, result = (
        load_file(folder / "model.safetensors") for folder in (undecided, tmp_path / "out" / "step-4", tmp_path / "out")
    )
    assert all(torch.equal(start[name], result[name]) for name in result)
    assert any(not torch.equal(start[name], last[name]) for name in last)
    assert not (tmp_path / "out" / "best").exists()
    assert "| held_out_reward |" in (tmp_path / "out" / "README.md").read_text()


class FailsLater(Knows):
    """A judge that is out for held-out questions after their first evaluation, but for one that it takes for right."""

    def __init__(self) -> None:
        super().__init__()
        self.held_out = 0

    async def judge(self, qa: QA, answer: str | None) -> Verdict:
        if qa.answer != "blue":
            return await super().judge(qa, answer)
        self.held_out += 1
        outcome = "wrong" if self.held_out <= 4 else "correct" if self.held_out == 5 else "unjudged"
        return Verdict(outcome=outcome, method=self.name)  # type: ignore[arg-type]


def test_no_checkpoint_is_the_best_by_the_few_questions_that_could_be_judged(tmp_path: Path, undecided: Path):
    jsonl.write_records(str(tmp_path / "held.jsonl"), [QA(question=question, answer="blue") for question in QUESTIONS])
    given = italian(tmp_path, undecided, steps=2, eval_data=str(tmp_path / "held.jsonl"), eval_every=1, keep_best=True)
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        time.sleep(0.5 if "held-out" in line else 0)

    stage.run(given, judge=FailsLater(), say=say)
    lines = [json.loads(line) for line in (tmp_path / "out" / "held_out.jsonl").read_text().splitlines()]
    assert [(line["step"], line["unjudged"]) for line in lines] == [(0, 0), (1, 3), (2, 4)]
    assert lines[1]["reward"] > lines[0]["reward"]
    start, result = (load_file(folder / "model.safetensors") for folder in (undecided, tmp_path / "out"))
    assert all(torch.equal(start[name], result[name]) for name in result)
    assert any(line.startswith("step 1: 3 of 4 held-out questions have no reward") for line in said)
    # What follows on the episodes of an evaluation (best checkpoints are written then) is no time of a step's rollouts.
    second = metrics(tmp_path)[1]
    parts = [second[f"seconds_{name}"] for name in ("rollout", "train", "sync")]
    elapsed = sum(parts) / sum(second["seconds_share"].values())
    assert elapsed - sum(parts) > lines[1]["seconds"] + 0.45


# ---- rollouts ahead of the trainer ----------------------------------------------------------------------------------


@pytest.mark.parametrize("minibatches", [1, 2])
def test_rollouts_one_step_ahead_teach_as_well_and_are_counted(tmp_path: Path, undecided: Path, minibatches: int):
    stage.run(toy(tmp_path, undecided, max_staleness=1, minibatches=minibatches, group=12))
    lines = metrics(tmp_path)
    assert [line["staleness"] for line in lines] == [0] + [1] * (len(lines) - 1)
    assert sum(line["accuracy"] for line in lines[-4:]) / 4 > 0.85
    # Of fresh rollouts trainer and sampler have the same weights; of stale ones the sampler's are a step older.
    stale = [line for line in lines if line["staleness"] and line["updates"]]
    assert lines[0]["sampler_gap"] < (0.01 if minibatches == 1 else 1)
    assert any(line["sampler_gap"] > 0.01 for line in stale)
    if minibatches == 1:  # the ratio of the clip begins at the step's own weights
        assert all(abs(line["ratio_max"] - 1) < 1e-4 for line in stale)


def test_a_stale_run_that_goes_on_plays_the_batch_again_that_was_under_way(tmp_path: Path, undecided: Path):
    given = toy(tmp_path, undecided, max_staleness=1, steps=4, questions=2, save_every=1)
    stage.run(given)
    saved = [json.loads((tmp_path / "out" / f"step-{step}" / "state" / "run.json").read_text()) for step in (2, 3)]
    # Two questions a step: after two steps four are trained on, and the two that are under way do not count.
    assert [(state["data"]["epoch"], state["data"]["position"]) for state in saved] == [(0, 4), (1, 2)]


def test_a_run_that_is_out_of_time_is_evaluated_when_what_it_had_begun_ahead_has_ended(tmp_path: Path, undecided: Path):
    jsonl.write_records(str(tmp_path / "held.jsonl"), [QA(question="Shade?", answer="red")])
    given = toy(tmp_path, undecided, max_staleness=1, minutes=1e-4, eval_data=str(tmp_path / "held.jsonl"))
    assert stage.run(given).exit_code == 0
    assert [line["step"] for line in metrics(tmp_path)] == [1]
    assert [json.loads(line)["step"] for line in (tmp_path / "out" / "held_out.jsonl").read_text().splitlines()] == [1]


class Slow(Knows):
    """A judge that never speaks of one answer."""

    async def judge(self, qa: QA, answer: str | None) -> Verdict:
        if answer == "blue":
            await asyncio.sleep(1e9)
        return await super().judge(qa, answer)


@pytest.mark.slow
def test_when_the_time_of_a_step_is_over_it_goes_on_with_what_there_is(tmp_path: Path, undecided: Path):
    """Half of the answers would never be judged: they are left out, and the run comes to its end."""
    stats = stage.run(italian(tmp_path, undecided, steps=1, step_seconds=10, max_rounds=3), judge=Slow())
    (line,) = metrics(tmp_path)
    assert (line["rounds"], stats.exit_code) == (1, 0)
    assert 0 < line["unjudged"] < line["rollouts"] == 64


BLOCKED = """
import sys, time
sys.path[:0] = [{tests!r}, {tests!r} + "/.."]
from pathlib import Path
from test_rl import Knows, italian
from webdancer_cli.stages import rl as stage
from webdancer_cli.training import watchdog
watchdog.GRACE_SECONDS = 1.0
class Blocks(Knows):
    async def judge(self, qa, answer):
        time.sleep(1e6)
stage.run(italian(Path({folder!r}), Path({model!r}), step_seconds=5), judge=Blocks())
"""


@pytest.mark.slow
def test_what_blocks_even_the_event_loop_is_told_and_ends_the_run(tmp_path: Path, undecided: Path):
    script = tmp_path / "blocked.py"
    names = {"tests": str(Path(__file__).parent), "folder": str(tmp_path), "model": str(undecided)}
    script.write_text(BLOCKED.format(**names))
    done = subprocess.run([sys.executable, script], env=environment(1), capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert "the rollouts of step 1 did not end within 5 s (--step-seconds); under way: " in done.stderr
    assert "in judge" in (tmp_path / "out" / "stuck.log").read_text()


# ---- rewards, and what a run is told about them ---------------------------------------------------------------------

OWN = """
async def blue(trajectory, format_ok):
    return 2.0 * (trajectory.answer == "blue") + format_ok

def broken(trajectory, format_ok):
    return {}["no such key"]

def words(trajectory, format_ok):
    return "much"
"""


def test_a_reward_of_ones_own_is_what_is_learned(tmp_path: Path, undecided: Path):
    (tmp_path / "own.py").write_text(OWN)
    stage.run(toy(tmp_path, undecided, reward=f"{tmp_path}/own.py:blue"))
    lines = metrics(tmp_path)
    assert (
        0.4 < lines[0]["reward"] < 1.6 and lines[-1]["reward"] > 1.7
    )  # no episode is well-formed: it looks nothing up
    assert lines[-1]["accuracy"] < 0.2  # the gold answer is red


@pytest.mark.parametrize(
    ("name", "said"), [("broken", "KeyError: 'no such key'"), ("words", "'much', which is neither a finite number")]
)
def test_a_reward_function_that_fails_ends_the_run_by_its_name(tmp_path: Path, undecided: Path, name: str, said: str):
    (tmp_path / "own.py").write_text(OWN)
    stats = stage.run(toy(tmp_path, undecided, steps=2, group=2, reward=f"{tmp_path}/own.py:{name}"))
    assert stats.exit_code == 1 and f"--reward {name}: " in stats.stopped and said in stats.stopped


@pytest.mark.parametrize("changes", [{}, {"lora_rank": 4, "lr": 2e-2}], ids=["full", "lora"])
def test_the_distance_from_the_beginning_is_told_and_held(tmp_path: Path, undecided: Path, changes: dict[str, object]):
    far = {}
    for kl in (0.001, 10.0):
        (tmp_path / str(kl)).mkdir()
        stage.run(toy(tmp_path / str(kl), undecided, steps=4, kl=kl, **changes))
        lines = [line for line in metrics(tmp_path / str(kl)) if line["updates"]]
        assert lines[0]["reference_kl"] < 1e-6  # before the first update both are one
        far[kl] = lines[-1]["reference_kl"]
    assert far[0.001] > 2 * far[10.0] > 0


class Unreliable(Knows):
    """Gives no verdict in three of ten calls."""

    calls = 0

    async def judge(self, qa: QA, answer: str | None) -> Verdict:
        self.calls += 1
        if self.calls % 10 in (1, 4, 8):
            return Verdict(outcome="unjudged", method=self.name, detail="model_error")
        return await super().judge(qa, answer)


def test_too_many_episodes_without_a_verdict_end_the_run_and_some_more_may_be_allowed(tmp_path: Path, undecided: Path):
    for name in ("strict", "lenient"):
        (tmp_path / name).mkdir()
    stats = stage.run(italian(tmp_path / "strict", undecided, steps=7, group=8), judge=Unreliable())
    assert stats.exit_code == 1 and re.match(
        r"\d+ of 160 episodes of the last 5 steps have no verdict: model_error \(\d+\).*--max-unjudged 0.05",
        stats.stopped,
    )
    assert len(metrics(tmp_path / "strict")) == 5
    lenient = italian(tmp_path / "lenient", undecided, steps=16, max_unjudged=0.5)
    assert stage.run(lenient, judge=Unreliable()).exit_code == 0
    lines = metrics(tmp_path / "lenient")
    assert sum(line["accuracy"] for line in lines[-4:]) / 4 > 0.85  # what is missing teaches nothing wrong


@pytest.mark.parametrize(
    ("changes", "ids", "own", "penalty"),
    [
        ({}, 95, 40, 0.0),  # no zone
        ({"overlong_tokens": 20}, 90, 40, -0.5),  # the zone is 80 to 100, the context
        ({"overlong_tokens": 20, "overlong_counts": "own"}, 90, 40, 0.0),
        ({"overlong_tokens": 20, "overlong_counts": "own", "overlong_at": 50}, 90, 40, -0.5),  # 30 to 50
        ({"overlong_tokens": 20, "overlong_at": 50}, 90, 40, -1.0),
    ],
)
def test_what_the_overlong_punishment_counts(changes: dict[str, object], ids: int, own: int, penalty: float):
    assert OverlongPunishment.of(options(**changes), 100).penalty(ids, own) == pytest.approx(penalty)
