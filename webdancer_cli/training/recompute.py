"""Activation checkpointing: what a forward pass keeps for the backward pass, and what is computed again."""

from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import create_selective_checkpoint_contexts
from transformers import PreTrainedModel

from webdancer_cli.errors import UsageError

RECOMPUTE_PARAMETERS = 500_000_000
"""From here on "auto" is "full"."""

_ATTENTION = (
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_fused_attention_overrideable",
)
"""What scaled dot product attention becomes, by device."""


def checkpointing_of(how: str, parameters: int) -> str:
    """ "none", "full" or "selective", for "auto" by the size of the model."""
    if how != "auto":
        return how
    return "full" if parameters >= RECOMPUTE_PARAMETERS else "none"


def recompute_activations(model: PreTrainedModel, how: str, parameters: int) -> None:
    """Let each layer of ``model`` keep its input alone ("full"), or also what attention gave ("selective").

    Attention is what grows with the square of the length, and its result is as small as the layer's input: kept, a
    long row is computed again at the price of its matrix products alone. Raises UsageError for a model without layers
    that can be computed again.
    """
    how = checkpointing_of(how, parameters)
    if how == "none":
        return
    arguments: dict[str, Any] = {"use_reentrant": False}
    if how == "selective":
        arguments["context_fn"] = partial(create_selective_checkpoint_contexts, attention_operators())
    try:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=arguments)
    except ValueError as error:
        raise UsageError(f"--checkpointing {how}: {' '.join(str(error).split())}: take none") from None


def attention_operators() -> list[Any]:
    """Those that this build of torch has."""
    found = [getattr(torch.ops.aten, name, None) for name in _ATTENTION]
    return [operator.default for operator in found if operator is not None]
