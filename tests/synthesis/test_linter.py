"""What lint finds in questions, and what it must let pass."""

from pathlib import Path

import pytest

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import QA
from webdancer_cli.synthesis.linter import BenchmarkNgrams, Linter, LintReport
from webdancer_cli.synthesis.repeated_questions import Repeats
from webdancer_cli.transcript import released_format

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
RELEASED = DATA / "webdancer_qa.jsonl"
TRAJECTORIES = DATA / "webdancer_trajectories.jsonl"


def linter(**more: object) -> Linter:
    return Linter(Repeats(0.7), **more)


def reasons(*questions: tuple[str, str], **more: object) -> list[list[str]]:
    """The reasons for each of some questions with their answers."""
    judge = linter(**more)
    return [[fault.reason for fault in judge.examine(QA(question=q, answer=a))] for q, a in questions]


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


def test_of_two_that_are_alike_the_first_is_kept() -> None:
    asked = "Which town by the northern sea was founded by the first mayor of Velmora in the year 1720?"
    again, alike = asked.upper(), asked.replace("first", "very first")
    assert reasons((asked, "Kemlo"), (again, "Kemlo"), (alike, "Kemlo")) == [[], ["duplicate"], ["near_duplicate"]]


def test_a_bad_question_makes_no_later_one_a_duplicate() -> None:
    assert reasons(("Is Dolvek a mayor there?", "yes"), ("Is Dolvek a mayor there?", "yes")) == [["yes_no"], ["yes_no"]]


def evaluation(**files: str) -> BenchmarkNgrams:
    found = BenchmarkNgrams(10)
    for file, questions in files.items():
        found.add(file, questions.splitlines())
    return found


def test_a_run_of_words_from_an_evaluation_question_is_contamination() -> None:
    # 12 words: three runs of ten
    gaia = "Who was the mayor of Velmora when the old lighthouse burned down?\nWho wrote Emma?"
    found = reasons(
        ("In spring, who was the mayor of Velmora when the old lighthouse burned?", "Dolvek"),  # ten in a row
        ("In spring, who was the mayor of Velmora when the lighthouse burned?", "Dolvek"),  # eight in a row
        ("Who wrote “Emma”?", "Jane Austen"),
        ("Who wrote Emma in 1815?", "Jane Austen"),
        evaluation=evaluation(gaia=gaia),
    )
    assert found == [["contaminated"], [], ["contaminated"], []]


@pytest.mark.parametrize(
    "question",
    [
        "WHO WAS DOLVEK’S SUCCESSOR, THE MAYOR OF WELL KNOWN VELMORA-BY-THE-SEA",
        "Tell me: who was Dolvek's successor — the mayor of “well-known” Velmora (by the sea), and when?",
        "Who was\nDolvek's  successor; the mayor of well-known Velmora by-the-sea?",
        "Who was Dolvek's successor, the mayor of wéll-known Velmora by the sea?",
    ],
)
def test_a_run_is_found_whatever_the_case_punctuation_and_accents(question: str) -> None:
    found = evaluation(a="Who was Dolvek's successor, the mayor of well-known Velmora by the sea?").shared(question)
    assert found == {"a": "who was dolvek's successor the mayor of well known velmora"}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("In spring, who received the golden medal of Velmora, and why?", "who received the golden medal of velmora"),
        ("Who received the golden medal of Velmora?", "who received the golden medal of velmora"),
        ("Who received the golden medal of Tarsk?", ""),
        ("Who never wrote Emma?", ""),
        ("Emma: who wrote Emma?", ""),  # three words: too short to be looked for in another question
    ],
)
def test_an_evaluation_question_shorter_than_a_run_is_looked_for_as_a_whole(asked: str, expected: str) -> None:
    found = evaluation(a="Who received the golden medal of Velmora?\nWho wrote Emma?").shared(asked)
    assert found.get("a", "") == expected


