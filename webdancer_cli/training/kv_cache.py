"""Keys and values of many episodes side by side, and attention over them.

Every live episode owns a *slot*: a row of one static buffer per layer, with a length of its own. A step packs the new
tokens of all rows into a single sequence without padding: first those of *narrow* rows, which decode and have one new
token or a few, then the *chunks* of rows that still have a prompt or an observation to read. The model sees one row of
N tokens; only attention knows of slots. Grouped-query heads share their keys without a copy.

Shapes: ``_N`` packed tokens, ``_S`` narrow rows, ``_C`` chunk rows, ``_W`` the most new tokens of such a row, ``_Q``
its queries by key head, ``heads / kv_heads * W``, ``_L`` cached positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from webdancer_cli.errors import UsageError
from webdancer_cli.training.attention import AttentionRule

GROWTH = 64
"""Buffers grow to a multiple of this many positions."""

CALL_POSITIONS = 300
"""On a CPU a call of attention costs at most as much as attending over this many positions of one row."""


@dataclass
class KVCache:
    """Static buffers [slots, kv_heads, length, head_dim] per layer, which grow when a longer or a further row comes.

    Always zeroed: a masked position still meets the values as 0 * v, which must be finite.
    """

    max_slots: int
    max_length: int
    layers: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    slots: int = 0
    length: int = 0

    def reserve(self, slots: int, length: int) -> None:
        """Make room for this many slots and positions; amortised by growing by half at least."""
        if slots > self.slots:
            self.slots = min(self.max_slots, max(slots, self.slots * 3 // 2))
        if length > self.length:
            self.length = min(self.max_length, _round_up(max(length, self.length * 3 // 2)))

    def write(self, layer: int, key: Tensor, value: Tensor, plan: "StepLayout") -> tuple[Tensor, Tensor]:
        """Store the new tokens' ``[1, kv_heads, N, head_dim]``; the layer's whole buffers."""
        if layer not in self.layers:
            self.layers[layer] = (self._empty(key), self._empty(value))
        keys, values = self._buffers(layer)
        keys[plan.slots_N, :, plan.positions_N] = key[0].transpose(0, 1)
        values[plan.slots_N, :, plan.positions_N] = value[0].transpose(0, 1)
        return keys, values

    @torch.inference_mode()
    def copy(self, source: int, target: int, length: int) -> None:
        """The first positions of one slot into another one, in all layers."""
        self.reserve(target + 1, length)
        for layer in self.layers:
            for held in self._buffers(layer):
                held[target, :, :length] = held[source, :, :length]

    def _buffers(self, layer: int) -> tuple[Tensor, Tensor]:
        """A layer's keys and values, with all room that is reserved."""
        keys, values = self.layers[layer]
        if keys.shape[0] < self.slots or keys.shape[2] < self.length:
            self.layers[layer] = keys, values = self._grown(keys), self._grown(values)
        return keys, values

    def _empty(self, like: Tensor) -> Tensor:
        return like.new_zeros(self.slots, like.shape[1], self.length, like.shape[3])

    def _grown(self, old: Tensor) -> Tensor:
        new = self._empty(old)
        new[: old.shape[0], :, : old.shape[2]] = old
        return new


