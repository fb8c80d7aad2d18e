"""Duplicates and near duplicates, against the definition."""

import sqlite3
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.data.jsonl import read_records, write_records
from webdancer_cli.data.records import QA
from webdancer_cli.errors import WebdancerError
from webdancer_cli.synthesis.repeated_questions import Repeats, jaccard
from webdancer_cli.text.spacing import fold
from webdancer_cli.text.words import raw_words

ASKED = "Which town by the northern sea was founded by the first mayor of Velmora in the year 1720?"


def reason(repeats: Repeats, question: str, answer: str = "Kemlo", **more: object) -> str:
    fault = repeats.add_unless_found(QA(question=question, answer=answer, **more))
    return fault.reason if fault else ""


def test_copies_and_near_copies_are_found_and_templates_are_not() -> None:
    with Repeats(0.7) as repeats:
        assert reason(repeats, ASKED) == ""
        assert reason(repeats, ASKED) == "duplicate"
        assert reason(repeats, ASKED.upper().replace("?", " ?")) == "duplicate"
        assert reason(repeats, ASKED.replace("first", "very first")) == "near_duplicate"  # 16 of 19 pairs are common
        assert reason(repeats, ASKED.replace("Velmora", "Tarsk")) == ""  # another name: another question
        assert reason(repeats, ASKED.replace("1720", "1721")) == ""
        assert reason(repeats, ASKED.replace("first", "very first"), "Nimmek") == ""  # another answer
        assert reason(repeats, ASKED.replace("first", "second"), level=2) == ""  # another level


def test_a_fault_names_the_question_that_was_there_before() -> None:
    with Repeats(0.7) as repeats:
        first = QA(question=ASKED, answer="Kemlo", id="mine")
        repeats.add_unless_found(first)
        fault = repeats.add_unless_found(QA(question=ASKED.replace("first", "very first"), answer="Kemlo"))
        assert fault and fault.detail == f"of mine: {ASKED.replace('first', 'very first')}"


@pytest.mark.parametrize(
    ("words", "similarity", "expected"),
    [
        ("a b c d e f g h i j k", 1.0, ""),  # 9 of 11 pairs are common
        ("a b c d e f g h i j k", 9 / 11, "near_duplicate"),
        ("a b c d e f g h i j k", 0.82, ""),  # 9 / 11 = 0.8181…
        ("k j i h g f e d c b a", 0.01, ""),  # no pair in common
        ("k j i h g f e d c b a", 0.0, ""),
        ("j k l m n o p i j", 0.0, "near_duplicate"),  # one pair in common
    ],
)
def test_from_the_given_share_on_two_questions_are_one(words: str, similarity: float, expected: str) -> None:
    with Repeats(similarity) as repeats:
        assert reason(repeats, "z a b c d e f g h i j") == ""  # 10 pairs
        assert reason(repeats, words) == expected


WORDS = st.lists(st.sampled_from(["the", "of", "velmora", "mayor", "town", "sea", "bridge", "older"]), max_size=9)
LISTS = st.lists(WORDS, max_size=12)


@given(LISTS, st.sampled_from([0.3, 0.5, 0.7, 0.9, 1.0]))
def test_exactly_what_the_definition_says_is_found(texts: list[list[str]], similarity: float) -> None:
    """Every question is compared with every kept one, by the definition and without an index."""
    kept: list[list[str]] = []
    with Repeats(similarity) as repeats:
        for text in texts:
            found = reason(repeats, " ".join(text))
            near = any(jaccard(pairs(text), pairs(other)) >= similarity for other in kept)
            expected = "duplicate" if text in kept else "near_duplicate" if near else ""
            assert found == expected
            kept += [] if found else [text]


def pairs(text: list[str]) -> set[int]:
    words = raw_words(" ".join(text))
    return {hash(fold(" ".join(pair))) for pair in pairwise(words)} or {0}


def test_what_an_earlier_run_wrote_may_come_once_again_as_itself(tmp_path: Path) -> None:
    earlier = str(tmp_path / "out.jsonl")
    write_records(earlier, [QA(question=ASKED, answer="Kemlo")])
    with Repeats(0.7) as repeats:
        for qa in read_records(earlier, QA):
            repeats.recall(qa)
        assert reason(repeats, ASKED.replace("first", "very first")) == "near_duplicate"  # before it has come again
        assert reason(repeats, ASKED, "Tarsk") == "duplicate"  # another record: another id
        assert [reason(repeats, ASKED), reason(repeats, ASKED)] == ["", "duplicate"]


def test_recalling_a_file_with_copies_is_no_error(tmp_path: Path) -> None:
    earlier = str(tmp_path / "out.jsonl")
    write_records(earlier, [QA(question=ASKED, answer="Kemlo")] * 2)
    with Repeats(0.7) as repeats:
        for qa in read_records(earlier, QA):
            repeats.recall(qa)
        assert [reason(repeats, ASKED), reason(repeats, ASKED)] == ["", "duplicate"]


FIRST, NEAR = QA(question=ASKED, answer="Kemlo"), QA(question=ASKED.replace("first", "very first"), answer="Kemlo")


def test_what_is_refused_makes_no_later_one_a_repeat() -> None:
    with Repeats(0.7) as repeats:
        place = repeats.next_place()
        assert repeats.offer(FIRST, place)
        assert [reason(repeats, FIRST.question), reason(repeats, NEAR.question)] == ["duplicate", "near_duplicate"]
        repeats.refuse(place)
        assert not repeats.offer(FIRST, repeats.next_place()) and not repeats.offer(NEAR, repeats.next_place())
        assert [reason(repeats, NEAR.question), reason(repeats, FIRST.question)] == ["", "near_duplicate"]


def test_a_question_repeats_only_what_stands_before_it() -> None:
    with Repeats(0.7) as repeats:
        before, place = repeats.next_place(), repeats.next_place()
        assert repeats.offer(FIRST, place)
        assert repeats.find(FIRST, before) is repeats.find(NEAR, before) is None
        assert repeats.find(FIRST) and repeats.find(NEAR)
        repeats.add(FIRST, before)  # the same question twice: of one it is not known yet whether it will be kept
        repeats.refuse(place)
        assert repeats.find(FIRST, place) and repeats.find(NEAR, place)


def test_looking_for_a_question_changes_nothing() -> None:
    with Repeats(0.7) as repeats:
        assert [repeats.find(QA(question=ASKED, answer="Kemlo")) for _ in range(2)] == [None, None]
        repeats.recall(QA(question=ASKED, answer="Kemlo"))
        assert [repeats.find(QA(question=ASKED, answer="Kemlo")) for _ in range(2)] == [None, None]


def test_questions_without_words_are_told_apart() -> None:
    with Repeats(0.7) as repeats:
        assert [reason(repeats, "?", "a"), reason(repeats, "!", "b"), reason(repeats, "?", "a")] == [
            "",
            "",
            "duplicate",
        ]
        assert reason(repeats, "\ud800", "c") == ""  # half a surrogate pair


def test_a_full_disk_is_told_in_one_line() -> None:
    repeats = Repeats(0.7)
    repeats._database.execute("PRAGMA max_page_count = 8")
    with pytest.raises(WebdancerError, match=r"temporary database of questions: .* full: let TMPDIR name"):
        for nth in range(1000):
            reason(repeats, f"{ASKED} {nth}")


def test_nothing_is_left_after_closing() -> None:
    with Repeats(0.7) as repeats:
        reason(repeats, ASKED)
    with pytest.raises(sqlite3.ProgrammingError):
        reason(repeats, ASKED)
