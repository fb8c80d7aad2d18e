"""Dates, amounts of money and measures in one form each, so that they can be compared as text.

The case of a unit carries meaning (mW, MW) and is kept where that of words is folded: a capital of a unit is written
after ``CAPITAL``. Only what is unambiguous is rewritten: ``05/06/1821`` stays as it is.
"""

import re
from calendar import monthrange

from webdancer_cli.text.months import MONTHS
from webdancer_cli.text.numbers import without_zeros

CAPITAL = "\ue000"
PER = "\u2215"
"""The stroke in km/h, which is no mark between words."""

_MONTHS = {name[:size].lower(): at for at, name in enumerate(MONTHS, 1) for size in (3, len(name))}
_MONTHS |= {"sept": 9}
_MONTH = r"(?<![^\W\d])(" + "|".join(sorted(_MONTHS, key=len, reverse=True)) + r")\b\.?"
_DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(\d{3,4})"
# Borders of a date that is not a part of something longer: not in "a/5 May", "2021-05-06T10" or a URL.
_ALONE = r"(?<![\w/:.-])"
_END = r"(?![\w/:]|[-.]\w)"

# "5 May 1821", "the 5th of May"
_DAY_FIRST = re.compile(rf"{_ALONE}(?:the )?{_DAY}(?: of)? {_MONTH}(?:,? {_YEAR})?{_END}", re.IGNORECASE)
# "May 5, 1821"; not the "May 5" of "May 5-7"
_MONTH_FIRST = re.compile(rf"{_MONTH} (?:the )?{_DAY}(?:,? {_YEAR})?{_END}(?! ?[-/] ?\d)", re.IGNORECASE)
# "May 1821", "May of 1821"
_MONTH_ALONE = re.compile(rf"(?<!\d[-/ ]){_MONTH}(?: of|,)? {_YEAR}{_END}", re.IGNORECASE)
# 1821-05-06, with one separator throughout
_YEAR_FIRST = re.compile(rf"{_ALONE}(\d{{4}})([-/.])(\d{{1,2}})\2(\d{{1,2}}){_END}")
# 06.05.1821: which is the day, ``_year_last`` decides, or leaves it
_YEAR_LAST = re.compile(rf"{_ALONE}(\d{{1,2}})([-/.])(\d{{1,2}})\2(\d{{4}}){_END}")

_SCALES = {"k": "thousand", "m": "million", "mn": "million", "mln": "million", "mm": "million"} | {
    "b": "billion", "bn": "billion", "tn": "trillion", "t": "trillion"
}  # fmt: skip
_SCALE = r"(?: ?(thousand|million|billion|trillion|lakh|crore|mln|mn|mm|bn|tn|[kmbt])(?![\w/]))?"
_CODES = {"eur": "€", "gbp": "£", "jpy": "¥", "inr": "₹", "usd": "us$"} | {
    "dollar": "$", "dollars": "$", "us dollar": "us$", "us dollars": "us$", "euro": "€", "euros": "€", "yen": "¥"
}  # fmt: skip
_SYMBOL = r"((?:\b[A-Z]{1,2})?[$€£¥₩₪₫₱₴₸₹₺₽₿¢]|\b(?:EUR|GBP|JPY|INR|USD)\b)"
_WORD = r"([$€£¥₩₪₫₱₴₸₹₺₽₿¢]|(?i:us dollars?|dollars?|euros?|yen|eur|gbp|jpy|inr|usd|us\$))(?!\w)"
# "$5", "US$ 1.2 billion", "-€5", "EUR 5k"
_CURRENCY_FIRST = re.compile(rf"(?<![\w.])(-?) ?{_SYMBOL} ?(-?)(\d+(?:[.,]\d+)?){_SCALE}(?![\d,]*\d)", re.IGNORECASE)
# "5 €", "1.2 million dollars"
_CURRENCY_LAST = re.compile(rf"(?<![\w.,/:])(\d+(?:[.,]\d+)?){_SCALE} ?{_WORD}", re.IGNORECASE)

