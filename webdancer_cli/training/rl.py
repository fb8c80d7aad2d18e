"""Reinforcement learning with DAPO (paper, section 3.4): one visible loop.

    J = (1 / sum_i |o_i|) sum_i sum_t min(r_it A_i, clip(r_it, 1 - e_low, 1 + e_high) A_i),   A_i = (R_i - mean) / std

o_i are the policy's own tokens only, R = 0.1 format + 0.9 answer (+ overlong punishment), r_it compares the policy that
is trained with the one that sampled. There is no KL term.

Choices where paper and DAPO are silent, or differ from here:
1. A refill round of dynamic sampling takes as many fresh questions as the share of learnable groups so far suggests, at
   most ``questions``. All learnable groups are trained on; none is thrown away because a step has enough. At
   ``max_rounds`` the step goes on with what there is, and without any it is skipped.
2. The overlong punishment counts all tokens of the episode, observations too: the context is what they fill up.
3. Episodes that the machinery ended (model or time), and answers that the judge could not judge, are left out of their
   group: neither its mean nor its deviation knows them.
4. Old log-probs are those of the engine that sampled, never computed again; ``kl`` and ``ratio_max`` of a first update
   show how far engine and trainer disagree.
"""

import asyncio
import math
import random
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, cast

import torch
from torch import Tensor, nn

from webdancer_cli.data.records import QA
from webdancer_cli.errors import WebdancerError
from webdancer_cli.options.config import RlOptions
from webdancer_cli.training.canary import Canary
from webdancer_cli.training.dapo import LossSums, surrogate
from webdancer_cli.training.distributed import ProcessGroup
from webdancer_cli.training.engine import Engine
from webdancer_cli.training.layout import Batch, Layout, Plan
from webdancer_cli.training.measures import peak_memory_gb
from webdancer_cli.training.optimizer import lr_factor, optimizer_step
from webdancer_cli.training.rollouts import (
    Group,
    RolloutCollector,
    TrainingSample,
    learnable,
    rollout_record,
    training_samples,
)
from webdancer_cli.training.run import TrainingRun, begin
from webdancer_cli.training.run_log import METRICS, ROLLOUTS, open_log
from webdancer_cli.training.setup import TrainingSetup
from webdancer_cli.training.tracking import Tracked
from webdancer_cli.training.weight_sync import sync_weights

SHOWN = 4
"""How many rollouts of a step go there, each of another question."""

IN_VAIN = "not one episode of a step could be judged: model, web or judge are out of order"

Metrics = dict[str, Any]


@dataclass
class RolloutBatch:
    """What dynamic sampling brought for one step, over all ranks."""

    groups: list[Group] = field(default_factory=list)
    rounds: int = 0
    stopped: str = ""
    """Why a rank can play or judge no more, if one cannot."""

    @property
    def kept(self) -> list[Group]:
        """The groups that can be learned from."""
        return [group for group in self.groups if learnable(group)]


@dataclass(frozen=True)
class PolicyUpdate:
    """What one optimizer step did, over all ranks: the mean loss of a token, the gradient's norm before clipping."""

    loss: float
    grad_norm: float
    sums: LossSums
    plan: Plan


