"""Activation checkpointing changes what is kept, never what is computed."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from webdancer_cli.errors import UsageError
from webdancer_cli.training.models import load_trainable
from webdancer_cli.training.recompute import checkpointing_of, recompute_activations


class Calls(TorchDispatchMode):
    """Counts the operators that run."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counts[func.name().removeprefix("aten::")] += 1
        return func(*args, **(kwargs or {}))


def gradients(folder: Path, how: str) -> tuple[list[torch.Tensor], Counter[str]]:
    model, _ = load_trainable(str(folder), "float32")
    recompute_activations(model, how, 0)
    ids = torch.arange(24)[None] % 50
    with Calls() as calls:
        model(input_ids=ids, use_cache=False).logits.square().mean().backward()
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None], calls.counts


def test_gradients_are_the_same_bit_for_bit_and_selective_keeps_attention(tiny_folder: Path) -> None:
    plain, plain_calls = gradients(tiny_folder, "none")
    full, full_calls = gradients(tiny_folder, "full")
    selective, selective_calls = gradients(tiny_folder, "selective")
    light, light_calls = gradients(tiny_folder, "light")
    for other in (full, selective, light):
        assert all(torch.equal(one, two) for one, two in zip(plain, other, strict=True))
    attention = "_scaled_dot_product_flash_attention_for_cpu"
    # Two layers: each attends once, and once more where it is computed again.
    assert [calls[attention] for calls in (plain_calls, light_calls, selective_calls, full_calls)] == [2, 2, 2, 4]
    assert plain_calls["mm"] < selective_calls["mm"] == full_calls["mm"]


@pytest.mark.parametrize(
    ("how", "parameters", "expected"),
    [
        ("auto", 1_000, "none"),
        ("auto", 50_000_000, "light"),
        ("auto", 500_000_000, "full"),
        ("none", 10**10, "none"),
        ("selective", 1, "selective"),
    ],
)
def test_auto_recomputes_the_more_the_larger_the_model_is(how: str, parameters: int, expected: str) -> None:
    assert checkpointing_of(how, parameters) == expected


def test_a_family_without_layers_to_recompute_is_refused_only_if_that_was_asked_for(tiny_folder: Path) -> None:
    model, _ = load_trainable(str(tiny_folder), "float32")
    model.supports_gradient_checkpointing = False
    recompute_activations(model, "auto", 10**9)
    assert not model.is_gradient_checkpointing
    with pytest.raises(UsageError, match="take none"):
        recompute_activations(model, "full", 10**9)
