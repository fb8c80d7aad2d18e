"""Who a sentence speaks of: the page's own subject, something of its, or something that the sentence itself names.

A pronoun, or "the lake", stands for the page's subject only where that is certain: in a row of sentences that all speak
of it, with nothing else brought in between that the word could mean. Everything else is left unread.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from webdancer_cli.data.records import Page
from webdancer_cli.synthesis.builtin.read.clauses import PRESENT, is_participle
from webdancer_cli.synthesis.builtin.read.facts import AUXILIARIES, PAST, SUBJECT
from webdancer_cli.synthesis.builtin.read.kind_words import SHIPS, certain_kind
from webdancer_cli.synthesis.builtin.read.names import PageNames
from webdancer_cli.synthesis.builtin.read.statements import THIRD_PERSONS
from webdancer_cli.synthesis.page_topic import ROLES, Topic, any_case
from webdancer_cli.synthesis.standalone import is_plain, stands_alone, word_set
from webdancer_cli.text.spacing import squeeze
from webdancer_cli.text.words import sentence_spans

_TIME = (
    r"(?:(?:\d{1,2} )?[A-Z][a-z]+ (?:\d{1,2}, )?|the (?:spring|summer|autumn|winter) of |early |late )?(?:1\d|20)\d\d"
)
_SPAN = r"(?:From|Between) (?:1\d|20)\d\d (?:to|and) (?:1\d|20)\d\d"
_SETTING = re.compile(rf"^(?P<setting>(?:In|On|Since|During) {_TIME}|{_SPAN}),? (?=\S)")
_AFTER = re.compile(r"^(?:After|Before|Following) [^,;]{3,70}?,? (?=(?:he|she|it|his|her|its) )")
_DANGLES = re.compile(
    r"^(?:Having (?:been )?[a-z]+|[A-Z][a-z]+ing (?:the|an?|its|his|her|over|across|from|in|on)"
    r"|The [a-z]+ of|An? [a-z]+|Taught [A-Z]?[a-z]+ (?:by|in|at)) [^,;:]{3,80}, "
    r"(?=(?:he|she|it|the [A-Z]\S*|[A-Z]\S*)(?: \S+)+ )"
)
"""What opens a sentence and belongs to its subject, whoever that is: "The third of seven children, he was …"."""
_TITLE = (
    "(?:(?:Count|Countess|Sir|Dame|Lord|Lady|Captain|Dr|Professor|Saint|King|Queen|Prince|Princess|Baron|Baroness|General"
    "|Admiral|Bishop|Duke|Duchess) )?"
)
_BY_THE_WAY = re.compile(
    r"^(?:At|By|During|After|Before|In|Under|On|With|From|Until|As|For|When|While|Although|Though) "
    r"(?:[^,;]{3,80}, |[^,;]{3,60}? (?=(?:the|he|she|it) [a-zA-Z]))"
)
_FRONT = re.compile(r"^(?P<front>(?P<participle>[A-Z][a-z]+) (?:in|on|by|at|after|from|near|under) [^,:]+), (?=\S)")
_PARENTHESIS = re.compile(r"^ \([^()]*\)")
_PARENTHESIS_INSIDE = re.compile(r" \([^()]*\)")
_APPOSITION = re.compile(
    r"^, (?:an?|the|which|who|whose|now|today|once|formerly|born|named|called|built|founded|established) [^,;:]{3,90},"
    r"(?= [a-z])"
)
_SAYS_ASIDE = re.compile(
    r"^, (?:(?:which|who) (?P<said>[a-z]+ (?!not\b)[^,;:]{3,80})"
    r"|(?P<participle>born|built|founded|established) (?P<rest>(?:in|on|by|at) [^,;:]{3,80})), "
)
"""What is said of a subject before its verb: ", which opened in 1868,", ", born in Holm in 1831,"."""
_DEFINED_THAT = re.compile(
    r"^(?:is|was) (?:an?|the) (?P<kind>(?:(?!\b(?:in|of|for|at|on|by|with|from|between|that|which|who)\b)[^,;:])*?) "
    r"(?:that|which|who) (?P<said>[a-z]+ (?!not\b)[^;:]+)$"
)
"""What a definition says of its own noun: "is an instrument that was invented in 1843 by …"."""
_LINE = re.compile(r"[.!?]$")
_ENTRIES = ("- ", "|", "•", "*")
_HEADING = re.compile(r"[A-Z][a-z]+(?: [a-z]+){0,3}")
_BRINGS_IN = re.compile(
    rf"\b(?:an?|another) (?!(?:[a-z]+ )?[a-z]+ of (?:about |around |up to )?\d)(?!(?:[a-z]+ )?{ROLES}\b)"
    r"(?!(?:year|month|week|day|hour)\b)[a-z]"
)
_IS_ITS = re.compile(
    r"(?P<name>(?:The )?[A-Z][\w’'-]*(?: [A-Z][\w’'-]*){0,4}) (?P<aux>is|was) (?P<pronoun>its|his|her) "
    r"(?P<noun>[a-z-]+(?: [a-z-]+){0,2})\.$"
)
_NAMES_ITS = re.compile(
    r"(?P<pronoun>[Ii]ts|[Hh]is|[Hh]er) (?P<noun>(?:(?:wife|husband)(?=, )"
    r"|(?:first|main|best-known|largest|oldest|chief|principal|only|last|most famous|longest|highest)"
    r"(?: [a-z-]+){1,2})), (?P<name>(?:[Tt]he (?:[a-z]+ )?)?[A-Z][\w’'-]*(?: [A-Z][\w’'-]*){0,4}),"
    r" (?:(?P<aux>is|was)\b|(?P<today>(?!has\b)[a-z]+s)\b|[a-z]+\b)"
)
_SOMEBODY = re.compile(
    rf"\b(?:{ROLES}|brother|father|son|uncle|husband|nephew|friend|cousin|grandfather|sister|mother|daughter|aunt|wife|niece"
    r"|widow|grandmother|successor|colleague|pupil|child|children|parents|boy|girl|[Hh]e|[Ss]he)\b"
)
_TWO_NAMES = re.compile(r"\b[A-Z][a-z]+ [A-Z][a-z]+")
_DEFINES = re.compile(r"^(?:is|was) (?:an?|the|one of)\b")
_OF_FIRMS = re.compile(r"^(?:was|is|has been) (?:founded|incorporated|headquartered|acquired)\b|^employs\b")
_NATURAL = word_set(
    "lake river mountain hill island valley glacier peninsula bay waterfall desert forest plateau volcano plant animal"
    " species bird fish tree star planet comet"
)
_ITS_OWN = re.compile(
    r"[Tt]he (?P<noun>name(?= (?:is|was) (?:derived|taken) from)|"
    r"(?:(?:current|present|chief|main|principal|original|first|founding|artistic|musical) )?"
    r"(?:rector|director|editor|chancellor|president|chairman|chairwoman|headquarters|architect|engineer|conductor|"
    r"captain|commander|screenplay|script|music|score|soundtrack|cinematography|libretto|lyrics|motto|slogan|capital|"
    r"curator|owner|maintainer|designer|builder|choreography|hull|roof|facade|organ|reference implementation)) "
    r"(?=(?:is|was|were|are|has been|had been) )"
)
"""Parts and officers that a page about one thing speaks of as its own: "The screenplay was written by …"."""
_NOUN = r"[a-z][a-z-]*(?: (?!of\b)[a-z][a-z-]*){0,3}"
_CAP = r"[A-Z][\w.+#’'-]*"
_CODE = (
    r"(?:/[\w./-]+\w|--?[a-z][\w-]+|[a-z]+[A-Z]\w*(?:\[\])?|[a-z]+ --?[a-z][\w-]*|[\w.]*\w\(\)|\w+_\w+|"
    r"[a-z]+[\w-]*\.(?:conf|h|c|py)|[a-z]+(?:-[a-z]+)*\d?)"
)
_SORTS = (
    "file|command|option|directive|module|function|method|class|package|program|parameter|variable|library|protocol|"
    "directory|format|algorithm|type|tool|utility|server|daemon|project|language|system|branch|table|view|extension|"
    "distribution|framework|standard|licence|license|editor|shell|compiler|kernel|engine|book|river|town|company|"
    "interface|routine|opcode|pragma|clause|statement|operator|keyword|object|macro|constant|decorator|attribute|flag|"
    "error|exception|setting|field|header|catalog|hook"
)
_CODED = re.compile(
    r"(?P<name>[/~][\w./-]+\w|[a-z][\w-]*(?:\(\d?\)|[_.]\w[\w.-]*(?:\(\))?|-[a-z]+)|[a-z]+[A-Z]\w*|"
    r"[a-z]+(?= is an? (?:[\w-]+ ){0,3}(?:program|tool|server|daemon|utility|command|package|library|client|suite)\b))"
    rf"(?= (?:{'|'.join(sorted({*THIRD_PERSONS, *PRESENT}))}|is|can) )"
)
"""How a sentence opens that names a file, a command or a function: in lower case, as no other sentence does."""
_GOES_ON = re.compile(r"(?<!\.)(?<!:)(?<!;)(?<!^- )[\w,)\]\"'”’](?<=.{55})$")
"""The end of a line that was broken where it was full."""
_OF = "default|maximum|minimum|original|full|official|first"
_COMMON = rf"(?:{_CAP}(?: \d)? (?:[a-z]+ ){{1,2}}?|[A-Z][a-z]+ (?:[a-z]+ )?(?=[a-z]+s )[a-z]+)"
_FREE = re.compile(
    rf"(?:(?P<sorted>[Tt]he (?P<code>{_CODE}|{_CAP}(?: {_CAP}){{0,2}}) (?:\([^()]*\) )?(?P<sort>{_SORTS})|"
    rf"[Tt]he (?:{_SORTS}) (?P<last>{_CODE}|{_CAP}))|"
    rf"(?P<default>[Tt]he (?:{_OF}) (?:[a-z]+ ){{1,3}}(?:of|for) (?:the )?"
    rf"(?P<of>{_CODE}|{_CAP}(?: {_CAP}){{0,3}})(?: (?:{_SORTS}))?)|"
    rf"(?P<common>{_COMMON}(?= ?(?:are|is) (?:[a-z]+ed|kept) ))|"
    rf"(?P<name>(?:[Tt]he )?{_CAP}(?: (?:(?:of|for|and) (?:the )?)?{_CAP}){{0,4}}))(?= [a-z(])"
)
"""How a sentence opens that names what it is about; what is common ("Unit files are stored") has no name."""
_HOW_MANY = word_set("Many Several Some New All Most Other Both Various Two Three Four Five More Few Certain Different")
"""Openings of subjects that mean some and not all of a sort."""


@dataclass(frozen=True, slots=True)
class AttributedSentence:
    """A sentence (``quote``) and whom it is about.

    ``subject`` stands in a question; of the page's subject there is the mark ``facts.SUBJECT``. ``noun`` is what is
    said to be the subject's ("outflow"). ``setting`` is a time before the subject ("In 1911"). ``named`` tells whether
    the sentence itself names the subject, and ``name`` is a subject's that is not the page's: what answers.
    ``called`` is what the page's first sentences call its subject.
    """

    subject: str
    predicate: str
    quote: str
    own: bool
    named: bool
    noun: str = ""
    setting: str = ""
    name: str = ""
    called: str = ""


def read_subjects(page: Page, topic: Topic, names: PageNames) -> Iterator[AttributedSentence]:
    """The plain sentences of a page whose subjects are certain, in page order."""
    reader = _Reader(page.text, topic, names)
    before = ""
    for line in page.text.splitlines():
        line = squeeze(line)
        if not _LINE.search(line) or line.startswith(_ENTRIES):
            reader.interrupt(line)
        else:
            for start, end in sentence_spans(line):
                opens = start > 0 or not _GOES_ON.search(before)
                yield from reader.read(line[start:end], opens=opens)
        before = line or before


def prose(text: str) -> list[str]:
    """The sentences of the lines that are no rows of tables."""
    lines = (squeeze(line).removeprefix("- ") for line in text.splitlines())
    return [
        line[start:end]
        for line in lines
        if _LINE.search(line) and not line.startswith("|")
        for start, end in sentence_spans(line)
    ]


class _Reader:
    """Reads the sentences of a page in order, and remembers whether the last one spoke of the page's subject."""

    def __init__(self, text: str, topic: Topic, names: PageNames):
        self._text = text
        self._thing = topic
        self._on_topic = False
        self._pronoun = ""
        self._names = names
        self._called = _names_of(topic, text)
        spellings = [*self._called, topic.name.partition(" (")[0]]
        if topic.person and len(topic.name.split()) > 1:
            spellings.append(topic.name.split()[-1])
        spelled = "|".join(any_case(name) for name in dict.fromkeys(spellings) if len(name) > 2)
        title = _TITLE if topic.person else ""
        self._name = re.compile(rf"(?:[Tt]he )?{title}(?:{spelled})(?![\w-])") if spelled else None
        self._kind = certain_kind(topic, text)

    def interrupt(self, line: str) -> None:
        """A line that is no sentence: after a heading a person is still "she", but "it" may be what it names."""
        self._on_topic = self._on_topic and self._thing.person and bool(_HEADING.fullmatch(line))

    def read(self, sentence: str, *, opens: bool) -> Iterator[AttributedSentence]:
        """Whom a sentence speaks of. Unless it ``opens`` a line of its own, its first words may end another one."""
        rest, setting, front = sentence, "", ""
        if found := _SETTING.match(rest):
            setting, rest = found["setting"], rest[found.end() :]
        elif (found := _FRONT.match(rest)) and is_participle(found["participle"].lower()):
            front, rest = found["front"], rest[found.end() :]
        elif (found := _DANGLES.match(rest)) or (found := _AFTER.match(rest)):
            rest = rest[found.end() :]
        own = self._own(rest)
        if own is None and (found := _BY_THE_WAY.match(rest)) and self._own(rest[found.end() :]):
            return  # under a condition that no question would tell; still, nothing else is spoken of
        if own is None:
            self._on_topic = self._on_topic and self._thing.person and self._is_still_meant(sentence)
            if opens and (found := _CODED.match(sentence)) and stands_alone(sentence, found["name"]):
                name = found["name"]
                yield AttributedSentence(name, sentence[found.end() + 1 :], sentence, own=False, named=True, name=name)
            elif not front:
                yield from self._free(sentence, rest, setting)
            return
        subject, predicate, noun = own
        if is_plain(sentence):
            named = any(name in sentence for name in self._called)
            if front and not noun:
                verb = "is" if front.startswith("Named") else "was"
                yield AttributedSentence(
                    subject, f"{verb} {front[0].lower()}{front[1:]}", sentence, True, named, called=self._called[-1]
                )
            predicate = self._with_name(predicate)
            yield AttributedSentence(subject, predicate, sentence, True, named, noun, setting, called=self._called[-1])
            for said in () if noun else self._said_beside(rest, predicate):
                yield AttributedSentence(subject, said, sentence, True, named, called=self._called[-1])
        stays = not noun or noun.endswith("s")
        stays = stays and (bool(_DEFINES.match(predicate)) or not _BRINGS_IN.search(predicate))
        self._on_topic = self._thing.person or stays

    def _said_beside(self, text: str, predicate: str) -> Iterator[str]:
        """What a sentence says of its subject in relative clauses and appositions."""
        if (end := self._named_end(text)) and (found := _SAYS_ASIDE.match(text[end:])):
            yield f"{found['said'] or 'was ' + found['participle'] + ' ' + found['rest']}."
        if found := _DEFINED_THAT.match(predicate.rstrip(".")):
            yield f"{found['said']}."

    def _named_end(self, text: str) -> int:
        """Where the name, or "the lake", ends with which a text begins; 0 if it begins otherwise."""
        found = self._name.match(text) if self._name else None
        if found is None and self._kind:
            found = re.match(rf"[Tt]he {self._kind}(?=[ ,]|['’]s )", text)
        return found.end() if found else 0

    def _with_name(self, predicate: str) -> str:
        return re.sub(rf"\bthe {self._kind}\b(?! (?:of|in)\b)", SUBJECT, predicate) if self._kind else predicate

    def _own(self, text: str) -> tuple[str, str, str] | None:
        """Subject, predicate and noun of a sentence about the page's subject."""
        whole = self._whole(text)
        if whole:
            rest = text[whole:]
            if found := re.match(rf"['’]s? (?P<noun>{_NOUN}) (?=[a-z])", rest):
                return self._possessed(found["noun"], rest[found.end() :])
            for extra in (_PARENTHESIS, _APPOSITION):
                rest = extra.sub("", rest)
            return (SUBJECT, rest[1:], "") if rest.startswith(" ") and rest[1:2].islower() else None
        if (found := _NAMES_ITS.match(text)) and self._take_pronoun(found["pronoun"], ""):
            aux = found["aux"] or ("is" if found["today"] else "was")
            return f"the {found['noun']} of {SUBJECT}", f"{aux} {found['name']}.", found["noun"]
        possessive = re.match(rf"(?P<pronoun>[Ii]ts|[Hh]is|[Hh]er) (?P<noun>{_NOUN}) (?=[a-z\d])", text)
        if possessive and self._take_pronoun(possessive["pronoun"], text[possessive.end() :]):
            return self._possessed(possessive["noun"], text[possessive.end() :])
        if (found := _IS_ITS.match(text)) and self._take_pronoun(found["pronoun"], ""):
            return (
                f"the {found['noun']} of {SUBJECT}",
                f"{found['aux']} {found['name'].replace('The ', 'the ')}.",
                found["noun"],
            )
        if self._on_topic and not self._thing.person and (found := _ITS_OWN.match(text)):
            return f"the {found['noun']} of {SUBJECT}", text[found.end() :], found["noun"]
        if (found := re.match(r"[Vv]ersion (?P<number>\d[\d.]*) (?=[a-z])", text)) and self._on_topic:
            return f"version {found['number']} of {SUBJECT}", text[found.end() :], ""
        found = re.match(rf"[Tt]he (?P<noun>{_NOUN}) of (?=\S)", text)
        if found and not any(map(_is_verb, found["noun"].split()[1:])):
            rest = text[found.end() :]
            if end := self._whole(rest, inside=True):
                return self._possessed(found["noun"], rest[end:].strip())
        return None

    def _whole(self, text: str, *, inside: bool = False) -> int:
        """Where the words for the page's subject end with which a text begins; 0 if it begins otherwise."""
        if end := self._named_end(text):
            return end
        found = None if inside else re.match(r"(?:[Ii]t|[Hh]e|[Ss]he)(?= [a-z])", text)
        return found.end() if found and self._take_pronoun(found.group(), text[found.end() + 1 :]) else 0

    def _take_pronoun(self, pronoun: str, predicate: str) -> bool:
        """Take a pronoun for the page's subject; False where it is not certainly that. The first one taken stays."""
        word = {"its": "it", "his": "he", "her": "she"}.get(pronoun.casefold(), pronoun.casefold())
        if word == "she" and self._thing.kind in SHIPS.split("|"):
            word = "it"
        if not self._on_topic or self._thing.person != (word != "it"):
            return False
        if word == "it":
            return not (self._thing.kind in _NATURAL and _OF_FIRMS.match(predicate))
        self._pronoun = self._pronoun or word
        return self._pronoun == word

    def _is_still_meant(self, sentence: str) -> bool:
        """Whether "he" after a sentence about something else is still the person: it brings in nobody else."""
        others = re.sub(self._name, "", sentence) if self._name else sentence
        return not re.search(_TWO_NAMES, others) and not _SOMEBODY.search(others)

    def _possessed(self, noun: str, rest: str) -> tuple[str, str, str] | None:
        """ "Its north shore lies …": the noun ends where the verb begins."""
        words = [*noun.split(), *rest.split()]
        at = next((at for at, word in enumerate(words[:6]) if at and _is_verb(word)), 0)
        if not at or any(not re.fullmatch(r"[a-z-]+", word) for word in words[:at]):
            return None
        owned = " ".join(words[:at])
        return f"the {owned} of {SUBJECT}", " ".join(words[at:]), owned

    def _free(self, sentence: str, rest: str, setting: str) -> Iterator[AttributedSentence]:
        """A sentence about something that it names itself."""
        found = _FREE.match(rest)
        if not found or not stands_alone(sentence):
            return
        predicate = _PARENTHESIS.sub("", rest[found.end() :]).strip()
        subject = found.group().strip()
        if subject.endswith(("'s", "’s")):
            return
        if found["common"] and subject.split()[0] in _HOW_MANY:
            return
        if found["common"]:
            named = re.search(r"[A-Z\d_]", subject[1:]) or self._names.has_capital(subject.split()[0])
            lowered = subject if named else subject[0].lower() + subject[1:]
            yield AttributedSentence(lowered, predicate, sentence, own=False, named=True, setting=setting)
            return
        if found["default"] and not self._names.is_distinctive(found["of"], ""):
            return
        if found["name"] and not self._names.is_used_as_name(subject):
            return
        if found["sorted"] and not self._names.is_distinctive(found["code"] or found["last"], found["sort"] or ""):
            return
        subject = _PARENTHESIS_INSIDE.sub("", subject)
        if subject.startswith("The "):
            subject = f"the {subject[4:]}"
        noun, name = "default" if found["default"] else "", found["code"] or found["last"] or found["name"] or ""
        name = "" if setting else name.removeprefix("The ")
        yield AttributedSentence(
            subject, predicate, sentence, own=False, named=True, noun=noun, setting=setting, name=name
        )


def _is_verb(word: str) -> bool:
    return word in AUXILIARIES or word in PAST or word in PRESENT or (is_participle(word) and word.endswith("ed"))


def _names_of(topic: Topic, text: str) -> list[str]:
    """What the first sentence may call the subject: its name, and "Kestrel" for the Kestrel Protocol, if it does."""
    if topic.name.endswith(")") and " (" in topic.name:
        return [topic.name, topic.name.partition(" (")[0]]
    short, _, last = topic.name.rpartition(" ")
    opens = text.removeprefix(topic.name).lstrip()
    shortened = short and topic.name not in opens[:300] and re.match(rf"(?:The )?{re.escape(short)} is an? ", opens)
    if len(topic.name.split()) > 1 and topic.name.split()[-1].islower():
        return [topic.name, topic.name[0].lower() + topic.name[1:]]
    return (
        [topic.name, short] if shortened and re.search(rf"\b{re.escape(last.lower())}\b", opens[:300]) else [topic.name]
    )
