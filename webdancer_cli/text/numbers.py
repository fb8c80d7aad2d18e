"""Numbers in answers: ``1,234`` and ``twelve hundred`` to digits, so that they can be compared as text."""

import re
from decimal import Decimal
from math import gcd

_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_UNITS = f"zero one two three four five six seven eight nine {_TEENS}"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_FIRST = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"

SMALL = {word: value for value, word in enumerate(_UNITS.split())}
SMALL |= {word: 10 * (at + 2) for at, word in enumerate(_TENS.split())}
MAGNITUDES = {"thousand": 10**3, "lakh": 10**5, "million": 10**6, "crore": 10**7, "billion": 10**9, "trillion": 10**12}
ORDINALS = {word: at + 1 for at, word in enumerate(_FIRST.split())}
ORDINALS |= {f"{word}th": SMALL[word] for word in _TEENS.split() if word not in ("ten", "eleven", "twelve")}
ORDINALS |= {f"{word[:-1]}ieth": SMALL[word] for word in _TENS.split()}

COMMA = ","
"""The word that stands where the words of a text are parted by a mark: "twenty, two" is not 22."""

_GROUPED = re.compile(
    r"(?<![\w.,])(?:"
    r"\d{1,3}(?:,\d{3})+(?![\d,]|\.\d*,)"  # 1,234,567.8
    r"|\d{1,2}(?:,\d\d)+,\d{3}(?![\d,]|\.\d*,)"  # 12,34,567
    r"|\d{1,3}(?: \d{3})+(?:,\d{1,2})?(?![\w,/:'-]|[.,]\d*[., ]\d)"  # 1 234 567,8
    r"|\d{1,3}(?:'\d{3})+(?![\d'])"  # 1'234'567.8
    r"|\d{1,3}(?:_\d{3})+(?![\w])"  # 1_234_567
    r"|\d{1,3}(?:\.\d{3})+,\d{1,2}(?![\w.,])"  # 1.234,56
    r"|(?!(?:\d{1,3}\.){3}\d{1,3}(?!\.?\d))\d{1,3}(?:\.\d{3}){2,}(?![\w.]*\d|,\d)"  # 1.234.567, no address
    r")"
)
_WHOLE_DECIMAL = re.compile(r"([+-]?\d+)\.0+")
_NUMBER = re.compile(r"-?(?:\d{1,15}|\d{1,15}\.\d{1,15})", re.ASCII)
_FRACTION = re.compile(r"(?<![\w./,:-])(-?)(?:(\d{1,9}) )?(\d{1,9})/(\d{1,9})(?![\w/:-]|[.,]\d)", re.ASCII)


def remove_group_separators(text: str) -> str:
    """``1,234,567`` without its commas, and what other conventions write between thousands; other marks stay."""
    return _GROUPED.sub(_remove_grouping, text)


def _remove_grouping(match: re.Match[str]) -> str:
    text = match[0]
    if "," in text and (" " in text or "." in text):
        text = text.replace(".", "").replace(",", ".")  # the comma before decimals
        return text.replace(" ", "")
    return re.sub(r"[ ,.'_]", "", text)


def evaluate_fractions(text: str) -> str:
    """A proper fraction in lowest terms that ends as a decimal, as that decimal: ``5 1/2`` is ``5.5``, 9/11 stays."""
    return _FRACTION.sub(_as_decimal, text) if "/" in text else text


def _as_decimal(match: re.Match[str]) -> str:
    sign, whole_part, above, below = match[1], match[2], int(match[3]), int(match[4])
    rest = below
    for factor in (2, 5):
        while rest and rest % factor == 0:
            rest //= factor
    if rest != 1 or not 0 < above < below or gcd(above, below) != 1:
        return f"{sign}{whole_part}+{match[3]}/{match[4]}" if whole_part else match[0]
    return f"{sign}{without_zeros(str(int(whole_part or 0) + Decimal(above) / below))}"


def without_zeros(number: str) -> str:
    """A quantity without the zeros at the end of its decimals."""
    return number.rstrip("0").rstrip(".") if "." in number else number


