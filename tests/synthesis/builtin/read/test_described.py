"""Tables that say what names mean."""

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
