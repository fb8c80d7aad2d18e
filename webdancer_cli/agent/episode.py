"""The ReAct episode: ask the policy, read its turn, run its tool, show it the observation, until it ends.

Calls, tokens and time are bounded. When one of them is nearly spent, the policy is told to answer with what it has, in
one last turn; if it does not, the episode ends by the name of that bound. Under the context policy "fold" it is asked
for a summary before its tokens are spent, and goes on from that.

Deviations from the authors' runtime: an unreadable turn is answered by a reminder (a bounded number of times) before
the episode is given up; a policy may abstain by an empty answer, which ends as ``no_answer``.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol, TypeVar

import msgspec

from webdancer_cli.agent.context_keeper import ContextKeeper, summary_faults
from webdancer_cli.agent.tools import ToolCache, Tools
from webdancer_cli.agent.truncation import truncate
from webdancer_cli.data.context import APPEND
from webdancer_cli.data.records import QA, Ending, Message, ModelCall, Trajectory, Usage
from webdancer_cli.errors import ModelError, Outage, ToolError, UsageError
from webdancer_cli.llm.budget import add_usage
from webdancer_cli.options import config
from webdancer_cli.prompts import PromptSet, fill, opening_messages
from webdancer_cli.transcript.contexts import SeenExchange
from webdancer_cli.transcript.grammar import (
    STOP_STRINGS,
    ToolCall,
    Turn,
    escape_tags,
    open_thought,
    parse_turn,
    render_response,
)


class TokenLimit(Exception):
    """The policy's context is full: the episode ends as ``token_limit``."""


class TimeLimit(Exception):
    """A turn took too long: the episode ends as ``time_limit``."""


class Completion(msgspec.Struct, kw_only=True):
    """What a policy wrote in one turn. ``thought`` is reasoning that came apart from the text, if any did.

    ``finish`` is "length" when the policy was cut off. ``usage`` counts the tokens of this turn's call, and ``trace``
    is the id under which the endpoint knows it. ``cot`` is "long" if earlier thoughts were left out of the input.
    """

    text: str
    finish: Literal["stop", "length"]
    thought: str = ""
    usage: Usage = msgspec.field(default_factory=Usage)
    trace: str = ""
    cot: Literal["short", "long"] = "short"

    @property
    def written(self) -> str:
        """The whole turn in the text grammar: a separate thought comes first, unable to pose as an action.

        A thought that the server's template had opened gets its tag back.
        """
        text = open_thought(self.text)
        if not self.thought.strip():
            return text
        thought, text = escape_tags(self.thought.strip()), text.lstrip()
        if text.startswith("<think>"):
            return f"<think>\n{thought}\n\n" + text.removeprefix("<think>").lstrip()
        return f"<think>\n{thought}\n</think>\n{text}"

    @property
    def kept(self) -> str:
        """What enters the history: the turn as written, up to an observation that the policy invented."""
        return self.written.partition(STOP_STRINGS[0])[0]


class Session(Protocol):
    """One episode's side of the policy: it keeps the history, and appends to it unless it is told to rewrite it."""

    @property
    def remaining_tokens(self) -> float:
        """Tokens that still fit into the policy's context; ``math.inf`` where nothing bounds it."""
        ...

    def count(self, content: str) -> int:
        """The tokens that observing this user message would take."""
        ...

    async def act(self) -> Completion:
        """The next turn. Raises ModelError, and TokenLimit when the context is full."""
        ...

    def observe(self, content: str) -> None:
        """Append a user message."""
        ...

    async def summarise(self) -> Completion:
        """The next turn, which is to be a summary: it was asked for in the last user message. Raises as ``act`` does.

        Called, as ``rewrite`` is, under a context policy other than "append" alone.
        """
        ...

    def rewrite(self, exchanges: Sequence[SeenExchange]) -> None:
        """The history is now the first messages, these exchanges, and the latest turn, to which nothing was answered
        yet. The policy's own turns stand in it as they were written."""
        ...


class Policy(Protocol):
    """Whoever plays: a chat endpoint, a checkpoint, the demonstrator."""

    name: str

    def begin(self, messages: list[Message], qa: QA, rollout: int = 0) -> Session:
        """Open an episode on its first messages. Only the demonstrator looks at the question's provenance.

        ``rollout`` tells the episodes of one question apart: what is drawn at random depends on it, also when resumed.
        """
        ...


