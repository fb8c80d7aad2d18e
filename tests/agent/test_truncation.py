"""What is cut, and where."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.agent.truncation import estimate_tokens, truncate

RESULTS = (
    "Two found:\n\n1. [A](http://a)\n\nOf a. And b.\n\n2. [B](http://b)\n\n10. [C](http://c)\n=======\n1. [D](http://d)"
)
PAGE = "It is a town. Its mayor is Dolvek. He lives there."


def within(chars: int) -> Callable[[str], bool]:
    return lambda text: len(text) <= chars


@pytest.mark.parametrize(
    ("room", "expected"),
    [
        (len(RESULTS), RESULTS),
        (len(RESULTS) - 1, RESULTS.partition("\n===")[0] + " +"),
        (75, RESULTS.partition("\n\n10.")[0] + " +"),
        (60, RESULTS.partition("\n\n2.")[0] + " +"),
    ],
)
def test_results_are_cut_after_a_whole_result(room: int, expected: str) -> None:
    assert truncate(RESULTS, within(room), " +") == expected


@pytest.mark.parametrize(
    ("text", "room", "expected"),
    [
        (PAGE, 40, "It is a town. Its mayor is Dolvek. +"),
        (PAGE, 30, "It is a town. +"),
        (PAGE, 12, "It is a +"),
        ("x" * 99, 5, "xxx +"),
        (PAGE, 2, "+"),
        (PAGE, 0, "+"),
        ("", 0, ""),
    ],
)
def test_other_text_is_cut_after_a_sentence_or_a_word_or_anywhere(text: str, room: int, expected: str) -> None:
    assert truncate(text, within(room), " +") == expected


@given(st.text(), st.integers(0, 50))
def test_what_is_left_is_a_beginning_that_fits(text: str, room: int) -> None:
    left = truncate(text, within(room), " +")
    assert left == "+" or (len(left) <= room and (left == text or text.startswith(left.removesuffix(" +"))))


def test_an_estimate_counts_bytes() -> None:
    assert estimate_tokens("seven b") == 2
    assert estimate_tokens("\ud800", 1) == 3
    assert estimate_tokens("日本", 2) == 3
    assert estimate_tokens("") == 0
