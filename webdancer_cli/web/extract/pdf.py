"""From PDF to text, by pypdf."""

import io
import logging

import pypdf
from pypdf.errors import FileNotDecryptedError

from webdancer_cli.errors import Reject
from webdancer_cli.user_functions import describe_error

MAX_PAGES = 500
"""Later pages of a PDF are not read: extraction costs about a tenth of a second a page."""


def pdf_text(body: bytes, url: str) -> tuple[str, str]:
    """Title ("" if it names none) and text of a PDF, with an empty line between pages.

    Many are encrypted only to forbid printing, and open without a password. Raises Reject ``encrypted_pdf`` for one
    that needs a password, and ``unreadable_pdf`` for whatever else its library does not take.
    """
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # that a document is odd is no news to the user
    try:
        return _read_pages(pypdf.PdfReader(io.BytesIO(body)))
    except FileNotDecryptedError:
        raise Reject("encrypted_pdf", f"{url}: a PDF that needs a password") from None
    except MemoryError:
        raise
    except BaseException as error:  # of this library, of those that it asks, or of Python's own
        raise Reject("unreadable_pdf", f"{url}: a PDF that cannot be read: {describe_error(error)}") from None


def _read_pages(document: pypdf.PdfReader) -> tuple[str, str]:
    pages = [page.extract_text() for page in document.pages[:MAX_PAGES]]
    title = document.metadata.title if document.metadata else None
    return title.strip() if isinstance(title, str) else "", "\n\n".join(text.strip() for text in pages if text.strip())
