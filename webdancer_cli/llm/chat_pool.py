"""The models that a run asks: a chat for each role (author, teacher, summariser, judge), and one that embeds.

They share the run's budget, its tape, and its number of calls at once per endpoint.
"""

from collections.abc import Callable, Sequence
from typing import Any

from webdancer_cli.llm.budget import Budget, Ledger, find_price
from webdancer_cli.llm.client import ChatClient
from webdancer_cli.llm.embeddings import EmbeddingClient
from webdancer_cli.llm.endpoints import EMBEDDINGS, EndpointPool
from webdancer_cli.llm.model_client import RETRY, ModelClient
from webdancer_cli.options import config
from webdancer_cli.services.retry import RetryPolicy
from webdancer_cli.tape import Tape

WRITER_TOKENS = 8192
"""Room for a reply with the reasoning before it. Where a model's context is too small, ``llm`` asks for less."""


class ChatPool:
    """Opens the chats of a run, and closes them. ``tell`` is told what is learnt of their endpoints."""

    def __init__(
        self,
        options: config.BudgetOptions,
        jobs: int,
        tape: Tape | None = None,
        tell: Callable[[str], None] = lambda line: None,
    ):
        self.chats: dict[str, ChatClient] = {}
        self.embedder: EmbeddingClient | None = None
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
            ledger=self._ledger(model),
            tape=self.tape,
        )
        return self.chats[role]

    def open_embedder(self, model: str, base_urls: Sequence[str], *, retry: RetryPolicy = RETRY) -> EmbeddingClient:
        """The model that embeds; ``base_urls`` are what --embed names. Raises as ``chat`` does."""
        self.embedder = EmbeddingClient(
            EndpointPool(base_urls, self._jobs, self._tell, path=EMBEDDINGS, flag="--embed"),
            model,
            retry=retry,
            ledger=self._ledger(model),
            tape=self.tape,
        )
        return self.embedder

    def _ledger(self, model: str) -> Ledger:
        return Ledger(model, price=find_price(model, self._prices), budget=self._budget)

    def _asked(self) -> dict[str, ModelClient[Any]]:
        """All of them, by their roles."""
        return {**self.chats, **({"embedder": self.embedder} if self.embedder else {})}

    def summaries(self) -> list[str]:
        """What each role has taken, for stderr."""
        asked = self._asked()
        if len(asked) == 1:
            return [client.ledger.summary() for client in asked.values()]
        return [f"{role} {client.model}: {client.ledger.summary()}" for role, client in asked.items()]

    def spent_text(self) -> str:
        """What all of them have taken so far: dollars, or tokens where none has a price."""
        spent = self._budget.spent
        if spent.cost:
            return f"${spent.cost:,.2f}" if spent.cost >= 0.01 else f"${spent.cost:.4f}"
        tokens = spent.input_tokens + spent.output_tokens
        return f"{tokens:,} tokens" if tokens else ""

    async def aclose(self) -> None:
        for client in self._asked().values():
            await client.aclose()
