"""Halves of surrogate pairs, which no UTF-8 holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.text.surrogates import mend_surrogates


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("a \ud83d b \ud83d\ude00 c \ude00", "a \ufffd b \U0001f600 c \ufffd"),
        ("\ude00\ud83d", "\ufffd\ufffd"),  # the wrong way round they are no pair
        ("plain 😀", "plain 😀"),
        ("", ""),
    ],
)
def test_halves_are_replaced_and_pairs_are_joined(text: str, mended: str) -> None:
    assert mend_surrogates(text) == mended


@given(st.text(alphabet=st.sampled_from("a😀\ud83d\ude00\ufffd")))
def test_what_is_mended_can_be_written_and_is_mended_once(text: str) -> None:
    mended = mend_surrogates(text)
    assert mend_surrogates(mended) == mended == mended.encode().decode()
