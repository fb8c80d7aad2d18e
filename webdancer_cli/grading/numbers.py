"""Numbers in answers: ``1,234`` and ``twelve hundred`` to digits, so that they can be compared as text."""

import re

_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_UNITS = f"zero one two three four five six seven eight nine {_TEENS}"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"

SMALL = {word: value for value, word in enumerate(_UNITS.split())}
SMALL |= {word: 10 * (at + 2) for at, word in enumerate(_TENS.split())}
MAGNITUDES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}

_GROUPED = re.compile(r"(?<![\w.,])\d{1,3}(?:,\d{3})+(?![\w,]|\.\d*,)")
_WHOLE_DECIMAL = re.compile(r"([+-]?\d+)\.0+")


def ungroup(text: str) -> str:
    """``1,234,567`` without its commas; a comma that does not group thousands stays."""
    return _GROUPED.sub(lambda match: match.group().replace(",", ""), text)


def whole(text: str) -> str:
    """``5.0`` as ``5``, when that is all there is. ``3.10`` stays: it may be a version."""
    match = _WHOLE_DECIMAL.fullmatch(text)
    return match.group(1) if match else text


def spell_out(words: list[str]) -> list[str]:
    """The words with every cardinal number in words, or in digits before a magnitude, replaced by its digits.

    ``two hundred and ninety eight`` is ``298``, ``2 million`` is ``2000000``; ``twenty twenty`` stays two numbers.
    """
    result: list[str] = []
    at = 0
    while at < len(words):
        value, end = _cardinal(words, at)
        result.append(words[at] if value is None else str(value))
        at = at + 1 if value is None else end
    return result


def _cardinal(words: list[str], at: int) -> tuple[int | None, int]:
    """The number that begins at ``at`` and where it ends; magnitudes must fall: thousand after million."""
    total, ceiling, start = 0, 10**15, at
    while True:
        value, end = _below_thousand(words, _after_and(words, at) if at > start else at)
        if value is None:
            break
        magnitude = MAGNITUDES.get(words[end]) if end < len(words) else None
        if (magnitude or 1) >= ceiling or (at > start and value >= ceiling):
            break
        total, at = total + value * (magnitude or 1), end + (magnitude is not None)
        if magnitude is None:
            break
        ceiling = magnitude
    plain_digits = at == start + 1 and words[start].isdigit()
    return (None, start) if at == start or plain_digits else (total, at)


def _below_thousand(words: list[str], at: int) -> tuple[int | None, int]:
    value, end = _below_hundred(words, at)
    if value is None or end >= len(words) or words[end] != "hundred":
        return value, end
    rest, rest_end = _below_hundred(words, _after_and(words, end + 1))
    if rest is None or rest > 99:
        return value * 100, end + 1
    return value * 100 + rest, rest_end


def _below_hundred(words: list[str], at: int) -> tuple[int | None, int]:
    if at >= len(words):
        return None, at
    if words[at].isascii() and words[at].isdigit() and len(words[at]) < 16:
        return int(words[at]), at + 1
    if words[at] == "a" and at + 1 < len(words) and words[at + 1] in ("hundred", *MAGNITUDES):
        return 1, at + 1
    value = SMALL.get(words[at])
    if value is None:
        return None, at
    unit = SMALL.get(words[at + 1], 0) if at + 1 < len(words) else 0
    return (value + unit, at + 2) if value >= 20 and 0 < unit < 10 else (value, at + 1)


def _after_and(words: list[str], at: int) -> int:
    return at + 1 if at < len(words) and words[at] == "and" else at
