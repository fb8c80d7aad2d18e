"""What a document is: what its media type says, unless that says nothing, or the first bytes say otherwise.

The signs are those of WHATWG's MIME Sniffing; a media type is what stands before its parameters, however these are
written.
"""

import re

import msgspec

from webdancer_cli.text import encoding

HTML_TYPES = frozenset(["text/html", "application/xhtml+xml"])
PDF = "application/pdf"
UNKNOWN = "application/octet-stream"
HEAD_BYTES = 4096
"""So many bytes tell what a document is."""

_ESSENCE = re.compile(r"""\s*["']?\s*([\w!#$&^.+-]+/[\w!#$&^.+*-]+)""", re.ASCII)
_SAYS_NOTHING = re.compile(
    r"octet|unknown|download|binary|httpd|/save|\*|/(?:x-)?html?$(?<!^text/html)|/(?:x-)?(?:php|asp)"
)
_TEXTUAL = re.compile(r"text/|.*[/+](?:json|xml|javascript|ecmascript)$")

_LEAD = rb"(?>\s*(?:(?:<\?.*?\?>|<!--.*?-->)\s*)*)"
"""Atomic: there are exponentially many ways to divide up a hundred comments."""
_PAGE = re.compile(_LEAD + rb"<(?:!doctype\s+(?:x?html|\[?)|html|head|body)[\s>\[]", re.IGNORECASE | re.DOTALL)
_TAG = (
    rb"<(?:!doctype|html|head|body|title|meta|link|base|script|style|h[1-6]|div|p|table|article|section|main|nav|header|"
    rb"footer|ul|ol|dl|a|img|br|b|i|span|font|center|form|frameset|iframe|noscript|pre|blockquote)[\s>/]"
)
_BEGINS_WITH_TAG = re.compile(rb"\A" + _LEAD + _TAG, re.IGNORECASE | re.DOTALL)
_HOLDS_TAG = re.compile(_TAG, re.IGNORECASE)
_XML = re.compile(rb"\s*(?:<\?xml\s|<(?:rss|feed|svg|urlset|sitemapindex|rdf:rdf)[\s>])", re.IGNORECASE)
_PDF = re.compile(rb"[^<]{0,1024}%PDF-\d")

_MAGIC = (
    (rb"\x89PNG\r\n\x1a\n", "image/png"),
    (rb"GIF8[79]a", "image/gif"),
    (rb"\xff\xd8\xff", "image/jpeg"),
    (rb"RIFF....WEBP", "image/webp"),
    (rb"RIFF....(?:WAVE|AVI )", "video/x-msvideo"),
    (rb"BM.{4}\x00\x00\x00\x00", "image/bmp"),
    (rb"II\*\x00|MM\x00\*", "image/tiff"),
    (rb"\x00\x00\x01\x00", "image/x-icon"),
    (rb"PK(?:\x03\x04|\x05\x06|\x07\x08)", "application/zip"),
    (rb"\x1f\x8b\x08", "application/gzip"),
    (rb"BZh[1-9]1AY&SY", "application/x-bzip2"),
    (rb"\xfd7zXZ\x00", "application/x-xz"),
    (rb"\x28\xb5\x2f\xfd", "application/zstd"),
    (rb"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (rb"Rar!\x1a\x07", "application/vnd.rar"),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (rb"\x00\x00..ftyp", "video/mp4"),
    (rb"\x1aE\xdf\xa3", "video/webm"),
    (rb"OggS\x00", "application/ogg"),
    (rb"ID3[\x02-\x04]", "audio/mpeg"),
    (rb"fLaC", "audio/flac"),
    (rb"wOF[F2]", "font/woff"),
    (rb"\x7fELF", "application/x-executable"),
    (rb"MZ.{2,62}\x00", "application/x-msdownload"),
    (rb"%!PS-Adobe-", "application/postscript"),
    (rb"\{\\rtf[0-9]", "application/rtf"),
)
_SIGNATURES = tuple((re.compile(sign, re.DOTALL), name) for sign, name in _MAGIC)
_CONTROL = re.compile(rb"[\x01-\x07\x0e-\x1a\x1c-\x1f]")
MOST_CONTROLS = 0.01
"""Control characters that a text may have, as a share of it: some listings of programs have a few."""


def media_type_of_header(header: str) -> str:
    """The media type of a Content-Type header, in lower case; "" if it is missing or none."""
    found = _ESSENCE.match(header)
    return found.group(1).lower() if found else ""


def detect_media_type(header: str, body: bytes) -> str:
    """The media type of a document that is sent as ``header`` says; ``body`` is all of it, or its first bytes."""
    said, head = media_type_of_header(header), _readable_head(body)
    found = _sniff(head)
    if found == "text/html" or (said in HTML_TYPES and _BEGINS_WITH_TAG.match(head)):
        return said if said in HTML_TYPES else found
    if found == PDF:
        return PDF
    if found:  # some other file
        return said if said and said != PDF and not (_says_nothing(said) or _TEXTUAL.match(said)) else found
    if not said or _says_nothing(said):
        return _guess_undeclared(head, body, _BEGINS_WITH_TAG if said else _HOLDS_TAG)
    if said == "text/html" and _of_text(head, body) == "application/json":
        return "application/json"
    return said


def _guess_undeclared(head: bytes, body: bytes, tag: re.Pattern[bytes]) -> str:
    """The type of a text that has none. What is sent without a word is a page if there is any sign of it."""
    if found := _of_text(head, body):
        return found
    return "text/html" if tag.search(head) or not head.strip() else "text/plain"


def _says_nothing(said: str) -> bool:
    return _SAYS_NOTHING.search(said) is not None


def _readable_head(body: bytes) -> bytes:
    """The first bytes; of wide characters, these in UTF-8."""
    codec, mark_bytes = encoding.byte_order_mark(body[:16])
    head = body[mark_bytes : mark_bytes + HEAD_BYTES]
    return head.decode(codec, "replace").encode("utf-8", "replace") if codec else head


def _sniff(head: bytes) -> str:
    """What the first bytes show beyond doubt: a page, a PDF, another file; "" for text that may be anything."""
    if _PAGE.match(head):
        return "text/html"
    if _PDF.match(head):
        return PDF
    for sign, name in _SIGNATURES:
        if sign.match(head):
            return name
    controls = len(_CONTROL.findall(head))
    return UNKNOWN if b"\x00" in head or controls > MOST_CONTROLS * len(head) else ""


def _of_text(head: bytes, body: bytes) -> str:
    """JSON, XML, or "" for any other text."""
    if head.lstrip()[:1] in (b"{", b"["):
        try:
            msgspec.json.decode(body, type=msgspec.Raw)
            return "application/json"
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
    return "application/xml" if _XML.match(head) else ""
