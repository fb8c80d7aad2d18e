"""What is known by heart goes; a group of questions stays a group, unless one of them is to be asked about again."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from webdancer_cli import config
from webdancer_cli.errors import ModelError, Reject
from webdancer_cli.llm import Reply
from webdancer_cli.prompts import load
from webdancer_cli.records import QA, Evidence, Message, Usage
from webdancer_cli.synthesis.earlier import key_of, marked
from webdancer_cli.synthesis.roles import Refused
from webdancer_cli.synthesis.sieve import Checks, Sieve


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


def group(key: str, *names: str, refused: str = "") -> list[QA | Refused]:
    """Sound questions in a group, and one in their midst that a rule refused."""
    outcomes: list[QA | Refused] = [qa(name) for name in names]
    if refused:
        outcomes.insert(1, Refused(Reject("yes_no", failed=False), qa(refused)))
    return marked(outcomes, key)


async def sifted(judge: Remembering, *outcomes: QA | Refused) -> list[QA | Refused]:
    async def stream() -> AsyncIterator[QA | Refused]:
        for outcome in outcomes:
            yield outcome

    checks = Checks(judge, load("default")).chosen(config.Crawlqa(closed_book=True))
    return [outcome async for outcome in Sieve(checks, jobs=2).sift(stream())]


def shown(outcomes: Sequence[QA | Refused]) -> list[tuple[str, object]]:
    return [
        (one.question[7], one.extra.get("group")) if isinstance(one, QA) else (one.reject.reason, None)
        for one in outcomes
    ]


async def test_what_is_left_of_a_group_is_the_whole_of_it() -> None:
    outcomes = await sifted(Remembering({"a": "a"}), *group("k", "a", "b", "c", refused="d"), *group("l", "e"))
    left = {"key": "k", "questions": 2}
    assert shown(outcomes) == [
        ("closed_book", None),
        ("yes_no", None),
        ("b", left),
        ("c", left),
        ("e", {"key": "l", "questions": 1}),
    ]


async def test_a_group_with_a_failure_is_not_named_so_that_it_is_asked_about_again() -> None:
    outcomes = await sifted(Remembering({}, fails="b"), *group("k", "a", "b"), *group("l", "c"))
    assert shown(outcomes) == [("a", None), ("model_error", None), ("c", {"key": "l", "questions": 1})]


async def test_an_alias_is_an_answer_and_what_has_no_group_passes() -> None:
    failed = Refused(Reject("model_error", "HTTP 500"), url="http://a.test/")
    outcomes = await sifted(Remembering({"a": "A-1", "b": "not b"}), qa("a"), failed, qa("b"))
    assert shown(outcomes) == [("closed_book", None), ("model_error", None), ("b", None)]


def test_a_column_of_the_users_own_is_no_group() -> None:
    assert key_of({"group": "control"}) == "" and key_of(QA(question="q", answer="a", extra={"group": [1]})) == ""


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
    (check,) = Checks(judge, load("default")).chosen(config.Crawlqa(verify=True))
    asked = qa("a")
    asked.evidence = [Evidence(url="http://a.test/", title="A", quote="The A is who.")]
    reject, usage = await check(asked)
    assert (reject.reason if reject else None) == reason and usage.input_tokens == 7
    assert "1. A: The A is who." in judge.shown and "Who is a?" in judge.shown and "\nThe A\n" in judge.shown
    assert reject is None or not reject.failed
