"""Keys and values of many episodes side by side, and attention over them.

Every live episode owns a *slot*: a row of one static buffer per layer, with a length of its own. A step packs the new
tokens of all rows into a single sequence without padding: first one token of each *single* row, then the *chunks* of
rows that still have a prompt or an observation to read. The model sees one row of N tokens; only attention knows of
slots. Grouped-query heads share their keys without a copy.

Shapes: ``_N`` packed tokens, ``_S`` single rows, ``_C`` chunk rows, ``_W`` the longest chunk, ``_L`` cached positions.
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

    ``starts`` and ``counts`` give, for each row, the first new position and how many tokens are new; rows with one
    token come first. So many first positions hold the same tokens in all rows: ``common_prefix``.
    """

    def __init__(
        self,
        slots: Sequence[int],
        starts: Sequence[int],
        counts: Sequence[int],
        device: torch.device,
        common_prefix: int = 0,
    ):
        self.singles = sum(count == 1 for count in counts)
        flat = [
            (slot, at) for slot, start, n in zip(slots, starts, counts, strict=True) for at in range(start, start + n)
        ]
        self.slots_N = torch.tensor([slot for slot, _ in flat], device=device)
        self.positions_N = torch.tensor([at for _, at in flat], device=device)
        self._single = _Singles(slots[: self.singles], starts[: self.singles], device, common_prefix)
        self._chunks = _Chunks(slots[self.singles :], starts[self.singles :], counts[self.singles :], device)

    def attend(self, query: Tensor, keys: Tensor, values: Tensor, scaling: float | None, window: int | None) -> Tensor:
        """Query ``[1, heads, N, head_dim]`` against the rows' own cached positions; ``[1, N, heads, head_dim]``."""
        query_N = query[0].transpose(0, 1)
        parts = []
        if self.singles:
            parts.append(self._single.attend(query_N[: self.singles], keys, values, scaling, window))
        if self.singles < len(query_N):
            parts.append(self._chunks.attend(query_N[self.singles :], keys, values, scaling, window))
        return (parts[0] if len(parts) == 1 else torch.cat(parts))[None]


class _Singles:
    """Rows with one new token each: plain decoding. Where that is cheaper, long rows are attended over one by one, and
    what is alike in all of them is read once, by all their queries together."""

    def __init__(self, slots: Sequence[int], positions: Sequence[int], device: torch.device, common_prefix: int):
        on_cpu = device.type == "cpu"
        prefix = min([common_prefix, *positions])
        self._common_prefix = prefix if on_cpu and pays_to_share(prefix, len(slots)) else 0
        self._source = slots[0] if slots else 0
        longest = sorted(range(len(slots)), key=lambda row: -positions[row])
        lengths = [1 + positions[row] - self._common_prefix for row in longest]
        apart = rows_apart(lengths, 1 + max(slots, default=-1)) if on_cpu else 0
        self._apart = [(row, slots[row], 1 + positions[row]) for row in longest[:apart]]
        rest = sorted(longest[apart:])
        self._rest = torch.tensor(rest, dtype=torch.long, device=device)
        self._together = _Together([slots[row] for row in rest], [positions[row] for row in rest], device)

    def attend(
        self, query_S: Tensor, keys: Tensor, values: Tensor, scaling: float | None, window: int | None
    ) -> Tensor:
        grouped = query_S.unflatten(1, (keys.shape[1], -1))  # [S, kv_heads, group, head_dim]
        if not self._common_prefix or window is not None or keys.shape[3] != values.shape[3]:
            return self._own(grouped, keys, values, scaling, window, 0).out.flatten(1, 2)
        over_prefix = self._over_prefix(grouped, keys, values, scaling)
        return self._own(grouped, keys, values, scaling, None, self._common_prefix).joined(over_prefix).flatten(1, 2)

    def _own(
        self, query: Tensor, keys: Tensor, values: Tensor, scaling: float | None, window: int | None, first: int
    ) -> "_Attended":
        """Over what each row has to itself, from position ``first`` on."""
        if not self._apart:
            return self._together.attend(query, keys, values, scaling, window, first)
        sums = query.new_empty(query.shape[:3], dtype=torch.float32) if first else None
        found = _Attended(query.new_empty(*query.shape[:3], values.shape[3]), sums)
        for row, slot, length in self._apart:
            begin = max(first, length - window) if window is not None else first
            key, value = (held[slot : slot + 1, :, begin:length] for held in (keys, values))
            found.put(
                slice(row, row + 1), _attended(query[row : row + 1], key, value, None, scaling, with_sums=first > 0)
            )
        if len(self._rest):
            found.put(self._rest, self._together.attend(query[self._rest], keys, values, scaling, window, first))
        return found

    def _over_prefix(self, query: Tensor, keys: Tensor, values: Tensor, scaling: float | None) -> "_Attended":
        """Over the common prefix, in one row's cache: the queries of all rows are one batch."""
        key, value = (held[self._source : self._source + 1, :, : self._common_prefix] for held in (keys, values))
        rows, kv_heads, group, _ = query.shape
        all_queries = query.transpose(0, 1).flatten(1, 2)[None]  # [1, kv_heads, S * group, head_dim]
        part = _attended(all_queries, key, value, None, scaling, with_sums=True)
        assert part.sums is not None
        out, sums = part.out.view(kv_heads, rows, group, -1), part.sums.view(kv_heads, rows, group)
        return _Attended(out.transpose(0, 1), sums.transpose(0, 1))


