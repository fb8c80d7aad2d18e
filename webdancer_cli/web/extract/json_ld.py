"""The text of an article that stands in the data for machines (JSON-LD, schema.org), where the markup shows none."""

import html
import json
import re
from collections.abc import Iterator
from typing import Any

from selectolax.lexbor import LexborHTMLParser

from webdancer_cli.text.surrogates import mend_surrogates
from webdancer_cli.web.extract.blocks import blocks_of

_TEXTS = ("articleBody", "text", "recipeIngredient")
"""What holds text that a reader is meant to see."""
_NAMED = frozenset(["Question", "HowToSection", "HowToStep"])
"""Of these the name is a part of the text."""
_OTHERS = frozenset(["comment", "review", "publisher", "isPartOf", "hasPart", "author", "relatedLink"])
"""What other people or other pages say."""
_WRAPPING = re.compile(r"^\s*(?://\s*)?(?:<!--|<!\[CDATA\[)|(?://\s*)?(?:-->|\]\]>)\s*$")
_TAG = re.compile(r"</?[a-z][^<>]*>", re.IGNORECASE)
DEEPEST_VALUE = 30


def structured_text(tree: LexborHTMLParser) -> str:
    """The texts of all JSON-LD of a document, in its order, each once; "" if there are none."""
    found: dict[str, None] = {}
    for script in tree.css('script[type^="application/ld+json" i]'):
        for text in _texts(_decode(script.text()), 0):
            found.setdefault(_plain(text))
    return "\n".join(filter(None, found))


def _decode(text: str) -> Any:
    """The value; None for what is no JSON. Line ends inside strings, which JSON forbids, are common."""
    text = _WRAPPING.sub("", _WRAPPING.sub("", text))
    for attempt in (text, html.unescape(text)):
        try:
            return json.loads(attempt, strict=False)
        except (ValueError, RecursionError):
            continue
    return None


def _texts(value: Any, depth: int) -> Iterator[str]:
    if depth > DEEPEST_VALUE:
        return
    if isinstance(value, list):
        for item in value:
            yield from _texts(item, depth + 1)
    elif isinstance(value, dict):
        kinds = value.get("@type")
        if _NAMED & {kind for kind in (kinds if isinstance(kinds, list) else [kinds]) if isinstance(kind, str)}:
            yield from _strings(value.get("name"))
        for name, item in value.items():
            if name in _TEXTS:
                yield from _strings(item)
            elif name not in _OTHERS:
                yield from _texts(item, depth + 1)


def _strings(value: Any) -> Iterator[str]:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            yield from _strings(item.get("@value"))


def _plain(text: str) -> str:
    """Without markup and entities, a line for each paragraph."""
    if _TAG.search(text):
        return "\n".join(block.text for block in blocks_of(LexborHTMLParser(mend_surrogates(text))) if block.text)
    lines = (" ".join(line.split()) for line in mend_surrogates(html.unescape(text)).splitlines())
    return "\n".join(filter(None, lines))
