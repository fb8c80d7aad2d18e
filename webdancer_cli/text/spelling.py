"""One text, however it is typed: markup, invisible characters, digits of other scripts, raised digits, dashes, accents.

``plain_text`` throws away only what carries no meaning. What NFKC would lose and does carry some is written out before:
``10⁶`` is ``10^6`` and not 106, ``5½`` is ``5 1/2`` and not 51/2.
"""

import html
import re
import unicodedata

RAISED = "^"
DEEPEST = 6
"""Braces within braces of LaTeX that are read."""

_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u02d7\ufe58\ufe63\uff0d"
_SAME = str.maketrans(
    dict.fromkeys(_DASHES, "-")
    | dict.fromkeys("\u2044\u2215", "/")
    | {"٪": "%", "٫": ".", "٬": ",", "\u02da": "°", "’": "'", "ʼ": "'", "ʻ": "'", "≧": "≥", "≦": "≤"}
)
_INVISIBLE = re.compile(
    "[™℠®©\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb]"
)
_INTERRUPTS = re.compile(r"(?<=\w\w\w)[\u2014\u2015](?=\s)")

_EMPHASIS = re.compile(r"(?<![\w*`])(\*{1,3}|_{1,3}|`+)(?=\S)([^*`\n]{1,400}?)(?<=\S)\1(?![\w*`])")
_LINK = re.compile(r"\[([^][]+)\]\([^()\s]+\)")
_TAG = re.compile(r"</?(?:a|b|br|code|em|font|i|mark|p|small|span|strong|u)(?:\s[^<>]*)?/?>", re.IGNORECASE)
_HTML_RAISED = re.compile(r"<sup>([^<>]*)</sup>", re.IGNORECASE)
_HTML_LOWERED = re.compile(r"<sub>([^<>]*)</sub>", re.IGNORECASE)

_FORMULA = re.compile(
    r"\$\$([^$]{1,400})\$\$|(?<!\\)\$(?=\S)([^$]{1,400}?)(?<=[^\s\\])\$(?!\d)"
    r"|\\\(([^\n]{1,400}?)\\\)|\\\[(.{1,400}?)\\\]",
    re.DOTALL,
)
_FRACTION = re.compile(r"(\d?)\\[cdt]?frac\s*(?:\{([^{}]*)\}|(\d))\s*(?:\{([^{}]*)\}|(\d))")
_WRAPPERS = "boxed|fbox|mbox|text|textbf|textit|textrm|emph|mathrm|mathbf|mathit|operatorname"
_WRAPPER = re.compile(rf"\\(?:{_WRAPPERS})\s*\{{([^{{}}]*)\}}")
_BRACED = re.compile(r"(?<=[\^_])\{([^{}]*)\}|\{([,.])\}")
_DEGREE = re.compile(r"\^\s*\{?\\circ\}?")
_COMMAND = re.compile(r"\\(times|cdot|pm|approx|sim|leq?|geq?|pi|infty|circ|left|right|quad|[,;:! ])(?![A-Za-z])")
_COMMANDS = {
    "times": "×", "cdot": "×", "pm": "±", "approx": "≈", "sim": "~", "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥",
    "pi": "π", "infty": "∞", "circ": "°", "left": "", "right": "", "!": "",
}  # fmt: skip
_ESCAPED = re.compile(r"\\([$%&#_{}])")

