import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.text.passages import passages, snippet

PAGE = (
    "Pimrelu is a town. It lies on a river. The mayor of Pimrelu is Yevliro. Its bridges are old. "
    "The founding year of Pimrelu is 1377. Many people fish there."
)


def test_a_page_that_fits_comes_whole() -> None:
    assert passages(PAGE, "anything", len(PAGE)) == PAGE


def test_the_sentences_for_the_goal_come_whole_in_page_order_with_gaps_marked() -> None:
    # best for the goal: "founding year" (2 rare words), then "mayor"; 37 + 35 characters and marks fit in 90, no third
    said = passages(PAGE, "founding year and mayor", 90)
    assert said == "… The mayor of Pimrelu is Yevliro. … The founding year of Pimrelu is 1377. …"


def test_neighbours_are_joined_without_a_gap() -> None:
    said = passages("A cat sat. A cat ate.\nA dog ran. " + "Filler words here. " * 9, "cat dog", 45)
    assert said == "A cat sat. A cat ate.\nA dog ran. …"


def test_a_goal_without_a_match_shows_the_beginning() -> None:
    assert passages(PAGE, "quantum chess", 60) == "Pimrelu is a town. It lies on a river. …"


def test_one_sentence_too_long_is_cut_at_a_word_around_the_match() -> None:
    text = "word " * 60 + "the treasure lies under the oak " + "word " * 60
    said = passages(text, "treasure", 60)
    assert "treasure" in said and said.startswith("… ") and said.endswith(" …") and len(said) <= 60


@given(st.text(alphabet="ab. \n", max_size=300), st.text(alphabet="ab ", max_size=10), st.integers(1, 120))
def test_passages_are_never_too_long_and_made_of_the_page(text: str, goal: str, room: int) -> None:
    said = passages(text, goal, room)
    assert len(said) <= room
    for part in said.split("…"):
        assert "".join(part.split()) in "".join(text.split())


def test_an_empty_page_has_no_passages() -> None:
    assert passages("  ", "x", 10) == "" and snippet("", "x", 10) == ""


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("mayor of Pimrelu", "The mayor of Pimrelu is Yevliro."),
        ("Pimrelu's founding year", "The founding year of Pimrelu is 1377."),
        ("nothing of this", "Pimrelu is a town."),
    ],
)
def test_a_snippet_is_the_best_sentence(query: str, expected: str) -> None:
    assert snippet(PAGE, query, 160) == expected


def test_a_snippet_keeps_to_its_length_and_can_be_switched_off() -> None:
    assert snippet(PAGE, "mayor", 0) == ""
    assert snippet(PAGE, "mayor", 20) == "The mayor of …"
    assert snippet("- a list item", "item", 99) == "a list item"


def test_evidence_and_snippets_are_single_sentences_though_notes_are_marked() -> None:
    text = "Ida Kroll was born in Tamsen in 1894.[1] She studied in Veldt.[2][3] In 1931 she founded a museum.[note 4]"
    assert passages(text, "Where did she study in Veldt?", 60) == "… She studied in Veldt.[2][3] …"
    assert snippet(text, "museum founded", 60) == "In 1931 she founded a museum.[note 4]"
