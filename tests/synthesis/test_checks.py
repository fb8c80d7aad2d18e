"""Every fault that a question can have is found, and a good question has none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.data.records import QA, Evidence
from webdancer_cli.synthesis.checks import contains_quote, first_fault, support_fault, wording_fault

URL = "http://127.0.0.1/velmora"
TEXT = "Velmora is a town.  The mayor\nof Velmora is Dolvek. It has three bridges."


def qa(question: str = "Who is the mayor of Velmora?", answer: str = "Dolvek", **more: object) -> QA:
    proof = Evidence(url=URL, quote="The mayor of Velmora is Dolvek.")
    return QA(question=question, answer=answer, **{"evidence": [proof], "type": "single_hop", **more})


def test_a_good_question_has_no_fault() -> None:
    assert first_fault(qa(), {URL: TEXT}) is None


@pytest.mark.parametrize(
    ("reason", "bad"),
    [
        ("no_evidence", qa(evidence=[])),
        (
            "unknown_page",
            qa(evidence=[Evidence(url="http://127.0.0.1/other", quote="The mayor of Velmora is Dolvek.")]),
        ),
        ("quote_not_found", qa(evidence=[Evidence(url=URL, quote="The mayor of Velmora is Dolvek, they say.")])),
        ("quote_not_found", qa(evidence=[Evidence(url=URL, quote=" ")])),
        ("empty_answer", qa(answer=" ")),
        ("not_a_question", qa(question="Tell me the mayor of Velmora.")),
        ("long_question", qa(question="Who is " + "the mayor of " * 60 + "Velmora?")),
        (
            "long_answer",
            qa(answer="a person whose name is Dolvek and who has been the mayor for a very long time indeed"),
        ),
        ("yes_no", qa(question="Is Dolvek the mayor of it?", answer="Yes.")),
        ("multiple_choice", qa(question="Who is mayor? A: Dolvek B: Nimmek?", answer="A")),
        ("multiple_choice", qa(answer="(b)".upper())),
        ("answer_in_question", qa(question="Is the mayor of Velmora called dolvek?")),
        ("refers_to_page", qa(question="Who is the mayor according to this page?")),
        ("refers_to_page", qa(question="Who is mentioned in the article?")),
        ("answer_unsupported", qa(answer="Nimmek")),
        ("answer_unsupported", qa(answer="Dolve")),
    ],
)
def test_a_bad_question_is_told_why(reason: str, bad: QA) -> None:
    fault = first_fault(bad, {URL: TEXT})
    assert fault is not None and fault.reason == reason


def test_a_page_may_be_named_but_not_pointed_at() -> None:
    assert wording_fault(qa(question="According to the page “argparse”, who is the mayor?")) is None
    assert wording_fault(qa(question="According to the page on the town of Kemlo, who is the mayor?")) is None
    assert wording_fault(qa(question="What fills the blank in “See this page for ____.”?")) is None  # a quotation


def test_yes_and_no_are_allowed_where_they_are_asked_for() -> None:
    assert (
        wording_fault(qa(question="Is Dolvek a mayor?".replace("Dolvek", "he"), answer="yes"), allow_boolean=True)
        is None
    )


def test_a_count_is_supported_by_its_quotes_or_by_a_number_in_them() -> None:
    proofs = [Evidence(url=URL, quote=f"Bridge {name}") for name in "XYZ"]
    assert support_fault(qa(answer="3", type="count", evidence=proofs)) is None
    assert support_fault(qa(answer="2", type="count", evidence=proofs)) is not None
    assert support_fault(qa(answer="3", evidence=[Evidence(url=URL, quote="It has three bridges.")])) is None
    assert support_fault(qa(answer="3", type="single_hop", evidence=proofs)) is not None  # nothing was counted


@given(st.lists(st.text(st.characters(categories=["L", "N", "P"]), min_size=1), min_size=1), st.data())
def test_a_quote_is_found_whatever_the_white_space(words: list[str], data: st.DataObject) -> None:
    spaces = st.sampled_from([" ", "\n", "  ", "\t", " \n "])
    text = "".join(word + data.draw(spaces) for word in words)
    start = data.draw(st.integers(0, len(words) - 1))
    end = data.draw(st.integers(start + 1, len(words)))
    assert contains_quote(text, " ".join(words[start:end]))


def test_a_span_of_years_is_supported_by_a_year_of_each_of_two_quotes() -> None:
    born, founded = (
        Evidence(url=URL, quote=quote) for quote in ("Ada was born in 1900.", "Oldis was founded in 1930.")
    )
    assert support_fault(qa(answer="30", type="temporal", evidence=[born, founded])) is None
    assert support_fault(qa(answer="31", type="temporal", evidence=[born, founded])) is not None
    assert support_fault(qa(answer="30", type="single_hop", evidence=[born, founded])) is not None
    both = Evidence(url=URL, quote="It stood from 1900 to 1930.")  # of one quote, nobody knows what the years are of
    assert support_fault(qa(answer="30", type="temporal", evidence=[both])) is not None
    prices = [Evidence(url=URL, quote=quote) for quote in ("It cost 1,900 crowns.", "It weighs 1930.5 grams.")]
    assert support_fault(qa(answer="30", type="temporal", evidence=prices)) is not None


@pytest.mark.parametrize(
    ("question", "answer", "quote"),
    [
        ("法国的首都是哪座城市？", "巴黎", "巴黎是法国的首都，位于塞纳河畔。"),
        ("フランスの首都はどこですか？", "パリ", "フランスの首都はパリである。"),
        ("フランスの首都はどこですか。", "パリ", "フランスの首都はパリである。"),
        ("フランスの首都はどこですか", "パリ", "フランスの首都はパリである。"),
        ("프랑스의 수도는 어디입니까?", "파리", "파리는 프랑스의 수도이다."),
        ("Ποια είναι η πρωτεύουσα της Γαλλίας;", "Παρίσι", "Το Παρίσι είναι η πρωτεύουσα της Γαλλίας."),
        ("ما هي عاصمة دولة فرنسا؟", "باريس", "عاصمة فرنسا هي باريس ."),
    ],
)
def test_a_good_question_in_another_script_has_no_fault(question: str, answer: str, quote: str) -> None:
    good = qa(question, answer, evidence=[Evidence(url=URL, quote=quote)])
    assert first_fault(good, {URL: quote}) is None


@pytest.mark.parametrize(
    ("reason", "question", "answer"),
    [
        ("answer_in_question", "巴黎是法国的首都吗，还有别的首都吗？", "巴黎"),
        ("answer_in_question", "パリはどの国の首都ですか？", "パリ"),
        ("answer_unsupported", "法国的首都是哪座城市？", "里昂"),
        ("not_a_question", "请说出法国的首都。", "巴黎"),
        ("not_a_question", "Name the capital of France;", "Paris"),
    ],
)
def test_a_bad_question_in_another_script_is_told_why(reason: str, question: str, answer: str) -> None:
    quote = "巴黎是法国的首都。パリ。"
    fault = first_fault(qa(question, answer, evidence=[Evidence(url=URL, quote=quote)]), {URL: quote})
    assert fault is not None and fault.reason == reason


def test_letters_of_an_answer_that_stand_apart_do_not_give_it_away() -> None:
    quote = "日本的首都是东京。"
    apart = qa("京城在东边的是日本的哪座城市？", "东京", evidence=[Evidence(url=URL, quote=quote)])
    assert first_fault(apart, {URL: quote}) is None


@pytest.mark.parametrize(
    ("answer", "quote", "supported"),
    [
        ("3", "On 3 May 1912 the glassworks of Tirsk opened.", False),
        ("3", "On May 3, 1912, the glassworks of Tirsk opened.", False),
        ("3", "On the 3rd of May it opened.", False),
        ("3", "Es öffnete am 3. Mai 1912.", False),
        ("3", "It stands 3.5 miles from the sea.", False),
        ("3", "It opened on 1912-05-03 at 3:15.", False),
        ("3", "In May 3,000 came.", False),
        ("3000", "In May 3,000 came.", True),
        ("3", "It may cast 3 lenses on 5 May.", True),
        ("3", "It cast three lenses.", True),
        ("20", "Twenty lighthouses stand on the coast of Tirsk.", True),
        ("25", "Twenty-five lighthouses stand on the coast.", True),
        ("5", "Twenty-five lighthouses stand on the coast.", False),
        ("12000", "Tirsk has 12,000 inhabitants today.", True),
        ("12,000", "Tirsk has 12000 inhabitants today.", True),
        ("12000", "Tirsk has twelve thousand inhabitants.", True),
        ("12", "Tirsk has 12,000 inhabitants today.", False),
        ("²", "It has two bridges.", False),
    ],
)
def test_a_number_that_counts_is_no_date_and_may_be_written_in_any_way(
    answer: str, quote: str, supported: bool
) -> None:
    proofs = [Evidence(url=URL, quote=quote), Evidence(url=URL, quote="And so on.")]
    assert (support_fault(qa(answer=answer, type="count", evidence=proofs)) is None) == supported


def test_a_day_may_be_asked_for() -> None:
    proof = Evidence(url=URL, quote="On 3 May 1912 the glassworks of Tirsk opened.")
    assert support_fault(qa("On which day of May did it open?", "3", evidence=[proof])) is None
