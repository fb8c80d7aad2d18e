"""Plans and trees of rows, and that a model gives the same numbers whatever the layout."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version
from peft import PeftModel
from tiny_models import ARCHITECTURES, MAY_BE_REFUSED
from transformers import PreTrainedModel

from webdancer_cli.errors import UsageError
from webdancer_cli.options.config import SftOptions
from webdancer_cli.training.batches import Example
from webdancer_cli.training.distributed import ProcessGroup
from webdancer_cli.training.dropout import without_dropout
from webdancer_cli.training.layout import Batch, Kind, Layout, pack, pad
from webdancer_cli.training.layout_check import choose_layout
from webdancer_cli.training.logprobs import Scorer, unwrap
from webdancer_cli.training.models import load_trainable
from webdancer_cli.training.packed_attention import Span
from webdancer_cli.training.recompute import Checkpointing, recompute_activations
from webdancer_cli.training.renderer import Tokens

ids = st.lists(st.integers(0, 1), min_size=1, max_size=12)
row_lists = st.lists(ids, min_size=1, max_size=8)


def tokens(*rows: Sequence[int]) -> list[Tokens]:
    return [Tokens(list(row), [True] * len(row)) for row in rows]


@given(rows=row_lists, micro_tokens=st.integers(1, 60), ranks=st.integers(1, 3), shared=st.integers(1, 4))
@pytest.mark.parametrize("kind", ["tree", "packed", "padded"])
def test_a_plan_holds_every_row_once_within_the_budget(
    kind: Kind, rows: list[list[int]], micro_tokens: int, ranks: int, shared: int
) -> None:
    examples, layout = tokens(*rows), Layout(kind, micro_tokens, shared_tokens=shared)
    plan = layout.plan(examples, ranks)
    batches = [batch for share in plan.shares for batch in share]
    assert sorted(row for batch in batches for row in batch) == list(range(len(rows)))
    assert len({len(share) for share in plan.shares}) == 1
    computed = 0
    for batch in filter(None, batches):
        size = layout.batch([examples[row] for row in batch]).ids_BT.numel()
        assert size <= micro_tokens or len(batch) == 1
        computed += size
    assert computed == plan.tokens - plan.shared_prefix_tokens + plan.padding
    assert plan.padding == 0 or kind == "padded"
    assert plan.shared_prefix_tokens == 0 or kind == "tree"


@given(rows=row_lists, shared=st.integers(0, 4))
def test_every_row_of_a_tree_reads_as_it_was(rows: list[list[int]], shared: int) -> None:
    """Span by span along its path, at the right positions; and each of its tokens is scored after the one before."""
    batch = pack(tokens(*rows), shared)
    assert batch.attention is not None and batch.positions_BT is not None and batch.order_M is not None
    flat, positions = batch.ids_BT[0].tolist(), batch.positions_BT[0].tolist()
    read = []
    for span in batch.attention.spans:
        places = [at for start, stop in (*span.path, (span.start, span.stop)) for at in range(start, stop)]
        assert [positions[at] for at in places] == list(range(len(places)))
        read.append([flat[at] for at in places])
    assert all(row in read or shared for row in rows) and all(any(row == r[: len(row)] for r in read) for row in rows)
    scored = [flat[batch.before_S[at]] * 2 + int(batch.targets_S[at]) for at in batch.order_M]
    assert scored == [before * 2 + after for row in rows for before, after in pairwise(row)]


def test_a_tree_by_hand() -> None:
    # Three tokens in common, then two of the rows have two more; another row stands alone between them.
    batch = pack(tokens([1, 2, 3, 4, 5, 6], [9, 9], [1, 2, 3, 7], [1, 2, 3, 4, 5, 8, 8]), 1)
    assert batch.attention is not None
    root, inner = (0, 3), (3, 5)
    assert list(batch.attention.spans) == [
        Span(0, 3, 0),
        Span(3, 5, 3, (root,)),
        Span(5, 6, 5, (root, inner)),
        Span(6, 8, 5, (root, inner)),
        Span(8, 9, 3, (root,)),
        Span(9, 11, 0),
    ]
    assert batch.ids_BT.tolist() == [[1, 2, 3, 4, 5, 6, 8, 8, 7, 9, 9]]
    # Token 3 precedes 4 and 7, token 5 precedes 6 and 8; what rows share is scored once: 1 2 3 4 5 by two or three.
    assert len(batch.targets_S) == 9 and batch.order_M is not None and len(batch.order_M) == 15


def test_padding_is_on_the_right_and_never_scored() -> None:
    batch = pad([Tokens([5, 6, 7], [False, True, True]), Example.of(Tokens([8], [True]))])
    assert batch.ids_BT.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batch.before_S.tolist() == [0, 1] and batch.targets_S.tolist() == [6, 7]


@pytest.mark.parametrize("lay_out", [pad, pack])
def test_an_idle_rank_gets_a_batch_without_loss(lay_out: Callable[[list[Tokens]], Batch]) -> None:
    batch = lay_out([])
    assert batch.ids_BT.shape == (1, 2) and not len(batch.before_S) and not len(batch.targets_S)


def test_rows_that_share_stay_on_a_rank_unless_it_would_be_overloaded() -> None:
    group = [[1] * 16 + [row] * 4 for row in range(4)]
    other = [[2] * 16 + [row] * 4 for row in range(4)]
    plan = Layout("tree", 1000).plan(tokens(*group, *other), 2)
    assert plan.shares == [[[0, 1, 2, 3]], [[4, 5, 6, 7]]] and plan.shared_prefix_tokens == 2 * 3 * 16
    # One group on two ranks: each computes the 16 once, for two rows.
    plan = Layout("tree", 1000).plan(tokens(*group), 2)
    assert plan.shares == [[[0, 2]], [[1, 3]]] and plan.shared_prefix_tokens == 2 * 16


ROWS = 5
PROMPT, TURN = 40, 24


def group(vocabulary: int, seed: int = 0) -> list[Tokens]:
    """A prompt that all but the last share, a turn that two share, and then rows of their own, some bearing loss."""
    generator = torch.Generator().manual_seed(seed)

    def draw(length: int) -> list[int]:
        return torch.randint(3, vocabulary, (length,), generator=generator).tolist()

    prompt, turn = draw(PROMPT), draw(TURN)
    rows = [prompt + turn + draw(17), prompt + draw(5), prompt + turn + draw(30), prompt + turn, draw(33)]
    return [Tokens(row, [at % 3 > 0 for at in range(len(row))]) for row in rows]


def scored(
    model: PreTrainedModel | PeftModel, batch: Batch, temperature: float = 1.0
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Log-probs, and the gradient of a loss in which every token counts otherwise."""
    logprobs = Scorer(model)(batch, temperature)
    model.zero_grad()
    (logprobs * torch.linspace(-1, 2, len(logprobs))).mean().backward()
    return logprobs.detach(), [part.grad for part in model.parameters() if part.grad is not None]