class Limits(msgspec.Struct, kw_only=True, frozen=True):
    """Bounds of one episode, and what the policy sees of it.

    ``answer_tokens`` are kept free for the last turn (an eighth of the context at most); ``reminders`` is how many
    unreadable turns are answered before the episode is given up.
    """

    max_calls: int = config.EpisodeOptions.max_calls
    answer_tokens: int = config.EpisodeOptions.max_turn_tokens
    tool_seconds: float = config.EpisodeOptions.tool_seconds
    turn_seconds: float = config.EpisodeOptions.turn_seconds
    episode_seconds: float = config.EpisodeOptions.episode_seconds
    reminders: int = 2
    context: str = APPEND

    @classmethod
    def of(cls, options: config.EpisodeOptions) -> "Limits":
        return cls(
            max_calls=options.max_calls,
            answer_tokens=options.max_turn_tokens,
            tool_seconds=options.tool_seconds,
            turn_seconds=options.turn_seconds,
            episode_seconds=options.episode_seconds,
            context=options.context,
        )


FAILED_ENDINGS = frozenset(["model_error", "tool_abort"])
"""Endings that tell of a server that was down and not of the policy: no data, and to be tried again."""

LAST_SHARE = 0.1
"""In this share of an episode's time, at its end, no further tool call is asked for."""


async def play(
    qa: QA,
    policy: Policy,
    tools: Tools,
    prompts: PromptSet | None = None,
    limits: Limits | None = None,
    rollout: int = 0,
    *,
    date: str = "",
    timings: bool = False,
    messages: list[Message] | None = None,
) -> Trajectory:
    """Play one episode to its end. The trajectory holds exactly what the policy saw and wrote.

    A ModelError ends it as ``model_error`` and an Outage of the tools as ``tool_abort``, with the message in the field
    ``error``, never in a turn. ``date`` is the system prompt's current date; today if empty. With ``timings`` the
    seconds of each call are kept. The ``prompts`` are those of the tools, and the first ``messages`` are the prompt
    set's, unless others are given.
    """
    prompts, limits = prompts or tools.prompts, limits or Limits()
    messages = messages or opening_messages(prompts, qa.question, tools.schemas, date)
    episode = Episode(policy.begin(list(messages), qa, rollout), tools, prompts, limits, messages)
    ending = await episode.run()
    return Trajectory(
        qa=qa,
        messages=messages,
        ending=ending,
        answer=episode.answer,
        rollout=rollout,
        model=policy.name,
        prompts=prompts.id,
        web=tools.web.name,
        summariser=tools.summariser,
        repairs=episode.repairs,
        tools=dict(episode.tool_counts),
        usage=episode.usage,
        calls=episode.calls if timings else [_without_timings(call) for call in episode.calls],
        context=episode.context,
        cot=episode.cot,
        last_call=episode.last_call,
        extra={"error": episode.error} if episode.error else {},
    )


def _without_timings(call: ModelCall) -> ModelCall:
    return msgspec.structs.replace(call, seconds=None, tool_seconds=None)


