"""Questions about the parts of a clause: who, where, when, how large, in which version, and so on.

A part is asked for only where its verb and preposition decide the question word; all other parts stay in the question,
so that it holds of nothing else.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from webdancer_cli.synthesis.builtin.read.clauses import GIVEN, IRREGULAR, Clause
from webdancer_cli.synthesis.builtin.read.facts import PAST
from webdancer_cli.synthesis.builtin.read.kinds import Part, kind_of
from webdancer_cli.synthesis.builtin.read.wording import base_of, third_of
from webdancer_cli.synthesis.page_topic import PERSONS
from webdancer_cli.synthesis.standalone import word_set


@dataclass(frozen=True, slots=True)
class ClauseQuestion:
    """``question`` begins in lower case and ends without its mark; ``by_time`` if a time answers it; ``verb`` is its
    clause's."""

    question: str
    answer: str
    by_time: bool = False
    verb: str = ""
    is_name: bool = False
    """Whether the subject of the sentence answers."""


_MADE = word_set(
    "founded designed built created written rewritten developed discovered mapped surveyed invented published"
    " composed painted established introduced proposed described maintained owned edited translated commissioned"
    " opened launched acquired bought led directed produced organised organized released photographed drawn"
    " engraved sculpted carved restored named recorded performed coined operated run managed sponsored financed"
    " funded chaired adopted approved drafted shot captured destroyed"
    " arranged identified isolated authored conceived constructed excavated explored charted illustrated"
    " patented registered signed started begun climbed sailed won held kept formed defeated"
)
"""What somebody did to the subject: its agent is asked for by "who"."""
_LASTING = word_set(
    "held kept maintained owned led directed operated run managed sponsored financed funded chaired published"
)
"""Of these the present tells who does it today; what "is written by" somebody has been written."""
_PLACED = word_set(
    "located situated born buried kept stored preserved housed displayed exhibited headquartered based raised"
    " educated founded established signed built lie stand live die work study teach rise originate settle"
    " retire begin end set store keep held"
)
_AT = ("in", "at", "on", "near", "beside", "between", "within", "inside", "along")
_NOT_ON = word_set(
    "based built educated founded established signed raised study teach work end begin set settle retire originate"
)
"""What these are "on" is no place: "based on", "worked on", "ended on"."""
_WHAT: dict[str, str] = {
    "flow": "into through", "drain": "into to", "empty": "into", "discharge": "into", "run": "through over on",
    "pass": "through",
    "belong": "to", "stand": "for", "derive": "from", "stem": "from", "consist": "of", "default": "to", "expand": "to",
    "correspond": "to", "refer": "to",
    "based": "on", "derived": "from", "made": "of from", "composed": "of", "renamed": "to", "known": "as",
    "divided": "into", "split": "into", "connected": "to", "twinned": "with", "fed": "by",
    "drained": "by", "powered": "by",
    "formed": "by", "abbreviated": "as to", "dedicated": "to", "merged": "into with", "converted": "into to",
    "replaced": "by", "superseded": "by", "succeeded": "by", "followed": "by", "preceded": "by",
    "controlled": "by", "crossed": "by", "separated": "from", "bordered": "by", "surrounded": "by",
    "amended": "by", "influenced": "by", "merge": "into with", "feed": "on", "lead": "to", "grow": "into",
    "standardised": "as", "standardized": "as", "called": "", "nicknamed": "",
}  # fmt: skip
"""Verbs after which one asks "what", with their prepositions."""
_PHRASES = word_set("feed stand consist composed made known divided default split expand powered")
"""Of these the answer may be any short phrase."""
_CHANGED = word_set("introduced added deprecated removed released dropped included fixed changed replaced")
_CODED = word_set("written rewritten implemented coded programmed published")
_LICENSED = word_set("licensed released distributed published available")
_OBJECTS = word_set(
    "found establish create design build write publish discover invent develop compose win receive join marry succeed"
    " acquire buy own launch introduce maintain direct lead edit translate name paint map survey cross carry house"
    " contain connect end replace command defeat visit sell represent introduce support"
)
"""Verbs whose object answers "what", if it is a name."""
_LEARN = word_set("study train work serve apprentice")
_WHOM = word_set("marry succeed")
_ONE = word_set("marry succeed carry cross connect house end replace")
"""Of these one object is likely the only one; what somebody wrote is asked for with its year."""
_HOW = {
    "long": "long", "wide": "wide", "deep": "deep", "high": "high", "tall": "tall", "thick": "thick", "old": "old",
}  # fmt: skip
_SIZED = re.compile(r"(?P<size>.+?) (?P<how>long|wide|deep|high|tall|thick)")
_OF_SIZE = re.compile(r"an? (?P<noun>(?:[a-z-]+ ){0,2}[a-z-]+) of (?P<size>.+)")
_RATE = re.compile(
    r"(?:about |around |some |roughly |nearly |almost |over |approximately )?(?P<amount>\d[\d,.]*(?: million)?) "
    r"(?P<counted>[a-z]+s|people) (?P<rate>(?:a|per|each|every) (?:year|month|week|day|hour))"
)
_SIZE_OF = re.compile(
    r"\ban? (?P<noun>(?:[a-z-]+ ){0,2}[a-z-]+) of (?P<size>(?:(?:about|around|over|nearly|some|roughly) )?\d[\d,.]*\d*"
    r"(?: (?!in\b|and\b|with\b)[^\s,;]+){0,3})"
)
_OF_WHAT = re.compile(
    r"(?P<what>part|the seat|an? (?:acronym|abbreviation|member|fellow|citizen|native|resident|subsidiary|division|"
    r"tributary|suburb|branch|variant|dialect|graduate|student|pupil|patron)) of (?P<whole>.+)"
)
_WORK_OF = re.compile(r"the work of (?P<who>.+)")
_OFFICE = re.compile(
    rf"the (?P<role>(?:[a-z-]+ ){{0,2}}(?:{'|'.join(sorted(PERSONS))}|creator|maintainer|mother|"
    r"father|grandmother|grandfather)) of (?P<of>.+)"
)
_TITLE = re.compile(
    r"the (?P<role>capital|capital city|county town|(?:national|official|state) [a-z]+|"
    r"(?:largest|longest|oldest|highest) [a-z]+) of (?P<of>.+)"
)
_ONCE = word_set("born died")
"""What befalls everybody once: where and when say enough."""
_VERB_OF_SIZE = {"cover": "how large an area", "span": "what distance", "weigh": "how much", "measure": "how much",
                 "cost": "how much", "last": "how long", "reach": "what length"}  # fmt: skip