PADDED = {"qwen3.5", "lfm2", "bloom", "mamba", "llama4", "qwen2-moe-window", "doge"}
if Version(transformers.__version__) < Version("5.24"):
    PADDED.add("gptj")  # whose attention was its own
PACKED = [name for name in ARCHITECTURES if name not in PADDED]


@pytest.fixture(params=[0, 4], ids=["full", "lora"])
def lora_rank(request: pytest.FixtureRequest) -> int:
    rank: int = request.param
    return rank


def opened(folder: Path, lora_rank: int) -> PreTrainedModel | PeftModel:
    model, _ = load_trainable(str(folder), "float32", lora_rank)
    without_dropout(model)
    for name, part in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(part, std=0.1, generator=torch.Generator().manual_seed(1))
    return model


def gap(some: Sequence[torch.Tensor], others: Sequence[torch.Tensor]) -> float:
    """The largest difference, for numbers above 1 relative to the largest of them."""
    largest = max(1.0, *(float(part.abs().max()) for part in others))
    return max(float((one - other).abs().max()) for one, other in zip(some, others, strict=True)) / largest


@pytest.mark.parametrize("name", PACKED)
def test_packed_tree_and_padded_rows_give_the_same_numbers(
    folder: Callable[[str], Path], name: str, lora_rank: int
) -> None:
    """At a temperature, and whatever is computed again in the backward pass."""
    model = opened(folder(name), lora_rank)
    rows = group(290)
    expected, gradients = scored(model, pad(rows), 0.7)
    cases: list[tuple[Checkpointing, int]] = [("none", 0), ("none", 16), ("light", 16), ("selective", 16), ("full", 16)]
    for again, shared in cases:
        recompute_activations(unwrap(model), again, 0)
        logprobs, same = scored(model, pack(rows, shared), 0.7)
        assert gap([logprobs], [expected]) < 1e-5, again
        assert gap(same, gradients) < 1e-5, again


