"""DAPO's maths against numbers worked out by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.training.dapo import (
    LossSums,
    group_advantages,
    is_learnable,
    overlong_penalty,
    reference_penalty,
    surrogate,
)

CLIP = {"clip_low": 0.2, "clip_high": 0.28}


def test_the_clip_band_by_hand_with_both_signs_on_both_sides():
    # band [0.8, 1.28];   ratio   A    r A    clip(r) A   min     clipped?  d(-min)/d new = -A r where not clipped
    #                      1.5   +2    3.0      2.56      2.56    yes         0      above the band, good: held back
    #                      0.5   +2    1.0      1.60      1.00    no         -1      below the band, good: pulled up
    #                      1.5   -1   -1.5     -1.28     -1.50    no          1.5    above the band, bad: pushed down
    #                      0.5   -1   -0.5     -0.80     -0.80    yes         0      below the band, bad: held
    #                      1.1   +2    2.2      2.20      2.20    no         -2.2    inside
    # sum of min = 2.56 + 1 - 1.5 - 0.8 + 2.2 = 3.46
    ratios = torch.tensor([1.5, 0.5, 1.5, 0.5, 1.1])
    old = torch.tensor([-1.0, -2.0, -0.5, -3.0, -0.1])
    new = (old + ratios.log()).requires_grad_()
    loss, sums = surrogate(new, old, torch.tensor([2.0, 2.0, -1.0, -1.0, 2.0]), **CLIP)
    loss.backward()
    assert loss.item() == pytest.approx(-3.46, abs=1e-5)
    assert new.grad is not None
    assert new.grad.tolist() == pytest.approx([0, -1.0, 1.5, 0, -2.2], abs=1e-5)
    assert (sums.tokens, sums.clipped_low, sums.clipped_high) == (5, 1, 1)
    # |ln 1.5| + |ln 0.5| + |ln 1.5| + |ln 0.5| + ln 1.1
    assert sums.gap == pytest.approx(2.292535, abs=1e-5)
    assert sums.ratio == pytest.approx(5.1, abs=1e-5)
    assert sums.ratio_max == pytest.approx(1.5, abs=1e-5)
    assert sums.neg_logprob == pytest.approx(6.6, abs=1e-5)
    # KL: sum of r - 1 - ln r = 2 (0.5 - 0.405465) + 2 (-0.5 + 0.693147) + (0.1 - 0.095310)
    assert sums.kl == pytest.approx(0.580054, abs=1e-5)


def test_at_ratio_one_the_gradient_is_the_plain_policy_gradient():
    old = torch.tensor([-1.0, -2.0])
    new = old.clone().requires_grad_()
    loss, _ = surrogate(new, old, torch.tensor([1.5, -0.5]), **CLIP)
    loss.backward()
    assert new.grad is not None
    assert new.grad.tolist() == [-1.5, 0.5]


def test_an_extreme_ratio_leaves_every_gradient_finite():
    new = torch.tensor([0.0, 0.0], requires_grad=True)
    loss, _ = surrogate(new, torch.tensor([-500.0, -500.0]), torch.tensor([1.0, -1.0]), **CLIP)
    loss.backward()
    assert new.grad is not None
    assert torch.isfinite(new.grad).all() and torch.isfinite(loss)


@given(st.integers(1, 40), st.integers(0, 40), st.integers(0, 1000))
def test_the_sum_does_not_depend_on_the_split(tokens: int, cut: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    new, old, advantages = (torch.randn(tokens, generator=generator, dtype=torch.float64) for _ in range(3))
    whole, sums = surrogate(new, old, advantages, **CLIP)
    parts = [surrogate(new[part], old[part], advantages[part], **CLIP) for part in (slice(cut), slice(cut, None))]
    assert sum(loss.item() for loss, _ in parts) == pytest.approx(whole.item(), rel=1e-4, abs=1e-4)
    added = parts[0][1] + parts[1][1]
    for name in ("tokens", "clipped_low", "clipped_high", "ratio_max", "truncated"):
        assert getattr(added, name) == getattr(sums, name)


def test_stale_tokens_count_by_how_much_more_likely_they_are_now_and_at_most_twice():
    # sampled at p, the step begins at q: weight q / p = 0.5, 1.5, 8 -> 2 (cut); r = new / old = 1.1, 1.5 (clipped), 1
    sampled = torch.tensor([-1.0, -2.0, -5.0])
    old = sampled + torch.tensor([0.5, 1.5, 8.0]).log()
    new = (old + torch.tensor([1.1, 1.5, 1.0]).log()).requires_grad_()
    loss, sums = surrogate(new, old, torch.tensor([2.0, 1.0, -1.0]), **CLIP, sampled_N=sampled)
    loss.backward()
    # 0.5 * 1.1 * 2 + 1.5 * 1.28 * 1 + 2 * 1 * (-1) = 1.1 + 1.92 - 2
    assert loss.item() == pytest.approx(-1.02, abs=1e-5)
    assert new.grad is not None
    assert new.grad.tolist() == pytest.approx([-1.1, 0, 2.0], abs=1e-5)
    assert (sums.truncated, sums.clipped_high) == (1, 1)
    assert sums.neg_logprob == pytest.approx(8.0, abs=1e-5)


def test_the_penalty_of_leaving_the_reference_by_hand():
    # r = p_reference / p = 1, 2, 0.5: r - 1 - ln r = 0, 1 - 0.693147, -0.5 + 0.693147; its gradient is 1 - r
    reference = torch.tensor([-1.0, -2.0, -3.0])
    new = (reference - torch.tensor([1.0, 2.0, 0.5]).log()).requires_grad_()
    penalty = reference_penalty(new, reference)
    penalty.sum().backward()
    assert penalty.tolist() == pytest.approx([0, 0.306853, 0.193147], abs=1e-5)
    assert new.grad is not None
    assert new.grad.tolist() == pytest.approx([0, -1.0, 0.5], abs=1e-5)


def test_tokens_that_are_not_stale_count_once():
    old, new, advantages = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    plain, _ = surrogate(new, old, advantages, **CLIP)
    corrected, sums = surrogate(new, old, advantages, **CLIP, sampled_N=old)
    assert corrected.item() == pytest.approx(plain.item(), abs=1e-5) and sums.truncated == 0


def test_no_tokens_give_a_zero_loss_and_empty_sums():
    loss, sums = surrogate(torch.zeros(0), torch.zeros(0), torch.zeros(0), **CLIP)
    assert loss.item() == 0 and sums == LossSums()


def test_advantages_by_hand():
    # mean 0.5; biased variance (0.25 + 0.25 + 0.25 + 0.25) / 4 = 0.25; std 0.5
    assert group_advantages([1, 0, 0, 1]) == [1, -1, -1, 1]
    # one of four: mean 0.25, variance (0.5625 + 3 * 0.0625) / 4 = 0.1875, std 0.433013; 0.75 / std = sqrt(3)
    assert group_advantages([1, 0, 0, 0]) == pytest.approx([math.sqrt(3)] + [-1 / math.sqrt(3)] * 3)


@pytest.mark.parametrize("rewards", [[], [0.1], [0.1] * 7, [1.0, 1.0]])
def test_a_group_without_difference_gives_zero(rewards: list[float]):
    assert group_advantages(rewards) == [0.0] * len(rewards)


@given(st.lists(st.sampled_from([0.0, 0.1, 0.9, 1.0, -0.4]), min_size=2, max_size=16))
def test_advantages_have_mean_zero_and_variance_one(rewards: list[float]):
    advantages = group_advantages(rewards)
    expected = 0 if len(set(rewards)) == 1 else 1
    assert sum(advantages) == pytest.approx(0, abs=1e-6)
    assert sum(value**2 for value in advantages) / len(rewards) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("correct", "kept"),
    [
        ([True, False], True),
        ([True, True], False),
        ([False, False], False),
        ([True, None], False),
        ([False, None, None], False),
        ([None, None], False),
        ([True, None, False], True),
        ([], False),
    ],
)
def test_a_group_is_learnable_when_its_judged_answers_differ(correct: list[bool | None], kept: bool):
    assert is_learnable(correct) is kept


def test_overlong_punishment_by_hand():
    # L_max 100, L_cache 20: free up to 80, then (80 - L) / 20, -1 from 100 on
    assert [overlong_penalty(length, 100, 20) for length in (10, 80, 85, 90, 100, 130)] == [0, 0, -0.25, -0.5, -1, -1]
    assert overlong_penalty(1000, 100, 0) == 0