_VAGUE_ANSWER = re.compile(
    r"\b(?:its|his|her|their|same|thing|things|way|ways|it|system|number|following|various|several|others?)\b"
    r"|^(?:the|this|a|an)$",
    re.IGNORECASE,
)
_HEADS = word_set(
    "rector chancellor chairman chairwoman chair chief head manager curator conductor commander keeper owner leader"
    " editor-in-chief dean abbot patron mother father wife husband son daughter brother sister uncle aunt"
)
"""Nouns for people beside those that tell what a page is about."""
_OWNED = re.compile(r"(?:its|his|her|their)\b")
_BARE_DEFINITE = re.compile(r"the [a-z-]+(?: [a-z-]+)?$")
_SETTLED = re.compile(r"the (?:sea|world|north|south|east|west|[a-z]+ (?:side|shore|bank|century))$")
_AGE = re.compile(r"the age of ([a-z]+|\d+)")
_LASTING_TIME = re.compile(r"\b(?:second|minute|hour|day|week|month|year)s?$")
_OF_PAPER = re.compile(r"^[A-Z]+ \d|\b(?:RFC|ISO|Standard|Specification|Protocol|Act|Directive)\b")
"""Nobody, but a text: of "is described by RFC 7822" one does not ask who did it."""
_PORT = re.compile(r"(?:TCP |UDP )?port (\d+)")
MAX_ANSWER_WORDS = 9
_NOT_KEPT = re.compile(
    r"\b(?:both|either|others?|own|example|case|order|way|time|addition|general|particular|fact|effect)\b"
)


