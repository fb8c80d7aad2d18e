"""One reading of a sentence: its verb, and what stands around it, each piece with its kind.

"was mapped in 1884 by the surveyor Ada Vell" is a passive of ``mapped`` with two parts: a time and a name. The reader
walks over words and gives up at whatever it does not know: a sentence that is not understood whole is not asked about.
Only what a comma, "and", "when" or the like begins is left unread, and not where it takes back what was said.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from webdancer_cli.synthesis.builtin.read import wording
from webdancer_cli.synthesis.builtin.read.facts import PAST, SUBJECT
from webdancer_cli.synthesis.page_topic import ROLES
from webdancer_cli.synthesis.standalone import word_set
from webdancer_cli.text.months import MONTH
from webdancer_cli.text.numbers import SMALL

Kind = Literal["year", "time", "size", "number", "version", "code", "name", "phrase"]
Form = Literal["passive", "active", "copula"]

_UNITS = (
    "metre|meter|kilometre|kilometer|centimetre|centimeter|millimetre|millimeter|mile|foot|feet|inch|inches|yard|"
    "hectare|acre|tonne|ton|kilogram|gram|pound|litre|liter|gallon|byte|kilobyte|megabyte|gigabyte|terabyte|bit|"
    "nanosecond|microsecond|millisecond|second|minute|hour|day|week|month|year|percent|degree|watt|kilowatt|megawatt|"
    "volt|hertz|megahertz|knot|dollar|euro|inhabitant|resident"
)
_SYMBOLS = "km²|km2|km|m²|m³|m|cm|mm|ha|kg|g|t|ft|mi|KB|kB|MB|GB|TB|KiB|MiB|GiB|ms|s|Hz|kHz|MHz|GHz|kW|MW|GW|%|°C|°F"
_DIGITS = r"(?:\d{1,3}(?:[, ]\d{3})+|\d+)(?:\.\d+)?"
_NUMBER = rf"(?:{_DIGITS}(?: (?:thousand|million|billion))?|{'|'.join(SMALL)})"
_ROUGHLY = r"(?:(?:about|around|some|roughly|nearly|almost|over|approximately|more than|less than|up to|at least) )?"
_SIZE = (
    rf"{_ROUGHLY}{_NUMBER}[ -]?(?:(?:square |cubic |nautical )?(?:{_UNITS})s?|(?:{_SYMBOLS}))"
    r"(?: (?:per|an?) [a-z]+)?"
)
_YEAR = r"(?:1[0-9]|20)\d\d"
_TIME = (
    rf"(?:(?:early|late|mid) )?(?:(?:\d{{1,2}} )?(?:{MONTH})(?: \d{{1,2}},)? |"
    rf"(?:the )?(?:spring|summer|autumn|fall|winter)(?: of)? |the )?{_YEAR}s?|{_YEAR}-[01]\d-[0-3]\d"
)
_VERSION = (
    r"(?:(?:[A-Z][\w+]*(?: [A-Z][\w+]*)?|[a-z]+) )?(?:versions? |release )?v?\d+(?:\.\d+)+|"
    r"(?:[A-Z]\w* )?(?:version|release) \d+"
)
_CODE = (
    r"[\"“'‘]?(?:~?/[\w.-][\w./*-]*|--?[a-z][\w-]*|[A-Za-z]\w*(?:[._:]+\w+)*\(\)|\w+_\w+|[A-Z]+(?:_[A-Z]+)+|"
    r"[a-z]\w*\.[a-z]\w*|[a-z]+\d\w*|\w+\.(?:conf|h|c|py|so|txt|html))[\"”'’]?"
)
_HOLDER = "(?:file|directory|folder|command|package|environment variable|variable)"
_WORD = r"(?:[A-Z](?:\.|[\w+#’'-]*\w(?:\+\+|#)?(?!\w))?|\d+)"
_NAME = rf"(?:[A-Z]|\w+[A-Z])[\w’'.+#-]*(?: (?:(?:of|de|la|von|van|del|du|for|&|and)(?: the)? )?{_WORD})*"
_ROLE = rf"(?:the |an? |its |his |her )?(?P<role>(?:[a-z-]+ ){{0,2}}{ROLES} )"
_SEATS = "town|city|village|county|province|district|region|municipality|parish|island|port|state|kingdom"
_REGIONS = "district|region|county|province|mountains|hills|highlands|peninsula|valley|range|coast|islands?|archipelago"
_PATTERNS: tuple[tuple[Kind, str], ...] = (
    ("year", _YEAR),
    ("time", _TIME),
    ("size", _SIZE),
    (
        "number",
        rf"{_ROUGHLY}(?P<amount>{_NUMBER}) (?P<counted>(?:[a-z-]+ ){{0,2}}(?:[a-z-]+s|people|children)(?: of [a-z]+)?)",
    ),
    ("number", _NUMBER),
    ("version", rf"(?:the )?(?:{_VERSION})"),
    ("code", rf"(?:the |a )?(?:file )?(?P<core>{_CODE})(?: {_HOLDER})?"),
    ("code", r"[\"“](?P<core>[\w][\w .-]{0,40})[\"”]"),
    (
        "name",
        rf"(?:{_ROLE}|the (?:{_SEATS}) of |the )?(?P<core>{_NAME}(?: (?:{_REGIONS})|(?:, {_NAME})+,? and {_NAME})?)",
    ),
)
_KINDS = [(kind, re.compile(pattern)) for kind, pattern in _PATTERNS]

PREPOSITIONS = word_set(
    "in at by on of from to with for under near into after through as since during between beside within inside"
    " around until before over across along against towards behind"
)
_STOPS = word_set("and but or which when while whose who where because although though whereas so before after")
"""What begins a clause of its own; what was said before it holds without it."""
_TAKES_BACK = word_set("if unless except until only but or not provided than that rather instead whether")
"""What follows these may limit or undo what was said: then nothing is read."""
_PRONOUNS = word_set(
    "this that these those it they them he she him we us you your our i my me there here such same following former"
    " latter above below other others another one ones each every any some many several certain what how why if"
)
_AUXILIARIES = word_set("is are was were has have had")
_BE = word_set("is are was were")
_ADVERBS = word_set("now first originally initially formerly later once largely jointly privately")
_DROPPED = word_set("also")
_LAPSES = word_set("then still always never currently recently not usually often sometimes normally")
"""A verb with one of these says what holds today, or not in general."""
_INTRANSITIVE = word_set(
    "died retired moved worked lived served studied settled emigrated travelled traveled graduated returned opened"
    " closed ended started stayed remained resigned lectured"
)
"""Of these "was born in Jena and studied in Halle" is no passive."""
_ENDS = _STOPS | _TAKES_BACK | _LAPSES
IRREGULAR = {
    "written": "wrote", "drawn": "drew", "taken": "took", "given": "gave", "known": "knew", "begun": "began",
    "chosen": "chose", "driven": "drove", "frozen": "froze", "grown": "grew", "hidden": "hid", "seen": "saw",
    "shown": "showed", "stolen": "stole", "thrown": "threw", "woven": "wove", "born": "", "borne": "bore",
    "spoken": "spoke", "overseen": "oversaw", "rewritten": "rewrote", "broken": "broke", "sung": "sang",
}  # fmt: skip
IRREGULAR |= {same: same for same in word_set(
    "built held led made sold bought taught won lost left found kept laid set cut put sent cast fed hung lit paid"
    " rebuilt split spun sunk struck dug met"
)}  # fmt: skip
"""Participles that do not end in -ed, with the past form that goes with "who"."""
PRESENT = {
    "lies": "lie", "stands": "stand", "flows": "flow", "drains": "drain", "empties": "empty", "rises": "rise",
    "originates": "originate", "runs": "run", "passes": "pass", "belongs": "belong", "consists": "consist",
    "stems": "stem", "derives": "derive", "defaults": "default", "depends": "depend", "covers": "cover",
    "spans": "span", "measures": "measure", "weighs": "weigh", "employs": "employ", "reaches": "reach",
    "carries": "carry", "holds": "hold", "seats": "seat", "crosses": "cross", "contains": "contain",
    "stores": "store", "lives": "live", "teaches": "teach", "works": "work", "owns": "own", "houses": "house",
    "connects": "connect", "freezes": "freeze", "joins": "join", "comprises": "comprise", "discharges": "discharge",
    "publishes": "publish", "maintains": "maintain", "listens": "listen", "reads": "read", "implements": "implement",
    "costs": "cost", "lasts": "last", "supports": "support", "uses": "use", "requires": "require",
    "corresponds": "correspond", "refers": "refer", "expands": "expand", "opens": "open", "closes": "close",
}  # fmt: skip
"""Verbs of the present that are read, with their base."""
GIVEN = word_set("awarded granted given elected appointed")
"""Participles that take an object: what somebody was given."""
MAX_PART_WORDS = 8
_GLUE = "\x03"
"""Stands for the space inside a date while words are told apart."""


@dataclass(frozen=True, slots=True)
class ClausePart:
    """What a verb has beside its subject: its object (``prep`` is "") or a phrase with a preposition.

    ``core`` is what answers: "Ada Vell" of "the surveyor Ada Vell". ``counted`` is the noun of a number.
    """

    prep: str
    text: str
    kind: Kind
    core: str
    person: bool = False
    counted: str = ""
    cut: bool = False
    """Whether more of its kind follows: "granite" of "granite and gneiss"."""

    def __str__(self) -> str:
        return f"{self.prep} {self.text}".strip()


@dataclass(frozen=True, slots=True)
class Clause:
    """What is said of a subject. ``aux`` is the form of *be* or *have*, "" for an active verb; ``verb`` is the
    participle, the finite verb, or, for a copula, ""; ``adverb`` stands between them."""

    form: Form
    aux: str
    verb: str
    parts: tuple[ClausePart, ...]
    adverb: str = ""

    @property
    def base(self) -> str:
        """ "flow" for "flows", "freeze" for "froze"; "" if it cannot be told."""
        return PRESENT.get(self.verb) or wording.base_of(self.verb)

    @property
    def is_past(self) -> bool:
        return not _is_present(self.verb)


def read_clauses(predicate: str, setting: str = "") -> Iterator[Clause]:
    """The clauses of what follows a subject, joined by "and"; ``setting`` is a time that stood before the subject."""
    words = _words(predicate)
    at, aux = 0, ""
    while at < len(words):
        found = _conjoined(words, at, aux) or _clause(words, at)
        if found is None:
            return
        clause, at = found
        aux = clause.aux if clause.form == "passive" else ""
        yield replace(clause, parts=(*clause.parts, *_setting(setting)))
        setting = ""
        if at >= len(words) or words[at] != "and":
            return
        at += 1


def read_tail(aux: str, phrase: str) -> Clause | None:
    """The passive after a noun: "written in Rust by Mira Holt" of "is a library written in Rust by Mira Holt"."""
    words = _words(phrase)
    if not words or not is_participle(words[0]):
        return None
    found = _parts(words, 1)
    return Clause("passive", aux, words[0], found[0]) if found and found[0] else None


def kind_of(text: str) -> ClausePart | None:
    """A noun phrase with its kind; None if it leans on something else."""
    for kind, pattern in _KINDS:
        if found := pattern.fullmatch(text):
            groups: dict[str, str | None] = found.groupdict()
            core = groups.get("core") or groups.get("amount") or re.sub(r"^the (?=[^a-z]|[a-z]+[^a-z ])", "", text)
            if kind in ("time", "size"):
                core = text
            counted = groups.get("counted") or ""
            return ClausePart("", text, kind, core.strip("\"“”'‘’"), bool(groups.get("role")), counted)
    words = text.casefold().split()
    leans = not _PRONOUNS.isdisjoint(words) or not _AUXILIARIES.isdisjoint(words)
    if leans or not re.fullmatch(rf"[{SUBJECT}\w’'./+#&,-]+(?: [{SUBJECT}\w’'./+#&,-]+)*", text):
        return None
    return ClausePart("", text, "phrase", re.sub(r"^(?:the|an?) ", "", text))


def is_participle(word: str) -> bool:
    return word in IRREGULAR or (len(word) > 3 and word.endswith("ed") and word.isalpha() and word.islower())


def _is_adverb(word: str) -> bool:
    return word in _ADVERBS or word in _DROPPED or re.fullmatch(r"[a-z]{3,}ly", word) is not None


def _is_present(verb: str) -> bool:
    return verb in PRESENT or re.fullmatch(r"[a-z]{3,}(?<!s)s", verb) is not None


def _words(text: str) -> list[str]:
    """The words of a text, marks between clauses apart from them; a comma inside a date stays."""
    text = re.sub(rf"\b({MONTH}) (\d{{1,2}}), (?={_YEAR})", rf"\1 \2,{_GLUE}", text.rstrip(". "))
    return [word for word in re.sub(r"([,;:)])(?=\s|$)|(?<=\s)(\()", r" \1\2 ", text).split(" ") if word]


def _setting(setting: str) -> tuple[ClausePart, ...]:
    prep, _, text = setting.partition(" ")
    if " to " in text or " and " in text:
        return (ClausePart(prep.casefold(), text, "phrase", ""),)
    part = kind_of(text) if text else None
    return (replace(part, prep=prep.casefold()),) if part and part.kind in ("year", "time") else ()


def _clause(words: list[str], at: int) -> tuple[Clause, int] | None:
    if at >= len(words):
        return None
    aux = words[at] if words[at] in _AUXILIARIES else ""
    at += bool(aux)
    adverbs = []
    while at < len(words) and words[at] not in _LAPSES and _is_adverb(words[at]):
        adverbs += [words[at]] if words[at] not in _DROPPED else []
        at += 1
    if at >= len(words) or words[at] in _LAPSES:
        return None
    adverb = " ".join(adverbs)
    if aux in ("has", "have", "had") and words[at] == "been" and at + 1 < len(words) and is_participle(words[at + 1]):
        found = _parts(words, at + 2)
        return (Clause("passive", aux, f"been {words[at + 1]}", found[0], adverb), found[1]) if found else None
    if aux in _BE and is_participle(words[at]):
        found = _parts(words, at + 1, bare=words[at] in GIVEN)
        return (Clause("passive", aux, words[at], found[0], adverb), found[1]) if found else None
    if aux in ("has", "had"):
        perfect = is_participle(words[at])
        found = _parts(words, at + perfect, bare=True)
        clause = Clause("active", aux, words[at], (), adverb) if perfect else Clause("active", "", aux, (), adverb)
        return (replace(clause, parts=found[0]), found[1]) if found else None
    if aux:
        found = _parts(words, at, bare=True)
        return (Clause("copula", aux, "", found[0], adverb), found[1]) if found else None
    verb = words[at]
    if verb in PAST or _is_present(verb) or (verb.endswith("ed") and is_participle(verb)):
        found = _parts(words, at + 1, bare=True)
        return (Clause("active", "", verb, found[0], adverb), found[1]) if found else None
    return None


def _conjoined(words: list[str], at: int, aux: str) -> tuple[Clause, int] | None:
    """ "… and published in 2009" after "was designed": the auxiliary goes on, if the verb has no object of its own."""
    if not aux or not is_participle(words[at]) or words[at] in _INTRANSITIVE:
        return None
    found = _parts(words, at + 1)
    return (Clause("passive", aux, words[at], found[0]), found[1]) if found else None


def _parts(words: list[str], at: int, *, bare: bool = False) -> tuple[tuple[ClausePart, ...], int] | None:
    """The parts from a word on, and where they end; None if one is not understood. ``bare``: an object may be first."""
    parts: list[ClausePart] = []
    while at < len(words) and words[at] not in ",;:()":
        word = words[at]
        if word in _STOPS and not (word == "after" and words[at - 1] == "named"):
            break
        if word in _TAKES_BACK or word in _LAPSES:
            return None
        if _is_adverb(word) and word not in ("only", "early"):
            parts.append(ClausePart("", word, "phrase", ""))
            at += 1
            continue
        prep = word if word in PREPOSITIONS else ""
        if not prep and (not bare or any(part.core for part in parts)):
            return None
        start = at + bool(prep)
        end = _phrase_end(words, start)
        part = kind_of(" ".join(words[start:end]).replace(_GLUE, " ").replace(" ,", ",")) if end > start else None
        if part is None or end - start > MAX_PART_WORDS:
            return None
        parts.append(replace(part, prep=prep, cut=end < len(words) and words[end] in ("and", "or", ",")))
        at = end
    if at < len(words) and words[at] in _TAKES_BACK:
        return None
    if at + 1 < len(words) and words[at] in ",;:(" and words[at + 1] in _TAKES_BACK:
        return None
    return tuple(parts), at


def _phrase_end(words: list[str], at: int) -> int:
    """Where a noun phrase ends. "of" binds into it, and so do "and" and commas between names."""
    start = at
    while at < len(words):
        word = words[at]
        if word in ",;:()":
            listed = _list_end(words, at)
            if listed == at:
                break
            at = listed
            continue
        if word == "and":
            joins = at + 1 < len(words) and _is_cap(words[at + 1]) and at > start and _is_cap(words[at - 1])
            if not joins:
                break
        elif word == "of":
            if at == start:
                break
        elif (word in PREPOSITIONS and not _binds(words, at)) or word in _ENDS or (at > start and word in _ADVERBS):
            break
        at += 1
    return at


def _list_end(words: list[str], at: int) -> int:
    """Where names separated by commas end, the last after "and"; ``at`` if no such list goes on here."""
    end = at
    while end + 1 < len(words) and words[end] == "," and _is_cap(words[end + 1]):
        end += 2
        while end < len(words) and _is_cap(words[end]):
            end += 1
        if end + 1 < len(words) and words[end] == "," and words[end + 1] == "and":
            end += 1
        if end + 1 < len(words) and words[end] == "and" and _is_cap(words[end + 1]):
            return end
    return at


def _binds(words: list[str], at: int) -> bool:
    """ "for" and "in" inside a name: Society for Old Maps; and "up to", "at least" before a number."""
    inside = words[at] == "for" and at + 1 < len(words) and _is_cap(words[at + 1]) and _is_cap(words[at - 1])
    return inside or (words[at] == "to" and words[at - 1] == "up")


def _is_cap(word: str) -> bool:
    return word[:1].isupper()
