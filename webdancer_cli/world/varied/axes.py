"""The axes along which a varied world's pages differ, their values, and which of them are held out for evaluation."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from webdancer_cli.errors import UsageError

Wording = Literal[
    "of", "possessive", "inverse", "pronoun", "joined", "verb", "having", "naming", "given", "record", "told"
]
"""How a fact is put: "The captain of Kemlo is Dolvek", "Kemlo's captain is …", "Dolvek is the captain of …", "Its
captain is …", two facts in one sentence, a verb of its own, "Kemlo has Dolvek as …", "As for the captain, …", "… is
given as the captain", "Records of Kemlo show Dolvek as …", "Whoever asks about the captain of Kemlo is told: …"."""
Layout = Literal["prose", "sections", "infobox", "table", "list"]
Length = Literal["short", "medium", "long"]
Linking = Literal["links", "names", "register"]
"""Values are links; or bare names; or some facts stand on another page only, the register, which the page names."""
Domain = Literal["people", "towns", "families", "films", "species", "laws", "ships"]

Axis = Literal["domain", "wording", "layout", "length", "linking"]
VALUES: dict[Axis, tuple[str, ...]] = {
    "domain": get_args(Domain),
    "wording": get_args(Wording),
    "layout": get_args(Layout),
    "length": get_args(Length),
    "linking": get_args(Linking),
}
WEIGHTS = {"short": 5, "medium": 4, "long": 1, "links": 4, "names": 4, "register": 2}
"""How often a value is drawn, where not all are drawn alike."""

HELD_OUT: dict[Axis, tuple[str, ...]] = {"domain": ("ships",), "wording": ("having",), "layout": ("list",)}
"""What ``--hold-out AXIS`` keeps for evaluation where no value is named.

Not the wording "verb", which does not name the relation: that "flows past" tells the largest town has to be learned.
"""


@dataclass(frozen=True)
class Axes:
    """The values that may be drawn on each axis."""

    allowed: dict[Axis, tuple[str, ...]] = field(default_factory=lambda: dict(VALUES))

    def draw(self, axis: Axis, choice: random.Random) -> str:
        values = self.allowed[axis]
        return choice.choices(values, [WEIGHTS.get(value, 1) for value in values])[0]

    def only(self, axis: Axis, values: Sequence[str]) -> "Axes":
        """The same with these values alone on one axis."""
        return Axes({**self.allowed, axis: tuple(values)})

    def without(self, held_out: dict[Axis, tuple[str, ...]]) -> "Axes":
        kept = {
            axis: tuple(value for value in own if value not in held_out.get(axis, ()))
            for axis, own in self.allowed.items()
        }
        if empty := [axis for axis, values in kept.items() if not values]:
            raise UsageError(f"--hold-out {empty[0]}: nothing would be left of this axis; name fewer values")
        return Axes(kept)


def held_out_values(asked: Sequence[str]) -> dict[Axis, tuple[str, ...]]:
    """``wording``, ``layout=table`` and so on, as values by axis. Raises UsageError for what is no axis or value."""
    held: dict[Axis, tuple[str, ...]] = {}
    for item in asked:
        name, _, value = item.partition("=")
        axis = next((axis for axis in VALUES if axis == name), None)
        if axis is None or (not value and axis not in HELD_OUT):
            raise UsageError(
                f"--hold-out {item}: choose from {', '.join(HELD_OUT)}, or AXIS=VALUE of {', '.join(VALUES)}"
            )
        if value and value not in VALUES[axis]:
            raise UsageError(f"--hold-out {item}: the values of {axis} are {', '.join(VALUES[axis])}")
        held[axis] = (*held.get(axis, ()), *((value,) if value else HELD_OUT[axis]))
    return held
