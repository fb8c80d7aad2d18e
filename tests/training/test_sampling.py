"""Drawing: the distribution that is claimed is the one that is drawn from."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.training.sampling import sample_tokens

# probabilities 0.5, 0.3, 0.2 in the order 1, 2, 0
LOGITS = torch.tensor([math.log(0.2), math.log(0.5), math.log(0.3)])


def one(temperature: float, top_p: float, uniform: float) -> tuple[int, float]:
    ids, logprobs = sample_tokens(LOGITS[None], [temperature], [top_p], [uniform])
    return ids[0], math.exp(logprobs[0])


@pytest.mark.parametrize(
    ("temperature", "top_p", "uniform", "id", "probability"),
    [
        (0, 1, 0.99, 1, 0.5),  # greedy ignores the number, and tells the model's own probability
        (0, 0.4, 0.99, 1, 0.5),
        (1, 1, 0.0, 0, 0.2),  # cumulative: 0.2, 0.7, 1.0
        (1, 1, 0.1999, 0, 0.2),
        (1, 1, 0.2001, 1, 0.5),
        (1, 1, 0.7001, 2, 0.3),
        (1, 1, 0.9999999999, 2, 0.3),
        (0.5, 1, 0.1, 0, 0.04 / 0.38),  # squares 0.04, 0.25, 0.09 over 0.38
        (0.5, 1, 0.9, 2, 0.09 / 0.38),
        (1, 0.6, 0.0, 1, 0.625),  # 0.5 does not reach 0.6, so 0.3 stays too: 0.5 / 0.8, 0.3 / 0.8
        (1, 0.6, 0.99, 2, 0.375),
        (1, 0.4, 0.99, 1, 1.0),  # the most probable one alone
        (1, 0.0, 0.5, 1, 1.0),
    ],
)
def test_draws_by_hand(temperature: float, top_p: float, uniform: float, id: int, probability: float):
    got, chance = one(temperature, top_p, uniform)
    assert got == id
    assert chance == pytest.approx(probability, abs=1e-6)


def test_rows_of_a_batch_have_their_own_settings():
    ids, logprobs = sample_tokens(LOGITS.repeat(3, 1), [0, 1, 0.5], [1, 0.4, 1], [0.9, 0.9, 0.1])
    assert ids == [1, 1, 0]
    assert [math.exp(value) for value in logprobs] == pytest.approx([0.5, 1.0, 0.04 / 0.38], abs=1e-6)


@given(st.floats(0, 1, exclude_max=True), st.integers(0, 3))
def test_a_token_of_probability_zero_is_never_drawn(uniform: float, hole: int):
    logits = torch.zeros(4)
    logits[hole] = -math.inf
    ids, _ = sample_tokens(logits[None], [1.0], [1.0], [uniform])
    assert ids[0] != hole


def test_frequencies_follow_the_probabilities():
    uniforms = torch.rand(20_000, generator=torch.Generator().manual_seed(0)).tolist()
    ids, _ = sample_tokens(LOGITS.repeat(20_000, 1), [1.0] * 20_000, [1.0] * 20_000, uniforms)
    shares = [ids.count(id) / 20_000 for id in range(3)]
    assert shares == pytest.approx([0.2, 0.5, 0.3], abs=0.015)  # 4 standard deviations
