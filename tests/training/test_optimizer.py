"""The one optimiser: its schedule by hand, its step against the textbook, and what stops it."""

import math

import pytest
import torch
from torch import nn

from webdancer_cli.training.optimizer import BETAS, Diverged, adamw, lr_factor, optimizer_step


def test_the_rate_rises_and_falls_to_a_tenth() -> None:
    # 11 steps, two of warm-up: 1/2, 1, then a cosine over 9 points from 1 to 0.1 with 0.55 in the middle.
    rates = [lr_factor(step, 11, 2, 0.1) for step in range(1, 12)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[6] == pytest.approx(0.55) and rates[10] == pytest.approx(0.1)
    assert rates[2:] == sorted(rates[2:], reverse=True)


def test_without_a_fall_the_rate_stays_after_its_rise() -> None:
    assert [lr_factor(step, 100, 4) for step in (1, 2, 4, 5, 50, 100)] == [0.25, 0.5, 1, 1, 1, 1]
    assert [lr_factor(step, 3, 0) for step in (1, 2, 3)] == [1, 1, 1]


def test_the_first_step_of_adamw_by_hand() -> None:
    """After bias correction the first moments are g and g^2: a step of lr along the sign of g, after the decay."""
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[2.0, -4.0]]))
        layer.bias.fill_(1.0)
    layer.weight.grad, layer.bias.grad = torch.tensor([[0.3, -0.1]]), torch.tensor([0.2])
    norm = optimizer_step(layer, adamw(layer, 0.1, 0.5), 1.0, 0.1, max_grad_norm=10.0)
    assert norm == pytest.approx(math.sqrt(0.09 + 0.01 + 0.04))
    # decay on the matrix alone: 2 * (1 - 0.1 * 0.5) - 0.1, -4 * 0.95 + 0.1, 1 - 0.1
    assert layer.weight.tolist()[0] == pytest.approx([1.8, -3.7], abs=1e-6)
    assert layer.bias.item() == pytest.approx(0.9, abs=1e-6)
    assert layer.weight.grad is None


def test_a_gradient_is_clipped_to_its_norm_over_all_parameters() -> None:
    layer = nn.Linear(1, 1)
    before = [layer.weight.item(), layer.bias.item()]
    layer.weight.grad, layer.bias.grad = torch.tensor([[3.0]]), torch.tensor([4.0])
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    # 3 and 4 have norm 5; clipped to 1 they are 0.6 and 0.8
    assert optimizer_step(layer, optimizer, 0.0, 1.0, max_grad_norm=1.0) == pytest.approx(5.0)
    assert layer.weight.item() == pytest.approx(before[0] - 0.6, abs=1e-5)
    assert layer.bias.item() == pytest.approx(before[1] - 0.8, abs=1e-5)


@pytest.mark.parametrize(("loss", "gradient"), [(math.nan, 1.0), (math.inf, 1.0), (1.0, math.nan), (1.0, math.inf)])
def test_what_is_no_number_is_refused_before_a_weight_moves(loss: float, gradient: float) -> None:
    layer = nn.Linear(1, 1, bias=False)
    before = layer.weight.item()
    layer.weight.grad = torch.full((1, 1), gradient)
    with pytest.raises(Diverged, match="lower --lr"):
        optimizer_step(layer, adamw(layer, 0.1, 0.0), loss, 0.1, 1.0)
    assert layer.weight.item() == before


def test_the_fused_step_agrees_with_the_plain_one() -> None:
    torch.manual_seed(0)
    fused, plain = nn.Linear(64, 64), nn.Linear(64, 64)
    plain.load_state_dict(fused.state_dict())
    ours = adamw(fused, 1e-2, 0.0)
    reference = torch.optim.AdamW(plain.parameters(), lr=1e-2, betas=BETAS, weight_decay=0.0, foreach=False)
    for _ in range(20):
        gradient = torch.randn(64, 64)
        fused.weight.grad, plain.weight.grad = gradient.clone(), gradient.clone()
        ours.step()
        reference.step()
    torch.testing.assert_close(fused.weight, plain.weight, rtol=0, atol=1e-6)
