"""Statements on any site: a sentence that says something about the one thing it links to, and can stand alone.

On an arbitrary page relations cannot be parsed safely, but a sentence with a link still knows an answer: the name
behind the link. Where the sentence is *about* that name ("The shutil module offers …"), it becomes a question ("Which
module offers …?") and a description ("the module that offers …"). Elsewhere it is not asked about: a sentence with a
blank in it is no question that anyone has.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from webdancer_cli.data.records import Page
from webdancer_cli.synthesis.standalone import (
    count_telling_words,
    has_stray_verb,
    is_ephemeral,
    is_gloss,
    is_name,
    shares_telling_word,
    stands_alone,
    word_set,
)
from webdancer_cli.text.spacing import fold, squeeze
from webdancer_cli.text.words import sentence_spans
from webdancer_cli.web import urls

Form = Literal["about", "gloss"]
FORMS = get_args(Form)
"""How a statement asks, best first."""

BLANK = "____"
MIN_TELLING_WORDS = 5
LEAD_CHARS, LEAD_SENTENCES = 2500, 8

KINDS = (
    "module|function|class|method|package|command|exception|attribute|type|statement|option|program|protocol|format|"
    "library|tool|file|variable|macro|structure|operator|keyword|error|constant|decorator|interface|extension|"
    "algorithm|routine|opcode|object|language|system|company|person|town|city|country|river|book|film|term|feature|clause|pragma|setting|"
    "view|parameter|directive|directory|utility|daemon|catalog|table|script|framework|distribution|header|hook|flag|field"
)
_SOME_KIND = re.compile(rf"(?:{KINDS})e?s?$")
_ABOUT_KIND = re.compile(rf"^(?:The|An?) {BLANK} (?P<kind>{KINDS}) (?P<predicate>.+)$")
_ABOUT_NAME = re.compile(rf"^{BLANK} (?P<predicate>.+)$")
_ABOUT_APPOSITION = re.compile(rf"^The (?P<kind>{KINDS}) {BLANK} (?P<predicate>.+)$")
_WITHIN = re.compile(
    rf"\bthe {BLANK} (?P<kind>{KINDS}), which "
    r"(?P<predicate>(?!you|we|they|it|the|an?)[^,;:()]{20,})\.$"
)
_GLOSSED = re.compile(r"(?P<name>\S+(?: \S+){0,2}) [—–-] (?P<gloss>\S+(?: \S+){2,11})$")
_VERB = re.compile(r"(?:is|was|can|has|does|lets|[a-z]{3,}s)$")
_NO_VERBS = (
    "objects instances subclasses values arguments this users programs applications strings names sometimes always"
)
_RAMBLING = re.compile(
    rf"{BLANK}|;|[a-z]: |\bbecause\b|\bboth,|\bdepending$"
    r"|\bin the sense\b"
    r"|^(?:is|was) (?:about|another|one of|similar|the same|also|not|only|still|now|to|of|much|like|just)\b"
    r"|^(?:is|was) an? [a-z]+ or an? "
    r"|^(?:can|could|do|does|is|are|was|were|has|have|may|must|should|will) ?not\b"
    r"|^(?:has|have) (?:also )?(?:received|gained|been (?:significantly|mostly))\b"
    r"|^(?:has|have) (?:also )?been (?:adapted|updated|improved|extended|reworked)\b(?! to\b)"
    r"|^(?:can|does|may|must|should)(?: not| also| only)? do\b|\bcertain\b|\ban? (?:[a-z]+ )?an? "
    r"|, (?:and|but|so|while|yet) (?:the|an?|this|that|is|you|we|now|it|they)\b|\btherefore\b"
    r"|^(?:has|contains|performs|includes|provides|defines|offers|supports) (?:two|three|four|five|six|several)\b"
    r"|, (?:and )?so (?:it|that|the|you)\b|\bso it(?:['’]s| is)\b"
    r"|\b(?:now|still|no longer|newly|recently|anymore|we|us|our|you|your)\b"
    r"|\bthe (?:appropriate|specific|given|corresponding|specified|resulting|current) |[“\"(]$"
)
"""What drifts off, says how a thing differs from one that is not named, or is no English to begin with."""
_JUDGES = re.compile(
    r"^(?:is|was) (?:an?|the|one of the) (?:(?:very|most|more|quite|rather|truly|highly) )*"
    r"(?:[a-z-]+,? (?:and )?)?(?:elegant|mature|popular|efficient|powerful|excellent|good|great|nice|useful|handy|"
    r"convenient|easy|simple|modern|"
    r"flexible|robust|lightweight|interesting|important|famous|typical|young|well-known|good-looking|best|better|easiest|"
    r"simplest|quick|fast|reliable|complex|useful|common|natural)\b"
    r"|\b(?:(?:dis)?advantages?|benefits?|drawbacks?|downsides?|also)\b"
    r"|^(?:is|was) (?:an?|the) (?:(?:default|maximum|minimum|total|current|initial|exact) )*"
    r"(?:number|value|size|amount|length|maximum|minimum|default|time|count|sum|result|name|list|version|type|one|same|"
    r"opposite|equivalent|pid|PID|ID|id|identifier|index|offset|missing link|heart|backbone|cornerstone|key to)\b"
    r"|\boften used\b|\bfor completeness\b|\bmore (?:hints|information|details|examples)\b"
    r"|\b(?:very|really|quite|pretty|too|much (?:more|better|easier))\b|\bexcept\b"
    r"|^(?:is|was) (?:[a-z]+ly )?(?:free|good|useful|nice|easy|important|necessary|helpful|great)\b"
    r"|^(?:is|was) (?:an?|the) (?:attempt|collection|way|thing|kind|sort|part|lot|bit|matter|choice|case|idea)\b"
)
"""What is a matter of taste, or fits so many things that it tells none of them."""
_POINTS_ON = re.compile(
    r"(?:is|are|was|were) (?:\w+ )?(?:documented|described|discussed|explained|covered|mentioned|listed|shown|detailed|"
    r"provided|presented|introduced|outlined|summari[sz]ed|reproduced|given|intended|designed|meant|expected)\b"
    r"|(?:describes|explains|discusses|documents|covers|introduces|presents|illustrates|outlines|deserves|helps)\b"
)
"""What says where to read on, and nothing of the thing itself."""
_OF_WORDS = re.compile(r"[A-Z][a-z]+(?: (?:[A-Z]?[a-z]+|[A-Z]{2,}))*")
"""A heading, as a menu has it, and no name: "Bug reporting — View and report …"."""
_ON_READING = re.compile(
    r"(?i)\b(?:documentation|documents?|documented|reference|overview|tutorials?|introduction|guides?|chapters?|manual|"
    r"notes|describ\w+|explains?|explanations?|discuss\w*|read|version \d|v\d)\b"
)
"""Of what can be read on a page, and not of what it is about."""
MIN_PREDICATE_WORDS = 4
MAX_HANDY_WORDS = 22
THIRD_PERSONS = word_set(
    "accepts activates adds allows applies calculates changes checks compares compiles computes configures connects"
    " contains controls converts copies counts creates decides defines deletes describes determines disables displays"
    " enables encodes ensures establishes executes fetches generates gives governs handles holds identifies implements"
    " includes increases indicates initializes inserts installs invokes keeps lets limits lists loads lowers maintains"
    " manages maps marks measures modifies monitors moves offers opens overrides parses performs prevents prints"
    " produces provides reads rebuilds reduces registers releases removes renames replaces reports represents requires"
    " resets restores restricts retrieves returns runs saves searches selects sends sets shows sorts specifies splits"
    " starts stops stores supports suppresses takes tells tests tracks transfers translates triggers turns updates uses"
    " validates verifies waits warns writes"
)
"""Verbs of manuals that can be nothing else after a name."""
_NOUN_AFTER_ALL = re.compile(
    r"[a-z]+s (?:can|could|may|might|must|will|would|should|are|is|were|was|have|has|do|does)\b"
)
"""A plural where a verb was looked for: "WAL databases can be accessed"."""
_DEFINED = re.compile(r"(?:is|was) (?:an?|the) ((?!most|best|same|only|first|example|kind|subclass)[a-z].+)$")


@dataclass(frozen=True, slots=True)
class Statement:
    """What ``quote`` says of ``answer`` (page ``target``).

    ``question`` asks for the answer and begins in lower case: "which module offers …", for a gloss "what is described
    as “…”". ``description`` is a noun phrase for the answer: "the module that offers …", or the gloss in quotation
    marks; "" if there is none.
    """

    target: str
    answer: str
    quote: str
    question: str
    description: str = ""
    form: Form = "about"

    @property
    def gloss(self) -> str:
        """The gloss without its quotation marks; "" unless the description is one."""
        return self.description.strip("“”") if self.form == "gloss" else ""


def read_statements(page: Page, name: str, about: str = "") -> list[Statement]:
    """The statements of a page about ``name``, in page order, each answer once, and a gloss apart.

    Better forms win. With ``about``, a URL key, only what is said of that page.
    """
    text = squeeze(page.text)
    best: dict[tuple[str, bool], Statement] = {}
    is_index = re.search(r"\bindex\b", name, re.IGNORECASE) is not None
    for statement in _all_statements(page, name, about):
        if is_index and statement.gloss[:1].islower():
            continue  # "Messages - header, definition of"
        slot = fold(statement.answer), statement.form == "gloss"
        better = slot not in best or FORMS.index(statement.form) < FORMS.index(best[slot].form)
        if better and statement.quote in text:
            best[slot] = statement
    return list(best.values())


def _all_statements(page: Page, name: str, about: str) -> Iterator[Statement]:
    if not about or urls.page_key(page.url) == about:
        yield from _own_statements(page, name)
    yield from _entries(page, about)
    for link in page.links:
        target = urls.page_key(link.url)
        if link.sentence and (not about or target == about):
            yield from _linked_statements(squeeze(link.sentence), squeeze(link.text), target)


def _own_statements(page: Page, name: str) -> Iterator[Statement]:
    """What title and lead of a page say of the page's own subject."""
    if not is_name(name):
        return
    own = urls.page_key(page.url)
    plain_name = name.partition("(")[0]
    for start, end in list(sentence_spans(page.text[:LEAD_CHARS]))[:LEAD_SENTENCES]:
        sentence = squeeze(page.text[start:end])
        if sentence.startswith(f"{plain_name} "):
            yield from _glossed(sentence, sentence, own, plain_name)
        statement = statement_about(sentence, name, own) if stands_alone(sentence, name) else None
        if statement:
            yield statement


