"""``webdancer index --to URL/INDEX``: pages into OpenSearch or Elasticsearch, by ``POST /_bulk``.

The id of a document is the hash of its page's URL, and it is only created, never written over: a run that was
interrupted can be made again, and what is there already is told by the server and counted.
"""

from collections.abc import AsyncGenerator, Iterable
from typing import Any

import httpx
import msgspec

from webdancer_cli.data.ordered_map import ordered_map
from webdancer_cli.data.records import Page
from webdancer_cli.errors import ServiceRefused, WebdancerError
from webdancer_cli.services import proxies
from webdancer_cli.services.keys import Redactor
from webdancer_cli.services.retry import GaveUp, RetryPolicy, Transient, retry_after_seconds
from webdancer_cli.web.search import opensearch

BATCH_BYTES = 4_000_000
AT_ONCE = 4
RETRY = RetryPolicy(attempts=8, attempt_seconds=120, total_seconds=600)
CREATED, EXISTS, BUSY = 201, 409, 429
_REFUSED = {401, 403}


class Loaded(msgspec.Struct):
    """What became of the pages of a batch; ``failures`` are those that the server did not take, and why."""

    created: int = 0
    there: int = 0
    failures: list[tuple[str, str]] = []


class OpenSearchLoader:
    """To be used in one event loop. Raises UsageError for what is no URL of an index."""

    def __init__(self, url: str, retry: RetryPolicy = RETRY):
        self._url = opensearch.index_url(url, what=f"--to {url}")
        headers, secrets = opensearch.headers_and_secrets(self._url)
        self._redactor = Redactor(secrets)
        self._retry = retry
        self._client = proxies.http_client(headers=headers, timeout=retry.attempt_seconds)

    async def make_index(self) -> None:
        """Unless it is there. Raises ServiceRefused where it may not be made."""
        answer = await self._sent("PUT", self._url, json={"mappings": opensearch.MAPPINGS})
        if answer.status_code not in (200, 201) and b"already_exists" not in answer.content:
            raise ServiceRefused(self._told(answer))

    async def load(self, pages: Iterable[Page]) -> AsyncGenerator[Loaded, None]:
        """What became of the pages, batch by batch, in their order."""
        async for _, task in ordered_map(_batches(pages), self._load_batch, AT_ONCE):
            yield task.result()

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _load_batch(self, batch: dict[str, bytes]) -> Loaded:
        loaded, left = Loaded(), dict(batch)

        async def attempt(number: int, deadline: float) -> None:
            items = await self._bulk(left)
            for id, status, reason in items:
                if status != BUSY and left.pop(id, None) is not None:
                    loaded.created += status == CREATED
                    loaded.there += status == EXISTS
                    if status not in (CREATED, EXISTS):
                        loaded.failures.append((id, reason))
            if left:
                raise Transient(f"{len(left)} of {len(items)} documents were put off: it is busy")

        try:
            await self._retry.run(attempt)
        except GaveUp as end:
            raise WebdancerError(f"{self._name}: {end}; run it again: what is there stays") from None
        return loaded

    async def _bulk(self, batch: dict[str, bytes]) -> list[tuple[str, int, str]]:
        """Id, status and reason of each document. Raises Transient."""
        lines = (msgspec.json.encode({"create": {"_id": id}}) + b"\n" + line + b"\n" for id, line in batch.items())
        headers = {"Content-Type": "application/x-ndjson"}
        answer = await self._send("POST", f"{self._url}/_bulk", content=b"".join(lines), headers=headers)
        try:
            items = [item["create"] for item in msgspec.json.decode(answer.content)["items"]]
            return [(item["_id"], item["status"], str(item.get("error", ""))[:300]) for item in items]
        except (msgspec.DecodeError, KeyError, TypeError):
            raise Transient(f"an odd answer: {self._told(answer)}") from None

    async def _sent(self, method: str, url: str, **request: Any) -> httpx.Response:
        async def attempt(number: int, deadline: float) -> httpx.Response:
            return await self._send(method, url, **request)

        try:
            return await self._retry.run(attempt)
        except GaveUp as end:
            raise WebdancerError(f"{self._name}: {self._redactor.text(str(end))}") from None

    async def _send(self, method: str, url: str, **request: Any) -> httpx.Response:
        """Raises Transient for what may pass, and ServiceRefused for what will not."""
        try:
            answer = await self._client.request(method, url, **request)
        except httpx.HTTPError as error:
            raise Transient(self._redactor.text(f"{type(error).__name__}: {error}")) from None
        if answer.status_code in _REFUSED:
            raise ServiceRefused(f"{self._told(answer)}: {opensearch.REMEDIES[answer.status_code]}")
        if answer.status_code == BUSY or answer.status_code >= 500:
            pause = retry_after_seconds(answer.headers.get("retry-after", "")) or 0.0
            raise Transient(self._told(answer), pause)
        return answer

    @property
    def _name(self) -> str:
        return f"opensearch={opensearch.without_user(self._url)}"

    def _told(self, answer: httpx.Response) -> str:
        said = " ".join(answer.text.split())[:200]
        return self._redactor.text(f"{self._name}: HTTP {answer.status_code}: {said}")


async def _batches(pages: Iterable[Page]) -> AsyncGenerator[dict[str, bytes], None]:
    """Documents by their ids; of pages with one URL the first."""
    batch: dict[str, bytes] = {}
    size = 0
    for page in pages:
        document = opensearch.document(page)
        line = msgspec.json.encode(document)
        batch.setdefault(document[opensearch.PAGE_KEYS][0], line)
        size += len(line)
        if size >= BATCH_BYTES:
            yield batch
            batch, size = {}, 0
    if batch:
        yield batch
