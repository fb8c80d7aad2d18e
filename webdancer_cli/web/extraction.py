"""From what a server sent to a page, beside the event loop and within bounds: for visits and for crawls alike."""

from webdancer_cli.web import documents
from webdancer_cli.web.fetch import Fetched
from webdancer_cli.web.gate import Document, Reading, Terms
from webdancer_cli.web.workers import Workers


class Extraction:
    """Where documents become pages. Use as ``with Extraction() as extraction``.

    ``seconds`` is the processor time that one document may take.
    """

    def __init__(self, seconds: float = 20.0):
        self._workers = Workers(seconds)

    async def read(self, document: Fetched | Document, terms: Terms) -> Reading:
        """The page of a document, judged if it is HTML.

        Raises Reject ``unreadable_pdf``, ``encrypted_pdf``, and those of ``Workers.run``: ``extraction_failed`` when a
        document defeats the libraries, ``too_heavy`` beyond the bounds, ``overloaded`` when this machine is to blame.
        """
        return await self._workers.run(documents.read, document, terms, about=document.url)

    def __enter__(self) -> "Extraction":
        return self

    def __exit__(self, *_: object) -> None:
        self._workers.close()
