"""Bytes as ASCII: read again as they were, nothing that HTML changes among them, and little more than they were."""

import random

from hypothesis import given
from hypothesis import strategies as st
from report_records import from_ascii

from webdancer_cli.report.ascii_bytes import to_ascii


@given(st.binary(max_size=40))
def test_what_is_written_is_read_again_and_is_no_markup(data: bytes) -> None:
    text = to_ascii(data)
    assert from_ascii(text) == data
    assert not set(text) & set(b"\0\r<") and text.isascii()


def test_it_takes_a_sixth_more_than_the_bytes() -> None:
    data = random.Random(0).randbytes(100_000)
    # 8 / 7 for seven bits a character, and one more of 4 in 128
    assert len(to_ascii(data)) / len(data) < 8 / 7 * (1 + 4 / 128) * 1.005
