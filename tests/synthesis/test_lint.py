"""What lint finds in questions, and what it must let pass."""

from pathlib import Path

import pytest

from webdancer_cli import jsonl
from webdancer_cli.records import QA
from webdancer_cli.synthesis.lint import Evaluation, Linter, Report

RELEASED = Path(__file__).parents[2] / ".." / "shared" / "data" / "webdancer_qa.jsonl"


def linter(**more: object) -> Linter:
    return Linter(**{"similarity": 0.7, **more})


def reasons(*questions: tuple[str, str], **more: object) -> list[list[str]]:
    """The reasons for each of some questions with their answers."""
    judge = linter(**more)
    return [[fault.reason for fault in judge.faults(QA(question=q, answer=a))] for q, a in questions]


@pytest.mark.parametrize(
    ("expected", "question", "answer"),
    [
        ([], "Who is the mayor of Velmora?", "Dolvek"),
        ([], "Identify the mayor of Velmora. The town lies by the sea.", "Dolvek"),
        ([], "Which is older, Velmora or Kemlo?", "Kemlo"),
        ([], "Between Velmora and Kemlo, which town is older?", "Kemlo"),
        ([], "Which company makes the browser that was first to show Cloudflare's logo?", "Dolvek"),
        ([], "Which article of the constitution grants Velmora a harbour?", "Article 5"),
        (["yes_no"], "Is Dolvek a mayor?", " Yes.\n"),
        (["multiple_choice"], "Who is mayor? A: Dolvek B: Nimmek", "B"),
        (["answer_in_question"], "Which town is Velmora's rival, Velmora?", "velmora"),
        (["answer_in_question"], "Which journals with full participation are the most?", "Full Participation Journals"),
        (["refers_to_page"], "Who is named first in the article?", "Dolvek"),
        (["refers_to_page"], "What is the first entry in the menu of the webpage?", "Home"),
        (["from_error_page"], "Which number is the Ray ID of the blocked visit?", "9316348698489ba3"),
        (["no_answer"], "What did the mayor of Velmora study?", "Unknown"),
        (["long_answer"], "What did the mayor of Velmora say?", "Well " * 16),
        (["empty_answer"], "What did the mayor of Velmora say?", ""),
        (["not_a_question"], "Velmora is a town by the sea.", "Dolvek"),
    ],
)
def test_faults_of_a_question_by_itself(expected: list[str], question: str, answer: str) -> None:
    assert reasons((question, answer)) == [expected]


def test_all_faults_are_told_in_the_order_of_the_checks() -> None:
    (found,) = reasons(("Does the webpage say that the captcha verification failed?", "Yes"))
    assert found == ["from_error_page", "refers_to_page", "yes_no"]


def test_copies_and_near_copies_are_found_and_templates_are_not() -> None:
    asked = "Which town by the northern sea was founded by the first mayor of Velmora in the year 1720?"
    found = reasons(
        (asked, "Kemlo"),
        (asked.upper().replace("?", " ?"), "Kemlo"),
        (asked.replace("first", "very first"), "Kemlo"),  # 16 of 19 word pairs are common
        (asked.replace("Velmora", "Tarsk"), "Kemlo"),  # another name: another question
        (asked.replace("1720", "1721"), "Kemlo"),
        (asked.replace("first", "second and last"), "Nimmek"),  # another answer
    )
    assert found == [[], ["duplicate"], ["near_duplicate"], [], [], []]


def test_a_harder_question_with_the_same_answer_is_no_copy() -> None:
    judge = linter()
    easy = QA(question="Which town is the birthplace of Firbonu?", answer="Surnelo", level=1)
    hard = QA(question="Which town is the birthplace of the son of Firbonu?", answer="Surnelo", level=2)
    assert judge.faults(easy) == judge.faults(hard) == []


def test_a_bad_question_makes_no_later_one_a_duplicate() -> None:
    assert reasons(("Is Dolvek a mayor there?", "yes"), ("Is Dolvek a mayor there?", "yes")) == [["yes_no"], ["yes_no"]]


def test_a_run_of_words_from_an_evaluation_question_is_contamination() -> None:
    # 12 words: three runs of ten
    evaluation = Evaluation(
        ["Who was the mayor of Velmora when the old lighthouse burned down?", "Who wrote Emma?"], 10
    )
    found = reasons(
        ("In spring, who was the mayor of Velmora when the old lighthouse burned?", "Dolvek"),  # ten in a row
        ("In spring, who was the mayor of Velmora when the lighthouse burned?", "Dolvek"),  # eight in a row
        ("Who wrote “Emma”?", "Jane Austen"),
        ("Who wrote Emma in 1815?", "Jane Austen"),
        evaluation=evaluation,
    )
    assert found == [["contaminated"], [], ["contaminated"], []]


def test_the_report_counts_and_measures() -> None:
    judge = linter(allow_boolean=True)
    for question, answer, kind in [
        ("Who is the mayor of Velmora?", "Dolvek", "single_hop"),  # 6 words, 1
        ("Is Dolvek the mayor?", "yes", "single_hop"),  # 4 words, 1
        ("Who is named in the article?", "Ada of Kemlo", "count"),  # 6 words, 3
    ]:
        judge.faults(QA(question=question, answer=answer, type=kind, level=1))
    assert judge.report.values() == {
        "questions": 3,
        "good": 2,
        "yes_no_share": 0.3333,
        "faults": {"refers_to_page": 1},
        "types": {"single_hop": 2, "count": 1},
        "levels": {"1": 3},
        "answer_words": {"shortest": 1, "median": 1, "p95": 3, "longest": 3},
        "question_words": {"shortest": 4, "median": 6, "p95": 6, "longest": 6},
    }
    assert "refers_to_page" in judge.report.table() and "66.7 %" in judge.report.table()


def test_a_report_on_nothing_is_no_error() -> None:
    assert Report().values()["yes_no_share"] == 0 and Report().table()


@pytest.mark.skipif(not RELEASED.exists(), reason="the authors' released questions are not here")
def test_the_defects_of_the_released_questions_are_found() -> None:
    """The lines, counted from 1, that a reader of all 142 found to have one of the named defects."""
    error_pages = {69, 74, 75, 79, 83, 96, 112, 118, 122, 124, 129, 135}
    yes_no = {46, 69, 77, 79, 83, 84, 86, 87, 89, 92, 100, 104, 119, 124, 126, 132, 134, 136}
    letters, own_answer = {9, 65}, {21, 56, 101, 108, 128}
    of_the_page = {68, 113, 114, 116, 122, 123, 124, 130, 133, 135}
    bad = error_pages | yes_no | letters | own_answer | of_the_page
    judge = linter()
    flagged = {nth for nth, qa in enumerate(jsonl.read(str(RELEASED), QA), 1) if judge.faults(qa)}
    assert len(bad & flagged) >= 0.9 * len(bad)
    assert len(flagged - bad) <= 0.02 * (142 - len(bad))
    assert yes_no <= flagged and letters <= flagged and error_pages <= flagged
