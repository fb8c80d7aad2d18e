"""What is known by heart, or not proved by its quotes, goes; everything else stays, in its order."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from webdancer_cli.data.records import QA, Evidence, Message, Usage
from webdancer_cli.errors import ModelError, Reject
from webdancer_cli.llm.client import Reply
from webdancer_cli.options import config
from webdancer_cli.prompts import load
from webdancer_cli.synthesis.model_checks import ModelChecks, ModelFilter, UncheckedQuestion
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


async def sifted(
    judge: Remembering, *outcomes: QA | RefusedQuestion | UncheckedQuestion
) -> list[QA | RefusedQuestion | UncheckedQuestion]:
    async def stream() -> AsyncIterator[QA | RefusedQuestion | UncheckedQuestion]:
        for outcome in outcomes:
            yield outcome

    checks = ModelChecks(judge, load("default")).chosen(config.CrawlqaOptions(closed_book=True))
    return [outcome async for outcome in ModelFilter(checks, jobs=2).check(stream())]


def shown(outcomes: Sequence[QA | RefusedQuestion | UncheckedQuestion]) -> list[str]:
    names = [one.question[7] if isinstance(one, QA) else "" for one in outcomes]
    return [
        name or (one.reject.reason if isinstance(one, RefusedQuestion) else "unasked")
        for name, one in zip(names, outcomes, strict=True)
    ]


async def test_what_is_known_by_heart_goes_and_all_else_stays_in_its_order() -> None:
    refused = RefusedQuestion(Reject("yes_no", failed=False), qa("d"))
    outcomes = await sifted(Remembering({"a": "a"}), qa("a"), refused, qa("b"), qa("c"))
    assert shown(outcomes) == ["closed_book", "yes_no", "b", "c"]


async def test_an_outage_is_a_failure_of_that_question_only() -> None:
    outcomes = await sifted(Remembering({}, fails="b"), qa("a"), qa("b"), qa("c"))
    assert shown(outcomes) == ["a", "model_error", "c"]
    assert isinstance(outcomes[1], RefusedQuestion) and outcomes[1].reject.failed and outcomes[1].qa == qa("b")


async def test_an_alias_is_an_answer_and_a_failed_page_passes() -> None:
    failed = RefusedQuestion(Reject("model_error", "HTTP 500"), url="http://a.test/")
    outcomes = await sifted(Remembering({"a": "A-1", "b": "not b"}), qa("a"), failed, qa("b"))
    assert shown(outcomes) == ["closed_book", "model_error", "b"]


async def test_what_is_not_to_be_asked_about_passes_unasked() -> None:
    outcomes = await sifted(Remembering({"a": "a"}, fails="b"), UncheckedQuestion(qa("a")), UncheckedQuestion(qa("b")))
    assert shown(outcomes) == ["unasked", "unasked"]


class Strict:
    """Finds one point of three to fail, and says what it was shown."""

    model = "strict"

    def __init__(self, **holds: bool):
        self.shown = ""
        self._said = {"proved": True, "only_answer": True, "clear": True, "reason": "so", **holds}

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
async def test_a_question_that_its_quotes_do_not_prove_is_left_out(holds: dict[str, bool], reason: str | None) -> None:
    judge = Strict(**holds)
    (check,) = ModelChecks(judge, load("default")).chosen(config.CrawlqaOptions(verify=True))
    asked = qa("a")
    asked.evidence = [Evidence(url="http://a.test/", title="A", quote="The A is who.")]
    reject, usage = await check(asked)
    assert (reject.reason if reject else None) == reason and usage.input_tokens == 7
    assert "1. A: The A is who." in judge.shown and "Who is a?" in judge.shown and "\nThe A\n" in judge.shown
    assert reject is None or not reject.failed
