"""What the built-in author writes is right: checked against the facts that the world was made from."""

import random
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from webdancer_cli.data.records import QA, Link, Page
from webdancer_cli.errors import UsageError
from webdancer_cli.options import config
from webdancer_cli.synthesis.builtin.author import BuiltinAuthor
from webdancer_cli.synthesis.builtin.read.page_graph import WaitList
from webdancer_cli.synthesis.checks import first_fault
from webdancer_cli.synthesis.protocols import TYPES


def write(pages: Iterable[Page], **options: object) -> list[QA]:
    author = BuiltinAuthor(config.CrawlqaOptions(**options))
    return [*(qa for page in pages for qa in author.read(page)), *author.finish()]


@pytest.fixture(scope="module")
def plain_questions(plain_pages: list[Page]) -> list[QA]:
    return write(plain_pages)


@pytest.fixture(scope="module")
def rich_questions(rich_pages: list[Page]) -> list[QA]:
    return write(rich_pages)


@pytest.mark.parametrize("style", ["plain", "rich"])
def test_every_answer_follows_from_the_facts_and_is_the_only_one(style: str, request: pytest.FixtureRequest) -> None:
    oracle: Any = request.getfixturevalue("oracle" if style == "plain" else "rich_oracle")
    questions: list[QA] = request.getfixturevalue(f"{style}_questions")
    assert [qa.question for qa in questions if oracle.answers(qa.question)[0] != {qa.answer}] == []


def test_chains_name_their_pages_in_the_order_of_reading(
    plain_questions: list[QA], oracle: Any, names_in_order: Callable[[QA], list[str]]
) -> None:
    chains = [qa for qa in plain_questions if qa.type in ("single_hop", "multi_hop")]
    assert {qa.type: qa.level for qa in chains} == {"single_hop": 1, "multi_hop": 2}
    assert [names_in_order(qa) for qa in chains] == [oracle.answers(qa.question)[1] for qa in chains]


@pytest.mark.parametrize("style", ["plain", "rich"])
def test_every_quote_is_verbatim_and_every_check_passes(style: str, request: pytest.FixtureRequest) -> None:
    texts = {page.url: page.text for page in request.getfixturevalue(f"{style}_pages")}
    questions: list[QA] = request.getfixturevalue(f"{style}_questions")
    assert {first_fault(qa, texts) for qa in questions} == {None}
    assert set(Counter(qa.type for qa in questions)) == set(TYPES)
    assert len({qa.question for qa in questions}) == len(questions)
    assert {(qa.author, qa.tag) for qa in questions} == {("builtin", "crawlqa")}


def test_a_list_on_each_of_two_pages_gives_an_intersection_of_two_pages(rich_questions: list[QA]) -> None:
    listed = [qa for qa in rich_questions if "is listed both among" in qa.question]
    assert listed and {qa.level for qa in listed} == {2}


def test_per_page_and_types_are_kept(plain_pages: list[Page]) -> None:
    questions = write(plain_pages, types=["single_hop"], per_page=1)
    assert {qa.type for qa in questions} == {"single_hop"}
    assert max(Counter(qa.evidence[0].url for qa in questions).values()) == 1


def test_an_unknown_type_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="--types riddle: no such type; choose from single_hop, "):
        BuiltinAuthor(config.CrawlqaOptions(types=["riddle"]))


def test_the_seed_decides_and_nothing_else(plain_pages: list[Page], plain_questions: list[QA]) -> None:
    assert write(plain_pages) == plain_questions
    assert {qa.id for qa in write(plain_pages, seed=1)} != {qa.id for qa in plain_questions}


def test_the_order_of_the_pages_does_not_change_the_questions(
    plain_pages: list[Page], plain_questions: list[QA]
) -> None:
    shuffled = random.Random(0).sample(plain_pages, len(plain_pages))
    assert {qa.id for qa in write(shuffled)} == {qa.id for qa in plain_questions}


