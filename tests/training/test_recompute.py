"""Activation checkpointing changes what is kept, never what is computed."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

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
    for other in (full, selective):
        assert all(torch.equal(one, two) for one, two in zip(plain, other, strict=True))
    attention = "_scaled_dot_product_flash_attention_for_cpu"
    # Two layers: each attends once, and once more where it is computed again.
    assert [calls[attention] for calls in (plain_calls, selective_calls, full_calls)] == [2, 2, 4]
    assert plain_calls["mm"] < selective_calls["mm"] == full_calls["mm"]


@pytest.mark.parametrize(
    ("how", "parameters", "expected"),
    [("auto", 1_000, "none"), ("auto", 500_000_000, "full"), ("none", 10**10, "none"), ("selective", 1, "selective")],
)
def test_auto_recomputes_from_half_a_billion_parameters_on(how: str, parameters: int, expected: str) -> None:
    assert checkpointing_of(how, parameters) == expected
