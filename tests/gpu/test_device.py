"""What training has to hold on the device that it runs on: a GPU where there is one, else the CPU.

The same numbers however rows are laid out, no word from one row to its neighbour, attention and head as plain torch
computes them, the same gradients however activations are kept, the engine's log-probs the model's own.
"""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import ARCHITECTURES, CHATML, byte_level, save_tiny
from torch import Tensor, nn

from webdancer_cli.options.config import SftOptions
from webdancer_cli.training.attention import AttentionRule
from webdancer_cli.training.distributed import ProcessGroup
from webdancer_cli.training.engine_check import check_engine
from webdancer_cli.training.layout import Batch, pack, pad
from webdancer_cli.training.logprobs import Scorer, unwrap
from webdancer_cli.training.models import describe, load_model, load_tokenizer, load_trainable
from webdancer_cli.training.output_head import HeadLogprobs, Shaping
from webdancer_cli.training.packed_attention import PackedAttention, Span
from webdancer_cli.training.recompute import recompute_activations
from webdancer_cli.training.renderer import Tokens
from webdancer_cli.training.sft import train_step
from webdancer_cli.training.trainable import open_trainable
from webdancer_cli.training.transformers_engine import TransformersEngine

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

LOOSE = {"float32": 1e-4, "bfloat16": 3e-2}
"""How far numbers may be off that are computed in another order: relative to the largest of them."""


