"""Activation checkpointing: what a forward pass keeps for the backward pass, and what is computed again.

"light" keeps the results of what is dear, matrix products and attention, and computes norms, rotations, gates and sums
again: about half the memory for a few per cent of the time. "selective" keeps a layer's input and what attention gave:
attention grows with the square of the length, so a long row is computed again at the price of its matrix products.
"full" keeps the layer's input alone, at the price of a second forward pass.
"""

from functools import partial
from typing import Any, Literal, cast

import torch
from torch.utils.checkpoint import CheckpointPolicy, create_selective_checkpoint_contexts
from transformers import PreTrainedModel

from webdancer_cli.errors import UsageError
from webdancer_cli.training.attention import recomputing
from webdancer_cli.training.precision import SMALL_PARAMETERS

Checkpointing = Literal["none", "light", "selective", "full"]

RECOMPUTE_PARAMETERS = 500_000_000
"""From here on "auto" is "full"; below it "light", and for small models "none"."""

MIN_WIDTH = 64
"""A product over fewer columns costs less than keeping its result does: the second one of an adapter."""

_PRODUCTS = {"aten::mm", "aten::addmm", "aten::bmm"}
_ATTENTION = {
    "aten::_scaled_dot_product_flash_attention",
    "aten::_scaled_dot_product_flash_attention_for_cpu",
    "aten::_scaled_dot_product_efficient_attention",
    "aten::_scaled_dot_product_cudnn_attention",
    "aten::_scaled_dot_product_fused_attention_overrideable",
    "torch_attn::_varlen_attn",
    "webdancer::span_attention",
}
"""What attention becomes, by device, dtype and layout of the rows."""


def checkpointing_of(how: str, parameters: int, *, supported: bool = True) -> Checkpointing:
    """What is asked for; for "auto" by the size of the model, and nothing where its family is not ``supported``."""
    if how != "auto":
        return cast(Checkpointing, how)
    if not supported or parameters < SMALL_PARAMETERS:
        return "none"
    return "light" if parameters < RECOMPUTE_PARAMETERS else "full"


def recompute_activations(model: PreTrainedModel, how: str, parameters: int) -> None:
    """Let the layers of ``model`` compute again what they do not keep.

    Raises UsageError for a model without layers that can be computed again, if that was asked for.
    """
    how = checkpointing_of(how, parameters, supported=model.supports_gradient_checkpointing)
    if how == "none":
        return
    policy = {"light": keep_products, "selective": keep_attention}.get(how)
    contexts = recomputing(partial(create_selective_checkpoint_contexts, policy)) if policy else recomputing()
    arguments = {"use_reentrant": False, "context_fn": contexts}
    try:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=arguments)
    except ValueError as error:
        raise UsageError(f"--checkpointing {how}: {' '.join(str(error).split())}: take none") from None


def keep_attention(ctx: Any, operator: Any, *arguments: Any, **rest: Any) -> CheckpointPolicy:
    """The policy of "selective"."""
    return CheckpointPolicy.MUST_SAVE if _name(operator) in _ATTENTION else CheckpointPolicy.PREFER_RECOMPUTE


def keep_products(ctx: Any, operator: Any, *arguments: Any, **rest: Any) -> CheckpointPolicy:
    """The policy of "light"."""
    dear = _name(operator) in _ATTENTION or is_wide_product(operator, arguments)
    return CheckpointPolicy.MUST_SAVE if dear else CheckpointPolicy.PREFER_RECOMPUTE


def is_wide_product(operator: Any, arguments: tuple[Any, ...]) -> bool:
    """Whether a call is a matrix product that sums over at least ``MIN_WIDTH`` columns."""
    if _name(operator) not in _PRODUCTS:
        return False
    left: torch.Tensor = arguments[-2]  # with three arguments, the first is what is added
    return left.shape[-1] >= MIN_WIDTH


def _name(operator: Any) -> str:
    name: str = operator.name()
    return name.partition(".")[0]
