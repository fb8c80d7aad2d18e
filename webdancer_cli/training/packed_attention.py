"""Attention over packed rows that share prefixes: every token sees its own row's past and nothing else.

The rows of a batch are a forest of *spans*. A span's tokens follow those of its parents, so that a prefix which several
rows share is one span, whose keys and values all of them see. What a span sees is its path, and its positions are
counted along it: key j of the path stands at position j.

Three ways to the same numbers: torch's SDPA, span by span, on a GPU in half precision where spans are long, and for
float32 where nothing is shared; torch's varlen attention, on a GPU in half precision for all spans at once; and
``span_attention``, which is made of matrix products and knows sliding windows, caps, sinks and shared prefixes. It
works through a block of queries at a time against just the keys that these see, and computes the scores again in the
backward pass instead of keeping them.

Shapes: ``H`` heads, ``K`` key/value heads, ``G = H / K``, ``N`` packed tokens, ``D`` and ``E`` the widths of keys and
values, ``Q`` the queries of a block, ``L`` the keys it sees.
"""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from itertools import accumulate
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn

from webdancer_cli.errors import UsageError
from webdancer_cli.training.attention import AttentionRule

CPU_BLOCK = {torch.float32: 64, torch.bfloat16: 128}
"""Queries of a block: its scores stay in the processor's cache."""

GPU_BLOCK = 1024
SDPA_TOKENS = 1024
"""From here on, on average, a span is worth a call of its own on a GPU. SDPA has kernels for the device at hand there
(cuDNN's on an H100), and varlen attention has not: it took 1.7 times as long."""

SDPA_MORE = 1.4
"""Up to so many times the scores that are needed, SDPA is still the faster one there."""

VARLEN_MAX_WIDTH, VARLEN_WIDTHS = 256, 8
"""Widest head of torch's flash kernels, and what its width has to be a multiple of."""


@dataclass(frozen=True)
class Span:
    """Tokens ``start`` to ``stop`` of the packed row, the first of which is at ``position`` of its rows."""

    start: int
    stop: int
    position: int
    path: tuple[tuple[int, int], ...] = ()
    """(start, stop) of the spans before it, from the root on; together ``position`` tokens."""

    @cached_property
    def seen(self) -> tuple[tuple[int, int], ...]:
        """The pieces of the packed row that its last token sees, neighbouring pieces joined."""
        joined: list[tuple[int, int]] = []
        for start, stop in (*self.path, (self.start, self.stop)):
            if joined and joined[-1][1] == start:
                start = joined.pop()[0]
            joined.append((start, stop))
        return tuple(joined)


class PackedAttention:
    """Implements Attention for the spans of one batch."""

    def __init__(self, spans: Sequence[Span], device: torch.device):
        self.spans = spans
        self.windows: set[int | None] = set()
        """Of the layers that have asked; empty after a model whose layers never ask: its attention is its own."""
        self._plain = not any(span.path for span in spans)
        self._suits_sdpa = _suits_sdpa(spans)
        self._encoded = encode_spans(spans)
        self._varlen = _Varlen(spans, device) if device.type == "cuda" else None

    def attend(self, layer: nn.Module, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule) -> Tensor:
        """See Attention. Raises UsageError for dropout, which a shared prefix would have to draw once for each row."""
        self.windows.add(rule.window)
        if rule.dropout:
            raise UsageError(f"{type(layer).__name__} drops attention weights at random")
        usual = rule.cap is None and rule.sinks is None and query.shape[-1] == value.shape[-1]
        query, key, value = query[0], key[0], value[0]
        half = query.dtype != torch.float32
        if usual and rule.window is None and (self._suits_sdpa and query.is_cuda if half else self._plain):
            out = torch.cat([span_sdpa(query, key, value, span, rule.scaling) for span in self.spans])
        elif usual and self._varlen and _suits_varlen(query):
            out = self._varlen.attend(query, key, value, rule)
        else:
            window, cap = rule.window or 0, rule.cap or 0.0
            out = span_attention(query, key, value, rule.sinks, self._encoded, rule.scaling, window, cap)
            out = out.transpose(0, 1)
        return out[None]


def _suits_sdpa(spans: Sequence[Span]) -> bool:
    """Whether spans are long, and what ``span_sdpa`` computes for nothing little."""
    lengths = [span.stop - span.start for span in spans]
    scores = sum(length * (length + 2 * span.position) for span, length in zip(spans, lengths, strict=True))
    computed = sum((span.position + length) ** 2 for span, length in zip(spans, lengths, strict=True))
    return sum(lengths) >= SDPA_TOKENS * len(spans) and computed <= SDPA_MORE * scores


def _suits_varlen(query: Tensor) -> bool:
    width = query.shape[-1]
    return query.dtype != torch.float32 and width <= VARLEN_MAX_WIDTH and width % VARLEN_WIDTHS == 0