@pytest.fixture(autouse=True)
def exact_products() -> Iterator[None]:
    """Without TF32, which would make float32 as coarse as bfloat16."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("device")
    ARCHITECTURES["qwen3"](made, byte_level(CHATML, [], "<|im_end|>"))
    return made


def rows(*lengths: int, shared: int = 32) -> list[Tokens]:
    """Rows that begin with the same tokens, and one that does not."""
    draw = torch.Generator().manual_seed(3)
    prefix = torch.randint(200, (shared,), generator=draw).tolist()
    ids = [prefix + torch.randint(200, (length,), generator=draw).tolist() for length in lengths[:-1]]
    ids.append(torch.randint(200, (lengths[-1],), generator=draw).tolist())
    return [Tokens(row, [at % 3 != 0 for at in range(len(row))]) for row in ids]


def layouts(given: Sequence[Tokens]) -> dict[str, Batch]:
    return {"padded": pad(given, DEVICE), "packed": pack(given, 0, DEVICE), "tree": pack(given, 16, DEVICE)}


def scored(folder: Path, dtype: str, batch: Batch, way: str = "none") -> tuple[Tensor, dict[str, Tensor]]:
    """Log-probs, and the gradients of their mean."""
    model, compute = load_trainable(str(folder), dtype, device=DEVICE)
    recompute_activations(unwrap(model), way, 0)
    scorer = Scorer(model, compute)
    logprobs = scorer(batch)
    logprobs.mean().backward()
    return logprobs.detach(), {
        name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None
    }


def assert_close(ours: Tensor, theirs: Tensor, tolerance: float) -> None:
    scale = float(theirs.abs().max()) or 1.0
    assert float((ours.float() - theirs.float()).abs().max()) <= tolerance * scale


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["packed", "tree"])
def test_layouts_give_the_same_numbers_and_gradients(folder: Path, layout: str, dtype: str) -> None:
    batches = layouts(rows(40, 70, 55))
    theirs, their_grads = scored(folder, dtype, batches["padded"])
    ours, our_grads = scored(folder, dtype, batches[layout])
    assert_close(ours, theirs, LOOSE[dtype])
    assert our_grads.keys() == their_grads.keys()
    for name, grad in their_grads.items():
        assert_close(our_grads[name], grad, 2 * LOOSE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_row_hears_nothing_of_its_neighbours(folder: Path, dtype: str) -> None:
    model, compute = load_trainable(str(folder), dtype, device=DEVICE)
    scorer = Scorer(model, compute)
    given = rows(40, 70, 55)
    changed = [given[0], Tokens([*given[1].ids[:-1], 7], given[1].trainable), given[2]]
    with torch.no_grad():
        before, after = (scorer(pack(each, 0, DEVICE)) for each in (given, changed))
    counts = [sum(row.trainable[1:]) for row in given]
    first, _, last = before.split(counts)
    first_after, _, last_after = after.split(counts)
    assert torch.equal(first, first_after) and torch.equal(last, last_after)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("window", [None, 24])
@pytest.mark.parametrize("width", [64, 128, 20])
def test_attention_over_spans_is_that_of_a_dense_mask(dtype: str, window: int | None, width: int) -> None:
    spans = [Span(0, 48, 0), Span(48, 80, 48, ((0, 48),)), Span(80, 130, 48, ((0, 48),)), Span(130, 200, 0)]
    draw = torch.Generator().manual_seed(0)
    query, key, value, grad = (
        torch.randn(1, heads, 200, width, generator=draw).to(DEVICE, DTYPES[dtype]) for heads in (8, 2, 2, 8)
    )
    ours = _with_gradients(lambda *parts: _packed(spans, parts, window), (query, key, value), grad.transpose(1, 2))
    exact = (part.double() for part in (query, key, value))
    seen = _seen(spans, 200, window)
    theirs = _with_gradients(lambda *parts: _dense(parts, seen), tuple(exact), grad.double().transpose(1, 2))
    for mine, plain in zip(ours, theirs, strict=True):
        assert_close(mine, plain, 1e-5 if dtype == "float32" else 2e-2)


@pytest.mark.skipif(DEVICE.type == "cpu", reason="long spans go another way on a GPU alone")
def test_attention_over_long_spans_is_that_of_a_dense_mask() -> None:
    spans = [Span(0, 900, 0), Span(900, 2500, 900, ((0, 900),)), Span(2500, 3700, 900, ((0, 900),))]
    draw = torch.Generator().manual_seed(0)
    query, key, value, grad = (
        torch.randn(1, heads, 3700, 64, generator=draw).to(DEVICE, torch.bfloat16) for heads in (4, 2, 2, 4)
    )
    ours = _with_gradients(lambda *parts: _packed(spans, parts, None), (query, key, value), grad.transpose(1, 2))
    exact = (part.float() for part in (query, key, value))
    seen = _seen(spans, 3700, None)
    theirs = _with_gradients(lambda *parts: _dense(parts, seen), tuple(exact), grad.float().transpose(1, 2))
    for mine, plain in zip(ours, theirs, strict=True):
        assert_close(mine, plain, 2e-2)


def _packed(spans: list[Span], parts: Sequence[Tensor], window: int | None) -> Tensor:
    rule = AttentionRule(parts[0].shape[-1] ** -0.5, window)
    return PackedAttention(spans, DEVICE).attend(nn.Identity(), parts[0], parts[1], parts[2], rule)


def _dense(parts: Sequence[Tensor], seen: Tensor) -> Tensor:
    query, key, value = parts
    groups = query.shape[1] // key.shape[1]
    scores = query @ key.repeat_interleave(groups, 1).mT * query.shape[-1] ** -0.5
    weights = scores.masked_fill(~seen, float("-inf")).softmax(-1)
    return (weights @ value.repeat_interleave(groups, 1)).transpose(1, 2)


def _seen(spans: list[Span], tokens: int, window: int | None) -> Tensor:
    """Which key each query sees: those of its path and of its own span before it, no further back than the window."""
    seen = torch.zeros(tokens, tokens, dtype=torch.bool)
    for span in spans:
        path = [at for start, stop in span.path for at in range(start, stop)]
        for at in range(span.start, span.stop):
            keys = [*path, *range(span.start, at + 1)]
            seen[at, keys[-window:] if window else keys] = True
    return seen.to(DEVICE)


def _with_gradients(attend: Any, parts: Sequence[Tensor], grad: Tensor) -> list[Tensor]:
    leaves = [part.clone().requires_grad_() for part in parts]
    out = attend(*leaves)
    out.backward(grad)
    return [out.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_head_in_tiles_is_log_softmax(dtype: str) -> None:
    draw = torch.Generator().manual_seed(0)
    hidden, weight = (torch.randn(shape, generator=draw).to(DEVICE, DTYPES[dtype]) for shape in ((50, 32), (300, 32)))
    targets = torch.randint(300, (50,), generator=draw).to(DEVICE)
    ours_leaves, plain_leaves = (
        [part.clone().to(kind).requires_grad_() for part in (hidden, weight)] for kind in (DTYPES[dtype], torch.float64)
    )
    ours = HeadLogprobs.apply(ours_leaves[0], ours_leaves[1], None, targets, Shaping(), 16)
    plain = torch.log_softmax(plain_leaves[0] @ plain_leaves[1].mT, -1).gather(1, targets[:, None])[:, 0]
    assert_close(ours.detach(), plain.detach(), 1e-5 if dtype == "float32" else 2e-2)
    ours.sum().backward()
    plain.sum().backward()
    for mine, other in zip(ours_leaves, plain_leaves, strict=True):
        assert mine.grad is not None and other.grad is not None
        assert_close(mine.grad, other.grad, 1e-5 if dtype == "float32" else 2e-2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("way", ["light", "selective", "full"])
def test_recomputed_activations_give_the_same_gradients(folder: Path, way: str, dtype: str) -> None:
    batch = layouts(rows(40, 70, 55))["tree"]
    theirs, their_grads = scored(folder, dtype, batch)
    ours, our_grads = scored(folder, dtype, batch, way)
    assert torch.equal(ours, theirs)
    for name, grad in their_grads.items():
        assert_close(our_grads[name], grad, LOOSE[dtype])


@pytest.mark.parametrize("lora_rank", [0, 4])
def test_steps_bring_the_loss_down(folder: Path, lora_rank: int) -> None:
    options = SftOptions(model=str(folder), lora_rank=lora_rank, dtype="bfloat16")
    world = ProcessGroup(device=DEVICE)
    trainable = open_trainable(describe(str(folder)), load_tokenizer(str(folder)), options, world)
    weights = [weight for weight in trainable.scorer.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-2, fused=True)
    given = rows(40, 70, 55)
    tokens = sum(sum(row.trainable[1:]) for row in given)
    losses = [
        train_step(trainable.scorer, optimizer, [pack(given, 16, DEVICE)], tokens, 1e-2, 1.0, world).loss
        for _ in range(12)
    ]
    assert losses[-1] < 0.8 * losses[0]
    assert {weight.device.type for weight in weights} == {DEVICE.type}


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_engine_plays_the_model_that_it_has(folder: Path, dtype: str) -> None:
    model = load_model(str(folder), dtype, DEVICE)
    engine = TransformersEngine(model, load_tokenizer(str(folder)), max_length=128, rows=4, chunk_tokens=7)
    assert check_engine(engine, model, "qwen3").tokens > 0


def test_new_weights_reach_the_engine(tmp_path: Path) -> None:
    save_tiny(tmp_path, byte_level(CHATML, [], "<|im_end|>"), max_position_embeddings=256)
    model = load_model(str(tmp_path), "float32", DEVICE)
    other = load_model(str(tmp_path), "float32", DEVICE)
    with torch.no_grad():
        for weight in other.parameters():
            weight.mul_(1.5)
    engine = TransformersEngine(model, load_tokenizer(str(tmp_path)), max_length=128, rows=4)
    asyncio.run(engine.load_weights(iter(other.state_dict().items()), 1))
    assert check_engine(engine, other, "tiny").largest_gap < 1e-2
