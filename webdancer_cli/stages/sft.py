"""``webdancer sft``: trajectories in, a Hugging Face checkpoint out."""

import hashlib
from dataclasses import dataclass
from itertools import islice

import msgspec

from webdancer_cli.data.pipeline import Progress, RunStats, Say, say_nothing
from webdancer_cli.data.records import Rejected, to_object
from webdancer_cli.errors import UsageError
from webdancer_cli.options.config import SftOptions
from webdancer_cli.training import checkpoint
from webdancer_cli.training.batches import Example
from webdancer_cli.training.distributed import join_process_group
from webdancer_cli.training.models import check_dtype
from webdancer_cli.training.renderer import Renderer
from webdancer_cli.training.setup import set_up
from webdancer_cli.training.sft import train_sft
from webdancer_cli.transcript.released_format import read_trajectories


@dataclass(frozen=True)
class Dataset:
    """What there is to learn from; ``sha256`` is over the records as read, ``stats`` says what was left out and why."""

    examples: list[Example]
    sha256: str
    stats: RunStats


def run(options: SftOptions, progress: Progress | None = None, *, say: Say = say_nothing) -> RunStats:
    """Fine-tune ``options.model`` on the policy's own turns in ``options.data``; under torchrun too.

    Raises UsageError before any work for a missing or tokenizer-less checkpoint, an ``out`` that cannot be written, and
    data without anything to learn from.
    """
    _check(options)
    with join_process_group() as world:
        setup = set_up(options, world, say, progress)
        dataset = world.from_main(lambda: read_dataset(options, setup.renderer, setup.max_length))
        about = checkpoint.provenance("sft", options, dataset.sha256)
        about["records"] = {**dataset.stats.counts, **dataset.stats.reasons}
        train_sft(options, dataset.examples, setup, about)
    return dataset.stats


def read_dataset(options: SftOptions, renderer: Renderer, max_length: int) -> Dataset:
    """Render the trajectories of ``options.data``: this toolkit's records, or the authors' ChatML lines.

    Left out and counted: lines that cannot be read, trajectories longer than ``max_length`` tokens, and those in which
    the policy says nothing.
    """
    stats = RunStats()
    stats.counts["in"] = 0

    def broken(rejected: Rejected) -> None:
        stats.failed += 1
        stats.reasons[rejected.reason] += 1

    examples: list[Example] = []
    digest = hashlib.sha256()
    for trajectory in islice(read_trajectories(options.data, broken), options.limit):
        stats.counts["in"] += 1
        digest.update(msgspec.json.encode(to_object(trajectory)))
        example = Example.of(renderer.encode(trajectory.messages))
        if len(example.ids) > max_length:
            stats.reasons["too_long"] += 1
        elif not example.loss_tokens:
            stats.reasons["no_assistant_turn"] += 1
        else:
            examples.append(example)
    stats.counts["trained on"] = len(examples)
    if not examples:
        raise UsageError(f"{_named(options.data)}: nothing to learn from: {stats.summary()}")
    return Dataset(examples, digest.hexdigest(), stats)


def _named(data: str) -> str:
    return "stdin" if data == "-" else data


def _check(options: SftOptions) -> None:
    for name in ("batch_size", "micro_tokens", "max_length"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise UsageError(f"--{name.replace('_', '-')} {getattr(options, name)}: must be at least 1")
    if options.steps is not None and options.steps < 1:
        raise UsageError(f"--steps {options.steps}: must be at least 1")
    if options.lora_rank < 0:
        raise UsageError(f"--lora-rank {options.lora_rank}: must be 0 (train all weights) or the rank of the adapters")
    check_dtype(options.dtype)
