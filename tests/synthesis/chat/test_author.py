"""A model that lies, leaks and stammers in a third of its replies: none of that becomes a question."""

import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import pytest

from webdancer_cli.data.records import QA, Link, Message, Page, Usage
from webdancer_cli.errors import BudgetSpent, ModelError
from webdancer_cli.llm.client import Reply
from webdancer_cli.options import config
from webdancer_cli.prompts import load
from webdancer_cli.synthesis.chat.author import ChatAuthor
from webdancer_cli.synthesis.checks import first_fault
from webdancer_cli.synthesis.protocols import TYPES, Outcome, QuestionGroup, RefusedQuestion
from webdancer_cli.synthesis.resume import Earlier, mark_group

FILLER = "The rest of the page speaks of the weather, of fairs, and of a bridge that was never finished. " * 3
Replies = Callable[[int], str]
"""What is said about the group of a page, by its number."""


def url(number: int) -> str:
    return f"http://127.0.0.1/Town{number}"


def page(number: int) -> Page:
    """A town that links to the one before it."""
    near = f"It is near Town{number - 1}."
    text = f"Town{number} is a town. The mayor of Town{number} is Mayor{number}. {near} {FILLER}{FILLER}"
    link = Link(url=url(number - 1), text=f"Town{number - 1}", sentence=near)
    return Page(url=url(number), title=f"Town{number}", text=text, links=[link] if number > 1 else [])


async def stream(pages: Sequence[Page]) -> AsyncIterator[Page]:
    for each in pages:
        yield each


def good(number: int) -> dict[str, Any]:
    return {
        "question": f"Who is the mayor of Town{number}?",
        "answer": f"Mayor{number}",
        "type": "single_hop",
        "evidence": [{"page": 1, "quote": f"The mayor of Town{number} is Mayor{number}."}],
    }


def reply(*questions: dict[str, Any]) -> str:
    return "Here you are:\n```json\n" + json.dumps({"questions": questions}) + "\n```"


def with_(**changes: object) -> Replies:
    return lambda number: reply({**good(number), **changes})


def quoting(*quotes: tuple[int, str]) -> list[dict[str, object]]:
    return [{"page": page, "quote": quote} for page, quote in quotes]


class Scripted:
    """Speaks of each group by the number of its first page; None is a failed call."""

    model = "scripted"

    def __init__(self, say: Callable[[int], str | None]):
        self.asked: dict[int, list[str]] = {}
        self._say = say

    async def complete(
        self, messages: Sequence[Message], *, rollout: int = 0, schema: Mapping[str, Any] | None = None
    ) -> Reply:
        found = re.search(r"\[Page 1\] .*\n\S+/Town(\d+)\n", messages[0].content)
        assert found and schema and schema["type"] == "json_schema"
        number = int(found[1])
        self.asked.setdefault(number, []).append(messages[-1].content)
        said = self._say(number)
        if said is None:
            raise ModelError("HTTP 500")
        return Reply(text=said, usage=Usage(calls=1, input_tokens=100, output_tokens=11))


def options(**more: Any) -> config.CrawlqaOptions:
    return config.CrawlqaOptions(**{"model": "scripted", "jobs": 4, **more})


async def groups_of(scripted: Scripted, pages: int, earlier: Sequence[QA] = (), **more: Any) -> list[QuestionGroup]:
    author, before = ChatAuthor(options(**more), scripted, load("default")), Earlier()
    for qa in earlier:
        before.add(qa)
    return [group async for group in author.write(stream([page(number + 1) for number in range(pages)]), before)]


async def outcomes_of(scripted: Scripted, pages: int, **more: Any) -> list[Outcome]:
    return [outcome for group in await groups_of(scripted, pages, **more) for outcome in group.outcomes]


async def written_by(author: ChatAuthor, *pages: Page) -> list[Outcome]:
    return [outcome async for group in author.write(stream(pages), Earlier()) for outcome in group.outcomes]


def kept(outcomes: Sequence[Outcome]) -> list[QA]:
    return [outcome for outcome in outcomes if isinstance(outcome, QA)]


def reasons(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.reject.reason for outcome in outcomes if isinstance(outcome, RefusedQuestion)]


def twice(number: int) -> list[dict[str, object]]:
    """The same thing again, in fewer words."""
    return quoting((1, f"The mayor of Town{number} is Mayor{number}."), (1, f"mayor of Town{number} is Mayor{number}"))


