"""``--reader opensearch=URL/INDEX``: pages as they were loaded into an index, by ``POST /INDEX/_search``."""

from typing import Any

import msgspec

from webdancer_cli.data.records import Page, WrongShape, from_object
from webdancer_cli.errors import Outage, ToolError
from webdancer_cli.services.retry import RetryPolicy
from webdancer_cli.web.json_api import RETRY
from webdancer_cli.web.search.opensearch import PAGE_KEYS, index_url, service_at
from webdancer_cli.web.urls import page_hash


class _Hit(msgspec.Struct):
    source: dict[str, Any] = msgspec.field(name="_source")


class _Hits(msgspec.Struct):
    hits: list[_Hit] = []


class _Answer(msgspec.Struct):
    hits: _Hits


class OpenSearchReader:
    """Raises UsageError for what is no URL of an index."""

    def __init__(self, url: str, retry: RetryPolicy = RETRY):
        self._url = index_url(url, what=f"--reader opensearch={url}")
        self._service = service_at(self._url, retry)
        self.name = self._service.name

    async def read(self, url: str) -> Page:
        """The page at a URL, also when scheme, fragment or trailing slash differ."""
        asked = {"size": 1, "query": {"terms": {PAGE_KEYS: [f"{page_hash(url):016x}"]}}}
        answer = await self._service.ask("POST", f"{self._url}/_search", _Answer, json=asked)
        if not answer.hits.hits:
            raise ToolError(f"{url}: no such page; visit a URL from the search results or from a page", lasts=True)
        source = answer.hits.hits[0].source
        try:
            return from_object(Page, {name: value for name, value in source.items() if name != PAGE_KEYS})
        except WrongShape as error:
            raise Outage(f"{self.name}: {url}: {error}: were other documents loaded, too?") from None

    async def aclose(self) -> None:
        await self._service.aclose()
