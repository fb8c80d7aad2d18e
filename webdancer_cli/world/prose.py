"""From phrases to paragraphs: choosing among alternatives, filling their places, and naming the subject naturally."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from webdancer_cli.world.arithmetic import mix
from webdancer_cli.world.document import Section, Sentence, TextRun

_PLACE = re.compile(r"\{([^{}]+)\}")
_SUBJECT = ("subject", "subject's")
_PRONOUNS = ("they", "their", "them", "theirs")


@cache
def phrases() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("phrases.toml").read_text(encoding="utf-8"))


@cache
def fillers() -> dict[str, list[str]]:
    found: dict[str, list[str]] = phrases()["fillers"]
    return found


@cache
def needed(template: str) -> frozenset[str]:
    """The places of a template that only facts can fill."""
    places = {place.removeprefix("a ") for place in _PLACE.findall(template)}
    return frozenset(places.difference(_SUBJECT, _PRONOUNS, fillers()))


@cache
def pieces(template: str) -> tuple[str, ...]:
    """Text and places in turn."""
    return tuple(_PLACE.split(template))


class Dice:
    """Draws that depend on the seed and on how many were made before."""

    def __init__(self, *seed: int):
        self._state = mix(*seed)

    def below(self, size: int) -> int:
        self._state = mix(self._state)
        return self._state % size

    def choose(self, options: Sequence[str]) -> str:
        return options[self.below(len(options))]


@dataclass(frozen=True)
class SubjectWording:
    """How a page speaks of what it is about: "Vanterre", "she"; "the Vanterre Library", "the library", "it"."""

    short: str
    noun: str
    pronouns: tuple[str, str, str, str] = ("it", "its", "it", "its own")
    """What stands for _PRONOUNS."""


@dataclass
class PageWriter:
    """Writes the sections of one page. ``known`` fills places with facts; what is not known may be a filler."""

    subject: SubjectWording
    known: Mapping[str, TextRun]
    dice: Dice
    _introduced: bool = field(default=False, init=False)
    _mentioned: bool = field(default=False, init=False)
    _ambiguous: bool = field(default=False, init=False)

    def sections(self, kind: str) -> Iterator[Section]:
        for heading, paragraphs in phrases()[kind]["sections"]:
            written = [self._paragraph(kind, groups) for groups in paragraphs]
            section = Section(heading or None, [paragraph for paragraph in written if paragraph])
            if section:
                yield section

    def _paragraph(self, kind: str, groups: Sequence[str]) -> list[Sentence]:
        self._mentioned = False
        self._ambiguous = False
        said = (self._say(phrases()[kind], group) for group in groups)
        return [sentence for sentence in said if sentence]

    def _say(self, groups: Mapping[str, Sequence[str]], group: str) -> Sentence | None:
        if group.endswith("?") and (self.dice.below(4) == 0 or not self._mentioned):
            return None
        usable = [template for template in groups[group.rstrip("?")] if needed(template) <= self.known.keys()]
        return self._fill(self.dice.choose(usable)) if usable else None

    def _fill(self, template: str) -> Sentence:
        runs: list[TextRun] = []
        for number, piece in enumerate(pieces(template)):
            runs.append(self._place(piece, first=not any(run.text for run in runs)) if number % 2 else TextRun(piece))
        self._mentioned = True
        self._ambiguous = any(run.target is not None for run in runs)
        return Sentence(_merge_runs(_capitalise(runs)))

    def _place(self, place: str, *, first: bool) -> TextRun:
        """``first``: nothing stands before it. A paragraph does not begin with a pronoun."""
        if place.startswith("a "):
            run = self._run(place[2:])
            return TextRun(f"{article(run.text)} {run.text}", run.target)
        if first and not self._mentioned:
            place = {"they": "subject", "their": "subject's"}.get(place, place)
        return self._run(place)

    def _run(self, place: str) -> TextRun:
        if place in _SUBJECT:
            return TextRun(self._mention(possessive=place.endswith("'s")))
        if place in self.known:
            return self.known[place]
        if place in _PRONOUNS:
            return TextRun(self.subject.pronouns[_PRONOUNS.index(place)])
        return TextRun(self.dice.choose(fillers()[place]))

    def _mention(self, *, possessive: bool) -> str:
        """A name first; then a pronoun, but a noun where the last sentence named somebody else."""
        they, their, *_ = self.subject.pronouns
        if self._mentioned and not self._ambiguous and self.dice.below(3):
            return their if possessive else they
        named = not self._introduced or (not self._mentioned and self.dice.below(2))
        self._introduced = True
        noun = self.subject.short if named else self.subject.noun
        return f"{noun}'s" if possessive else noun


def article(word: str) -> str:
    """ "an" before a vowel's sound; years are read aloud: "an 1874 novel", "a university"."""
    return "an" if re.match(r"(?i)(?!uni|eu|one)[aeiou]|8|18\d\d", word) else "a"


def _capitalise(runs: list[TextRun]) -> list[TextRun]:
    first = next(number for number, run in enumerate(runs) if run.text)
    run = runs[first]
    return [*runs[:first], TextRun(run.text[0].upper() + run.text[1:], run.target), *runs[first + 1 :]]


def _merge_runs(runs: Sequence[TextRun]) -> tuple[TextRun, ...]:
    """Neighbouring plain runs as one."""
    merged: list[TextRun] = []
    for run in runs:
        if merged and run.target is None and merged[-1].target is None:
            merged[-1] = TextRun(merged[-1].text + run.text)
        elif run.text:
            merged.append(run)
    return tuple(merged)