def span_sdpa(query: Tensor, key: Tensor, value: Tensor, span: Span, scaling: float) -> Tensor:
    """A span by itself: [tokens, H, D].

    SDPA's causal mask begins with the first key. So a span with parents attends with all queries of its path, and only
    the results of its own are taken: a square as small as its prefix is computed for nothing.
    """
    query, key, value = (_join(part, span.seen)[None] for part in (query, key, value))
    if query.is_cuda and query.dtype == torch.float32:
        # For float32 and fewer key heads there is no kernel but one that keeps all scores.
        key, value = (part.repeat_interleave(query.shape[1] // key.shape[1], 1) for part in (key, value))
    out = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling, enable_gqa=True)
    return out[0, :, span.position :].transpose(0, 1)


class _Varlen:
    """torch's varlen attention: a span's keys and values, with those of its path, as one variable-length sequence."""

    def __init__(self, spans: Sequence[Span], device: torch.device):
        queries = [span.stop - span.start for span in spans]
        keys = [span.position + length for span, length in zip(spans, queries, strict=True)]
        self._longest = max(queries), max(keys)
        self._query_ends, self._key_ends = (
            torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=device) for lengths in (queries, keys)
        )
        self._seen: Tensor | None = None
        if any(span.path for span in spans):
            # Gathered keys get their gradients added up, so a prefix hears from all its branches.
            pieces = [torch.arange(start, stop) for span in spans for start, stop in span.seen]
            self._seen = torch.cat(pieces).to(device)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule) -> Tensor:
        """[N, H, D]; the last query of a sequence sees its last key, as flash attention aligns them."""
        query, key, value = (part.transpose(0, 1) for part in (query, key, value))
        if self._seen is not None:
            key, value = key.index_select(0, self._seen), value.index_select(0, self._seen)
        if not _shares_heads():
            key, value = (part.repeat_interleave(query.shape[1] // key.shape[1], 1) for part in (key, value))
        rest: dict[str, Any] = {"enable_gqa": True} if _shares_heads() else {}
        window = (-1 if rule.window is None else rule.window - 1, 0)
        ends = self._query_ends, self._key_ends, *self._longest
        out: Any = varlen_attn(query, key, value, *ends, scale=rule.scaling, window_size=window, **rest)
        attended: Tensor = out
        return attended


@cache
def _shares_heads() -> bool:
    """Whether this torch's varlen attention takes fewer key heads than heads (from 2.12 on)."""
    return "enable_gqa" in inspect.signature(varlen_attn).parameters


def encode_spans(spans: Sequence[Span]) -> list[int]:
    """Spans as the integers that ``span_attention`` takes: start, stop, pieces, and start and stop of each piece."""
    encoded = []
    for span in spans:
        encoded += [span.start, span.stop, len(span.seen)]
        encoded += [end for piece in span.seen for end in piece]
    return encoded


def _decode_spans(encoded: Sequence[int]) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    at = 0
    while at < len(encoded):
        start, stop, pieces = encoded[at : at + 3]
        ends = encoded[at + 3 : at + 3 + 2 * pieces]
        yield start, stop, list(zip(ends[::2], ends[1::2], strict=True))
        at += 3 + 2 * pieces


# Operators of their own: recomputation by policy sees a single step, whose result it may keep.
@torch.library.custom_op("webdancer::span_attention", mutates_args=())
def span_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    sinks: Tensor | None,
    spans: Sequence[int],
    scaling: float,
    window: int,
    cap: float,
) -> Tensor:
    """[H, N, E] of query [H, N, D], key [K, N, D], value [K, N, E]; ``window`` and ``cap`` of 0 mean none."""
    out = value.new_empty(query.shape[0], query.shape[1], value.shape[2])
    softmax = _Softmax(sinks, scaling, window, cap)
    with torch.autocast(query.device.type, enabled=False):
        for block in _blocks(query, key, value, spans, window):
            block.put(out, torch.bmm(softmax.weights(block).keys, block.value))
    return out


@torch.library.custom_op("webdancer::span_attention_backward", mutates_args=())
def span_attention_backward(
    grad: Tensor,
    out: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    sinks: Tensor | None,
    spans: Sequence[int],
    scaling: float,
    window: int,
    cap: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of query, key, value and sinks (of these, zeros where there are none)."""
    grad_query = torch.empty_like(query, memory_format=torch.contiguous_format)
    grad_key, grad_value = (torch.zeros(part.shape, dtype=torch.float32, device=part.device) for part in (key, value))
    grad_sinks = torch.zeros(query.shape[0], dtype=torch.float32, device=query.device)
    softmax = _Softmax(sinks, scaling, window, cap)
    with torch.autocast(query.device.type, enabled=False):
        for block in _blocks(query, key, value, spans, window):
            weights, above = softmax.weights(block), block.take(grad)
            block.add(grad_value, torch.bmm(weights.keys.mT, above))
            # Of a softmax p: p (dp - sum p dp), and that sum is the product of the result and its gradient.
            mean = (above.float() * block.take(out).float()).sum(-1, keepdim=True)
            moved = torch.bmm(above, block.value.mT).sub_(mean.to(above.dtype)).mul_(weights.keys)
            if weights.slope is not None:
                moved.mul_(weights.slope)
            if weights.sinks is not None:
                grad_sinks -= (weights.sinks * mean).view(len(grad_sinks), -1).sum(1)
            block.put(grad_query, torch.bmm(moved, block.key).mul_(scaling))
            block.add(grad_key, torch.bmm(moved.mT, block.query).mul_(scaling))
    return grad_query, grad_key.to(key.dtype), grad_value.to(value.dtype), grad_sinks


def _keep_for_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    query, key, value, sinks, *ctx.rest = inputs
    ctx.save_for_backward(output, query, key, value, sinks)


@partial(span_attention.register_autograd, setup_context=_keep_for_backward)
def _(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    out, query, key, value, sinks = ctx.saved_tensors
    *grads, grad_sinks = span_attention_backward(grad, out, query, key, value, sinks, *ctx.rest)
    return (*grads, None if sinks is None else grad_sinks.to(sinks.dtype), None, None, None, None)


@dataclass(frozen=True)
class _Block:
    """Some consecutive queries of a span, and the keys that at least one of them sees."""

    start: int
    """Of the queries, in the packed row."""
    queries: int
    position: int
    """Of the first query, counted along the path."""
    first: int
    """Position of the first key."""
    query: Tensor
    """[K, G Q, D]"""
    key: Tensor
    """[K, L, D]"""
    value: Tensor
    """[K, L, E]"""
    pieces: Sequence[tuple[int, int]]
    """Where the path is in the packed row."""

    def take(self, tensor: Tensor) -> Tensor:
        """The queries' part of [H, N, E], as [K, G Q, E]."""
        part = tensor[:, self.start : self.start + self.queries]
        return part.reshape(len(self.key), -1, tensor.shape[2])

    def put(self, tensor: Tensor, part: Tensor) -> None:
        """The contrary of ``take``."""
        tensor[:, self.start : self.start + self.queries] = part.view(len(tensor), self.queries, -1)

    def add(self, tensor: Tensor, part: Tensor) -> None:
        """Add [K, L, D] to the keys' part of [K, N, D], piece by piece."""
        before = -self.first
        for start, stop in self.pieces:
            low, high = max(0, before), min(before + stop - start, part.shape[1])
            if low < high:
                tensor[:, low - before + start : high - before + start] += part[:, low:high]
            before += stop - start


def _blocks(query: Tensor, key: Tensor, value: Tensor, spans: Sequence[int], window: int) -> Iterator[_Block]:
    size = CPU_BLOCK.get(query.dtype, 64) if query.device.type == "cpu" else GPU_BLOCK
    for start, stop, pieces in _decode_spans(spans):
        keys, values = (_join(part, pieces) for part in (key, value))
        shift = keys.shape[1] - stop  # from places in the packed row to positions
        for low in range(start, stop, size):
            high = min(stop, low + size)
            first = max(0, low + shift - window + 1) if window else 0
            part = query[:, low:high].reshape(len(key), -1, query.shape[2])
            seen = slice(first, high + shift)
            yield _Block(low, high - low, low + shift, first, part, keys[:, seen], values[:, seen], pieces)


def _join(part: Tensor, pieces: Sequence[tuple[int, int]]) -> Tensor:
    cut = [part[:, start:stop] for start, stop in pieces]
    return cut[0] if len(cut) == 1 else torch.cat(cut, 1)


class _Weights(NamedTuple):
    keys: Tensor
    """[K, G Q, L]"""
    slope: Tensor | None
    """Of the cap at each score, where scores are capped."""
    sinks: Tensor | None
    """[K, G Q, 1]: what goes to no key."""


@dataclass(frozen=True)
class _Softmax:
    """How the keys of a block are weighed, see ``AttentionRule``."""

    sinks: Tensor | None
    scaling: float
    window: int
    cap: float

    def weights(self, block: _Block) -> _Weights:
        scores = block.query.new_empty(*block.query.shape[:2], block.key.shape[1])
        scores.baddbmm_(block.query, block.key.mT, beta=0, alpha=self.scaling)
        slope = None
        if self.cap:
            scores.div_(self.cap).tanh_()
            slope = 1 - scores.square()
            scores.mul_(self.cap)
        self._hide(block, scores.view(len(scores), -1, block.queries, scores.shape[2]))
        keys = torch.softmax(scores, -1)
        if self.sinks is None:
            return _Weights(keys, slope, None)
        logits = self.sinks.float().view(len(scores), -1, 1, 1).expand(-1, -1, block.queries, 1).flatten(1, 2)
        sinks = torch.sigmoid(logits - scores.float().logsumexp(-1, keepdim=True))
        return _Weights(keys.mul_((1 - sinks).to(keys.dtype)), slope, sinks)

    def _hide(self, block: _Block, scores: Tensor) -> None:
        """Minus infinity, in place, where a query does not see a key. Scores [K, G, Q, L]."""
        queries, keys = scores.shape[2:]
        infinity = scores.new_full((queries, queries), float("-inf"))
        scores[..., keys - queries :] += infinity.triu(1)
        # The window moves on by a key a query: query i does not see the keys before i + edge.
        edge = block.position - self.window + 1 - block.first
        if self.window and edge + queries > 1:
            width = min(keys, edge + queries - 1)
            scores[..., :width] += infinity[:, :1].expand(queries, width).tril(edge - 1)
