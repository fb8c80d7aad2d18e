"""Quotes found again in their page: a model copies the words, but seldom every space, dash and quotation mark.

Compared is the text in NFKC, with spaces, dashes and quotation marks in one form and without invisible characters.
Case, words and punctuation must be the page's. What is kept is the page's own text.
"""

import re
import unicodedata
from collections.abc import Iterator

_FOLDED = {
    **dict.fromkeys("‘’‚‛′`´ʼ＇", "'"),
    **dict.fromkeys("“”„‟″«»＂", '"'),
    **dict.fromkeys("‐‑‒–—―−﹘﹣－", "-"),
}
_INVISIBLE = frozenset("\u00ad\u200b\u200c\u200d\u2060\ufeff")
_ODDITIES = re.compile(r"[^\x21-\x5f\x61-\x7e ]|  ")
"""Anything but visible ASCII and single spaces; the backtick is a quotation mark, too."""
_ACCENTS = "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u1160-\u11ff\u3099\u309a"
_CLUSTER = re.compile(rf"\s+|\S[{_ACCENTS}]*")
_WRAPPING = re.compile(r"\A(?:[\s\"']|\.{3,})+|(?:[\s\"']|\.{3,})+\Z")


class QuoteFinder:
    """A page's text in which many quotes are looked for."""

    def __init__(self, text: str):
        self._text = text
        self._folded, self._starts = _folded(text)

    def find(self, quote: str) -> str:
        """The page's own words for a quote; "" if it does not stand there.

        A quote may come in quotation marks of its own, or with an ellipsis at its ends.
        """
        folded = _folded(quote)[0].strip()
        return self._place(folded) or self._place(_WRAPPING.sub("", folded))

    def _place(self, folded: str) -> str:
        at = self._folded.find(folded) if folded else -1
        if at < 0:
            return ""
        return self._text[self._starts[at] : self._starts[at + len(folded)]].strip()


def _folded(text: str) -> tuple[str, "range | list[int]"]:
    """The text as it is compared; and where each of its characters stands in the text, and where the text ends."""
    if not _ODDITIES.search(text):
        return text, range(len(text) + 1)
    folded: list[str] = []
    starts: list[int] = []
    for start, part in _parts(text):
        folded.append(part)
        starts += [start] * len(part)
    return "".join(folded), [*starts, len(text)]


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """Start and folded form of every space and of every character with its accents."""
    for cluster in _CLUSTER.finditer(text):
        shown = cluster.group()
        if shown.isspace():
            yield cluster.start(), " "
        elif shown not in _INVISIBLE:
            plain = "".join(_FOLDED.get(char, char) for char in shown)
            yield cluster.start(), unicodedata.normalize("NFKC", plain)