class Episode:
    """The state of a running episode; ``messages`` is appended to in place."""

    def __init__(self, session: Session, tools: Tools, prompts: PromptSet, limits: Limits, messages: list[Message]):
        self.messages = messages
        self.answer: str | None = None
        self.error = ""
        self.repairs: list[str] = []
        self.tool_counts: Counter[str] = Counter()
        self.usage = Usage()
        self.calls: list[ModelCall] = []
        self.cot: Literal["short", "long"] = "short"
        self.last_call: Ending | None = None
        self._session = session
        self._tools = tools
        self._wording = prompts.settings.episode
        self._limits = limits
        self._room = session.remaining_tokens
        self._reserve = min(limits.answer_tokens, self._room / 8)
        self._reminders = 0
        self._memory: ToolCache = {}
        self._contexts = ContextKeeper(limits.context, prompts.context)
        if self._contexts.folds and math.isinf(self._room):
            raise UsageError(f"context {limits.context}: the policy knows no bound of its context, so when to fold it?")
        self._request = render_response(prompts.context.request)
        self.context = self._contexts.context

    async def run(self) -> Ending:
        self._started = _now()
        try:
            return await _in_time(self._turns(), self._limits.episode_seconds)
        except TimeLimit:
            return "time_limit"
        except TokenLimit:
            return "token_limit"
        except ModelError as error:
            self.error = str(error)
            return "model_error"
        except Outage as error:
            self.error = str(error)
            return "tool_abort"

    async def _turns(self) -> Ending:
        while True:
            turn = await self._act()
            if turn.answer is not None:
                return self._answered(turn.answer)
            if turn.call is None and self.calls[-1].finish == "length":
                return "token_limit"
            if self.last_call:
                return self.last_call
            if self.usage.calls >= self._limits.max_calls:
                return "call_limit"
            if turn.call is None and self._reminders >= self._limits.reminders:
                return "format_error"
            text = await self._response(turn)
            if self._is_to_fold(text):
                summary = await self._fold(turn)
                if summary.answer is not None:
                    return self._answered(summary.answer)
            self._observe(text, turn.call)

    def _answered(self, answer: str) -> Ending:
        self.answer = answer or None
        return "answered" if self.answer else "no_answer"

    async def _act(self) -> Turn:
        turn = await self._turn(self._session.act)
        self.repairs += [f"{self.usage.calls}:{repair}" for repair in turn.repairs]
        return turn

    async def _turn(self, ask: Callable[[], Awaitable[Completion]]) -> Turn:
        began = _now()
        completion = await _in_time(ask(), self._limits.turn_seconds)
        self.messages.append(Message("assistant", completion.kept))
        self._note(completion, _now() - began)
        return parse_turn(completion.written)

    def _note(self, completion: Completion, seconds: float) -> None:
        usage = completion.usage
        self.usage = add_usage(self.usage, msgspec.structs.replace(usage, calls=1))
        self.cot = completion.cot
        self.calls.append(
            ModelCall(
                finish=completion.finish,
                trace=completion.trace,
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                cached_tokens=usage.cached_tokens,
                seconds=round(seconds, 3),
            )
        )

    async def _response(self, turn: Turn) -> str:
        """What the policy is shown after its turn: the observation of its call, or a reminder of the form."""
        if turn.call is None:
            self._reminders += 1
            return fill(self._wording.reminder, reason=turn.repairs[-1].replace("_", " "))
        mends: list[str] = []
        call = self._tools.repair(turn.call, mends)
        self.repairs += [f"{self.usage.calls}:{mend}" for mend in mends]
        if fault := self._tools.faults(call):
            self.repairs.append(f"{self.usage.calls}:faulty_call")
            return fault
        return await self._run_tool(call)

    async def _run_tool(self, call: ToolCall) -> str:
        """The observation of a call, cut to the tool's cap. A ToolError becomes the observation. Raises Outage."""
        self.tool_counts[call.name] += 1
        began = _now()
        try:
            text = await self._tools.call(call, self._memory, self._limits.tool_seconds)
        except ToolError as error:
            text = str(error)
        self.calls[-1].tool, self.calls[-1].tool_seconds = call.name, round(_now() - began, 3)
        cap = self._tools.cap_tokens(call.name)
        return truncate(text, lambda part: self._size(part) <= cap, self._wording.cut)

    async def _fold(self, turn: Turn) -> Turn:
        """Have all up to this turn summed up before its response is shown; the turn that does so.

        An answer in its place ends the episode as any other does.
        """
        self._show(self._request, turn.call)
        summary = await self._turn(self._session.summarise)
        if summary.answer is not None:
            faults = summary.repairs
        else:
            faults = summary_faults(summary, self.messages[-1].content, self.calls[-1])
            self._contexts.fold()
        self.repairs += [f"{self.usage.calls}:{fault}" for fault in faults]
        return summary

    def _is_to_fold(self, text: str) -> bool:
        """Whether the policy is to sum up before this text is shown: as long as its next turn leaves room for that."""
        if not self._contexts.can_fold or self._nearly_spent(text) in ("call_limit", "time_limit"):
            return False
        size, left = self._size(text), self._session.remaining_tokens - self._session.count(self._request)
        most, grown = self._contexts.fold_tokens, self._room - self._session.remaining_tokens + size
        return left > 0 and (left - size < 2 * self._reserve or (most is not None and grown > most))

    def _observe(self, text: str, call: ToolCall | None) -> None:
        """Show the response to a turn, in a context as its policy has it; if a budget is nearly spent, say so, and
        leave room for the answer."""
        if (exchanges := self._contexts.rewritten()) is not None:
            self._session.rewrite(exchanges)
            self._room = self._session.remaining_tokens
        self.last_call = self._nearly_spent(text)
        if self.last_call:
            ending = "\n\n" + self._wording.last_call
            text = truncate(text, lambda part: self._leaves_room(part + ending), self._wording.cut) + ending
        self._show(render_response(text), call)

    def _show(self, content: str, call: ToolCall | None) -> None:
        self.messages.append(Message("user", content))
        self._contexts.answered(content, call)
        self._session.observe(content)

    def _nearly_spent(self, text: str) -> Ending | None:
        """The budget that is spent after one more turn, once this text is shown."""
        if self.usage.calls == self._limits.max_calls - 1:
            return "call_limit"
        if _now() - self._started > (1 - LAST_SHARE) * self._limits.episode_seconds:
            return "time_limit"
        return None if self._leaves_room(text) else "token_limit"

    def _leaves_room(self, text: str) -> bool:
        return self._session.remaining_tokens - self._size(text) >= self._reserve

    def _size(self, text: str) -> int:
        return self._session.count(render_response(text))


Result = TypeVar("Result")


async def _in_time(work: Awaitable[Result], seconds: float) -> Result:
    """Raises TimeLimit when the time is over; a TimeoutError of the work itself stays what it is."""
    try:
        async with asyncio.timeout(seconds) as clock:
            return await work
    except TimeoutError:
        if not clock.expired():
            raise
        raise TimeLimit from None


def _now() -> float:
    return asyncio.get_running_loop().time()
