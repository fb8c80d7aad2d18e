"""Abbreviations that a sentence spells out: "a Virtual Private Network (VPN)", "FTP (File Transfer Protocol)"."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from webdancer_cli.synthesis.standalone import word_set
from webdancer_cli.text.spacing import squeeze
from webdancer_cli.text.words import sentence_spans, stems

_SHORT = r"[A-Z][A-Za-z]*[A-Z]"
_FULL = r"[A-Z][\w-]*(?: [A-Za-z][\w-]*){1,6}"
_VERB = "stands for|means|is short for|short for"
_BEHIND = re.compile(rf"\((?P<short>{_SHORT})(?: for short)?\)")
_BEFORE = re.compile(rf"\b(?P<short>{_SHORT}) \((?P<long>{_FULL})\)")
_STANDS = re.compile(rf"\b(?P<short>{_SHORT}),? (?:{_VERB}) [“\"]?(?P<long>{_FULL})")
_LINKING = word_set("of the and for in to on a an")
_MAY_SPELL = re.compile(rf"\([A-Z]|[A-Z],? (?:{_VERB}) ")
MAX_CHARS = 400
_KNOWN = word_set(
    "FAQ URL HTML HTTP HTTPS FTP SSL TLS PDF CD DVD USB PC RAM ROM CPU GPU DNS IP TCP UDP API GUI OS UK USA EU UN US"
    " MIT SQL XML JSON CSS PHP ASCII SSH LAN WAN WWW ISP PIN ID TV GPS IT AI GNU IBM NASA NATO BBC"
)
"""What everybody knows who might be asked."""


@dataclass(frozen=True, slots=True)
class Abbreviation:
    short: str
    full: str
    quote: str


def read_abbreviations(text: str) -> Iterator[Abbreviation]:
    """What a text spells out, each once, if only in one way.

    The first letters of the words must give the abbreviation.
    """
    found: dict[str, Abbreviation] = {}
    spellings: dict[str, set[str]] = {}
    for line in text.splitlines():
        if not _MAY_SPELL.search(line) or line.startswith("|"):
            continue
        for start, end in sentence_spans(line):
            sentence = squeeze(line[start:end]).removeprefix("- ")
            spelled = ((short, full) for short, full in _spelled(sentence) if short not in _KNOWN)
            for short, full in spelled if len(sentence) <= MAX_CHARS and sentence[-1:] == "." else ():
                found.setdefault(short, Abbreviation(short, full, sentence))
                spellings.setdefault(short, set()).add(" ".join(stems(full)))
    yield from (each for each in found.values() if len(spellings[each.short]) == 1)


def _spelled(sentence: str) -> Iterator[tuple[str, str]]:
    for found in _BEHIND.finditer(sentence):
        before = re.findall(r"[\w-]+", re.split(r"[.,;:()“”\"]", sentence[: found.start()])[-1])
        if full := _fitting(before[-2 * len(found["short"]) :], found["short"]):
            yield found["short"], full
    for pattern in (_BEFORE, _STANDS):
        for found in pattern.finditer(sentence):
            words = found["long"].split()
            for count in range(len(words), 1, -1):
                if _fitting(words[:count], found["short"]) == " ".join(words[:count]):
                    yield found["short"], " ".join(words[:count])
                    break


def _fitting(words: list[str], short: str) -> str:
    """The last words whose first letters are the abbreviation's; small words between them need have none."""
    at, letters = len(words), list(short.casefold())
    while letters and at:
        at -= 1
        parts = [part for part in words[at].casefold().split("-") if part and part not in _LINKING]
        initials = [part[0] for part in parts]
        if len(initials) > 1 and letters[-len(initials) :] == initials:
            del letters[-len(initials) :]
        elif initials and letters[-1] == initials[0]:
            letters.pop()
        elif words[at].casefold() not in _LINKING:
            return ""
    return "" if letters or len(words) - at < 2 else " ".join(words[at:])
