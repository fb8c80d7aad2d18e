"""Documents out of WARC files (ISO 28500), plain or compressed: what an earlier crawl, or Common Crawl, has fetched."""

from collections.abc import Iterator
from pathlib import Path

from warcio.archiveiterator import ArchiveIterator
from warcio.exceptions import ArchiveLoadFailed

from webdancer_cli.errors import UsageError
from webdancer_cli.web import urls
from webdancer_cli.web.fetch import HTML_TYPES, MAX_BYTES, Fetched

SUFFIXES = (".warc", ".warc.gz")


def is_warc(path: str) -> bool:
    return Path(path).is_file() and path.lower().endswith(SUFFIXES)


def documents(path: str) -> Iterator[Fetched]:
    """The HTML documents of a file, in its order, as if they had just been fetched. Raises UsageError if it is broken.

    Left out are other kinds of record, answers other than 200, and bodies of more than ``MAX_BYTES``.
    """
    with open(path, "rb") as stream:
        try:
            for record in ArchiveIterator(stream):
                if record.rec_type == "response" and (fetched := _document(record)):
                    yield fetched
        except ArchiveLoadFailed as error:
            raise UsageError(f"{path}: not a WARC file: {error}") from None


def _document(record: object) -> Fetched | None:
    url = urls.canonical(record.rec_headers.get_header("WARC-Target-URI") or "")  # type: ignore[attr-defined]
    answer = record.http_headers  # type: ignore[attr-defined]
    if url is None or answer is None or answer.get_statuscode() != "200":
        return None
    headers = {name.lower(): value for name, value in answer.headers}
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in HTML_TYPES:
        return None
    body = record.content_stream().read(MAX_BYTES + 1)  # type: ignore[attr-defined]
    if len(body) > MAX_BYTES:
        return None
    fetched_at = record.rec_headers.get_header("WARC-Date") or ""  # type: ignore[attr-defined]
    return Fetched(
        url=url, requested_url=url, content_type=content_type, body=body, fetched_at=fetched_at, headers=headers
    )
