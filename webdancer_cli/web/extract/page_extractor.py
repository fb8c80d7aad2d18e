"""From what a server sent to a page, beside the event loop and within bounds: for visits and for crawls alike."""

from webdancer_cli.web.extract import documents
from webdancer_cli.web.extract.page_filter import ConvertedText, FilteredPage, HtmlDocument, PageCriteria
from webdancer_cli.web.fetch.fetcher import FetchedDocument
from webdancer_cli.web.workers import Workers


class PageExtractor:
    """Where documents become pages. Use as ``with PageExtractor() as extraction``.

    ``seconds`` is the processor time that one document may take.
    """

    def __init__(self, seconds: float = 20.0):
        self._workers = Workers(seconds)

    async def read(self, document: FetchedDocument | HtmlDocument | ConvertedText, terms: PageCriteria) -> FilteredPage:
        """The page of a document, judged if it is HTML.

        Raises Reject ``unreadable_pdf``, ``encrypted_pdf``, and those of ``Workers.run``: ``extraction_failed`` when a
        document defeats the libraries, ``too_heavy`` beyond the bounds, ``overloaded`` when this machine is to blame.
        """
        return await self._workers.run(documents.read_document, document, terms, about=document.url)

    def __enter__(self) -> "PageExtractor":
        return self

    def __exit__(self, *_: object) -> None:
        self._workers.close()
