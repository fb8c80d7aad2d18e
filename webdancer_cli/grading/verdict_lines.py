"""Verdicts that come as lines of text: "correct: yes", "Verdict: **Incorrect**", "结论: 正确", "The answer is not
correct.", or the word alone; in the languages in which models answer.

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

_DECORATION = re.compile(r"[*_`\"“”‘#>\[\]{}()|]+|(?<!\w)['’]|['’](?!\w)")
_BULLET = re.compile(r"^\s*(?:[-•+]|\d+[.)])\s+")
_TAG = re.compile(r"</?[a-z_]+>", re.IGNORECASE)
_SUBJECT = (
    r"(?:(?:the|this|that|it|given|final|model|models|their|response|answer|prediction|die|diese|la|antwort|réponse"
    r"|respuesta|risposta|resposta|ответ)\s+)*(?:(?:该|这个|最终)?(?:回答|答案))?"
)
_IS = r"(?:(?:is|are|was|ist|est|es|è|é)\s+)"
_NOT = r"(?P<not>(?:not|nicht|pas|no es|non|не)\s+|不)?"
_LABEL = re.compile(rf"{_IS}?{_SUBJECT}{_IS}?{_NOT}(?P<word>[^\W\d]+)\s*[:：=?？]+\s*(?P<value>.*)")
"""A word of the verdict as a question, and what was answered to it: "is it correct? no", "falsch: ja"."""
_STATEMENT = re.compile(rf"{_SUBJECT}(?:{_IS}{_NOT}|(?P<isnt>(?:is|are|was)n['’]t\s+))(?P<word>[^\W\d]+)")
_VERDICT = re.compile(
    r"(?:.*[.;!。；]\s+)?(?:(?:the|my|final|overall|das|mein|le|el|il)\s+)*"
    r"(?:verdict|judg[e]?ment|grade|grading|evaluation|assessment|conclusion|decision|result|urteil|bewertung|jugement"
    r"|veredicto|giudizio|veredito|вердикт|оценка|结论|判断|判定|评判|裁定|評価|평가|판정"
    r"|correct\s*(?:/|\bor\b)\s*(?:incorrect|wrong))"
    r"\s*(?:is\s+|lautet\s*[:：]?\s*|[:：=?？]+)\s*(?P<value>.*)"
)
_FIRST = re.compile(r"(?P<word>[^\s.,;:!。，；！—–-]+(?:\s+(?:correct|right))?)(?P<rest>.*)", re.DOTALL)
_HEDGES = re.compile(
    r"\b(?:but|although|though|however|except|apart from|besides|save for|if|provided|assuming|in part|partly|"
    r"partially|mostly|almost|nearly|somewhat|unless|or|not|n't|maybe|perhaps|possibly|unsure|yes|no|true|false|correct|incorrect|wrong|right)\b|/|但|部分|不|或"
)
_END = " \t.,;:!。，；！"


def verdict_in_lines(text: str, words: Mapping[str, Decision]) -> Decision | None:
    """The verdict of a reply without its thought, by a table of ``words``; None if there is none, or a hedge."""
    said = text.rpartition("</think>")[2].partition("<think>")[0]
    lines = [line for line in map(_plain, said.splitlines()) if line]
    verdicts = [verdict for line in lines for verdict in _verdicts(line, words)]
    return _stated(lines[-1], words) or (verdicts[-1] if verdicts else None) if lines else None


def _plain(line: str) -> str:
    """A line without tags, marks and bullets, in small letters."""
    words = _BULLET.sub("", _DECORATION.sub(" ", _TAG.sub(" ", line).replace("_", " "))).casefold().split()
    return re.sub(r"\s+([:：=?？])", r"\1", " ".join(words))


def _verdicts(line: str, words: Mapping[str, Decision]) -> list[Decision | None]:
    """What a line says that has the form of a verdict: a decision, or None for a hedge; [] if it has not."""
    known = {**words, **_DENIED}
    if (match := _LABEL.fullmatch(line)) and match["word"] in words:
        said = only_outcome(match["value"], _YES_OR_NO)
        return [None if said is None else _turned(words[match["word"]], bool(match["not"]) == said)]
    if match := _VERDICT.fullmatch(line):
        return [only_outcome(match["value"], known)]
    bare = line.strip(_END)
    return [known[bare]] if bare in known else []


def _stated(line: str, words: Mapping[str, Decision]) -> Decision | None:
    """What the last line says as a sentence; further up, one may speak of anything."""
    match = _STATEMENT.fullmatch(line.strip(_END))
    if not match or match["word"] not in words:
        return None
    return _turned(words[match["word"]], bool(match["not"] or match["isnt"]))


def _turned(decision: Decision, is_denied: bool) -> Decision:
    return decision if not is_denied else "wrong" if decision == "correct" else "correct"


_DENIED: dict[str, Decision] = {"not correct": "wrong", "not right": "wrong"}
_YES_OR_NO = dict.fromkeys(YES, True) | dict.fromkeys(NO, False)


def only_outcome(value: str, words: Mapping[str, Meaning]) -> Meaning | None:
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
