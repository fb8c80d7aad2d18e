"""Verdicts that come as lines of text: "correct: yes", "Verdict: **Incorrect**", "结论: 正确", or the word alone.

The last line that has the form of a verdict counts, and it has to say exactly one thing: what hedges, denies or repeats
the choices ("yes/no") is no verdict. Words count as whole words: "incorrect: yes" says the opposite of "correct: yes".
"""

import re
from collections.abc import Mapping
from typing import Literal, TypeVar

Decision = Literal["correct", "wrong"]
"""What a judge decided; what it did not is no decision."""
Meaning = TypeVar("Meaning")

YES = frozenset(["yes", "true", "y", "ja", "oui", "sí", "si", "да", "是", "对", "はい", "예"])
NO = frozenset(["no", "false", "n", "nein", "non", "нет", "否", "不是", "いいえ", "아니요"])

_DECORATION = re.compile(r"[*_`\"'“”‘’#>\[\]{}()|]+")
_BULLET = re.compile(r"^\s*(?:[-•+]|\d+[.)])\s+")
_ABOUT_CORRECT = re.compile(
    r"(?:(?:is|are|was)\s+)?(?:(?:the|this|given|final|model|models|response|answer)\s+)*(?:is\s+)?"
    r"(?P<not>not\s+)?(?P<in>in)?correct\s*[:：=?？]+\s*(?P<value>.*)"
)
_VERDICT = re.compile(
    r"(?:(?:the|my|final|overall)\s+)*"
    r"(?:verdict|judg[e]?ment|grade|grading|evaluation|assessment|conclusion|decision|result|结论|判断|判定|评判|裁定)"
    r"\s*(?:is\s+|[:：=]+)\s*(?P<value>.*)"
)
_FIRST = re.compile(r"(?P<word>[^\s.,;:!。，；！—–-]+(?:\s+(?:correct|right))?)(?P<rest>.*)", re.DOTALL)
_HEDGES = re.compile(
    r"\b(?:but|although|though|however|except|partly|partially|mostly|almost|nearly|somewhat|unless|or|not|n't|maybe|"
    r"perhaps|possibly|unsure|yes|no|true|false|correct|incorrect|wrong|right)\b|/|但|部分|不|或"
)
_END = " \t.,;:!。，；！"


def verdict_in_lines(text: str, words: Mapping[str, Decision]) -> Decision | None:
    """The verdict of a reply without its thought, by a table of ``words``; None if there is none, or a hedge."""
    known = {**words, **_DENIED}
    found: Decision | None = None
    for line in text.rpartition("</think>")[2].splitlines():
        plain = " ".join(_BULLET.sub("", _DECORATION.sub(" ", line.replace("_", " "))).casefold().split())
        plain = re.sub(r"\s+([:：=?？])", r"\1", plain)
        if match := _ABOUT_CORRECT.fullmatch(plain):
            said = _only(match["value"], _YES_OR_NO)
            turned = bool(match["not"]) != bool(match["in"])
            found = None if said is None else "correct" if said != turned else "wrong"
        elif match := _VERDICT.fullmatch(plain):
            found = _only(match["value"], known)
        elif (bare := plain.strip(_END)) in known:
            found = known[bare]
    return found


_DENIED: dict[str, Decision] = {"not correct": "wrong", "not right": "wrong"}
_YES_OR_NO = dict.fromkeys(YES, True) | dict.fromkeys(NO, False)


def _only(value: str, words: Mapping[str, Meaning]) -> Meaning | None:
    """What a value says if it begins with one of the words, and what follows takes nothing back."""
    value = value.strip(_END)
    if value in words:
        return words[value]
    match = _FIRST.fullmatch(value)
    if not match or match["word"] not in words or match["rest"][:1].strip(_END + "—–-"):
        return None
    return None if _HEDGES.search(match["rest"]) else words[match["word"]]


def confidence_in_lines(text: str) -> float | None:
    """The last "confidence: 85%" of a reply, from 0 to 1."""
    said = re.findall(r"confidence\W{0,6}(\d+(?:\.\d+)?)\s*%?", text.casefold())
    return min(1.0, float(said[-1]) / 100) if said else None
