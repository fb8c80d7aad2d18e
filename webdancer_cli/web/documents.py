"""Documents that are no HTML, as pages: plain text, Markdown, JSON and PDF."""

import hashlib
import re
from urllib.parse import unquote, urlsplit

import msgspec

from webdancer_cli.errors import Reject
from webdancer_cli.functions import in_thread
from webdancer_cli.records import Page
from webdancer_cli.web.extraction import TRIPPED
from webdancer_cli.web.fetch import HTML_TYPES, Fetched
from webdancer_cli.web.pdf import Unreadable, pdf_text

MARKDOWN_TYPES = frozenset(["text/markdown", "text/x-markdown"])
JSON_TYPES = frozenset(["application/json", "application/ld+json", "text/json"])
PDF_TYPES = frozenset(["application/pdf", "application/x-pdf"])
KINDS = HTML_TYPES | MARKDOWN_TYPES | JSON_TYPES | PDF_TYPES | {"text/plain"}
"""The media types that can be read."""


def is_html(fetched: Fetched) -> bool:
    """By its media type; a document that names none is HTML unless it begins like a PDF."""
    return fetched.content_type in HTML_TYPES or (not fetched.content_type and not _is_pdf(fetched))


async def page(fetched: Fetched) -> Page:
    """The page of a document that is no HTML. Raises Reject ``unreadable_pdf``."""
    if _is_pdf(fetched):
        title, text = await _pdf(fetched)
    else:
        text = _json(fetched.text()) if fetched.content_type in JSON_TYPES else fetched.text().strip()
        title = _heading(text) if fetched.content_type in MARKDOWN_TYPES else ""
    sha256 = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return Page(url=fetched.url, title=title or _file_name(fetched.url), text=text, sha256=sha256)


def _is_pdf(fetched: Fetched) -> bool:
    return fetched.content_type in PDF_TYPES or (not fetched.content_type and fetched.body.startswith(b"%PDF-"))


async def _pdf(fetched: Fetched) -> tuple[str, str]:
    found = await in_thread(pdf_text, fetched.body)
    if isinstance(found, (Unreadable, *TRIPPED)):
        raise Reject("unreadable_pdf", f"{fetched.url}: a PDF that cannot be read: {found or type(found).__name__}")
    if isinstance(found, BaseException):
        raise found
    title, text = found
    return title, text


def _json(text: str) -> str:
    """A value a line, as people read JSON; what is no JSON stays as it is."""
    try:
        return msgspec.json.format(text, indent=2)
    except msgspec.DecodeError:
        return text.strip()


def _heading(text: str) -> str:
    """The first heading of a Markdown text."""
    match = re.search(r"^#{1,6}\s+(.+?)\s*#*$", text, re.MULTILINE)
    return match.group(1) if match else ""


def _file_name(url: str) -> str:
    parts = urlsplit(url)
    return unquote(parts.path.rstrip("/").rpartition("/")[2]) or parts.netloc
