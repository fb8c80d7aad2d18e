"""The reading of a sentence that all questions about it share."""

import pytest

from webdancer_cli.synthesis.builtin.read.clauses import Clause, read_clauses
from webdancer_cli.synthesis.builtin.read.kinds import kind_of


def told(clause: Clause) -> tuple[str, str, list[tuple[str, str, str]]]:
    return clause.form, clause.verb, [(part.prep, part.core, part.kind) for part in clause.parts]


@pytest.mark.parametrize(
    ("predicate", "form", "verb", "parts"),
    [
        ("was cut in 1884 by the poet Bo Dorn.", "passive", "cut", [("in", "1884", "year"), ("by", "Bo Dorn", "name")]),
        ("flows into the River Esk.", "active", "flows", [("into", "River Esk", "name")]),
        ("has been led by Ann since 1999.", "passive", "been led", [("by", "Ann", "name"), ("since", "1999", "year")]),
        ("was opened on 14 May 1906.", "passive", "opened", [("on", "14 May 1906", "time")]),
        ("was opened on May 14, 1906, by Queen Adela.", "passive", "opened", [("on", "May 14, 1906", "time")]),
        ("is stored in the /etc/timezone file.", "passive", "stored", [("in", "/etc/timezone", "code")]),
        ("covers 42.5 square kilometres.", "active", "covers", [("", "42.5 square kilometres", "size")]),
        ("employs about 740 people.", "active", "employs", [("", "740", "number")]),
        ("connects Tarn, Karst and Tolm.", "active", "connects", [("", "Tarn, Karst and Tolm", "name")]),
        ("was added in Quilltab 1.4.", "passive", "added", [("in", "Quilltab 1.4", "version")]),
    ],
)  # fmt: skip
def test_a_clause_has_its_verb_and_what_stands_around_it(
    predicate: str, form: str, verb: str, parts: list[tuple[str, str, str]]
) -> None:
    (clause, *_) = read_clauses(predicate)
    assert told(clause) == (form, verb, parts)


def test_verbs_joined_by_and_are_read_one_by_one() -> None:
    read = list(read_clauses("was born in Jena in 1798 and studied medicine at Halle."))
    assert [clause.verb for clause in read] == ["born", "studied"]
    assert [clause.form for clause in read] == ["passive", "active"]
    read = list(read_clauses("was designed by Aiko Tanabe and published in 2009."))
    assert [(clause.form, clause.aux) for clause in read] == [("passive", "was"), ("passive", "was")]


@pytest.mark.parametrize(
    "predicate",
    [
        "was not mapped until 1884.",
        "could be mapped in 1884.",
        "was mapped in 1884 or 1885.",
        "was mapped in 1884, if the journal is right.",
        "was mapped in 1884 unless the journal is wrong.",
        "is usually stored in /etc.",
        "was mapped by him in 1884.",
        "was mapped in what is called a hurry.",
    ],
)
def test_what_is_not_understood_whole_is_not_read(predicate: str) -> None:
    assert list(read_clauses(predicate)) == []


@pytest.mark.parametrize("text", ["this year", "the same party", "it", "several of them", "a place that is far"])
def test_a_phrase_that_leans_on_another_sentence_has_no_kind(text: str) -> None:
    assert kind_of(text) is None
