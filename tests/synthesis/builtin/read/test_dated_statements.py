"""Years and versions on any site."""

import pytest

from webdancer_cli.data.records import Page
from webdancer_cli.synthesis.builtin.read.dated_statements import DatedStatement, read_dated


def read(text: str, name: str = "pathlib") -> list[DatedStatement]:
    return read_dated(Page(url="http://127.0.0.1/", title=name, text=text), name)


@pytest.mark.parametrize(
    ("sentence", "question", "when", "moment"),
    [
        (
            "Support for SHA-256 signatures was added in Django 3.1.",
            "In which Django version was support for SHA-256 signatures added?",
            "3.1",
            (3, 1),
        ),
        (
            "The django.utils.checksums module has been deprecated and will be removed in Django 1.10.",
            "In which Django version will the django.utils.checksums module be removed?",
            "1.10",
            (1, 10),
        ),
        (
            "The Bessel filter has been deprecated since version 2.4, because of its rounding errors.",
            "Since which version has the Bessel filter been deprecated?",
            "2.4",
            (2, 4),
        ),
        (
            "The rule system of Velmora Base was released in June 1990, after two years of work.",
            "In which year was the rule system of Velmora Base released?",
            "1990",
            (1990,),
        ),
    ],
)
def test_a_plain_sentence_is_dated(sentence: str, question: str, when: str, moment: tuple[int, ...]) -> None:
    (dated,) = read(sentence)
    assert (dated.question, dated.when, dated.moment, dated.quote) == (question, when, moment, sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "This was added in Django 3.1, together with many other features.",
        "The same option was added in Django 3.1, together with many other features.",
        "Assigning to them was deprecated in Python 3.5, together with many other habits.",
        "While support for SHA-256 was added in Django 3.1, it is rarely used today.",
        "The option that nobody uses was added in Django 3.1 by an unknown author.",
    ],
)
def test_what_leans_on_its_paragraph_is_not_dated(sentence: str) -> None:
    assert read(sentence) == []


def test_a_mark_under_the_title_dates_the_page() -> None:
    (dated,) = read("pathlib — Object-oriented filesystem paths\nNew in version 3.4.\nThis module offers classes.")
    assert dated.own and dated.question == "In which version was “pathlib” added?"
    assert dated.quote == "pathlib — Object-oriented filesystem paths New in version 3.4."
    assert read("pathlib — Paths\nThis module offers classes.\nNew in version 3.4.") == []  # what is new?
