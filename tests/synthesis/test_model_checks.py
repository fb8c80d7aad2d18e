"""What is known by heart, or not proved by its quotes, does not pass."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from webdancer_cli.data.records import QA, Evidence, Message, Usage
from webdancer_cli.errors import ModelError
from webdancer_cli.llm.client import Reply
from webdancer_cli.prompts import load
from webdancer_cli.synthesis.model_checks import ModelChecks
from webdancer_cli.synthesis.protocols import RefusedQuestion


class Remembering:
    """Knows the answers of some questions; cannot be reached for others."""

    model = "remembering"

    def __init__(self, known: Mapping[str, str], fails: str = ""):
        self._known = known
        self._fails = fails

    async def complete(
        self, messages: Sequence[Message], *, rollout: int = 0, schema: Mapping[str, Any] | None = None
    ) -> Reply:
        asked = next((name for name in "abcde" if f"Who is {name}?" in messages[0].content), "")
        if asked and asked == self._fails:
            raise ModelError("HTTP 500")
        return Reply(text=json.dumps({"answer": self._known.get(asked, "")}))


def qa(name: str) -> QA:
    return QA(question=f"Who is {name}?", answer=f"The {name.upper()}", aliases=[f"{name}-1"])


async def passed(judge: Remembering, name: str) -> QA | RefusedQuestion:
    return await ModelChecks(judge, load("default"), closed_book=True, verify=False).check(qa(name))


@pytest.mark.parametrize("known", ["a", "The A", "A-1"])
async def test_what_is_known_by_heart_is_refused(known: str) -> None:
    refused = await passed(Remembering({"a": known}), "a")
    assert isinstance(refused, RefusedQuestion) and (refused.reject.reason, refused.reject.failed) == (
        "closed_book",
        False,
    )


@pytest.mark.parametrize("known", ["", "not b"])
async def test_what_is_not_known_passes_as_it_is(known: str) -> None:
    question = await passed(Remembering({"b": known}), "b")
    assert isinstance(question, QA) and (question.id, question.usage) == (qa("b").id, Usage())


async def test_an_outage_is_a_failure_of_that_question() -> None:
    refused = await passed(Remembering({}, fails="b"), "b")
    assert isinstance(refused, RefusedQuestion) and refused.reject.failed and refused.qa == qa("b")


class Strict:
    """Finds nothing wrong, unless told to, and says what it was shown."""

    model = "strict"

    def __init__(self, **said: bool | str):
        self.shown = ""
        self._said = {"answer": "", "proved": True, "only_answer": True, "clear": True, "reason": "so", **said}

    async def complete(self, messages: Sequence[Message], **_: object) -> Reply:
        self.shown = messages[0].content
        return Reply(text=json.dumps(self._said), usage=Usage(calls=1, input_tokens=7))


@pytest.mark.parametrize(
    ("holds", "reason"),
    [
        ({}, None),
        ({"proved": False, "clear": False}, "not_proved"),
        ({"only_answer": False}, "other_answers"),
        ({"clear": False}, "unclear"),
    ],
)
async def test_a_question_that_its_quotes_do_not_prove_is_refused(holds: dict[str, bool], reason: str | None) -> None:
    judge = Strict(**holds)
    asked = qa("a")
    asked.evidence = [Evidence(url="http://a.test/", title="A", quote="The A is who.")]
    outcome = await ModelChecks(judge, load("default"), closed_book=False, verify=True).check(asked)
    assert "1. A: The A is who." in judge.shown and "Who is a?" in judge.shown and "\nThe A\n" in judge.shown
    assert asked.usage == Usage(calls=1, input_tokens=7)
    if reason is None:
        assert outcome is asked
    else:
        assert isinstance(outcome, RefusedQuestion) and outcome.qa is asked
        assert (outcome.reject.reason, outcome.reject.failed) == (reason, False)


async def test_the_cheaper_check_comes_first_and_its_no_is_the_last_word() -> None:
    judge = Strict()
    outcome = await ModelChecks(judge, load("default"), closed_book=True, verify=True).check(qa("a"))
    assert isinstance(outcome, QA) and outcome.usage == Usage(calls=2, input_tokens=14) and "quotes" in judge.shown
    judge = Strict(answer="The A")
    outcome = await ModelChecks(judge, load("default"), closed_book=True, verify=True).check(qa("a"))
    assert isinstance(outcome, RefusedQuestion) and "from memory" in judge.shown
