"""Terms on lines of their own and what stands under them: options, settings and their default values.

"--depth=<n>" and then "Create a shallow clone … The default is 1." says what an option does and what it is unless set.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from webdancer_cli.synthesis.builtin.read import wording
from webdancer_cli.synthesis.builtin.read.clauses import PREPOSITIONS
from webdancer_cli.synthesis.standalone import count_telling_words, has_stray_verb, is_gloss, is_plain, word_set
from webdancer_cli.text.spacing import squeeze
from webdancer_cli.text.words import sentence_spans

_OPTION = re.compile(r"(?<![\w-])--?[A-Za-z][\w-]*")
_TERM = re.compile(
    r"^(?P<option>--?[A-Za-z])|^(?P<name>[A-Za-z]\w*(?:[._]\w+)+|[A-Z]{3,}(?:_[A-Z]+)*|[A-Za-z]*[a-z][A-Z]\w*)"
    r"(?P<type> \((?:boolean|integer|string|enum|floating point)\))?(?:[=\[(<].{0,40})?$"
)
MAX_TERM_CHARS = 70
_UNIT = r"(?:seconds?|minutes?|hours?|days?|bytes|kilobytes|megabytes|milliseconds|[kMG]B)"
_VALUE = rf"(?P<value>[\"“'‘]?(?:[\w./-]*[\w/]|\.\w+)(?: {_UNIT})?[\"”'’]?)(?![\w.]*\w)"
_SAID = re.compile(rf"^(?:The default(?: value| setting)? is|Defaults to|Default is|Default:) {_VALUE}(?:[.,;]| \(|$)")
_ROW = re.compile(
    r"^\| ?Default(?: value)?:? ?\| ?(?P<term>[A-Za-z]\w*(?:[._]\w+)*[A-Z_.]\w*) "
    r"(?P<value>[\w./:%-]+(?: [\w./:%-]+)?) ?\|$"
)
_SWITCHES = re.compile(r"--(?:no|enable|disable|with|without)-")
"""Options whose default is not a value of theirs: "--disable-threads, defaults to enabled"."""
_NO_VALUE = word_set(
    "the a an to not no none taken derived set determined that this what same true false empty unset as in on from and"
    " computed based usually always never currently undefined unlimited whatever specified current"
)
_VERBS = word_set(
    "accept add allow append apply avoid cause change check commit compare compress connect control copy create"
    " define delete determine detect disable display do dump enable exclude execute exit extract fetch force"
    " format generate give hide ignore include install invoke keep limit list load lock log make mark merge move"
    " omit open output override perform preserve prevent print produce prompt prune push read record recurse"
    " reduce refresh remove rename replace report request require reset restore restrict resume retain return"
    " rewrite run save search select send separate set show skip sort specify split start stop store strip"
    " suppress terminate track truncate try turn update use validate verify wait warn write"
)
_TAKE_OBJECTS = word_set("show display print list make specify set produce give create record output write")
_THIRD = {wording.third_of(verb): verb for verb in _VERBS}
_AND_VERB = re.compile(rf"\b(?:and|or|then|otherwise) (?:then |roll )?(?:{'|'.join(sorted(_VERBS))}|back)\b")
_LEANS = re.compile(
    r"\b(?:you|your|yourself|we|our|they|them|their|it|its|option|also|instead|same|parameter|setting|following|not"
    r"|only if)\b"
    r"|[;:“”\"(<]|, (?:and|but|so|then)\b|\b(?:if|when|unless) (?:set|given|specified)\b"
)
_SYNOPSIS = re.compile(r"^synopsis$", re.IGNORECASE | re.MULTILINE)
_WITH_ARTICLE = re.compile(r"\b(?:the|an?|each|every|any|given|specified) [\w-]+")
_STATES = re.compile(
    r"^(?:(?!\b(?:that|which|who|whose|where|when|if|whether)\b).)*\b(?:needs|requires|allows|must|has|have|is|are|can|will)\b"
)
"""A sentence, and no phrase: "The proxy needs to be stopped"."""
IS_TYPE = re.compile(
    r"(?:An?|The) (?:optional |required )?(?:boolean|string|integer|number|list|array|object|map|flag)\b", re.IGNORECASE
)
_NAMES_WHAT = re.compile(
    r"(?:The|An?|Number|Name|Path|List|Maximum|Minimum|Optional|Directory|Time|Size) (?:(?!(?:the|an?) )[\w'-]+ ){0,4}?"
    r"(?:of|for|to|in|that|which|at|between|from|used|per) (?:[\w'-]+ ){1,10}[\w'-]+\.$"
)
MIN_WORDS, MAX_WORDS, MIN_TELLING = 6, 26, 4


@dataclass(frozen=True, slots=True)
class Term:
    """``names`` are its spellings, the longest first; ``sort`` is "option", "parameter" or the like, or ""."""

    names: tuple[str, ...]
    line: str
    sort: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TermStatement:
    """``question`` begins in lower case and ends without its mark; ``aliases`` are other spellings of the answer.

    ``by_the_dozen`` tells whether the text has many alike.
    """

    question: str
    answer: str
    quotes: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    by_the_dozen: bool = False


def read_term_statements(text: str) -> Iterator[TermStatement]:
    """What a text says under its terms, and in rows that are labelled as defaults."""
    terms = list(read_terms(text))
    met = Counter(name for term in terms for name in term.names)
    again = any(met[name] > 1 for term in terms if term.sort == "option" for name in term.names)
    if again or len(_SYNOPSIS.findall(text)) > 1:  # the manuals of several commands: whose is "-F"?
        terms = [term for term in terms if term.sort != "option"]
    for term in terms:
        called = f"the option {term.names[0]}" if term.sort == "option" else term.names[0]
        for sentence in term.sentences if term.sort not in ("function", "method") else ():
            found = _SAID.match(sentence)
            if found and _is_value(found["value"]) and met[term.names[0]] == 1 and not _SWITCHES.match(term.names[0]):
                value = found["value"].strip("\"“”'‘’")
                yield TermStatement(f"what is the default value of {called}", value, (term.line, sentence))
        if term.sort and not _names_argument(term) and (does := _purpose(term.sentences[0])):
            yield TermStatement(
                f"which {term.sort} {does}", term.names[0], (term.line, term.sentences[0]), term.names[1:]
            )
        elif _is_phrase(term):
            asked = f"which {term.sort}" if term.sort else "what"
            question = f"{asked} is described as “{term.sentences[0].rstrip('.')}”"
            yield TermStatement(
                question, term.names[0], (term.line, term.sentences[0]), term.names[1:], by_the_dozen=True
            )
    for line in map(squeeze, text.splitlines()):
        if (row := _ROW.match(line)) and _is_value(row["value"]):
            yield TermStatement(f"what is the default value of {row['term']}", row["value"], (line.strip("| "),))


def _names_argument(term: Term) -> bool:
    """Whether what is said of a term names a placeholder of it: "Add dir to the list" under "--include=<dir>"."""
    if term.sort == "parameter":
        return False  # behind it stands its type
    behind = _OPTION.sub("", term.line) if term.sort == "option" else re.sub(r"^[^=\[(<]*", "", term.line)
    bare = _WITH_ARTICLE.sub("", term.sentences[0])
    return any(re.search(rf"(?<![\w-]){name}(?![\w-])", bare) for name in re.findall(r"[A-Za-z][\w-]+", behind))


def read_terms(text: str) -> Iterator[Term]:
    """The terms of a text with the sentences of the line under each."""
    raw = [squeeze(line) for line in text.splitlines() if line.strip()]
    lines = [line.removeprefix("- ") for line in raw]
    names: list[str] = []
    for at, line in enumerate(lines):
        found = _TERM.match(line) if 0 < len(line) <= MAX_TERM_CHARS and line[-1] not in ".:;" else None
        if found is None or (line.isalpha() and line.isupper() and raw[at] == line):  # that is a heading
            names = []
            continue
        spelled = _OPTION.findall(re.sub(r"[=\[<].*?(?=,|$)", "", line)) if found["option"] else [found["name"]]
        names = [*names, *spelled] if found["option"] else spelled
        if found["option"] and not _is_one_option(names):
            names = []
            continue
        under = lines[at + 1] if at + 1 < len(lines) else ""
        if len(under.split()) < 3 or _TERM.match(under) or not names:
            continue
        longest = sorted(dict.fromkeys(names), key=len, reverse=True)
        sort = "option" if found["option"] else "parameter" if found["type"] else _sort(longest[0], line, text)
        sentences = tuple(under[start:end] for start, end in sentence_spans(under))
        yield Term(tuple(longest), line, sort, sentences)
        names = []


def _sort(name: str, line: str, text: str) -> str:
    """What the spelling says: ``gc.auto`` is a setting, ``File.close()`` a method, and ``File.name`` an attribute."""
    in_class = re.search(r"(?:^|\.)[A-Z]\w*\.\w+$", name) is not None
    if line.startswith(f"{name}(") and name.isupper():
        return ""  # a macro with what it is given: "DECLARE_HOOK(int, when, …)"
    if line.startswith(f"{name}("):
        return "method" if in_class or ("." not in name and "\nclass " in text) else "function"
    if "." not in name:
        return "function" if f"{name}(" in text else ""
    return "attribute" if in_class else "setting"


def _is_one_option(names: list[str]) -> bool:
    """Whether names are the short and the long spelling of one option, or one of them."""
    long = [name for name in names if name.startswith("--")]
    short = [name for name in names if re.fullmatch(r"-\w", name)]
    return len(long) <= 1 and len(short) <= 1 and len(long) + len(short) == len(names)


def _purpose(sentence: str) -> str:
    """ "creates a shallow clone" of "Create a shallow clone."; "" if a sentence says no such thing, or too little."""
    words = sentence.rstrip(".").split()
    first = words[0].casefold() if words else ""
    third = first if first in _THIRD else wording.third_of(first) if first in _VERBS else ""
    rest = " ".join(words[1:])
    if first in _VERBS and _AND_VERB.search(rest):
        return ""  # "Commit or roll back …": one verb alone would be in the third person
    if len(words) > 1 and words[1] in PREPOSITIONS and first in _TAKE_OBJECTS:
        return ""  # "Show in a format …": whatever it is that is shown
    if has_stray_verb(sentence):
        return ""
    if not third or not is_plain(sentence) or _LEANS.search(rest) or not MIN_WORDS <= len(words) <= MAX_WORDS:
        return ""
    return f"{third} {rest}" if count_telling_words(rest) >= MIN_TELLING else ""


def _is_phrase(term: Term) -> bool:
    """Whether a term is explained by what it is: "The location of the top-level queue directory."."""
    said = term.sentences[0]
    plain = _NAMES_WHAT.match(said) is not None and said[-1] == "." and not IS_TYPE.match(said)
    plain = plain and not _STATES.search(said)
    tells = plain and is_gloss(said.rstrip("."), term.names[0])
    return tells and not _LEANS.search(said) and not _names_argument(term)


def _is_value(value: str) -> bool:
    placeholder = re.match(r"[A-Z]{3,}/", value) is not None
    return value.casefold() not in _NO_VALUE and not value.endswith(("-", "=")) and not placeholder