def train_rl(
    options: RlOptions,
    questions: Sequence[QA],
    collector: RolloutCollector,
    engine: Engine,
    setup: TrainingSetup,
    about: dict[str, Any],
) -> str:
    """Train on ``questions``, played in ``collector`` through ``engine``; why it ended early, if it did.

    Writes metrics and some rollouts as it goes, and checkpoints with ``about`` in them, into ``setup.out``.
    """
    world = setup.world
    tracked = Tracked(options.track if world.is_main else "none", setup.out, about, setup.say)
    run = begin(options, setup, about, QuestionStream(questions, options.seed), deterministic=True)
    state, scorer = run.state, run.trainable.scorer
    canary = Canary.of(setup.renderer, engine.max_length, options.canary_gap)
    stream = cast(QuestionStream, state.data)
    log = Log(setup.out, state.step) if world.is_main else None
    stopped = ""
    metrics: Metrics = {}
    with closing(run.saver), asyncio.Runner() as runner, rollouts_closed(collector, engine, runner):
        while state.step < options.steps and not out_of_time(options, state.seconds, world) and not stopped:
            started = time.perf_counter()
            with saved_before_the_end(run, metrics, world):
                synced = sync_weights(runner, engine, run, canary, state.step + 1, world)
            state.step += 1
            lr = options.peak_lr * lr_factor(state.step, options.steps, options.warmup_steps)
            collected = collect(runner, collector, stream, state.step, options, world)
            stopped = why_to_stop(collected)
            sampled = time.perf_counter()
            updates = [
                update_policy(scorer, state.optimizer, batch, lr, options, run.layout, world)
                for batch in minibatches(collected.kept, options.minibatches)
            ]
            trained = time.perf_counter()
            state.seconds += trained - started
            metrics = {"step": state.step, **rollout_metrics(collected), **update_metrics(updates), "lr": lr}
            seconds = {"seconds_rollout": round(sampled - started, 3), "seconds_train": round(trained - sampled, 3)}
            if setup.progress:
                setup.progress.step(state.step, options.steps, note(metrics))
            metrics |= synced | seconds | {"peak_memory_gb": round(max(world.gather(peak_memory_gb(world.device))), 3)}
            if run.saver.is_due(state.step, options.steps):
                metrics |= run.saver.write(state, metrics)
            if log:
                log.write(metrics, collected)
            tracked.log(metrics)
            run.saver.commit(wait=not options.async_save)
    if log:
        log.close()
    tracked.close()
    run.saver.finish(state, metrics)
    run.saver.commit_result()
    return stopped


@contextmanager
def rollouts_closed(collector: RolloutCollector, engine: Engine, runner: asyncio.Runner) -> Iterator[None]:
    """Close both in the event loop in which the episodes were played."""
    try:
        yield
    finally:
        try:
            runner.run(collector.aclose())
        finally:
            runner.run(engine.aclose())


@contextmanager
def saved_before_the_end(run: TrainingRun, metrics: Metrics, world: ProcessGroup) -> Iterator[None]:
    """When the engine's weights are not the trainer's, what was trained so far is saved: it was played by the right
    ones. All ranks come to the same end, and rank 0 tells of it."""
    try:
        yield
    except WebdancerError as error:
        run.saver.commit()
        if run.state.step and not run.saver.has(run.state.step):
            run.saver.write(run.state, metrics)
            run.saver.commit()
        remedy = f"; --resume goes on after step {run.state.step}" if run.state.step else ""
        world.from_main(partial(_end, f"step {run.state.step + 1}: {error}{remedy}"))


def _end(reason: str) -> NoReturn:
    raise WebdancerError(reason)


def why_to_stop(collected: RolloutBatch) -> str:
    """What keeps further steps from teaching anything: no answer can be judged any more. The same on all ranks."""
    judged = any(rollout.reward is not None for group in collected.groups for rollout in group)
    return collected.stopped or ("" if judged else IN_VAIN)


def out_of_time(options: RlOptions, seconds: float, world: ProcessGroup) -> bool:
    """Whether the run has lasted for ``minutes``, by the clock of rank 0."""
    return world.from_main(lambda: options.minutes is not None and seconds >= 60 * options.minutes)


