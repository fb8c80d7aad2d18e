"""Which names give way, and what the question then says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.data.records import QA, Evidence
from webdancer_cli.synthesis.builtin.question_entities import replace_name, replaceable_names
from webdancer_cli.text.names import mentions


@pytest.mark.parametrize(
    ("question", "name", "phrase", "after"),
    [
        ("Who is the mayor of Velmora?", "Velmora", "the home of Ada", "Who is the mayor of the home of Ada?"),
        ("In which town was Ada born?", "Ada", "the mayor of Kemlo", "In which town was the mayor of Kemlo born?"),
        ("Velmora has which mayor?", "Velmora", "the home of Ada", "The home of Ada has which mayor?"),
        ("Who built the Orr Bridge?", "Orr Bridge", "the bridge that burnt", "Who built the bridge that burnt?"),
        ("By the page “glob”, what?", "glob", "the module that finds", "By the page on the module that finds, what?"),
        ("By the readline module, what?", "readline", "the module that edits", "By the module that edits, what?"),
        (
            "In which city is Kemlo located?",
            "Kemlo",
            "the town in which Ada is located",
            "In which city is the town in which Ada is located?",
        ),
        ("Who has each Velmora?", "Velmora", "the home of Ada", ""),
        ("What fills “the ____ of glob”?", "glob", "the module", ""),  # a quotation is verbatim
        ("What is Velmora's river?", "Velmora", "the home of Ada", ""),
        ("What is a Velmora?", "Velmora", "the home of Ada", ""),
        ("Which New Velmora Times is old?", "New", "the home of Ada", ""),
        ("Is Velmora near Velmora?", "Velmora", "the home of Ada", ""),
    ],
)
def test_a_name_gives_way_where_that_is_english(question: str, name: str, phrase: str, after: str) -> None:
    assert replace_name(question, name, phrase) == after


@pytest.mark.parametrize(
    ("question", "fits"),
    [
        ("Who founded Microsoft?", True),
        ("In what year was Microsoft founded?", True),
        ("Which actor Tom Hanks is it?", False),
        ("How did Microsoft stock do?", False),
    ],
)
def test_questions_of_others_are_read_with_care(question: str, fits: bool) -> None:
    name = "Tom Hanks" if "Tom" in question else "Microsoft"
    assert bool(replace_name(question, name, "the firm that made DOS", trusted=False)) is fits


def test_the_answer_never_gives_way_nor_any_part_of_it() -> None:
    qa = QA(question="Is Ada Munt the mayor of Velmora or of Kemlo?", answer="Ada", aliases=["Kemlo"])
    assert list(replaceable_names(qa)) == ["Velmora"]


def test_names_of_the_evidence_come_first() -> None:
    qa = QA(
        question="Who is the teacher of Dolvek, born in Long Kemlo?",
        answer="Ada",
        evidence=[Evidence(url="http://127.0.0.1/d", quote="…", title="Dolvek")],
    )
    assert list(replaceable_names(qa)) == ["Dolvek", "Long Kemlo"]


@given(st.text(), st.text(min_size=1), st.text(min_size=1))
def test_a_name_that_gave_way_is_gone(question: str, name: str, phrase: str) -> None:
    after = replace_name(question, name, phrase)
    assert not after or not mentions(
        after.replace(phrase, "").replace(phrase[0].upper() + phrase[1:], ""), f"{name} {name}"
    )
