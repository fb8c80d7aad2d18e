"""Documents as pages: HTML through the gate, and plain text, Markdown, JSON and PDF as they are."""

import re
from urllib.parse import unquote, urlsplit

import msgspec

from webdancer_cli.data.records import Page, text_sha256
from webdancer_cli.text.surrogates import mend_surrogates
from webdancer_cli.web.extract import page_filter
from webdancer_cli.web.extract.page_filter import ConvertedText, FilteredPage, HtmlDocument, PageCriteria
from webdancer_cli.web.extract.pdf import pdf_text
from webdancer_cli.web.fetch.fetcher import HTML_TYPES, FetchedDocument

MARKDOWN_TYPES = frozenset(["text/markdown", "text/x-markdown"])
JSON_TYPES = frozenset(["application/json", "application/ld+json", "text/json"])
PDF_TYPES = frozenset(["application/pdf", "application/x-pdf"])
KINDS = HTML_TYPES | MARKDOWN_TYPES | JSON_TYPES | PDF_TYPES | {"text/plain"}
"""The media types that can be read."""


def is_html(fetched: FetchedDocument) -> bool:
    """By its media type; a document that names none is HTML unless it begins like a PDF."""
    return fetched.content_type in HTML_TYPES or (not fetched.content_type and not _is_pdf(fetched))


def read_document(document: FetchedDocument | HtmlDocument | ConvertedText, terms: PageCriteria) -> FilteredPage:
    """The page of a document, judged if it is HTML. Raises Reject ``unreadable_pdf`` or ``encrypted_pdf``, and more."""
    if isinstance(document, ConvertedText):
        return page_filter.filter_converted(document, terms)
    if isinstance(document, HtmlDocument):
        return page_filter.read_and_filter(document, terms)
    if is_html(document):
        return page_filter.read_and_filter(
            HtmlDocument(mend_surrogates(document.text()), document.url, document.headers), terms
        )
    return FilteredPage(_page(document))


def _page(fetched: FetchedDocument) -> Page:
    """The page of a document that is no HTML."""
    if _is_pdf(fetched):
        title, text = map(mend_surrogates, pdf_text(fetched.body, fetched.url))
    else:
        text = mend_surrogates(fetched.text())
        text = _json(text) if fetched.content_type in JSON_TYPES else text.strip()
        title = _heading(text) if fetched.content_type in MARKDOWN_TYPES else ""
    sha256 = text_sha256(text)
    return Page(url=fetched.url, title=title or _file_name(fetched.url), text=text, sha256=sha256)


def _is_pdf(fetched: FetchedDocument) -> bool:
    return fetched.content_type in PDF_TYPES or (not fetched.content_type and fetched.body.startswith(b"%PDF-"))


def _json(text: str) -> str:
    """A value a line, as people read JSON; what is no JSON, or nested absurdly, stays as it is."""
    try:
        return msgspec.json.format(text, indent=2)
    except (msgspec.DecodeError, RecursionError):
        return text.strip()


def _heading(text: str) -> str:
    """The first heading of a Markdown text."""
    match = re.search(r"^#{1,6}\s+(.+?)\s*#*$", text, re.MULTILINE)
    return match.group(1) if match else ""


def _file_name(url: str) -> str:
    parts = urlsplit(url)
    return unquote(parts.path.rstrip("/").rpartition("/")[2]) or parts.netloc
