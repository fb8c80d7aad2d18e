"""The passages of a page, as stems and as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.text.words import raw_words, word_starts
from webdancer_cli.web.fixed_pages import PageLine
from webdancer_cli.web.page_index.passages import passage_texts, passage_words, stem

WORDS = st.sampled_from(["Straße", "naïve", "東京", "o’clock", "x", "—", "e\u0301te", "ﬁn", "Ⅻ", " ", "İstanbul"])
LINES = st.lists(st.lists(WORDS, max_size=400).map(" ".join), max_size=5).map("\n".join)


@given(LINES)
def test_each_passage_is_the_same_words_as_stems_and_as_text(text: str) -> None:
    entry = PageLine(url="", title="", text=text)
    stems = [list(map(stem, raw_words(passage))) for passage in passage_texts(entry)]
    assert [passage.split() for passage in passage_words(entry)] == stems


@given(st.text())
def test_every_raw_word_begins_where_it_is_said_to(text: str) -> None:
    starts = [*word_starts(text), len(text)]
    words = raw_words(text)
    assert len(starts) == len(words) + 1 and starts == sorted(starts)


@pytest.mark.parametrize(
    ("words", "sizes"),
    [(0, [0]), (249, [249]), (250, [250]), (309, [309]), (310, [250, 60]), (560, [250, 250, 60])],
)
def test_a_long_line_is_cut_into_passages_with_a_rest_that_is_not_too_short(words: int, sizes: list[int]) -> None:
    """250 words a passage; a rest below 60 goes with the one before: 309 = 250 + 59 stays whole."""
    text = " ".join(f"Word{number}," for number in range(words))
    texts = list(passage_texts(PageLine(url="", title="Title", text=text)))
    assert [len(raw_words(each)) - 1 for each in texts] == sizes
    assert " ".join(each.removeprefix("Title").strip() for each in texts) == text
