"""Harder questions: one page more per round, the same answer; checked against the facts that made the world."""

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from webdancer_cli.data.records import QA, Page
from webdancer_cli.options import config
from webdancer_cli.stages.e2hqa import harden
from webdancer_cli.synthesis.builtin.author import BuiltinAuthor
from webdancer_cli.synthesis.builtin.rewriter import BuiltinRewriter
from webdancer_cli.synthesis.checks import first_fault
from webdancer_cli.synthesis.protocols import TYPES
from webdancer_cli.text.names import mentions
from webdancer_cli.web.corpus import Corpus

ROUNDS = 2


@pytest.fixture(scope="module", params=["plain", "rich"])
def style(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture(scope="module")
def facts(style: str, request: pytest.FixtureRequest) -> Any:
    """What answers from the facts of the world of that style."""
    return request.getfixturevalue("oracle" if style == "plain" else "rich_oracle")


@pytest.fixture(scope="module")
def corpus(style: str, request: pytest.FixtureRequest) -> str:
    path: str = request.getfixturevalue(f"{style}_corpus")
    return path


@pytest.fixture(scope="module")
def chains(style: str, corpus: str, request: pytest.FixtureRequest) -> list[list[QA]]:
    """Every question of the world with its harder forms."""
    pages: list[Page] = request.getfixturevalue(f"{style}_pages")
    author, rewriter, web = (
        BuiltinAuthor(config.CrawlqaOptions(per_page=1)),
        BuiltinRewriter(config.E2hqaOptions()),
        Corpus.load(corpus),
    )
    questions = [*(qa for page in pages for qa in author.read(page)), *author.finish()]

    async def all_of_them() -> list[list[QA]]:
        return [await harden(qa, rewriter, web, ROUNDS) for qa in questions]

    return asyncio.run(all_of_them())


def pairs(chains: list[list[QA]]) -> list[tuple[QA, QA]]:
    return [pair for chain in chains for pair in pairwise(chain)]


def test_most_questions_get_harder_and_some_of_every_type(chains: list[list[QA]]) -> None:
    harder = [chain for chain in chains if len(chain) > 1]
    assert len(harder) > len(chains) / 2
    assert {chain[0].type for chain in harder} == set(TYPES)


def test_the_answer_stays_and_still_follows_from_the_facts(chains: list[list[QA]], facts: Any) -> None:
    for before, after in pairs(chains):
        assert facts.answers(after.question)[0] == {after.answer} == {before.answer}


def test_each_level_needs_one_page_more_than_the_level_before(chains: list[list[QA]], facts: Any) -> None:
    for before, after in pairs(chains):
        needed, known = set(facts.answers(after.question)[1]), set(facts.answers(before.question)[1])
        assert after.level == before.level + 1
        assert len(needed - known) == 1
        assert after.evidence[0].title in needed - known


def test_the_new_page_is_read_first_and_everything_else_stays(
    chains: list[list[QA]], names_in_order: Callable[[QA], list[str]]
) -> None:
    for before, after in pairs(chains):
        assert after.evidence[1:] == before.evidence
        assert len(names_in_order(after)) == after.level
        assert (after.type, after.tag, after.author) == (before.type, "e2hqa", "builtin")
        assert after.chain[:-1] == before.chain


def test_the_round_is_recorded_and_its_sentence_is_on_its_page(chains: list[list[QA]], corpus: str) -> None:
    web = Corpus.load(corpus)
    texts = {page.url: page.text for page in web}
    for before, after in pairs(chains):
        step = after.chain[-1]
        assert (step.before, step.after) == (before.question, after.question)
        assert mentions(before.question, step.entity) and not mentions(after.question, step.entity)
        assert step.description in after.question and step.sentence in texts[step.url]
        assert first_fault(after, texts) is None


def test_the_description_leads_a_search_to_its_page(chains: list[list[QA]], corpus: str) -> None:
    web = Corpus.load(corpus)
    for _, after in pairs(chains):
        assert after.chain[-1].url in {hit.url for hit in web.search_now(after.chain[-1].description, 5)}


async def test_a_question_from_elsewhere_gets_harder_if_the_corpus_knows_its_entity(
    plain_pages: list[Page], plain_corpus: str
) -> None:
    web, rewriter = Corpus.load(plain_corpus), BuiltinRewriter(config.E2hqaOptions())
    linked = next(page for page in plain_pages if page.text.startswith(f"{page.title} is a town"))
    qa = QA(question=f"When was {linked.title} founded?", answer="1234", extra={"source": "elsewhere"})
    harder = await rewriter.rewrite(qa, web)
    assert harder is not None and harder.level == 2 and len(harder.evidence) == 1
    assert harder.extra == {"source": "elsewhere"}


async def test_what_nobody_describes_stays(plain_corpus: str) -> None:
    web, rewriter = Corpus.load(plain_corpus), BuiltinRewriter(config.E2hqaOptions())
    assert await rewriter.rewrite(QA(question="Who wrote Emma?", answer="Jane Austen"), web) is None
    assert await rewriter.rewrite(QA(question="what is two and two?", answer="4"), web) is None
