"""Relations in English."""

import pytest

from webdancer_cli.synthesis.builtin.facts import Relation
from webdancer_cli.synthesis.builtin.wording import (
    ask_count,
    ask_object,
    ask_subject,
    describe_object,
    group,
    is_knotted,
    plural,
)
from webdancer_cli.synthesis.things import Thing

TOWN, COMPANY, PERSON = (
    Thing("Velmora", "town"),
    Thing("Kemlo Works", "company"),
    Thing("Dolvek", "painter", person=True),
)


@pytest.mark.parametrize(
    ("relation", "thing", "question", "description"),
    [
        (Relation(noun="mayor"), PERSON, "Who is the mayor of X?", "the mayor of X"),
        (Relation(noun="birthplace"), TOWN, "Which town is the birthplace of X?", "the birthplace of X"),
        (Relation(noun="twin town"), TOWN, "What is the twin town of X?", "the twin town of X"),
        (Relation(noun="source"), Thing("Orr"), "What is the source of X?", "the source of X"),
        (Relation(verb="was born in"), TOWN, "In which town was X born?", "the town in which X was born"),
        (Relation(verb="works at"), COMPANY, "At which company does X work?", "the company at which X works"),
        (Relation(verb="was founded by"), PERSON, "Who founded X?", "the person who founded X"),
        (Relation(verb="is owned by"), PERSON, "By whom is X owned?", "the person by whom X is owned"),
        (Relation(verb="married"), PERSON, "Who did X marry?", "the person whom X married"),
        (Relation(verb="joined"), COMPANY, "Which company did X join?", "the company that X joined"),
        (Relation(verb="studied under"), PERSON, "Under whom did X study?", "the person under whom X studied"),
        (Relation(verb="died in"), TOWN, "In which town did X die?", "the town in which X died"),
        (Relation(verb="wrote"), Thing("Y", "novel"), "Which novel did X write?", "the novel that X wrote"),
    ],
)
def test_an_object_is_asked_for_and_described(
    relation: Relation, thing: Thing, question: str, description: str
) -> None:
    assert ask_object(relation, "X", thing) == question
    assert describe_object(relation, "X", thing) == description


def test_the_subject_of_two_relations() -> None:
    born, works = (Relation(verb="was born in"), "Velmora"), (Relation(verb="works at"), "Kemlo Works")
    assert ask_subject(PERSON, [born, works]) == "Which person was born in Velmora and works at Kemlo Works?"
    teacher = (Relation(noun="teacher"), "Ada")
    asked = "What is the name of the person whose teacher is Ada and who was born in Velmora?"
    assert ask_subject(PERSON, [teacher, born]) == asked


def test_counts_agree_in_number() -> None:
    assert ask_count(Relation(noun="seat"), COMPANY, "Velmora") == "How many companies have Velmora as their seat?"
    assert ask_count(Relation(verb="was born in"), PERSON, "Velmora") == "How many people were born in Velmora?"
    assert ask_count(Relation(verb="lies on"), TOWN, "the Orr") == "How many towns lie on the Orr?"


@pytest.mark.parametrize(
    ("one", "many"), [("city", "cities"), ("person", "people"), ("church", "churches"), ("day", "days")]
)
def test_plurals(one: str, many: str) -> None:
    assert plural(one) == many


@pytest.mark.parametrize(
    ("past", "base"),
    [
        *(("moved", "move"), ("created", "create"), ("visited", "visit"), ("planned", "plan"), ("passed", "pass")),
        *(("carried", "carry"), ("belonged", "belong"), ("inspired", "inspire"), ("treated", "treat")),
        *(("explored", "explore"), ("looked", "look"), ("tied", "tie")),
    ],
)
def test_past_forms_are_led_back(past: str, base: str) -> None:
    assert ask_object(Relation(verb=past), "X", COMPANY) == f"Which company did X {base}?"


def test_a_group_is_described_in_the_plural() -> None:
    assert group(Relation(verb="was born in"), PERSON, "Velmora") == "people who were born in Velmora"
    assert group(Relation(noun="seat"), COMPANY, "Velmora") == "companies that have Velmora as their seat"


def test_located_is_not_said_twice() -> None:
    known = describe_object(Relation(verb="is located in"), "Orr Hall", TOWN)
    asked = ask_object(Relation(verb="is located in"), known, Thing("Ullesse", "region"))
    assert asked == "In which region is the town in which Orr Hall is located?"


@pytest.mark.parametrize(
    ("question", "knotted"),
    [
        ("On which river does the town in which X was born lie?", False),
        ("On which river does the town on which the river that X crosses lie lie?", True),
        ("In which region is the town in which the author of the novel that X wrote died located?", True),
        ("How many people have the town in which X died as their birthplace?", True),
        ("What is the name of the person who was born in X and who died in the town of Y?", False),
        ("According to the page on the module that X, which tool reads files that hold Y?", False),
    ],
)
def test_clauses_in_clauses_are_knots(question: str, knotted: bool) -> None:
    assert is_knotted(question) is knotted
