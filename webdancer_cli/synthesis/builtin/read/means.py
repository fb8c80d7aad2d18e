"""What serves for what, as manuals say: "X can be set with the option Y", "To do X, run Y", "X is stored in Y".

Also what a thing is called, and what its default or its limit is. Each sentence is asked about only where what it
leaves in the question can be understood without the sentences around it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from webdancer_cli.synthesis.builtin.read.clauses import PREPOSITIONS, PRESENT, is_participle
from webdancer_cli.synthesis.builtin.read.kinds import kind_of
from webdancer_cli.synthesis.builtin.read.names import PageNames
from webdancer_cli.synthesis.standalone import count_telling_words, is_plain, word_set
from webdancer_cli.text.numbers import SMALL

_SORT = (
    "command|option|flag|switch|parameter|directive|setting|environment variable|variable|configuration file|file|"
    "program|tool|utility|script|package|module|function|method|class|macro|keyword|statement|clause|pragma|property|"
    "daemon|service|extension|library|system call|operator|decorator|driver|wizard|editor|"
    "object|structure|table|catalog|view"
)
_TOKEN = r"(?:--?[A-Za-z][\w-]*|[~/]?[\w$][\w./:+@-]*)(?<![.:])(?:\(\d?\))?"
_CAPITALS = r"[A-Z]{2,}(?: [A-Z]{2,}){1,2}|[A-Z]{3,}(?![\w.])"
_RUN = rf"{_TOKEN}(?: (?:--?[a-z][\w-]*|[a-z]+(?= command)))?"
_THING = (
    rf"(?:(?:the|a) (?P<x>{_RUN}) (?P<sort>{_SORT})|the (?P<sort_before>{_SORT}) (?P<last>{_TOKEN})|"
    rf"(?P<bare>{_CAPITALS}|{_RUN}))"
)
_WITH = (
    r"(?:with|using|via|through|by means of|with the help of|by (?:using|running|setting|calling|invoking|specifying|"
    r"adding|passing|giving|editing|executing))"
)
_END = r"(?: \([^()]*\))?\.$"
_YOU = r"(?:You|One|Users?|Administrators?|We|Developers?)"
_MODAL = r"(?:can|may|could|should|must)"
_CONTROLLED = (
    "set|controlled|enabled|disabled|specified|configured|defined|determined|adjusted|changed|governed|limited|started|"
    "created|managed|installed|activated|selected|turned on|turned off|handled|performed|implemented|provided"
)
_KEPT = (
    "stored|kept|located|found|placed|installed|recorded|logged|written|saved|listed|defined|declared|specified|"
    "documented|configured"
)
_USE = r"(?:use|run|type|execute|issue|invoke|call)"
_DO = r"(?P<do>[a-z]+ [^;:]+?)"
_SUBJECT = r"(?P<subject>[A-Z][^,;:()]*?)"
_OFTEN = r"(?:(?:usually|normally|typically|always|generally) )?"
_USED_FOR = (
    re.compile(rf"^(?:{_YOU} {_MODAL}|You|We) {_DO} {_WITH} {_THING}{_END}"),
    re.compile(rf"^{_USE.replace('use', '[Uu]se').replace('run', '[Rr]un')} {_THING} to {_DO}\.$"),
    re.compile(
        rf"^To {_DO}, (?:(?:you|one|we) (?:{_MODAL}|need to|have to) )?(?:simply |just |please )?{_USE} {_THING}{_END}"
    ),
    re.compile(rf"^(?:{_YOU} {_MODAL}|You|We) {_USE} {_THING} to {_DO}\.$"),
    re.compile(rf"^{_THING} (?:{_MODAL} be|is) used to {_DO}\.$"),
)
_DONE_WITH = re.compile(
    rf"^{_SUBJECT} (?:(?P<modal>{_MODAL}) be {_OFTEN}"
    r"(?P<done>[a-z]+(?:ed|en|un|et|ut|ld|de|ne|lt)(?: [^,;:()]*?)?)"
    rf"|(?P<be>is|are) {_OFTEN}(?P<controlled>{_CONTROLLED})) (?P<prep>{_WITH}|by) {_THING}{_END}"
)
_KEPT_IN = re.compile(
    rf"^{_SUBJECT} (?P<be>is|are|(?:can|will|must|should|may) be) {_OFTEN}(?P<done>{_KEPT}) "
    r"(?P<prep>in|under|at|to|inside|into|as) (?:the )?(?:(?:file|directory|folder) )?"
    r"(?P<x>[~$]?[\w.-]*/[\w./*$@{}<>-]*\w/?|\w[\w-]*\.(?:conf|cf|ini|h|c|py|txt|html|toml|yaml|json|cfg|xml))"
    rf"(?: (?P<sort>file|directory|folder))?{_END}"
)
_HELD_IN = re.compile(rf"^{_SUBJECT} (?P<be>is|are) (?P<done>{_KEPT}|held) (?P<prep>in|by) {_THING}{_END}")
_PLACE = re.compile(
    r"^The (?P<what>[a-z][a-z-]*(?: (?:for|of|used by) [\w -]+?| [a-z-]+){1,6}) is (?:located (?:in|at) |in |at )?"
    r"(?P<x>[/~][\w./-]*\w/?|[\w-]+@[\w-]+(?:\.[\w-]+)+)(?: \([^()]*\))?(?:, (?:which|and) .+)?\.$"
)
_SHORT_FOR = re.compile(
    r"^(?P<x>[A-Z][\w-]*) is (?P<how>an abbreviation|short|an acronym|a contraction) (?:for|of) "
    r"[“\"]?(?P<full>[A-Za-z][\w -]{4,60}?)[”\"]?(?:, .+| \([^()]*\))?\.$"
)
_RELATED = re.compile(
    rf"^{_SUBJECT} (?P<be>is|are|was|were|has been|have been) "
    r"(?P<done>deprecated in favou?r of|replaced by|replaced with|superseded by|renamed to|derived from|"
    r"modelled on|modeled on|equivalent to|identical to|an alias for|an alias of|a synonym for|a fork of|"
    r"the successor of|the successor to|a wrapper around|a frontend to|a front-end to|a replacement for) "
    rf"(?:the )?(?P<x>{_TOKEN}|[A-Z][\w.+-]*(?: [A-Z][\w.+-]*){{0,3}})(?: (?P<sort>{_SORT}))?{_END}"
)
_CALLED = re.compile(
    r"^(?P<subject>(?:An?|The|[A-Z][a-z]+s) [^,;:()]{15,120}?) (?P<be>is|are) (?:often |usually |sometimes |commonly )?"
    r"(?:called|known as|referred to as|termed) (?:an? |the )?(?P<x>[“\"‘]?"
    r"(?!(?:in|on|by|with|for|from|at|when|if|as|to|once|only|every|again|after|before)\b)"
    r"[A-Za-z][\w-]*(?: [\w-]+){0,3}?[”\"’]?)(?:, (?:and|but|which) .+)?\.$"
)
_MEANS = re.compile(
    r"^An? (?P<x>[a-z][a-z-]+(?: [a-z-]+){0,2}) is (?P<meant>an? "
    r"(?!good|bad|great|matter|lot|way|bit|common|useful|kind|type|little|very|much|more|poor)[^;:()]{25,140})\.$"
)
_GOES_ON = re.compile(r", (?:but|so|and (?:it|the|an?|they|its))\b")
_EXTREME = re.compile(
    r"^(?:By default, the|The (?P<how>default|maximum|minimum|smallest|largest|longest|shortest)) "
    r"(?P<what>[a-z][\w -]*?(?: (?:of|for) (?:(?:an?|the|each|all) )?[\w. -]+?)?) is (?P<value>[^,;:()]+?)"
    r"(?P<unless> by default)?(?: \([^()]*\))?(?:, (?:which|but|so|and) .+)?\.$"
)
_NUMBER = rf"(?:{'|'.join(sorted(SMALL))}|\d[\d,]*)"
_LIMITED = re.compile(
    rf"^{_SUBJECT} (?P<be>is|are|can be|must be|may be) "
    r"(?P<how>limited to|restricted to|at most|at least|up to|no more than|no longer than) "
    rf"(?P<number>{_NUMBER}) (?P<unit>[a-z]+)(?: (?P<long>long|in length|in size|wide))?{_END}"
)
_THERE_ARE = re.compile(
    rf"^(?:In (?P<where>[A-Z][\w ]+), there|There) are (?:exactly |currently )?(?P<number>{_NUMBER}) "
    r"(?P<what>(?:[a-z-]+ )?[a-z-]+s(?: (?:of|for|in|to|on|by) [^,;:()]{3,60})?)\.$"
)
_SET_BY_DEFAULT = re.compile(
    rf"^(?:By default,? (?P<first>{_TOKEN}) is (?:set to )?(?P<value>[^,;:()]+?)|(?P<second>{_TOKEN}) is (?:set to )?"
    rf"(?P<other>[^,;:()]+?) by default){_END}"
)
_REQUIRES = re.compile(
    r"^(?P<subject>[A-Z][\w./+-]*(?: [A-Z\d][\w.+-]*)?) (?:requires|needs) (?:at least )?"
    r"(?P<what>[A-Z][\w.+-]*(?: [A-Z][\w.+-]*)?)(?: version)? v?(?P<version>\d+(?:\.\d+)*) or "
    r"(?:later|newer|higher|above|greater)\.$"
)
_LOWERED = word_set("The A An All Each Every Any No Both Most Some Many Multiple Different")
_PLURAL_OPENING = re.compile(r"[A-Z][a-z]+s? [a-z]")
_DANGLING = re.compile(
    r"\b(?:this|these|those|it|its|they|them|their|he|she|him|his|her|such|same|latter|former|above|below|following|"
    r"previous|next|others?|another|here|there|then|so|also|instead|too|again|your|my|our|us|me|respective(?:ly)?|"
    r"corresponding|both|either|first|second|third|last|ones?|you|we|desired|appropriate|relevant|necessary|problem|"
    r"example|rest|not|only|exactly|simply|exact|matching|actual|specified|given|whatever|different|additional(?:ly)?|"
    r"some|similar|certain|various|several|hard|current|real|whole|entire|"
    r"perhaps|maybe|even|required|possible|allowed|supported|recommended|currently)\b|\bthat \w+$"
    r"|\b[a-z]+ that (?:to|in|on|at|for|by|when|as|with)\b"
    r"|\b(?:or|and|but|before|after|by|when|while|if|as|than|because|of|for)$|,$|^\w+ly\b",
    re.IGNORECASE,
)
_GENERIC = (
    "values?|files?|options?|lists?|names?|outputs?|results?|commands?|arguments?|parameters?|programs?|data|entry|"
    "entries|lines?|fields?|strings?|text|objects?|items?|changes?|messages?|errors?|settings?|process|functions?|"
    "methods?|class|modules?|tables?|columns?|rows?|query|statements?|blocks?|pages?|documents?|scripts?|jobs?|tasks?|"
    "packages?|devices?|interfaces?|connections?|requests?|rules?|variables?|types?|behaviou?r|application|directory|"
    "feature|image|version|thing|way|code|case|setup|approach|archive|tool|operation|container|key|address|size|state"
)
_BARE = re.compile(rf"\b[Tt]he (?:{_GENERIC})\b(?! (?:of|for|in which|named|called|that|which|to|on|from|used|in)\b)")
_NO_TERMS = word_set(
    "common good better typical simple possible second similar different recent new special single further small large"
    " nice few number list example problem way solution reason case side thing note word lot more popular notable"
    " great big key major minor more alternative useful plausible potential likely use-case"
)
_NO_VERBS = word_set("be have do not see get also only use make ensure want need know go come work")
_FINITE = word_set("is are was were be been will would can could may must should has have had do does if when uses")
MIN_CHARS, MAX_CHARS = 40, 220
MIN_TELLING = 3
MIN_DEFAULT_WORDS = 2
""" "The default tolerance" is that of some function or other."""


@dataclass(frozen=True, slots=True)
class Means:
    """``question`` begins in lower case and ends without its mark; it holds of the page whose sentence is quoted."""

    question: str
    answer: str
    quote: str


def read_means(sentences: list[str], names: PageNames) -> Iterator[Means]:
    """What plain sentences of a page say, in order; ``names`` are those of the page."""
    for sentence in sentences:
        if not MIN_CHARS <= len(sentence) <= MAX_CHARS or not is_plain(sentence):
            continue
        for read in _READERS:
            if found := read(sentence, names):
                yield Means(*found, sentence)
                break


def _thing(found: re.Match[str], names: PageNames) -> tuple[str, str] | None:
    """Name and sort of what is used; None unless it certainly is a name."""
    name = found["x"] or found["last"] or found["bare"]
    sort = found["sort"] or found["sort_before"] or ""
    if not sort and not re.search(r"[_/()]|^--?\w|\w\.\w|\d\)$|[a-z]-[a-z]|^[A-Z]{3}", name):
        return None
    if not names.is_distinctive(name.split()[0], sort):
        return None
    return name, sort or _sort_by_form(name)


def _sort_by_form(name: str) -> str:
    if name.startswith("-"):
        return "option"
    if name.endswith("()"):
        return "function"
    if name.startswith("/") or re.search(r"^~/.*\w\.\w+$|\.(?:conf|cf|ini|txt|h|c|py|cfg|toml|ya?ml|json)$", name):
        return "directory" if name.endswith("/") else "file"
    return "command" if re.search(r"\([18]\)$", name) else ""


def _used_for(sentence: str, names: PageNames) -> tuple[str, str] | None:
    for pattern in _USED_FOR:
        found = pattern.match(sentence)
        topic = _thing(found, names) if found else None
        if found and topic:
            verb = found["do"].split()[0]
            if (
                count_telling_words(found["do"]) < MIN_TELLING + 2 * (not topic[1])
                or verb in _NO_VERBS | PREPOSITIONS
                or verb.endswith(("ed", "ing"))
                or not is_clear(found["do"])
            ):
                return None
            return f"{_which(topic[1])} can be used to {found['do']}", topic[0]
    return None


def _done_with(sentence: str, names: PageNames) -> tuple[str, str] | None:
    found = _DONE_WITH.match(sentence)
    topic = _thing(found, names) if found else None
    if not found or not topic or not topic[1] or not _is_subject(found["subject"]):
        return None
    done = (found["done"] or "").split()
    if done and (not is_clear(" ".join(done)) or any(map(is_participle, done[1:]))):
        return None
    front = f"{'by' if found['prep'] == 'by' else 'with'} {_which(topic[1])}"
    subject = _inside(found["subject"], names)
    if found["modal"]:
        return f"{front} {found['modal']} {subject} be {found['done']}", topic[0]
    return f"{front} {found['be']} {subject} {found['controlled']}", topic[0]


def _kept_in(sentence: str, names: PageNames) -> tuple[str, str] | None:
    found = _KEPT_IN.match(sentence)
    if not found or not _is_subject(found["subject"]):
        return None
    name = found["x"]
    sort = found["sort"] or ("directory" if name.endswith("/") else "file" if re.search(r"\w\.\w+$", name) else "")
    front = f"{found['prep']} which {sort}" if sort else "as what" if found["prep"] == "as" else "where"
    auxiliary, _, be = found["be"].partition(" ")
    subject = _inside(found["subject"], names)
    return " ".join(f"{front} {auxiliary} {subject} {be} {found['done']}".split()), name


def _held_in(sentence: str, names: PageNames) -> tuple[str, str] | None:
    found = _HELD_IN.match(sentence)
    topic = _thing(found, names) if found else None
    if not found or not topic or not topic[1] or not _is_subject(found["subject"]):
        return None
    front = f"{found['prep']} {_which(topic[1])}"
    return f"{front} {found['be']} {_inside(found['subject'], names)} {found['done']}", topic[0]


def _related(sentence: str, names: PageNames) -> tuple[str, str] | None:
    found = _RELATED.match(sentence)
    if not found or not _is_subject(found["subject"]) or not names.is_distinctive(found["x"], found["sort"] or ""):
        return None
    auxiliary, _, be = found["be"].partition(" ")
    asked = f"{_which(found['sort'] or '')} {auxiliary} {_inside(found['subject'], names)} {be} {found['done']}"
    return " ".join(asked.split()), found["x"]


def _called(sentence: str, names: PageNames) -> tuple[str, str] | None:
    found = _CALLED.match(sentence)
    if not found or not _is_subject(found["subject"]) or count_telling_words(found["subject"]) < MIN_TELLING:
        return None
    return f"what {found['be']} {_inside(found['subject'], names)} called", found["x"].strip('“”"‘’')


def _meant(sentence: str, names: PageNames) -> tuple[str, str] | None:
    found = _MEANS.match(sentence)
    if not found or not is_clear(found["meant"]) or count_telling_words(found["meant"]) < MIN_TELLING + 1:
        return None
    if not _NO_TERMS.isdisjoint(found["x"].split()) or _GOES_ON.search(found["meant"]):
        return None
    return f"what is the term for {found['meant']}", found["x"]


def _extreme(sentence: str, names: PageNames) -> tuple[str, str] | None:
    found = _EXTREME.match(sentence)
    value = kind_of(found["value"]) if found else None
    if not found or value is None or value.kind == "phrase" or value.counted or not is_clear(found["what"]):
        return None
    if re.match(r"[a-z]+ly ", value.text) or len(found["what"].split()) < MIN_DEFAULT_WORDS:
        return None
    what, is_default = found["what"], not found["how"] or found["unless"]
    if re.fullmatch(rf"(?:{_GENERIC})|(?:of|for|in)\b.*", what) or not _FINITE.isdisjoint(what.split()):
        return None
    answer = value.core if value.kind in ("code", "name") else value.text
    asked = f"what is the {found['how'] or ''} {what} {'by default' if is_default else ''}"
    return " ".join(asked.split()), answer


def _place(sentence: str, names: PageNames) -> tuple[str, str] | None:
    found = _PLACE.match(sentence)
    if not found or not is_clear(found["what"]) or not _FINITE.isdisjoint(found["what"].split()):
        return None
    return f"what is the {found['what']}", found["x"]


def _short_for(sentence: str, names: PageNames) -> tuple[str, str] | None:
    found = _SHORT_FOR.match(sentence)
    return (f"what is {found['x']} {found['how']} for", found["full"]) if found else None


def _set_by_default(sentence: str, names: PageNames) -> tuple[str, str] | None:
    found = _SET_BY_DEFAULT.match(sentence)
    value = kind_of(found["value"] or found["other"]) if found else None
    if not found or value is None or value.kind not in ("code", "number", "size") or value.counted:
        return None
    name = found["first"] or found["second"]
    if not names.is_distinctive(name, ""):
        return None
    return f"what is the default value of {name}", value.core if value.kind == "code" else value.text


def _limited(sentence: str, names: PageNames) -> tuple[str, str] | None:
    found = _LIMITED.match(sentence)
    if not found or not _is_subject(found["subject"]):
        return None
    auxiliary, _, be = found["be"].partition(" ")
    subject, how = _inside(found["subject"], names), found["how"]
    if how.endswith("ed to"):
        asked = f"to how many {found['unit']} {auxiliary} {subject} {be} {how.removesuffix(' to')}"
    elif found["long"]:
        most = "at least" if how == "at least" else "at most"
        asked = f"how many {found['unit']} {found['long']} {auxiliary} {subject} {be} {most}"
    else:
        return None
    return " ".join(asked.split()), found["number"]


def _counted(sentence: str, names: PageNames) -> tuple[str, str] | None:
    found = _THERE_ARE.match(sentence)
    alone = re.compile(rf"(?:{_GENERIC}|[a-z]+)|.* and .*")
    if not found or not is_clear(found["what"]) or alone.fullmatch(found["what"]):
        return None
    return f"how many {found['what']} are there{' in ' + found['where'] if found['where'] else ''}", found["number"]


def _required(sentence: str, names: PageNames) -> tuple[str, str] | None:
    found = _REQUIRES.match(sentence)
    if not found or not names.is_used_as_name(found["subject"]):
        return None
    return f"which version of {found['what']} does {found['subject']} require at least", found["version"]


def _which(sort: str) -> str:
    return f"which {sort}" if sort else "what"


def _inside(subject: str, names: PageNames) -> str:
    """A subject as it stands within a sentence."""
    first = subject.split()[0]
    if first in _LOWERED or (first[1:].islower() and not names.has_capital(first)):
        return subject[0].lower() + subject[1:]
    return subject


def _is_subject(subject: str) -> bool:
    """Whether a phrase names something by itself: no clause of its own, and more than "the limit"."""
    if subject.split()[0].lower() in PREPOSITIONS:
        return False  # "By default the folder is kept in …"
    if subject.split()[-1] in ("that", "which", "who", "and", "or", *PREPOSITIONS):
        return False  # "a class that can be returned by …": no sentence, but a thing; "the directory to look in"
    head = re.split(r" (?:that|which|where|who|whose|in which)\b", subject)[0].split()
    is_clause = not _FINITE.isdisjoint(word.lower() for word in head) or any(word in PRESENT for word in head)
    is_bare = head[0] in ("The", "A", "An") and len(head) <= 2 and len(head) == len(subject.split())
    return not is_clause and not is_bare and is_clear(subject)


def is_clear(phrase: str) -> bool:
    """Whether a phrase leans on nothing: no pronoun, no "the file" that another sentence brought in."""
    return _DANGLING.search(phrase) is None and _BARE.search(phrase) is None and count_telling_words(phrase) >= 1


_READERS = (
    _used_for, _done_with, _kept_in, _held_in, _related, _called, _meant, _extreme, _place, _short_for, _set_by_default,
    _limited, _counted, _required,
)  # fmt: skip
