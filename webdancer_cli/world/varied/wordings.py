"""How a fact is put in a sentence: one form for each value of the wording axis, and the form of lists and tables."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from webdancer_cli.world.document import Sentence, TextRun

FORMS = {
    "of": "the {r} of {s} {is} {v}",
    "possessive": "{s}'s {r} {is} {v}",
    "inverse": "{v} {is} the {r} of {s}",
    "pronoun": "{its} {r} {is} {v}",
    "joined": "{its} {r} {is} {v}",
    "having": "{s} has {v} as {its} {r}",
    "naming": "as for the {r} of {s}, we name {v}",
    "given": "{v} {is} given as the {r} of {s}",
    "record": "records of {s} show {v} as {its} {r}",
    "told": "whoever asks about the {r} of {s} is told: {v}",
}
_PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Told:
    """A fact as a page puts it: its subject, the values with their links, and the words for it."""

    subject: TextRun
    pronoun: str
    label: str
    plural: bool
    values: tuple[TextRun, ...]
    verb: str = ""

    def sentence(self, wording: str, other: "Told | None" = None) -> Sentence:
        """One sentence; ``joined`` tells another fact, too."""
        runs = list(self._runs(self.verb if wording == "verb" and self.verb else FORMS.get(wording, FORMS["of"])))
        if other is not None:
            runs += [TextRun(", and "), *other._runs(FORMS["joined"])]
        return Sentence((*_capitalised(runs), TextRun(".")))

    def item(self) -> Sentence:
        """``Captain: Dolvek``."""
        return Sentence((TextRun(f"{self.row_label}: "), *_listed(self.values)))

    @property
    def row_label(self) -> str:
        return self.label[0].upper() + self.label[1:]

    def row(self) -> Sentence:
        return Sentence(tuple(_listed(self.values)))

    def _runs(self, form: str) -> Iterator[TextRun]:
        words = {"r": self.label, "is": "are" if self.plural else "is", "its": self.pronoun}
        for at, part in enumerate(_PLACE.split(form)):
            if at % 2 == 0:
                yield TextRun(part)
            elif part == "v":
                yield from _listed(self.values)
            else:
                yield self.subject if part == "s" else TextRun(words[part])


def list_text(values: Sequence[str]) -> str:
    """Several names in a row, as a page and an answer have them: "Aro, Bel and Cam"."""
    return "".join(run.text for run in _listed([TextRun(value) for value in values]))


def _listed(values: Sequence[TextRun]) -> Iterator[TextRun]:
    for at, value in enumerate(values):
        if at:
            yield TextRun(" and " if at == len(values) - 1 else ", ")
        yield value


def _capitalised(runs: Sequence[TextRun]) -> list[TextRun]:
    full = [run for run in runs if run.text]
    first = full[0]
    return [TextRun(first.text[0].upper() + first.text[1:], first.target), *full[1:]]
