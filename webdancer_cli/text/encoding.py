"""Bytes to text: for what a server sends, what a file holds, and what stands in an archive alike.

In this order: a byte-order mark; the width of the characters, where it shows; what is declared; UTF-8, if the bytes
are UTF-8 but for a few; a guess by charset-normalizer. Labels mean what they mean to browsers (WHATWG, Encoding).
"""

import codecs
import re

import charset_normalizer
import webencodings

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Of the marks that begin alike, the longer stands first."""

VALID_PER_BROKEN = 2
"""Bytes are taken for damaged UTF-8 if they hold so many sequences of several bytes for each broken one.

Text of other charsets has hardly one by accident, as in "Spaß" before a closing quotation mark of Windows."""

GUESSED_BYTES = 65536
"""A guess is made from so much of a text."""

FALLBACK = "cp1252"

_WIDE = (
    (re.compile(rb"[\t\n\r -~]\x00\x00\x00"), "utf-32-le"),
    (re.compile(rb"\x00\x00\x00[\t\n\r -~]"), "utf-32-be"),
    (re.compile(rb"(?:[\t\n\r -~]\x00){2}"), "utf-16-le"),
    (re.compile(rb"(?:\x00[\t\n\r -~]){2}"), "utf-16-be"),
)
"""How markup and JSON begin, whose first characters are ASCII."""

_REPLACEMENT = "\ufffd"


def decode_text(body: bytes, content_type: str = "", *, markup: bool = False) -> str:
    """A body as text, its byte-order mark left out, one U+FFFD in place of every sequence that cannot be read.

    ``content_type`` is the header's value; of ``markup``, a ``<meta>`` or an XML declaration is read, too.
    """
    codec, mark_bytes = byte_order_mark(body)
    if not codec:
        codec = _guess_encoding(body, _declared_encoding(body, content_type, markup))
    return body[mark_bytes:].decode(codec, "replace")


def byte_order_mark(body: bytes) -> tuple[str, int]:
    """The codec that the first bytes give away, and the bytes of the mark; "" and 0 if they do not."""
    for mark, codec in BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return codec, len(mark)
    return next((codec for pattern, codec in _WIDE if pattern.match(body)), ""), 0


def decode_file(body: bytes) -> str:
    """A text file of the user's (settings, prices, prompts): by its mark, or else UTF-8, which is not guessed at; its
    line breaks as "\\n". Raises UnicodeDecodeError."""
    codec, mark_bytes = byte_order_mark(body)
    return body[mark_bytes:].decode(codec or "utf-8").replace("\r\n", "\n")


def codec_for_label(label: str) -> str:
    """The name of Python's codec for a charset's label; "" for one that means nothing."""
    found = webencodings.lookup(label) or webencodings.lookup(_python_name(label))
    name = found.codec_info.name if found else _python_name(label)
    return {"gbk": "gb18030", "replacement": "", "x-user-defined": ""}.get(name, name)


_NO_CHARSETS = frozenset(["idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "utf-7"])


def _python_name(label: str) -> str:
    """What browsers do not know, or no longer: "latin-1", "cp437", "utf-32"."""
    try:
        "".encode(label.strip())
        name = codecs.lookup(label.strip()).name
    except (LookupError, ValueError):
        return ""
    return "" if name in _NO_CHARSETS else name


def is_nearly_utf8(body: bytes) -> bool:
    """Whether bytes are UTF-8 but for a few, and hold characters that show it. The last one may be cut off."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(body)
    cut_bytes = len(decoder.getstate()[0])
    marks = text.count(_REPLACEMENT)
    broken = marks - body.count(_REPLACEMENT.encode())
    valid = len(text) - marks - len(text.encode("ascii", "ignore")) + (cut_bytes > 1)
    return valid >= max(1, VALID_PER_BROKEN * broken)


DECLARED_BYTES = 4096
"""How far markup is looked through for its charset; browsers look through 1,024 bytes."""

_CHARSET = re.compile(rb"""charset\s*=\s*["']?\s*([\w.:+-]+)""", re.IGNORECASE)
_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_IN_XML = re.compile(rb"""\s*<\?xml\b[^>]*?\bencoding\s*=\s*["']\s*([\w.:+-]+)""")
_IN_META = re.compile(rb"<meta\b[^>]*?\b" + _CHARSET.pattern, re.IGNORECASE)


def _declared_encoding(body: bytes, content_type: str, markup: bool) -> str:
    """The codec that the header names, or else the markup; "" if none does."""
    if codec := _encoding_named(_CHARSET.search(content_type.encode("utf-8", "replace"))):
        return codec
    if markup:
        head = _COMMENT.sub(b"", body[:DECLARED_BYTES])
        if codec := _encoding_named(_IN_META.search(head)) or _encoding_named(_IN_XML.match(head)):
            # A declaration that could be read as ASCII is not in UTF-16, even if it names it (WHATWG, HTML, 13.2.3.2).
            return "utf-8" if codec.startswith(("utf-16", "utf-32")) else codec
    return ""


def _encoding_named(label: re.Match[bytes] | None) -> str:
    return codec_for_label(label.group(1).decode("ascii", "replace")) if label else ""


def _guess_encoding(body: bytes, declared: str) -> str:
    """The codec of bytes without a mark: what is declared, unless they break its rules and keep those of UTF-8."""
    if declared and (declared == "utf-8" or _decodes(body, declared)):
        return declared
    if not declared and (codec := _without_mark(body)):
        return codec
    if _decodes(body, "utf-8") or is_nearly_utf8(body):
        return "utf-8"
    return declared or _guess(body)


def _decodes(body: bytes, codec: str) -> bool:
    try:
        body.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


_ESCAPES = ((re.compile(rb"\x1b\$[@B]|\x1b\([JI]"), "iso-2022-jp"), (re.compile(rb"\x1b\$\)C"), "iso-2022-kr"))
"""Sequences that switch the character set, in text that has no byte beyond ASCII."""


def _is_of_single_bytes(body: bytes) -> bool:
    """Whether bytes that are no NULs are a text in which some NULs went astray, and not UTF-16.

    In UTF-16, letters beyond ASCII are broken UTF-8, or half of their bytes are control characters; and of no script
    are more than half of the bytes ASCII letters.
    """
    controls, letters = len(re.findall(rb"[\x01-\x08\x0e-\x1f]", body)), len(re.findall(rb"[A-Za-z ]", body))
    return (_decodes(body, "utf-8") and controls * 20 < len(body)) or 2 * letters > len(body)


def _without_mark(body: bytes) -> str:
    """The codec that control bytes give away anywhere in a text; "" if none do."""
    if b"\x00" in body:  # spaces and line breaks of UTF-16 have these
        if _is_of_single_bytes(body[:GUESSED_BYTES].replace(b"\x00", b"")):
            return ""
        odd = {match.start() % 2 for match in re.finditer(b"\x00", body[:GUESSED_BYTES])}
        codec = "" if len(odd) > 1 else "utf-16-le" if odd == {1} else "utf-16-be"
        return codec if codec and _decodes(body[: len(body) // 2 * 2], codec) else ""
    if b"\x1b" in body and not re.search(rb"[\x80-\xff]", body):
        return next((codec for escape, codec in _ESCAPES if escape.search(body)), "")
    return ""


def _guess(body: bytes) -> str:
    telling = re.search(rb"[\x80-\xff]", body)
    start = telling.start() if telling and telling.start() >= GUESSED_BYTES else 0
    best = charset_normalizer.from_bytes(body[start : start + GUESSED_BYTES]).best()
    return best.encoding if best else FALLBACK