def _round_up(length: int) -> int:
    return -(-length // GROWTH) * GROWTH


class StepLayout:
    """Where the tokens of one step belong: made once, used by every layer.

    ``starts`` and ``counts`` give, for each row, the first new position and how many tokens are new; rows with up to
    ``narrow`` of them come first. So many first positions hold the same tokens in all rows: ``common_prefix``.
    """

    def __init__(
        self,
        slots: Sequence[int],
        starts: Sequence[int],
        counts: Sequence[int],
        device: torch.device,
        common_prefix: int = 0,
        narrow: int = 1,
    ):
        rows = sum(count <= narrow for count in counts)
        few, many = _Queries(starts[:rows], counts[:rows], device), _Queries(starts[rows:], counts[rows:], device)
        self.slots_N = torch.tensor(slots).repeat_interleave(torch.tensor(counts)).to(device)
        self.positions_N = torch.cat((few.positions_N, many.positions_N))
        self._narrow_tokens = len(few.positions_N)
        self._narrow = _Narrow(slots[:rows], few, device, common_prefix)
        self._chunks = _Chunks(slots[rows:], many)

    def attend(self, query: Tensor, keys: Tensor, values: Tensor, scaling: float | None, window: int | None) -> Tensor:
        """Query ``[1, heads, N, head_dim]`` against the rows' own cached positions; ``[1, N, heads, head_dim]``."""
        query_N = query[0].transpose(0, 1)
        parts, narrow = [], self._narrow_tokens
        if narrow:
            parts.append(self._narrow.attend(query_N[:narrow], keys, values, scaling, window))
        if narrow < len(query_N):
            parts.append(self._chunks.attend(query_N[narrow:], keys, values, scaling, window))
        return (parts[0] if len(parts) == 1 else torch.cat(parts))[None]


class _Queries:
    """The new tokens of some rows as queries of one width, the most of any row, and back."""

    def __init__(self, starts: Sequence[int], counts: Sequence[int], device: torch.device):
        self._width = max(counts, default=0)
        self.firsts, self.lasts = list(starts), [at + count - 1 for at, count in zip(starts, counts, strict=True)]
        offsets_W = torch.arange(self._width)
        real_SW = offsets_W < torch.tensor(counts, dtype=torch.long)[:, None]
        positions_SW = torch.tensor(starts, dtype=torch.long)[:, None] + offsets_W
        self.positions_N = positions_SW[real_SW].to(device)
        # A query that pads its row sees what the row's last one sees: finite, and thrown away.
        self.positions_SW = positions_SW.minimum(torch.tensor(self.lasts, dtype=torch.long)[:, None]).to(device)
        # By number and not by a mask, for whose count every layer would have to wait for a GPU.
        self._real_N = None if bool(real_SW.all()) else real_SW.flatten().nonzero()[:, 0].to(device)

    def by_row(self, query_N: Tensor, kv_heads: int) -> Tensor:
        """[N, heads, head_dim] as [S, kv_heads, Q, head_dim]."""
        if self._real_N is not None:
            padded = query_N.new_zeros(self.positions_SW.numel(), *query_N.shape[1:])
            padded[self._real_N] = query_N
            query_N = padded
        rows = query_N.unflatten(1, (kv_heads, -1)).unflatten(0, (-1, self._width))
        return rows.permute(0, 2, 3, 1, 4).flatten(2, 3)

    def in_turn(self, out_SQ: Tensor) -> Tensor:
        """What attention gave, [S, kv_heads, Q, width], as [N, heads, width]."""
        out_N = out_SQ.unflatten(2, (-1, self._width)).permute(0, 3, 1, 2, 4).flatten(2, 3).flatten(0, 1)
        return out_N if self._real_N is None else out_N[self._real_N]


class _Narrow:
    """Rows with one new token each, or a few: decoding. Where that is cheaper, long rows are attended over one by one,
    and what is alike in all of them is read once, by all their queries together."""

    def __init__(self, slots: Sequence[int], queries: _Queries, device: torch.device, common_prefix: int):
        on_cpu = device.type == "cpu"
        prefix = min([common_prefix, *queries.firsts])
        self._queries = queries
        self._common_prefix = prefix if on_cpu and pays_to_share(prefix, len(slots)) else 0
        self._source = slots[0] if slots else 0
        longest = sorted(range(len(slots)), key=lambda row: -queries.lasts[row])
        lengths = [1 + queries.lasts[row] - self._common_prefix for row in longest]
        apart = rows_apart(lengths, 1 + max(slots, default=-1)) if on_cpu else 0
        self._apart = [_Apart(row, slots[row], queries) for row in longest[:apart]]
        rest = sorted(longest[apart:])
        self._rest = torch.tensor(rest, dtype=torch.long, device=device)
        positions_SW = queries.positions_SW[self._rest] if apart else queries.positions_SW
        length = 1 + max((queries.lasts[row] for row in rest), default=-1)
        self._together = _Together([slots[row] for row in rest], positions_SW, length)

    def attend(
        self, query_N: Tensor, keys: Tensor, values: Tensor, scaling: float | None, window: int | None
    ) -> Tensor:
        query_SQ = self._queries.by_row(query_N, keys.shape[1])
        if not self._common_prefix or window is not None or keys.shape[3] != values.shape[3]:
            return self._queries.in_turn(self._own(query_SQ, keys, values, scaling, window, 0).out)
        over_prefix = self._over_prefix(query_SQ, keys, values, scaling)
        own = self._own(query_SQ, keys, values, scaling, None, self._common_prefix)
        return self._queries.in_turn(own.joined(over_prefix))

    def _own(
        self, query: Tensor, keys: Tensor, values: Tensor, scaling: float | None, window: int | None, first: int
    ) -> "_Attended":
        """Over what each row has to itself, from position ``first`` on."""
        if not self._apart:
            return self._together.attend(query, keys, values, scaling, window, first)
        sums = query.new_empty(query.shape[:3], dtype=torch.float32) if first else None
        found = _Attended(query.new_empty(*query.shape[:3], values.shape[3]), sums)
        for apart in self._apart:
            row = slice(apart.row, apart.row + 1)
            found.put(row, apart.attend(query[row], keys, values, scaling, window, first))
        if len(self._rest):
            found.put(self._rest, self._together.attend(query[self._rest], keys, values, scaling, window, first))
        return found

    def _over_prefix(self, query: Tensor, keys: Tensor, values: Tensor, scaling: float | None) -> "_Attended":
        """Over the common prefix, in one row's cache: the queries of all rows are one batch."""
        key, value = (held[self._source : self._source + 1, :, : self._common_prefix] for held in (keys, values))
        rows, kv_heads, queries, _ = query.shape
        all_queries = query.transpose(0, 1).flatten(1, 2)[None]  # [1, kv_heads, S * Q, head_dim]
        part = _attended(all_queries, key, value, None, scaling, with_sums=True)
        assert part.sums is not None
        out, sums = part.out.view(kv_heads, rows, queries, -1), part.sums.view(kv_heads, rows, queries)
        return _Attended(out.transpose(0, 1), sums.transpose(0, 1))


class _Attended(NamedTuple):
    """What attention over some positions gives [S, kv_heads, Q, head_dim]; where that is to be joined with others, also
    the logarithm of each query's sum of exponentials, float32."""

    out: Tensor
    sums: Tensor | None

    def of_rows(self, rows: Tensor) -> "_Attended":
        return _Attended(self.out[rows], None if self.sums is None else self.sums[rows])

    def put(self, rows: slice | Tensor, found: "_Attended") -> None:
        self.out[rows] = found.out
        if self.sums is not None and found.sums is not None:
            self.sums[rows] = found.sums

    def joined(self, other: "_Attended") -> Tensor:
        """What attention over the positions of both gives."""
        assert self.sums is not None and other.sums is not None
        share = torch.sigmoid(other.sums - self.sums)[..., None]
        return torch.lerp(self.out.float(), other.out.float(), share).to(self.out.dtype)


def _attended(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float | None, *, with_sums: bool
) -> _Attended:
    """Without sums, attention as torch chooses it; with them by the kernel for CPUs, which gives them."""
    if not with_sums:
        return _Attended(F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling), None)
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return _Attended(*kernel(query, key, value, attn_mask=mask, scale=scaling))


