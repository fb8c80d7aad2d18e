"""A model picks, searches and restructures; what it gets wrong is counted, tried again and never kept."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import QA, Message, Page, Usage
from webdancer_cli.errors import BudgetSpent, ModelError
from webdancer_cli.llm.client import ChatClient, Reply
from webdancer_cli.llm.structured_output import Unreadable
from webdancer_cli.options import config
from webdancer_cli.prompts import load
from webdancer_cli.synthesis.chat import aliases
from webdancer_cli.synthesis.chat.rewriter import ATTEMPTS, ChatRewriter
from webdancer_cli.tape import Tape
from webdancer_cli.web.corpus import Corpus

SENTENCE = "Velmora is the town where the glass festival began in 1820."
HOME = "Velmora is a town, also known as Old Velm. The mayor of Velmora is Dolvek, who was born in Kemlo."
PAGES = [
    Page(url="http://127.0.0.1/glass", title="Glass festival", text=f"A festival of glass. {SENTENCE} It rains."),
    Page(url="http://127.0.0.1/velmora", title="Velmora (town) – Atlas", text=HOME),
    Page(url="http://127.0.0.1/kemlo", title="Kemlo", text="Kemlo is a village of bakers. It is near Tirsk."),
]
QUESTION = QA(
    question="Who is the mayor of Velmora?",
    answer="Dolvek",
    level=1,
    usage=Usage(calls=1, input_tokens=7, output_tokens=3),
    extra={"mine": 7},
)
DESCRIPTION = "the town where the glass festival began"
GOOD = {
    "page": 1,
    "sentence": "Velmora is the town  where the glass festival began in 1820.",
    "description": DESCRIPTION,
    "question": f"Who is the mayor of {DESCRIPTION}?",
}
SOUND = dict.fromkeys(["one_question", "grammatical", "same_answer", "description_fits"], True)
SCRIPT = {
    "entity": {"entity": "Velmora"},
    "query": {"query": "Velmora glass festival"},
    "rewrite": GOOD,
    "judge": SOUND,
}
NONSENSE = {"nonsense": True}


class Scripted:
    """Tells by the prompt which of its parts it is to play; an attempt may have lines of its own."""

    model = "scripted"

    def __init__(self, *attempts: Mapping[str, Any]):
        self.asked: list[tuple[str, str]] = []
        self._attempts = attempts
        self._begun = 0

    async def complete(
        self, messages: Sequence[Message], *, rollout: int = 0, schema: Mapping[str, Any] | None = None
    ) -> Reply:
        part, repair = self._part(messages[0].content), len(messages) > 1
        self._begun += part == "entity" and not repair
        self.asked.append((part, messages[-1].content))
        own = self._attempts[self._begun - 1] if 0 < self._begun <= len(self._attempts) else {}
        line = own.get(part, SCRIPT[part])
        if isinstance(line, Exception):
            raise line
        return Reply(text=json.dumps(line), usage=Usage(calls=1, input_tokens=10, output_tokens=2))

    @staticmethod
    def _part(prompt: str) -> str:
        signs = {"strict editor": "judge", "[Page 1]": "rewrite", "web search query": "query"}
        return next((part for sign, part in signs.items() if sign in prompt), "entity")


@pytest.fixture
def web(tmp_path: Path) -> Corpus:
    path = str(tmp_path / "pages.jsonl")
    jsonl.write_records(path, PAGES)
    return Corpus.load(path)


async def rewrite(web: Corpus, *attempts: Mapping[str, Any], qa: QA = QUESTION) -> tuple[QA | None, ChatRewriter]:
    scripted = Scripted(*attempts)
    rewriter = ChatRewriter(config.E2hqaOptions(model="scripted"), scripted, load("default"), scripted)
    return await rewriter.rewrite(qa, web), rewriter


async def test_a_sound_description_replaces_the_entity(web: Corpus) -> None:
    harder, rewriter = await rewrite(web)
    assert harder is not None and rewriter.failures == {}
    assert (harder.question, harder.answer, harder.level) == (GOOD["question"], "Dolvek", 2)
    assert (harder.author, harder.parent, harder.tag, harder.extra) == ("scripted", QUESTION.id, "e2hqa", {"mine": 7})
    assert harder.prompts.startswith("default:")
    (step,) = harder.chain
    assert (step.entity, step.query, step.url) == ("Velmora", "Velmora glass festival", "http://127.0.0.1/glass")
    assert (step.sentence, step.description) == (SENTENCE, DESCRIPTION)  # the page's own words
    assert (step.before, step.after) == (QUESTION.question, GOOD["question"])
    assert (harder.evidence[0].url, harder.evidence[0].quote) == (step.url, SENTENCE)


async def test_each_role_is_shown_what_it_needs_and_the_judge_last(web: Corpus) -> None:
    scripted = Scripted()
    await ChatRewriter(config.E2hqaOptions(), scripted, load("default"), scripted).rewrite(QUESTION, web)
    assert [part for part, _ in scripted.asked] == ["entity", "query", "rewrite", "judge"]
    judged = scripted.asked[-1][1]
    assert all(text in judged for text in (QUESTION.question, GOOD["question"], "Dolvek", DESCRIPTION, SENTENCE))


async def test_the_judge_may_be_another_model(web: Corpus) -> None:
    writer, judge = Scripted(), Scripted()
    assert await ChatRewriter(config.E2hqaOptions(), writer, load("default"), judge).rewrite(QUESTION, web)
    assert [part for part, _ in judge.asked] == ["judge"] and len(writer.asked) == 3


async def test_usage_is_that_of_the_rewrite_with_its_failed_attempts(web: Corpus) -> None:
    harder, _ = await rewrite(web, {"entity": {"entity": "Dolvek"}})
    # 1 call that chose badly, and 4 of a sound attempt, each with 10 and 2 tokens; not the call of before.
    assert harder and harder.usage == Usage(calls=5, input_tokens=50, output_tokens=10)


@pytest.mark.parametrize("part", ["query", "rewrite"])
async def test_each_attempt_is_told_apart_on_a_tape(web: Corpus, part: str) -> None:
    rollouts: list[int] = []

    class Numbered(Scripted):
        async def complete(self, messages: Sequence[Message], *, rollout: int = 0, **more: Any) -> Reply:
            rollouts.append(rollout)
            return await super().complete(messages, **more)

    bad = [{"entity": {"entity": name}, part: NONSENSE} for name in ("Velmora", "mayor", "the")]
    scripted = Numbered(*bad)
    with pytest.raises(Unreadable):
        await ChatRewriter(config.E2hqaOptions(), scripted, load("default"), scripted).rewrite(QUESTION, web)
    assert sorted(set(rollouts)) == [0, 1, 2]


async def test_an_entity_that_was_refused_is_not_to_be_chosen_again(web: Corpus) -> None:
    scripted = Scripted({"entity": {"entity": "Dolvek"}}, {"entity": {"entity": "Kemlo"}})
    rewriter = ChatRewriter(config.E2hqaOptions(), scripted, load("default"), scripted)
    assert await rewriter.rewrite(QUESTION, web)
    asked = [prompt for part, prompt in scripted.asked if part == "entity"]
    assert ["Not again" in prompt for prompt in asked] == [False, True, True]
    assert "Not again: Dolvek; Kemlo." in asked[2]


async def test_a_recorded_rewrite_asks_anew_for_each_attempt_and_is_replayed(web: Corpus, tmp_path: Path) -> None:
    """On the tape the attempts differ though their words are the same: the first reply names no entity at all."""
    live: list[str] = []

    class Speaking(ChatClient):
        async def _asked(self, request: Any, schema: Any) -> Reply:
            live.append("asked")
            return Reply(text="I cannot say.")

    with Tape(str(tmp_path / "run.tape")) as tape:
        chat = Speaking("http://127.0.0.1:9/v1", "m", tape=tape)
        for _ in range(2):
            with pytest.raises(Unreadable):
                await ChatRewriter(config.E2hqaOptions(), chat, load("default"), chat).rewrite(QUESTION, web)
    assert len(live) == 2 * ATTEMPTS  # each is asked to repair it once; the second run hears the tape alone


def question(text: str, **more: str) -> dict[str, Any]:
    return {"rewrite": {**GOOD, "question": text, **more}}


LONG = "the town of " + "old " * 40 + "glass"
BAD = [
    ("unreadable_reply", {"entity": NONSENSE}),
    ("unreadable_reply", {"rewrite": NONSENSE}),
    ("unreadable_reply", {"judge": {"one_question": True}}),
    ("entity_is_answer", {"entity": {"entity": "Dolvek"}}),
    ("entity_not_in_question", {"entity": {"entity": "Kemlo"}}),
    ("no_description", {"rewrite": {**GOOD, "page": 0}}),
    ("no_description", {"rewrite": {**GOOD, "page": 99}}),
    ("sentence_not_found", {"rewrite": {**GOOD, "sentence": "Velmora is the town of glass."}}),
    ("not_about_entity", {"rewrite": {**GOOD, "sentence": "A festival of glass."}}),
    ("answer_in_description", {"rewrite": {**GOOD, "page": 2, "sentence": "The mayor of Velmora is Dolvek"}}),
    ("unsupported_description", question("Who is the mayor of the finest seaport?", description="the finest seaport")),
    ("long_description", question(f"Who is the mayor of {LONG}?", description=LONG)),
    ("description_left_out", question("Who is the mayor of the town of glass?")),
    ("entity_left", question(f"Who is the mayor of Velmora, {DESCRIPTION}?")),
    ("entity_left", question(f"Who is the mayor of Old Velm, {DESCRIPTION}?")),
    ("question_changed", question(f"Who founded {DESCRIPTION}?")),
    ("answer_in_question", question(f"Who is the mayor of {DESCRIPTION}, Dolvek?")),
    ("not_a_question", question(f"Name the mayor of {DESCRIPTION}.")),
    ("several_questions", {"judge": {**SOUND, "one_question": False}}),
    ("ungrammatical", {"judge": {**SOUND, "grammatical": False}}),
    ("other_answer", {"judge": {**SOUND, "same_answer": False}}),
    ("unfit_description", {"judge": {**SOUND, "description_fits": False}}),
]


@pytest.mark.parametrize(("reason", "bad"), BAD, ids=lambda value: value if isinstance(value, str) else "")
async def test_an_unsound_one_is_counted_tried_again_and_then_given_up(
    web: Corpus, reason: str, bad: dict[str, Any]
) -> None:
    other = {
        "entity": {"entity": "mayor"},
        "rewrite": {"page": 0, **dict.fromkeys(["sentence", "description", "question"], "")},
    }
    harder, rewriter = await rewrite(web, bad)
    assert rewriter.failures[reason] == 1
    if bad.keys() != {"entity"}:  # the same entity again is another failure
        assert harder is None and rewriter.failures == {reason: 1, "entity_repeated": ATTEMPTS - 1}
    else:
        assert harder is not None
    given_up, rewriter = await rewrite(web, bad, other, {**other, "entity": {"entity": "Who"}})
    assert given_up is None and rewriter.failures.total() == ATTEMPTS


async def test_what_was_tried_is_not_to_be_chosen_again(web: Corpus) -> None:
    scripted = Scripted({"judge": {**SOUND, "grammatical": False}})
    await ChatRewriter(config.E2hqaOptions(), scripted, load("default"), scripted).rewrite(QUESTION, web)
    asked = [prompt for part, prompt in scripted.asked if part == "entity"]
    assert "Not again: Velmora." not in asked[0] and "Not again: Velmora." in asked[1]


async def test_a_description_that_leads_nowhere_is_refused(web: Corpus) -> None:
    class Lost:
        name = "lost"

        async def search(self, query: str, results: int) -> list[Any]:
            return await web.search(
                query if "Velmora" in query else "bakers of Tirsk", 1 if "Velmora" not in query else 5
            )

        async def read(self, url: str) -> Page:
            return await web.read(url)

    scripted = Scripted()
    rewriter = ChatRewriter(config.E2hqaOptions(), scripted, load("default"), scripted)
    assert await rewriter.rewrite(QUESTION, Lost()) is None
    assert rewriter.failures["not_found_again"] == 1 and "judge" not in [part for part, _ in scripted.asked]


async def test_no_entity_ends_the_round_at_once(web: Corpus) -> None:
    harder, rewriter = await rewrite(web, {"entity": {"entity": " "}})
    assert harder is None and rewriter.failures == {"no_entity": 1}


async def test_a_model_that_only_stammers_has_failed(web: Corpus) -> None:
    with pytest.raises(Unreadable):
        await rewrite(web, *[{"query": NONSENSE}, {"entity": NONSENSE}, {"entity": NONSENSE}])


@pytest.mark.parametrize("error", [ModelError("HTTP 500"), BudgetSpent("--max-cost")])
@pytest.mark.parametrize("part", SCRIPT)
async def test_a_failure_of_the_model_is_no_failed_attempt(web: Corpus, part: str, error: Exception) -> None:
    with pytest.raises(type(error)):
        await rewrite(web, {part: error})


@pytest.mark.parametrize(
    ("entity", "asked", "after", "left"),
    [
        ("Ada Lovelace", "Who taught Ada Lovelace?", "Who taught the first programmer, Lovelace?", True),
        ("Ada Lovelace", "Who taught Ada Lovelace?", "Who taught Ada’s friend, the first programmer?", True),
        ("Glass Festival", "Who began the Glass Festival?", "Who began the festival that is held in glass?", False),
        ("World Health Body", "Who leads the World Health Body?", "Who leads WHB, the body for health?", True),
        ("Ida Thorne", "When did Ida Thorne see it?", "When did the poet see it?", False),
        ("Velmora", "Who rules Velmora?", "Who rules VELMORA?", True),
    ],
)
async def test_parts_and_initials_of_a_name_count_as_the_name(
    web: Corpus, entity: str, asked: str, after: str, left: bool
) -> None:
    assert bool(aliases.remaining_name(entity, aliases.entity_names(entity, PAGES), asked, after)) == left


async def test_the_record_survives_its_own_line(web: Corpus) -> None:
    harder, _ = await rewrite(web)
    assert harder is not None
    assert msgspec.json.decode(msgspec.json.encode(harder), type=QA) == harder
