"""Which of several trajectories of a question are kept."""

from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.data.records import QA, Message, Trajectory, Verdict
from webdancer_cli.grading.format import own_turns
from webdancer_cli.grading.selection import (
    SelectionEntry,
    duplicate_key,
    jaccard_distance,
    select_best,
    selection_entry,
)
from webdancer_cli.transcript.grammar import ToolCall, Turn, render_turn


def played(*queries: str, answer: str = "Eiffel", verdict: str | None = None, thought: str = "Look.") -> Trajectory:
    turns = [Turn(thought=thought, call=ToolCall("search", {"query": [query]})) for query in queries]
    texts = [render_turn(turn) for turn in [*turns, Turn(thought="So.", answer=answer)]]
    judged = Verdict(outcome=verdict, method="x") if verdict else None  # type: ignore[arg-type]
    messages = [Message("assistant", text) for text in texts]
    return Trajectory(
        qa=QA(question="Who?", answer="Eiffel"), messages=messages, ending="answered", answer=answer, verdict=judged
    )


def kept(count: int, *trajectories: Trajectory) -> list[int]:
    return [
        entry.at
        for entry in select_best([selection_entry(trajectory, at) for at, trajectory in enumerate(trajectories)], count)
    ]


def test_the_shortest_comes_first() -> None:
    assert kept(1, played("a", "b"), played("a"), played("a", thought="A long thought.")) == [1]


def test_a_correct_one_comes_before_a_shorter_wrong_one() -> None:
    assert kept(1, played("a", verdict="wrong"), played("a", "b", verdict="correct")) == [1]
    assert kept(2, played("a", verdict="wrong"), played("a", verdict="correct"), played("b", verdict="correct")) == [
        1,
        2,
    ]


def test_then_the_one_that_differs_most_from_what_is_chosen() -> None:
    # words of the calls: {search, query, tower}, {search, query, tower, height}, {search, query, tower, built, when}:
    # 1 - 3/4 and 1 - 3/5 from the first
    assert kept(2, played("tower"), played("tower height"), played("when built tower")) == [0, 2]


def test_the_third_is_far_from_both() -> None:
    one, two, near_two, far = played("a b"), played("c d e"), played("c d e f"), played("g h")
    # {a,b} first; {c,d,e,f} shares only "search" and "query" with it: 1 - 2/8; then {g,h}: 1 - 2/6 from {a,b};
    # {c,d,e} is 1 - 5/6 from {c,d,e,f}
    assert kept(3, one, two, near_two, far) == [0, 2, 3]


@given(st.lists(st.frozensets(st.sampled_from("abcdef")), max_size=8), st.integers(0, 9))
def test_the_choice_does_not_depend_on_the_order_of_the_entries(words: list[frozenset[str]], count: int) -> None:
    entries = [SelectionEntry(False, 2, len(asked), at, asked) for at, asked in enumerate(words)]
    assert select_best(entries, count) == select_best(entries[::-1], count)
    assert len(select_best(entries, count)) == min(count, len(entries))


def test_distances() -> None:
    assert jaccard_distance(frozenset("ab"), frozenset("bc")) == 1 - 1 / 3
    assert jaccard_distance(frozenset(), frozenset()) == 0
    assert jaccard_distance(frozenset("a"), frozenset("b")) == 1


def test_the_same_calls_and_answer_are_one_whatever_was_thought() -> None:
    def key(trajectory: Trajectory) -> str:
        return duplicate_key(trajectory, own_turns(trajectory.messages))

    assert key(played("a", thought="One.")) == key(played("a", thought="Other.", answer="eiffel."))
    others = [played("b"), played("a", answer="Bartholdi"), played("a", "a"), played("b", "a")]
    assert len({key(trajectory) for trajectory in [played("a"), played("a", "b"), *others]}) == 6