def test_questions_come_while_pages_come(plain_pages: list[Page]) -> None:
    author = BuiltinAuthor(config.CrawlqaOptions())
    early = [qa for page in plain_pages[:-10] for qa in author.read(page)]
    assert early
    seen = {page.url for page in plain_pages[:-10]}
    assert all(proof.url in seen for qa in early for proof in qa.evidence)


def docs_page(name: str, text: str, *links: tuple[str, str]) -> Page:
    return Page(
        url=f"http://127.0.0.1/{name}.html",
        title=name,
        text=text,
        links=[Link(url=f"http://127.0.0.1/{to}.html", text=to, sentence=sentence) for to, sentence in links],
    )


MOVES = "The shutil module offers high-level operations on files, such as copying them between folders."
RAISES = "The TokenError exception signals that a backup could not find its destination folder at all."
DOCS = [
    docs_page("backup", f"Making copies\n{MOVES}", ("shutil", MOVES)),
    docs_page("shutil", f"Tree copies\n{RAISES}", ("TokenError", RAISES)),
    docs_page("TokenError", "Tokens\nSomething went wrong, and nobody knows what it might have been."),
]


def test_any_site_gives_questions_from_sentences() -> None:
    questions = {qa.type: qa for qa in write(DOCS)}
    single, multi = questions["single_hop"], questions["multi_hop"]
    assert single.question == "According to the page “shutil”, which exception" + RAISES[24:-1] + "?"
    assert (single.answer, single.level) == ("TokenError", 1)
    assert multi.question == f"According to the page on the module that{MOVES[17:-1]}, which exception{RAISES[24:-1]}?"
    assert (multi.answer, multi.level) == ("TokenError", 2)
    assert [proof.quote for proof in multi.evidence] == [MOVES, RAISES]


def listing_page(at: int) -> Page:
    name = ["Loom", "Crane", "Lathe", "Press", "Mill", "Pump", "Drill", "Kiln"][at]
    items = "\n".join(f"- the {part} of it" for part in ("wheel", "belt", "shaft", "frame"))
    return docs_page(f"{name} works", f"The machine that is called {name} has the following moving parts:\n{items}")


def test_how_long_lists_are_is_asked_only_if_it_is_asked_for() -> None:
    lists = [listing_page(at) for at in range(8)]
    facts = [
        docs_page(f"Lake {name}", f"Lake {name} is a lake. It is 9 metres deep.")
        for name in ("Orrin", "Sorrel", "Tarn")
    ]
    assert Counter("are listed" in qa.question for qa in write([*lists, *facts])) == {False: 3}
    assert len(write([*lists, *facts], types=["count"])) == 8
    assert write(lists) == []


def test_single_sentences_are_asked_about_only_where_relations_are_few(plain_questions: list[QA]) -> None:
    names = ("Adalton", "Bosley", "Cyrton")
    said = {name: [f"The {role} of {name} is {other}." for role, other in zip(("mayor", "owner"), others, strict=True)]
            for name in names if (others := [other for other in names if other != name])}  # fmt: skip
    loose = [docs_page(name, f"{name} is a village. It has an area of 4 hectares.") for name in names]
    tied = [
        docs_page(name, " ".join([page.text, *said[name]]), *((text.split()[-1][:-1], text) for text in said[name]))
        for name, page in zip(names, loose, strict=True)
    ]
    assert len([qa for qa in write(loose) if "area" in qa.question and qa.type == "single_hop"]) == 3
    assert [qa for qa in write(tied) if "area" in qa.question and qa.type == "single_hop"] == []
    assert any(qa.type == "multi_hop" for qa in write(tied))


def test_waiting_tells_each_waiter_once_when_its_last_key_arrives() -> None:
    waiting: WaitList[str] = WaitList()
    assert waiting.wait("nothing to wait for", [])
    assert not waiting.wait("ab", ["a", "b"])
    assert list(waiting.arrive("a")) == []
    assert not waiting.wait("bc", ["b", "c", "a"])
    assert list(waiting.arrive("b")) == ["ab"]
    assert waiting.rest() == ["bc"]
