"""Tokens/s, MFU and peak memory of SFT, step by step through the functions that ``webdancer sft`` is made of.

Of the ways to keep or compute again what the backward pass needs, the one that keeps most and fits by the project's own
estimate is taken; where that runs out of memory, the next one.
"""

from typing import Any

import torch
from measuring import arguments, capacity_bytes, device, first_that_fits, forget_peak, now, peak_gb, speed
from results import Results
from shapes import LORA_RANK, Case, cases, checkpoint, micro_tokens, operations, random_rows, rows_of_step

from webdancer_cli.options.config import SftOptions
from webdancer_cli.training.batches import Example
from webdancer_cli.training.distributed import ProcessGroup
from webdancer_cli.training.layout import Layout
from webdancer_cli.training.layout_check import choose_layout
from webdancer_cli.training.logprobs import unwrap
from webdancer_cli.training.memory import activations, estimate
from webdancer_cli.training.models import ModelDescription, describe, load_tokenizer
from webdancer_cli.training.optimizer import adamw
from webdancer_cli.training.recompute import recompute_activations
from webdancer_cli.training.renderer import Tokens
from webdancer_cli.training.sft import train_step
from webdancer_cli.training.trainable import Trainable, open_trainable

WARM_UP, TIMED = 1, 3
TIMED_SECONDS = 8.0
"""After so long no further step is timed."""

WAYS = ("none", "light", "selective", "full")
ROOM = 0.97
"""Share of the memory that an estimate may come to."""
HOPELESS = 1.3
"""Share of the memory at which not even the most sparing way is tried."""


def main() -> None:
    options, results = arguments()
    folder = str(checkpoint(options.shape, options.work))
    plain = describe(folder)
    chosen = cases(options.cases, options.shape, options.rehearse)
    for weights in dict.fromkeys(case.weights for case, _ in chosen):
        measure_all(plain, options.shape, [given for given in chosen if given[0].weights == weights], results)
        forget_peak()


def measure_all(plain: ModelDescription, shape: str, chosen: list[tuple[Case, int]], results: Results) -> None:
    """The cases in which the same weights are trained, with one model."""
    first = chosen[0][0]
    rank, micro = LORA_RANK if first.weights == "lora" else 0, micro_tokens(shape, first)
    options = SftOptions(model=plain.source.name, lora_rank=rank, micro_tokens=micro, dtype="bfloat16")
    world = ProcessGroup(device=device())
    with results.figures(f"open-{first.weights}") as figures:
        began = now()
        trainable = open_trainable(plain, load_tokenizer(plain.source.name), options, world)
        figures["seconds"] = round(now() - began, 2)
        with trainable.measuring():
            layout = choose_layout(trainable.scorer, options, world.device, lambda line: figures.update(layout=line))
        forget_peak()
        figures["held_gb"] = peak_gb()
    if "failed" in figures:
        return
    for case, length in chosen:
        if results.remaining_seconds <= 0:
            results.add(case.name, skipped="no time left")
            continue
        with results.figures(case.name) as figures:
            measure(figures, plain, options, trainable, layout, world, shape, case, length)


def measure(
    figures: dict[str, Any],
    plain: ModelDescription,
    options: SftOptions,
    trainable: Trainable,
    layout: Layout,
    world: ProcessGroup,
    shape: str,
    case: Case,
    length: int,
) -> None:
    """One case, in the first way that fits."""
    rows = [
        Example.of(Tokens(ids, bears))
        for ids, bears in random_rows(rows_of_step(shape, length), length, plain.rows, seed=1)
    ]
    figures.update(row_tokens=length, rows=len(rows), loss_tokens=sum(row.loss_tokens for row in rows))
    estimates = estimated_gb(plain, options, max(length, min(layout.micro_tokens, length * len(rows))))
    figures["estimated_gb"] = estimates
    figures["capacity_gb"] = capacity = round(capacity_bytes() / 1e9, 2)
    fitting = [way for way in WAYS if estimates[way] <= ROOM * capacity] or [WAYS[-1]]
    if estimates[WAYS[-1]] > HOPELESS * capacity:
        figures["skipped"] = f"would need {estimates[WAYS[-1]]} GB of {capacity}"
        return

    def take(way: str) -> list[float]:
        try:
            return take_steps(figures, trainable, layout, world, rows, way, plain.parameters)
        finally:
            trainable.scorer.zero_grad(set_to_none=True)

    if seconds := first_that_fits(figures, fitting, take):
        work = operations(shape, case, length, len(rows), figures["loss_tokens"])
        figures.update(speed(length * len(rows), work, seconds))


def take_steps(
    figures: dict[str, Any],
    trainable: Trainable,
    layout: Layout,
    world: ProcessGroup,
    rows: list[Example],
    way: str,
    parameters: int,
) -> list[float]:
    """The seconds of each timed step."""
    bare = unwrap(trainable.model)
    bare.gradient_checkpointing_disable()
    recompute_activations(bare, way, parameters)
    optimizer = adamw(trainable.scorer, 1e-5, 0.0)
    forget_peak()
    losses, seconds = [], []
    for step in range(WARM_UP + TIMED):
        began = now()
        plan = layout.plan(rows)
        batches = (batch for _, batch in layout.batches(rows, plan, 0))
        update = train_step(trainable.scorer, optimizer, batches, figures["loss_tokens"], 1e-5, 1.0, world)
        losses.append(round(update.loss, 4))
        if step >= WARM_UP:
            seconds.append(now() - began)
        if sum(seconds) > TIMED_SECONDS:
            break
    figures.update(losses=losses, peak_gb=peak_gb(), micro_batches=len(plan.shares[0]))
    return seconds


def estimated_gb(plain: ModelDescription, options: SftOptions, tokens: int) -> dict[str, float]:
    """What ``--dry-run`` would say, for each way."""
    found = estimate(plain, options, tokens, 1, device().type)
    kept = activations(plain.model, tokens, torch.bfloat16)
    return {way: round((found.total - found.activations + kept.kept(way)) / 1e9, 2) for way in WAYS}


if __name__ == "__main__":
    main()
