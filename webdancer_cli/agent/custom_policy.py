"""A user's own function as a policy: it is shown the messages so far, and returns the next turn."""

import math
from collections.abc import Callable
from typing import Any

from webdancer_cli.agent.episode import Completion
from webdancer_cli.agent.truncation import estimate_tokens
from webdancer_cli.data.records import QA, Message
from webdancer_cli.errors import ModelError, UsageError
from webdancer_cli.transcript.grammar import Turn, render_turn
from webdancer_cli.user_functions import UserFunction, describe_error


class CustomPolicy:
    """``respond(messages)`` gives the next turn of an episode, as a Turn or in the text grammar; it may be ``async``.

    It is shown the whole history, its own turns as they were kept, and runs beside the event loop. A ModelError that
    it raises ends the episode as ``model_error``; whatever else it raises is raised by ``play``.
    """

    def __init__(self, name: str, respond: Callable[[list[Message]], Any]):
        self.name = name
        self.respond = UserFunction(respond)

    def begin(self, messages: list[Message], qa: QA, rollout: int = 0) -> "CustomSession":
        return CustomSession(self, messages)


class CustomSession:
    """One episode of it. Nothing is known of the model's context: it is taken to have no bound."""

    remaining_tokens = math.inf

    def __init__(self, policy: CustomPolicy, messages: list[Message]):
        self._policy = policy
        self._messages = messages

    def count(self, content: str) -> int:
        return estimate_tokens(content)

    def observe(self, content: str) -> None:
        self._messages.append(Message("user", content))

    async def act(self) -> Completion:
        completion = Completion(text=self._text(await self._policy.respond(list(self._messages))), finish="stop")
        self._messages.append(Message("assistant", completion.kept))
        return completion

    def _text(self, said: Any) -> str:
        if isinstance(said, Exception):
            raise said
        if isinstance(said, BaseException):  # an exit, or its own cancellation: not ours
            raise ModelError(f"{self._policy.name}: {describe_error(said)}") from said
        if isinstance(said, Turn):
            return render_turn(said)
        if isinstance(said, str):
            return said
        raise UsageError(f"{self._policy.name}: returned {type(said).__name__}; return a Turn, or a turn's text")
