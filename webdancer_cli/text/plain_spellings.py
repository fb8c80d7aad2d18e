"""Other ways of writing one number, range, time or measure, each in the one that the rule judge compares.

"World War II" is World War 2, "half a million" 500,000, "3 pm" 15:00, "AD 44" 44 CE. Only what a person would read in
one way is rewritten: single letters are no Roman numerals (Malcolm X), "10 to 20" is a range only if it is the whole
answer, and nothing is converted from one unit into another. Capitals decide nothing, or "world war ii" would not be
World War II.
"""

import re
from collections.abc import Callable
from decimal import Decimal

from webdancer_cli.text.numbers import ORDINALS, SMALL, without_zeros

_SCALE = "(?:thousand|million|billion|trillion|lakh|crore)"
_COUNT = "|".join(sorted((word for word, value in SMALL.items() if 0 < value < 20), key=len, reverse=True))
_PARTS = {"half": 2, "halves": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7} | {
    "eighth": 8, "ninth": 9, "tenth": 10
}  # fmt: skip
_PART = "|".join(_PARTS)

# "half a million", "a quarter of a million", "three quarters of a million"
_PART_OF_SCALE = re.compile(
    rf"\b(?:(?P<half>half)|(?:an? )?(?P<quarter>quarter) of|(?P<three>three[ -]quarters) of) an? (?P<scale>{_SCALE})\b",
    re.IGNORECASE,
)
# "two and a half", "1 and three quarters million"
_AND_PART = re.compile(
    rf"\b(?P<whole>{_COUNT}|\d{{1,15}}) and (?:(?:a|one) (?P<part>half|quarter)|(?P<three>three quarters))\b",
    re.IGNORECASE,
)
# "two thirds", "one half"
_FRACTION = re.compile(rf"\b(?P<above>{_COUNT})[ -](?P<below>{_PART})(?P<many>s?)\b", re.IGNORECASE)
_DOZEN = re.compile(rf"\b(?P<count>half a|a|{_COUNT}) dozen\b(?! of)", re.IGNORECASE)
_TIMES = {"once": "1 time", "twice": "2 times", "thrice": "3 times"}

_ROMAN = re.compile(r"(?<=[^\W\d_] )(?=[IVX]{2})(?P<tens>X{0,3})(?P<ones>IX|IV|V?I{0,3})(?![\w'-])", re.IGNORECASE)
_ONES = {"": 0, "I": 1, "II": 2, "III": 3, "IV": 4, "V": 5, "VI": 6, "VII": 7, "VIII": 8, "IX": 9}
# "Elizabeth the Second", "Henry the 8th of England"; not "on the first"
_NO_NAME = "after|and|are|as|at|before|but|by|for|from|in|is|of|on|or|since|than|to|until|was|were|with"
_REGNAL = re.compile(
    rf"\b(?!(?:{_NO_NAME})\b)(?P<name>[^\W\d_]+) the (?:(?P<rank>{'|'.join(ORDINALS)})|"
    r"(?P<digits>\d\d?)(?:st|nd|rd|th))(?= of\b|[^\w\s'-]|\s*$)",
    re.IGNORECASE,
)

_NUMBER = r"\d[\d,.]*"
_RANGE = re.compile(
    rf"(?:(?:from )?(?P<a>{_NUMBER})(?: ?- ?| to | until | through )(?P<b>{_NUMBER})"
    rf"|between (?P<c>{_NUMBER}) and (?P<d>{_NUMBER}))(?P<unit>(?:(?<=\d) ?[^\d\s,.-].*)?)",
    re.IGNORECASE,
)
_FEET_AND_INCHES = re.compile(
    r"(?<![\w.])(?P<feet>\d+) ?(?:feet|foot|ft\.?),? (?:and )?(?P<inches>\d+) ?(?:inches|inch|in\b\.?)", re.IGNORECASE
)
_CLOCK = re.compile(
    r"(?<![\w:.])(?P<hour>1[0-2]|0?[1-9])(?:[:.](?P<minute>[0-5]\d))? ?"
    r"(?:(?P<half>[ap])\.?m|(?P<capital>[AP])\.?M)\b\.?"
)
_NOON = re.compile(r"(?:12(?::00)? ?)?(?P<when>noon|midday|midnight)", re.IGNORECASE)
_ERA_BEFORE = re.compile(r"\b(?:A\.D\.|AD) ?(?P<year>\d{1,4})(?!\w)", re.IGNORECASE)
_ERA = re.compile(r"(?<=\d) ?(?:(?P<bc>B\.C\.E?\.?|BCE?)|(?:A\.D\.|AD|C\.E\.|CE))(?!\w)", re.IGNORECASE)
_RUPEES = re.compile(r"\bRs\.? ?(?=\d)", re.IGNORECASE)
_POWER = re.compile(
    r"(?<![\w.^×-])(?:(?P<mantissa>\d+(?:\.\d+)?)(?:[eE]| ?[x×*] ?10\^)|10\^)\+?(?P<power>-?\d{1,3})(?![\w^]|\.\d)"
)
MAX_DIGITS = 15
_QUARTER = re.compile(
    r"\b(?:the )?(?P<rank>first|second|third|fourth|1st|2nd|3rd|4th) quarter(?: of|,)? (?P<year>\d{4})\b", re.IGNORECASE
)
_COMMA_DECIMAL = re.compile(rf"(?<![\d.,])(\d+),(\d{{1,2}})(?= {_SCALE}\b)", re.IGNORECASE)
_LENGTH = r"(?:kilo|centi|milli)?met(?:re|er)s?|km|cm|mm|m|miles?|mi|feet|foot|ft|inches|inch|in|yards?|yd"
_SQUARE = re.compile(rf"\b(?:(?P<square>square|sq\.?)|cubic|cu\.?) (?P<unit>{_LENGTH})\b\.?", re.IGNORECASE)
_MILES_PER_HOUR = re.compile(r"\b(?:miles? (?:per|an) hour|mi/h)\b", re.IGNORECASE)
_PER_TIME = re.compile(
    r"\b(?P<unit>(?:kilo|centi|milli)?met(?:re|er)s?|km|m) (?:per|an|a) (?P<time>hour|second|h|s)\b", re.IGNORECASE
)


