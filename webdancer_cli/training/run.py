"""The beginning of a training run, the same for ``sft`` and ``rl``: opened, checked, and gone on with where it was."""

from dataclasses import dataclass
from typing import Any

from torch.distributed.checkpoint.stateful import Stateful

from webdancer_cli.options.config import TrainingOptions
from webdancer_cli.training.checkpoint import STATE
from webdancer_cli.training.checkpoint_writer import CheckpointWriter
from webdancer_cli.training.dropout import without_dropout
from webdancer_cli.training.layout import Layout
from webdancer_cli.training.layout_check import choose_layout
from webdancer_cli.training.logprobs import check_dropout, check_head
from webdancer_cli.training.optimizer import adamw
from webdancer_cli.training.precision import slow_dtype
from webdancer_cli.training.saving import RunSaver
from webdancer_cli.training.setup import TrainingSetup
from webdancer_cli.training.state import TrainingState, seed_everything
from webdancer_cli.training.trainable import Trainable, open_trainable


@dataclass(frozen=True)
class TrainingRun:
    """What the loops work with. All ranks have one."""

    trainable: Trainable
    layout: Layout
    """How its rows go through the model."""
    state: TrainingState
    saver: RunSaver
    writer: CheckpointWriter


def begin(
    options: TrainingOptions,
    setup: TrainingSetup,
    about: dict[str, Any],
    data: Stateful | None = None,
    *,
    deterministic: bool = False,
) -> TrainingRun:
    """Open the model, try all that saving it will need, and go on from ``setup.resumed``, if there is one.

    ``data`` becomes part of the state. ``deterministic``: without dropout, since a policy's log-probs must be those of
    the policy that sampled. Raises UsageError for a model that cannot be trained so.
    """
    for seen in setup.seen:
        setup.say(seen)
    world = setup.world
    opened = open_trainable(setup.plain, setup.tokenizer, options, world)
    if warning := slow_dtype(opened.compute, world.device):
        setup.say(warning)
    if opened.grown:
        setup.say(f"the embedding has {opened.grown} rows now: the tokenizer has tokens that the model had none for")
    if deterministic:
        without_dropout(opened.model)
    opened.within_forward(lambda: check_head(opened.model))
    if deterministic:
        opened.within_forward(lambda: check_dropout(opened.model))
    writer = CheckpointWriter(setup, about, opened.compute)
    writer.try_out(opened.model)
    with opened.measuring():
        layout = choose_layout(opened.scorer, options, world.device, setup.say)
    seed_everything(f"{options.seed}:{world.rank}")
    state = TrainingState(opened.scorer, adamw(opened.scorer, options.peak_lr, options.weight_decay), data)
    saver = RunSaver(options, writer, opened.model)
    if setup.resumed:
        state.restore(setup.resumed / STATE, world, options.seed)
        saver.recover_best(state)
    return TrainingRun(opened, layout, state, saver, writer)