_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_ORDINAL = re.compile(r"(?:st|nd|rd|th|er|e|o|a|os|as)$")
_MARKS_LEFT_OUT = re.compile("[\u0300-\u036f\u0591-\u05c7\u0640\u064b-\u0652\u0670]")
_STROKES = {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe"}


def plain_text(text: str) -> str:
    """The text in NFKC: no markup, nothing invisible, ASCII digits, one dash, raised digits after ``^``."""
    text = _without_markup(text)
    if text.isascii():
        return text
    text = _INTERRUPTS.sub(" ", _INVISIBLE.sub("", unicodedata.normalize("NFC", text)))
    return unicodedata.normalize("NFKC", _written_out(text)).translate(_SAME)


def _without_markup(text: str) -> str:
    """Without the HTML, Markdown and LaTeX that people and models wrap around an answer."""
    if "\\" in text or "$" in text or "{" in text:
        text = _without_latex(text)
    if "<" in text:
        text = _HTML_LOWERED.sub(r"\1", _HTML_RAISED.sub(r"^\1", text))
        text = _TAG.sub("", text)
    if "&" in text:
        text = html.unescape(text)
    if "](" in text:
        text = _LINK.sub(r"\1", text)
    return _EMPHASIS.sub(r"\2", text)


def _without_latex(text: str) -> str:
    text = _FORMULA.sub(lambda match: next(part for part in match.groups() if part is not None), text)
    if "\\" in text or "{" in text:
        text = _COMMAND.sub(lambda match: _COMMANDS.get(match[1], " "), _DEGREE.sub("°", text))
        for _ in range(DEEPEST):  # from the inside out
            text = _WRAPPER.sub(r"\1", _BRACED.sub(r"\1\2", text))
            text = _FRACTION.sub(_as_fraction, text)
        text = _ESCAPED.sub(r"\1", text)
    return text


def _as_fraction(match: re.Match[str]) -> str:
    whole, above, below = match[1], match[2] or match[3], match[4] or match[5]
    return f"{whole} {above}/{below}" if whole else f"{above}/{below}"


def _written_out(text: str) -> str:
    """What NFKC would run together with its neighbours: raised and lowered characters, fractions; digits as ASCII."""
    parts: list[str] = []
    at = 0
    for match in _NOT_ASCII.finditer(text):
        parts.append(text[at : match.start()])
        at = match.end()
        parts.append(_one(match[0], text, match.start(), "".join(parts[-2:])[-1:]))
    return "".join([*parts, text[at:]])


def _one(char: str, text: str, at: int, before: str) -> str:
    form, _, _ = unicodedata.decomposition(char).partition(" ")
    if form in ("<super>", "<sub>"):
        return _write_shifted(char, form, text, at)
    if form == "<fraction>":
        return (" " if before.isdigit() else "") + unicodedata.normalize("NFKC", char)
    digit = unicodedata.decimal(char, None)
    return char if digit is None else str(digit)


def _write_shifted(char: str, form: str, text: str, at: int) -> str:
    """A raised or lowered character, with a mark where its run begins and reads as a number with what is before it.

    Letters with raised charges (Ca²⁺, Cl⁻), ordinals (5ᵗʰ) and lowered digits after letters (H₂O) are written plainly.
    """
    bare = unicodedata.normalize("NFKC", char).replace("−", "-")
    if at and _shift(text[at - 1]) == form:
        return bare
    end = at
    while end < len(text) and _shift(text[end]) == form:
        end += 1
    run = unicodedata.normalize("NFKC", text[at:end])
    base = _base(text, at)
    if form == "<sub>":
        return f"_{bare}" if base.isdigit() else bare
    charge = run[-1] in "+−" and not base.isdigit()
    if charge or not (base.isalnum() or base in ")]") or (base.isdigit() and _ORDINAL.match(run)):
        return "°" if run == "o" and base.isdigit() and text[end : end + 1] in ("C", "F") else bare
    return RAISED + bare


def _shift(char: str) -> str:
    form = unicodedata.decomposition(char).partition(" ")[0]
    return form if form in ("<super>", "<sub>") else ""


def _base(text: str, at: int) -> str:
    """The character that a run is raised or lowered from; lowered digits count as part of their letter."""
    while at and _shift(text[at - 1]) == "<sub>":
        at -= 1
    return text[at - 1 : at]


def differ_only_in_accents(one: str, other: str) -> bool:
    """Whether two texts differ in accents alone, all of which one of them leaves out.

    Both are folded texts. A word of one letter keeps its accent (Å is no A), and an accent is never taken for another
    one; marks that spell a sound of their own, as in Japanese or Thai, are no accents.
    """
    if one == other:
        return True
    if one.isascii() and other.isascii():
        return False
    ones, others = one.split(), other.split()
    if len(ones) != len(others):
        return False
    pairs = [(_letters(a), _letters(b)) for a, b in zip(ones, others, strict=True) if a != b]
    return any(all(_leaves_out(*pair[::way]) for pair in pairs) for way in (1, -1))


Letters = list[tuple[str, str]]
"""Base letters, each with the accents on it."""


def _leaves_out(less: Letters, more: Letters) -> bool:
    if len(less) != len(more) or sum(base.isalnum() for base, _ in more) < 2:
        return False
    return all(a == b or (a[0] == b[0] and not a[1]) for a, b in zip(less, more, strict=True))


def _letters(word: str) -> Letters:
    letters: Letters = []
    for char in unicodedata.normalize("NFC", word):
        if _MARKS_LEFT_OUT.match(char) and letters:
            letters[-1] = (letters[-1][0], letters[-1][1] + char)
            continue
        stroked = _STROKES.get(char)
        parts = unicodedata.normalize("NFD", char)
        if stroked:
            letters += [(base, char) for base in stroked]
        elif char != "й" and len(parts) > 1 and all(map(_MARKS_LEFT_OUT.match, parts[1:])):
            letters.append((parts[0], parts[1:]))
        else:
            letters.append((char, ""))
    return letters
