"""Supervised fine-tuning (paper, section 3.3): one visible loop.

    L = - (1 / sum_i 1[x_i is the policy's]) sum_i 1[x_i is the policy's] log pi(x_i | x_<i)

The sums run over the *global* batch, all ranks and micro-batches together, so the loss and its gradient are the same
for any number of ranks and any split.
"""

import math
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import nn

from webdancer_cli.options.config import SftOptions
from webdancer_cli.training.batches import Example, shuffled
from webdancer_cli.training.distributed import ProcessGroup
from webdancer_cli.training.layout import Batch, Layout
from webdancer_cli.training.measures import GradientWatch, flops, mfu, peak_memory_gb
from webdancer_cli.training.optimizer import COSINE_FLOOR, lr_factor, optimizer_step
from webdancer_cli.training.run import TrainingRun, begin
from webdancer_cli.training.run_log import METRICS, open_log
from webdancer_cli.training.setup import TrainingSetup
from webdancer_cli.training.time_budget import out_of_time, steps_in_time
from webdancer_cli.training.tracking import Tracked
from webdancer_cli.training.trainable import Trainable

Line = dict[str, Any]


@dataclass(frozen=True)
class SftUpdate:
    """What one optimizer step did, over all ranks."""

    loss: float
    """Mean negative log-prob of the trainable tokens, before the step."""
    grad_norm: float
    """Global norm of the gradient, before clipping."""


def train_sft(
    options: SftOptions,
    examples: Sequence[Sequence[Example]],
    setup: TrainingSetup,
    about: dict[str, Any],
    held_out: Sequence[Example] = (),
) -> None:
    """Train on ``examples``, those of a trajectory together.

    Into ``setup.out`` go ``metrics.jsonl`` line by line, and checkpoints with ``about``.
    """
    run = begin(options, setup, about)
    with closing(run.saver):
        take_steps(run, options, examples, setup, about, held_out)


def take_steps(
    run: TrainingRun,
    options: SftOptions,
    examples: Sequence[Sequence[Example]],
    setup: TrainingSetup,
    about: dict[str, Any],
    held_out: Sequence[Example],
) -> None:
    """The loop: from where the run was to its last step."""
    world = setup.world
    tracked = Tracked(options.track if world.is_main else "none", setup.out, about, setup.say)
    state, scorer = run.state, run.trainable.scorer
    steps = total_steps(options, len(examples))
    batch_size = min(options.batch_size, len(examples))
    metrics = open_log(setup.out / METRICS, state.step) if world.is_main else None
    gradients = GradientWatch()
    for indices in islice(shuffled(len(examples), batch_size, steps, options.seed), state.step, None):
        started = time.perf_counter()
        state.step += 1
        expected = steps_in_time(steps, options.minutes, state.step - 1, state.seconds, world)
        lr = options.peak_lr * lr_factor(state.step, expected, round(options.warmup * expected), COSINE_FLOOR)
        rows = [example for index in indices for example in examples[index]]
        lengths, loss_tokens = [len(row.ids) for row in rows], sum(row.loss_tokens for row in rows)
        plan = run.layout.plan(rows, world.size)
        batches = (batch for _, batch in run.layout.batches(rows, plan, world.rank))
        update = train_step(scorer, state.optimizer, batches, loss_tokens, lr, options.max_grad_norm, world)
        seconds = time.perf_counter() - started
        state.seconds += seconds
        last = state.step == steps or out_of_time(options.minutes, state.seconds, world)
        speed = plan.tokens / seconds
        if setup.progress:
            setup.progress.step(state.step, steps, f"loss {update.loss:.4f}, {speed:,.0f} tokens/s")
        if warning := gradients.warning(update.grad_norm):
            setup.say(f"step {state.step}: {warning}")
        line: Line = {"step": state.step, "loss": update.loss, "tokens": loss_tokens, "lr": lr}
        line |= {"grad_norm": update.grad_norm, "tokens_per_second": round(speed, 1)}
        line |= {"epoch": round(state.step * batch_size / len(examples), 4)}
        line |= {"loss_share": round(loss_tokens / plan.tokens, 4), **plan.metrics()}
        line |= {"peak_memory_gb": round(max(world.gather(peak_memory_gb(world.device))), 3)}
        if used := mfu(flops(setup.plain, lengths), seconds, world.size, world.device):
            line["mfu"] = round(used, 4)
        if held_out and (last or is_measured(options, state.step)):
            line["held_out_loss"] = loss = held_out_loss(run.trainable, held_out, run.layout, world)
            if options.keep_best:
                run.saver.keep_best(state, loss, line)
        if last:
            line |= run.saver.finish(state, line)
        elif run.saver.is_due(state.step, steps):
            line |= run.saver.write(state, line)
        if metrics:
            metrics.write(line)
        tracked.log(line)
        run.saver.commit(wait=not options.async_save)
        if last:
            break
    if state.step < steps:
        setup.say(f"{options.minutes:g} minutes are over: ended after step {state.step} of {steps}")
    if metrics:
        metrics.close()
    tracked.close()
    run.saver.commit_result(best=options.keep_best)


def is_measured(options: SftOptions, step: int) -> bool:
    """Whether the loss of ``eval_data`` is to be found after this step, though it is not the last one."""
    return bool(options.eval_every and step % options.eval_every == 0)


def held_out_loss(trainable: Trainable, rows: Sequence[Example], layout: Layout, world: ProcessGroup) -> float:
    """Mean negative log-prob of the trainable tokens of rows that are not trained on, over all ranks."""
    total = 0.0
    with trainable.measuring():
        for _, batch in layout.batches(rows, layout.plan(rows, world.size), world.rank):
            total -= float(trainable.scorer(batch).sum())
    return world.total(total)[0] / sum(row.loss_tokens for row in rows)


def train_step(
    scorer: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Batch],
    loss_tokens: int,
    lr: float,
    max_grad_norm: float,
    world: ProcessGroup,
) -> SftUpdate:
    """One update from this rank's micro-batches; ``loss_tokens`` counts the trainable tokens of the global batch.

    Raises Diverged, before the weights are touched, when the loss or its gradient is not finite.
    """
    total = torch.zeros((), dtype=torch.float64, device=world.device)
    for batch in batches:
        loss = -scorer(batch).sum() / loss_tokens
        # FSDP averages gradients over the ranks, but each rank's loss is already its part of the global mean.
        (loss * world.size).backward()
        total += loss.detach()
    mean = world.total(float(total))[0]
    return SftUpdate(mean, optimizer_step(scorer, optimizer, mean, lr, max_grad_norm))


def total_steps(options: SftOptions, examples: int) -> int:
    """``steps`` if given, else as many as ``epochs`` passes over so many trajectories take."""
    if options.steps is not None:
        return options.steps
    return max(1, math.ceil(options.epochs * examples / min(options.batch_size, examples)))
