"""What a policy saw is told by the record exactly: against a history that is rewritten step by step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.data.context import Context
from webdancer_cli.data.records import QA, Message, Trajectory
from webdancer_cli.transcript.contexts import BrokenContext, SeenContext, seen_contexts, without_summaries

OPENING = [Message("system", "s"), Message("user", "q")]


def episode(turns: int) -> list[Message]:
    """The opening, and turns t0, t1, …, to all but the last of which a0, a1, … is answered."""
    said = [Message("assistant", f"t{turn}") for turn in range(turns)]
    answers = [Message("user", f"a{turn}") for turn in range(turns - 1)]
    pairs = [message for pair in zip(said, answers, strict=False) for message in pair]
    return [*OPENING, *pairs, said[-1]]


@st.composite
def contexts(draw: st.DrawFn) -> tuple[int, Context | None]:
    turns = draw(st.integers(1, 9))
    kind = draw(st.sampled_from(["append", "keep", "fold"]))
    if kind == "append":
        return turns, None
    if kind == "fold":
        return turns, Context(
            rule="fold", folds=sorted(draw(st.sets(st.integers(1, max(1, turns - 1))))) if turns > 1 else []
        )
    kept = draw(st.integers(1, 4))
    lines = [draw(st.sampled_from([f"l{turn}", ""])) for turn in range(max(0, turns - 1 - kept))]
    return turns, Context(rule=f"keep:{kept}", lines=lines)


def rewritten_step_by_step(turns: int, context: Context | None) -> list[list[str]]:
    """The history before each turn, kept as whoever plays would keep it: appended to, and changed in place."""
    history, before = ["s", "q"], []
    for turn in range(turns):
        before.append(list(history))
        history.append(f"t{turn}")
        if context and turn in context.folds:
            history = ["s", "q", f"t{turn}"]
        history.append(f"a{turn}")
        old = turn - int(context.rule[5:]) if context and context.rule.startswith("keep") else -1
        if old >= 0 and context and old < len(context.lines):
            history = [context.lines[old] or text if text == f"a{old}" else text for text in history]
    return before


@given(contexts())
def test_every_turn_was_written_once_in_what_was_seen_then(case: tuple[int, Context | None]) -> None:
    turns, context = case
    found = seen_contexts(episode(turns), context)
    written: list[tuple[list[str], str]] = []
    for seen in found:
        texts = [message.content for message in seen.messages]
        own = [at for at, message in enumerate(seen.messages) if message.role == "assistant"]
        written += [(texts[:at], texts[at]) for at in own[len(own) - seen.written :]]
    seen_before = rewritten_step_by_step(turns, context)
    assert written == [(seen_before[turn], f"t{turn}") for turn in range(turns)]
    if context is None:
        assert found == [SeenContext(episode(turns), turns)]


def test_there_are_as_many_contexts_as_rewritings_and_one_more() -> None:
    # Observation 0 becomes a line before turn 2, observation 1 before turn 3; observation 2 stays in full.
    kept = seen_contexts(episode(5), Context(rule="keep:1", lines=["l0", "l1", ""]))
    assert [seen.written for seen in kept] == [2, 1, 2]
    folded = seen_contexts(episode(5), Context(rule="fold", folds=[2]))
    assert [[message.content for message in seen.messages] for seen in folded] == [
        ["s", "q", "t0", "a0", "t1", "a1", "t2"],
        ["s", "q", "t2", "a2", "t3", "a3", "t4"],
    ]
    assert [seen.written for seen in folded] == [3, 2]


def test_without_its_summaries_an_episode_is_one_that_only_grew() -> None:
    played = Trajectory(qa=QA(question="q", answer="a"), messages=episode(5), ending="answered")
    assert without_summaries(played) == played.messages
    played.context = Context(rule="fold", folds=[1, 3])
    assert [message.content for message in without_summaries(played)] == ["s", "q", "t0", "a1", "t2", "a3", "t4"]


@pytest.mark.parametrize(
    "context",
    [
        Context(rule="keep:1", lines=["l0"]),
        Context(rule="keep:none"),
        Context(rule="other"),
        Context(rule="fold", folds=[5]),
        Context(rule="fold", folds=[0]),
    ],
)
def test_a_record_that_says_too_little_or_of_turns_that_are_not_there_is_refused(context: Context) -> None:
    with pytest.raises(BrokenContext):
        seen_contexts(episode(5), context)
