"""A chat client for any OpenAI-compatible endpoint.

A call gives a reply or raises: an error never becomes text. How it is made, and what its failures mean, is told in
``model_client``, what a reply holds in ``replies``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from webdancer_cli.data.records import Message
from webdancer_cli.errors import ModelError
from webdancer_cli.llm.accepted_parameters import FEWEST_TOKENS
from webdancer_cli.llm.budget import Ledger
from webdancer_cli.llm.endpoints import EndpointPool
from webdancer_cli.llm.model_client import RETRY, ContextFull, ModelClient
from webdancer_cli.llm.replies import Body, parse_body, parse_reply
from webdancer_cli.llm.replies import Reply as Reply
from webdancer_cli.options import config
from webdancer_cli.services.retry import RetryPolicy
from webdancer_cli.tape import Tape, TapeMiss
from webdancer_cli.text.surrogates import mend_surrogates


class ChatClient(ModelClient[Reply]):
    """One model at one endpoint or at several, ``jobs`` calls at once at most.

    Chats may share an ``EndpointPool``, and with it what its endpoints bear.
    """

    def __init__(
        self,
        base_url: str | Sequence[str] | EndpointPool,
        model: str,
        *,
        temperature: float = config.ModelOptions.temperature,
        top_p: float = config.ModelOptions.top_p,
        max_tokens: int = config.EpisodeOptions.max_turn_tokens,
        repetition_penalty: float = config.PlayerOptions.repetition_penalty,
        jobs: int = config.DataOptions.jobs,
        retry: RetryPolicy = RETRY,
        ledger: Ledger | None = None,
        tape: Tape | None = None,
    ):
        if not isinstance(base_url, EndpointPool):
            base_url = EndpointPool([base_url] if isinstance(base_url, str) else base_url, jobs)
        super().__init__(base_url, model, retry, ledger)
        self._tape = tape
        self._sampling: dict[str, float] = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
        if repetition_penalty != 1:
            self._sampling["repetition_penalty"] = repetition_penalty

    async def complete(
        self,
        messages: Sequence[Message],
        stop: Sequence[str] = (),
        *,
        rollout: int = 0,
        schema: Mapping[str, Any] | None = None,
        **sampling: float,
    ) -> Reply:
        """The model's next message. Raises ModelError; ContextFull if the messages are too long for the model.

        ``sampling`` is for this call alone, e.g. its seed. ``rollout`` tells apart on the tape what is asked in the
        same words several times. ``schema`` is the ``response_format`` asked for; a server that knows none of that is
        asked without. Raises BudgetSpent before a call that may not be made any more, and ServiceRefused when no call
        can succeed: then no other is made.
        """
        sendable = [Message(message.role, mend_surrogates(message.content)) for message in messages]
        request: dict[str, Any] = {"model": self.model, "messages": sendable, **self._sampling, **sampling}
        if stop:
            request["stop"] = list(stop)
        reply = await self._taped(request, schema, rollout)
        return msgspec.structs.replace(reply, usage=self.ledger.priced(reply.usage))

    async def _taped(self, request: dict[str, Any], schema: Mapping[str, Any] | None, rollout: int) -> Reply:
        if self._tape is None:
            return await self._asked(request, schema)
        asked = [request, schema, rollout]
        try:
            return await self._tape.record_or_replay(
                "llm", asked, self.model, Reply, lambda: self._asked(request, schema)
            )
        except TapeMiss as miss:
            raise ModelError(str(miss)) from None

    async def _asked(self, request: dict[str, Any], schema: Mapping[str, Any] | None) -> Reply:
        """Ask for fewer tokens where servers count them as part of a context that is too small for so many."""
        if schema:
            request = {**request, "response_format": schema}
        while True:
            try:
                return await self._persistently(request)
            except ContextFull:
                if request["max_tokens"] <= FEWEST_TOKENS:
                    raise
                request = {**request, "max_tokens": max(FEWEST_TOKENS, request["max_tokens"] // 4)}

    def _body(self, content: bytes) -> Body:
        return parse_body(content)

    def _answer(self, body: Body, sent: Mapping[str, Any]) -> Reply:
        return parse_reply(body)
