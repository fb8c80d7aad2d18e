"""Tables as models write them: found whatever stands around them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.text.markdown_tables import format_markdown_table, read_markdown_tables

WHOLE = [(["Name", "Year"], [["Ida", "1889"], ["Bo", ""]])]


@pytest.mark.parametrize(
    "text",
    [
        "| Name | Year |\n|---|---|\n| Ida | 1889 |\n| Bo | |",
        "Here it is:\n\n```markdown\n|Name|Year|\n|:--|--:|\n|Ida|1889|\n|Bo||\n```\nDone | not.",
        "Name | Year\n--- | ---\nIda | 1889\nBo |",
        "| Name | Year |\n| Ida | 1889 |\n| Bo |",  # no dashes, a short row
        "| Name | Year |\n|---|---|\n\n| Ida | 1889 |\n\n| Bo | | more |",  # empty lines, a long row
        "| **Name** | `Year` |\r\n|-|-|\r\n| *Ida* | __1889__ |\r\n| Bo | |\r\n",
        "| Name | Year |\n|---|---|\n| Ida | 1889 |\n|---|---|\n| Bo | |\n|---|---|",  # dashes between rows
        "|---|---|\n| Name | Year |\n|---|---|\n| Ida | 1889 |\n| Bo | |\n|---|---|",  # and around the table
        "  | Name | Year |\n  | --- | --- |\n  | Ida | 1889 |\n| Name | Year |\n  | Bo | |",  # the header again
    ],
)
def test_a_table_is_read_in_any_of_its_forms(text: str) -> None:
    assert read_markdown_tables(text) == WHOLE


def test_tables_apart_are_two_and_a_line_with_a_bar_is_none() -> None:
    text = "a | b\n\nThen:\n|x|y|\n|--|--|\n|1|2|\n|u|v|\n|--|--|\n|3|4|"
    assert read_markdown_tables(text) == [(["x", "y"], [["1", "2"]]), (["u", "v"], [["3", "4"]])]
    assert read_markdown_tables("no table") == []


def test_bars_and_line_breaks_stand_in_cells() -> None:
    assert read_markdown_tables("|a|b|\n|--|--|\n|1 \\| 2|x<br/>y|") == [(["a", "b"], [["1 | 2", "x y"]])]


CELLS = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="*_`\\-–—=:<\x85"), max_size=5)


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=4))
def test_what_is_written_is_read_again(rows: list[tuple[str, str]]) -> None:
    written = format_markdown_table(["Name", "Year"], rows)
    assert read_markdown_tables(written) == [(["Name", "Year"], [list(row) for row in rows])]
