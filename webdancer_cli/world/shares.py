"""Who belongs to whom, both ways, without a table: rosters of people, and items dealt to owners."""

from collections.abc import Sequence

from webdancer_cli.world.arithmetic import Shares, Shuffle


class Roster:
    """Every rank below ``size`` that falls on one of some ``places`` of a cycle: the novelists among the people."""

    def __init__(self, size: int, cycle: int, places: Sequence[int]):
        self._size = size
        self._cycle = cycle
        self._places = sorted(places)

    def __len__(self) -> int:
        return self.before(self._size)

    def rank(self, number: int) -> int:
        """The rank of the ``number``-th one here."""
        full, place = divmod(number, len(self._places))
        return full * self._cycle + self._places[place]

    def number(self, rank: int) -> int | None:
        """The inverse of ``rank``; None for those who are not here."""
        full, place = divmod(rank, self._cycle)
        here = rank < self._size and place in self._places
        return full * len(self._places) + self._places.index(place) if here else None

    def before(self, rank: int) -> int:
        """How many here have a lower rank."""
        full, rest = divmod(min(rank, self._size), self._cycle)
        return full * len(self._places) + sum(place < rest for place in self._places)


class Dealt:
    """Items dealt to owners by weights: who owns an item, and which items somebody owns.

    Items are shuffled over full rounds of shares, so that fewer items than shares reach all owners alike.
    """

    def __init__(self, items: int, owners: int, weights: Sequence[int], key: int):
        self._items = items
        shares = Shares(0, owners, tuple(weights)).round
        self._shares = Shares(-(-items // shares) * shares, owners, tuple(weights))
        self._shuffle = Shuffle(self._shares.items, key)

    def owner(self, item: int) -> int:
        return self._shares.owner(self._shuffle(item))

    def items(self, owner: int) -> list[int]:
        dealt = (self._shuffle.inverse(share) for share in self._shares.items_of(owner))
        return sorted(item for item in dealt if item < self._items)


class Appointed:
    """A one-to-one match of a smaller group with some of a larger one, shuffled."""

    def __init__(self, smaller: int, larger: int, key: int):
        self._smaller = smaller
        self._larger = larger
        self._shuffle = Shuffle(larger, key)

    def chosen(self, number: int) -> int | None:
        """Who of the larger group goes with the ``number``-th of the smaller."""
        return self._shuffle(number) if number < min(self._smaller, self._larger) else None

    def chooser(self, rank: int) -> int | None:
        """Who of the smaller group goes with this one of the larger."""
        number = self._shuffle.inverse(rank)
        return number if number < self._smaller else None


def paired(rank: int, size: int) -> int | None:
    """The neighbour in the pairs (0, 1), (2, 3), …; None for an odd one at the end."""
    return rank ^ 1 if rank ^ 1 < size else None