class QuestionStream:
    """Questions (with different ids) without end: pass after pass over all of them, each in an order of its own.

    A part of the training state: it can say where it is, and go on from there.
    """

    def __init__(self, questions: Sequence[QA], seed: int):
        self._questions = {qa.id: qa for qa in questions}
        self._seed = seed
        self._epoch = 0
        self._position = 0
        self._order = self._shuffled()
        self._waiting: deque[QA] = deque()

    def take(self, count: int) -> list[QA]:
        """The questions of a round: ``count``, or all there are, none of them twice.

        What is drawn in an episode depends on the question and the round, so a question that stood twice in a round
        would be played twice alike. One that comes again too soon, at the start of a pass, waits for the next round.
        """
        taken: dict[str, QA] = {}
        again: list[QA] = []
        while len(taken) < min(count, len(self._questions)):
            qa = self._waiting.popleft() if self._waiting else self._next()
            if qa.id in taken:
                again.append(qa)
            taken.setdefault(qa.id, qa)
        self._waiting.extendleft(reversed(again))
        return list(taken.values())

    def state_dict(self) -> dict[str, Any]:
        """Where the stream is, as JSON."""
        return {"epoch": self._epoch, "position": self._position, "waiting": [qa.id for qa in self._waiting]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._epoch, self._position = state["epoch"], state["position"]
        self._order = self._shuffled()
        self._waiting = deque(self._questions[id] for id in state["waiting"])

    def _next(self) -> QA:
        if self._position == len(self._order):
            self._epoch, self._position = self._epoch + 1, 0
            self._order = self._shuffled()
        self._position += 1
        return self._order[self._position - 1]

    def _shuffled(self) -> list[QA]:
        questions = list(self._questions.values())
        return random.Random(f"{self._seed}:{self._epoch}").sample(questions, len(questions))


def collect(
    runner: asyncio.Runner,
    collector: RolloutCollector,
    stream: QuestionStream,
    step: int,
    options: RlOptions,
    world: ProcessGroup,
) -> RolloutBatch:
    """Dynamic sampling: rounds of fresh questions until enough groups are learnable, or ``max_rounds`` are over.

    A round's questions are dealt out to the ranks; all ranks end with all groups, in the order of the questions. A rank
    that can play or judge no more ends the rounds for all.
    """
    collected = RolloutBatch()
    while not collected.stopped and collected.rounds < options.max_rounds and len(collected.kept) < options.questions:
        questions = stream.take(round_size(collected, options.questions))
        attempt = step * options.max_rounds + collected.rounds
        mine = runner.run(collector.play(questions[world.rank :: world.size], attempt))
        parts, reasons = zip(*world.gather((mine, collector.stopped)), strict=True)
        collected.stopped = next(filter(None, reasons), "")
        collected.groups += [parts[at % world.size][at // world.size] for at in range(len(questions))]
        collected.rounds += 1
    return collected


def round_size(collected: RolloutBatch, wanted: int) -> int:
    """Questions of the next round: what is missing, over the share of learnable groups so far; ``wanted`` at most."""
    kept, played = len(collected.kept), len(collected.groups)
    return min(wanted, math.ceil((wanted - kept) * played / kept)) if kept else wanted


def minibatches(kept: Sequence[Group], count: int) -> list[list[TrainingSample]]:
    """The lessons of the kept groups, whole groups together, in at most ``count`` parts; none without groups."""
    parts = [kept[first::count] for first in range(min(count, len(kept)))]
    return [[training_sample for group in part for training_sample in training_samples(group)] for part in parts]


def update_policy(
    scorer: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Sequence[TrainingSample],
    lr: float,
    options: RlOptions,
    layout: Layout,
    world: ProcessGroup,
) -> PolicyUpdate:
    """One update from the global batch, of which every rank takes its share.

    The token-mean runs over the whole batch, so neither the ranks nor the split into micro-batches change the update.
    """
    tokens = sum(len(training_sample.logprobs) for training_sample in batch)
    loss, sums = 0.0, LossSums()
    rows = [training_sample.tokens for training_sample in batch]
    plan = layout.plan(rows, world.size)
    for indices, micro in layout.batches(rows, plan, world.rank):
        part_loss, part_sums = part_of_loss(scorer, micro, [batch[index] for index in indices], options)
        # FSDP averages gradients over the ranks, but each rank's loss is already its part of the global mean.
        (part_loss / tokens * world.size).backward()
        loss += float(part_loss.detach()) / tokens
        sums += part_sums
    mean_loss = world.total(loss)[0]
    norm = optimizer_step(scorer, optimizer, mean_loss, lr, options.max_grad_norm)
    return PolicyUpdate(mean_loss, norm, sum(world.gather(sums), LossSums()), plan)


def part_of_loss(
    scorer: nn.Module, micro: Batch, rows: Sequence[TrainingSample], options: RlOptions
) -> tuple[Tensor, LossSums]:
    """The summed loss of a micro-batch, with its graph; ``rows`` are what it was made of."""
    new_N = scorer(micro, options.temperature)
    device = new_N.device
    old_N = torch.tensor([logprob for row in rows for logprob in row.logprobs], device=device)
    advantages_N = torch.tensor([row.advantage for row in rows for _ in row.logprobs], device=device)
    return surrogate(new_N, old_N, advantages_N, clip_low=options.clip_low, clip_high=options.clip_high)


def rollout_metrics(collected: RolloutBatch) -> Metrics:
    """Means over all episodes of a step, kept groups or not. None where there is nothing to average."""
    rollouts = [rollout for group in collected.groups for rollout in group]
    judged = [rollout for rollout in rollouts if rollout.correct is not None]
    return {
        "reward": mean([rollout.reward for rollout in judged if rollout.reward is not None]),
        "accuracy": mean([bool(rollout.correct) for rollout in judged]),
        "format": mean([rollout.format_ok for rollout in judged]),
        "rounds": collected.rounds,
        "groups": len(collected.groups),
        "kept": len(collected.kept),
        "rollouts": len(rollouts),
        "unjudged": len(rollouts) - len(judged),
        "length": mean([len(rollout.tokens.ids) for rollout in rollouts]),
        "sampled": mean([len(rollout.logprobs) for rollout in rollouts]),
        "calls": mean([rollout.trajectory.usage.calls for rollout in rollouts]),
        "endings": dict(Counter(rollout.trajectory.ending for rollout in rollouts).most_common()),
    }


def update_metrics(updates: Sequence[PolicyUpdate]) -> Metrics:
    """``tokens`` were trained on; ``kl`` and ``entropy`` are estimates per token, in nats. Empty without an update."""
    sums = sum((update.sums for update in updates), LossSums())
    if not updates:
        return {"updates": 0}
    return {
        "updates": len(updates),
        "loss": mean([update.loss for update in updates]),
        "grad_norm": mean([update.grad_norm for update in updates]),
        "tokens": int(sums.tokens),
        "shared_prefix_tokens": sum(update.plan.shared_prefix_tokens for update in updates),
        "padding": sum(update.plan.padding for update in updates),
        "clip_fraction": sums.clipped / sums.tokens,
        "ratio_mean": sums.ratio / sums.tokens,
        "ratio_max": sums.ratio_max,
        "kl": sums.kl / sums.tokens,
        "entropy": sums.neg_logprob / sums.tokens,
    }


def mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def note(metrics: Metrics) -> str:
    """A step in a few words."""
    shares = [f"{name} {metrics[name]:.2f}" for name in ("reward", "accuracy", "format") if metrics[name] is not None]
    return ", ".join([*shares, f"{metrics['kept']} of {metrics['groups']} groups kept"])


class Log:
    """``metrics.jsonl`` and ``rollouts.jsonl``, written step by step by rank 0."""

    def __init__(self, out: Path, step: int):
        self._metrics = open_log(out / METRICS, step)
        self._rollouts = open_log(out / ROLLOUTS, step)

    def write(self, metrics: Metrics, collected: RolloutBatch) -> None:
        self._metrics.write(metrics)
        for group in collected.groups[:SHOWN]:
            self._rollouts.write(rollout_record(group[0], metrics["step"]))

    def close(self) -> None:
        self._metrics.close()
        self._rollouts.close()
