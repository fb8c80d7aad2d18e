import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.text.page_parts import Find, find_words, part_of

TEXT = "Ada lives in Zürich. The mill is old.\n- the old mill burned. Millers left Zürich."


@pytest.mark.parametrize(
    ("words", "starts"),
    [
        ("mill", [21, 38]),
        ("the OLD mill", [38]),
        ("old", [21, 38]),
        ("zurich", [0, 61]),
        ("zürich.", [0, 61]),
        ("mill zürich", []),
        ("", []),
        ("?!", []),
    ],
)
def test_words_are_found_in_a_row_whatever_their_case_and_accents(words: str, starts: list[int]) -> None:
    count, shown = find_words(TEXT, words, 1000)
    assert (count, [found.start for found in shown]) == (len(starts), starts)
    assert all(TEXT.startswith(found.sentence, found.start) for found in shown)


def test_so_many_sentences_are_shown_as_fit_and_one_at_least() -> None:
    assert find_words(TEXT, "mill", 5) == (2, [Find(21, "The mill is old.")])
    assert len(find_words(TEXT, "mill", 16 + 22)[1]) == 2  # their lengths
    assert len(find_words(TEXT, "mill", 16 + 21)[1]) == 1


@given(st.text(alphabet="ab .\n", min_size=1), st.integers(1, 9))
def test_parts_read_one_after_the_other_are_the_whole_text(text: str, chars: int) -> None:
    read, start = [], 0
    while start < len(text):
        part = part_of(text, start, chars)
        assert part.start == start and 0 < len(part.text) == part.end - start <= chars
        read.append(part.text)
        start = part.end
    assert "".join(read) == text


def test_a_part_ends_with_a_whole_sentence_if_one_fits() -> None:
    assert part_of("One. Two. Three.", 0, 12) == ("One. Two.", 0, 9)
    assert part_of("One. Two. Three.", 9, 12) == (" Three.", 9, 16)
    assert part_of("endless", 2, 3) == ("dle", 2, 5)
