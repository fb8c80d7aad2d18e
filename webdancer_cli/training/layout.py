"""How the rows of an optimizer step are laid out for the model, the same for SFT and RL.

Rows are packed one behind the other up to a budget of tokens, without padding: positions start again with every row,
and attention stays within it. Rows that begin with the same tokens (a system prompt with its tools; the question of a
group of rollouts) become a *tree*: what they share is computed once, forward and backward, and all of them see it. The
numbers are those of the rows by themselves.

A model whose layers look across rows in other ways than by attention (recurrent and convolutional layers, biases by
distance), or whose attention is its own, gets padded rows instead. No configuration says so for every family, so
``choose_layout`` tries it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from webdancer_cli.training.batches import Example, deal, micro_batches
from webdancer_cli.training.packed_attention import PackedAttention, Span
from webdancer_cli.training.renderer import Tokens

SHARED_TOKENS = 16
"""Prefixes are shared in multiples of this many tokens."""

Kind = Literal["tree", "packed", "padded"]
Row = Example | Tokens


@dataclass(frozen=True)
class Batch:
    """What the model computes at once, and where in it the log-probs of the trainable tokens come from.

    A padded batch has ``B`` rows; a packed one is a single row, with ``positions_BT`` and ``attention``.
    """

    ids_BT: Tensor
    before_S: Tensor
    """Places (in the flattened batch) whose next token is trainable, each with its token once."""
    targets_S: Tensor
    order_M: Tensor | None = None
    """Which of the ``S`` belongs to each trainable token, row by row; None where they are the same in that order."""
    positions_BT: Tensor | None = None
    attention: PackedAttention | None = None


@dataclass(frozen=True)
class Plan:
    """The micro-batches of every rank, as indices into the rows of a step.

    All ranks have equally many, since sharded weights are gathered together; the last ones of a rank may be empty.
    """

    shares: list[list[list[int]]]
    tokens: int
    """Of all rows."""
    shared_prefix_tokens: int = 0
    """Tokens that are not computed, since another row of the same micro-batch has computed them."""
    padding: int = 0
    """Tokens that are computed for nothing."""

    def metrics(self) -> dict[str, int]:
        return {"shared_prefix_tokens": self.shared_prefix_tokens, "padding": self.padding}


@dataclass(frozen=True)
class Layout:
    """How rows are laid out: the object that SFT and RL have in common."""

    kind: Kind
    micro_tokens: int
    """Most tokens of a micro-batch; a row that is longer on its own goes alone."""
    device: torch.device | str = "cpu"
    shared_tokens: int = SHARED_TOKENS
    """Prefixes are shared in multiples of this many tokens."""

    def plan(self, rows: Sequence[Row], ranks: int = 1) -> Plan:
        """Deal the rows of a step out to the ranks, and cut each rank's share into micro-batches."""
        tokens = sum(len(row.ids) for row in rows)
        if self.kind == "padded":
            lengths = [len(row.ids) for row in rows]
            groups = [
                micro_batches([lengths[index] for index in share], share, self.micro_tokens)
                for share in deal(lengths, ranks)
            ]
            padded = sum(len(part) * max(lengths[at] for at in part) for share in groups for part in share)
            return Plan(_evened(groups), tokens, padding=padded - tokens)
        shares = [self._micro_batches(rows, share) for share in self._deal(rows, ranks)]
        computed = sum(self._prefixes(rows, batch).computed for share in shares for batch in share)
        return Plan(_evened(shares), tokens, tokens - computed)

    def _prefixes(self, rows: Sequence[Row], indices: Sequence[int]) -> "Prefixes":
        return Prefixes([rows[index] for index in indices], self.shared_tokens if self.kind == "tree" else 0)

    def _deal(self, rows: Sequence[Row], ranks: int) -> list[list[int]]:
        """Rows that share go to one rank, unless they are more than its part of the work."""
        if ranks == 1:
            return [[*range(len(rows))]]
        prefixes = self._prefixes(rows, range(len(rows)))
        clusters = prefixes.clusters(-(-prefixes.computed // ranks))
        shares = deal([computed for _, computed in clusters], ranks)
        return [sorted(row for at in share for row in clusters[at][0]) for share in shares]

    def _micro_batches(self, rows: Sequence[Row], indices: Sequence[int]) -> list[list[int]]:
        """As few as first fit finds, of clusters in the order of their computed tokens, the largest first."""
        batches: list[list[int]] = []
        room: list[int] = []
        clusters = self._prefixes(rows, indices).clusters(self.micro_tokens)
        for cluster, computed in sorted(clusters, key=lambda cluster: -cluster[1]):
            at = next((at for at, left in enumerate(room) if computed <= left), len(room))
            if at == len(room):
                batches.append([])
                room.append(max(self.micro_tokens, computed))
            batches[at] += [indices[row] for row in cluster]
            room[at] -= computed
        return [sorted(batch) for batch in batches]

    def batch(self, rows: Sequence[Row]) -> Batch:
        """Rows as what the model computes at once. No rows give a batch without loss, for a rank without work."""
        if self.kind == "padded":
            return pad(rows, self.device)
        return pack(rows, self.shared_tokens if self.kind == "tree" else 0, self.device)

    def batches(self, rows: Sequence[Row], plan: Plan, rank: int) -> Iterator[tuple[list[int], Batch]]:
        """The micro-batches of a rank, one after the other, each with the indices of its rows."""
        for indices in plan.shares[rank]:
            yield indices, self.batch([rows[index] for index in indices])


def _evened(groups: list[list[list[int]]]) -> list[list[list[int]]]:
    rounds = max(map(len, groups))
    return [share + [[]] * (rounds - len(share)) for share in groups]


class Prefixes:
    """Rows in the order of their ids, and how many tokens neighbours in that order have in common."""

    def __init__(self, rows: Sequence[Row], shared_tokens: int):
        self.ids = [np.asarray(row.ids, dtype=np.int64) for row in rows]
        self.order = (
            sorted(range(len(rows)), key=lambda at: list(rows[at].ids)) if shared_tokens else [*range(len(rows))]
        )
        self.common = [0] * len(rows)
        """Shared with the row before, in whole multiples of ``shared_tokens``: so no span is shorter than that."""
        for at in range(1, len(rows)) if shared_tokens else ():
            shared = common_prefix(self.ids[self.order[at - 1]], self.ids[self.order[at]])
            self.common[at] = shared // shared_tokens * shared_tokens

    @property
    def computed(self) -> int:
        """Tokens that are left to compute when all rows are in one batch."""
        return sum(map(len, self.ids)) - sum(self.common)

    def clusters(self, most: int) -> list[tuple[list[int], int]]:
        """Rows that share something, in groups of at most ``most`` computed tokens, each group with their number."""
        found: list[tuple[list[int], int]] = []
        for row, common in zip(self.order, self.common, strict=True):
            length = len(self.ids[row])
            if common and found[-1][1] + length - common <= most:
                rows, computed = found.pop()
                found.append(([*rows, row], computed + length - common))
            else:
                found.append(([row], length))
        return found


def common_prefix(one: "np.ndarray", other: "np.ndarray") -> int:
    """How many first elements two arrays have in common."""
    shortest = min(len(one), len(other))
    apart = np.flatnonzero(one[:shortest] != other[:shortest])
    return int(apart[0]) if len(apart) else shortest


class _Tree:
    """The spans of a packed batch, and which of them make up each row. Rows and branches keep the order of the rows."""

    def __init__(self, prefixes: Prefixes):
        self.spans: list[Span] = []
        self.ids: list[np.ndarray] = []
        self.paths: list[list[Span]] = [[] for _ in prefixes.ids]
        self._prefixes = prefixes
        self._length = 0
        self._grow(0, len(prefixes.order), 0, [])

    def _grow(self, first: int, last: int, depth: int, path: list[Span]) -> None:
        """Lay out the rows from ``first`` to ``last``, in their sorted order, which have ``depth`` tokens in common."""
        order, common = self._prefixes.order, self._prefixes.common
        cuts = [first, *(at for at in range(first + 1, last) if common[at] <= depth), last]
        groups = sorted(pairwise(cuts), key=lambda group: min(order[group[0] : group[1]]))
        for low, high in groups:
            row = order[low]
            stop = len(self._prefixes.ids[row]) if high - low == 1 else min(common[low + 1 : high])
            branch = [*path, *self._add(row, depth, stop, path)]
            if high - low == 1:
                self.paths[row] = branch
            else:
                self._grow(low, high, stop, branch)

    def _add(self, row: int, depth: int, stop: int, path: list[Span]) -> list[Span]:
        if depth == stop:  # the row ends with what it shares
            return []
        span = Span(self._length, self._length + stop - depth, depth, tuple((part.start, part.stop) for part in path))
        self.spans.append(span)
        self.ids.append(self._prefixes.ids[row][depth:stop])
        self._length = span.stop
        return [span]

    @cached_property
    def positions(self) -> "np.ndarray":
        return np.concatenate([np.arange(span.stop - span.start) + span.position for span in self.spans])

    def places(self, row: int) -> "np.ndarray":
        """Where each token of a row is in the packed batch."""
        return np.concatenate([np.arange(span.start, span.stop) for span in self.paths[row]])


_IDLE = [Tokens([0, 0], [False, False])]


def pack(rows: Sequence[Row], shared_tokens: int = SHARED_TOKENS, device: torch.device | str = "cpu") -> Batch:
    """Rows one behind the other, prefixes shared in multiples of so many tokens (0: not at all)."""
    rows = rows or _IDLE
    tree = _Tree(Prefixes(rows, shared_tokens))
    ids = np.concatenate(tree.ids)
    before, after = [], []
    for number, row in enumerate(rows):
        places = tree.places(number)
        scored = np.flatnonzero(np.asarray(row.trainable, dtype=bool)[1:])
        before.append(places[scored])
        after.append(places[scored + 1])
    # A token that rows share is scored once; one place may still precede several tokens, where branches begin.
    after_S, first, order_M = np.unique(np.concatenate(after), return_index=True, return_inverse=True)
    attention = PackedAttention(tree.spans, torch.device(device))
    parts = (ids[None], np.concatenate(before)[first], ids[after_S], order_M, tree.positions[None])
    ids_BT, before_S, targets_S, order, positions_BT = (torch.from_numpy(part).to(device) for part in parts)
    return Batch(ids_BT, before_S, targets_S, order, positions_BT, attention)


def pad(rows: Sequence[Row], device: torch.device | str = "cpu") -> Batch:
    """Padded on the *right*: causal attention alone keeps padding away from every real token, without a mask."""
    rows = rows or _IDLE
    width = max(len(row.ids) for row in rows)
    ids_BT = np.zeros((len(rows), width), dtype=np.int64)
    trainable_BT = np.zeros(ids_BT.shape, dtype=bool)
    for number, row in enumerate(rows):
        ids_BT[number, : len(row.ids)] = row.ids
        trainable_BT[number, 1 : len(row.ids)] = row.trainable[1:]
    after_S = np.flatnonzero(trainable_BT)
    parts = (ids_BT, after_S - 1, ids_BT.flatten()[after_S])
    ids, before_S, targets_S = (torch.from_numpy(part).to(device) for part in parts)
    return Batch(ids, before_S, targets_S)