class _Attended(NamedTuple):
    """What attention over some positions gives [S, kv_heads, group, head_dim]; where that is to be joined with others,
    also the logarithm of each query's sum of exponentials, float32."""

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


class _Together:
    """Rows with one new token each, as one call of attention over all of them, padded to the longest."""

    def __init__(self, slots: Sequence[int], positions: Sequence[int], device: torch.device):
        self.slots_S = torch.tensor(slots, dtype=torch.long, device=device)
        self.length = 1 + max(positions, default=-1)
        self.used = 1 + max(slots, default=-1)
        # Copying the keys of few rows is cheaper than attending over many idle ones, and the other way round.
        self.gathers = 2 * len(slots) <= self.used
        held = list(positions)
        if not self.gathers:
            held = [self.length - 1] * self.used  # an idle slot sees whatever lies in it: finite, and thrown away
            for slot, position in zip(slots, positions, strict=True):
                held[slot] = position
        self._positions = torch.tensor(held, dtype=torch.long, device=device)
        self._masks: dict[int | None, Tensor] = {}

    def attend(
        self, query: Tensor, keys: Tensor, values: Tensor, scaling: float | None, window: int | None, first: int
    ) -> _Attended:
        """Query [S, kv_heads, group, head_dim], over positions from ``first`` on."""
        if self.gathers:
            keys = keys[:, :, first : self.length].index_select(0, self.slots_S)
            values = values[:, :, first : self.length].index_select(0, self.slots_S)
        else:
            keys, values = (held[: self.used, :, first : self.length] for held in (keys, values))
            spread = query.new_zeros(self.used, *query.shape[1:])
            spread[self.slots_S] = query
            query = spread
        mask = self._mask(query, window)[..., first:]
        part = _attended(query, keys, values, mask, scaling, with_sums=first > 0)
        return part if self.gathers else part.of_rows(self.slots_S)

    def _mask(self, like: Tensor, window: int | None) -> Tensor:
        if window not in self._masks:
            mask = _causal_mask(self._positions[:, None], self.length, window, like.dtype)
            self._masks[window] = mask[:, None]  # [rows, 1, 1, L]
        return self._masks[window]


class _Chunks:
    """Rows with several new tokens: their queries are padded to the longest chunk inside attention only."""

    def __init__(self, slots: Sequence[int], starts: Sequence[int], counts: Sequence[int], device: torch.device):
        width = max(counts, default=0)
        self.slots_C = torch.tensor(slots, dtype=torch.long, device=device)
        self.width = width
        self.length = max((start + count for start, count in zip(starts, counts, strict=True)), default=0)
        offsets_W = torch.arange(width, device=device)
        counts_C = torch.tensor(counts, dtype=torch.long, device=device)
        self.real_CW = offsets_W[None] < counts_C[:, None]
        # By number and not by a mask, for whose count every layer would have to wait for a GPU.
        real = [row * width + at for row, count in enumerate(counts) for at in range(count)]
        self._real_N = torch.tensor(real, dtype=torch.long, device=device)
        starts_C = torch.tensor(starts, dtype=torch.long, device=device)
        # A padded query looks at position 0 alone: finite, and thrown away.
        self._positions_CW = torch.where(self.real_CW, starts_C[:, None] + offsets_W, 0)
        self._masks: dict[int | None, Tensor] = {}

    def attend(
        self, query_N: Tensor, keys: Tensor, values: Tensor, scaling: float | None, window: int | None
    ) -> Tensor:
        kv_heads = keys.shape[1]
        keys = keys[:, :, : self.length].index_select(0, self.slots_C)
        values = values[:, :, : self.length].index_select(0, self.slots_C)
        padded = query_N.new_zeros(self.real_CW.numel(), *query_N.shape[1:])
        padded[self._real_N] = query_N
        padded = padded.unflatten(0, tuple(self.real_CW.shape))
        grouped = padded.unflatten(2, (kv_heads, -1)).permute(0, 2, 3, 1, 4)  # [C, kv_heads, group, W, head_dim]
        mask = self._mask(query_N, grouped.shape[2], window)
        out = F.scaled_dot_product_attention(grouped.flatten(2, 3), keys, values, attn_mask=mask, scale=scaling)
        out = out.unflatten(2, (-1, self.width)).permute(0, 3, 1, 2, 4).flatten(2, 3)  # [C, W, heads, head_dim]
        return out.flatten(0, 1)[self._real_N]

    def _mask(self, like: Tensor, group: int, window: int | None) -> Tensor:
        if window not in self._masks:
            mask = _causal_mask(self._positions_CW, self.length, window, like.dtype)
            self._masks[window] = mask.repeat(1, group, 1)[:, None]  # [C, 1, group * W, L]
        return self._masks[window]


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
