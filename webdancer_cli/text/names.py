"""Where a name begins and ends in a text, in scripts with spaces between words and in those without."""

import re

from webdancer_cli.text.scripts import HAN_AND_KANA, HANGUL, SOUTHEAST_ASIAN
from webdancer_cli.text.spacing import fold

_WITHOUT = f"{SOUTHEAST_ASIAN}{HAN_AND_KANA}{HANGUL}"
_UNSPACED = re.compile(f"[{_WITHOUT}]")
_START, _END = rf"(?<![^\W{_WITHOUT}])", rf"(?![^\W{_WITHOUT}])"
"""No letter stands before, and after, that could belong to the same word."""


def has_unspaced(text: str) -> bool:
    """Whether a text has letters of a script that puts no spaces between words."""
    return not text.isascii() and _UNSPACED.search(text) is not None


def whole_words(name: str) -> str:
    """A pattern that finds a name as whole words. A name that ends in a script without spaces ends there anyhow."""
    start = "" if has_unspaced(name[:1]) else _START
    end = "" if has_unspaced(name[-1:]) else _END
    return f"{start}{re.escape(name)}{end}"


def mentions(text: str, name: str) -> bool:
    """Whether a name stands in a text as whole words, in any case; in Chinese, Japanese and the like, wherever."""
    name, text = fold(name), fold(text)
    return bool(name) and name in text and re.search(whole_words(name), text) is not None
