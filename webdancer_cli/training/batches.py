"""Which sequences go together, on which rank, in which order; ``layout`` makes of them what the model computes.

A step's *global* batch is dealt out to the ranks, and each rank's share is cut into micro-batches that fit in memory.
Losses are sums over tokens, divided by a count taken over the global batch; so how a batch is cut changes memory and
speed, never the update.
"""

import random
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from webdancer_cli.training.renderer import Tokens


@dataclass(frozen=True)
class Example:
    """A rendered sequence, small enough to keep by the hundred thousand: 5 bytes a token."""

    ids: "array[int]"
    trainable: "array[int]"

    @classmethod
    def of(cls, tokens: Tokens) -> "Example":
        return cls(array("i", tokens.ids), array("b", tokens.trainable))

    @property
    def loss_tokens(self) -> int:
        """Tokens that bear loss; the first of a sequence never does, since nothing predicts it."""
        return sum(self.trainable[1:])


def deal(lengths: Sequence[int], ranks: int) -> list[list[int]]:
    """The indices of ``lengths``, dealt out so that every rank gets about as many tokens: the longest first."""
    shares: list[list[int]] = [[] for _ in range(ranks)]
    loads = [0] * ranks
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        rank = loads.index(min(loads))
        shares[rank].append(index)
        loads[rank] += lengths[index]
    return shares


def micro_batches(lengths: Sequence[int], indices: Sequence[int], micro_tokens: int) -> list[list[int]]:
    """``indices`` in groups of similar length whose padded size (rows times longest) is at most ``micro_tokens``.

    ``lengths`` are those of ``indices``, in the same order. A sequence that is longer on its own goes alone.
    """
    groups: list[list[int]] = []
    room = 0
    for length, index in sorted(zip(lengths, indices, strict=True), key=lambda pair: -pair[0]):
        if room == 0:
            groups.append([])
            room = max(1, micro_tokens // max(1, length))
        groups[-1].append(index)
        room -= 1
    return groups


def shuffled(count: int, batch_size: int, steps: int, seed: int) -> Iterator[list[int]]:
    """``steps`` batches of indices below ``count``: pass after pass over all of them, each in an order of its own.

    Every batch is full; one may hold the end of a pass and the beginning of the next.
    """
    stream = _passes(count, seed)
    for _ in range(steps):
        yield [next(stream) for _ in range(batch_size)]


def _passes(count: int, seed: int) -> Iterator[int]:
    number = 0
    while True:
        order = list(range(count))
        random.Random(f"{seed}:{number}").shuffle(order)
        yield from order
        number += 1
