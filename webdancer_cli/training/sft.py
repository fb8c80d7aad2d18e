"""Supervised fine-tuning (paper, section 3.3): one visible loop.

    L = - (1 / sum_i 1[x_i is the policy's]) sum_i 1[x_i is the policy's] log pi(x_i | x_<i)

The sums run over the *global* batch, all ranks and micro-batches together, so the loss and its gradient are the same
for any number of ranks and any split.
"""

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import nn

from webdancer_cli.options.config import SftOptions
from webdancer_cli.training.batches import Batch, Example, pad, plan, shuffled
from webdancer_cli.training.checkpoint import STATE
from webdancer_cli.training.checkpoint_writer import CheckpointWriter
from webdancer_cli.training.distributed import ProcessGroup
from webdancer_cli.training.logprobs import check_head
from webdancer_cli.training.models import slow_dtype
from webdancer_cli.training.optimizer import COSINE_FLOOR, adamw, lr_factor, optimizer_step
from webdancer_cli.training.run_log import METRICS, open_log
from webdancer_cli.training.saving import RunSaver
from webdancer_cli.training.setup import TrainingSetup
from webdancer_cli.training.state import TrainingState, seed_everything
from webdancer_cli.training.trainable import open_trainable


@dataclass(frozen=True)
class SftUpdate:
    """What one optimizer step did, over all ranks."""

    loss: float
    """Mean negative log-prob of the trainable tokens, before the step."""
    grad_norm: float
    """Global norm of the gradient, before clipping."""


def train_sft(
    options: SftOptions,
    examples: Sequence[Example],
    setup: TrainingSetup,
    about: dict[str, Any],
) -> None:
    """Train on ``examples``; into ``setup.out`` go ``metrics.jsonl`` line by line, and checkpoints with ``about``."""
    world = setup.world
    for seen in setup.seen:
        setup.say(seen)
    opened = open_trainable(setup.plain, setup.tokenizer, options, world)
    model, scorer, compute = opened.model, opened.scorer, opened.compute
    if warning := slow_dtype(compute, world.device):
        setup.say(warning)
    if opened.grown:
        setup.say(f"the embedding has {opened.grown} rows now: the tokenizer has tokens that the model had none for")
    opened.within_forward(lambda: check_head(model))
    writer = CheckpointWriter(setup, about, compute)
    writer.try_out(model)
    seed_everything(f"{options.seed}:{world.rank}")
    state = TrainingState(scorer, adamw(scorer, options.peak_lr, options.weight_decay))
    if setup.resumed:
        state.restore(setup.resumed / STATE, world, options.seed)
    saver = RunSaver(options, writer)
    steps = total_steps(options, len(examples))
    batch_size = min(options.batch_size, len(examples))
    metrics = open_log(setup.out / METRICS, state.step) if world.is_main else None
    for indices in islice(shuffled(len(examples), batch_size, steps, options.seed), state.step, None):
        started = time.perf_counter()
        state.step += 1
        lr = options.peak_lr * lr_factor(state.step, steps, round(options.warmup * steps), COSINE_FLOOR)
        rows = [examples[index] for index in indices]
        loss_tokens = sum(row.loss_tokens for row in rows)
        shares = plan([len(row.ids) for row in rows], options.micro_tokens, world.size)[world.rank]
        batches = (pad([rows[index] for index in share], world.device) for share in shares)
        update = train_step(scorer, state.optimizer, batches, loss_tokens, lr, options.max_grad_norm, world)
        seconds = time.perf_counter() - started
        state.seconds += seconds
        speed = sum(len(row.ids) for row in rows) / seconds
        if setup.progress:
            setup.progress.step(state.step, steps, f"loss {update.loss:.4f}, {speed:,.0f} tokens/s")
        saved: dict[str, float] = {}
        if state.step == steps:
            saved = saver.finish(state, model)
        elif saver.is_due(state.step, steps):
            saved = saver.write(state, model)
        if metrics:
            epoch = round(state.step * batch_size / len(examples), 4)
            line = {"step": state.step, "loss": update.loss, "tokens": loss_tokens, "lr": lr}
            line |= {"grad_norm": update.grad_norm, "tokens_per_second": round(speed, 1), "epoch": epoch}
            metrics.write({**line, **saved})
        saver.commit(wait=not options.async_save)
    if metrics:
        metrics.close()
    saver.commit_result()


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
    total = torch.zeros((), dtype=torch.float64)
    for batch in batches:
        loss = -scorer(batch.ids_BT, batch.trainable_BT).sum() / loss_tokens
        # FSDP averages gradients over the ranks, but each rank's loss is already its part of the global mean.
        (loss * world.size).backward()
        total += loss.detach().cpu()
    mean = world.total(float(total))[0]
    return SftUpdate(mean, optimizer_step(scorer, optimizer, mean, lr, max_grad_norm))


def total_steps(options: SftOptions, examples: int) -> int:
    """``steps`` if given, else as many as ``epochs`` passes take."""
    if options.steps is not None:
        return options.steps
    return max(1, math.ceil(options.epochs * examples / min(options.batch_size, examples)))
