"""``--reader jina``: a service fetches a page and sends its text as Markdown. ``POST /`` with ``{"url": …}``."""

import re
from typing import Any
from urllib.parse import urlsplit

import msgspec

from webdancer_cli.data.records import Page, text_sha256
from webdancer_cli.errors import Reject, ToolError
from webdancer_cli.services.keys import required_key
from webdancer_cli.services.proxies import Proxies
from webdancer_cli.services.retry import RetryPolicy
from webdancer_cli.web.extract import page_filter
from webdancer_cli.web.fetch.fetcher import BadStatus, canonical_or_reject, may_pass
from webdancer_cli.web.fetch.ssrf_guard import allowed_addresses, allowed_proxy_address
from webdancer_cli.web.json_api import RETRY, JsonApi
from webdancer_cli.web.live.http_reader import READ_ALL_THE_SAME
from webdancer_cli.web.urls import DEFAULT_PORTS, without_user

KEY = "JINA_API_KEY"
URL = "https://r.jina.ai"
REMEDIES = {
    401: f"set {KEY} to a key that is valid",
    402: "add tokens to the account",
    403: f"{KEY} does not cover reading, or its balance is spent",
}


class _Data(msgspec.Struct):
    """``warning`` is the service's remark on the page, with the page's own HTTP status."""

    title: str | None = None
    warning: Any = None
    url: str | None = None
    content: str | None = None
    publishedTime: str | None = None


class _Answer(msgspec.Struct):
    data: _Data


class JinaReader:
    """The service itself needs a key; a server of one's own, at another URL, does not. Raises UsageError without it."""

    def __init__(
        self,
        url: str = URL,
        *,
        asks: bool = True,
        allow_private: bool = False,
        contact: str | None = None,
        retry: RetryPolicy = RETRY,
    ):
        key = required_key(KEY, what="--reader jina", needed=asks and url == URL)
        self.name = "jina" if url == URL else f"jina={without_user(url)}"
        self._url = url
        self._allow_private = allow_private
        self._proxies = Proxies.of_environment()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._service = JsonApi(
            "jina",
            headers=headers,
            secrets=[key],
            remedies=REMEDIES,
            results_in=_results_in,
            contact=contact,
            retry=retry,
        )

    async def read(self, url: str) -> Page:
        """The page, judged as one that is fetched: a wall or an error page in its place is a ToolError."""
        try:
            target = canonical_or_reject(url)
            await self._guard(target)
            answer = await self._service.ask("POST", f"{self._url}/", _Answer, json={"url": target})
            page = _page(target, answer.data)
            _judge(page, str(answer.data.warning or ""))
        except Reject as reject:
            raise ToolError(reject.detail, lasts=not may_pass(reject)) from None
        return page

    async def _guard(self, url: str) -> None:
        """Refuse names of an intranet, which must not be sent to the service.

        Raises Reject ``private_address`` or ``dns_failure``.
        """
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme]
        proxy = self._proxies.of(url)
        if proxy is None:
            await allowed_addresses(host, port, self._allow_private)
        elif not self._allow_private:
            await allowed_proxy_address(proxy, host, port)

    async def aclose(self) -> None:
        await self._service.aclose()


def _results_in(value: Any) -> Any:
    return value.get("data") if isinstance(value, dict) and isinstance(value.get("data"), dict) else None


_STATUS = re.compile(r"\b(?:returned|status|error|http)\b\D{0,20}\b([45]\d\d)\b", re.IGNORECASE)


def _judge(page: Page, warning: str) -> None:
    """Raises Reject for what is no page: by the status that the service reports, or by the page filter.

    Other warnings are about how it was read, and harmless.
    """
    if status := _STATUS.search(warning):
        raise BadStatus(page.url, int(status[1]), None)
    refusal = page_filter.text_refusal(page.title, _plain(page.text), warns="captcha" in warning.lower())
    if refusal and refusal.reason not in READ_ALL_THE_SAME:
        raise Reject(refusal.reason, f"{page.url}: {refusal.detail}")


def _plain(markdown: str) -> str:
    """The text without the marks of Markdown."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)\s]*(?:\s[^)]*)?\)", r"\1", markdown)
    return re.sub(r"^[ \t]*(?:#{1,6}|>+|[=-]{3,}$)[ \t]*|[*_`]{1,3}", "", text, flags=re.MULTILINE).strip()


def _page(url: str, data: _Data) -> Page:
    text = (data.content or "").strip()
    sha256 = text_sha256(text)
    page = Page(url=data.url or url, title=data.title or url, text=text, sha256=sha256)
    if data.publishedTime:
        page.extra["date"] = data.publishedTime[:10]
    return page
