"""Rows of tables: quotation marks by the rules, and quotation marks that are text."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.data.tables import MOST_CELL_BYTES, rows


def read(text: str, delimiter: str = "\t") -> list[tuple[int, list[str]]]:
    return [tuple(row) for row in rows(io.StringIO(text, newline="\n").readline, delimiter)]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        ('"The Office" actor\tIda', ['"The Office" actor', "Ida"]),
        ('"Q" \tIda', ['"Q" ', "Ida"]),
        ('a 5" disk\tIda', ['a 5" disk', "Ida"]),
        ('the "Q"\tIda', ['the "Q"', "Ida"]),
        ('"Q\tIda', ['"Q', "Ida"]),
        ('Q"\tIda', ['Q"', "Ida"]),
        ('"\tIda', ['"', "Ida"]),
        ('"Q"\tIda', ["Q", "Ida"]),
        ('""\tIda', ["", "Ida"]),
        ('"a ""b"" c"\tIda', ['a "b" c', "Ida"]),
        ('"a\tb"\tIda', ["a\tb", "Ida"]),
        ('"a", said he\tIda', ['"a", said he', "Ida"]),
        ("\tIda", ["", "Ida"]),
        ("Q\t", ["Q", ""]),
        ("a\rb\tIda", ["a\rb", "Ida"]),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_a_mark_encloses_a_whole_cell_or_is_text(line: str, cells: list[str], end: str) -> None:
    assert read(f"q\ta{end or chr(10)}{line}{end}") == [(1, ["q", "a"]), (2, cells)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_cell_may_hold_line_breaks(delimiter: str) -> None:
    text = f'q{delimiter}a\n"one\ntwo {delimiter} three\n"{delimiter}"x\ny"\nlast{delimiter}z\n'
    assert read(text, delimiter) == [
        (1, ["q", "a"]),
        (2, [f"one\ntwo {delimiter} three\n", "x\ny"]),
        (6, ["last", "z"]),
    ]


@pytest.mark.parametrize("opening", ['"open', '"open "x" y', '"'])
@pytest.mark.parametrize("later", ["", '"quoted"\tb\n', 'a\t"b"\n', 'a 5"\tb\n', '"the ""x"""\tb\n'])
def test_a_mark_that_is_never_closed_loses_no_row(opening: str, later: str) -> None:
    rest = "".join(f"q{number}\ta{number}\n" for number in range(20))
    found = read(f"q\ta\n{opening}\tIda\n{rest}{later}")
    assert [cells for _, cells in found[:22]] == [
        ["q", "a"],
        [opening, "Ida"],
        *([f"q{number}", f"a{number}"] for number in range(20)),
    ]
    assert [number for number, _ in found] == list(range(1, len(found) + 1))


def test_an_open_mark_is_looked_after_within_bounds() -> None:
    line = "x" * 1000 + "\ty\n"
    found = read("q\ta\n" + '"open\tIda\n' + line * (MOST_CELL_BYTES // 1000 + 10) + 'the "end"\tz\n')
    assert found[1] == (2, ['"open', "Ida"]) and len(found) == MOST_CELL_BYTES // 1000 + 13


TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r"))


@given(st.lists(st.lists(TEXT, min_size=3, max_size=3), min_size=1, max_size=5), st.sampled_from([",", ";", "\t"]))
def test_what_is_quoted_by_the_rules_reads_back(written: list[list[str]], delimiter: str) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([["one", "two", "three"], *written])
    assert [cells for _, cells in read(text.getvalue(), delimiter)][1:] == written
