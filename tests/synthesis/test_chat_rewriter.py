"""A model picks, searches and restructures; what it gets wrong is tried again and never kept."""

import json
from collections.abc import Callable

import pytest

from webdancer_cli import config, jsonl
from webdancer_cli.prompts import load
from webdancer_cli.records import QA, Message, Page
from webdancer_cli.synthesis.chat_rewriter import ATTEMPTS, ChatRewriter
from webdancer_cli.web.corpus import Corpus

SENTENCE = "Velmora is the town where the glass festival began in 1820."
PAGES = [
    Page(url="http://127.0.0.1/glass", title="Glass festival", text=f"A festival of glass. {SENTENCE}"),
    Page(url="http://127.0.0.1/velmora", title="Velmora", text="Velmora is a town. The mayor of Velmora is Dolvek."),
]
QUESTION = QA(question="Who is the mayor of Velmora?", answer="Dolvek", level=1)
CHOICE = {"entity": "Velmora", "query": "Velmora glass festival"}
GOOD = {
    "page": 1,
    "sentence": SENTENCE,
    "description": "the town where the glass festival began",
    "question": "Who is the mayor of the town where the glass festival began?",
}


def scripted(*replies: object) -> Callable[[list[Message]], object]:
    left = iter(replies)

    async def ask(messages: list[Message]) -> str:
        return json.dumps(next(left))

    return ask


@pytest.fixture
def web(tmp_path: object) -> Corpus:
    path = f"{tmp_path}/pages.jsonl"
    jsonl.write_all(path, PAGES)
    return Corpus.load(path)


async def rewrite(web: Corpus, *replies: object) -> QA | None:
    return await ChatRewriter(config.E2hqa(model="scripted"), scripted(*replies), load("default").files).rewrite(
        QUESTION, web
    )


async def test_a_sound_description_replaces_the_entity(web: Corpus) -> None:
    harder = await rewrite(web, CHOICE, GOOD)
    assert harder is not None
    assert (harder.question, harder.answer, harder.level) == (GOOD["question"], "Dolvek", 2)
    assert (harder.chain[0].query, harder.chain[0].sentence) == (CHOICE["query"], SENTENCE)
    assert harder.author == "scripted" and harder.evidence[0].url == "http://127.0.0.1/glass"


@pytest.mark.parametrize(
    "bad",
    [
        {"page": 0},
        {**GOOD, "sentence": "Velmora is the town of glass."},
        {**GOOD, "question": "Who is the mayor of Velmora, the town where the glass festival began?"},
        {**GOOD, "question": "Who rules the town where the glass festival began, Dolvek?"},
        {**GOOD, "description": "the finest seaport", "question": "Who is the mayor of the finest seaport?"},
        {**GOOD, "question": "Name the mayor of the town where the glass festival began."},
        {"nonsense": True},
    ],
)
async def test_an_unsound_one_is_tried_again_and_then_given_up(web: Corpus, bad: dict[str, object]) -> None:
    assert await rewrite(web, CHOICE, bad, CHOICE, GOOD) is not None
    assert await rewrite(web, *[CHOICE, bad] * ATTEMPTS) is None


@pytest.mark.parametrize("entity", ["Dolvek", "Kemlo"])
async def test_the_answer_and_what_is_not_there_are_no_entities(web: Corpus, entity: str) -> None:
    assert await rewrite(web, *[{"entity": entity, "query": "x"}] * ATTEMPTS) is None
