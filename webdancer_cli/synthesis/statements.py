"""Statements on any site: a sentence that says something about the one thing it links to, and can stand alone.

On an arbitrary page relations cannot be parsed safely, but a sentence with a link still knows an answer: the name
behind the link. Where the sentence is *about* that name ("The shutil module offers …"), it becomes a question ("Which
module offers …?") and a description ("the module that offers …"). Elsewhere it can only be a cloze, and only where the
words around the blank say what kind of thing is wanted.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from webdancer_cli.records import Page
from webdancer_cli.synthesis.checks import fold, squeeze
from webdancer_cli.synthesis.standing import (
    gives_away,
    is_name,
    is_passing,
    leans_on_context,
    stands_alone,
    telling_words,
)
from webdancer_cli.web import urls
from webdancer_cli.web.words import sentence_spans

Form = Literal["about", "cloze", "blank", "gloss"]
FORMS = get_args(Form)
"""How a statement asks, best first; a blank is a cloze whose surroundings do not say what kind of thing is wanted."""

BLANK = "____"
MIN_TELLING_WORDS = 5
LEAD_CHARS, LEAD_SENTENCES = 2500, 8

_KIND = (
    "module|function|class|method|package|command|exception|attribute|type|statement|option|program|protocol|format|"
    "library|tool|file|variable|macro|structure|operator|keyword|error|constant|decorator|interface|extension|algorithm|routine|"
    "opcode|object|language|system|company|person|town|city|country|river|book|film|term|feature|clause|pragma|page|guide|setting"
)
_KINDS = re.compile(rf"(?:{_KIND})e?s?$")
_ABOUT_KIND = re.compile(rf"^(?:The|An?) {BLANK} (?P<kind>{_KIND}) (?P<predicate>.+)$")
_ABOUT_NAME = re.compile(rf"^{BLANK} (?P<predicate>.+)$")
_ABOUT_APPOSITION = re.compile(rf"^The (?P<kind>{_KIND}) {BLANK} (?P<predicate>.+)$")
_GUIDED = re.compile(rf"\b(?:the|an?) {BLANK} (?P<kind>{_KIND})\b")
_IN_SERIES = re.compile(rf"{BLANK}(?:,| and| or)|(?:,|\band|\bor)(?: the| an?)? {BLANK}")
_GLOSSED = re.compile(r"(?P<name>\S+(?: \S+){0,2}) [—–-] (?P<gloss>[A-Z]\S+(?: \S+){2,11})$")
_VERB = re.compile(r"(?:is|was|can|has|does|lets|[a-z]{3,}s)$")
_NO_VERBS = (
    "objects instances subclasses values arguments this users programs applications strings names sometimes always"
)
_RAMBLING = re.compile(rf"{BLANK}|;|^is another\b|\bbecause\b")
_DEFINED = re.compile(r"(?:is|was) (?:an?|the) ((?!most|best|same|only|first|example|kind|subclass)[a-z].+)$")


@dataclass(frozen=True, slots=True)
class Statement:
    """What ``quote`` says of ``answer`` (page ``target``).

    ``question`` asks for the answer and begins in lower case: "which module offers …"; for a cloze "which class fills
    the blank in “…”"; for a gloss "what is described as “…”". ``description`` is a noun phrase for the answer: "the
    module that offers …", or the gloss in quotation marks; "" if there is none.
    """

    target: str
    answer: str
    quote: str
    question: str
    description: str = ""
    form: Form = "about"


def read_statements(page: Page, name: str, about: str = "") -> list[Statement]:
    """The statements of a page about ``name``, in page order, each answer once, and a gloss apart.

    Better forms win. With ``about``, a URL key, only what is said of that page.
    """
    text = squeeze(page.text)
    best: dict[tuple[str, bool], Statement] = {}
    for statement in _all_statements(page, name, about):
        slot = fold(statement.answer), statement.form == "gloss"
        better = slot not in best or FORMS.index(statement.form) < FORMS.index(best[slot].form)
        if better and statement.quote in text:
            best[slot] = statement
    return list(best.values())


def _all_statements(page: Page, name: str, about: str) -> Iterator[Statement]:
    if not about or urls.key(page.url) == about:
        yield from _own_statements(page, name)
    for link in page.links:
        target = urls.key(link.url)
        if link.sentence and (not about or target == about):
            yield from _linked_statements(squeeze(link.sentence), squeeze(link.text), target)


def _own_statements(page: Page, name: str) -> Iterator[Statement]:
    """What title and lead of a page say of the page's own subject."""
    if not is_name(name):
        return
    own = urls.key(page.url)
    plain_name = name.partition("(")[0]
    for start, end in list(sentence_spans(page.text[:LEAD_CHARS]))[:LEAD_SENTENCES]:
        sentence = squeeze(page.text[start:end])
        if sentence.startswith(plain_name):
            yield from _glossed(sentence, sentence, own)
        statement = state(sentence, name, own) if stands_alone(sentence, name) else None
        if statement and statement.form == "about":
            yield statement