_PERCENT = re.compile(r"%|\bper ?cent\b", re.IGNORECASE)
_PER_MILLE = re.compile(r"‰|\bper ?mille\b", re.IGNORECASE)
# "5 °C", "5 degrees Celsius", "90°"
_DEGREES = re.compile(r"(?<=\d) ?(?:°|degrees?\b|deg\b\.?)(?: ?(celsius|centigrade|fahrenheit|[cf])\b)?", re.IGNORECASE)
# "5 p.m.", "5PM"
_HALF_OF_DAY = re.compile(r"(?<=\d) ?([ap])\.?m\b\.?", re.IGNORECASE)
# "3 x 4", "3×4", "3*4"
_TIMES = re.compile(r"(?<=\d) ?[x×*] ?(?=\d)")
# "m^2", "s-1": a unit of up to eleven letters and its power
_UNIT_AND_POWER = r"([A-Za-zμΩ]{1,11})(\^?-?[1-4])?"
# "5 km/h", "3.5 m^2", "10^6 Hz", "2:30 min"
_MEASURE = re.compile(
    r"(?<![\w.,])(\d+(?:[.,/:-]\d+){0,3}(?:\^-?\d+)?) ?" + f"{_UNIT_AND_POWER}(?:/{_UNIT_AND_POWER})?" + r"(?![\w'])"
)

_PREFIXES = {
    "W": "mμnkMGT", "V": "mμkM", "A": "nμmkM", "Hz": "mkMGT", "Pa": "mhkMG", "J": "mkMGT", "N": "mkMG", "Wh": "mkMGT",
    "eV": "mkMGT", "m": "nμmcdkM", "g": "nμmkM", "s": "nμm", "l": "μmcdhkM", "B": "kKMGTP", "b": "kKMGT",
    "bps": "kKMGT", "Bps": "kKMGT", "mol": "mμn", "F": "pnμm", "H": "nμm", "Ω": "mkM", "T": "mμn", "t": "kMG",
    "Bq": "kMG", "Sv": "mμ", "K": "mμk", "bar": "mk", "S": "mμ", "C": "mμ", "M": "mμn", "G": "k", "k": "",
    "h": "", "cal": "k", "dB": "", "lm": "k", "lx": "k", "ha": "", "ft": "", "in": "", "yd": "", "mi": "", "lb": "",
    "oz": "", "mph": "", "min": "", "rpm": "", "px": "", "hp": "", "cc": "",
}  # fmt: skip
_SPELLED = {
    "hr": "h", "hrs": "h", "hour": "h", "hours": "h", "minute": "min", "minutes": "min", "mins": "min", "sec": "s",
    "secs": "s", "seconds": "s", "lbs": "lb", "feet": "ft", "foot": "ft", "inch": "in", "inches": "in", "mile": "mi",
    "miles": "mi", "yards": "yd", "kph": "km/h", "metre": "m", "meter": "m", "kilometre": "km", "kilometer": "km",
    "centimetre": "cm", "centimeter": "cm", "millimetre": "mm", "millimeter": "mm", "kilogram": "kg", "gram": "g",
    "kilogramme": "kg", "gramme": "g", "milligram": "mg", "litre": "l", "liter": "l",
}  # fmt: skip
_SPELLED |= {f"{word}s": unit for word, unit in _SPELLED.items() if len(word) > 3 and word[-1] in "erm"}
_UNITS = {prefix + unit for unit, prefixes in _PREFIXES.items() for prefix in ("", *prefixes)}
_FOLDED: dict[str, set[str]] = {}
_FOLDED |= {folded: {unit for unit in _UNITS if unit.lower() == folded} for folded in {unit.lower() for unit in _UNITS}}


def canonical_quantities(text: str) -> str:
    """A plain text (see ``spelling.plain_text``) with its dates, amounts and measures in one form."""
    if not any(map(str.isdigit, text)):
        alone = text.strip("\"“”'.*` ")
        return _unit(alone, None) or text if len(_FOLDED.get(alone.lower(), ())) > 1 < len(alone) else text
    text = _money(_dates(text))
    if "%" in text or "‰" in text or "per" in text.lower():
        text = _PER_MILLE.sub(" permille", _PERCENT.sub(" percent", text))
    text = _DEGREES.sub(_degrees, _HALF_OF_DAY.sub(r" \1m", _TIMES.sub("×", text)))
    return _MEASURE.sub(_measure, text)


