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
from webdancer_cli.synthesis.builtin.read.facts import PAST
from webdancer_cli.synthesis.builtin.read.kinds import AUXILIARIES, PRONOUNS, YEAR, Part, kind_of
from webdancer_cli.synthesis.page_topic import ROLES
from webdancer_cli.synthesis.standalone import word_set
from webdancer_cli.text.months import MONTH

Form = Literal["passive", "active", "copula"]

_SPAN = re.compile(
    rf"(?<=\bbetween ){YEAR} and {YEAR}|(?<=\bfrom ){YEAR} (?:to|until) {YEAR}|[“\"][^“”\"]{{2,40}}[”\"]"
)
"""What is one word to the reader: years between which something was, and what is quoted."""
PREPOSITIONS = word_set(
    "in at by on of from to with for under near into after through as since during between beside within inside"
    " around until before over across along against towards behind"
)
_STOPS = word_set("and but or which when while whose who where because although though whereas so before after")
"""What begins a clause of its own; what was said before it holds without it."""
_TAKES_BACK = word_set("if unless except until only but or not provided than that rather instead whether")
"""What follows these may limit or undo what was said: then nothing is read."""
_BE = word_set("is are was were")
_ADVERBS = word_set("now first originally initially formerly later once largely jointly privately")
_DROPPED = word_set("also")
_PARTICLES = word_set("down up out off")
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
    " rebuilt split spun sunk struck dug met fought shot"
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
class Clause:
    """What is said of a subject. ``aux`` is the form of *be* or *have*, "" for an active verb; ``verb`` is the
    participle, the finite verb, or, for a copula, ""; ``adverb`` stands between them."""

    form: Form
    aux: str
    verb: str
    parts: tuple[Part, ...]
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
    if not found or not found[0]:
        return None
    is_over = any(part.kind in ("year", "time") and part.prep != "since" for part in found[0])
    return Clause("passive", "was" if is_over else aux, words[0], found[0])


def is_participle(word: str) -> bool:
    return word in IRREGULAR or (len(word) > 3 and word.endswith("ed") and word.isalpha() and word.islower())


def _is_adverb(word: str) -> bool:
    return word in _ADVERBS or word in _DROPPED or re.fullmatch(r"[a-z]{3,}ly", word) is not None


def _is_present(verb: str) -> bool:
    return verb in PRESENT or re.fullmatch(r"[a-z]{3,}(?<!s)s", verb) is not None


def _words(text: str) -> list[str]:
    """The words of a text, marks between clauses apart from them; a comma inside a date stays."""
    text = re.sub(rf"\b({MONTH}) (\d{{1,2}}), (?={YEAR})", rf"\1 \2,{_GLUE}", text.rstrip(". "))
    text = re.sub(r"\b(more|less|fewer) than (?=\d)", rf"\1{_GLUE}than{_GLUE}", text)
    text = _SPAN.sub(lambda found: found.group().replace(" ", _GLUE), text)
    return [word for word in re.sub(r"([,;:)])(?=\s|$)|(?<=\s)(\()", r" \1\2 ", text).split(" ") if word]


def _setting(setting: str) -> tuple[Part, ...]:
    prep, _, text = setting.partition(" ")
    part = kind_of(text) if text else None
    return (replace(part, prep=prep.casefold()),) if part and part.kind in ("year", "time", "span") else ()


def _clause(words: list[str], at: int) -> tuple[Clause, int] | None:
    if at >= len(words):
        return None
    aux = words[at] if words[at] in AUXILIARIES else ""
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
        moved = at + 1 < len(words) and words[at + 1] in _PARTICLES
        found = _parts(words, at + 1 + moved, bare=words[at] in GIVEN)
        verb = " ".join(words[at : at + 1 + moved])
        return (Clause("passive", aux, verb, found[0], adverb), found[1]) if found else None
    if aux in ("has", "had"):
        perfect = is_participle(words[at]) or words[at] == "been"
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


def _parts(words: list[str], at: int, *, bare: bool = False) -> tuple[tuple[Part, ...], int] | None:
    """The parts from a word on, and where they end; None if one is not understood. ``bare``: an object may be first."""
    parts: list[Part] = []
    while at < len(words) and words[at] not in ",;:()":
        word = words[at]
        if word in _STOPS and not (word == "after" and words[at - 1] == "named"):
            break
        if word in _TAKES_BACK or word in _LAPSES:
            return None
        if _is_adverb(word) and word not in ("only", "early"):
            parts.append(Part("", word, "phrase", ""))
            at += 1
            continue
        if parts and _begins_infinitive(words, at):
            return _swallowed(words, at, parts, "")
        prep = word if word in PREPOSITIONS else ""
        if not prep and (not bare or any(part.core for part in parts)):
            return None
        start = at + bool(prep)
        end = _phrase_end(words, start)
        part = kind_of(" ".join(words[start:end]).replace(_GLUE, " ").replace(" ,", ",")) if end > start else None
        if part is None or end - start > MAX_PART_WORDS:
            return None
        if part.kind == "phrase" and end < len(words) and end - start > 1 and is_participle(words[end - 1]):
            return _swallowed(words, start, parts, prep)
        parts.append(replace(part, prep=prep, cut=_is_cut(words, end)))
        at = end
    if at < len(words) and words[at] in _TAKES_BACK:
        return None
    if at + 1 < len(words) and words[at] in ",;:(" and words[at + 1] in _TAKES_BACK:
        return None
    return tuple(parts), at


def _begins_infinitive(words: list[str], at: int) -> bool:
    """Whether "to" begins an infinitive with its object, "to test SQLite", and not a place or a person."""
    if words[at] != "to" or at + 2 >= len(words) or not re.fullmatch(r"[a-z]{2,}", words[at + 1]):
        return False
    noun = words[at + 1] in ("the", "an", "a", "all", "its", "his", "her") or re.fullmatch(ROLES, words[at + 1])
    return not noun and re.match(r"(?:the|an?|all|each|any)$|[A-Z\d]|\w*[_(]", words[at + 2]) is not None


def _swallowed(words: list[str], at: int, parts: list[Part], prep: str) -> tuple[tuple[Part, ...], int] | None:
    """The parts and all the rest of the clause as one more, which stays whole and is not asked about.

    What follows "the decision made", or "to test SQLite", belongs to that and not to the clause's own verb.
    """
    end = next((end for end in range(at, len(words)) if words[end] in ",;:()" or words[end] in _STOPS), len(words))
    rest = words[at:end]
    if (end < len(words) and words[end] != ",") or not _TAKES_BACK.isdisjoint(rest) or not PRONOUNS.isdisjoint(rest):
        return None
    text = " ".join(rest).replace(_GLUE, " ")
    return (*parts, Part(prep, text, "phrase", "")), end


def _is_cut(words: list[str], end: int) -> bool:
    """Whether "and", "or" or a comma after a part brings in more like it, and no verb."""
    if end < len(words) and words[end] == "(":
        return not {"followed", "and", "plus"}.isdisjoint(words[end:])
    joins = ("and", "or", ",")
    if end >= len(words) or words[end] not in joins:
        return False
    following = next((word for word in words[end:] if word not in joins), "")
    if words[end] == "," and following in ("the", "a", "an"):
        return False  # an apposition
    verb = following in AUXILIARIES or following in PAST or following in PRESENT or is_participle(following)
    return not verb and not _is_adverb(following)


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
