"""What a page is about, from title and lead."""

import pytest

from webdancer_cli.data.records import Page
from webdancer_cli.synthesis.page_topic import Topic, topic_of


def topic(title: str, text: str) -> Topic:
    return topic_of(Page(url="http://127.0.0.1/", title=title, text=text))


@pytest.mark.parametrize(
    ("title", "text", "kind"),
    [
        ("Velmora", "Velmora is a town.", "town"),
        ("Velmora", "Velmora is a small coastal town in the north.", "town"),
        ("Wolf Foundry", "Wolf Foundry is a well-known company whose business is iron.", "company"),
        ("Alder", "The city of Alder lies in Ullesse.", "city"),
        ("Ada Munt", "Ada Munt, an architect, was born in 1955.", "architect"),
        ("The Horse", "The Horse is an 1874 novel by Ada Munt.", "novel"),
        ("The Salt Road", "The Salt Road is a 1962 drama film directed by Ilse Brandt.", "film"),
        ("Quill (language)", "Quill is a programming language.", "language"),
        ("Ada Munt", "Ada Munt was Bishop of Tarn from 1688.", "bishop"),
        ("River Orr", "The River Orr is one of the rivers of Ullesse.", "river"),
        ("Gale Expedition", "The Gale Expedition set out in 1979. The expedition was large.", "expedition"),
        ("Notes", "Some notes. It is late.", ""),
    ],
)
def test_the_kind_is_the_noun_of_the_lead(title: str, text: str, kind: str) -> None:
    assert topic(title, text).kind == kind


def test_persons_are_known_by_their_kind_or_their_life() -> None:
    assert topic("Ada Munt", "Ada Munt was a painter.").person
    assert topic("Ada Munt", "Ada Munt (1813–1881) was a beekeeper.").person
    assert not topic("Velmora", "Velmora is a town.").person


def test_a_name_has_an_article_if_the_page_gives_it_one() -> None:
    assert topic("Larch Library", "The Larch Library is a library.").called == "the Larch Library"
    assert topic("Velmora", "Velmora is a town.").called == "Velmora"
    assert topic("The Horse", "The Horse is a novel. Many read The Horse.").called == "The Horse"


@pytest.mark.parametrize(
    ("title", "lead", "name"),
    [
        ("argparse — Parser for options", "The argparse module.", "argparse"),
        ("Atlas of Things | Velmora", "Velmora is a town.", "Velmora"),
        ("4. More Control Flow Tools", "As well as while.", "More Control Flow Tools"),
        ("Squirrel manual - qlist(1)", "QLIST(1)", "qlist(1)"),
        ("Squirrel Howto (versions 2.8 - 3.5)", "This is a howto.", "Squirrel Howto (versions 2.8 - 3.5)"),
    ],
)
def test_a_name_is_the_part_of_the_title_that_the_page_is_about(title: str, lead: str, name: str) -> None:
    assert topic(title, lead).name == name
