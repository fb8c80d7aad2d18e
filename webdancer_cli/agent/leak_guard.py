"""What keeps an agent from reading the answers of an evaluation set on the web.

A page leaks if it is published where data sets are, if it holds a set's canary, or if the question itself stands in it.
Such pages are left out of search results and cannot be read; which they were is kept, and counted.
"""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from webdancer_cli.data.records import QA, Message, Page
from webdancer_cli.data.sealed import CANARY
from webdancer_cli.errors import ToolError
from webdancer_cli.text.words import padded_words
from webdancer_cli.transcript.grammar import response_text
from webdancer_cli.web.protocols import Hit, Web

HOSTS = (
    "huggingface.co/datasets", "hf.co/datasets", "hf-mirror.com/datasets", "datasets-server.huggingface.co",
    "modelscope.cn/datasets", "kaggle.com/datasets", "kaggle.com/competitions", "paperswithcode.com/dataset",
    "openxlab.org.cn/datasets",
)  # fmt: skip
"""Where data sets are published, as beginnings of an address without its scheme."""
TELLING_WORDS = 8
"""A shorter question may stand on a page by chance."""
KEPT_BACK = "{url}: this page cannot be read."

_CANARY = re.compile(
    r"canary\s+guid|benchmark data should never appear|never appear as plain text online", re.IGNORECASE
)


class LeakGuard:
    """A web without the pages that leak one question. ``kept_back`` has their addresses, in the order met."""

    def __init__(self, web: Web, qa: QA):
        self.name = web.name
        self.kept_back: list[str] = []
        self._web = web
        self._question = padded_words(qa.question)
        self._is_telling = len(self._question.split()) >= TELLING_WORDS
        self._canaries = canaries_of(qa)

    async def search(self, query: str, results: int) -> list[Hit]:
        """Raises as the web does."""
        hits = await self._web.search(query, results)
        return [hit for hit in hits if not self._leaks(hit.url, f"{hit.title}\n{hit.snippet}")]

    async def read(self, url: str) -> Page:
        """Raises as the web does, and ToolError for a page that leaks."""
        if self._leaks(url, ""):
            raise ToolError(KEPT_BACK.format(url=url), lasts=True)
        page = await self._web.read(url)
        if self._leaks(page.url, f"{page.title}\n{page.text}"):
            raise ToolError(KEPT_BACK.format(url=url), lasts=True)
        return page

    def _leaks(self, url: str, text: str) -> bool:
        leaks = (
            is_data_set(url)
            or holds_canary(text, self._canaries)
            or (self._is_telling and self._question in padded_words(text))
        )
        if leaks and url not in self.kept_back:
            self.kept_back.append(url)
        return leaks


def is_data_set(url: str) -> bool:
    """Whether an address is one where data sets are published."""
    parts = urlsplit(url if "://" in url else f"//{url}")
    place = f"{(parts.hostname or '').removeprefix('www.')}{parts.path}".casefold()
    return any(place == beginning or place.startswith(f"{beginning}/") for beginning in HOSTS)


def canaries_of(qa: QA) -> list[str]:
    canary = qa.extra.get(CANARY)
    return [canary] if isinstance(canary, str) and canary else []


def holds_canary(text: str, canaries: Iterable[str] = ()) -> bool:
    return bool(_CANARY.search(text)) or any(canary in text for canary in canaries)


def saw_canary(messages: Iterable[Message], canaries: Iterable[str]) -> bool:
    """Whether a tool showed a canary in the course of an episode."""
    shown = (response_text(message.content) for message in messages if message.role == "user")
    known = list(canaries)
    return any(text is not None and holds_canary(text, known) for text in shown)