def test_every_file_that_has_the_run_is_named_and_counted() -> None:
    judge = linter(evaluation=evaluation(a="Who wrote Emma?", b="Who wrote “Emma”?\nWho wrote it?", c="Who?"))
    for question in ("Who wrote Emma?", "Who wrote it?", "Who painted it?"):
        judge.examine(QA(question=question, answer="Jane Austen"))
    values = judge.report.values()
    assert values["contaminated_by"] == {"b": 2, "a": 1}
    assert values["contaminated_shares"] == {"b": 0.6667, "a": 0.3333}
    assert values["faults"] == {"contaminated": 2}
    assert "in b" in judge.report.table()


def test_a_question_without_words_is_in_no_evaluation_set() -> None:
    assert evaluation(a="?\n!\nWho wrote Emma?").shared("???") == {}


def test_the_report_counts_and_measures() -> None:
    judge = linter(allow_boolean=True)
    for question, answer, kind in [
        ("Who is the mayor of Velmora?", "Dolvek", "single_hop"),  # 6 words, 1
        ("Is Dolvek the mayor?", "yes", "single_hop"),  # 4 words, 1
        ("Who is named in the article?", "Ada of Kemlo", "count"),  # 6 words, 3
    ]:
        judge.examine(QA(question=question, answer=answer, type=kind, level=1))
    assert judge.report.values() == {
        "questions": 3,
        "good": 2,
        "yes_no_share": 0.3333,
        "faults": {"refers_to_page": 1},
        "fault_shares": {"refers_to_page": 0.3333},
        "duplicates": {"duplicate": 0, "near_duplicate": 0},
        "contaminated_by": {},
        "contaminated_shares": {},
        "types": {"single_hop": 2, "count": 1},
        "type_shares": {"single_hop": 0.6667, "count": 0.3333},
        "levels": {"1": 3},
        "answer_words": {"shortest": 1, "median": 1, "p95": 3, "longest": 3},
        "question_words": {"shortest": 4, "median": 6, "p95": 6, "longest": 6},
    }
    assert "refers_to_page" in judge.report.table() and "66.7 %" in judge.report.table()


def test_a_report_on_nothing_is_no_error() -> None:
    assert LintReport().values()["yes_no_share"] == 0 and LintReport().table()


@pytest.mark.skipif(not RELEASED.exists(), reason="the authors' released questions are not here")
def test_the_defects_of_the_released_questions_are_found() -> None:
    """The lines, counted from 1, that a reader of all 142 found to have one of the named defects."""
    error_pages = {69, 74, 75, 79, 83, 96, 112, 118, 122, 124, 129, 135}
    yes_no = {46, 69, 77, 79, 83, 84, 86, 87, 89, 92, 100, 104, 119, 124, 126, 132, 134, 136}
    letters, own_answer = {9, 65}, {21, 25, 56, 101, 108, 128}
    of_the_page = {68, 72, 99, 109, 113, 114, 116, 122, 123, 124, 130, 133, 135}
    bad = error_pages | yes_no | letters | own_answer | of_the_page
    judge = linter()
    flagged = {nth for nth, qa in enumerate(jsonl.read_records(str(RELEASED), QA), 1) if judge.examine(qa)}
    assert len(bad) == 44
    assert flagged == bad - {109}  # "... listed under NSADAB in the database with access restrictions": no tell


@pytest.mark.skipif(not TRAJECTORIES.exists(), reason="the authors' released trajectories are not here")
def test_the_released_trajectories_have_other_questions_with_the_same_defects() -> None:
    """A reader of all 135 found these bad, besides those with yes and no."""
    begin_bad = (
        "Which security service blocked",
        "Which security company associated with Ray ID",
        "What specific identifier on the Cloudflare error page",
        "In which year did The Lamp-Post transition",  # … of its Fall/Winter 2019 issue: 2019
        "Identify the city in Nigeria",  # … Lagos Black Heritage Festival …: lagos city
    )
    questions = {t.qa.question.strip(): t.qa for t in released_format.read_trajectories(str(TRAJECTORIES))}
    judge = linter()
    flagged = {question: faults for question, qa in questions.items() if (faults := judge.examine(qa))}
    yes_no = {question for question, qa in questions.items() if qa.answer in ("Yes", "No")}
    assert (len(questions), len(yes_no)) == (135, 32)
    assert set(flagged) == yes_no | {question for question in questions if question.startswith(begin_bad)}
    assert len(flagged) == 37