def _entries(page: Page, about: str) -> Iterator[Statement]:
    """Links that stand on a line of their own, and are explained on the next one, as in an index of commands."""
    lines = [line.strip() for line in page.text.splitlines() if line.strip()]
    explained = {line.removeprefix("- "): after for line, after in pairwise(lines)}
    names = {squeeze(link.text) for link in page.links}
    for link in page.links:
        name, target = squeeze(link.text), urls.page_key(link.url)
        after = explained.get(name, "") if not about or target == about else ""
        is_heading = all(word[0].isupper() for word in after.split() if len(word) > 3)
        if after and after.removeprefix("- ") not in names and not is_heading and 3 <= len(after.split()) <= 14:
            gloss = after.removeprefix("- ")
            yield from _glossed(f"{name} — {gloss}", f"{name} {after}", target, name)


def _linked_statements(sentence: str, anchor: str, target: str) -> Iterator[Statement]:
    yield from _glossed(anchor, sentence, target)
    if sentence.startswith(f"{anchor} "):
        yield from _glossed(sentence, sentence, target, anchor)
    if is_name(anchor) and stands_alone(sentence, anchor) and (statement := statement_about(sentence, anchor, target)):
        yield statement


def _glossed(text: str, quote: str, target: str, name: str = "") -> Iterator[Statement]:
    """ "shutil — High-level file operations", in a title or a table of contents.

    Only what is known to be a ``name`` may be explained in lower case.
    """
    found = _GLOSSED.match(text)
    if found and "".join(word[0] for word in found["gloss"].split()).casefold() == found["name"].casefold():
        return  # "abc — Abstract Base Classes"
    if found and (_ON_READING.search(found["gloss"]) or _OF_WORDS.fullmatch(found["name"])):
        return
    capital = found and (found["gloss"][0].isupper() or (found["name"] == name and found["gloss"][0].islower()))
    if found and capital and is_name(found["name"]) and is_gloss(found["gloss"], found["name"]):
        gloss = f"“{found['gloss'].rstrip('.')}”"
        yield Statement(target, found["name"], quote, f"what is described as {gloss}", gloss, "gloss")


