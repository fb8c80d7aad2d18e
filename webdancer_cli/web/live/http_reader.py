"""``--reader http``: pages of the live web, fetched politely and read here."""

import asyncio

from webdancer_cli.data.records import Page, text_sha256
from webdancer_cli.errors import Reject
from webdancer_cli.options import config
from webdancer_cli.web.extract import documents
from webdancer_cli.web.extract.page_extractor import PageExtractor
from webdancer_cli.web.extract.page_filter import PageCriteria
from webdancer_cli.web.fetch.fetcher import FetchedDocument, Fetcher, may_pass
from webdancer_cli.web.workers import visit_failure

READ_ALL_THE_SAME = frozenset(["noindex", "mojibake"])
"""Reasons for which a page is left out of a corpus, but can be read all the same."""
MOST_FRAMES = 8
"""Frames of one set that are read."""
READABLE = "only HTML, plain text, Markdown, JSON and PDF can be read"


class HttpReader:
    """Fetches and reads. What keeps a page from being read is a ToolError that names it, or an Outage of our machine.

    A site that is down is a ToolError, and no Outage: the policy is to learn that this happens.
    """

    name = "http"

    def __init__(
        self,
        *,
        allow_private: bool = False,
        contact: str | None = None,
        timeout_seconds: float = config.CrawlqaOptions.timeout_seconds,
    ):
        self._fetcher = Fetcher(
            allow_private=allow_private, contact=contact, timeout_seconds=timeout_seconds, keep_cookies=False
        )
        self._extraction = PageExtractor(timeout_seconds)

    async def read(self, url: str) -> Page:
        try:
            fetched = await self._fetcher.get(url, documents.KINDS)
            page = await self._page(fetched)
        except Reject as reject:
            raise visit_failure(reject, _describe_reject(url, reject), lasts=not may_pass(reject)) from None
        page.fetched_at = fetched.fetched_at
        if fetched.url != url:
            page.extra["requested_url"] = url
        return page

    async def _page(self, fetched: FetchedDocument, *, part: bool = False) -> Page:
        reading = await self._extraction.read(fetched, PageCriteria())
        if reading.refusal and reading.refusal.parts and not part:
            return await self._join_frames(reading.page)
        if reading.refusal and reading.refusal.reason not in READ_ALL_THE_SAME:
            raise Reject(reading.refusal.reason, reading.refusal.detail)
        return reading.page

    async def _join_frames(self, whole: Page) -> Page:
        """A set of frames as a browser shows it: what its frames hold, in their order. One that fails is left out."""
        found = await asyncio.gather(*(self._frame(link.url) for link in whole.links[:MOST_FRAMES]))
        parts = [page for page in found if isinstance(page, Page)]
        if not parts:
            raise next(reject for reject in found if isinstance(reject, Reject))
        whole.text = "\n\n".join(page.text for page in parts if page.text)
        whole.links = [link for page in parts for link in page.links]
        whole.sha256 = text_sha256(whole.text)
        return whole

    async def _frame(self, url: str) -> Page | Reject:
        try:
            return await self._page(await self._fetcher.get(url, documents.KINDS), part=True)
        except Reject as reject:
            return reject

    async def aclose(self) -> None:
        await self._fetcher.__aexit__()
        self._extraction.__exit__()


def _describe_reject(url: str, reject: Reject) -> str:
    """The reason, with the URL that was asked for: the fetcher may name another, after a redirect."""
    detail = reject.detail if reject.reason != "not_html" else f"{reject.detail}; {READABLE}"
    return detail if url in detail else f"{url}: {detail}"