def _linked_statements(sentence: str, anchor: str, target: str) -> Iterator[Statement]:
    yield from _glossed(anchor, sentence, target)
    if is_name(anchor) and stands_alone(sentence, anchor) and (statement := state(sentence, anchor, target)):
        yield statement


def _glossed(text: str, quote: str, target: str) -> Iterator[Statement]:
    """ "shutil — High-level file operations", in a title or a table of contents."""
    found = _GLOSSED.match(text)
    if found and is_name(found["name"]) and not gives_away(found["gloss"], found["name"]):
        gloss = f"“{found['gloss'].rstrip('.')}”"
        yield Statement(target, found["name"], quote, f"what is described as {gloss}", gloss, "gloss")


def state(sentence: str, anchor: str, target: str) -> Statement | None:
    """The statement that a sentence makes of its anchor; None if the rest gives the anchor away or says too little."""
    pattern = re.compile(rf"(?<![\w.]){re.escape(anchor)}(?![\w(])")
    if len(pattern.findall(sentence)) != 1:
        return None
    blanked = pattern.sub(BLANK, sentence)
    if gives_away(blanked, anchor) or telling_words(blanked) < MIN_TELLING_WORDS:
        return None
    question, description = _about(blanked, anchor)
    if question:
        return Statement(target, anchor, sentence, question, description)
    if _IN_SERIES.search(blanked) or leans_on_context(blanked):
        return None
    guided = _GUIDED.search(blanked)
    asked = f"which {guided['kind']}" if guided else "what"
    return Statement(
        target, anchor, sentence, f"{asked} fills the blank in “{blanked}”", form="cloze" if guided else "blank"
    )


def _about(blanked: str, anchor: str) -> tuple[str, str]:
    """Question and description, if the sentence is about the blank."""
    found = _ABOUT_KIND.match(blanked) or _ABOUT_APPOSITION.match(blanked)
    if found:
        return _asked(found["kind"], found["predicate"].rstrip(". "))
    found = _ABOUT_NAME.match(blanked)
    return _asked(_kind_by_form(anchor), found["predicate"].rstrip(". ")) if found else ("", "")


def _kind_by_form(anchor: str) -> str:
    """What the spelling of a name says: ``open()`` is a function."""
    if anchor.endswith("()"):
        return "method" if re.search(r"[A-Za-z_]\.\w+\(\)$", anchor) and anchor[0].isupper() else "function"
    if re.search(r"(?:Error|Exception|Warning)$", anchor):
        return "exception"
    return ""


def _asked(kind: str, predicate: str) -> tuple[str, str]:
    """Question and description for "the ``kind`` ``predicate``"; "" unless the predicate opens with a verb."""
    first = predicate.split(" ", 1)[0]
    if not _VERB.match(first) or first in _NO_VERBS.split() or _KINDS.match(first) or _RAMBLING.search(predicate):
        return "", ""
    defines = not is_passing(predicate)
    if kind:
        return f"which {kind} {predicate}", f"the {kind} that {predicate}" if defines else ""
    defined = _DEFINED.match(predicate)
    if defined and defines:
        return f"what is the name of the {defined[1]}", f"the {defined[1]}"
    return f"what {predicate}", ""