def statement_about(sentence: str, anchor: str, target: str) -> Statement | None:
    """The statement that a sentence makes of its anchor; None if the rest gives the anchor away or says too little."""
    pattern = re.compile(rf"(?<![\w.]){re.escape(anchor)}(?![\w(])")
    if len(pattern.findall(sentence)) != 1:
        return None
    blanked = pattern.sub(BLANK, sentence)
    if " - " in anchor:
        return None  # a title with its gloss
    if shares_telling_word(blanked, anchor) or count_telling_words(blanked) < MIN_TELLING_WORDS:
        return None
    question, description = _about(blanked, anchor)
    return Statement(target, anchor, sentence, question, description) if question else None


def _about(blanked: str, anchor: str) -> tuple[str, str]:
    """Question and description, if the sentence is about the blank."""
    found = _ABOUT_KIND.match(blanked) or _ABOUT_APPOSITION.match(blanked)
    if found:
        return _asked(found["kind"], found["predicate"].rstrip(". "))
    if found := _ABOUT_NAME.match(blanked):
        return _asked(_kind_by_form(anchor), found["predicate"].rstrip(". "))
    found = _WITHIN.search(blanked)
    return _asked(found["kind"], found["predicate"]) if found else ("", "")


def is_handy(phrase: str) -> bool:
    """Whether a phrase may stand in the middle of a question and the reader still knows where it ends."""
    return len(phrase.split()) <= MAX_HANDY_WORDS and phrase.count(",") <= 1 and not re.search(r"[:;(]", phrase)


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
    if not _VERB.match(first) or first in _NO_VERBS.split() or _SOME_KIND.match(first) or _RAMBLING.search(predicate):
        return "", ""
    if has_stray_verb(predicate) or _JUDGES.search(predicate) or _POINTS_ON.match(predicate):
        return "", ""
    if _NOUN_AFTER_ALL.match(predicate) or count_telling_words(predicate) < MIN_PREDICATE_WORDS:
        return "", ""
    defines = not is_ephemeral(predicate) and is_handy(predicate)
    if kind:
        return f"which {kind} {predicate}", f"the {kind} that {predicate}" if defines else ""
    defined = _DEFINED.match(predicate)
    if defined and defines:
        return f"what is the name of the {defined[1]}", f"the {defined[1]}"
    return f"what {predicate}", ""
