"""Tables that say what names mean."""

import pytest

from webdancer_cli.synthesis.builtin.read.described import read_described


def described(text: str) -> dict[str, str]:
    return {found.question: found.answer for found in read_described(text)}


def test_a_row_under_a_head_that_says_so_describes_its_name() -> None:
    table = "| Option | Default | Description |\n| --grid | 8 | Distance between two lines |\n| -v | | Be loud |"
    assert described(table) == {"which option is described as “Distance between two lines”": "--grid"}


def test_cells_may_have_run_together() -> None:
    row = "job_uid oid (references users.id) Owner of the waiting process. Never null."
    (found,) = read_described(f"| Column Type Description |\n| {row} |")
    assert (found.question, found.answer) == ("which column is described as “Owner of the waiting process”", "job_uid")
    assert found.quote == row


def test_what_two_rows_say_or_what_names_its_answer_is_not_asked() -> None:
    twice = "| Field | Meaning |\n| a_left | Distance to the edge |\n| a_right | Distance to the edge |"
    assert described(twice) == {}
    assert described("| Field | Meaning |\n| width_left | The width of the left edge |") == {}
    assert described("| Town | Description |\n| Velmora | A small town in the north |") == {}
    assert described("| Field | Meaning |\n\n| a_size | Distance to the edge of it |") == {}  # another table


SUITE = "- quillcut(1): a tool that cuts the edges of pages\n- quillglue(1): a tool that joins single pages again"


def test_what_a_list_says_of_other_pages_is_left_to_them() -> None:
    assert len(described(f"Tools\n{SUITE}")) == 2
    assert described(f"See also\n{SUITE}") == {}


def test_a_list_of_changes_describes_nothing() -> None:
    changes = "\n".join(f"- quill-cut: the edges of page {at} are cut again, #10{at}" for at in range(20, 34))
    assert described(f"Changes\n{changes}\n{SUITE}") == {}


@pytest.mark.parametrize(
    "row",
    [
        "10 | Number of pages that were cut since the last poll",  # a number is no name
        "page_limit | Integer, defaults to the number of pages at hand",
        "page_limit | Some printers expect the number of pages before them",
        "page_limit | if given, cut no more pages than so many of them",
    ],
)
def test_a_row_that_tells_no_meaning_of_a_name_is_not_asked_about(row: str) -> None:
    assert described(f"| Field | Description |\n| {row} |") == {}
