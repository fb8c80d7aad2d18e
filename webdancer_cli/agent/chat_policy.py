"""A policy behind a chat endpoint: messages in, text out.

Short chains of thought stand in the text and are shown to the model again. A reasoning model returns its long ones
apart from the text; it is then given only its past actions and the observations (paper, section 2), while the record
keeps the thoughts.
"""

import re
from collections.abc import Sequence

from webdancer_cli.agent.custom_tools import load_tools
from webdancer_cli.agent.episode import Completion, TokenLimit
from webdancer_cli.agent.tools import tool_schemas
from webdancer_cli.agent.truncation import BYTES_PER_TOKEN, estimate_tokens
from webdancer_cli.data.records import QA, Message, content_id
from webdancer_cli.llm.client import ChatClient, Reply
from webdancer_cli.llm.model_client import ContextFull
from webdancer_cli.options import config
from webdancer_cli.prompts import ACTIONS_ONLY, load_for
from webdancer_cli.transcript.contexts import SeenExchange, shown_messages
from webdancer_cli.transcript.grammar import STOP_STRINGS


class ChatPolicy:
    """Episodes played by the model behind ``chat``."""

    def __init__(self, options: config.SampleOptions | config.EvalOptions, chat: ChatClient):
        self.name = options.model
        self.options = options
        self._prompts = load_for(options)
        self._schemas = tool_schemas(load_tools(options.tool), options.page_tools)
        self.chat = chat

    def begin(self, messages: list[Message], qa: QA, rollout: int = 0) -> "ChatSession":
        if self.options.cot == "long":
            task = self._prompts.user(qa.question, self._schemas, file=ACTIONS_ONLY)
            messages = [*messages[:-1], Message("user", task)]
        return ChatSession(self, messages, f"{self.options.seed}:{qa.id}:{rollout}", rollout)


class ChatSession:
    """The history as the model is shown it.

    Its length is what the endpoint counted at the last turn, and an estimate of what came since; how many bytes make a
    token is learnt from the same counts.
    """

    def __init__(self, policy: ChatPolicy, messages: list[Message], seed: str, rollout: int):
        self._policy = policy
        self._opening = list(messages)
        self._turns: list[Message] = []
        self._shown = messages
        self._seed = seed
        self._rollout = rollout
        self._turn = 0
        self._is_long = policy.options.cot == "long"
        self._bytes_per_token = BYTES_PER_TOKEN
        self._tokens = self._estimate(messages)

    @property
    def remaining_tokens(self) -> int:
        return self._policy.options.max_context_tokens - self._tokens

    def count(self, content: str) -> int:
        return estimate_tokens(content, self._bytes_per_token)

    def observe(self, content: str) -> None:
        self._shown.append(Message("user", content))
        self._tokens += self.count(content)

    def rewrite(self, exchanges: Sequence[SeenExchange]) -> None:
        """Its length is estimated until the endpoint counts again."""
        self._shown = [*shown_messages(self._opening, self._turns, exchanges), self._turns[-1]]
        self._tokens = self._estimate(self._shown)

    async def summarise(self) -> Completion:
        return await self.act()

    async def act(self) -> Completion:
        if self.remaining_tokens < 1:
            raise TokenLimit
        try:
            reply = await self._ask()
        except ContextFull as error:
            raise TokenLimit from error
        self._turn += 1
        if reply.thought.strip() and self._policy.options.cot == "auto" and not self._is_long:
            self._is_long = True
            self._shown, self._turns = (
                [_without_thought(message) for message in messages] for messages in (self._shown, self._turns)
            )
        turn = Completion(
            text=reply.text,
            thought=reply.thought,
            finish=reply.finish,
            usage=reply.usage,
            trace=reply.trace,
            cot="long" if self._is_long else "short",
        )
        self._append(turn, reply)
        return turn

    async def _ask(self) -> Reply:
        seed = int(content_id(self._seed, self._turn), 16) % 2**31
        max_tokens = min(self._policy.options.max_turn_tokens, self.remaining_tokens)
        return await self._policy.chat.complete(
            self._shown, STOP_STRINGS, rollout=self._rollout, seed=seed, max_tokens=max_tokens
        )

    def _append(self, turn: Completion, reply: Reply) -> None:
        """Show the turn from now on; with a long chain of thought, only its action."""
        if reply.usage.input_tokens:
            self._bytes_per_token = min(8.0, max(1.0, _bytes(self._shown) / reply.usage.input_tokens))
            self._tokens = reply.usage.input_tokens
        message = Message("assistant", turn.kept)
        own = reply.usage.output_tokens or self.count(message.content)
        if self._is_long:
            message = _without_thought(message)
            own = min(own, self.count(message.content))
        self._turns.append(message)
        self._shown.append(message)
        self._tokens += own

    def _estimate(self, messages: Sequence[Message]) -> int:
        return sum(self.count(message.content) for message in messages)


_THOUGHT = re.compile(r"\A(?:(?!<tool_call>|<answer>).)*?</think>\s*(?=\S)", re.DOTALL)


def _without_thought(message: Message) -> Message:
    """The same turn as an action alone; one that has no action stays whole."""
    if message.role != "assistant":
        return message
    return Message("assistant", _THOUGHT.sub("", message.content))


def _bytes(messages: Sequence[Message]) -> int:
    return sum(len(message.content.encode("utf-8", "surrogatepass")) for message in messages)
