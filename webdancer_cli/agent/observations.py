"""What search results list, and what a page showed of a quote."""

import re

from webdancer_cli.text.names import mentions
from webdancer_cli.text.words import sentences


def title_in_results(results: str, url: str) -> str | None:
    """The title under which search results list a URL, or None."""
    line = next((line for line in results.splitlines() if f"]({url})" in line), None)
    return None if line is None else line.partition(f"]({url})")[0].partition("[")[2]


def parse_results(results: str) -> list[tuple[str, str]]:
    """The titles and URLs of search results."""
    return re.findall(r"^\d+\. \[(.*)\]\((\S+)\)$", results, re.MULTILINE)


def shown_excerpt(shown: str, quote: str, key: str) -> str | None:
    """The quote, if it was shown; failing that its sentence with the key, if that was; else None. On one line."""
    seen, whole = " ".join(shown.split()), " ".join(quote.split())
    if whole and whole in seen:
        return whole
    parts = (" ".join(sentence.split()) for sentence in sentences(quote) if mentions(sentence, key))
    return next((part for part in parts if part in seen), None)