MULTI = {"type": "multi_hop", "answer": "Mayor1", "question": "Who is the mayor of the town that Town2 is near?"}
BAD: list[tuple[str, Callable[[int], str | None]]] = [
    ("unreadable_reply", lambda n: "I am sorry, I cannot do that."),
    ("unreadable_reply", lambda n: '{"questions": [{"question": 3}]}'),
    ("model_error", lambda n: None),
    ("no_evidence", with_(evidence=[])),
    ("quote_not_found", lambda n: with_(evidence=quoting((1, f"Mayor{n} rules the town.")))(n)),
    ("unknown_page", with_(evidence=quoting((9, "The mayor is here.")))),
    ("answer_unsupported", with_(answer="Somebody Else")),
    ("answer_in_question", lambda n: with_(question=f"What office does Mayor{n} hold?")(n)),
    ("refers_to_page", with_(question="Who is the mayor that this page names?")),
    ("yes_no", with_(answer="Yes")),
    ("multiple_choice", with_(answer="B", question="Who is it: A) Ada or B) Borin?")),
    ("long_answer", with_(answer="one of the many people who at some time or other lived in this very old town")),
    ("not_a_question", with_(question="Name the mayor of the town.")),
    ("unknown_type", with_(type="riddle")),
    ("short_quote", lambda n: with_(evidence=quoting((1, f"is Mayor{n}")))(n)),
    ("repeated_quote", lambda n: with_(type="count", evidence=twice(n), answer="2")(n)),
    ("long_quote", lambda n: with_(evidence=quoting((1, page(n).text)))(n)),
    ("wrong_level", with_(type="multi_hop")),
    ("not_a_count", with_(type="count")),
    ("no_intersection", with_(type="intersection")),
    ("not_a_comparison", with_(type="comparison")),
    ("not_a_comparison", lambda n: with_(type="comparison", question=f"Is Mayor{n}, or who, the mayor?")(n)),
    ("no_time", with_(type="temporal")),
]


@pytest.fixture
async def lying() -> tuple[Scripted, list[Outcome]]:
    """Every third group gets a bad reply, in turn."""

    def say(number: int) -> str | None:
        return BAD[number // 3 - 1][1](number) if number % 3 == 0 else reply(good(number))

    scripted = Scripted(say)
    return scripted, await outcomes_of(scripted, 3 * len(BAD))


async def test_no_bad_reply_becomes_a_question_and_each_has_its_reason(lying: tuple[Scripted, list[Outcome]]) -> None:
    texts = {url(number): page(number).text for number in range(1, 3 * len(BAD) + 1)}
    assert all(first_fault(qa, texts) is None for qa in kept(lying[1]))
    assert reasons(lying[1]) == [reason for reason, _ in BAD]
    refused = [outcome for outcome in lying[1] if isinstance(outcome, RefusedQuestion)]
    assert [outcome.reject.failed for outcome in refused] == [True] * 3 + [False] * (len(BAD) - 3)
    assert [outcome.url for outcome in refused[:3]] == [url(3), url(6), url(9)]
    assert all(outcome.qa and outcome.qa.question for outcome in refused[3:])


async def test_questions_come_in_the_order_of_the_pages_signed_by_the_model(
    lying: tuple[Scripted, list[Outcome]],
) -> None:
    assert [qa.answer for qa in kept(lying[1])] == [f"Mayor{n}" for n in range(1, 3 * len(BAD)) if n % 3]
    assert {(qa.author, qa.tag) for qa in kept(lying[1])} == {("scripted", "crawlqa")}
    assert re.fullmatch(r"default:[0-9a-f]{16}", kept(lying[1])[0].prompts)


async def test_what_cannot_be_read_is_asked_for_once_more(lying: tuple[Scripted, list[Outcome]]) -> None:
    assert [len(lying[0].asked[number]) for number in (3, 6, 9, 12)] == [2, 2, 1, 1]


MULTI_QUOTES = quoting((1, "It is near Town1."), (2, "The mayor of Town1 is Mayor1."))
SOUND: list[dict[str, Any]] = [
    {**MULTI, "evidence": MULTI_QUOTES},
    {
        "type": "comparison",
        "question": "Which mayor rules a town further on, Mayor2 or Mayor1?",
        "answer": "Mayor2",
        "evidence": quoting((1, "The mayor of Town2 is Mayor2."), (2, "The mayor of Town1 is Mayor1.")),
    },
    {
        "type": "comparison",
        "question": "Which town lies further on, Town2 or Town1?",
        "answer": "Town2",
        "evidence": quoting((1, "It is near Town1."), (2, "It is near Town0.")),
    },
    {
        "type": "count",
        "question": "How many mayors rule along the road?",
        "answer": "2",
        "evidence": quoting((1, "The mayor of Town2 is Mayor2."), (2, "The mayor of Town1 is Mayor1.")),
    },
    {
        "type": "intersection",
        "question": "Which town lies on the road and has Mayor2 for its neighbour?",
        "answer": "Town1",
        "evidence": quoting((1, "It is near Town1."), (2, "Town1 is a town.")),
    },
]


@pytest.mark.parametrize("question", SOUND, ids=lambda question: question["type"])
async def test_a_sound_question_of_each_type_passes(question: dict[str, Any]) -> None:
    outcomes = await outcomes_of(Scripted(lambda n: reply(question) if n == 2 else reply()), 2)
    (qa,) = kept(outcomes)
    assert (qa.type, qa.level) == (question["type"], 2)


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("no_bridge", {"question": "Who is the mayor of Town1, the town that Town2 is near?"}),
        ("wrong_order", {"evidence": MULTI_QUOTES[::-1]}),
    ],
)
async def test_a_second_hop_that_the_question_saves_is_none(reason: str, change: dict[str, Any]) -> None:
    question = {**MULTI, "evidence": MULTI_QUOTES, **change}
    assert reasons(await outcomes_of(Scripted(lambda n: reply(question) if n == 2 else reply()), 2)) == [reason]


