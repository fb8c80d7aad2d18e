"""A chat model that replies from a script: the double of an endpoint, for whoever takes a ``ChatModel``."""

from collections.abc import Mapping, Sequence
from typing import Any

from webdancer_cli.data.records import Message, Usage
from webdancer_cli.llm.client import Reply


class Scripted:
    """Replies from a script, and keeps what it was asked; an exception in the script is raised."""

    model = "scripted"

    def __init__(self, *replies: str | Exception):
        self.replies = list(replies)
        self.asked: list[str] = []
        self.schemas: list[Mapping[str, Any] | None] = []
        self.closed = False

    async def complete(
        self, messages: Sequence[Message], *, rollout: int = 0, schema: Mapping[str, Any] | None = None
    ) -> Reply:
        self.asked.append(messages[-1].content)
        self.schemas.append(schema)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return Reply(text=reply, usage=Usage(calls=1, input_tokens=100, output_tokens=10))

    async def aclose(self) -> None:
        self.closed = True
