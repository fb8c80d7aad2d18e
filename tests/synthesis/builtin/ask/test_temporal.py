"""Comparisons and questions about time, on a handful of pages whose answers are told by hand."""

import pytest

from webdancer_cli.data.records import QA, Link, Page
from webdancer_cli.options import config
from webdancer_cli.synthesis.builtin.author import BuiltinAuthor
from webdancer_cli.synthesis.checks import first_fault


def page(name: str, kind: str, *facts: tuple[str, str], linked: bool = True) -> Page:
    said = [f"The {relation} of {name} is {value}." for relation, value in facts]
    links = [
        Link(url=f"http://127.0.0.1/{value}.html", text=value, sentence=sentence)
        for sentence, (_, value) in zip(said, facts, strict=True)
        if not value.isdigit()
    ]
    text = " ".join([f"{name} is a {kind}.", *said])
    return Page(url=f"http://127.0.0.1/{name}.html", title=name, text=text, links=links)


ADA = page("Ada", "person", ("birth year", "1900"))
WORLD = [
    ADA,
    page("Oldis", "company", ("founder", "Ada"), ("founding year", "1930")),
    page("Newis", "company", ("founder", "Ada"), ("founding year", "1950")),
]


def write(pages: list[Page], type_: str) -> dict[str, QA]:
    author = BuiltinAuthor(config.CrawlqaOptions(types=[type_], per_page=50))
    found = [*(qa for each in pages for qa in author.read(each)), *author.finish()]
    assert {first_fault(qa, {each.url: each.text for each in pages}) for qa in found} <= {None}
    return {qa.question: qa for qa in found}


def test_years_between_events_first_ones_and_the_one_of_a_year() -> None:
    answers = {question: (qa.answer, qa.level) for question, qa in write(WORLD, "temporal").items()}
    assert answers == {
        "How many years passed between the birth of Ada and the founding of Oldis?": ("30", 2),
        "How many years passed between the birth of Ada and the founding of Newis?": ("50", 2),
        "Which of the companies that have Ada as their founder was founded first?": ("Oldis", 2),
        "Which of the companies that have Ada as their founder was founded last?": ("Newis", 2),
        "What is the name of the company whose founder is Ada and that was founded in 1930?": ("Oldis", 1),
        "What is the name of the company whose founder is Ada and that was founded in 1950?": ("Newis", 1),
    }


def test_a_tie_leaves_nothing_to_ask() -> None:
    pages = [
        ADA,
        *(page(name, "company", ("founder", "Ada"), ("founding year", "1930")) for name in ("Oldis", "Newis")),
    ]
    assert set(write(pages, "temporal")) == {
        f"How many years passed between the birth of Ada and the founding of {name}?" for name in ("Oldis", "Newis")
    }
    assert write(pages, "comparison") == {}


def test_a_group_of_which_one_is_undated_has_no_first() -> None:
    undated = page("Noneis", "company", ("founder", "Ada"))
    assert not any("first" in question or "last" in question for question in write([*WORLD, undated], "temporal"))


def test_events_that_lie_far_apart_are_not_tied() -> None:
    ancient = [ADA, page("Oldis", "company", ("founder", "Ada"), ("founding year", "1500"))]
    assert write(ancient, "temporal") == {}


@pytest.mark.parametrize("seed", range(4))
def test_a_comparison_names_both_and_one_is_right(seed: int) -> None:
    author = BuiltinAuthor(config.CrawlqaOptions(types=["comparison"], seed=seed))
    for qa in [*(qa for each in WORLD for qa in author.read(each)), *author.finish()]:
        assert qa.question.startswith("Which company was founded ") and {"Oldis", "Newis"} <= set(
            qa.question[:-1].split(" ")
        )
        assert qa.answer == ("Oldis" if "earlier" in qa.question else "Newis")
        assert [proof.quote for proof in qa.evidence if qa.answer in proof.quote]
