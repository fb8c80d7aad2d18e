"""Guesses at how a text goes on, for an engine that reads several tokens of a row for little more than one costs.

An agent's text repeats itself: names and addresses stand in the observation that it has just read, and the frame of its
thoughts and calls in its own earlier turns and in those of others. So the tokens that followed where the last few ids
stood before are often the ones that will be drawn next (prompt lookup, n-gram speculative decoding). A guess costs no
model, and cannot change what is drawn: the engine draws every token from the distribution that the model gives it, and
goes on along the guess for as long as both agree.
"""

WIDTHS = (3, 2)
"""How many last ids have to be the same: the more, the likelier is the guess."""

MOST_ENTRIES = 50_000
"""Of what all rows drew; beyond that it is forgotten, and learned anew."""


class History:
    """The text of one row, and where in it each few ids stood last."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._known = 0
        """Ids whose places are known."""
        self._places: dict[tuple[int, ...], int] = {}
        """Of what came after a few ids, by those."""

    def begin(self, ids: list[int]) -> None:
        """A turn begins with ``ids``, a list that grows as ids are drawn; what was known of the same text stays."""
        if ids[: self._known] != self._ids[: self._known]:
            self._known, self._places = 0, {}
        self._ids = ids

    def after(self, last: tuple[int, ...], most: int) -> list[int]:
        """What came after ``last`` before."""
        ids = self._ids
        if self._known < len(ids):
            for width in WIDTHS:
                for at in range(max(width, self._known), len(ids)):
                    self._places[tuple(ids[at - width : at])] = at
            self._known = len(ids)
        at = self._places.get(last, len(ids))
        return ids[at : at + most]


class Drafts:
    """Guesses of up to ``length`` ids, from a row's own text, and from what all rows have drawn."""

    def __init__(self, length: int):
        self.length = length
        self._drawn: dict[tuple[int, ...], list[int]] = {}
        """What came after a few ids, by those."""

    def of(self, ids: list[int], history: History, most: int) -> list[int]:
        """How the text ``ids`` of a row with this history may go on, by at most ``most`` ids."""
        most = min(most, self.length)
        for width in WIDTHS if most > 0 else ():
            last = tuple(ids[-width:])
            if guess := history.after(last, most) or self._drawn.get(last, [])[:most]:
                return guess
        return []

    def learn(self, ids: list[int], first: int) -> None:
        """A turn has ended: of ``ids``, those from ``first`` on were drawn."""
        if len(self._drawn) > MOST_ENTRIES:
            self.forget()
        for width in WIDTHS:
            for at in range(max(width, first), len(ids)):
                self._drawn[tuple(ids[at - width : at])] = ids[at : at + self.length]

    def forget(self) -> None:
        """The weights change, and with them what is drawn."""
        self._drawn.clear()