def drop_zero_decimals(text: str) -> str:
    """``5.0`` as ``5``, when that is all there is. ``3.10`` stays: it may be a version."""
    match = _WHOLE_DECIMAL.fullmatch(text)
    return match.group(1) if match else text


def words_to_digits(words: list[str]) -> list[str]:
    """The words with every number in words, or in digits before a magnitude, replaced by its digits.

    ``two hundred and ninety eight`` is ``298``, ``2 million`` is ``2000000``, ``third`` is ``3rd``; ``twenty twenty``
    stays two numbers.
    """
    result: list[str] = []
    at = 0
    while at < len(words):
        word, at = _number_at(words, at)
        result.append(word)
    return result


def _number_at(words: list[str], at: int) -> tuple[str, int]:
    """The word at ``at``, or the number that begins there, and where what follows begins."""
    if words[at] in ORDINALS:
        return ordinal(ORDINALS[words[at]]), at + 1
    tens = SMALL.get(words[at], 0)
    if tens >= 20 and at + 1 < len(words) and 0 < ORDINALS.get(words[at + 1], 0) < 10:
        return ordinal(tens + ORDINALS[words[at + 1]]), at + 2
    value, end = _cardinal(words, at)
    return (words[at], at + 1) if value is None else (_digits(value), end)


def ordinal(number: int) -> str:
    """``21`` as ``21st``."""
    last = 0 if number % 100 in (11, 12, 13) else number % 10
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(last, 'th') }"


def _digits(value: Decimal | int) -> str:
    return without_zeros(format(value, "f"))


def _cardinal(words: list[str], at: int) -> tuple[Decimal | int | None, int]:
    """The number that begins at ``at`` and where it ends; magnitudes must fall: thousand after million."""
    total: Decimal | int = 0
    ceiling, start = 10**15, at
    while True:
        value, end = _below_thousand(words, _after_joint(words, at) if at > start else at)
        if value is None or (at > start and words[at] == COMMA and value < 100):
            break
        magnitude = MAGNITUDES.get(words[end]) if end < len(words) else None
        if (magnitude or 1) >= ceiling or (at > start and value >= ceiling):
            break
        if value != int(value) and magnitude is None:
            break
        total, at = total + value * (magnitude or 1), end + (magnitude is not None)
        if magnitude is None:
            break
        ceiling = magnitude
    plain_digits = at == start + 1 and _NUMBER.fullmatch(words[start])
    return (None, start) if at == start or plain_digits else (total, at)


def _below_thousand(words: list[str], at: int) -> tuple[Decimal | int | None, int]:
    value, end = _below_hundred(words, at)
    if value is None or end >= len(words) or words[end] != "hundred":
        return value, end
    rest, rest_end = _below_hundred(words, _after_and(words, end + 1))
    if rest is None or rest > 99 or rest != int(rest) or rest < 0:
        return value * 100, end + 1
    return value * 100 + rest, rest_end


def _below_hundred(words: list[str], at: int) -> tuple[Decimal | int | None, int]:
    if at >= len(words):
        return None, at
    if _NUMBER.fullmatch(words[at]):
        return (Decimal(words[at]) if "." in words[at] else int(words[at])), at + 1
    if words[at] == "a" and at + 1 < len(words) and words[at + 1] in ("hundred", *MAGNITUDES):
        return 1, at + 1
    value = SMALL.get(words[at])
    if value is None:
        return None, at
    unit = SMALL.get(words[at + 1], 0) if at + 1 < len(words) else 0
    return (value + unit, at + 2) if value >= 20 and 0 < unit < 10 else (value, at + 1)


def _after_and(words: list[str], at: int) -> int:
    return at + 1 if at < len(words) and words[at] == "and" else at


def _after_joint(words: list[str], at: int) -> int:
    """After what may stand between a magnitude and what it leaves: "one thousand, nine hundred", "and six"."""
    return at + 1 if at < len(words) and words[at] == COMMA else _after_and(words, at)
