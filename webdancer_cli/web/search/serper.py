"""Serper: Google's results. ``POST /search`` with the key as X-API-KEY; results stand in ``organic``."""

from typing import Any

import msgspec

from webdancer_cli.services.retry import RetryPolicy
from webdancer_cli.web.json_api import RETRY, JsonApi
from webdancer_cli.web.protocols import Hit, make_hit

KEY = "SERPER_API_KEY"
URL = "https://google.serper.dev/search"
MOST_RESULTS = 100
REMEDIES = {
    401: f"set {KEY} to a key that is valid",
    402: "add credit to the account",
    403: f"set {KEY} to a key that is valid",
}


class _Result(msgspec.Struct):
    title: str | None = None
    link: str | None = None
    snippet: str | None = None
    date: str | None = None


class _Answer(msgspec.Struct):
    organic: list[_Result] | None = None


def _results_in(value: Any) -> Any:
    if not isinstance(value, dict) or not {"organic", "searchParameters"} & set(value):
        return None
    return value.get("organic") or []


class Serper:
    name = "serper"

    def __init__(self, key: str, url: str = URL, retry: RetryPolicy = RETRY):
        self._url = url
        self._service = JsonApi(
            self.name,
            headers={"X-API-KEY": key},
            secrets=[key],
            remedies=REMEDIES,
            results_in=_results_in,
            retry=retry,
        )

    async def search(self, query: str, results: int) -> list[Hit]:
        asked = {"q": query, "num": min(results, MOST_RESULTS)}
        answer = await self._service.ask("POST", self._url, _Answer, json=asked)
        return [make_hit(found.title, found.link, found.snippet, found.date) for found in answer.organic or []]

    async def aclose(self) -> None:
        await self._service.aclose()
