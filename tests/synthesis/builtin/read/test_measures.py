"""Numbers and years that a page states of its subject."""

import pytest

from webdancer_cli.data.records import Page
from webdancer_cli.synthesis.builtin.read.measures import Measure, read_measures
from webdancer_cli.synthesis.page_topic import Topic

TOWN = Topic("Velmora", "town")


def read(text: str, topic: Topic = TOWN) -> list[Measure]:
    return read_measures(Page(url="http://127.0.0.1/", title=topic.name, text=text), topic)


@pytest.mark.parametrize(
    ("sentence", "more", "value"),
    [
        ("The founding year of Velmora is 1320.", "was founded later", 1320),
        ("Velmora was founded in 1320 by Dolvek.", "was founded later", 1320),
        ("Velmora was founded on 3 May 1320.", "was founded later", 1320),
        ("Velmora's population is 58,275.", "has more inhabitants", 58275),
        ("Velmora has 58,275 inhabitants.", "has more inhabitants", 58275),
        ("Velmora is 12 kilometres long.", "is longer", 12),
    ],
)
def test_a_sentence_that_names_its_subject(sentence: str, more: str, value: int) -> None:
    (measure,) = read(sentence)
    assert (measure.attribute.more, measure.value, measure.quotes) == (more, value, (sentence,))


@pytest.mark.parametrize(
    "sentence",
    [
        "It was founded in 1320.",  # what was?
        "Velmora was founded in 1320 or 1321.",
        "The mayor of Velmora was born in 1950.",
        "Velmora has 3 lives.",
        "The version of Velmora is 1320.",
    ],
)
def test_what_is_not_plain_is_not_read(sentence: str) -> None:
    assert read(sentence) == []


def test_a_row_is_quoted_with_the_lead_that_names_its_subject() -> None:
    lead = "Velmora is a town."
    (measure,) = read(f"{lead}\n| Founding year | 1320 |\n| Mayor | Dolvek |")
    assert (measure.value, measure.quotes) == (1320, (lead, "Founding year | 1320"))


def test_units_keep_apart_what_cannot_be_compared() -> None:
    orr = Topic("Orr", "river")
    (metric,), (other,) = (read(f"Orr is a river.\n| Length in {unit} | 40 |", orr) for unit in ("kilometres", "miles"))
    assert metric.attribute != other.attribute


def test_a_contradiction_states_nothing() -> None:
    assert read("Velmora was founded in 1320.\n| Founding year | 1321 |") == []
