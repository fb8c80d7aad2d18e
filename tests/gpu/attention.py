"""Attention alone, forward and backward, in TFLOP/s: ours for packed rows beside torch's SDPA by each of its kernels.

Heads as in Qwen3-0.6B: 16 of 128, over 8 of keys and values, in bfloat16.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from measuring import arguments, device, forget_peak, now, peak_gb, share_of_peak
from shapes import LENGTHS, REHEARSED_LENGTHS
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from webdancer_cli.training.attention import AttentionRule
from webdancer_cli.training.packed_attention import PackedAttention, Span

HEADS, KEY_HEADS, WIDTH = 16, 8, 128
TOTAL = {"8k": 2, "16k": 1, "64k": 1}
"""Rows of each length that go together."""
REPEATS = 5


def main() -> None:
    options, results = arguments()
    lengths = REHEARSED_LENGTHS if options.rehearse else LENGTHS
    width = 16 if options.rehearse else WIDTH
    for name, length in lengths.items():
        for kind, attend in ways(length, TOTAL[name]).items():
            if results.remaining_seconds > 0:
                with results.figures(f"{kind}-{name}") as figures:
                    measure(figures, attend, length, TOTAL[name], width)


def ways(length: int, rows: int) -> dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]]:
    spans = [Span(at * length, (at + 1) * length, 0) for at in range(rows)]
    packed = PackedAttention(spans, device())
    # A second row that goes on from the first half of the first one.
    half = length // 2
    forked = PackedAttention(
        [Span(0, half, 0), Span(half, length, half, ((0, half),)), Span(length, length + half, half, ((0, half),))],
        device(),
    )
    found: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"packed": _ours(packed)}
    if rows == 2:
        found["shared-prefix"] = _ours(forked)
    for backend in (SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION):
        found[backend.name.lower()] = _sdpa(backend, length)
    return found


def _ours(attention: PackedAttention) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        tokens = attention.spans[-1].stop
        parts = (part[:, :, :tokens] for part in (query, key, value))
        return attention.attend(nn.Identity(), *parts, AttentionRule(query.shape[-1] ** -0.5))

    return attend


def _sdpa(backend: SDPBackend, length: int) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        rows = (part.unflatten(2, (-1, length))[0].transpose(0, 1) for part in (query, key, value))
        with sdpa_kernel(backend):
            return F.scaled_dot_product_attention(*rows, is_causal=True, enable_gqa=True)

    return attend


def measure(
    figures: dict[str, Any], attend: Callable[[Tensor, Tensor, Tensor], Tensor], length: int, rows: int, width: int
) -> None:
    forget_peak()
    query, key, value = (
        torch.randn(1, length * rows, heads, width, device=device(), dtype=torch.bfloat16)
        .transpose(1, 2)
        .requires_grad_()
        for heads in (HEADS, KEY_HEADS, KEY_HEADS)
    )
    forward, backward = [], []
    for _ in range(REPEATS + 1):
        began = now()
        out = attend(query, key, value)
        halfway = now()
        out.backward(torch.ones_like(out))
        forward.append(halfway - began)
        backward.append(now() - halfway)
    ahead, back = sum(forward[1:]) / REPEATS, sum(backward[1:]) / REPEATS
    # Two products forward, and twice as many (not counting scores that are computed again) backward; half is masked.
    product = 2.0 * HEADS * width * length * length * rows / 2
    figures.update(forward_ms=round(1e3 * ahead, 3), backward_ms=round(1e3 * back, 3), peak_gb=peak_gb())
    figures["tflops"] = round(6 * product / (ahead + back) / 1e12, 3)
    figures["share_of_peak"] = share_of_peak(6 * product, ahead + back)


if __name__ == "__main__":
    main()
