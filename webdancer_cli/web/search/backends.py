"""Which back end ``--search`` means."""

from collections.abc import Callable

from webdancer_cli.errors import UsageError
from webdancer_cli.services.keys import required_key
from webdancer_cli.services.retry import RetryPolicy
from webdancer_cli.web.json_api import RETRY, checked_url
from webdancer_cli.web.protocols import Search
from webdancer_cli.web.search import brave, serper, tavily
from webdancer_cli.web.search.custom import CustomSearch
from webdancer_cli.web.search.opensearch import OpenSearch
from webdancer_cli.web.search.searxng import Searxng

CHOICES = "serper, brave, tavily, searxng=URL, opensearch=URL/INDEX, or your own module:function"


def open_search(choice: str | None, *, asks: bool = True, retry: RetryPolicy = RETRY) -> Search:
    """The back end; a service may be followed by ``=URL``, of a gateway to it. Raises UsageError before any call.

    ``asks`` is False where it will not be asked, as in a replay: then no key is needed.
    """
    if not choice:
        raise UsageError(f"--web live needs --search: choose from {CHOICES}")
    name, given, url = choice.partition("=")
    if name == "searxng":
        if not url:
            raise UsageError("--search searxng: name the instance, as in --search searxng=http://127.0.0.1:8888")
        return Searxng(url, retry)
    if name == "opensearch":
        return OpenSearch(url, retry)
    services: dict[str, tuple[Callable[[str, str, RetryPolicy], Search], str, str]] = {
        "serper": (serper.Serper, serper.KEY, serper.URL),
        "brave": (brave.Brave, brave.KEY, brave.URL),
        "tavily": (tavily.Tavily, tavily.KEY, tavily.URL),
    }
    if name in services:
        opened, variable, own_url = services[name]
        key = required_key(variable, what=f"--search {name}", needed=asks)
        return opened(key, checked_url(url, what=f"--search {choice}") if given else own_url, retry)
    if name in ("duckduckgo", "ddg"):
        raise UsageError(f"--search {choice}: it has no API for web results; without a key, use searxng=URL")
    if ":" not in choice:
        raise UsageError(f"--search {choice}: unknown; choose from {CHOICES}")
    return CustomSearch(choice)