def _dates(text: str) -> str:
    """Dates as ``1821-05-05``, ``--05-05`` without the year, ``1821-05`` without the day."""
    lower = text.lower()
    if any(month in lower for month in _MONTHS if len(month) == 3):
        text = _DAY_FIRST.sub(lambda found: _date(found[3], found[2], found[1]) or found[0], text)
        text = _MONTH_FIRST.sub(lambda found: _date(found[3], found[1], found[2]) or found[0], text)
        text = _MONTH_ALONE.sub(lambda found: f"{found[2]}-{_MONTHS[found[1].lower()]:02}", text)
    text = _YEAR_FIRST.sub(lambda found: _date(found[1], found[3], found[4]) or found[0], text)
    return _YEAR_LAST.sub(_year_last, text)


def _date(year: str | None, month: str, day: str) -> str:
    number = _MONTHS.get(month.lower()) or (int(month) if month.isdigit() else 0)
    leap_year = 2000
    if not 1 <= number <= 12 or not 1 <= int(day) <= monthrange(int(year or 0) or leap_year, number)[1]:
        return ""
    return f"{int(year):04}-{number:02}-{int(day):02}" if year else f"on {number:02}-{int(day):02}"


def _year_last(found: re.Match[str]) -> str:
    """Day and month are told apart by a day after the twelfth, or by the stops that only stand where days go first."""
    first, mark, second, year = found[1], found[2], found[3], found[4]
    if mark == "." or int(first) > 12 or first == second:
        return _date(year, second, first) or found[0]
    return (_date(year, first, second) if int(second) > 12 else "") or found[0]


def _money(text: str) -> str:
    text = _CURRENCY_FIRST.sub(lambda found: _amount(found[1] or found[3], found[4], found[5], found[2]), text)
    return _CURRENCY_LAST.sub(lambda found: _amount("", found[1], found[2], found[3]), text)


def _amount(sign: str, number: str, scale: str | None, currency: str) -> str:
    if re.fullmatch(r"\d+,\d\d", number):
        number = number.replace(",", ".")
    if "," in number:
        number = number.replace(",", " , ")
    scale = _SCALES.get((scale or "").lower(), scale or "")
    name = currency.lower()
    return f"{sign}{without_zeros(number)} {scale} {_CODES.get(name, name)} "


def _degrees(found: re.Match[str]) -> str:
    letter = (found[1] or "")[:1].lower()
    return " °" + {"": " ", "f": "f"}.get(letter, "c")


def _measure(found: re.Match[str]) -> str:
    if found[2] == "s" and _DECADE.search(found[0]):
        return found[0]
    units = [_unit(found[2], found[3]), _unit(found[4], found[5])] if found[4] else [_unit(found[2], found[3])]
    if "" in units:
        return found[0]
    number = without_zeros(found[1]) if found[1].count(".") == 1 else found[1]
    return f"{number} {PER.join(units)}"


_DECADE = re.compile(r"\d0s$")


def _unit(text: str, power: str | None) -> str:
    """A unit with its capitals marked; "" for what is none. One in a case of its own is read if it can be one only."""
    unit = _SPELLED.get(text.lower(), text)
    if unit == "km/h":
        return f"km{PER}h"
    unit = f"{unit[:-1]}l" if unit[-1] == "L" else unit
    if unit not in _UNITS:
        options = _FOLDED.get(unit.lower(), set())
        if len(options) != 1 and unit.lower() not in options:
            return ""
        unit = unit.lower() if unit.lower() in options else next(iter(options))
    shown = "".join(CAPITAL + char.lower() if char.isupper() else char for char in unit)
    return shown + (f"^{power.removeprefix('^')}" if power else "")
