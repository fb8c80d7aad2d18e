"""The judge by rule: what is the same answer, what is not, and what cannot be judged."""

import runpy
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from webdancer_cli.data.records import QA
from webdancer_cli.grading.exact_match import MatchJudge, is_placeholder, match_answer, normalise_answer

CASES = runpy.run_path(str(Path(__file__).with_name("answer_cases.py")))

SAME = [
    ("Paris", "Paris"),
    ("  Paris\n", "Paris"),
    ("PARIS.", "Paris"),
    ("**The Archers**", "the archers"),
    ("The Archers", "Archers"),
    ("An Inspector Calls", "Inspector Calls"),
    ("Lord of Rings", "The Lord of the Rings"),
    ("O’Brien", "O'Brien"),
    ("OBrien", "O'Brien"),
    ("U.S.", "US"),
    ("J. R. R. Tolkien", "J R R Tolkien"),
    ("Jean-Luc Picard", "Jean Luc Picard"),
    ("Simon & Garfunkel", "Simon and Garfunkel"),
    ("Ｐａｒｉｓ", "Paris"),
    ("ﬁnland", "Finland"),
    ("Straße", "STRASSE"),
    ("Cafe\u0301", "Café"),
    ("東京。", "東京"),
    ("a\u00a0b", "a b"),
    ("1,234", "1234"),
    ("1,234,567 people", "1234567 people"),
    ("1,234.00", "1234"),
    ("5.0", "5"),
    ("twelve", "12"),
    ("TWELVE", "12"),
    ("two hundred and ninety eight", "298"),
    ("one thousand, nine hundred and forty-eight", "1948"),
    ("twenty-one", "21"),
    ("2 million", "2,000,000"),
    ("three million four hundred thousand and five", "3400005"),
    ("50%", "50 percent"),
    ("−5 °C", "-5 °C"),
    ("yes.", "Yes"),
    (".5", "0.5"),
    ("a hundred", "100"),
    ("a million", "1,000,000"),
    ("nineteen hundred", "1900"),
    ("(42)", "42"),
]

DIFFERENT = [
    ("Paris, France", "Paris"),
    ("not Paris", "Paris"),
    ("Paris or London", "Paris"),
    ("It is Paris", "Paris"),
    ("Vitamin A", "vitamin"),
    ("C++", "C"),
    ("C#", "C"),
    ("3.5", "35"),
    ("3.10", "3.1"),
    ("5", "-5"),
    (".5", "5"),
    ("0\x00", "-0"),
    ("one two three", "123"),
    ("a hundred", "a thousand"),
    ("1-2", "12"),
    ("1,2", "12"),
    ("1,23", "123"),
    ("1,234", "1.234"),
    ("007", "7"),
    ("twenty twenty", "40"),
    ("hundred", "100 hundred"),
    ("50%", "50"),
    ("No", "Yes"),
    ("a", "b"),
    ("2001", "2000"),
    ("Are not equivalent", "a"),
]


@pytest.mark.parametrize(("given_", "gold"), SAME)
def test_the_same_answer_is_correct_either_way(given_: str, gold: str) -> None:
    assert match_answer(given_, gold).outcome == "correct"
    assert match_answer(gold, given_).outcome == "correct"


@pytest.mark.parametrize(("given_", "gold"), DIFFERENT)
def test_another_answer_is_wrong_either_way(given_: str, gold: str) -> None:
    assert match_answer(given_, gold).outcome == "wrong"
    assert match_answer(gold, given_).outcome == "wrong"


@pytest.mark.parametrize(("kind", "gold", "answer"), CASES["RIGHT"])
def test_another_spelling_is_correct_either_way(kind: str, gold: str, answer: str) -> None:
    assert match_answer(answer, gold).outcome == "correct"
    assert match_answer(gold, answer).outcome == "correct"


@pytest.mark.parametrize(("kind", "gold", "answer"), CASES["WRONG"])
def test_what_only_looks_alike_is_wrong_either_way(kind: str, gold: str, answer: str) -> None:
    assert match_answer(answer, gold).outcome == "wrong"
    assert match_answer(gold, answer).outcome == "wrong"


@given(st.text().filter(lambda text: not is_placeholder(text)))
def test_the_gold_answer_is_correct_and_no_answer_is_wrong(gold: str) -> None:
    assert match_answer(gold, gold).outcome == "correct"
    assert match_answer(f"  {gold}\n", gold).outcome == "correct"
    assert (
        match_answer("", gold).outcome
        == match_answer(None, gold).outcome
        == match_answer(" \n", gold).outcome
        == "wrong"
    )


@given(st.text().filter(str.strip))
@example("\xad")  # a soft hyphen, which is nothing to see
def test_a_normalised_answer_is_never_empty(text: str) -> None:
    assert normalise_answer(text)


def test_a_number_of_any_length_is_graded() -> None:
    for text in ("9" * 5000, f"{'9' * 5000} and a half", f"{'9' * 5000}/{'9' * 5000}", f"May {'9' * 5000}"):
        assert match_answer(text, "3.5").outcome == "wrong"


@given(st.from_regex(r"[0-9]{1,9}|[A-Za-z]{5,}[A-Za-z ]*", fullmatch=True))
def test_quotes_capitals_and_a_full_stop_change_nothing(text: str) -> None:
    assert match_answer(f"“{text.upper()}”.", text).outcome == "correct"


@pytest.mark.parametrize(
    "gold", [None, "", "  \n", "?", " ? ", "???", "-", "…", "N/A", "n/a", "nan", "TBD", "<hidden>", "[redacted]"]
)
def test_without_a_gold_answer_nothing_is_judged(gold: str | None) -> None:
    assert match_answer("Paris", gold).outcome == match_answer(None, gold).outcome == "unjudged"


def test_an_alias_is_correct_and_said_to_be_one() -> None:
    verdict = match_answer("the big apple", "New York City", ["NYC", "Big Apple", ""])
    assert (verdict.outcome, verdict.method, verdict.detail) == ("correct", "match", "alias")
    assert match_answer("", "New York City", [""]).outcome == "wrong"
    assert match_answer("!", "New York City", ["", " "]).outcome == "wrong"


@pytest.mark.parametrize("gold", ["None", "Unknown", "NA", "Nan", "!", "#", "0", "Hidden Figures", "na", "Null Island"])
def test_a_word_that_may_be_an_answer_is_one(gold: str) -> None:
    assert match_answer("Paris", gold).outcome == "wrong"
    assert match_answer(gold, gold).outcome == "correct"


def test_a_placeholder_beside_real_answers_is_no_answer() -> None:
    assert match_answer("?", "?", ["Paris"]).outcome == "wrong"
    assert match_answer("Paris", "?", ["Paris"]).detail == "alias"


def test_punctuation_alone_is_compared_as_it_is() -> None:
    assert match_answer("!", "!").outcome == "correct"
    assert match_answer("?", "!").outcome == "wrong"
    assert match_answer("The The", "The The").outcome == "correct"
    assert match_answer("the", "a").outcome == "wrong"


async def test_the_judge_by_rule_knows_the_aliases() -> None:
    qa = QA(question="Which city?", answer="New York City", aliases=["NYC"])
    assert (await MatchJudge().judge(qa, "nyc")).outcome == "correct"
    assert (await MatchJudge().judge(qa, None)).outcome == "wrong"
