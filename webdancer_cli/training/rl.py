"""Reinforcement learning with DAPO (paper, section 3.4): one visible loop.

    J = (1 / sum_i |o_i|) sum_i sum_t min(r_it A_i, clip(r_it, 1 - e_low, 1 + e_high) A_i),   A_i = (R_i - mean) / std

o_i are the policy's own tokens only, R = 0.1 format + 0.9 answer (+ overlong punishment), r_it compares the policy that
is trained with the one that sampled. There is no KL term, unless ``kl`` asks for one.

Choices where paper and DAPO are silent, or differ from here:
1. A refill round of dynamic sampling takes as many fresh questions as the share of learnable groups so far suggests, at
   most ``questions``. All learnable groups are trained on; none is thrown away because a step has enough. At
   ``max_rounds`` the step goes on with what there is, and without any it is skipped.
2. The overlong punishment counts all tokens of the episode, observations too, since they fill up the context; with
   ``overlong_counts`` "own" those that the policy wrote.
3. Episodes that the machinery ended (model or time), and answers that the judge could not judge, are left out of their
   group: neither its mean nor its deviation knows them.
4. Old log-probs are those of the engine that sampled, never computed again; ``kl`` and ``ratio_max`` of a first update
   show how far engine and trainer disagree.
5. With ``max_staleness`` 1 the next batch is played while this one is trained on, by weights that are one step older.
   Then old log-probs are the trainer's own when the step begins, and each token counts min(p_old / p_sampled, 2) times
   (truncated importance sampling).
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from webdancer_cli.data.records import QA
from webdancer_cli.errors import WebdancerError
from webdancer_cli.options.config import RlOptions
from webdancer_cli.training.canary import Canary
from webdancer_cli.training.checkpoint import newest_state
from webdancer_cli.training.dapo import LossSums, reference_penalty, surrogate
from webdancer_cli.training.distributed import ProcessGroup
from webdancer_cli.training.engine import Engine
from webdancer_cli.training.held_out import HeldOutEvaluation
from webdancer_cli.training.layout import Batch, Layout
from webdancer_cli.training.measures import peak_memory_gb
from webdancer_cli.training.optimizer import lr_factor, optimizer_step
from webdancer_cli.training.question_stream import QuestionStream
from webdancer_cli.training.reference import Reference, open_reference
from webdancer_cli.training.rl_metrics import (
    Log,
    Metrics,
    PolicyUpdate,
    note,
    rollout_metrics,
    speed_metrics,
    update_metrics,
)
from webdancer_cli.training.rollout_batches import RolloutSource, UnjudgedShare
from webdancer_cli.training.rollout_loop import RolloutLoop
from webdancer_cli.training.rollouts import Group, RolloutCollector, TrainingSample, training_samples
from webdancer_cli.training.run import TrainingRun, begin
from webdancer_cli.training.setup import TrainingSetup
from webdancer_cli.training.time_budget import out_of_time
from webdancer_cli.training.tracking import Tracked
from webdancer_cli.training.watchdog import Watchdog
from webdancer_cli.training.weight_sync import sync_weights

STUCK = "stuck.log"
"""What every thread was at when the watchdog ended the run."""
PAUSE = "servers that give back the memory of their GPUs"
SYNC = "the new weights on their way to those who play"


def train_rl(
    options: RlOptions,
    stream: QuestionStream,
    collector: RolloutCollector,
    engine: Engine,
    setup: TrainingSetup,
    about: dict[str, Any],
    held_out_questions: Sequence[QA] = (),
) -> str:
    """Train on the questions of ``stream``, played in ``collector`` through ``engine``; why it ended early, if it did.

    Writes metrics and some rollouts as it goes, and checkpoints with ``about`` in them, into ``setup.out``.
    """
    world = setup.world
    tracked = Tracked(options.track if world.is_main else "none", setup.out, about, setup.say)
    with played(collector, engine, RolloutLoop(world.device)) as loop:
        run = begin(options, setup, about, stream, deterministic=True)
        state = run.state
        canary = Canary.of(setup.renderer, engine.max_length, run.trainable.compute, options.canary_gap)
        watchdog = Watchdog(setup.out / STUCK, collector.under_way, lambda: newest_state(setup.out) is not None)
        source = RolloutSource(loop, collector, engine, stream, options, world, watchdog)
        held_out = HeldOutEvaluation(held_out_questions, options, setup, run, loop, collector, watchdog, tracked)
        same = not (options.rest or options.curriculum)
        log = Log(setup.out, state.step, setup.say, same_questions=same) if world.is_main else None
        unjudged = UnjudgedShare(options.max_unjudged)
        reference = open_reference(options, setup, run)
        stopped = ""
        metrics: Metrics = {}

        def sync(step: int) -> Metrics:
            with saved_before_the_end(run, metrics, world), watchdog.watching(SYNC, options.step_seconds):
                return sync_weights(loop, engine, run, canary, step, world)

        with closing(run.saver), closing(source):
            while state.step < options.steps and not out_of_time(options.minutes, state.seconds, world) and not stopped:
                started = time.perf_counter()
                step = state.step + 1
                ahead = source.finish(step)
                synced = sync(step)
                has_weights = time.perf_counter()
                if held_out.is_due():
                    held_out.evaluate()
                elsewhere = synced["seconds_sync"] + time.perf_counter() - has_weights
                collected = ahead or source.play(step)
                if not options.max_staleness:
                    with saved_before_the_end(run, metrics, world), watchdog.watching(PAUSE, options.step_seconds):
                        loop.run(engine.pause())
                state.step = step
                stream.let_go()
                stopped = collected.why_to_stop or unjudged.why_to_stop(collected)
                if options.max_staleness and step < options.steps and not stopped:
                    source.begin(step + 1)
                sampled = time.perf_counter()
                lr = options.peak_lr * lr_factor(step, options.steps, options.warmup_steps)
                staleness = engine.version - collected.version
                updates = learn_from(collected.trained_on, run, lr, options, world, reference, stale=staleness > 0)
                trained = time.perf_counter()
                state.seconds += trained - started
                metrics = {"step": step, **rollout_metrics(collected), **update_metrics(updates), "lr": lr}
                metrics |= {"staleness": staleness}
                if setup.progress:
                    setup.progress.step(step, options.steps, note(metrics))
                metrics |= synced | speed_metrics(
                    metrics,
                    waited=sampled - started - elsewhere,
                    trained=trained - sampled,
                    elapsed=trained - started,
                    sync=synced["seconds_sync"],
                )
                metrics |= {"peak_memory_gb": round(max(world.gather(peak_memory_gb(world.device))), 3)}
                if run.saver.is_due(step, options.steps):
                    metrics |= run.saver.write(state, metrics)
                if log:
                    log.write(metrics, collected)
                tracked.log(metrics)
                run.saver.commit(wait=not options.async_save)
            if held_out.is_wanted() and not stopped:
                source.finish(state.step + 1)  # begun before time was over: nothing may be under way now
                sync(state.step + 1)
                metrics |= held_out.evaluate()
    if log:
        log.close()
    held_out.close()
    tracked.close()
    run.saver.finish(state, metrics)
    run.saver.commit_result(best=options.keep_best and state.best_loss is not None)
    return stopped


@contextmanager
def played(collector: RolloutCollector, engine: Engine, loop: RolloutLoop) -> Iterator[RolloutLoop]:
    """Close both in the event loop in which the episodes are played, and then that."""
    try:
        yield loop
    finally:
        try:
            loop.run(collector.aclose())
        finally:
            loop.run(engine.aclose())
            loop.close()


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


def learn_from(
    groups: Sequence[Group],
    run: TrainingRun,
    lr: float,
    options: RlOptions,
    world: ProcessGroup,
    reference: Reference | None,
    *,
    stale: bool,
) -> list[PolicyUpdate]:
    """The updates of a step, one for each minibatch of its groups; none without groups."""
    batches = minibatches(groups, options)
    if stale and len(batches) > 1:
        batches = scored_before_the_updates(run, batches, options, world)
    scorer, optimizer, layout = run.trainable.scorer, run.state.optimizer, run.layout
    return [
        update_policy(scorer, optimizer, batch, lr, options, layout, world, stale=stale, reference=reference)
        for batch in batches
    ]


def minibatches(groups: Sequence[Group], options: RlOptions) -> list[list[TrainingSample]]:
    """The samples of these groups, whole groups together, in at most ``minibatches`` parts; none without groups."""
    count = min(options.minibatches, len(groups))
    parts = [groups[first::count] for first in range(count)]
    return [[sample for group in part for sample in training_samples(group, options.loss_mean)] for part in parts]


def update_policy(
    scorer: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Sequence[TrainingSample],
    lr: float,
    options: RlOptions,
    layout: Layout,
    world: ProcessGroup,
    *,
    stale: bool = False,
    reference: Reference | None = None,
) -> PolicyUpdate:
    """One update from the global batch, of which every rank takes its share.

    The mean runs over the tokens of the whole batch, or over its episodes (``loss_mean``), so neither the ranks nor
    the split into micro-batches change the update.
    ``stale``: it was played with older weights than those that this step began with. ``reference``: near whom the
    policy is held.
    """
    whole = sum(training_sample.weight * len(training_sample.logprobs) for training_sample in batch)
    loss, sums = 0.0, LossSums()
    rows = [training_sample.tokens for training_sample in batch]
    plan = layout.plan(rows, world.size)
    for indices, micro in layout.batches(rows, plan, world.rank):
        samples = [batch[index] for index in indices]
        part_loss, part_sums = part_of_loss(scorer, micro, samples, options, stale=stale, reference=reference)
        # FSDP averages gradients over the ranks, but each rank's loss is already its part of the global mean.
        (part_loss / whole * world.size).backward()
        loss += float(part_loss.detach()) / whole
        sums += part_sums
    mean_loss = world.total(loss)[0]
    norm = optimizer_step(scorer, optimizer, mean_loss, lr, options.max_grad_norm)
    return PolicyUpdate(mean_loss, norm, sum(world.gather(sums), LossSums()), plan)


def part_of_loss(
    scorer: nn.Module,
    micro: Batch,
    rows: Sequence[TrainingSample],
    options: RlOptions,
    *,
    stale: bool = False,
    reference: Reference | None = None,
) -> tuple[Tensor, LossSums]:
    """The summed loss of a micro-batch, with its graph; ``rows`` are what it was made of."""
    reference_N = reference.logprobs(micro, options.temperature) if reference else None
    new_N = scorer(micro, options.temperature)
    loss, sums = surrogate_of_rows(new_N, rows, options, stale=stale)
    if reference_N is not None:
        penalty_N = reference_penalty(new_N, reference_N)
        loss = loss + options.kl * (weights_of(rows, new_N.device) * penalty_N).sum()
        sums.reference_kl = float(penalty_N.detach().sum())
    return loss, sums


def surrogate_of_rows(
    new_N: Tensor, rows: Sequence[TrainingSample], options: RlOptions, *, stale: bool
) -> tuple[Tensor, LossSums]:
    """The clipped loss of these rows, whose tokens have the log-probs ``new_N`` now."""
    device = new_N.device
    sampled_N = torch.tensor([logprob for row in rows for logprob in row.logprobs], device=device)
    advantages_N = torch.tensor([row.advantage for row in rows for _ in row.logprobs], device=device)
    advantages_N *= weights_of(rows, device)  # both arms of the clip's minimum grow by a weight, so it is its factor
    loss = partial(surrogate, clip_low=options.clip_low, clip_high=options.clip_high)
    if not stale:
        return loss(new_N, sampled_N, advantages_N)
    scored = [row.before_updates for row in rows]
    old = [logprob for each in scored if each is not None for logprob in each]
    old_N = torch.tensor(old, device=device) if old else new_N.detach()
    return loss(new_N, old_N, advantages_N, sampled_N=sampled_N)


def weights_of(rows: Sequence[TrainingSample], device: torch.device) -> Tensor:
    """How much each trainable token of these rows counts in the mean."""
    return torch.tensor([row.weight for row in rows for _ in row.logprobs], device=device)


def scored_before_the_updates(
    run: TrainingRun, batches: Sequence[Sequence[TrainingSample]], options: RlOptions, world: ProcessGroup
) -> list[list[TrainingSample]]:
    """The same samples, with their log-probs under the weights that the step begins with."""
    rows = [sample.tokens for batch in batches for sample in batch]
    plan = run.layout.plan(rows, world.size)
    mine: dict[int, list[float]] = {}
    with run.trainable.measuring():
        for indices, micro in run.layout.batches(rows, plan, world.rank):
            logprobs = run.trainable.scorer(micro, options.temperature).tolist()
            for index in indices:
                count = sum(rows[index].trainable[1:])
                mine[index], logprobs = logprobs[:count], logprobs[count:]
    scored = {index: logprobs for part in world.gather(mine) for index, logprobs in part.items()}
    numbers = iter(range(len(rows)))
    return [[replace(sample, before_updates=scored[next(numbers)]) for sample in batch] for batch in batches]
