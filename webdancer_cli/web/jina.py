"""``--reader jina``: a service fetches a page and sends its text as Markdown. ``POST /`` with ``{"url": …}``."""

import hashlib
from urllib.parse import urlsplit

import msgspec

from webdancer_cli.errors import Reject, ToolError
from webdancer_cli.proxies import Proxies
from webdancer_cli.records import Page
from webdancer_cli.web.fetch import checked, may_pass
from webdancer_cli.web.guard import allowed, allowed_by
from webdancer_cli.web.service import Patience, Service, key_from
from webdancer_cli.web.urls import DEFAULT_PORTS, without_user

KEY = "JINA_API_KEY"
URL = "https://r.jina.ai"
REMEDIES = {
    401: f"set {KEY} to a key that is valid",
    402: "add tokens to the account",
    403: f"{KEY} does not cover reading, or its balance is spent",
}


class _Data(msgspec.Struct):
    title: str | None = None
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
        patience: Patience | None = None,
    ):
        key = key_from(KEY, what="--reader jina", needed=asks and url == URL)
        self.name = "jina" if url == URL else f"jina={without_user(url)}"
        self._url = url
        self._allow_private = allow_private
        self._proxies = Proxies.of_environment()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._service = Service(
            "jina", headers=headers, secrets=[key], remedies=REMEDIES, contact=contact, patience=patience
        )

    async def read(self, url: str) -> Page:
        try:
            target = checked(url)
            await self._guard(target)
        except Reject as reject:
            raise ToolError(reject.detail, lasts=not may_pass(reject)) from None
        answer = await self._service.ask("POST", f"{self._url}/", _Answer, json={"url": target})
        return _page(target, answer.data)

    async def _guard(self, url: str) -> None:
        """Names of an intranet are not sent to strangers. Raises Reject ``private_address`` or ``dns_failure``."""
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme]
        proxy = self._proxies.of(url)
        if proxy is None:
            await allowed(host, port, self._allow_private)
        elif not self._allow_private:
            await allowed_by(proxy, host, port)

    async def aclose(self) -> None:
        await self._service.aclose()


def _page(url: str, data: _Data) -> Page:
    text = (data.content or "").strip()
    sha256 = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    page = Page(url=data.url or url, title=data.title or url, text=text, sha256=sha256)
    if data.publishedTime:
        page.extra["date"] = data.publishedTime[:10]
    return page