def ask_about_clause(
    clause: Clause, subject: str, *, noun: str = "", own: bool = True, person: bool = False
) -> Iterator[ClauseQuestion]:
    """The questions of a clause about ``subject``. ``noun`` is what is said to be the subject's: its "outflow"."""
    for at, part in enumerate(clause.parts):
        if not part.core:
            continue
        rest = [*clause.parts[:at], *clause.parts[at + 1 :]]
        if not all(_may_stay(other, own) for other in rest):
            continue
        if part.prep in _AT and part.kind in ("name", "code"):
            rest = [other for other in rest if other.prep not in _AT or other.kind != "phrase"]  # one place is enough
        rest = [other for other in rest if not (other.cut and other.prep)]
        kept = "" if clause.verb in _ONCE else " ".join(str(other) for other in rest)
        for question, answer, by_time in _ways(clause, subject, part, kept, noun, person):
            if _answers(answer, part):
                yield ClauseQuestion(" ".join(question.split()), answer, by_time, clause.verb)


def _may_stay(part: Part, own: bool) -> bool:
    """Whether a part can stand in a question: not "the project", which only the page explains."""
    if part.kind != "phrase":
        return True
    if _NOT_KEPT.search(part.text):
        return False
    definite = _BARE_DEFINITE.fullmatch(part.text)
    return not definite or bool(_SETTLED.fullmatch(part.text)) or (own and len(part.text.split()) > 2)


def _is_place(part: Part, verb: str) -> bool:
    """Whether a part says where something is that ``verb`` tells of."""
    return part.prep in _AT and verb in _PLACED and not (part.prep == "on" and verb in _NOT_ON)


def _answers(answer: str, part: Part) -> bool:
    short = 0 < len(answer.split()) <= MAX_ANSWER_WORDS
    return short and (part.kind != "phrase" or not _VAGUE_ANSWER.search(answer)) and not _OWNED.match(answer)


def _ways(
    clause: Clause, subject: str, part: Part, kept: str, noun: str, person: bool
) -> Iterator[tuple[str, str, bool]]:
    if clause.form == "copula":
        for question, answer in _of_copula(clause, subject, part, kept, noun):
            yield question, answer, part.kind in ("year", "time")
        return
    if clause.form == "active" and not clause.aux and not clause.base and clause.verb not in ("has", "had"):
        return
    if front := _when(part):
        yield f"{front} {_inverted(clause, subject)} {kept}", part.core if part.kind == "year" else _bare(part), True
        return
    if part.prep == "at" and (found := _AGE.fullmatch(part.text)):
        yield f"at what age {_inverted(clause, subject)} {kept}", found[1], False
        return
    if part.prep == "for" and part.kind == "size" and _LASTING_TIME.search(part.text):
        yield f"for how long {_inverted(clause, subject)} {kept}", part.text, False
        return
    if clause.form == "passive":
        ways = _of_passive(clause, subject, part, kept, person)
    else:
        ways = _of_active(clause, subject, part, kept)
    for question, answer in ways:
        yield question, answer, False


def _bare(part: Part) -> str:
    return re.sub(r"^the ", "", part.text)


def _when(part: Part) -> str:
    if part.kind == "year" and part.prep in ("in", "during", "since"):
        return f"{'since' if part.prep == 'since' else 'in'} which year"
    if part.kind == "span" and part.prep == "between":
        return "between which years"
    if part.kind == "time" and part.prep in ("in", "on", "during"):
        return "in which decade" if part.text.endswith("s") else "when"
    return ""


def _inverted(clause: Clause, subject: str) -> str:
    """The verb around its subject: "was X first mapped", "did X freeze"."""
    if clause.form == "passive":
        return f"{clause.aux} {subject} {clause.adverb} {clause.verb}"
    if clause.aux:
        return f"{clause.aux} {subject} {clause.adverb} {clause.verb}"
    base = "have" if clause.verb in ("has", "had") else clause.base
    helper = "did" if clause.is_past and clause.verb != "has" else "does"
    return f"{helper} {subject} {clause.adverb} {base}"


