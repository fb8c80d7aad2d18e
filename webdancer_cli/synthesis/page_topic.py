"""What a page is about: its name, and what kind of thing that is, read from title and lead."""

import re
from dataclasses import dataclass

from webdancer_cli.data.records import Page
from webdancer_cli.text.names import mentions
from webdancer_cli.text.spacing import squeeze
from webdancer_cli.text.words import sentence_spans, stem
from webdancer_cli.web.extract.titles import title_parts

_PERSONS = """
    actor actress architect artist astronomer athlete author baker biologist botanist captain chemist composer
    critic dancer designer director doctor economist editor emperor engineer entrepreneur explorer farmer founder
    general geologist historian human industrialist inventor journalist judge king lawyer librarian linguist man
    mathematician mayor merchant minister musician novelist officer painter people person philosopher photographer
    abbot admiral archbishop baron bishop cardinal chancellor count duchess duke earl governor knight pope
    physician physicist pianist pioneer playwright poet politician president priest prince princess printer
    professor queen sailor scholar scientist sculptor singer smith soldier statesman student surgeon teacher
    translator violinist weaver woman writer
"""
PERSONS = frozenset(_PERSONS.split())
"""Kinds of which one asks "who"."""

_NO_ROLES = (
    "server|computer|compiler|router|printer|driver|layer|buffer|pointer|container|browser|editor|river|chapter|paper|"
    "letter|number|user|cluster|filter|folder|parameter|tower|border|order|operator|processor|vector|kernel|linker|"
    "debugger|installer|manager|helper|wrapper|loader|parser|scheduler|adapter|harbor|harbour|corner|member|former|later"
)
ROLES = rf"(?:{'|'.join(sorted(PERSONS))}|(?!(?:{_NO_ROLES})\b)[a-z]+(?:[^aeiou]er|eer|or|ist|ian|man|woman))"
"""Nouns for people: those that are known, and those that end like them."""
_COMPANIES = "business corporation enterprise firm manufacturer"

LEAD_SENTENCES = 3
_NUMBERING = re.compile(
    r"^(?:(?:chapter |section |appendix )?(?:\d+(?:\.\d+)*|[A-Z](?:\.\d+)+)\.?"
    r"|(?:chapter|section|appendix) [A-Z]\.)\s+",
    re.IGNORECASE,
)
_KIND_ENDS = re.compile(
    r"(?<![-\w])(?:of|in|for|that|which|who|whose|where|on|at|from|with|to|by|and|or|near|between|within|located|situated|founded|"
    r"born|based|known|called|named|set|written|held|used|made|published|built|native|starring)\b"
    r"|\b[a-z]{2,}[^e]ed (?:by|in|on|at|for|from|as)\b|[,.;:(]"
)


@dataclass(frozen=True, slots=True)
class Topic:
    """What a page is about. ``kind`` is the noun of its lead ("town"), "" if the lead does not say."""

    name: str
    kind: str = ""
    person: bool = False
    article: bool = False
    """Whether a sentence calls it "the Larch Library"."""
    guessed: bool = False
    """Whether only the name suggests the kind: the Vain Stag Mission may be an expedition."""

    @property
    def sort(self) -> str:
        """What things must share to be taken for each other: painters and poets are people, a firm is a company."""
        return "person" if self.person else "company" if self.kind in _COMPANIES.split() else self.kind

    def may_be_like(self, other: "Topic") -> bool:
        """Whether both may be meant by the word for one of them."""
        unsure = (self.guessed or other.guessed) and not (self.person or other.person)
        return unsure or self.sort == other.sort

    @property
    def called(self) -> str:
        """The name as it stands in a sentence."""
        return f"the {self.name}" if self.article else self.name


OPENING_CHARS = 200


def is_on(opening: str, page_name: str, name: str) -> bool:
    """Whether a page with this ``opening`` is about what others call ``name``: "the page on the function that …"."""
    bare = name.removesuffix("()")
    return name == page_name or mentions(opening[:OPENING_CHARS], bare)


def topic_of(page: Page) -> Topic:
    """Name and kind of what a page is about."""
    lead = lead_sentences(page.text)
    name = page_name(page.title, " ".join(lead))
    stated = next((found for sentence in lead if (found := _kind(sentence, name))), "")
    kind = stated or _kind_in_name(name, page.text)
    person = (
        kind in PERSONS or _is_role(stated, page.text) or (bool(kind) and _LIFE.search(lead_of(lead, name)) is not None)
    )
    article = bool(name) and re.search(rf"\b(?i:the {re.escape(name)})\b(?! [A-Z])", page.text) is not None
    return Topic(name, kind, person, article and not name.startswith("The "), guessed=bool(kind and not stated))


