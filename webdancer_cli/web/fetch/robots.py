"""What a site's robots.txt allows (RFC 9309), asked once per site and day."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from protego import Protego

from webdancer_cli.errors import Reject

PRODUCT = "webdancer"
"""The product token that robots.txt files address."""

MAX_BYTES = 512 * 1024
"""What is read of a robots.txt; RFC 9309, section 2.5, asks for 500 KiB at least."""

KEEP_SECONDS = 24 * 3600.0
"""RFC 9309, section 2.4: not longer than a day."""

_HOST_IS_DEAD = frozenset(["bad_url", "dns_failure", "private_address", "connection_failed", "proxy_failure"])


class Robots:
    """The rules of all sites met so far. ``load`` fetches a robots.txt and returns its text, or raises Reject.

    By RFC 9309, section 2.3.1: a 4xx allows everything, so do more than five redirects; a 5xx, a timeout or a broken
    connection forbids everything.
    """

    def __init__(self, load: Callable[[str], Awaitable[str]]):
        self._load = load
        self._sites: dict[str, tuple[float, asyncio.Task[Protego]]] = {}

    async def permit(self, url: str) -> float:
        """Raises Reject if the site forbids a URL; else the seconds it asks for between two requests (0: none)."""
        rules = await self._rules(url)
        if not rules.can_fetch(url, PRODUCT):
            raise Reject("robots_disallowed", f"{url}: robots.txt of the site forbids it")
        return rules.crawl_delay(PRODUCT) or 0.0

    async def sitemaps(self, url: str) -> list[str]:
        """The sitemaps that the site's robots.txt names. Raises Reject if that cannot be read."""
        return list((await self._rules(url)).sitemaps)

    async def _rules(self, url: str) -> Protego:
        parts = urlsplit(url)
        site = f"{parts.scheme}://{parts.netloc}"
        expiry, task = self._sites.get(site, (0.0, None))
        if task is None or time.monotonic() > expiry:
            task = asyncio.create_task(self._ask(site))
            self._sites[site] = time.monotonic() + KEEP_SECONDS, task
        return await asyncio.shield(task)

    async def _ask(self, site: str) -> Protego:
        try:
            return Protego.parse(await self._load(f"{site}/robots.txt"))
        except Reject as reject:
            if reject.reason.startswith("http_4") or reject.reason == "redirect_loop":
                return Protego.parse("")
            if reject.reason in _HOST_IS_DEAD:
                raise
            detail = f"{site}/robots.txt cannot be read ({reject}), which forbids the whole site for now"
            raise Reject("robots_unreachable", detail) from None

    async def aclose(self) -> None:
        tasks = [task for _, task in self._sites.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