async def test_a_quote_is_kept_as_the_page_words_it() -> None:
    shown = "The  mayor of\nTown1—‘the old one’—is Mayor1."
    said = "The mayor of Town1 - 'the old one' - is Mayor1.".replace(" - ", "-")
    text = f"Town1 is a town. {shown} {FILLER}"
    author = ChatAuthor(
        options(), Scripted(lambda n: reply({**good(1), "evidence": quoting((1, said))})), load("default")
    )
    pages = [Page(url=url(1), title="Town1", text=text)]
    (qa,) = kept(await written_by(author, *pages))
    assert qa.evidence[0].quote == shown


async def test_a_page_is_shown_with_the_pages_it_is_linked_with() -> None:
    scripted = Scripted(lambda n: reply())
    await outcomes_of(scripted, 6)
    (prompt,) = scripted.asked[5]
    # It links to Town4, and is linked from Town6 only if that has come: its children are all there when it comes.
    assert "[Page 1] Town5" in prompt and "[Page 2] Town4" in prompt and "Town3 is a town" not in prompt
    assert not re.search(r"\{\w+\}", prompt)


@pytest.mark.parametrize("name", TYPES)
async def test_the_examples_in_the_prompts_pass_their_own_checks(name: str) -> None:
    section = load("default").files[f"author_{name}.md"]
    said = re.findall(r'^Page \d+(?:, "(.+?)")?: "(.+)"$', section, re.MULTILINE)
    pages = [
        Page(url=url(number), title=title or f"Town{number}", text=f"{text} {FILLER}")
        for number, (title, text) in enumerate(said, 1)
    ]
    pages[0].links = [Link(url=other.url, text="x", sentence="x") for other in pages[1:]]
    (example,) = re.findall(r"^\{.*\}$", section, re.MULTILINE)
    author = ChatAuthor(
        options(), Scripted(lambda n: f'{{"questions": [{example}]}}' if n == 1 else reply()), load("default")
    )
    outcomes = await written_by(author, *pages)
    assert [qa.type for qa in kept(outcomes)] == [name], outcomes


async def test_types_and_shares_decide_what_is_asked_for() -> None:
    scripted = Scripted(lambda n: reply())
    await outcomes_of(scripted, 1, per_page=4, mix=["single_hop=2", "count=1"])
    (prompt,) = scripted.asked[1]
    assert "## single_hop (at most 4)" in prompt and "## count (at most 2)" in prompt
    assert not [name for name in TYPES if f"## {name}" in prompt and name not in ("single_hop", "count")]


