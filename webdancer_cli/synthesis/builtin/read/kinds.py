"""What a noun phrase is: a year, a size, a number of something, a version, a name, code, or another phrase."""

import re
from dataclasses import dataclass
from typing import Literal

from webdancer_cli.synthesis.builtin.read.facts import SUBJECT
from webdancer_cli.synthesis.page_topic import ROLES
from webdancer_cli.synthesis.standalone import word_set
from webdancer_cli.text.months import MONTH
from webdancer_cli.text.numbers import SMALL

Kind = Literal["year", "time", "span", "size", "number", "version", "code", "name", "phrase"]

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
YEAR = r"(?:1[0-9]|20)\d\d"
_TIME = (
    rf"(?:(?:early|late|mid) )?(?:(?:\d{{1,2}} )?(?:{MONTH})(?: \d{{1,2}},)? |"
    rf"(?:the )?(?:spring|summer|autumn|fall|winter)(?: of)? |the )?{YEAR}s?|{YEAR}-[01]\d-[0-3]\d"
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
_ROLE = rf"(?:the |an? |its |his |her )?(?P<role>(?:[A-Z][a-z]+(?:n|sh|se|ch|ic) )?(?:[a-z-]+ ){{0,2}}{ROLES} )"
_SEATS = "town|city|village|county|province|district|region|municipality|parish|island|port|state|kingdom"
_BUILDINGS = "castle|chapel|church|abbey|palace|monastery|cathedral|harbour|port|fortress|convent|manor"
_REGIONS = "district|region|county|province|mountains|hills|highlands|peninsula|valley|range|coast|islands?|archipelago"
_PATTERNS: tuple[tuple[Kind, str], ...] = (
    ("year", YEAR),
    ("time", _TIME),
    ("span", rf"{YEAR} (?:and|to|until) {YEAR}"),
    ("size", _SIZE),
    (
        "number",
        rf"{_ROUGHLY}(?P<amount>{_NUMBER}) (?P<counted>(?:[a-z-]+ ){{0,2}}(?:[a-z-]+s|people|children)(?: of [a-z]+)?)",
    ),
    ("number", _NUMBER),
    ("version", rf"(?:the )?(?:{_VERSION})"),
    ("code", rf"(?:the |a )?(?:file )?(?P<core>{_CODE})(?: {_HOLDER})?"),
    ("code", r"[\"“](?P<core>[\w][\w .,!?'-]{0,40})[\"”]"),
    ("name", rf"the (?P<core>(?:{_BUILDINGS}) of {_NAME})"),
    (
        "name",
        rf"(?:{_ROLE}|the (?:{_SEATS}) of |the )?(?P<core>{_NAME}(?: (?:{_REGIONS})|(?:, {_NAME})+,? and {_NAME})?)",
    ),
)
_KINDS = [(kind, re.compile(pattern)) for kind, pattern in _PATTERNS]

PRONOUNS = word_set(
    "this that these those it they them he she him we us you your our i my me there here such same following former"
    " latter above below other others another one ones each every any some many several certain what how why if"
)
AUXILIARIES = word_set("is are was were has have had")


@dataclass(frozen=True, slots=True)
class Part:
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
    """Whether more of its kind follows: "granite" of "granite and gneiss", but not of "granite and was built"."""

    def __str__(self) -> str:
        return f"{self.prep} {self.text}".strip()


def kind_of(text: str) -> Part | None:
    """A noun phrase with its kind; None if it leans on something else."""
    for kind, pattern in _KINDS:
        if found := pattern.fullmatch(text):
            groups: dict[str, str | None] = found.groupdict()
            core = groups.get("core") or groups.get("amount") or re.sub(r"^the (?=[^a-z]|[a-z]+[^a-z ])", "", text)
            if kind in ("time", "span", "size"):
                core = text
            counted = groups.get("counted") or ""
            return Part("", text, kind, core.strip("\"“”'‘’"), bool(groups.get("role")), counted)
    words = text.casefold().split()
    leans = not PRONOUNS.isdisjoint(words) or not AUXILIARIES.isdisjoint(words)
    if leans or not re.fullmatch(rf"[{SUBJECT}\w’'./+#&,-]+(?: [{SUBJECT}\w’'./+#&,-]+)*", text):
        return None
    return Part("", text, "phrase", re.sub(r"^(?:the|an?) ", "", text))
