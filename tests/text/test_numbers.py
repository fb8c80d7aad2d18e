"""Cardinal numbers in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.text.numbers import drop_zero_decimals, remove_group_separators, words_to_digits

SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
)
SMALL_WORDS = [*SMALL.split(), "eighteen", "nineteen"]
TENS_WORDS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def in_words(number: int) -> str:
    """British English, as a person writes it: the reverse of what is tested, by the school rule."""
    if number < 20:
        return SMALL_WORDS[number]
    if number < 100:
        return TENS_WORDS[number // 10] + (f" {SMALL_WORDS[number % 10]}" if number % 10 else "")
    if number < 1000:
        return f"{SMALL_WORDS[number // 100]} hundred" + (f" and {in_words(number % 100)}" if number % 100 else "")
    for name, size in (("billion", 10**9), ("million", 10**6), ("thousand", 10**3)):
        if number >= size:
            rest = number % size
            between = " and " if 0 < rest < 100 else " "
            return f"{in_words(number // size)} {name}" + (between + in_words(rest) if rest else "")
    raise AssertionError


@given(st.integers(0, 10**12 - 1))
def test_every_number_in_words_is_read(number: int) -> None:
    assert words_to_digits(in_words(number).split()) == [str(number)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("two and two", "2 and 2"),
        ("twenty twenty", "20 20"),
        ("catch twenty two films", "catch 22 films"),
        ("one hundred years of solitude", "100 years of solitude"),
        ("five thousand million", "5000 million"),
        ("two thousand three thousand", "2000 3000"),
        ("12 angry men", "12 angry men"),
        ("007", "007"),
        ("1.5 million", "1500000"),
        ("-2 million", "-2000000"),
        ("1.5 men", "1.5 men"),
        ("third", "3rd"),
        ("twenty first", "21st"),
        ("twenty , two", "20 , 2"),
        ("one thousand , nine hundred", "1900"),
        ("one thousand , nine", "1000 , 9"),
        ("3 million", "3000000"),
        ("hundred", "hundred"),
        ("a hundred and one dalmatians", "101 dalmatians"),
        ("zero", "0"),
        ("", ""),
    ],
)
def test_other_words_stay(text: str, expected: str) -> None:
    assert " ".join(words_to_digits(text.split())) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,234", "1234"),
        ("1,234,567.89", "1234567.89"),
        ("in 1,234 and 5,678", "in 1234 and 5678"),
        ("1,23", "1,23"),
        ("12,34,567", "1234567"),
        ("1 234 567", "1234567"),
        ("1'234'567", "1234567"),
        ("1.234.567", "1234567"),
        ("1.234,56", "1234.56"),
        ("1 234 567,89", "1234567.89"),
        ("1.234", "1.234"),
        ("10.100.200.250", "10.100.200.250"),
        ("1 23", "1 23"),
        ("12,34", "12,34"),
        ("1,2345", "1,2345"),
        ("1, 234", "1, 234"),
        ("a1,234", "a1,234"),
    ],
)
def test_what_stands_between_thousands_goes(text: str, expected: str) -> None:
    assert remove_group_separators(text) == expected


def test_only_a_decimal_of_zeros_is_whole() -> None:
    assert [drop_zero_decimals(text) for text in ("5.0", "-5.00", "3.10", "5.01", "v5.0")] == [
        "5",
        "-5",
        "3.10",
        "5.01",
        "v5.0",
    ]
