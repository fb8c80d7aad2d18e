"""Which engine a run plays with: the one place that names them. Everybody else knows the protocol ``Engine``."""

import torch
from transformers import PreTrainedTokenizerBase

from webdancer_cli.data.pipeline import Say, say_nothing
from webdancer_cli.training.engine import Engine
from webdancer_cli.training.engine_check import check_engine
from webdancer_cli.training.models import ModelDescription, load_policy_model
from webdancer_cli.training.precision import arithmetic
from webdancer_cli.training.transformers_engine import TransformersEngine, bytes_per_position, most_cache_bytes

CHECKED_ROWS, CHECKED_CHUNK_TOKENS = 4, 7
"""Size of the small engine that a model is tried in: rows side by side, each read in several chunks."""


def engine_bytes(plain: ModelDescription, *, max_length: int, rows: int, dtype: str, device: torch.device | str) -> int:
    """Memory of the engine that ``open_engine`` would open: weights of its own, and at most so much of keys and
    values."""
    itemsize = arithmetic(plain.parameters, dtype, device).itemsize
    held = min(most_cache_bytes(device), rows * max_length * bytes_per_position(plain.model, itemsize))
    return itemsize * plain.parameters + held


def open_engine(
    plain: ModelDescription,
    tokenizer: PreTrainedTokenizerBase,
    name: str,
    *,
    max_length: int,
    rows: int,
    dtype: str = "auto",
    lora_rank: int = 0,
    device: torch.device | str = "cpu",
    seed: int = 0,
    say: Say = say_nothing,
) -> Engine:
    """An engine that plays the model of ``plain``, whose user knows it as ``name``.

    ``rows`` episodes at once, of ``max_length`` tokens at most. With ``lora_rank`` it takes adapters as new weights.
    Raises UsageError for a model that cannot be opened, or that the engine does not play as it is.
    """
    model = load_policy_model(plain, dtype, lora_rank, device, seed)
    small = TransformersEngine(
        model, tokenizer, max_length=max_length, rows=CHECKED_ROWS, chunk_tokens=CHECKED_CHUNK_TOKENS
    )
    say(check_engine(small, model, name).line())
    return TransformersEngine(model, tokenizer, max_length=max_length, rows=rows)
