"""What makes a question of its type, in several languages."""

import pytest

from webdancer_cli.data.records import QA, Evidence
from webdancer_cli.synthesis.chat.type_checks import type_faults


def faults(question: str, answer: str, type: str, *quotes: str) -> list[str]:
    evidence = [Evidence(url=f"http://a.test/{at}", quote=quote) for at, quote in enumerate(quotes)]
    qa = QA(question=question, answer=answer, type=type, level=len(quotes), evidence=evidence)
    return [fault.reason for fault in type_faults(qa)]


RIVERS = ("长江全长约6300公里。", "黄河全长约5464公里。")


@pytest.mark.parametrize("answer", ["长江", "黄河"])
@pytest.mark.parametrize("question", ["长江和黄河哪条更长？", "哪条河更长，长江还是黄河？", "长江、黄河，哪条更长？"])
def test_a_comparison_is_known_without_spaces(question: str, answer: str) -> None:
    assert faults(question, answer, "comparison", *RIVERS) == []
    assert faults("黄河有多长？", answer, "comparison", *RIVERS) == ["not_a_comparison"]


def test_a_comparison_in_japanese() -> None:
    quotes = ("フランスは大きい国である。", "ドイツは小さい国である。")
    assert faults("フランスとドイツではどちらが大きいですか。", "フランス", "comparison", *quotes) == []


@pytest.mark.parametrize(
    ("quote", "tells"),
    [
        ("The mill opened in 1912 near Tirsk.", True),
        ("It was built in the 1920s by Otto.", True),
        ("It opened on 3 May near Tirsk.", True),
        ("It was founded in 300 BC by Otto.", True),
        ("Das Werk öffnete im März bei Tirsk.", True),
        ("该厂于三月开业，在蒂尔斯克附近。", True),
        ("It took twelve years to build.", True),
        ("It has 300 windows and 12 doors.", False),
        ("It weighs 1,930 tons, or 1930.5 by another count.", False),
        ("Visitors may march through it freely.", False),
    ],
)
def test_a_question_of_time_has_a_quote_that_tells_a_time(quote: str, tells: bool) -> None:
    assert faults("When was it?", "then", "temporal", quote) == ([] if tells else ["no_time"])


@pytest.mark.parametrize(
    ("answer", "counts"), [("2", True), ("12,000", True), ("1", False), ("²", False), ("two", False)]
)
def test_a_count_is_a_whole_number_of_two_or_more(answer: str, counts: bool) -> None:
    assert faults("How many?", answer, "count", "It has so many of them.") == ([] if counts else ["not_a_count"])
