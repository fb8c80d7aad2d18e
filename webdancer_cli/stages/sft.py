"""``webdancer sft``: trajectories in, a Hugging Face checkpoint out."""

import hashlib
from dataclasses import dataclass
from itertools import islice

import msgspec

from webdancer_cli.config import Sft
from webdancer_cli.errors import UsageError
from webdancer_cli.flow import Progress, Say, Tally, silent
from webdancer_cli.records import Rejected, to_object
from webdancer_cli.training import checkpoint
from webdancer_cli.training.batches import Example
from webdancer_cli.training.distributed import joined
from webdancer_cli.training.models import check_dtype
from webdancer_cli.training.renderer import Renderer
from webdancer_cli.training.setup import set_up
from webdancer_cli.training.sft import train
from webdancer_cli.upstream import read_trajectories


@dataclass(frozen=True)
class Dataset:
    """What there is to learn from; ``sha256`` is over the records as read, ``tally`` says what was left out and why."""

    examples: list[Example]
    sha256: str
    tally: Tally


def run(options: Sft, progress: Progress | None = None, *, say: Say = silent) -> Tally:
    """Fine-tune ``options.model`` on the policy's own turns in ``options.data``; under torchrun too.

    Raises UsageError before any work for a missing or tokenizer-less checkpoint, an ``out`` that cannot be written, and
    data without anything to learn from.
    """
    _check(options)
    with joined() as world:
        setup = set_up(options, world, say, progress)
        dataset = world.from_main(lambda: read(options, setup.renderer, setup.max_length))
        about = checkpoint.provenance("sft", options, dataset.sha256)
        about["records"] = {**dataset.tally.counts, **dataset.tally.reasons}
        train(options, dataset.examples, setup, about)
    return dataset.tally


def read(options: Sft, renderer: Renderer, max_length: int) -> Dataset:
    """Render the trajectories of ``options.data``: this toolkit's records, or the authors' ChatML lines.

    Left out and counted: lines that cannot be read, trajectories longer than ``max_length`` tokens, and those in which
    the policy says nothing.
    """
    tally = Tally()
    tally.counts["in"] = 0

    def broken(rejected: Rejected) -> None:
        tally.failed += 1
        tally.reasons[rejected.reason] += 1

    examples: list[Example] = []
    digest = hashlib.sha256()
    for trajectory in islice(read_trajectories(options.data, broken), options.limit):
        tally.counts["in"] += 1
        digest.update(msgspec.json.encode(to_object(trajectory)))
        example = Example.of(renderer.encode(trajectory.messages))
        if len(example.ids) > max_length:
            tally.reasons["too_long"] += 1
        elif not example.loss_tokens:
            tally.reasons["no_assistant_turn"] += 1
        else:
            examples.append(example)
    tally.counts["trained on"] = len(examples)
    if not examples:
        raise UsageError(f"{_named(options.data)}: nothing to learn from: {tally.line()}")
    return Dataset(examples, digest.hexdigest(), tally)


def _named(data: str) -> str:
    return "stdin" if data == "-" else data


def _check(options: Sft) -> None:
    for name in ("batch_size", "micro_tokens", "max_length"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise UsageError(f"--{name.replace('_', '-')} {getattr(options, name)}: must be at least 1")
    if options.steps is not None and options.steps < 1:
        raise UsageError(f"--steps {options.steps}: must be at least 1")
    if options.lora_rank < 0:
        raise UsageError(f"--lora-rank {options.lora_rank}: must be 0 (train all weights) or the rank of the adapters")
    check_dtype(options.dtype)
