"""The reply of a model that is asked for a verdict: one word, and the reason for it."""

import re
from collections.abc import Mapping
from typing import Self, TypeVar

import msgspec

from webdancer_cli.grading.verdict_lines import only_outcome
from webdancer_cli.llm.structured_output import Aside

REASON_CHARS = 300
"""Characters of what the model says that a record keeps."""

Outcome = TypeVar("Outcome")

_AFTER = " ... no wait: "
"""Stands between a verdict and the words after the reply that take it back."""
_MARKS = re.compile(r"[\W_]+")
_TAKES_BACK = re.compile(
    r"\bno,? wait\b|\bwait\b|\bscratch that\b|\bstrike that\b|\bcorrection\b|\bon second thoughts?\b|\boops\b|\bsorry\b"
    r"|\bi take (?:that|it) back\b|\blet me correct\b|\bi (?:made|was making) a mistake\b|\breconsider\w*\b"
    r"|\bnein,? moment\b|\bdoch nicht\b|\bkorrektur\b|\battends\b|\bespera\b|\bperdón\b"
    r"|不对|等等|等一下|更正|いや|訂正|아니"
)
_MAY_TAKE_BACK = re.compile(
    rf"{_TAKES_BACK.pattern}|\bactually\b|\bi mean\b|\brather\b|\bvielmehr\b|\ben fait\b|\bplutôt\b"
)
_DENIES = r"(?:not|n't|never|no es|nicht|pas|non|不|не|partly|partially|half|almost|nearly)\W+(?:\w+\W+)?$"
_FRAME = re.compile(r"^(?:(?:the|my|final|given)\W+)*(?:verdict|answer|judg[e]?ment|it|this|that)\W+(?:is\W+)?")


class VerdictReply(msgspec.Struct):
    """The model's reply. The reason comes first, so that the verdict follows from it; nothing hangs on it.

    Who asks narrows ``verdict`` to the words of the question.
    """

    reason: Aside
    verdict: str

    def settled(self, words: Mapping[str, Outcome]) -> Outcome | None:
        """What the verdict means, by a table of words; None for a hedge. A correction counts with its last word."""
        said, _, after = self.verdict.casefold().partition(_AFTER)
        return (
            _single_outcome(after, words)
            if _contains_any(after, words)
            else self._outcome_before_correction(said, words)
        )

    def _outcome_before_correction(self, said: str, words: Mapping[str, Outcome]) -> Outcome | None:
        plain = _MARKS.sub(" ", said).strip()
        if plain in words:
            return words[plain]
        if (framed := _FRAME.sub("", plain)) in words:
            return words[framed]
        *_, last = [0, *(match.end() for match in _MAY_TAKE_BACK.finditer(said))]
        return _single_outcome(said[last:], words) if last else only_outcome(said, words)

    def corrected(self, after: str) -> Self:
        """The verdict with what the words after it take back of it."""
        *_, last = [0, *(match.end() for match in _TAKES_BACK.finditer(after.casefold()))]
        if not last:
            return self
        return msgspec.structs.replace(self, verdict=f"{self.verdict}{_AFTER}{after[last:][:REASON_CHARS]}")

    @property
    def short_reason(self) -> str:
        return self.reason.strip()[:REASON_CHARS]

    @property
    def said(self) -> str:
        """The verdict as it was given, for a message about one that is none."""
        return repr(self.verdict[:REASON_CHARS])


def _contains_any(text: str, words: Mapping[str, Outcome]) -> bool:
    return any(_find_word(word, text) for word in words)


def _find_word(word: str, text: str) -> list[int]:
    return [match.start() for match in re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", text)] if word in text else []


def _single_outcome(text: str, words: Mapping[str, Outcome]) -> Outcome | None:
    """The one outcome whose words a text holds, none of them denied."""
    found: set[Outcome] = set()
    for word, outcome in words.items():
        for at in _find_word(word, text):
            if re.search(_DENIES, text[:at]):
                return None
            found.add(outcome)
    return found.pop() if len(found) == 1 else None
