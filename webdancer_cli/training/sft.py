"""Supervised fine-tuning (paper, section 3.3): one visible loop.

    L = - (1 / sum_i 1[x_i is the policy's]) sum_i 1[x_i is the policy's] log pi(x_i | x_<i)

The sums run over the *global* batch, all ranks and micro-batches together, so the loss and its gradient are the same
for any number of ranks and any split.
"""

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from webdancer_cli.data.jsonl import LineWriter
from webdancer_cli.options.config import SftOptions
from webdancer_cli.training.batches import Batch, Example, pad, plan, shuffled
from webdancer_cli.training.checkpoint import METRICS
from webdancer_cli.training.checkpoint_writer import CheckpointWriter
from webdancer_cli.training.distributed import ProcessGroup, shard
from webdancer_cli.training.logprobs import Scorer, check_head, unwrap
from webdancer_cli.training.models import grow_embedding, load_trainable, slow_dtype
from webdancer_cli.training.optimizer import COSINE_FLOOR, adamw, lr_factor, optimizer_step
from webdancer_cli.training.setup import TrainingSetup


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
    world, out = setup.world, setup.out
    for seen in setup.seen:
        setup.say(seen)
    model, compute = load_trainable(setup.plain, options.dtype, options.lora_rank, world.device, options.seed)
    if warning := slow_dtype(compute, world.device):
        setup.say(warning)
    if grown := grow_embedding(unwrap(model), setup.plain, setup.tokenizer):
        setup.say(f"the embedding has {grown} rows now: the tokenizer has tokens that the model had none for")
    check_head(model)
    checkpoints = CheckpointWriter(setup, about, compute)
    checkpoints.try_out(model)
    scorer = Scorer(model, compute)
    shard(scorer, set(unwrap(model)._no_split_modules or ()), world)
    optimizer = adamw(scorer, options.peak_lr, options.weight_decay)
    steps = total_steps(options, len(examples))
    batch_size = min(options.batch_size, len(examples))
    metrics = LineWriter(str(out / METRICS)) if world.is_main else None
    for step, indices in enumerate(shuffled(len(examples), batch_size, steps, options.seed), 1):
        started = time.perf_counter()
        lr = options.peak_lr * lr_factor(step, steps, round(options.warmup * steps), COSINE_FLOOR)
        rows = [examples[index] for index in indices]
        loss_tokens = sum(row.loss_tokens for row in rows)
        shares = plan([len(row.ids) for row in rows], options.micro_tokens, world.size)[world.rank]
        batches = (pad([rows[index] for index in share], world.device) for share in shares)
        update = train_step(scorer, optimizer, batches, loss_tokens, lr, options.max_grad_norm, world)
        speed = sum(len(row.ids) for row in rows) / (time.perf_counter() - started)
        if setup.progress:
            setup.progress.step(step, steps, f"loss {update.loss:.4f}, {speed:,.0f} tokens/s")
        saved: dict[str, float] = {}
        if step == steps:
            saved = checkpoints.save(out, model, step)
        elif options.save_every and step % options.save_every == 0:
            saved = checkpoints.save(out / f"step-{step}", model, step)
        if metrics:
            epoch = round(step * batch_size / len(examples), 4)
            line = {"step": step, "loss": update.loss, "tokens": loss_tokens, "lr": lr, "grad_norm": update.grad_norm}
            metrics.write({**line, "tokens_per_second": round(speed, 1), "epoch": epoch, **saved})
    if metrics:
        metrics.close()


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