def _is_role(kind: str, text: str) -> bool:
    """Whether a kind is one of people: spelled like those, and the text goes on with "he" or "she"."""
    return (
        re.fullmatch(ROLES, kind) is not None and re.search(r"\b(?:[Ss]?[Hh]e|[Hh]is|[Hh]er) ", text[:2000]) is not None
    )


_LIFE = re.compile(r"\((?:born|b\.) |\(\d{4}[–-]\d{4}\)|\b(?:was born in|lived from) ")


_MANUAL = re.compile(r"[\w.+-]+\(\d\w{0,3}\)")
"""How pages of a manual are called: git-log(1)."""


def lead_of(lead: list[str], name: str) -> str:
    """The first sentence that names the subject."""
    named = re.compile(any_case(name))
    return next((sentence for sentence in lead if named.search(sentence) and sentence != name), "")


def lead_sentences(text: str) -> list[str]:
    """The first sentences of a text, whitespace folded."""
    spans = sentence_spans(text[:2000])
    return [squeeze(text[start:end]) for (start, end), _ in zip(spans, range(LEAD_SENTENCES), strict=False)]


def page_name(title: str, lead: str = "") -> str:
    """The part of a title that names the page's own subject: without the site's name, a gloss, or a chapter number."""
    parts = [_NUMBERING.sub("", part) for part in title_parts(title)]
    if any(part.count("(") != part.count(")") for part in parts):
        return _NUMBERING.sub("", title.strip())  # "Howto (versions 2.8 - 3.5)"
    if manual := next((part for part in parts if _MANUAL.fullmatch(part)), ""):
        return manual
    return next((part for part in parts if lead and part in lead), parts[0] if parts else "")


_NAME = "\x01"
"""Stands for the page's name in a sentence that is matched."""
_DEFINED = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?:^|[^\w]){_NAME}(?: \([^)]*\))?(?:, [^,;:]{{3,90}},|,)? "
        r"(?:is|was|are|were) (?:an?|the|one of the (?P<plural>)) ?(?P<phrase>.+)",
        rf"^(?:The )?{_NAME}(?: \([^)]*\))?, (?:an?|the) (?P<phrase>.+)",
        rf"^The (?P<phrase>[a-z]+) (?:of )?{_NAME}(?!\w)",
        rf"(?:^|[^\w]){_NAME}(?: \([^)]*\))?,? (?:is|was) "
        rf"(?P<phrase>(?:{'|'.join(sorted(map(str.title, PERSONS)))}) of .+)",
    )
)


def _kind(sentence: str, name: str) -> str:
    """ "town" for "Velmora is a small town in the north", "Velmora, a town, …" and "The town of Velmora …"."""
    marked = re.sub(any_case(name.partition(" (")[0]), _NAME, sentence) if name else ""
    for pattern in _DEFINED if _NAME in marked else ():
        found = pattern.search(marked)
        if found and (noun := _head(found["phrase"])):
            return stem(noun) if found.groupdict().get("plural") is not None else noun
    return ""


def any_case(name: str) -> str:
    """A pattern for a name, of which a title writes the first letter as a capital and a sentence may not."""
    words = name.split()
    if words and words[-1][1:].islower() and (len(words) == 1 or words[-1].islower()):
        return f"(?:{re.escape(name[0])}|{re.escape(name[0].lower())}){re.escape(name[1:])}(?!\\w)"
    return re.escape(name)


def _kind_in_name(name: str, text: str) -> str:
    """ "expedition" for the Comet Expedition, if its page uses the word too."""
    last = name.split()[-1].casefold() if len(name.split()) > 1 else ""
    return last if last.isalpha() and len(last) > 3 and re.search(rf"\b{last}\b", text[:600]) else ""


def _head(phrase: str) -> str:
    """The last word of a noun phrase before anything that qualifies it."""
    words = _KIND_ENDS.split(phrase, maxsplit=1)[0].split()
    last = words[-1] if words else ""
    return last if re.fullmatch(r"[a-z]{3,}", last) else last.lower() if last.lower() in PERSONS else ""
