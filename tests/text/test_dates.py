"""Dates in the ways in which people write them; what they leave open is the first of it, on whatever day one reads."""

from datetime import date

import pytest

from webdancer_cli.text.dates import read_date


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("31 March 1889", date(1889, 3, 31)),
        ("1889-03-31", date(1889, 3, 31)),
        ("March 1889", date(1889, 3, 1)),
        ("1889", date(1889, 1, 1)),
        ("2024年3月5日", date(2024, 3, 5)),
        ("3. Oktober 2021", date(2021, 10, 3)),
        ("no date at all", None),
        ("", None),
    ],
)
def test_a_date_is_read(text: str, expected: date | None) -> None:
    assert read_date(text) == expected
