"""Adapters computed in one pass: what peft computes, with its gradients, wherever it may be told otherwise."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora.layer import Linear
from torch import nn

from webdancer_cli.training.fused_lora import fuse_adapters


def adapted(**changes: Any) -> Any:
    torch.manual_seed(0)
    bare = nn.Sequential(nn.Linear(24, 40), nn.SiLU(), nn.Linear(40, 8, bias=False))
    model: Any = get_peft_model(bare, LoraConfig(r=4, lora_alpha=8, target_modules=["0", "2"], **changes))  # type: ignore[arg-type]
    for name, tensor in model.named_parameters():
        if "lora_B" in name:  # zeros at first, which would hide a wrong scale
            nn.init.normal_(tensor, std=0.1)
    return model


def fused(model: Any) -> Any:
    changed = deepcopy(model)
    fuse_adapters(changed)
    return changed


def results(model: Any, x: torch.Tensor) -> list[torch.Tensor]:
    """What comes out, and the gradients of all adapters and of the input."""
    given = x.clone().requires_grad_(True)
    out = model(given)
    out.float().pow(2).sum().backward()
    return [out, given.grad, *(tensor.grad for tensor in model.parameters() if tensor.requires_grad)]


@pytest.mark.parametrize("shape", [(24,), (5, 24), (2, 3, 24)])
def test_results_and_gradients_are_those_of_peft(shape: tuple[int, ...]) -> None:
    model, x = adapted(), torch.randn(*(shape if len(shape) > 1 else (1, *shape)))
    for ours, theirs in zip(results(fused(model), x), results(model, x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("autocast", [True, False])
def test_in_bfloat16_it_is_no_further_from_float32_than_peft_is(autocast: bool) -> None:
    exact = adapted()
    model = deepcopy(exact)
    for name, tensor in model.named_parameters():
        if "lora_" not in name:
            tensor.data = tensor.data.to(torch.bfloat16)
    x = torch.randn(64, 24)
    wanted = exact(x)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        given = x if autocast else x.to(torch.bfloat16)
        ours, theirs = fused(model)(given), model(given)
    assert ours.dtype == theirs.dtype == torch.bfloat16
    gaps = [(found.float() - wanted).pow(2).mean().sqrt() for found in (ours, theirs)]
    assert gaps[0] <= 1.1 * gaps[1]


def test_switched_off_and_merged_adapters_are_peft_s() -> None:
    model, x = adapted(), torch.randn(3, 24)
    changed = fused(model)
    with changed.disable_adapter(), model.disable_adapter():
        torch.testing.assert_close(changed(x), model(x))
    whole = changed(x)
    torch.testing.assert_close(changed.merge_and_unload()(x), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("changes", [{"lora_dropout": 0.5}, {"use_dora": True}, {"lora_bias": True}])
def test_adapters_with_more_to_them_stay_as_they_are(changes: dict[str, Any]) -> None:
    model = fused(adapted(**changes))
    layers = [module for module in model.modules() if isinstance(module, Linear)]
    assert len(layers) == 2 and not [layer for layer in layers if "forward" in vars(layer)]
    assert all("forward" in vars(layer) for layer in fused(adapted()).modules() if isinstance(layer, Linear))
