"""Checkpoints as policies: episodes kept as token ids, from the first prompt to the last sampled id.

What was sampled is never decoded and encoded again. The text goes to the parser and into the trajectory; the ids go on.
"""

import weakref
from collections.abc import Sequence

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


class TokenSession:
    """One episode as ids. ``tokens`` marks the sampled ones trainable, and ``logprobs`` holds theirs, in order."""

    def __init__(self, policy: TokenPolicy, messages: Sequence[Message], row: str, seed: str):
        self.tokens = Tokens()
        self.logprobs: list[float] = []
        self._policy = policy
        self._row = row
        self._seed = seed
        self._turn = 0
        self._closed = True
        self.tokens.extend(policy.renderer.prompt(messages), False)

    @property
    def remaining_tokens(self) -> int:
        """Tokens that still fit into the context."""
        return self._policy.max_context_tokens - len(self.tokens.ids)

    async def act(self) -> Completion:
        """Sample a turn. Raises TokenLimit when the episode so far fills the context, and ModelError."""
        if self.remaining_tokens < 1:
            raise TokenLimit
        sampling = self._policy.sampling(self._seed, self._turn, self.remaining_tokens)
        sample = await self._policy.engine.generate(self.tokens.ids, sampling, self._row)
        read = len(self.tokens.ids)
        self.tokens.extend(sample.ids, True)
        self.logprobs += sample.logprobs
        self._closed = sample.ids[-1] in self._policy.renderer.closing_ids
        self._turn += 1
        usage = Usage(calls=1, input_tokens=read, output_tokens=len(sample.ids), cached_tokens=sample.cached)
        return Completion(text=self._policy.renderer.text(sample.ids), finish=sample.finish, usage=usage)

    def count(self, content: str) -> int:
        """The tokens that observing this user message would take."""
        return len(self._policy.renderer.observation(content, closed=self._closed))

    def observe(self, content: str) -> None:
        self.tokens.extend(self._policy.renderer.observation(content, closed=self._closed), False)


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
