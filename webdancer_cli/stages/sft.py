"""``webdancer sft``: trajectories in, a Hugging Face checkpoint out."""

import hashlib
import os
from dataclasses import dataclass, replace
from itertools import chain, islice

import msgspec

from webdancer_cli.data.pipeline import Progress, RunStats, Say, say_nothing
from webdancer_cli.data.records import Rejected, to_object
from webdancer_cli.errors import UsageError
from webdancer_cli.options.config import SftOptions
from webdancer_cli.training import checkpoint
from webdancer_cli.training.batches import Example
from webdancer_cli.training.chat_templates import UnknownTurnOrder
from webdancer_cli.training.distributed import process_group
from webdancer_cli.training.example_selection import NothingToLearn, select_examples
from webdancer_cli.training.mask_view import mask_view
from webdancer_cli.training.memory import plans
from webdancer_cli.training.models import describe, load_tokenizer, outline
from webdancer_cli.training.renderer import Renderer
from webdancer_cli.training.same_run import identity, is_done
from webdancer_cli.training.setup import longest, set_up
from webdancer_cli.training.sft import train_sft
from webdancer_cli.transcript.contexts import BrokenContext
from webdancer_cli.transcript.released_format import read_trajectories


@dataclass(frozen=True)
class Dataset:
    """What there is to learn from, by trajectory; ``sha256`` is over the records as read, ``stats`` says what was left
    out and why."""

    examples: list[list[Example]]
    sha256: str
    stats: RunStats


def run(options: SftOptions, *, progress: Progress | None = None, say: Say = say_nothing) -> RunStats:
    """Fine-tune ``options.model`` on the policy's own turns in ``options.data``; under torchrun too.

    Raises UsageError before any work for a missing or tokenizer-less checkpoint, an ``out`` that cannot be written, and
    data without anything to learn from.
    """
    with process_group() as world:
        setup = set_up(options, world, say, progress)
        dataset = world.from_main(lambda: read_dataset(options, setup.renderer, setup.max_length))
        about = checkpoint.provenance("sft", options, dataset.sha256)
        about["records"] = {**dataset.stats.counts, **dataset.stats.reasons}
        held_out = world.from_main(lambda: read_held_out(options, setup.renderer, setup.max_length))
        if held_out and options.keep_best:
            about["eval_data_sha256"] = held_out.sha256
        about["run"] = identity(options, about, setup.plain)
        if is_done(setup, about["run"]):
            return dataset.stats
        measured_on = list(chain.from_iterable(held_out.examples)) if held_out else []
        train_sft(options, dataset.examples, setup, about, measured_on)
    return dataset.stats


def masks(options: SftOptions, *, coloured: bool) -> tuple[str, RunStats]:
    """The first ``options.show_masks`` trajectories as people read them, rendered as for training; nothing is written.

    Raises UsageError as ``run`` does, for the tokenizer and the data.
    """
    renderer = Renderer(load_tokenizer(options.model))
    dataset = read_dataset(options, renderer, longest(options, describe(options.model)), at_most=options.show_masks)
    dataset.stats.counts["shown"] = dataset.stats.counts.pop("trained on")
    return mask_view(list(chain.from_iterable(dataset.examples)), renderer, coloured=coloured), dataset.stats


def plan_memory(options: SftOptions) -> str:
    """What ``--dry-run`` tells of memory. Raises UsageError for a model that cannot be opened."""
    tokens = max(options.micro_tokens, options.max_length or 0)
    return plans(outline(options.model), options, tokens, int(os.environ.get("WORLD_SIZE", 1)))


def read_dataset(options: SftOptions, renderer: Renderer, max_length: int, at_most: int | None = None) -> Dataset:
    """Render the trajectories of ``options.data``: this toolkit's records, or the authors' ChatML lines.

    Left out and counted: lines that cannot be read, trajectories longer than ``max_length`` tokens (unless they are
    cut), those without anything that bears loss, those whose turns the family has no form for, and those of which it
    cannot be told what the policy saw. Stops at ``at_most`` trajectories.
    """
    stats = RunStats()
    stats.counts["in"] = 0

    def broken(rejected: Rejected) -> None:
        stats.failed += 1
        stats.reasons[rejected.reason] += 1

    examples: list[list[Example]] = []
    digest = hashlib.sha256()
    for trajectory in islice(read_trajectories(options.data, broken), options.limit):
        stats.counts["in"] += 1
        digest.update(msgspec.json.encode(to_object(trajectory)))
        try:
            found, cut = select_examples(
                renderer,
                trajectory.messages,
                trajectory.context,
                train_on=options.train_on,
                overlong=options.overlong,
                max_length=max_length,
            )
        except NothingToLearn as reason:
            stats.reasons[str(reason)] += 1
        except UnknownTurnOrder:
            stats.reasons["turn_order"] += 1
        except BrokenContext:
            stats.reasons["context"] += 1
        else:
            examples.append(found)
            if trajectory.context:
                stats.counts[trajectory.context.rule] += 1
            if cut:
                stats.counts["truncated"] += 1
            if len(examples) == at_most:
                break
    stats.counts["trained on"] = len(examples)
    if (contexts := sum(map(len, examples))) > len(examples):
        stats.counts["contexts"] = contexts
    if not examples:
        remedy = f": {_SHORTER.format(tokens=max_length)}" if stats.reasons["too_long"] else ""
        raise UsageError(f"{_named(options.data)}: nothing to learn from: {stats.summary()}{remedy}")
    return Dataset(examples, digest.hexdigest(), stats)


def read_held_out(options: SftOptions, renderer: Renderer, max_length: int) -> Dataset | None:
    """The trajectories of ``options.eval_data``, if there is one. Raises UsageError when none of them bears loss."""
    if options.eval_data is None:
        return None
    return read_dataset(replace(options, data=options.eval_data, limit=None), renderer, max_length)


_SHORTER = (
    "what is too long has more than {tokens} tokens: take a model that reads more, or for a small one sample with "
    "--prompts compact --max-context-tokens {tokens}"
)


def _named(data: str) -> str:
    return "stdin" if data == "-" else data
