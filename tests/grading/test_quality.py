"""Quality by rule, and the repetition that it looks for."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.data.records import Message
from webdancer_cli.grading.format import FormatFault, own_turns
from webdancer_cli.grading.quality import quality_fault
from webdancer_cli.grading.repetition import max_repeats, policy_words, split_words
from webdancer_cli.options.config import FilterOptions
from webdancer_cli.transcript.grammar import ToolCall, Turn, render_response, render_turn


def episode(*queries: str, thought: str = "Look.", shown: str = "By Eiffel.") -> list[Message]:
    messages = [Message("user", "Who?")]
    for query in queries:
        call = ToolCall("search", {"query": [query]})
        messages.append(Message("assistant", render_turn(Turn(thought=thought, call=call))))
        messages.append(Message("user", render_response(shown)))
    return [*messages, Message("assistant", render_turn(Turn(thought=thought, answer="Eiffel")))]


def fault(
    messages: list[Message], minimum: int = 1, maximum: int | None = None, repeats: int = 4
) -> FormatFault | None:
    turns = own_turns(messages)
    return quality_fault(
        messages, turns, FilterOptions(min_actions=minimum, max_actions=maximum, max_ngram_repeats=repeats)
    )


def test_a_good_episode_has_no_fault() -> None:
    assert fault(episode("a", "b")) is None


@pytest.mark.parametrize(
    ("messages", "minimum", "maximum", "reason"),
    [
        (episode(), 1, None, "too_few_actions"),
        (episode("a"), 2, None, "too_few_actions"),
        (episode("a", "b", "c"), 1, 2, "too_many_actions"),
        (episode("a", "b", "a"), 1, None, "repeated_call"),
        (episode(), 0, None, "answer_before_evidence"),
        (episode("a", shown=" "), 1, None, "answer_before_evidence"),
    ],
)
def test_each_fault_has_its_reason(messages: list[Message], minimum: int, maximum: int | None, reason: str) -> None:
    found = fault(messages, minimum, maximum)
    assert found and found.reason == reason


def test_a_ten_gram_may_occur_as_often_as_is_allowed() -> None:
    # eleven distinct words said n times: each of the 10-grams inside occurs n times
    said = "one two three four five six seven eight nine ten eleven "
    assert fault(episode("a", thought="x")) is None
    assert (
        fault([*episode("a")[:-1], Message("assistant", f"<think>\n{said * 4}\n</think>\n<answer>\n1\n</answer>")])
        is None
    )
    found = fault([*episode("a")[:-1], Message("assistant", f"<think>\n{said * 5}\n</think>\n<answer>\n1\n</answer>")])
    assert found == FormatFault("repetition", "a 10-gram occurs 5 times, more than 4")


@pytest.mark.parametrize(
    ("text", "n", "expected"),
    [
        ("", 1, 0),
        ("a b", 3, 0),
        ("a b c", 3, 1),
        ("a a a a", 2, 3),  # aa at 0, 1 and 2: overlaps count
        ("a b a b a b", 2, 3),  # ab three times, ba twice
        ("a b c a b c", 3, 2),
    ],
)
def test_the_most_frequent_n_gram_is_counted(text: str, n: int, expected: int) -> None:
    assert max_repeats(text.split(), n) == expected


@given(st.lists(st.sampled_from("abcd"), max_size=60), st.integers(1, 4), st.integers(1, 6))
def test_looking_only_where_words_are_frequent_changes_no_count(letters: list[str], n: int, least: int) -> None:
    every = Counter(tuple(letters[at : at + n]) for at in range(len(letters) - n + 1))
    most = max(every.values(), default=0)
    assert max_repeats(letters, n, least) == (most if most >= least else 0)


def test_scripts_without_spaces_are_counted_by_character() -> None:
    assert split_words("我们search东京 now") == ["我", "们", "search", "东", "京", "now"]
    assert split_words("né à Paris") == ["né", "à", "Paris"]
    assert split_words("𠮷野 ລາວ now") == ["𠮷", "野", "ລ", "າ", "ວ", "now"]
    assert max_repeats(split_words("好的" * 20), 10) == 16  # 40 characters hold 31 10-grams, 16 of which begin with 好


def test_only_the_policys_own_words_count() -> None:
    messages = episode("a", shown="never mine")
    assert "mine" not in policy_words(messages) and "Look." in policy_words(messages)