def _of_passive(clause: Clause, subject: str, part: Part, kept: str, person: bool) -> Iterator[tuple[str, str]]:
    verb = clause.verb.removeprefix("been ")
    inverted = _inverted(clause, subject)
    prep, kind = part.prep, part.kind
    proper = kind in ("name", "code")
    if part.cut and kind in ("name", "code") and prep != "in":
        return  # "by Linus Torvalds and many others"
    if prep == "by" and verb in _MADE and kind == "name" and not _OF_PAPER.search(part.core):
        yield f"who {_active(clause)} {subject} {kept}", part.core if part.person else _bare(part)
    elif prep == "to" and verb == "married" and kind == "name":
        yield f"to whom {inverted} {kept}", part.core
    elif prep == "after" and verb == "named" and kind == "name":
        yield f"after {'whom' if part.person or _looks_personal(part.core) else 'what'} {inverted} {kept}", part.core
    elif prep == "in" and verb in _CODED and kind == "name" and len(part.core.split()) == 1:
        yield f"in which language {inverted}", part.core
    elif prep in ("in", "with", "as", "since") and verb in _CHANGED and kind == "version":
        yield from _version(part, inverted, kept)
    elif prep == "under" and verb in _LICENSED and kind == "name":
        yield f"under which licence {inverted} {kept}", part.core
    elif proper and (_is_place(part, verb) or (prep == "under" and kind == "code" and verb in _PLACED)):
        yield f"{_where(part)} {inverted} {kept}", part.core
    elif not prep and verb in GIVEN and kind == "name":
        yield f"what {inverted} {kept}", part.core
    elif prep in _WHAT.get(verb, "-").split() and (proper or _is_phrase(verb, part)):
        person = person or (part.person or (_looks_personal(subject) and _looks_personal(part.core)))
        asked = "who" if person and verb in ("succeeded", "preceded", "replaced") else "what"
        yield f"{asked} {inverted} {prep} {kept}", part.core
    elif kind == "number" and part.counted and prep in ("into", "of", "by", "from") and not kept:
        yield f"{prep} how many {part.counted} {inverted}", part.core


def _is_phrase(verb: str, part: Part) -> bool:
    """Whether a phrase that is no name answers: whole, after a verb that tells what to expect."""
    return verb in _PHRASES and part.kind == "phrase" and not part.cut


def _where(part: Part) -> str:
    if part.prep == "between":
        return "between what"
    return "on which river" if part.prep == "on" and "River" in part.core.split() else "where"


def _active(clause: Clause) -> str:
    """What goes with "who": "wrote" for "was written", "maintains" for "is maintained"."""
    verb = clause.verb.removeprefix("been ")
    if clause.verb.startswith("been "):
        return f"has {clause.adverb} {verb}"
    past = IRREGULAR.get(verb, verb)
    if clause.aux in ("was", "were") or verb not in _LASTING:
        return f"{clause.adverb} {past}"
    base = PAST.get(past) or base_of(past)
    return f"{clause.adverb} {third_of(base)}"


def _version(part: Part, inverted: str, kept: str) -> Iterator[tuple[str, str]]:
    found = re.fullmatch(
        r"(?:the )?(?P<product>[A-Z][\w+]*(?: [A-Z][\w+]*)?)?.*?(?P<number>v?\d+(?:\.\d+)*)", part.text
    )
    if found:
        product = f"version of {found['product']}" if found["product"] and found["product"] != "Version" else "version"
        yield f"in which {product} {inverted} {kept}", found["number"]


def _of_active(clause: Clause, subject: str, part: Part, kept: str) -> Iterator[tuple[str, str]]:
    base = "have" if clause.verb in ("has", "had") else clause.base
    inverted = _inverted(clause, subject)
    prep, kind = part.prep, part.kind
    proper = kind in ("name", "code")
    if not prep and kind == "phrase" and base in ("reach", "cover") and (found := _OF_SIZE.fullmatch(part.text)):
        yield f"what {found['noun']} {inverted} {kept}", found["size"]
    elif not prep and (found := _RATE.fullmatch(part.text)) and base != "have":
        yield f"how many {found['counted']} {inverted} {kept} {found['rate']}", found["amount"]
    elif prep == "under" and base in _LEARN and kind == "name":
        yield f"under whom {inverted} {kept}", part.core
    elif not prep and kind == "number" and part.counted and base not in ("perform", "serve", "take", "make"):
        yield f"how many {part.counted} {inverted} {kept}", part.core
    elif not prep and kind == "size" and base in _VERB_OF_SIZE:
        yield f"{_VERB_OF_SIZE[base]} {inverted} {kept}", part.text
    elif not prep and proper and base in _OBJECTS:
        if kept or base in _ONE:
            yield f"{'whom' if base in _WHOM else 'what'} {inverted} {kept}", part.core
    elif prep == "on" and base in ("listen", "run", "work") and (port := _PORT.fullmatch(part.text)):
        yield f"on which port {inverted} {kept}", port[1]
    elif not prep and proper and base == "use" and kept:
        yield f"what {inverted} {kept}", part.core
    elif not prep and base == "use" and (port := _PORT.fullmatch(part.text)):
        yield f"which port {inverted} {kept}", port[1]
    elif proper and (_is_place(part, base) or (prep in _AT and base == "take" and "place" in kept.split())):
        yield f"{_where(part)} {inverted} {kept}", part.core
    elif base == "default" and not re.search(r"[a-z][._-]\w|^[a-z]", subject):
        return  # "SQLite defaults to …": which of its settings
    elif prep and prep in _WHAT.get(base, "").split() and (proper or _is_phrase(base, part)):
        yield f"what {inverted} {prep} {kept}", part.core