def test_capped_scores_are_capped_in_every_layout(folder: Callable[[str], Path]) -> None:
    """Gemma 2: transformers' own forward pass knows the cap as "eager" only."""
    model = opened(folder("gemma2"), 0)
    model.config.attn_logit_softcapping = 0.5
    for layer in model.model.layers:
        layer.self_attn.attn_logit_softcapping = 0.5
    (row,) = tokens(group(290)[0].ids)
    model.set_attn_implementation("eager")
    logits = model(torch.tensor([row.ids])).logits[0].log_softmax(-1)
    expected = logits[:-1].gather(1, torch.tensor(row.ids[1:])[:, None])[:, 0]
    with suppress(ValueError):  # transformers refuses it since 5.24
        model.set_attn_implementation("sdpa")
    scorer = Scorer(model)
    for batch in (pad([row]), pack([row])):
        assert gap([scorer(batch)], [expected]) < 1e-5


@pytest.mark.parametrize("name", PACKED)
def test_a_rows_neighbours_change_nothing_bit_for_bit(folder: Callable[[str], Path], name: str) -> None:
    model = opened(folder(name), 0)
    rows, others = group(290), group(290, seed=1)
    for shared in (0, 16):
        changed = list(rows)
        # Other tokens behind what it shares, and another row in place of the one that shares nothing.
        changed[2] = Tokens(rows[2].ids[: PROMPT + TURN] + others[2].ids[PROMPT + TURN :], rows[2].trainable)
        changed[4] = others[4]
        with torch.no_grad():
            before, after = (Scorer(model)(pack(those, shared)) for those in (rows, changed))
        counts = [sum(row.trainable) for row in rows]
        for number, (one, other) in enumerate(zip(before.split(counts), after.split(counts), strict=True)):
            assert torch.equal(one, other) == (number not in (2, 4))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_layout_is_chosen_by_what_a_model_computes(folder: Callable[[str], Path], name: str) -> None:
    """Chosen is chosen rightly: no architecture is packed whose numbers would change; those of our choice are."""
    model = opened(folder(name), 0)
    said: list[str] = []
    layout = choose_layout(Scorer(model), SftOptions(), ProcessGroup().device, said.append)
    assert len(said) == 1 and "\n" not in said[0]
    assert layout.kind == ("tree" if name in PACKED else "padded"), said
    if name not in PACKED:
        assert name in MAY_BE_REFUSED and "padded" in said[0]
        Scorer(model)(layout.batch(group(290))).sum().backward()


def test_models_with_dropout_keep_padded_rows(folder: Callable[[str], Path]) -> None:
    for name in ("qwen3-dropout", "gpt2"):
        said: list[str] = []
        model, _ = load_trainable(str(folder(name)))
        assert choose_layout(Scorer(model), SftOptions(), ProcessGroup().device, said.append).kind == "padded"
        assert "dropout" in said[0]
        with pytest.raises(UsageError, match=r"--layout tree: .*dropout"):
            choose_layout(Scorer(model), SftOptions(layout="tree"), ProcessGroup().device, said.append)


def test_a_packed_model_is_never_computed_as_if_it_were_padded(folder: Callable[[str], Path]) -> None:
    model = opened(folder("qwen3"), 0)
    choose_layout(Scorer(model), SftOptions(), ProcessGroup().device, lambda _: None)
    with pytest.raises(RuntimeError, match="outside of a packed batch"):
        Scorer(model)(pad(group(290)))
