"""Whether a model can be opened here, and whether it and its training have room. Imports torch."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from webdancer_cli.doctor.findings import Finding, good, wrong
from webdancer_cli.doctor.machine import GB, LEAST_FREE_BYTES, available_bytes, room
from webdancer_cli.options import config
from webdancer_cli.training import devices
from webdancer_cli.training.checkpoint import check_output
from webdancer_cli.training.engines import engine_bytes, rollout_engine_bytes
from webdancer_cli.training.memory import FLOAT32_BYTES, MOMENTS, adapter_parameters, estimate
from webdancer_cli.training.model_source import locate
from webdancer_cli.training.models import ModelDescription, describe, load_tokenizer, missing_rows, outline
from webdancer_cli.training.precision import arithmetic, slow_dtype
from webdancer_cli.training.renderer import Renderer
from webdancer_cli.training.setup import check_vocabulary, longest

Opened = config.SftOptions | config.RlOptions | config.SampleOptions | config.EvalOptions
"""Options of the stages that open a model themselves."""


@dataclass(frozen=True)
class Place:
    """Where a model is computed, and how much memory one process has there."""

    device: str
    bytes: float
    shown: str


def look_at_model(options: Opened) -> Iterator[Finding]:
    """From its configuration to its tokenizer. Raises UsageError for the first thing that the stage would refuse."""
    if isinstance(options, config.TrainingOptions):
        check_output(options.out, options.model, resume=options.resume)
    plain, place = outline(options.model), _place()
    yield good("model", f"{options.model}: {type(plain.model).__name__}, {plain.parameters:,} parameters")
    yield memory(options, plain, place)
    yield from _processor(options, plain, place)
    if isinstance(options, config.TrainingOptions):
        yield room(options.out, checkpoint_bytes(options, plain), is_folder=True)
    tokenizer = load_tokenizer(options.model)
    yield good("tokenizer", f"turns as in {Renderer(tokenizer).template.name}")
    if Path(locate(options.model).name).is_dir():
        plain = describe(options.model)  # of a hub name this would fetch the weights
        yield good("weights", "are as the configuration says")
    if isinstance(options, config.TrainingOptions):
        check_vocabulary(options, plain, tokenizer)
        longest(options, plain)
    elif missing := missing_rows(plain, tokenizer):
        told = f"{missing} tokens of its tokenizer have no embedding"
        yield wrong("weights", f"{options.model}: {told}: train it with `webdancer sft` first")


def look_at_devices() -> Iterator[Finding]:
    """What torch computes on; that it can be imported at all is found by the way."""
    yield good("torch", f"computes on {_place().shown}")


def _place() -> Place:
    """A GPU with what is free on it, or the CPU with this process's share of what its ranks can have."""
    if gpus := devices.gpus():
        least = min(gpus, key=lambda gpu: gpu.free_bytes)
        return Place("cuda", least.free_bytes, f"{len(gpus)} x {least.name}, {least.free_bytes / GB:.1f} GB free")
    ranks = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return Place("cpu", available_bytes() / ranks, f"the CPU, {available_bytes() / GB:.1f} GB free")


def memory(options: Opened, plain: ModelDescription, place: Place) -> Finding:
    """Whether one process has room for what it will hold."""
    needed = needed_bytes(options, plain, place.device)
    told = f"about {needed / GB:.2f} GB needed in each process; on {place.shown}"
    if needed <= place.bytes:
        return good("room", told)
    remedy = "take a smaller model, or fewer --jobs or --max-context-tokens"
    if isinstance(options, config.TrainingOptions):
        remedy = "take --lora-rank 32, --checkpointing full, fewer --micro-tokens, more ranks, or a smaller model"
    return wrong("room", f"{options.model}: {told}: {remedy}")


def needed_bytes(options: Opened, plain: ModelDescription, device: str) -> float:
    """Memory of one process, as ``--dry-run`` tells it."""
    ranks = int(os.environ.get("WORLD_SIZE", 1))
    if isinstance(options, config.SftOptions):
        return estimate(plain, options, max(options.micro_tokens, options.max_length or 0), ranks, device).total
    if isinstance(options, config.RlOptions):
        engine = rollout_engine_bytes(options, plain, ranks, device)
        tokens = max(options.micro_tokens, options.max_context_tokens)
        return estimate(plain, options, tokens, ranks, device, engine).total
    length = options.max_context_tokens
    return engine_bytes(plain, max_length=length, rows=options.jobs, dtype="auto", device=device)


def _processor(options: Opened, plain: ModelDescription, place: Place) -> Iterator[Finding]:
    dtype = options.dtype if isinstance(options, config.TrainingOptions) else "auto"
    compute = arithmetic(plain.parameters, dtype, place.device)
    if warning := slow_dtype(compute, place.device):
        yield wrong("dtype", warning)
    else:
        yield good("dtype", str(compute).removeprefix("torch."))


def checkpoint_bytes(options: config.TrainingOptions, plain: ModelDescription) -> float:
    """What a run leaves in ``out``: weights in the dtype of their file for each checkpoint that is kept, and the states
    of the last ones."""
    weights = sum(tensor.numel() * tensor.element_size() for tensor in plain.model.parameters())
    trained = adapter_parameters(plain.model, options.lora_rank) or plain.parameters
    states = options.keep if options.save_every else 0
    return LEAST_FREE_BYTES + weights * (1 + states) + states * (1 + MOMENTS) * FLOAT32_BYTES * trained
