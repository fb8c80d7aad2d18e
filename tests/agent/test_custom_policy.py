"""A function as a policy: what it is shown, what it may return, and what becomes of what it raises."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from webdancer_cli.agent.custom_policy import CustomPolicy
from webdancer_cli.agent.episode import play
from webdancer_cli.agent.tools import Tools
from webdancer_cli.data.records import QA, Message, Trajectory
from webdancer_cli.errors import ModelError, UsageError
from webdancer_cli.transcript.grammar import ToolCall, Turn, render_turn
from webdancer_cli.web.corpus import Corpus

SEARCH = Turn(thought="Look.", call=ToolCall("search", {"query": ["Dolvek"]}))
ANSWER = Turn(thought="So.", answer="Brunda")


def played(corpus: Corpus, respond: Callable[[list[Message]], Any]) -> Trajectory:
    return asyncio.run(play(QA(question="Who?", answer="Brunda"), CustomPolicy("mine", respond), Tools(corpus)))


@pytest.mark.parametrize("written", [lambda turn: turn, render_turn])
@pytest.mark.parametrize("is_async", [False, True])
def test_turns_or_texts_of_a_function_play_an_episode(corpus: Corpus, written: Any, is_async: bool) -> None:
    shown: list[list[Message]] = []

    def respond(messages: list[Message]) -> Any:
        shown.append(messages)
        return written(SEARCH if len(shown) == 1 else ANSWER)

    async def later(messages: list[Message]) -> Any:
        await asyncio.sleep(0)
        return respond(messages)

    trajectory = played(corpus, later if is_async else respond)
    assert (trajectory.ending, trajectory.answer, trajectory.model) == ("answered", "Brunda", "mine")
    assert trajectory.tools == {"search": 1} and trajectory.repairs == []
    # The second time it sees all that was said: the opening, its own turn and the observation.
    assert [shown[0], shown[1]] == [trajectory.messages[:-3], trajectory.messages[:-1]]


def test_a_text_is_kept_up_to_the_observation_that_it_invents(corpus: Corpus) -> None:
    texts = iter([render_turn(SEARCH) + "\n<tool_response>\nBrunda.\n</tool_response>", render_turn(ANSWER)])
    trajectory = played(corpus, lambda messages: next(texts))
    assert trajectory.messages[-3].content.strip() == render_turn(SEARCH)
    assert trajectory.repairs == ["1:invented_response"]


def test_a_model_that_fails_is_an_ending_and_a_mistake_of_ones_own_is_raised(corpus: Corpus) -> None:
    def failing(error: BaseException) -> Callable[[list[Message]], str]:
        def respond(messages: list[Message]) -> str:
            raise error

        return respond

    trajectory = played(corpus, failing(ModelError("HTTP 500")))
    assert (trajectory.ending, trajectory.extra) == ("model_error", {"error": "HTTP 500"})
    assert played(corpus, failing(SystemExit(3))).extra == {"error": "mine: SystemExit: 3"}
    with pytest.raises(ZeroDivisionError):
        played(corpus, failing(ZeroDivisionError()))
    with pytest.raises(UsageError, match="mine: returned int; return a Turn"):
        played(corpus, lambda messages: 3)
