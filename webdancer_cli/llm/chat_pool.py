"""The models that a run asks, a chat for each role: author, teacher, summariser, judge.

They share the run's budget, its tape, and its number of calls at once per endpoint.
"""

from collections.abc import Callable, Sequence

from webdancer_cli.llm.budget import Budget, Ledger, find_price
from webdancer_cli.llm.client import RETRY, ChatClient
from webdancer_cli.llm.endpoints import EndpointPool
from webdancer_cli.options import config
from webdancer_cli.services.retry import RetryPolicy
from webdancer_cli.tape import Tape

WRITER_TOKENS = 8192
"""Room for a reply with the reasoning before it. Where a model's context is too small, ``llm`` asks for less."""


class ChatPool:
    """Opens the chats of a run, and closes them. ``tell`` is told what is learnt of their endpoints."""

    def __init__(
        self,
        options: config.CallOptions,
        jobs: int,
        tape: Tape | None = None,
        tell: Callable[[str], None] = lambda line: None,
    ):
        self.chats: dict[str, ChatClient] = {}
        self.base_urls: dict[str, tuple[str, ...]] = {}
        self._prices = options.prices
        self._budget = Budget(options.max_cost, options.max_tokens)
        self._jobs = jobs
        self.tape = tape
        self._tell = tell
        self._endpoints: dict[tuple[str, ...], EndpointPool] = {}

    def chat(
        self,
        role: str,
        model: str,
        base_urls: Sequence[str],
        *,
        temperature: float = 0.0,
        top_p: float = 1.0,
        max_tokens: int = WRITER_TOKENS,
        repetition_penalty: float = 1.0,
        retry: RetryPolicy = RETRY,
    ) -> ChatClient:
        """Raises UsageError for a URL that is none, and for a cost limit on a model without a price."""
        urls = self.base_urls[role] = tuple(base_urls)
        if urls not in self._endpoints:
            self._endpoints[urls] = EndpointPool(urls, self._jobs, self._tell)
        self.chats[role] = ChatClient(
            self._endpoints[urls],
            model,
            temperature=temperature,
            top_p=top_p,
            max_tokens=max_tokens,
            repetition_penalty=repetition_penalty,
            retry=retry,
            ledger=Ledger(model, price=find_price(model, self._prices), budget=self._budget),
            tape=self.tape,
        )
        return self.chats[role]

    def summaries(self) -> list[str]:
        """What each role has taken, for stderr."""
        if len(self.chats) == 1:
            return [chat.ledger.summary() for chat in self.chats.values()]
        return [f"{role} {chat.model}: {chat.ledger.summary()}" for role, chat in self.chats.items()]

    def spent_text(self) -> str:
        """What all of them have taken so far: dollars, or tokens where none has a price."""
        spent = self._budget.spent
        if spent.cost:
            return f"${spent.cost:,.2f}" if spent.cost >= 0.01 else f"${spent.cost:.4f}"
        tokens = spent.input_tokens + spent.output_tokens
        return f"{tokens:,} tokens" if tokens else ""

    async def aclose(self) -> None:
        for chat in self.chats.values():
            await chat.aclose()
