"""Asking a chat model for JSON, and reading what comes back."""

import json
import re
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from webdancer_cli.errors import Reject
from webdancer_cli.llm import Chat
from webdancer_cli.prompts import fill
from webdancer_cli.records import Message, Page
from webdancer_cli.synthesis.roles import Ask

Reply = TypeVar("Reply")


class ChatAsk:
    """A chat endpoint behind the seam."""

    def __init__(self, chat: Chat):
        self._chat = chat

    async def __call__(self, messages: list[Message]) -> str:
        return (await self._chat.complete(messages)).text


async def ask_for(kind: type[Reply], ask: Ask, template: str, **values: object) -> Reply:
    """The model's reply to a filled prompt, as ``kind``. Raises ModelError, and Reject ``unreadable_reply``."""
    text = await ask([Message("user", fill(template, **values))])
    try:
        return msgspec.convert(json_in(text), kind)
    except msgspec.ValidationError as error:
        raise Reject("unreadable_reply", f"{error}: {text[:200]}", failed=False) from None


def json_in(text: str) -> object:
    """The first JSON object in a reply, whatever stands around it. Raises Reject ``unreadable_reply``."""
    text = re.sub(r"^.*</think>", "", text, flags=re.DOTALL)
    decoder = json.JSONDecoder(strict=False)
    for start in re.finditer(r"\{", text):
        try:
            return decoder.raw_decode(text, start.start())[0]
        except (ValueError, RecursionError):
            continue
    raise Reject("unreadable_reply", text[:200], failed=False)


def numbered(pages: Iterable[tuple[Page, str]]) -> str:
    """Pages for a prompt, numbered from 1, each with the part of its text to be shown."""
    return "\n\n".join(
        f"[Page {number}] {page.title}\n{page.url}\n{text}" for number, (page, text) in enumerate(pages, 1)
    )
