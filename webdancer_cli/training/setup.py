"""What ``sft`` and ``rl`` find out before any work: where they start, whether that can be trained, where it goes."""

from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from webdancer_cli.data.pipeline import Progress, Say, say_nothing
from webdancer_cli.errors import UsageError
from webdancer_cli.options.config import SftOptions, TrainingOptions
from webdancer_cli.training import checkpoint
from webdancer_cli.training.allocator import keep_freed_memory
from webdancer_cli.training.distributed import ProcessGroup
from webdancer_cli.training.models import ModelDescription, describe, load_tokenizer, missing_rows
from webdancer_cli.training.renderer import Renderer
from webdancer_cli.training.template_derivation import difference

UNLIMITED = 32768
"""Longest sequence of a model that knows no limit, in tokens."""


@dataclass(frozen=True)
class TrainingSetup:
    """A model that has been looked at, though not loaded yet, and everything that goes with it."""

    plain: ModelDescription
    tokenizer: PreTrainedTokenizerBase
    """With the chat template and the end token under which the checkpoint will be served."""
    renderer: Renderer
    max_length: int
    """Longest sequence, in tokens."""
    out: Path
    world: ProcessGroup
    say: Say
    progress: Progress | None
    resumed: Path | None
    """The checkpoint that the run goes on from, or its result if it is done; None for one that starts."""
    seen: list[str]
    """What was found, in lines: to be told when the data are good, too, since a run that is refused says one line."""


def set_up(options: TrainingOptions, world: ProcessGroup, say: Say, progress: Progress | None = None) -> TrainingSetup:
    """Look at the model and the folder that ``options`` name; only rank 0 speaks.

    Raises UsageError for a checkpoint that is missing, incomplete or has no usable tokenizer, for a folder that cannot
    take the results, and for lengths that the model does not have.
    """
    keep_freed_memory()
    out = world.from_main(lambda: checkpoint.prepare_output(options.out, options.model, resume=options.resume))
    tokenizer = load_tokenizer(options.model)
    renderer = Renderer(tokenizer)
    told = difference(renderer.template, tokenizer)
    renderer.dress(tokenizer)
    plain = describe(options.model)
    check_vocabulary(options, plain, tokenizer)
    seen = [
        f"{options.model}: {type(plain.model).__name__}, {plain.parameters:,} parameters, turns as in "
        f"{renderer.template.name}; its tokens' ids, weights and configuration are as they should be"
    ]
    if told:
        seen.append(f"its own chat template {told}; the checkpoint is saved with the one it is trained on")
    length = longest(options, plain)
    say, progress = (say, progress) if world.is_main else (say_nothing, None)
    resumed = world.from_main(lambda: checkpoint.newest(out) if options.resume else None)
    return TrainingSetup(plain, tokenizer, renderer, length, out, world, say, progress, resumed, seen)


def check_vocabulary(options: TrainingOptions, plain: ModelDescription, tokenizer: PreTrainedTokenizerBase) -> None:
    """Rows for new tokens are made by full fine-tuning alone: adapters would leave them as they are drawn.

    Raises UsageError where they are needed and not made.
    """
    missing = missing_rows(plain, tokenizer)
    if missing and (options.lora_rank or not isinstance(options, SftOptions)):
        raise UsageError(
            f"{options.model}: its tokenizer has {missing} tokens that its embedding has no rows for: "
            "`webdancer sft` without --lora-rank adds and trains them"
        )


def longest(options: TrainingOptions, plain: ModelDescription) -> int:
    """The longest sequence that is trained on. Raises UsageError for one that the model does not have."""
    own = plain.max_length or UNLIMITED
    if options.max_length is not None and plain.max_length and options.max_length > own:
        raise UsageError(f"--max-length {options.max_length}: {options.model} can be trained on {own} positions")
    return options.max_length or own
