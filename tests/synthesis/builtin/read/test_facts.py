"""Sentences to relations, and nothing from sentences that are not understood."""

import pytest

from webdancer_cli.data.records import Link, Page
from webdancer_cli.synthesis.builtin.read.facts import Relation, read_facts, relation_in
from webdancer_cli.synthesis.page_topic import Topic

TOWN, PERSON = Topic("Velmora", "town"), Topic("Ada Munt", "painter", person=True)


@pytest.mark.parametrize(
    ("sentence", "subject", "anchor", "relation"),
    [
        ("The mayor of Velmora is Dolvek.", TOWN, "Dolvek", Relation(noun="mayor")),
        ("The main company of Velmora is Kemlo Works.", TOWN, "Kemlo Works", Relation(noun="main company")),
        ("Velmora's mayor was Dolvek.", TOWN, "Dolvek", Relation(noun="mayor")),
        ("Velmora’s twin town is Kemlo, far away.", TOWN, "Kemlo", Relation(noun="twin town")),
        ("Its first mayor was Dolvek, who took office in 1901.", TOWN, "Dolvek", Relation(noun="first mayor")),
        ("Dolvek is the mayor of Velmora.", TOWN, "Dolvek", Relation(noun="mayor")),
        (
            "Kemlo was Munt's place of birth; she was born there on 3 May 1838.",
            PERSON,
            "Kemlo",
            Relation(noun="place of birth"),
        ),
        ("First elected mayor | Dolvek", TOWN, "Dolvek", Relation(noun="first elected mayor")),
        ("Region | Ullesse", TOWN, "Ullesse", Relation(verb="is located in")),
        ("Velmora was founded by Dolvek in 1320.", TOWN, "Dolvek", Relation(verb="was founded by")),
        (
            "Munt was born on 13 November 1955 in Kemlo, where her father mended clocks.",
            PERSON,
            "Kemlo",
            Relation(verb="was born in"),
        ),
        ("In 1985 she married Jor Rell; it rained.", PERSON, "Jor Rell", Relation(verb="married")),
        ("Ada Munt was born in Kemlo and works at Rell Mills.", PERSON, "Rell Mills", Relation(verb="works at")),
        ("Born in Kemlo in 1838, Munt was the last of five children.", PERSON, "Kemlo", Relation(verb="was born in")),
        ("The town lies on the Orr.", TOWN, "Orr", Relation(verb="lies on")),
        ("The mayor of Kemlo is Dolvek.", TOWN, "Dolvek", None),
        ("Velmora is a town near Kemlo.", TOWN, "Kemlo", None),
        ("Ada Munt is best known for the novel Dolvek.", PERSON, "Dolvek", None),
        ("It was joined by Dolvek in 1951.", PERSON, "Dolvek", None),
        ("River | Orr", TOWN, "Orr", Relation(verb="lies on")),
        ("Velmora has effects comparable to Kemlo.", TOWN, "Kemlo", None),
        ("Velmora may be older than Kemlo.", TOWN, "Kemlo", None),
        ("A choir from Kemlo sang in Velmora.", TOWN, "Kemlo", None),
        ("Velmora is Kemlo.", TOWN, "Kemlo", None),
        ("The mayor of Velmora is Dolvek, not Dolvek of Kemlo.", TOWN, "Dolvek", None),
    ],
)
def test_relations(sentence: str, subject: Topic, anchor: str, relation: Relation | None) -> None:
    assert relation_in(sentence, subject, anchor) == relation


def page(*links: Link) -> Page:
    text = "Velmora is a town. The mayor of\nVelmora is Dolvek.\n| Mayor | Dolvek |\n"
    return Page(url="http://127.0.0.1/Velmora.html", title="Velmora", text=text, links=list(links))


def test_a_fact_is_quoted_from_the_sentence_rather_than_the_table() -> None:
    row = Link(url="http://127.0.0.1/Dolvek.html#top", text="Dolvek", sentence="Mayor | Dolvek")
    told = Link(url="http://127.0.0.1/Dolvek.html", text="Dolvek", sentence="The mayor of\nVelmora is Dolvek.")
    (fact,) = read_facts(page(row, told), TOWN)
    assert (fact.relation, fact.target) == (Relation(noun="mayor"), "127.0.0.1/Dolvek.html")
    assert fact.quote == "The mayor of Velmora is Dolvek."


def test_a_sentence_that_is_not_in_the_text_gives_no_fact() -> None:
    invented = Link(url="http://127.0.0.1/Kemlo.html", text="Kemlo", sentence="The twin town of Velmora is Kemlo.")
    assert read_facts(page(invented), TOWN) == []
