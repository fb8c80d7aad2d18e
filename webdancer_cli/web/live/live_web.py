"""``--web live``: a search back end and a reader as the web of the tools."""

from webdancer_cli.data.records import Page
from webdancer_cli.errors import UsageError
from webdancer_cli.options import config
from webdancer_cli.services.retry import RetryPolicy
from webdancer_cli.web import urls
from webdancer_cli.web.json_api import RETRY, checked_url, tool_retry
from webdancer_cli.web.live.http_reader import HttpReader
from webdancer_cli.web.live.jina_reader import JinaReader
from webdancer_cli.web.live.opensearch_reader import OpenSearchReader
from webdancer_cli.web.protocols import Hit, Reader, Search
from webdancer_cli.web.search.backends import open_search


class LiveWeb:
    """Implements ``Web``. To be closed in the event loop that used it.

    ``allow_private`` is the reader's setting: it decides which addresses can be read.
    """

    def __init__(self, search: Search, reader: Reader, *, allow_private: bool = False):
        self.name = f"live:{search.name}+{reader.name}"
        self.allow_private = allow_private
        self._search = search
        self._reader = reader

    async def search(self, query: str, results: int) -> list[Hit]:
        """Each page once, and only what can be visited."""
        found: dict[str, Hit] = {}
        for hit in await self._search.search(query, results):
            if url := urls.canonical_url(hit.url):
                found.setdefault(urls.fingerprint(url), hit)
        return list(found.values())[:results]

    async def read(self, url: str) -> Page:
        return await self._reader.read(url)

    async def aclose(self) -> None:
        try:
            await self._search.aclose()
        finally:
            await self._reader.aclose()


def open_live(options: config.EpisodeOptions, *, asks: bool = True) -> LiveWeb:
    """The live web that the options name. Raises UsageError for a choice that is unknown or lacks its key.

    ``asks`` is False where nothing will be asked, as in a replay: then no key is needed.
    """
    retry = tool_retry(options.tool_seconds)
    search = open_search(options.search, asks=asks, retry=retry)
    reader = open_reader(options, asks=asks, retry=retry)
    return LiveWeb(search, reader, allow_private=options.allow_private)


def open_reader(options: config.EpisodeOptions, *, asks: bool = True, retry: RetryPolicy = RETRY) -> Reader:
    """``http``, ``jina``, ``jina=URL`` for a server of one's own, or ``opensearch=URL/INDEX``."""
    choice = options.reader
    name, given, url = choice.partition("=")
    if choice == "http":
        return HttpReader(
            allow_private=options.allow_private, contact=options.contact, timeout_seconds=options.tool_seconds
        )
    if name == "jina" and not given:
        return JinaReader(asks=asks, allow_private=options.allow_private, contact=options.contact, retry=retry)
    if name == "jina":
        own = checked_url(url, what=f"--reader {choice}")
        return JinaReader(own, allow_private=options.allow_private, contact=options.contact, retry=retry)
    if name == "opensearch":
        return OpenSearchReader(url, retry)
    raise UsageError(f"--reader {choice}: unknown; choose from http, jina, jina=URL, opensearch=URL/INDEX")
