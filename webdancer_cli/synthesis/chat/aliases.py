"""What else an entity is called: where one of these is left, the entity is not hidden."""

import re
from collections.abc import Iterable

from webdancer_cli.data.records import Page
from webdancer_cli.synthesis.page_topic import page_name
from webdancer_cli.text.names import mentions, whole_words
from webdancer_cli.text.spacing import fold
from webdancer_cli.text.words import STOPWORDS, sentence_spans

_GLOSS = re.compile(r"\s*\([^)]*\)")
_WORD = re.compile(r"[^\W_][\w’'-]*")
_ALSO = re.compile(r"(?:\b(?:known as|called)|\bor simply) (?:the )?[“\"]?")
_NAME = re.compile(r"[^\W\d_][\w’'-]*(?: (?:of |the |de |von |van )?[^\W\d_][\w’'-]*)*")
LEAD_CHARS = 1000


def is_about(page: Page, entity: str) -> bool:
    """Whether a page is about the entity: its title names it and nothing else, but for a gloss or the site's name."""
    return fold(entity) in {fold(title) for title in _titles(page)}


def entity_names(entity: str, pages: Iterable[Page]) -> set[str]:
    """The entity's name and its variants: titles of its pages and what their leads call it too, and its initials."""
    homes = [page for page in pages if is_about(page, entity)]
    whole = {entity, *(title for page in homes for title in _titles(page))}
    whole |= {called for page in homes for called in _also_called(page.text)}
    return whole | {initials for name in whole if (initials := _initials(name))}


def is_named(text: str, name: str) -> bool:
    """Whether a text names it; initials must be capitals, or "IT" would stand in every other sentence."""
    if name.isupper():
        return re.search(whole_words(name), text) is not None
    return mentions(text, name)


def remaining_name(entity: str, variants: Iterable[str], before: str, after: str) -> str:
    """The first name by which a question still names the entity that it named ``before``; "" if there is none.

    A single word of a name (a surname) counts where it is capitalised and did not stand elsewhere in the question.
    """
    if named := next((name for name in sorted(variants) if is_named(after, name)), ""):
        return named
    others = set(_WORD.findall(re.sub(re.escape(entity), " ", before, flags=re.IGNORECASE)))
    parts = [word for word in _WORD.findall(entity) if word[0].isupper() and word.casefold() not in STOPWORDS]
    shown = set(_WORD.findall(re.sub(r"['’]s\b", "", after)))
    return next((word for word in parts if len(word) > 2 and word in shown - others), "")


def _titles(page: Page) -> set[str]:
    """A title whole, without its gloss, and without the site's name."""
    title = page.title.strip()
    found = {title, page_name(title), _GLOSS.sub("", title).strip(), _GLOSS.sub("", page_name(title)).strip()}
    return {name for name in found if name}


def _also_called(text: str) -> set[str]:
    """PageNames in the lead after "also known as" and the like."""
    _, end = next(sentence_spans(text[:LEAD_CHARS]), (0, 0))
    lead = text[:end]
    names = (_NAME.match(lead, found.end()) for found in _ALSO.finditer(lead))
    return {name.group() for name in names if name and name.group()[0].isupper()}


def _initials(name: str) -> str:
    """ "WHO" for the World Health Organization; of two words or more."""
    capitals = [word[0] for word in _WORD.findall(name) if word[0].isupper()]
    return "".join(capitals) if len(capitals) > 1 else ""