async def test_yes_no_questions_pass_if_asked_for() -> None:
    question = {
        **good(1),
        "question": "Is the mayor of Town1 called Ada?",
        "answer": "No",
        "evidence": quoting((1, "No mayor is called Ada.")),
    }
    pages = [Page(url=url(1), title="Town1", text=f"No mayor is called Ada. {FILLER}")]
    for allowed in (False, True):
        author = ChatAuthor(options(allow_boolean=allowed), Scripted(lambda n: reply(question)), load("default"))
        outcomes = await written_by(author, *pages)
        assert len(kept(outcomes)) == allowed and reasons(outcomes) == ([] if allowed else ["yes_no"])


async def test_each_record_carries_its_share_of_the_call() -> None:
    bad = {**good(1), "answer": "Somebody Else"}
    outcomes = await outcomes_of(
        Scripted(lambda n: reply(good(1), bad, {**good(1), "question": "Who rules Town1?"})), 1
    )
    usages = [(outcome if isinstance(outcome, QA) else outcome.qa).usage for outcome in outcomes]
    # One call of 100 and 11 tokens among three: 34 + 33 + 33, 4 + 4 + 3, 1 + 0 + 0.
    assert [(each.calls, each.input_tokens, each.output_tokens) for each in usages] == [
        (1, 34, 4),
        (0, 33, 4),
        (0, 33, 3),
    ]


async def test_a_page_with_next_to_no_text_is_not_shown() -> None:
    scripted = Scripted(lambda n: reply())
    author = ChatAuthor(options(), scripted, load("default"))
    empty = Page(url="http://127.0.0.1/", title="Just a moment…", text="Checking your browser.")
    assert await written_by(author, empty) == [] and scripted.asked == {}


async def test_what_can_be_finished_is_given_before_the_budget_ends_the_stream() -> None:
    class Rich(Scripted):
        async def complete(self, messages: Sequence[Message], **more: Any) -> Reply:
            said = await super().complete(messages, **more)
            if 3 in self.asked:
                raise BudgetSpent("--max-tokens")
            return said

    scripted, given = Rich(lambda n: reply(good(n))), []
    author = ChatAuthor(options(jobs=1), scripted, load("default"))
    with pytest.raises(BudgetSpent):
        async for group in author.write(stream([page(number) for number in range(1, 30)]), Earlier()):
            given += group.outcomes
    assert [qa.answer for qa in kept(given)] == ["Mayor1", "Mayor2"]


class TestResume:
    """Pages whose questions are in ``out`` are not paid for twice."""

    async def again(self, written: Sequence[QA], pages: int = 4, **more: Any) -> set[int]:
        """The pages that a resumed run asks about."""
        scripted = Scripted(lambda n: reply(good(n)))
        await groups_of(scripted, pages, written, **more)
        return set(scripted.asked)

    async def first(self, say: Callable[[int], str | None] = lambda n: reply(good(n)), **more: Any) -> list[QA]:
        """What a first run leaves of three pages."""
        groups = await groups_of(Scripted(say), 3, **more)
        for group in groups:
            mark_group(kept(group.outcomes), group.key, len(kept(group.outcomes)))
        return [qa for group in groups for qa in kept(group.outcomes)]

    async def test_only_new_pages_are_asked_about(self) -> None:
        assert await self.again(await self.first()) == {4}

    async def test_another_model_prompt_or_type_asks_again(self) -> None:
        assert await self.again(await self.first(), types=["single_hop"]) == {1, 2, 3, 4}

    async def test_with_a_tape_nothing_is_skipped(self) -> None:
        assert await self.again(await self.first(), tape="run.tape") == {1, 2, 3, 4}

    async def test_a_group_that_was_written_in_part_is_asked_about_again(self) -> None:
        two = await self.first(lambda n: reply(good(n), {**good(n), "question": f"Who rules Town{n}?"}))
        assert await self.again(two[:-1]) == {3, 4}
        assert await self.again(two[:-1], mix=["single_hop=1"], types=["single_hop"]) == {1, 2, 3, 4}

    async def test_with_a_mix_what_was_begun_counts_as_done(self) -> None:
        mixed = {"mix": ["single_hop=1"]}
        say = lambda n: reply(good(n), {**good(n), "question": f"Who rules Town{n}?"})  # noqa: E731
        written = await self.first(say, **mixed)
        assert await self.again(written[:-1], **mixed) == {4}
