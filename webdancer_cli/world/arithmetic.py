"""A world without tables: hashes, shuffles and shares that are computed, never stored."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b

_MASK = (1 << 64) - 1


@cache
def tag(word: str) -> int:
    """A word as a 64-bit number, to key a hash with."""
    return int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "little")


def mix(*parts: int) -> int:
    """A 64-bit hash of integers: SplitMix64's finaliser, chained."""
    state = 0x9E3779B97F4A7C15
    for part in parts:
        state = (state ^ part) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state = (state ^ (state >> 31)) + 0x9E3779B97F4A7C15
    return state & _MASK


class Shuffle:
    """A keyed permutation of ``range(size)``, computed both ways in constant memory.

    A Feistel network on pairs of digits base ⌈√size⌉; values that fall outside ``size`` are walked on (cycle walking),
    which ends because the network is itself a permutation.
    """

    ROUNDS = 4

    def __init__(self, size: int, key: int):
        self.size = size
        self._side = max(1, math.isqrt(max(0, size - 1)) + 1)
        self._keys = [mix(key, turn) for turn in range(self.ROUNDS)]

    def __call__(self, index: int) -> int:
        value = self._forward(index)
        while value >= self.size:
            value = self._forward(value)
        return value

    def inverse(self, value: int) -> int:
        index = self._backward(value)
        while index >= self.size:
            index = self._backward(index)
        return index

    def _forward(self, value: int) -> int:
        left, right = divmod(value, self._side)
        for key in self._keys:
            left, right = right, (left + mix(key, right)) % self._side
        return left * self._side + right

    def _backward(self, value: int) -> int:
        left, right = divmod(value, self._side)
        for key in reversed(self._keys):
            left, right = (right - mix(key, left)) % self._side, left
        return left * self._side + right


@dataclass(frozen=True)
class Shares:
    """Deals ``items`` to ``owners`` in blocks, by weights that repeat: owners and belongings are found by division.

    Owner ``o`` weighs ``weights[o % len(weights)]``. Items are dealt in rounds of one weight total per group of owners;
    items beyond the last full round start a new one, so every owner keeps its proportion.
    """

    items: int
    owners: int
    weights: Sequence[int]

    @property
    def round(self) -> int:
        """How many items it takes until everybody has a full share."""
        full, rest = divmod(self.owners, len(self.weights))
        return full * sum(self.weights) + sum(self.weights[:rest])

    def owner(self, item: int) -> int:
        group, offset = divmod(item % self.round, sum(self.weights))
        for place, weight in enumerate(self.weights):
            if offset < weight:
                return group * len(self.weights) + place
            offset -= weight
        raise AssertionError("an offset below the weights' sum falls into one of them")

    def items_of(self, owner: int) -> Iterator[int]:
        group, place = divmod(owner, len(self.weights))
        start = group * sum(self.weights) + sum(self.weights[:place])
        for first in range(start, self.items, self.round):
            yield from range(first, min(first + self.weights[place], self.items))
