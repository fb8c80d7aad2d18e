"""Checkpoints as policies: episodes kept as token ids, from the first prompt to the last sampled id.

What was sampled is never decoded and encoded again. The text goes to the parser and into the trajectory; the ids go on,
also into a context that was rewritten: an episode yields a training sample for each context in which something was
sampled, and every sampled id bears loss in one of them, the one in which it was sampled.
"""

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from webdancer_cli.agent.episode import Completion, TokenLimit
from webdancer_cli.data.pipeline import Say, say_nothing
from webdancer_cli.data.records import QA, Message, Usage, content_id
from webdancer_cli.errors import UsageError
from webdancer_cli.options import config
from webdancer_cli.training.engine import Engine, SamplingParams
from webdancer_cli.training.engines import open_engine
from webdancer_cli.training.models import describe, load_tokenizer, missing_rows
from webdancer_cli.training.renderer import Renderer, Tokens
from webdancer_cli.training.template_derivation import difference
from webdancer_cli.transcript.contexts import SeenExchange


class TokenPolicy:
    """Plays episodes through an engine. Draws depend on ``seed``, the question, the rollout and the turn alone."""

    def __init__(
        self,
        name: str,
        engine: Engine,
        renderer: Renderer,
        *,
        max_context_tokens: int,
        max_turn_tokens: int,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int | str = 0,
    ):
        self.name = name
        self.engine = engine
        self.renderer = renderer
        self.max_context_tokens = min(max_context_tokens, engine.max_length)
        self.max_turn_tokens = max_turn_tokens
        self.temperature = temperature
        self.top_p = top_p
        self.seed = seed
        self._episodes = 0

    def begin(self, messages: list[Message], qa: QA, rollout: int = 0) -> "TokenSession":
        self._episodes += 1
        row = f"{qa.id}/{rollout}/{self._episodes}"
        session = TokenSession(self, messages, row, f"{self.seed}:{qa.id}:{rollout}")
        # No one tells a session that its episode is over: its row is free when nobody holds it any more.
        weakref.finalize(session, self.engine.release, row)
        return session

    def sampling(self, seed: str, turn: int, room: int) -> SamplingParams:
        return SamplingParams(
            max_tokens=min(self.max_turn_tokens, room),
            stop_ids=self.renderer.stop_ids,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=int(content_id(seed, turn), 16),
        )


@dataclass
class SampledContext:
    """A context as ids. Trainable are those that were sampled in it; ``logprobs`` holds theirs, in order."""

    tokens: Tokens = field(default_factory=Tokens)
    logprobs: list[float] = field(default_factory=list)


class TokenSession:
    """One episode as ids: the ``context`` that it goes on in, and the training samples that it has yielded."""

    def __init__(self, policy: TokenPolicy, messages: Sequence[Message], row: str, seed: str):
        self._policy = policy
        self._row = row
        self._seed = seed
        self._opening = policy.renderer.prompt(messages)
        self._turns: list[list[int]] = []
        self._contexts = [SampledContext()]
        self.context.tokens.extend(self._opening, False)
        self.length = len(self._opening)
        """Tokens of the whole episode, those that are no more in the context too."""

    @property
    def context(self) -> SampledContext:
        return self._contexts[-1]

    @property
    def samples(self) -> list[SampledContext]:
        """A sample for each context in which something was sampled; one for an episode without any turn."""
        return [context for context in self._contexts if context.logprobs] or self._contexts[:1]

    @property
    def remaining_tokens(self) -> int:
        """Tokens that still fit into the context."""
        return self._policy.max_context_tokens - len(self.context.tokens.ids)

    async def act(self) -> Completion:
        """Sample a turn. Raises TokenLimit when the episode so far fills the context, and ModelError."""
        if self.remaining_tokens < 1:
            raise TokenLimit
        context, sampling = self.context, self._policy.sampling(self._seed, len(self._turns), self.remaining_tokens)
        sample = await self._policy.engine.generate(context.tokens.ids, sampling, self._row)
        read = len(context.tokens.ids)
        context.tokens.extend(sample.ids, True)
        context.logprobs += sample.logprobs
        self._turns.append(sample.ids)
        self.length += len(sample.ids)
        usage = Usage(calls=1, input_tokens=read, output_tokens=len(sample.ids), cached_tokens=sample.cached)
        return Completion(text=self._policy.renderer.text(sample.ids), finish=sample.finish, usage=usage)

    async def summarise(self) -> Completion:
        return await self.act()

    def count(self, content: str) -> int:
        """The tokens that observing this user message would take."""
        return len(self._answer(content))

    def observe(self, content: str) -> None:
        ids = self._answer(content)
        self.context.tokens.extend(ids, False)
        self.length += len(ids)

    def rewrite(self, exchanges: Sequence[SeenExchange]) -> None:
        """Begin another context, of the ids that the turns were sampled as: none of them bears loss in it again."""
        tokens = Tokens()
        tokens.extend(self._opening, False)
        for exchange in exchanges:
            tokens.extend(self._turns[exchange.turn], False)
            tokens.extend(self._answer(exchange.answered, exchange.turn), False)
        tokens.extend(self._turns[-1], False)
        self._contexts.append(SampledContext(tokens))

    def _answer(self, content: str, turn: int = -1) -> list[int]:
        """What stands after a turn, by default the latest, to which this is answered."""
        closed = not self._turns or self._turns[turn][-1] in self._policy.renderer.closing_ids
        return self._policy.renderer.observation(content, closed=closed)


def open_token_policy(options: config.SampleOptions | config.EvalOptions, say: Say = say_nothing) -> TokenPolicy:
    """The checkpoint that ``options.model`` names, ready to play. Raises UsageError when it cannot be opened."""
    tokenizer = load_tokenizer(options.model)
    renderer = Renderer(tokenizer)
    if told := difference(renderer.template, tokenizer):
        say(f"the model's own chat template {told}")
    plain = describe(options.model)
    if missing := missing_rows(plain, tokenizer):
        raise UsageError(
            f"{options.model}: its tokenizer has {missing} tokens that its embedding has no rows for: `webdancer sft` "
            "without --lora-rank adds and trains them"
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    length = options.max_context_tokens
    engine = open_engine(plain, tokenizer, options.model, max_length=length, rows=options.jobs, device=device, say=say)
    return TokenPolicy(
        options.model,
        engine,
        renderer,
        max_context_tokens=options.max_context_tokens,
        max_turn_tokens=options.max_turn_tokens,
        temperature=options.temperature,
        top_p=options.top_p,
        seed=options.seed,
    )
