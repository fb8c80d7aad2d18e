"""One door from transformers' layers to attention of our own.

A layer asks transformers for its attention by name and gets ``attend``, which hands over to whatever is *under way*:
the engine's step over its slots (``slots``), or a training batch whose rows are packed (``packed_attention``). What is
under way travels in a context variable and not through the model: every keyword there is the library's to name.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from webdancer_cli.errors import UsageError

ATTENTION = "webdancer"
"""Name under which ``attend`` is known to transformers."""

_WITHOUT_EFFECT = {"position_ids", "use_cache", "cache_position", "is_causal", "layer_idx"}
"""Keywords of a layer's call that say nothing about which scores attention gives; nor do those of what is put out."""

KNOWN_LAYERS = {"full_attention", "sliding_attention", "attention"}
"""Types of layers, in the words of transformers' configurations, whose rule ``attend`` is told by a call."""


@dataclass(frozen=True)
class AttentionRule:
    """How a layer weighs keys: softmax over ``cap tanh(q k scaling / cap)`` of those that a query sees."""

    scaling: float
    window: int | None = None
    """A query sees itself and what is less than so many positions before it; everything before it by default."""
    cap: float | None = None
    sinks: Tensor | None = None
    """Per head, a logit that takes part in the softmax and has no value (attention sinks)."""
    dropout: float = 0.0


def unknown_layers(config: Any) -> str:
    """The types of layers that ``config`` names and ``attend`` cannot know: no check on short rows sees what they do
    beyond their chunk. Empty if there are none."""
    text = config.get_text_config()
    strange = set(getattr(text, "layer_types", None) or ()) - KNOWN_LAYERS
    if getattr(text, "attention_chunk_size", None):
        strange.add("chunked_attention")
    return ", ".join(sorted(strange))


def window_of(config: Any) -> int | None:
    """How far some of the layers of a model look back, by its configuration; None where all see everything."""
    text = config.get_text_config()
    types = getattr(text, "layer_types", None)
    slides = "sliding_attention" in types if types else getattr(text, "use_sliding_window", True)
    return (getattr(text, "sliding_window", None) or None) if slides else None


class Attention(Protocol):
    """Attention over the tokens of one forward pass, which the model sees as a single row."""

    def attend(self, layer: nn.Module, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule) -> Tensor:
        """``[1, heads, N, head_dim]`` and keys and values with a divisor of the heads; ``[1, N, heads, head_dim]``.

        Raises UsageError for scores that it does not know.
        """


_UNDER_WAY: ContextVar[tuple[Any, Attention]] = ContextVar("the forward pass under way")
"""The configuration of its model, and its attention."""


@contextmanager
def attending(config: Any, attention: Attention) -> Iterator[None]:
    """For the time of a forward pass, the layers of a model with ``config`` attend by ``attention``."""
    usual = config._attn_implementation
    attend_by_us(config)
    token = _UNDER_WAY.set((config, attention))
    try:
        yield
    finally:
        _UNDER_WAY.reset(token)
        config._attn_implementation = usual


def attend_by_us(config: Any) -> None:
    """From now on, layers of a model with ``config`` ask for the attention under way, and fail where none is."""
    AttentionInterface.register(ATTENTION, attend)
    config._attn_implementation = ATTENTION


Contexts = tuple[AbstractContextManager[Any], AbstractContextManager[Any]]
"""Those in which a checkpointed layer is computed, and computed again."""


def recomputing(contexts: Callable[[], Contexts] = lambda: (nullcontext(), nullcontext())) -> Callable[[], Contexts]:
    """A ``context_fn`` for activation checkpointing: ``contexts``, and the attention under way when a layer is computed
    again, too. That is in the backward pass, and on a GPU in another thread."""

    def both() -> Contexts:
        first, again = contexts()
        under_way = _UNDER_WAY.get(None)
        return first, again if under_way is None else _again(again, *under_way)

    return both


@contextmanager
def _again(context: AbstractContextManager[Any], config: Any, attention: Attention) -> Iterator[None]:
    with attending(config, attention), context:
        yield


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    dropout: float = 0.0,
    **rest: Any,
) -> tuple[Tensor, None]:
    """What transformers calls in every layer. Raises UsageError for a layer that asks for what we do not know."""
    strange = [name for name, value in rest.items() if value is not None and not _is_without_effect(name)]
    if attention_mask is not None:
        strange.append("attention_mask")
    if strange:
        raise UsageError(f"the attention of {type(module).__name__} depends on {', '.join(strange)}")
    dtype = arithmetic_dtype(query)  # a norm or a rotation may have left float32 behind
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    rule = AttentionRule(scaling, sliding_window, softcap, s_aux, dropout)
    under_way = _UNDER_WAY.get(None)
    if under_way is None:
        raise RuntimeError(f"{type(module).__name__} is computed outside of a packed batch")
    return under_way[1].attend(module, query.to(dtype), key.to(dtype), value.to(dtype), rule), None


def _is_without_effect(name: str) -> bool:
    return name in _WITHOUT_EFFECT or name.startswith("output_")


def arithmetic_dtype(like: Tensor) -> torch.dtype:
    """In which torch would compute with ``like`` here: that of autocast, if it is on, else its own."""
    device = like.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else like.dtype