def _of_copula(clause: Clause, subject: str, part: Part, kept: str, noun: str) -> Iterator[tuple[str, str]]:
    aux, kind = clause.aux, part.kind
    if part.prep:
        if noun and part.prep in _AT and kind in ("name", "code") and len(clause.parts) == 1:
            yield f"where {aux} {subject} {kept}", part.core
        return
    if found := _SIZED.fullmatch(part.text):
        size = kind_of(found["size"])
        if size and size.kind == "size":
            yield f"how {_HOW[found['how']]} {aux} {subject} {kept}", found["size"]
    elif found := _OF_WHAT.fullmatch(part.text):
        whole = kind_of(found["whole"])
        if (whole and whole.kind == "name") or found["what"].startswith("a"):
            yield f"what {aux} {subject} {found['what']} of {kept}", re.sub(r"^the ", "", found["whole"])
    elif found := None if noun else _WORK_OF.fullmatch(part.text):
        maker = kind_of(found["who"])
        if maker and maker.kind == "name":
            yield f"whose work {aux} {subject} {kept}", maker.core
    elif noun.endswith("year"):
        return  # a table in sentences, "the founding year of Velmora": ``measures`` reads it
    elif noun and kind in ("size", "number", "name", "code", "version", "year", "time") and not part.counted:
        person = part.person or noun.split()[-1] in PERSONS or noun.split()[-1] in _HEADS
        who = "who" if person and kind == "name" else "what"
        yield f"{who} {aux} {subject} {kept}", part.core if kind in ("name", "code") else _bare(part)


def sizes(clause: Clause, predicate: str, subject: str) -> Iterator[ClauseQuestion]:
    """Sizes that have a noun: "a surface area of 18 hectares and a depth of 9 metres", ", with an elevation of …"."""
    opening = clause.verb in ("has", "had") and clause.form == "active"
    text = predicate if opening else predicate.partition(", with ")[2] if clause.form == "copula" else ""
    was = "was" if clause.verb == "had" else "is"
    for part in clause.parts if opening else ():
        if part.kind == "year":
            was = f"{was} in {part.text}"
    for found in _SIZE_OF.finditer(re.split(r"[;:]|, (?!and )", text)[0]):
        size = kind_of(found["size"].strip(" ."))
        if size and size.kind in ("size", "number") and not size.counted:
            aux, _, year = was.partition(" ")
            yield ClauseQuestion(
                f"what {aux} the {found['noun']} of {subject} {year}".strip(), found["size"].strip(" ."), verb="has"
            )


def office(clause: Clause, *, person: bool) -> Iterator[str]:
    """ "who is the author of Quilltab" of "is the author of Quilltab": what the subject answers."""
    title, asked = (_OFFICE, "who") if person else (_TITLE, "what")
    for part in clause.parts if clause.form == "copula" else ():
        if not part.prep and len(clause.parts) == 1 and (found := title.fullmatch(part.text)):
            of = kind_of(found["of"])
            if of and of.kind in ("name", "code"):
                yield f"{asked} {clause.aux} the {found['role']} of {found['of']}"


_NO_PERSON = re.compile(
    r"\b(?:River|Lake|Mount|Bay|Sea|Island|Hill|Valley|Street|Company|Corporation|Society|University|Institute|Saint|St|"
    r"City|Castle|Bridge|House|Hall|Park|Forest|Battle|Language|Project|Foundation|Party|Point|Cape|Fort)\b"
)


def _looks_personal(name: str) -> bool:
    """Two or three words, all of letters, none of which is a kind of place or of body."""
    words = name.split()
    return 2 <= len(words) <= 3 and not _NO_PERSON.search(name) and all(word.rstrip(".").isalpha() for word in words)
