"""Attention over spans against a dense computation with a mask, in all that families ask of it."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from webdancer_cli.training.packed_attention import Span, encode_spans, span_attention, span_sdpa

ROOT, INNER = (0, 150), (260, 290)
SPANS = [
    Span(0, 150, 0),
    Span(150, 260, 150, (ROOT,)),
    Span(260, 290, 150, (ROOT,)),
    Span(290, 370, 180, (ROOT, INNER)),  # its path is in two pieces
    Span(370, 440, 0),
]


def seen(spans: Sequence[Span], window: int) -> Tensor:
    """[N, N]: which token sees which."""
    total = spans[-1].stop
    mask = torch.zeros(total, total, dtype=torch.bool)
    for span in spans:
        places = [at for start, stop in (*span.path, (span.start, span.stop)) for at in range(start, stop)]
        for query in range(span.position, len(places)):
            first = max(0, query - window + 1) if window else 0
            mask[places[query], places[first : query + 1]] = True
    return mask


def dense(query: Tensor, key: Tensor, value: Tensor, sinks: Tensor | None, window: int, cap: float) -> Tensor:
    groups = len(query) // len(key)
    scores = query @ key.repeat_interleave(groups, 0).mT * 0.3
    scores = cap * torch.tanh(scores / cap) if cap else scores
    scores = scores.masked_fill(~seen(SPANS, window), float("-inf"))
    if sinks is not None:
        scores = torch.cat([scores, sinks[:, None, None].expand(*scores.shape[:2], 1)], -1)
    return torch.softmax(scores, -1)[..., : key.shape[1]] @ value.repeat_interleave(groups, 0)


# Windows of a token, within a block of queries, of just a block, and of more than one.
@pytest.mark.parametrize("window", [0, 1, 5, 64, 100])
@pytest.mark.parametrize("cap", [0.0, 2.0])
@pytest.mark.parametrize("with_sinks", [False, True])
@pytest.mark.parametrize(("heads", "key_heads", "width", "value_width"), [(4, 2, 8, 8), (3, 3, 16, 12)])
def test_spans_attend_as_a_dense_mask_says(
    window: int, cap: float, with_sinks: bool, heads: int, key_heads: int, width: int, value_width: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(heads, 440, width), (key_heads, 440, width), (key_heads, 440, value_width), (heads,)]
    query, key, value, sinks = (
        torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_() for shape in shapes
    )
    given = [query, key, value, *([sinks] if with_sinks else [])]
    some = sinks if with_sinks else None
    ours = span_attention(query, key, value, some, encode_spans(SPANS), 0.3, window, cap)
    expected = dense(query, key, value, some, window, cap)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)
    above = torch.randn(expected.shape, dtype=torch.float64, generator=generator)
    for one, other in zip(
        torch.autograd.grad(ours, given, above), torch.autograd.grad(expected, given, above), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=2e-5)  # keys' gradients are added up in float32


def test_a_span_attends_by_sdpa_as_a_dense_mask_says() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value, above = (
        torch.randn(heads, 440, 8, dtype=torch.float64, generator=generator).requires_grad_() for heads in (4, 2, 2, 4)
    )
    ours = torch.cat([span_sdpa(query, key, value, span, 0.3) for span in SPANS]).transpose(0, 1)
    expected = dense(query, key, value, None, 0, 0.0)
    torch.testing.assert_close(ours, expected)
    given = (query, key, value)
    for one, other in zip(
        torch.autograd.grad(ours, given, above), torch.autograd.grad(expected, given, above), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_half_precision_is_as_near_as_torchs_own_attention() -> None:
    """Scores are rounded to bfloat16 before the softmax, torch's are not: what matters is what comes out."""
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(heads, 500, 64, generator=generator) for heads in (4, 2, 2))
    half = [part.bfloat16() for part in (query, key, value)]
    exact = torch.nn.functional.scaled_dot_product_attention(
        *(part.double()[None] for part in half), is_causal=True, enable_gqa=True
    )[0]
    theirs = torch.nn.functional.scaled_dot_product_attention(
        *(part[None] for part in half), is_causal=True, enable_gqa=True
    )[0]
    ours = span_attention(*half, None, encode_spans([Span(0, 500, 0)]), 64**-0.5, 0, 0.0)
    off, usual = (float((part.double() - exact).square().mean().sqrt()) for part in (ours, theirs))
    assert off < 2 * usual