def pays_to_share(prefix: int, rows: int) -> bool:
    """Whether to read the common prefix once: it saves them for all rows but one, and costs a call and the
    joining of its result with the rest."""
    return prefix * (rows - 1) > 2 * CALL_POSITIONS


def rows_apart(lengths: Sequence[int], slots: int) -> int:
    """How many of the longest rows to take one by one, so that the rest need not be padded to them.

    ``lengths`` falls; the rest is attended over together, as many ``slots`` as there are, to its own longest.
    """
    costs = [slots * max(lengths, default=0)]
    one_by_one = 2 * CALL_POSITIONS  # the rest's queries and results are copied
    for length, longest_left in pairwise([*lengths, 0]):
        one_by_one += CALL_POSITIONS + length
        costs.append(one_by_one + slots * longest_left)
    return costs.index(min(costs))


class _Apart:
    """A row that is attended over for itself, where it lies."""

    def __init__(self, row: int, slot: int, queries: _Queries):
        self.row = row
        self._slot = slot
        self._first, self._last = queries.firsts[row], queries.lasts[row]
        self._masks = _Masks(queries.positions_SW[row : row + 1], 1 + self._last)

    def attend(
        self, query: Tensor, keys: Tensor, values: Tensor, scaling: float | None, window: int | None, first: int
    ) -> _Attended:
        """Query [1, kv_heads, Q, head_dim], over positions from ``first`` on."""
        begin = first if window is None else max(first, self._first + 1 - window)
        key, value = (held[self._slot : self._slot + 1, :, begin : 1 + self._last] for held in (keys, values))
        # A single token sees all that is there.
        mask = None if self._first == self._last else self._masks.of(query, window)[..., begin:]
        return _attended(query, key, value, mask, scaling, with_sums=first > 0)


