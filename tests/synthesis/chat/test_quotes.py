"""A quote is found however spaces, dashes and quotation marks were typed, and kept as the page has it."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.synthesis.chat.quotes import QuoteFinder

PAGE = "A town.\n\nThe “Old\u00a0Mill” – built\n in 1820 — isn’t far; ½ a mile,\u200b ﬁne walk… Zoe\u0308 lives there."


@pytest.mark.parametrize(
    ("quote", "found"),
    [
        ('The "Old Mill" - built in 1820', "The “Old\u00a0Mill” – built\n in 1820"),
        ("isn't far", "isn’t far"),
        ("a mile, fine walk...", "a mile,\u200b ﬁne walk…"),
        ("Zoë lives there.", "Zoe\u0308 lives there."),
        ("“The Old Mill”", ""),
        ('the "Old Mill"', ""),
        ('"A town."', "A town."),
        ("… built in 1820 …", "built\n in 1820"),
        ("", ""),
        ("...", "…"),
        ("... A town ...", "A town"),
    ],
)
def test_a_quote_is_found_in_the_pages_own_words(quote: str, found: str) -> None:
    assert QuoteFinder(PAGE).find(quote) == found


@given(st.text(max_size=60), st.data())
def test_every_part_of_a_text_is_found_in_it(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    part = text[start : data.draw(st.integers(start, len(text)))]
    found = QuoteFinder(text).find(part)
    assert found in text
    if part.strip().isascii() and text.isascii() and part.strip():
        assert found.split() == part.split()


@given(st.text(alphabet="ab c\n–-’'“\"e\u0308", max_size=40))
def test_what_is_found_says_the_same(text: str) -> None:
    plain = unicodedata.normalize("NFKC", text).replace("–", "-").replace("’", "'").replace("“", '"')
    if plain.strip():
        assert QuoteFinder(text).find(plain) != ""
