"""From PDF to text, by pypdf."""

import io
import logging

import pypdf
from pypdf.errors import PyPdfError

MAX_PAGES = 500
"""Later pages of a PDF are not read: extraction costs about a tenth of a second a page."""

Unreadable = PyPdfError


def pdf_text(body: bytes) -> tuple[str, str]:
    """Title ("" if it names none) and text of a PDF, with an empty line between pages. Raises Unreadable, and more."""
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # that a document is odd is no news to the user
    document = pypdf.PdfReader(io.BytesIO(body))
    pages = [page.extract_text() for page in document.pages[:MAX_PAGES]]
    title = document.metadata.title if document.metadata else None
    return (title or "").strip(), "\n\n".join(text.strip() for text in pages if text.strip())
