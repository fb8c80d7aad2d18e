"""What goes wrong in RL without an error: seen in the metrics of the steps, and told in a line with a remedy.

Each alarm compares the mean of the last steps with that of the first ones of a run. None of them ends it.
"""

from collections.abc import Callable, Sequence
from typing import Any

WINDOW = 5
"""Steps that a mean is taken over."""

MASTERED = 0.95
"""From this accuracy on a policy may be as sure of itself as it likes."""

MOST_LEVEL = 9
"""Questions over more pages than these have no alarm of their own."""

Metrics = dict[str, Any]
Means = Callable[[str], tuple[float, float] | None]
"""The mean of a measure in the first steps and in the last; None where too few steps tell. "accuracy_by_level.3" is
that of questions over three pages."""


def _entropy_collapse(means: Means) -> str:
    entropy, accuracy = means("entropy"), means("accuracy")
    if entropy and accuracy and accuracy[1] < MASTERED and entropy[1] < 0.3 * entropy[0]:
        return (
            f"entropy collapse: {entropy[1]:.3g} nats a token, from {entropy[0]:.3g}: the rollouts of a group become "
            "alike: raise --clip-high, add --kl, or lower --lr"
        )
    return ""


def _less_likely_right_answers(means: Means) -> str:
    logprob = means("right_logprob")
    if logprob and logprob[1] < logprob[0] - max(0.05, 0.2 * abs(logprob[0])):
        return (
            f"right answers become less likely: log-prob {logprob[1]:.3g} a token, from {logprob[0]:.3g}: "
            "lower --lr, or raise --group, so that each has enough right ones"
        )
    return ""


def _tool_use_dies_out(means: Means) -> str:
    calls = means("tool_calls")
    if calls and calls[0] >= 0.5 and calls[1] < 0.5 * calls[0]:
        return (
            f"tool use dies out: {calls[1]:.2g} calls a question, from {calls[0]:.2g}: leave out the questions that "
            "`webdancer eval --agent none` answers, and take some over more pages"
        )
    return ""


def _format_gaming(means: Means) -> str:
    well_formed, accuracy = means("format"), means("accuracy")
    if well_formed and accuracy and well_formed[1] >= well_formed[0] + 0.1 and accuracy[1] <= accuracy[0] - 0.05:
        return (
            f"format is gamed: {well_formed[1]:.0%} are well-formed, from {well_formed[0]:.0%}, and "
            f"{accuracy[1]:.0%} right, from {accuracy[0]:.0%}: teach the form by sft first: it is worth nothing then"
        )
    return ""


def _repetition(means: Means) -> str:
    repeating = means("repeating")
    if repeating and repeating[1] >= 0.1 and repeating[1] >= 2 * repeating[0]:
        return (
            f"repetition: {repeating[1]:.0%} of the episodes say one thing over and over, from {repeating[0]:.0%}: "
            "lower --max-turn-tokens, set --overlong-tokens, or lower --lr"
        )
    return ""


def _one_sided_clipping(means: Means) -> str:
    low, high = means("clip_low_fraction"), means("clip_high_fraction")
    if not (low and high) or low[1] + high[1] < 0.02:
        return ""
    share = max(low[1], high[1]) / (low[1] + high[1])
    if share < 0.9:
        return ""
    side, flag = ("below", "--clip-low") if low[1] > high[1] else ("above", "--clip-high")
    return (
        f"one-sided clipping: {share:.0%} of what is clipped ({low[1] + high[1]:.1%} of the tokens) is clipped "
        f"from {side}: widen {flag}, or make fewer --minibatches"
    )


def _a_level_is_unlearned(means: Means) -> str:
    for level in range(1, MOST_LEVEL + 1):
        accuracy = means(f"accuracy_by_level.{level}")
        if accuracy and accuracy[0] >= 0.05 and accuracy[1] < 0.5 * accuracy[0]:
            return (
                f"questions over {level} page{'s' if level > 1 else ''} are unlearned: {accuracy[1]:.0%} right, from "
                f"{accuracy[0]:.0%}: train longer by sft first, until more of their rollouts are right"
            )
    return ""


def _too_little_room(means: Means) -> str:
    hurried = means("short_of_tokens")
    if hurried and hurried[1] >= 0.1:
        return (
            f"too little room: {hurried[1]:.0%} of the episodes were told to answer because their context was full: "
            "raise --max-context-tokens"
        )
    return ""


ALARMS = (
    _a_level_is_unlearned,
    _too_little_room,
    _entropy_collapse,
    _less_likely_right_answers,
    _tool_use_dies_out,
    _format_gaming,
    _repetition,
    _one_sided_clipping,
)


ABOUT_THE_SAME_QUESTIONS = frozenset({_a_level_is_unlearned, _format_gaming})
"""Those to which a lower accuracy tells of the policy, and not of harder questions."""


def alarms(steps: Sequence[Metrics], *, same_questions: bool = True) -> list[str]:
    """What is wrong in the last of these steps, which are all those of a run, in lines with a remedy.

    Without the ``same_questions`` later steps have others than the first, chosen by how hard they are.
    """

    def means(name: str) -> tuple[float, float] | None:
        outer, _, inner = name.partition(".")
        values = [step.get(outer) for step in steps]
        told = [value for value in ([(of or {}).get(inner) for of in values] if inner else values) if value is not None]
        if len(told) < 2 * WINDOW:
            return None
        return sum(told[:WINDOW]) / WINDOW, sum(told[-WINDOW:]) / WINDOW

    fitting = [alarm for alarm in ALARMS if same_questions or alarm not in ABOUT_THE_SAME_QUESTIONS]
    return [said for alarm in fitting if (said := alarm(means))]
