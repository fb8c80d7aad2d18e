"""A user's own function as a policy: it is shown the messages so far, and returns the next turn."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from webdancer_cli.agent.episode import Completion
from webdancer_cli.agent.truncation import estimate_tokens
from webdancer_cli.data.records import QA, Message
from webdancer_cli.errors import ModelError, UsageError
from webdancer_cli.transcript.contexts import SeenExchange, shown_messages
from webdancer_cli.transcript.grammar import Turn, render_turn
from webdancer_cli.user_functions import UserFunction, describe_error


class CustomPolicy:
    """``respond(messages)`` gives the next turn of an episode, as a Turn or in the text grammar; it may be ``async``.

    It is shown the whole history, or what a context policy leaves of it, its own turns as they were kept, and runs
    beside the event loop; ``context_tokens`` are taken to fit into it. A ModelError that it raises ends the episode as
    ``model_error``; whatever else it raises is raised by ``play``.
    """

    def __init__(self, name: str, respond: Callable[[list[Message]], Any], context_tokens: float = math.inf):
        self.name = name
        self.context_tokens = context_tokens
        self.respond = UserFunction(respond)

    def begin(self, messages: list[Message], qa: QA, rollout: int = 0) -> "CustomSession":
        return CustomSession(self, messages)


class CustomSession:
    """One episode of it. Its tokens are estimated."""

    def __init__(self, policy: CustomPolicy, messages: list[Message]):
        self._policy = policy
        self._opening = list(messages)
        self._turns: list[Message] = []
        self._messages = messages

    @property
    def remaining_tokens(self) -> float:
        if math.isinf(self._policy.context_tokens):
            return math.inf
        return self._policy.context_tokens - sum(self.count(message.content) for message in self._messages)

    def count(self, content: str) -> int:
        return estimate_tokens(content)

    def observe(self, content: str) -> None:
        self._messages.append(Message("user", content))

    async def act(self) -> Completion:
        completion = Completion(text=self._text(await self._policy.respond(list(self._messages))), finish="stop")
        self._turns.append(Message("assistant", completion.kept))
        self._messages.append(self._turns[-1])
        return completion

    async def summarise(self) -> Completion:
        return await self.act()

    def rewrite(self, exchanges: Sequence[SeenExchange]) -> None:
        self._messages = [*shown_messages(self._opening, self._turns, exchanges), self._turns[-1]]

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
