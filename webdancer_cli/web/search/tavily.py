"""Tavily: ``POST /search`` with the key as a bearer token; a result's ``content`` is its snippet."""

from typing import Any

import msgspec

from webdancer_cli.services.retry import RetryPolicy
from webdancer_cli.web.json_api import RETRY, JsonApi
from webdancer_cli.web.protocols import Hit, make_hit

KEY = "TAVILY_API_KEY"
URL = "https://api.tavily.com/search"
MOST_RESULTS = 20
REMEDIES = {
    401: f"set {KEY} to a key that is valid",
    402: "add credit to the account",
    403: f"{KEY} may not search; look at its rights",
    432: "the plan's limit is reached; raise it",
    433: "the pay-as-you-go limit is reached; raise it",
}


class _Result(msgspec.Struct):
    title: str | None = None
    url: str | None = None
    content: str | None = None
    published_date: str | None = None


class _Answer(msgspec.Struct):
    results: list[_Result] | None = None


def _results_in(value: Any) -> Any:
    return (value["results"] or []) if isinstance(value, dict) and "results" in value else None


class Tavily:
    name = "tavily"

    def __init__(self, key: str, url: str = URL, retry: RetryPolicy = RETRY):
        self._url = url
        self._service = JsonApi(
            self.name,
            headers={"Authorization": f"Bearer {key}"},
            secrets=[key],
            remedies=REMEDIES,
            results_in=_results_in,
            retry=retry,
        )

    async def search(self, query: str, results: int) -> list[Hit]:
        asked = {"query": query, "max_results": min(results, MOST_RESULTS), "search_depth": "basic"}
        answer = await self._service.ask("POST", self._url, _Answer, json=asked)
        return [make_hit(found.title, found.url, found.content, found.published_date) for found in answer.results or []]

    async def aclose(self) -> None:
        await self._service.aclose()
