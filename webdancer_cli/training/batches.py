"""Sequences to padded batches: which ones go together, on which rank, in which order.

A step's *global* batch is dealt out to the ranks, and each rank's share is cut into micro-batches that fit in memory.
Losses are sums over tokens, divided by a count taken over the global batch; so how a batch is cut changes memory and
speed, never the update.
"""

import random
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

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


@dataclass(frozen=True)
class Batch:
    """Rows of token ids, padded on the right; ``trainable_BT`` is True where loss is allowed, and never on padding."""

    ids_BT: Tensor
    trainable_BT: Tensor


def pad(rows: Sequence[Example | Tokens], device: torch.device | str = "cpu", pad_id: int = 0) -> Batch:
    """The rows as one batch. No rows give a batch without trainable tokens, for a rank that has nothing to do."""
    width = max((len(row.ids) for row in rows), default=2)
    ids_BT = np.full((max(1, len(rows)), width), pad_id, dtype=np.int64)
    trainable_BT = np.zeros(ids_BT.shape, dtype=bool)
    for number, row in enumerate(rows):
        ids_BT[number, : len(row.ids)] = row.ids
        trainable_BT[number, : len(row.ids)] = row.trainable
    return Batch(torch.from_numpy(ids_BT).to(device), torch.from_numpy(trainable_BT).to(device))


def plan(lengths: Sequence[int], micro_tokens: int, ranks: int = 1) -> list[list[list[int]]]:
    """For every rank its micro-batches, as indices into ``lengths``.

    All ranks get equally many, since sharded weights are gathered together; the last ones of a rank may be empty.
    """
    shares = [micro_batches([lengths[index] for index in share], share, micro_tokens) for share in deal(lengths, ranks)]
    rounds = max(map(len, shares))
    return [share + [[]] * (rounds - len(share)) for share in shares]


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