class _Together:
    """Rows as one call of attention over all of them, padded to the longest; where there are idle ones between them,
    over a copy of those that matter, or over all: whichever is cheaper."""

    def __init__(self, slots: Sequence[int], positions_SW: Tensor, length: int, *, copies: bool = False):
        self._slots_S = torch.tensor(slots, dtype=torch.long, device=positions_SW.device)
        self._length = length
        self._used = 1 + max(slots, default=-1)
        self._copies = copies or 2 * len(slots) <= self._used
        if not self._copies:
            # An idle slot sees whatever lies in it: finite, and thrown away.
            held_SW = positions_SW.new_full((self._used, positions_SW.shape[1]), self._length - 1)
            held_SW[self._slots_S] = positions_SW
            positions_SW = held_SW
        self._masks = _Masks(positions_SW, self._length)

    def attend(
        self, query: Tensor, keys: Tensor, values: Tensor, scaling: float | None, window: int | None, first: int
    ) -> _Attended:
        """Query [S, kv_heads, Q, head_dim], over positions from ``first`` on."""
        if self._copies:
            keys, values = (held[:, :, first : self._length].index_select(0, self._slots_S) for held in (keys, values))
        else:
            keys, values = (held[: self._used, :, first : self._length] for held in (keys, values))
            spread = query.new_zeros(self._used, *query.shape[1:])
            spread[self._slots_S] = query
            query = spread
        mask = self._masks.of(query, window)[..., first:]
        part = _attended(query, keys, values, mask, scaling, with_sums=first > 0)
        return part if self._copies else part.of_rows(self._slots_S)


class _Chunks:
    """Rows with many new tokens: their queries are padded to the longest chunk inside attention only."""

    def __init__(self, slots: Sequence[int], queries: _Queries):
        self._queries = queries
        length = 1 + max(queries.lasts, default=-1)
        self._rows = _Together(slots, queries.positions_SW, length, copies=True)

    def attend(
        self, query_N: Tensor, keys: Tensor, values: Tensor, scaling: float | None, window: int | None
    ) -> Tensor:
        query_CQ = self._queries.by_row(query_N, keys.shape[1])
        return self._queries.in_turn(self._rows.attend(query_CQ, keys, values, scaling, window, 0).out)


class _Masks:
    """What the queries of some rows see of ``length`` positions: those up to their own, of a window the last ones."""

    def __init__(self, positions_SW: Tensor, length: int):
        self._positions_SW = positions_SW
        self._length = length
        self._made: dict[int | None, Tensor] = {}

    def of(self, query: Tensor, window: int | None) -> Tensor:
        """Additive [S, 1, Q, L] for queries [S, kv_heads, Q, head_dim]; [S, 1, 1, L] where a row has one token."""
        if window not in self._made:
            mask = _causal_mask(self._positions_SW, self._length, window, query.dtype)
            width = self._positions_SW.shape[1]
            self._made[window] = (mask if width == 1 else mask.repeat(1, query.shape[2] // width, 1))[:, None]
        return self._made[window]


def _causal_mask(positions: Tensor, length: int, window: int | None, dtype: torch.dtype) -> Tensor:
    """Additive mask [rows, queries, length]: a query sees cached positions up to its own, the last ``window`` only."""
    at_L = torch.arange(length, device=positions.device)
    seen = at_L <= positions[..., None]
    if window is not None:
        seen &= at_L > positions[..., None] - window
    return torch.zeros(seen.shape, dtype=dtype, device=positions.device).masked_fill_(~seen, float("-inf"))


@dataclass(frozen=True)
class SlotAttention:
    """Implements Attention: a step's new tokens against the cached positions of their rows."""

    plan: StepLayout
    cache: KVCache
    windows: set[int | None] = field(default_factory=set)
    """Of the layers that have asked."""

    def attend(self, layer: nn.Module, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule) -> Tensor:
        """See Attention. Raises UsageError for capped scores and for sinks."""
        if rule.cap is not None or rule.sinks is not None:
            raise UsageError(f"{type(layer).__name__} caps its scores or has sinks, which the in-process engine lacks")
        index = layer.layer_idx
        assert isinstance(index, int)
        self.windows.add(rule.window)
        keys, values = self.cache.write(index, key, value, self.plan)
        return self.plan.attend(query, keys, values, rule.scaling, rule.window)
