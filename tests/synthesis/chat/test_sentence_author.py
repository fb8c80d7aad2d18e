"""A small model is asked about one sentence: what it makes of it becomes a question only if all checks agree."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from webdancer_cli.data.records import QA, Message, Page, Usage
from webdancer_cli.errors import ModelError, UsageError
from webdancer_cli.llm.client import Reply
from webdancer_cli.options import config
from webdancer_cli.prompts import load
from webdancer_cli.synthesis.chat.sentence_author import SentenceAuthor, telling_sentences
from webdancer_cli.synthesis.protocols import RefusedQuestion
from webdancer_cli.synthesis.resume import Earlier

SENTENCE = "The lighthouse of Ossik was built by the mason Edda Morvane in the year 1871."
FILLER = "It rains there. So they say. The sun is seen less often. " * 5
PAGE = Page(url="http://127.0.0.1/Ossik", title="Ossik", text=f"{FILLER}\n{SENTENCE}\n{FILLER}")
GOOD = {"question": "Which mason built the lighthouse of Ossik?", "answer": "Edda Morvane"}


class Scripted:
    """Says one thing when asked to write and another when asked to read back; None is a failed call."""

    model = "scripted"

    def __init__(self, write: str | None, back: str | None = '{"answer": "Edda Morvane"}'):
        self.asked: list[str] = []
        self._write, self._back = write, back

    async def complete(
        self, messages: Sequence[Message], *, rollout: int = 0, schema: Mapping[str, Any] | None = None
    ) -> Reply:
        self.asked.append(messages[0].content)
        said = self._back if "<question>" in messages[0].content else self._write
        if said is None:
            raise ModelError("HTTP 500")
        return Reply(text=said, usage=Usage(calls=1, input_tokens=300, output_tokens=20))


async def written(scripted: Scripted, *pages: Page, **more: Any) -> list[QA | RefusedQuestion]:
    async def stream() -> AsyncIterator[Page]:
        for page in pages or (PAGE,):
            yield page

    options = config.CrawlqaOptions(**{"model": "scripted", "ask": "sentences", **more})
    groups = SentenceAuthor(options, scripted, load("default")).write(stream(), Earlier())
    return [outcome async for group in groups for outcome in group.outcomes]


async def test_a_question_has_the_rules_sentence_as_its_quote_and_the_pages_provenance() -> None:
    scripted = Scripted(json.dumps(GOOD))
    (qa,) = await written(scripted)
    assert isinstance(qa, QA)
    assert (qa.question, qa.answer, qa.type, qa.level) == (GOOD["question"], "Edda Morvane", "single_hop", 1)
    assert [(proof.url, proof.quote, proof.title) for proof in qa.evidence] == [(PAGE.url, SENTENCE, "Ossik")]
    assert qa.usage and qa.usage.calls == 2 and qa.prompts.startswith("default:")
    assert all(SENTENCE in prompt and FILLER not in prompt for prompt in scripted.asked)


def saying(**changes: object) -> str:
    return json.dumps({**GOOD, **changes})


@pytest.mark.parametrize(
    ("reason", "write", "back"),
    [
        ("unreadable_reply", "I would rather not.", ""),
        ("answered_otherwise", saying(), '{"answer": "1871"}'),
        ("answered_otherwise", saying(), '{"answer": ""}'),
        ("answered_otherwise", saying(), "I cannot say."),
        ("answer_unsupported", saying(answer="Somebody Else"), ""),
        ("answer_in_question", saying(question="Was it Edda Morvane who built the lighthouse of Ossik, or who?"), ""),
        ("refers_to_page", saying(question="Which mason does this page name?"), ""),
        ("not_about_quote", saying(question="Who is the president of France?"), ""),
        ("names_nothing", saying(question="Which mason built the lighthouse?"), ""),
        ("long_answer", saying(question="What is told of Ossik?", answer=SENTENCE.removeprefix("The ")[:-1]), ""),
        ("not_a_question", saying(question="…"), ""),
    ],
)
async def test_what_fails_a_check_is_refused_with_its_reason(reason: str, write: str, back: str) -> None:
    (refused,) = await written(Scripted(write, back))
    assert isinstance(refused, RefusedQuestion)
    assert (refused.reject.reason, refused.reject.failed) == (reason, False)


@pytest.mark.parametrize("back", ["edda morvane", "the mason Edda Morvane", "Morvane"])
async def test_the_same_answer_in_more_or_fewer_words_agrees(back: str) -> None:
    (qa,) = await written(Scripted(saying(), json.dumps({"answer": back})))
    assert isinstance(qa, QA) and qa.answer == "Edda Morvane"


@pytest.mark.parametrize(
    "question",
    [
        "Which mason built the lighthouse of Ossik?",
        "Which mason built the ossikan lighthouse?",
        "Which mason built the lighthouse in 1871?",
    ],
)
async def test_a_name_a_number_or_a_word_of_the_title_is_enough_to_know_what_is_asked(question: str) -> None:
    (qa,) = await written(Scripted(saying(question=question)))
    assert isinstance(qa, QA) and qa.question == question


@pytest.mark.parametrize("failing", [(None, "{}"), (saying(), None)])
async def test_a_call_that_fails_is_a_failure_of_its_page(failing: tuple[str | None, str | None]) -> None:
    (refused,) = await written(Scripted(*failing))
    assert isinstance(refused, RefusedQuestion)
    assert (refused.reject.reason, refused.reject.failed, refused.url) == ("model_error", True, PAGE.url)


TOWNS = [f"The harbour of Town{n} was dug by the people of Borin in the year 17{n}." for n in range(10, 30)]
MANY = Page(url="http://127.0.0.1/Towns", title="Towns", text="\n".join(TOWNS))


@pytest.mark.parametrize(("write", "calls"), [(saying(), 6), ("no", 12)])
async def test_as_many_sentences_are_tried_as_the_questions_that_are_wanted_need(write: str, calls: int) -> None:
    """Two questions: six sentences at most, and each unreadable reply is asked for once more."""
    scripted = Scripted(write.replace("Edda Morvane", "Borin"), '{"answer": "Borin"}')
    outcomes = await written(scripted, MANY, per_page=2)
    assert len(scripted.asked) == calls
    assert sum(isinstance(outcome, QA) for outcome in outcomes) == 0


async def test_no_more_questions_are_written_than_are_wanted() -> None:
    reply = saying(question="Which people dug the harbour of this coast's town?", answer="people of Borin")
    scripted = Scripted(reply, '{"answer": "Borin"}')
    outcomes = await written(scripted, MANY, per_page=2)
    assert [isinstance(outcome, QA) for outcome in outcomes] == [True, True]
    assert len(scripted.asked) == 4


def test_sentences_with_names_and_numbers_come_first_and_what_leans_on_others_never() -> None:
    leaning = "It was a long and very stormy winter for all of them."
    plain = "The weather of the coast is rough, and the summers are short."
    page = Page(url="http://127.0.0.1/", title="Ossik", text=f"{leaning}\n{plain}\n{SENTENCE}")
    assert telling_sentences(page, 5) == [SENTENCE, plain]
    assert telling_sentences(page, 1) == [SENTENCE]


def test_other_types_than_one_sentence_can_prove_are_refused() -> None:
    options = config.CrawlqaOptions(ask="sentences", types=["multi_hop"])
    with pytest.raises(UsageError, match="--ask sentences"):
        SentenceAuthor(options, Scripted(""), load("default"))
