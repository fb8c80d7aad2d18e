"""Where a name begins and ends in a text, in scripts with spaces between words and in those without."""

import re

_WITHOUT = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"  # Japanese, Chinese
    "\uac00-\ud7af"  # Korean has spaces, but none between a noun and its particles
)
_UNSPACED = re.compile(f"[{_WITHOUT}]")
START, END = rf"(?<![^\W{_WITHOUT}])", rf"(?![^\W{_WITHOUT}])"
"""No letter stands before, and after, that could belong to the same word."""


def has_unspaced(text: str) -> bool:
    """Whether a text has letters of a script that puts no spaces between words."""
    return not text.isascii() and _UNSPACED.search(text) is not None


def whole_word_pattern(name: str) -> str:
    """A pattern that finds a name as whole words. A name that ends in a script without spaces ends there anyhow."""
    start = "" if has_unspaced(name[:1]) else START
    end = "" if has_unspaced(name[-1:]) else END
    return f"{start}{re.escape(name)}{end}"