def common_spelling(text: str) -> str:
    """A plain text (see ``spelling.plain_text``), its numbers, ranges, times and measures written in one way."""
    for pattern, written in _RULES:
        text = pattern.sub(written, text)
    bare = text.strip().rstrip(".")
    if found := _NOON.fullmatch(bare):
        return "00:00" if found["when"].lower() == "midnight" else "12:00"
    if found := _RANGE.fullmatch(bare):
        return _range(found)
    return _TIMES.get(bare.lower(), text)


def _value(word: str) -> int:
    return int(word) if word.isdigit() else SMALL[word.lower()]


def _part_of_scale(found: re.Match[str]) -> str:
    share = "0.5" if found["half"] else "0.25" if found["quarter"] else "0.75"
    return f"{share} {found['scale'].lower()}"


def _and_part(found: re.Match[str]) -> str:
    share = ".75" if found["three"] else ".5" if found["part"].lower() == "half" else ".25"
    return f"{_value(found['whole'])}{share}"


def _fraction(found: re.Match[str]) -> str:
    """ "one third" and "two thirds"; not "one thirds", and not "two third" of "the two third parties"."""
    above, many = _value(found["above"]), bool(found["many"]) or found["below"].lower() == "halves"
    return f"{above}/{_PARTS[found['below'].lower()]}" if many == (above > 1) else found[0]


def _dozen(found: re.Match[str]) -> str:
    count = found["count"].lower()
    return "6" if count == "half a" else str(12 * (1 if count == "a" else _value(count)))


def _roman(found: re.Match[str]) -> str:
    return str(10 * len(found["tens"]) + _ONES[found["ones"].upper()])


def _regnal(found: re.Match[str]) -> str:
    return f"{found['name']} {found['digits'] or ORDINALS[found['rank'].lower()]}"


def _range(found: re.Match[str]) -> str:
    """With one dash, and the years of "1914-18" in full; "2001-02" may be a month, and stays."""
    first, last = found["a"] or found["c"], found["b"] or found["d"]
    if re.fullmatch(r"1\d{3}|20\d\d", first) and re.fullmatch(r"1[3-9]|[2-9]\d", last) and last > first[2:]:
        last = first[:2] + last
    return f"{first}-{last}{found['unit']}"


def _clock(found: re.Match[str]) -> str:
    is_afternoon = (found["half"] or found["capital"]).lower() == "p"
    return f"{int(found['hour']) % 12 + 12 * is_afternoon:02}:{found['minute'] or '00'}"


def _power(found: re.Match[str]) -> str:
    """A number of at most fifteen digits, or the power of ten with one sign of multiplication."""
    mantissa, power = Decimal(found["mantissa"] or 1), int(found["power"])
    value = mantissa.scaleb(power) if 0 <= power < MAX_DIGITS else None
    if value is not None and value == value.to_integral_value() and value < 10**MAX_DIGITS:
        return str(int(value))
    return f"{without_zeros(found['mantissa'])}×10^{power}" if found["mantissa"] else f"10^{power}"


_RANKS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "1st": 1, "2nd": 2, "3rd": 3, "4th": 4}

_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (_PART_OF_SCALE, _part_of_scale),
    (_AND_PART, _and_part),
    (_QUARTER, lambda found: f"Q{_RANKS[found['rank'].lower()]} {found['year']}"),
    (_FRACTION, _fraction),
    (_DOZEN, _dozen),
    (_ROMAN, _roman),
    (_REGNAL, _regnal),
    (_FEET_AND_INCHES, lambda found: f"{found['feet']}'{found['inches']}\""),
    (_CLOCK, _clock),
    (_ERA_BEFORE, lambda found: f"{found['year']} AD"),
    (_ERA, lambda found: " BC" if found["bc"] else " AD"),
    (_RUPEES, lambda found: "₹"),
    (_POWER, _power),
    (_COMMA_DECIMAL, lambda found: f"{found[1]}.{found[2]}"),
    (_SQUARE, lambda found: f"{found['unit']}^{2 if found['square'] else 3}"),
    (_MILES_PER_HOUR, lambda found: "mph"),
    (_PER_TIME, lambda found: f"{found['unit']}/{found['time'][0].lower()}"),
)
