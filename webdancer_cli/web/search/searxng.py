"""SearXNG: ``GET /search?format=json`` at the user's own instance. It asks other engines, and needs no key."""

from base64 import b64encode
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from webdancer_cli.errors import Outage
from webdancer_cli.services.retry import RetryPolicy
from webdancer_cli.web.json_api import RETRY, JsonApi, checked_url
from webdancer_cli.web.protocols import Hit, make_hit
from webdancer_cli.web.urls import without_user

REMEDIES = {
    401: "give the instance's user and password in the URL",
    403: "enable json under search.formats in settings.yml",
    404: "name the URL of the instance itself, without /search",
}


class _Result(msgspec.Struct):
    title: str | None = None
    url: str | None = None
    content: str | None = None
    publishedDate: str | None = None


class _Answer(msgspec.Struct):
    results: list[_Result] = []
    unresponsive_engines: list[Any] = []
    """Which engines failed and why, e.g. ``["google", "timeout"]``."""


def _results_in(value: Any) -> Any:
    return (value["results"] or []) if isinstance(value, dict) and "results" in value else None


class Searxng:
    """``name`` leaves out user and password. Raises UsageError for what is no URL."""

    def __init__(self, url: str, retry: RetryPolicy = RETRY):
        base = checked_url(url, what=f"--search searxng={url}")
        parts = urlsplit(base)
        self.name = f"searxng={without_user(base)}"
        self._url = f"{base}/search"
        self._service = JsonApi(
            self.name, secrets=_secrets(parts), remedies=REMEDIES, results_in=_results_in, retry=retry
        )

    async def search(self, query: str, results: int) -> list[Hit]:
        """One page of results, as many as the instance gives. Nothing found while engines failed is an Outage."""
        answer = await self._service.ask("GET", self._url, _Answer, params={"q": query, "format": "json"})
        if not answer.results and answer.unresponsive_engines:
            raise Outage(f"{self.name}: its engines failed: {_engines(answer.unresponsive_engines)}")
        return [
            make_hit(found.title, found.url, found.content, (found.publishedDate or "")[:10])
            for found in answer.results
        ]

    async def aclose(self) -> None:
        await self._service.aclose()


def _secrets(parts: SplitResult) -> list[str]:
    """The password in all the forms in which a server may quote it."""
    if not parts.password:
        return []
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password)}"
    return [parts.password, unquote(parts.password), b64encode(pair.encode()).decode()]


def _engines(failed: list[Any]) -> str:
    return ", ".join(": ".join(map(str, engine)) if isinstance(engine, list) else str(engine) for engine in failed)
