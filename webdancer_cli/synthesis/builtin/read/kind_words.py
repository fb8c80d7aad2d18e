"""By which common nouns a page may call its subject: "the lake", "the treaty", "the Echo"."""

import re

from webdancer_cli.synthesis.page_topic import Topic

_COMPANIES = "company|firm|business|manufacturer|corporation|enterprise"
SHIPS = "ship|steamship|frigate|liner|vessel|ferry|schooner|destroyer|barque|trawler|cruiser|yacht|submarine|battleship"
_SYNONYMS = {
    "novel": "novel|book", "mountain": "mountain|peak", "film": "film|movie", "railway": "railway|line",
    "newspaper": "newspaper|paper", "airline": "airline|company", "law": "law|act", "act": "act|law",
    **{ship: f"{ship}|ship|vessel" for ship in SHIPS.split("|")},
}  # fmt: skip


def certain_kind(topic: Topic, text: str) -> str:
    """A pattern for "lake" in "the lake", where no other lake is spoken of; "" if there is one."""
    if topic.person:
        return ""
    first, of, _ = topic.name.partition(" of ")
    own = (first if of else topic.name).split()[-1:]
    rest = text.replace(topic.name, "")
    kinds = [topic.kind, *(word.lower() for word in own if topic.name != word)]
    said = [kind for kind in dict.fromkeys(filter(None, kinds)) if _is_only(kind, topic, rest)]
    patterns = [_COMPANIES if kind in _COMPANIES.split("|") else _SYNONYMS.get(kind, re.escape(kind)) for kind in said]
    patterns += [re.escape(word) for word in own if _is_short_name(word, topic, rest)]
    return f"(?:{'|'.join(patterns)})" if patterns else ""


def _is_only(kind: str, topic: Topic, rest: str) -> bool:
    """Whether the page speaks of one such thing: its own. ``rest`` is its text without the name."""
    own, title, kind = kind == topic.kind, re.escape(kind.capitalize()), re.escape(kind)
    others = (
        rf"\b[A-Z][a-z]+ {title}\b(?! [A-Z])|\b{title} (?:of )?[A-Z]"
        rf"|\b(?:another|other|second|new|each|every) {kind}\b"
        rf"|\b{kind}e?s\b"
    )
    return re.search(others, rest) is None and (own or re.search(rf"\b[Tt]he {kind}\b", rest) is not None)


def _is_short_name(word: str, topic: Topic, rest: str) -> bool:
    """Whether the page calls its subject "the Echo", and nothing else by that word."""
    return (
        len(topic.name.split()) > 1
        and word[0].isupper()
        and re.search(rf"\b[Tt]he {re.escape(word)}\b(?! [A-Z])", rest) is not None
        and re.search(rf"\b(?!The\b)[A-Z][\w.-]* {re.escape(word)}\b", rest) is None
    )
