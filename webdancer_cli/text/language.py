"""Which language a text is in, by py3langid: letter statistics, which need a few sentences."""

import py3langid

SAMPLE_CHARS = 2000
FEWEST_CHARS = 60
"""Of a shorter text one cannot tell."""


def language_of(text: str) -> str:
    """The ISO 639-1 code of a text's language, from its beginning; "" when it is too short to tell."""
    if len(text) < FEWEST_CHARS:
        return ""
    return str(py3langid.classify(text[:SAMPLE_CHARS])[0])
