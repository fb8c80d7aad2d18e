"""The entities of a question: which spans name something, and how a span gives way to a noun phrase."""

import re
from collections.abc import Iterator

from webdancer_cli.data.records import QA
from webdancer_cli.synthesis.builtin.read.statements import KINDS
from webdancer_cli.synthesis.page_topic import page_name
from webdancer_cli.text.names import mentions
from webdancer_cli.text.words import STOPWORDS

_SPAN = re.compile(
    r"(?<![\w’'])(?:[A-Z][\w’'-]*|[a-z_]+[._][\w.]+(?:\(\))?)"
    r"(?:(?: (?:of|the|de|la|von|van|and|in|for))? (?:[A-Z][\w’'-]*|[IVX]+|\d{1,4}\b))*"
)
_QUOTED = re.compile(r"[“\"]([^”\"]{2,60})[”\"]")
_QUESTION_WORDS = "who what which where when how in at by on of from under to according whose whom"
_PREDICATES = "born play live work found make win write release"
_ARTICLES = ("a", "an", "the", "each", "every", "any", "no", "this", "that", "its", "their", "new", "same")
_WITH_KIND = re.compile(rf"\bthe (?P<name>[\w.]+(?:\(\))?) (?P<kind>{KINDS})\b")
"""A name in lower case that its kind marks as one: "the readline module"."""


def replaceable_names(qa: QA) -> Iterator[str]:
    """PageNames in a question that may give way, the surest first: titles of evidence, quoted names, capitalised spans.

    Never the answer or a part of it, and only names that stand there once, as a noun of their own.
    """
    trusted = bool(qa.evidence)
    seen: set[str] = set()
    for name in _named(qa):
        if name in seen or any(mentions(name, answer) or mentions(answer, name) for answer in (qa.answer, *qa.aliases)):
            continue
        seen.add(name)
        if replace_name(qa.question, name, "something", trusted=trusted):
            yield name


def _named(qa: QA) -> Iterator[str]:
    for proof in qa.evidence:
        name = page_name(proof.title)
        if mentions(qa.question, name):
            yield name
    yield from (found[1] for found in _QUOTED.finditer(qa.question))
    bare = _QUOTED.sub("“”", qa.question)
    yield from (found["name"] for found in _WITH_KIND.finditer(bare) if len(found["name"]) > 2)
    spans = (found.group() for found in _SPAN.finditer(bare))
    yield from sorted((span for span in map(_without_opening, spans) if len(span) > 2), key=len, reverse=True)


def _without_opening(span: str) -> str:
    """A span without the question word that happens to be capitalised before it."""
    first, _, rest = span.partition(" ")
    return rest if first.casefold() in _QUESTION_WORDS.split() else span


def replace_name(question: str, name: str, phrase: str, *, trusted: bool = True) -> str:
    """The question with ``phrase`` for ``name``; "" where that would not be English.

    A quoted name loses its quotation marks; a name inside a longer quotation stays, since quotations are verbatim.
    Without ``trusted`` the words around the name must show that it is a noun phrase of its own.
    """
    places = list(re.finditer(rf"(?<![\w’'-]){re.escape(name)}(?![\w-])", question))
    if len(places) != 1:
        return ""
    start, end = places[0].span()
    before, after = question[:start], question[end:]
    if before.endswith(("“", '"')) and after.startswith(("”", '"')):
        before, after = _page_opening(before[:-1]), after[1:]
    elif trusted and before.endswith("the ") and phrase.startswith("the "):
        before, after = before.removesuffix("the "), _without_kind(after, phrase)
    elif before.count("“") > before.count("”") or before.count('"') % 2:
        return ""
    if not _fits(before, after, trusted):
        return ""
    if phrase.endswith(" located") and after.startswith(" located"):
        after = after.removeprefix(" located")
    return before + (phrase[0].upper() + phrase[1:] if not before else phrase) + after


def _without_kind(after: str, phrase: str) -> str:
    """What follows "the readline", without " module" if the phrase says "the module that …" itself."""
    kind = phrase.split()[1] if len(phrase.split()) > 1 else ""
    return re.sub(rf"^ {re.escape(kind)}(?!\w)", "", after) if kind else after


def _page_opening(before: str) -> str:
    """ "the page “argparse”" becomes "the page on …"."""
    return re.sub(r"\bthe page $", "the page on ", before)


def _fits(before: str, after: str, trusted: bool) -> bool:
    """Whether what stands around a name leaves room for a noun phrase: no article, no possessive, no longer name."""
    previous = before.split()[-1].casefold() if before.split() else ""
    following = re.match(r"\s*([\w’']*)", after)
    word = following[1] if following else ""
    if previous in _ARTICLES or after.startswith(("'s", "’s", "'", "’")) or re.match(r"\s[A-Z\d]", after):
        return False
    if trusted:
        return True
    fits_left = not previous or previous in STOPWORDS or previous.endswith((",", "ed"))
    return fits_left and (
        not word or word.casefold() in STOPWORDS or word in _PREDICATES.split() or word.endswith("ed")
    )
