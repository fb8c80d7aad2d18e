"""Facts on a page: a sentence that ties what the page is about to what it links to.

A fact has one of two forms. A *noun* relation reads "the mayor of Velmora is Dolvek" (noun ``mayor``); a *verb*
relation reads "Dolvek was born in Velmora" (verb ``was born in``). Both can be asked about, used as a description, and
chained (``wording``). A sentence that fits no pattern gives no fact: what is not understood is not asked.
"""

import re
from dataclasses import dataclass

from webdancer_cli.data.records import Page
from webdancer_cli.synthesis.page_topic import Topic
from webdancer_cli.text.spacing import squeeze
from webdancer_cli.web import urls

_AUXILIARIES = "is are was were has have had"
_PREPOSITIONS = "in at by of on from to with for under near into after along through beside"
AUXILIARIES = frozenset(_AUXILIARIES.split())
PREPOSITIONS = frozenset(_PREPOSITIONS.split())
VERB_WORDS_MAX = 6

SUBJECT, OBJECT = "\x01", "\x02"
"""Where the subject and the linked name stand in a sentence that is matched."""

_NOUN = r"(?P<noun>[a-z][a-z'-]*(?: [a-z][a-z'-]*){0,3})"
_VERB = rf"(?P<verb>[a-z][a-z'-]*(?: [a-z][a-z'-]*){{0,{VERB_WORDS_MAX - 1}}})"
_END = r"(?=$|[.,;:!?)]| (?:in|since|on|from|until|around) [^,;]*\d| and )"
_BE = r"(?:is|was|are|were)"
_PATTERNS = [
    re.compile(pattern)
    for pattern in (
        rf"^(?:[A-Z][\w ]+, )?[Tt]he {_NOUN} of {SUBJECT} {_BE} {OBJECT}{_END}",
        rf"^{SUBJECT}'s {_NOUN} {_BE} {OBJECT}{_END}",
        rf"^{OBJECT} {_BE} {SUBJECT}'s {_NOUN}{_END}",
        rf"^{OBJECT} (?:{_BE}|serves as|served as|has been) the {_NOUN} of {SUBJECT}{_END}",
        rf"^{SUBJECT} (?:has|had) {OBJECT} as its {_NOUN}{_END}",
        rf"^\|? ?(?P<row>[A-Z][a-z]+(?: [a-z]+){{0,2}}) ?[|:] ?{OBJECT} ?\|?$",
        rf"^{SUBJECT}(?: \([^)]*\))?,? {_VERB} {OBJECT}{_END}",
        rf"^{SUBJECT} .*,? and {_VERB} {OBJECT}{_END}",
        rf"^(?P<participle>[A-Z][a-z]+(?: [a-z]+){{0,2}}) {OBJECT}(?: in [^,]*\d)?, {SUBJECT} ",
    )
]
_PRONOUN = re.compile(r"^(?:(?P<person>[Hh]e|[Ss]he)|[Ii]t|[Tt]hey)(?= )")
_POSSESSIVE = re.compile(r"^(?:(?P<person>His|Her)|Its|Their)(?= )")
_DATE = r"(?:\d{1,2} [A-Z][a-z]+ |[A-Z][a-z]+ \d{1,2}, )?\d{4}"
_WHEN = re.compile(rf"^(?:In|On|By|Since|Around) [^,;]*?\d{{4}},? |(?<=.) (?:on|in|since|around) {_DATE}\b")
"""Dates stand between a verb and its object, and change nothing."""
_PLACES = "city town village region country state county province district"
_SAID_BY_VERBS = {
    **dict.fromkeys(_PLACES.split(), "is located in"),
    "river": "lies on",
    "mouth": "flows into",
    "source region": "rises in",
    "depicted city": "depicts",
}
"""Nouns of tables for which a verb is the better English: one lives in a region, and has none."""
_BLUNT = """
    not that which who whom whose because may might can could would should will than as but its
    his her their it he she they
"""
_POINTS = re.compile(
    r"\b(?:here|see|more|details?|note|notes|also|example|warning|next|previous|source)\b", re.IGNORECASE
)
"""Labels of pointers: "Details here: …"."""
_BARE = "is are was were has have had includes include"


@dataclass(frozen=True, order=True, slots=True)
class Relation:
    """Either ``noun`` ("mayor": the mayor of S is O) or ``verb`` ("was born in": S was born in O)."""

    noun: str = ""
    verb: str = ""

    @property
    def takes_many(self) -> bool:
        """Whether the verb has a bare object, of which there may be more than the sentence says: "designed"."""
        return bool(self.verb) and self.verb.split()[-1] not in PREPOSITIONS


@dataclass(frozen=True, slots=True)
class Fact:
    """``relation`` holds between the page's subject and the thing called ``anchor``, whose page is ``target``."""

    relation: Relation
    target: str
    anchor: str
    quote: str


