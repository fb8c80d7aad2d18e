"""The alarms: each rings for its own fault, none for a run that goes well."""

import re
from typing import Any

import pytest

from webdancer_cli.training.alarms import WINDOW, alarms

WELL = {
    "entropy": 0.5,
    "accuracy": 0.4,
    "accuracy_by_level": {"1": 0.6, "3": 0.1},
    "short_of_tokens": 0.02,
    "right_logprob": -0.4,
    "tool_calls": 3.0,
    "format": 0.9,
    "repeating": 0.0,
    "clip_low_fraction": 0.001,
    "clip_high_fraction": 0.004,
}


def run(**last: Any) -> list[dict[str, Any]]:
    """A run that begins well, and whose last steps are ``last``."""
    return [dict(WELL)] * WINDOW + [{**WELL, **last}] * WINDOW


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ({"entropy": 0.1}, "entropy collapse: 0.1 nats a token, from 0.5: .*--clip-high"),
        ({"right_logprob": -0.5}, "right answers become less likely: log-prob -0.5 a token, from -0.4: .*--lr"),
        ({"tool_calls": 1.0}, "tool use dies out: 1 calls a question, from 3: .*--agent none"),
        ({"format": 1.0, "accuracy": 0.3}, "format is gamed: 100% are well-formed, from 90%, and 30% right.*sft"),
        ({"repeating": 0.2}, "repetition: 20% of the episodes .*--max-turn-tokens"),
        (
            {"clip_low_fraction": 0.03, "clip_high_fraction": 0.001},
            "one-sided clipping: 97% .*from below: widen --clip-low",
        ),
        ({"short_of_tokens": 0.2}, "too little room: 20% of the episodes .*--max-context-tokens"),
        (
            {"accuracy": 0.6, "accuracy_by_level": {"1": 0.9, "3": 0.02}},
            "questions over 3 pages are unlearned: 2% right, from 10%.*sft",
        ),
        ({"clip_high_fraction": 0.03}, "one-sided clipping: 97% .*from above: widen --clip-high"),
    ],
)
def test_each_fault_has_its_alarm_with_a_remedy(last: dict[str, float], words: str):
    (line,) = alarms(run(**last))
    assert re.match(words, line), line


@pytest.mark.parametrize(
    "last",
    [
        {},
        {"accuracy": 0.99, "entropy": 0.01},  # sure of what is right
        {"accuracy": 0.6, "format": 1.0},
        {"right_logprob": -0.3},
        {"accuracy_by_level": {"1": 0.9}},  # no question over three pages was drawn of late
        {"accuracy_by_level": {"1": 0.5, "3": 0.06}},
        {"tool_calls": 1.6},
        {"repeating": 0.05},
        {"clip_low_fraction": 0.03, "clip_high_fraction": 0.03},
        {"entropy": None, "right_logprob": None, "clip_low_fraction": None},  # steps without an update
    ],
)
def test_a_run_that_goes_well_has_none(last: dict[str, Any]):
    assert alarms(run(**last)) == []


@pytest.mark.parametrize(
    ("last", "alarm"),
    [
        ({"accuracy": 0.2, "accuracy_by_level": {"1": 0.2, "3": 0.02}, "format": 1.0}, ""),
        ({"accuracy": 0.2, "repeating": 0.2}, "repetition"),  # says nothing of which questions are played
    ],
)
def test_other_questions_than_at_first_are_no_sign_of_what_was_unlearned(last: dict[str, Any], alarm: str):
    """By a curriculum, or when what is mastered rests, later steps have harder questions."""
    assert [line.partition(":")[0] for line in alarms(run(**last), same_questions=False)] == [alarm] * bool(alarm)
    assert any("unlearned" in line or "gamed" in line for line in alarms(run(**last))) is not bool(alarm)


def test_none_rings_before_there_is_something_to_compare():
    assert alarms(run(entropy=0.0)[: 2 * WINDOW - 1]) == []
