"""Brave Search: ``GET /res/v1/web/search`` with the key as X-Subscription-Token; results stand in ``web.results``."""

import html
from typing import Any

import msgspec

from webdancer_cli.services.retry import RetryPolicy
from webdancer_cli.web.json_api import RETRY, JsonApi
from webdancer_cli.web.protocols import Hit, make_hit

KEY = "BRAVE_API_KEY"
URL = "https://api.search.brave.com/res/v1/web/search"
MOST_RESULTS = 20
LONGEST_QUERY = (400, 50)
"""Characters and words; Brave refuses more."""
REMEDIES = {
    401: f"set {KEY} to a key that is valid",
    402: "add credit to the account",
    403: f"{KEY} does not cover web search; subscribe to a plan that does",
}


class _Result(msgspec.Struct):
    title: str | None = None
    url: str | None = None
    description: str | None = None
    page_age: str | None = None


class _Web(msgspec.Struct):
    results: list[_Result] = []


class _Answer(msgspec.Struct):
    web: _Web | None = None
    """Missing when nothing was found."""


def _results_in(value: Any) -> Any:
    if not isinstance(value, dict) or not ("web" in value or "query" in value or value.get("type") == "search"):
        return None
    return value.get("web") or []


class Brave:
    name = "brave"

    def __init__(self, key: str, url: str = URL, retry: RetryPolicy = RETRY):
        self._url = url
        self._service = JsonApi(
            self.name,
            headers={"X-Subscription-Token": key},
            secrets=[key],
            remedies=REMEDIES,
            results_in=_results_in,
            retry=retry,
        )

    async def search(self, query: str, results: int) -> list[Hit]:
        asked = {"q": _short(query), "count": min(results, MOST_RESULTS), "text_decorations": "false"}
        answer = await self._service.ask("GET", self._url, _Answer, params=asked)
        return [_hit(found) for found in answer.web.results] if answer.web else []

    async def aclose(self) -> None:
        await self._service.aclose()


def _short(query: str) -> str:
    """The query within Brave's limits, cut at a word."""
    chars, words = LONGEST_QUERY
    query = " ".join(query.split()[:words])
    return query if len(query) <= chars else query[: chars + 1].rpartition(" ")[0] or query[:chars]


def _hit(found: _Result) -> Hit:
    """Titles and descriptions come as HTML text; ``page_age`` is a date and a time."""
    title, description = html.unescape(found.title or ""), html.unescape(found.description or "")
    return make_hit(title, found.url, description, (found.page_age or "")[:10])
