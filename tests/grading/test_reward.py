"""The reward: 0.1 for the format, 0.9 for the answer, nothing at all without a verdict."""

import pytest

from webdancer_cli.data.records import Verdict
from webdancer_cli.grading.reward import reward


@pytest.mark.parametrize(
    ("format_ok", "outcome", "expected"),
    [
        (True, "correct", 1.0),
        (False, "correct", 0.9),
        (True, "wrong", 0.1),
        (False, "wrong", 0.0),
        (True, "unjudged", None),
        (False, "unjudged", None),
    ],
)
def test_the_reward_of_each_outcome(format_ok: bool, outcome: str, expected: float | None) -> None:
    assert reward(format_ok, Verdict(outcome=outcome, method="match")) == expected
