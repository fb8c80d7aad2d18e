"""OpenSearch, Elasticsearch, and what speaks as they do: ``POST /INDEX/_search`` over the pages that
``webdancer index --to`` has loaded there.

A document is the line of a page, with the hashes of its URLs under ``page_keys``, by which a reader finds it.
"""

from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from webdancer_cli.data.records import Page, to_object
from webdancer_cli.errors import UsageError
from webdancer_cli.services.keys import read_key
from webdancer_cli.services.retry import RetryPolicy
from webdancer_cli.web.fixed_pages import TITLE_WEIGHT
from webdancer_cli.web.json_api import RETRY, JsonApi, checked_url
from webdancer_cli.web.protocols import Hit, make_hit
from webdancer_cli.web.urls import page_hash, without_user

KEY = "OPENSEARCH_API_KEY"
"""Sent as Elasticsearch's ``Authorization: ApiKey``; a user and a password stand in the URL."""
REMEDIES = {
    401: f"give user and password in the URL, or set {KEY}",
    403: "give the user the right to read the index",
    404: "there is no such index: load pages with `webdancer index --pages FILE --to URL/INDEX`",
}
PAGE_KEYS = "page_keys"
_SNIPPET = {"fields": {"text": {"fragment_size": 160, "number_of_fragments": 1}}, "pre_tags": [""], "post_tags": [""]}


class _Source(msgspec.Struct):
    url: str | None = None
    title: str | None = None
    date: str | None = None


class _Highlight(msgspec.Struct):
    text: list[str] = []


class _Hit(msgspec.Struct):
    source: _Source = msgspec.field(name="_source", default_factory=_Source)
    highlight: _Highlight | None = None


class _Hits(msgspec.Struct):
    hits: list[_Hit] = []


class _Answer(msgspec.Struct):
    hits: _Hits


def hits_in(value: Any) -> Any:
    """The hits of an answer; None if it is none."""
    hits = value.get("hits") if isinstance(value, dict) else None
    return hits.get("hits") if isinstance(hits, dict) else None


def index_url(given: str, *, what: str) -> str:
    """The URL of an index, ``http://HOST:PORT/INDEX``. Raises UsageError for anything else."""
    url = checked_url(given, what=what)
    if not urlsplit(url).path.strip("/"):
        raise UsageError(f"{what}: names no index; give it as http://HOST:9200/INDEX")
    return url


def headers_and_secrets(url: str) -> tuple[dict[str, str], list[str]]:
    """What a call carries beside the URL, and what must not be told."""
    key, password = read_key(KEY), urlsplit(url).password or ""
    headers = {"Authorization": f"ApiKey {key}"} if key else {}
    return headers, [secret for secret in (key, password, unquote(password)) if secret]


def service_at(url: str, retry: RetryPolicy = RETRY) -> JsonApi:
    headers, secrets = headers_and_secrets(url)
    name = f"opensearch={without_user(url)}"
    return JsonApi(name, headers=headers, secrets=secrets, remedies=REMEDIES, results_in=hits_in, retry=retry)


def document(page: Page) -> dict[str, Any]:
    """What is loaded of a page: its line, and what it is found by."""
    return {**to_object(page), PAGE_KEYS: page_keys(page)}


def page_keys(page: Page) -> list[str]:
    requested = page.extra.get("requested_url")
    urls = [page.url, requested] if isinstance(requested, str) and requested else [page.url]
    return [f"{page_hash(url):016x}" for url in urls]


MAPPINGS = {
    "dynamic": False,
    "properties": {PAGE_KEYS: {"type": "keyword"}, "title": {"type": "text"}, "text": {"type": "text"}},
}
"""What of a document is indexed; the rest is only kept."""


class OpenSearch:
    """``name`` leaves out user and password. Raises UsageError for what is no URL of an index."""

    def __init__(self, url: str, retry: RetryPolicy = RETRY):
        self._url = index_url(url, what=f"--search opensearch={url}")
        self._service = service_at(self._url, retry)
        self.name = self._service.name

    async def search(self, query: str, results: int) -> list[Hit]:
        """Snippets where the server gives highlights."""
        asked = {
            "size": results,
            "query": {"multi_match": {"query": query, "fields": [f"title^{TITLE_WEIGHT}", "text"]}},
            "_source": ["url", "title", "date"],
            "highlight": _SNIPPET,
        }
        answer = await self._service.ask("POST", f"{self._url}/_search", _Answer, json=asked)
        found = ((hit.source, hit.highlight.text if hit.highlight else []) for hit in answer.hits.hits)
        return [make_hit(page.title, page.url, " ".join(texts), page.date) for page, texts in found]

    async def aclose(self) -> None:
        await self._service.aclose()