def read_facts(page: Page, topic: Topic) -> list[Fact]:
    """The facts that a page about ``thing`` states in sentences with links, in page order, each once.

    A fact that stands in a sentence as well as in a table is quoted from the sentence.
    """
    if not topic.name:
        return []
    text, own = squeeze(page.text), urls.page_key(page.url)
    found: dict[tuple[Relation, str], Fact] = {}
    for link in sorted(page.links, key=lambda link: "|" in link.sentence):
        quote, anchor, target = squeeze(link.sentence), squeeze(link.text), urls.page_key(link.url)
        if quote and target != own and anchor != topic.name and quote in text:
            relation = relation_in(quote, topic, anchor)
            if relation:
                found.setdefault((relation, target), Fact(relation, target, anchor, quote))
    return list(found.values())


def relation_in(sentence: str, subject: Topic, anchor: str) -> Relation | None:
    """How a sentence ties the subject to the anchor; None if no pattern fits."""
    marked = _marked(sentence, subject, anchor)
    for pattern in _PATTERNS if marked else ():
        found = pattern.search(marked)
        if found and (relation := _relation(found.groupdict())):
            return relation
    return None


def _marked(sentence: str, subject: Topic, anchor: str) -> str:
    """The sentence without dates, with the two marks in place of names; "" unless the anchor stands there once."""
    if not anchor or len(_whole(anchor).findall(sentence)) != 1:
        return ""
    marked = _whole(anchor).sub(OBJECT, sentence)
    for name in _names(subject):
        marked = _whole(name).sub(SUBJECT, marked)
    marked = _WHEN.sub("", re.sub(rf"\b[Tt]he (?={OBJECT}|{SUBJECT})", "", marked.replace("’", "'")))
    if SUBJECT in marked:
        return marked
    for pronoun, named in ((_POSSESSIVE, f"{SUBJECT}'s"), (_PRONOUN, SUBJECT)):
        if (found := pronoun.match(marked)) and subject.person == bool(found["person"]):
            marked = named + marked[found.end() :]
    return re.sub(rf"^The {subject.kind or ' '} (?=[a-z])", f"{SUBJECT} ", marked)


def _names(subject: Topic) -> list[str]:
    """What a page calls its subject: the whole name, and a person's last name."""
    last = subject.name.split()[-1]
    return [subject.name, last] if subject.person and last != subject.name else [subject.name]


def _whole(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")


def _relation(found: dict[str, str | None]) -> Relation | None:
    if noun := found.get("noun"):
        return None if _is_blunt(noun) else _named_by(noun)
    if row := found.get("row"):
        return None if _POINTS.search(row) else _named_by(row[0].lower() + row[1:])
    if participle := found.get("participle"):
        return _verb(f"was {participle[0].lower()}{participle[1:]}")
    return _verb(found.get("verb") or "")


def _named_by(noun: str) -> Relation:
    return Relation(verb=_SAID_BY_VERBS[noun]) if noun in _SAID_BY_VERBS else Relation(noun=noun)


def _is_blunt(text: str) -> bool:
    """Whether a word shows that the match is no relation but a piece of a longer thought."""
    return not set(text.split()).isdisjoint(_BLUNT.split())


def _verb(verb: str) -> Relation | None:
    words = verb.split()
    if not words or not is_finite(words[0]) or _is_blunt(verb):
        return None
    says_nothing = verb in _BARE.split() or words[1:2] in (["a"], ["an"], ["one"])
    of_another = not {"the", "a", "an"}.isdisjoint(words) and words[-1] not in PREPOSITIONS  # "known for the novel" …
    possesses = words[0] in ("has", "have", "had") and not words[1].endswith("ed")
    possesses = possesses and words[1] not in ("been", *PAST)
    return None if says_nothing or of_another or possesses else Relation(verb=verb)


def is_finite(word: str) -> bool:
    """Whether a word looks like a verb of a third person: an auxiliary, or ending in -s or -ed."""
    return word in AUXILIARIES or word in PAST or word.endswith(("s", "ed"))


PAST = {
    "won": "win", "wrote": "write", "built": "build", "led": "lead", "ran": "run", "held": "hold", "bought": "buy",
    "taught": "teach", "sold": "sell", "made": "make", "took": "take", "gave": "give", "grew": "grow", "lost": "lose",
    "met": "meet", "left": "leave", "became": "become", "began": "begin", "went": "go", "came": "come", "drew": "draw",
    "sang": "sing", "spoke": "speak", "knew": "know", "fought": "fight", "lay": "lie", "stood": "stand", "rose": "rise",
    "froze": "freeze", "kept": "keep", "found": "find", "laid": "lay", "bore": "bear", "broke": "break", "fell": "fall",
    "chose": "choose", "drove": "drive", "saw": "see", "sent": "send", "spent": "spend", "struck": "strike",
    "oversaw": "oversee", "sat": "sit", "fed": "feed", 
    "died": "die", "lied": "lie", "tied": "tie", "hid": "hide", "rewrote": "rewrite", "dug": "dig",
}  # fmt: skip
"""Irregular past forms, with their base: what "did" is followed by."""
