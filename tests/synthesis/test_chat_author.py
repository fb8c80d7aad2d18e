"""A model that lies, leaks and stammers in a third of its replies: none of that becomes a question."""

import json
from collections.abc import AsyncIterator

import pytest

from webdancer_cli import config
from webdancer_cli.errors import ModelError
from webdancer_cli.prompts import load
from webdancer_cli.records import QA, Link, Message, Page
from webdancer_cli.synthesis.asking import json_in
from webdancer_cli.synthesis.chat_author import ChatAuthor
from webdancer_cli.synthesis.checks import first_fault
from webdancer_cli.synthesis.roles import Refused

FILLER = "The rest of the page speaks of the weather, of fairs, and of a bridge that was never finished. " * 3


def page(number: int) -> Page:
    name, mayor = f"Town{number}", f"Mayor{number}"
    link = Link(
        url=f"http://127.0.0.1/Town{number - 1}", text=f"Town{number - 1}", sentence=f"It is near Town{number - 1}."
    )
    text = f"{name} is a town. The mayor of {name} is {mayor}. It is near Town{number - 1}. {FILLER}"
    return Page(url=f"http://127.0.0.1/{name}", title=name, text=text, links=[link])


async def stream(pages: list[Page]) -> AsyncIterator[Page]:
    for each in pages:
        yield each


def good(number: int) -> dict[str, object]:
    return {
        "question": f"Who is the mayor of Town{number}?",
        "answer": f"Mayor{number}",
        "type": "single_hop",
        "evidence": [{"page": 1, "quote": f"The mayor of Town{number} is Mayor{number}."}],
    }


BAD = [
    ("unreadable_reply", lambda n: "I am sorry, I cannot do that."),
    ("quote_not_found", lambda n: reply({**good(n), "evidence": [{"page": 1, "quote": f"Mayor{n} rules."}]})),
    ("unknown_page", lambda n: reply({**good(n), "evidence": [{"page": 9, "quote": "x"}]})),
    ("answer_unsupported", lambda n: reply({**good(n), "answer": "Somebody Else"})),
    ("answer_in_question", lambda n: reply({**good(n), "question": f"Is Mayor{n} the mayor of it?"})),
    ("refers_to_page", lambda n: reply({**good(n), "question": "Who is the mayor that this page names?"})),
    ("unreadable_reply", lambda n: '{"questions": [{"question": 3}]}'),
    ("unknown_type", lambda n: reply({**good(n), "type": "riddle"})),
    ("model_error", lambda n: None),
]


def reply(*questions: dict[str, object]) -> str:
    return "Here you are:\n```json\n" + json.dumps({"questions": questions}) + "\n```"


class Scripted:
    """Every third reply is bad, in turn."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, messages: list[Message]) -> str:
        number = len(self.asked) + 1
        self.asked.append(messages[0].content)
        said = BAD[number // 3 - 1][1](number) if number % 3 == 0 else reply(good(number))
        if said is None:
            raise ModelError("HTTP 500")
        return said


@pytest.fixture
async def outcomes() -> tuple[Scripted, list[QA | Refused]]:
    scripted = Scripted()
    author = ChatAuthor(config.Crawlqa(model="scripted", jobs=4), scripted, load("default").files)
    pages = [page(number) for number in range(1, 3 * len(BAD) + 1)]
    return scripted, [outcome async for outcome in author.write(stream(pages))]


def test_no_bad_reply_becomes_a_question_and_each_has_its_reason(outcomes: tuple[Scripted, list[QA | Refused]]) -> None:
    kept = [outcome for outcome in outcomes[1] if isinstance(outcome, QA)]
    refused = [outcome for outcome in outcomes[1] if isinstance(outcome, Refused)]
    texts = {each.url: each.text for each in (page(number) for number in range(1, 28))}
    assert len(kept) == 2 * len(BAD) and all(first_fault(qa, texts) is None for qa in kept)
    assert [outcome.reject.reason for outcome in refused] == [reason for reason, _ in BAD]
    assert [outcome.reject.failed for outcome in refused] == [reason == "model_error" for reason, _ in BAD]


def test_questions_come_in_the_order_of_the_pages_signed_by_the_model(
    outcomes: tuple[Scripted, list[QA | Refused]],
) -> None:
    kept = [outcome for outcome in outcomes[1] if isinstance(outcome, QA)]
    assert [qa.answer for qa in kept] == [f"Mayor{n}" for n in range(1, 28) if n % 3]
    assert {qa.author for qa in kept} == {"scripted"}


def test_a_page_is_shown_with_the_pages_it_is_linked_with(outcomes: tuple[Scripted, list[QA | Refused]]) -> None:
    prompt = outcomes[0].asked[4]
    assert "[Page 1] Town5" in prompt and "[Page 2] Town4" in prompt and "Town3 is a town" not in prompt
    assert "- multi_hop: " in prompt and "{" + "pages}" not in prompt


async def test_a_page_with_next_to_no_text_is_not_shown() -> None:
    scripted = Scripted()
    author = ChatAuthor(config.Crawlqa(model="scripted"), scripted, load("default").files)
    empty = Page(url="http://127.0.0.1/", title="Just a moment…", text="Checking your browser.")
    assert [outcome async for outcome in author.write(stream([empty]))] == [] and scripted.asked == []


def test_json_is_found_in_whatever_stands_around_it() -> None:
    assert json_in('<think>{"a": 2}</think> Sure {x}: {"a": 1} bye') == {"a": 1}
