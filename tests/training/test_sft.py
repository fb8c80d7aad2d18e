import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, PreTrainedTokenizerBase

from webdancer_cli.data.pipeline import say_nothing
from webdancer_cli.data.records import Message
from webdancer_cli.options.config import SftOptions
from webdancer_cli.training.batches import Example
from webdancer_cli.training.distributed import ProcessGroup
from webdancer_cli.training.layout import pad
from webdancer_cli.training.logprobs import Scorer
from webdancer_cli.training.models import load_model, load_trainable
from webdancer_cli.training.optimizer import Diverged, adamw
from webdancer_cli.training.renderer import Renderer, Tokens
from webdancer_cli.training.run_log import METRICS
from webdancer_cli.training.setup import set_up
from webdancer_cli.training.sft import SftUpdate, total_steps, train_sft, train_step

ROWS = [
    Tokens([3, 1, 4, 1, 5], [False, False, True, True, True]),
    Tokens([9, 2, 6], [False, True, False]),
    Tokens([5, 3, 5, 8, 9, 7, 9], [False, False, False, True, False, False, True]),
]


def run(options: SftOptions, examples: list[Example], out: Path) -> list[dict[str, float]]:
    options = replace(options, out=str(out))
    train_sft(
        options, [[example] for example in examples], set_up(options, ProcessGroup(), say_nothing), {"id": "test"}
    )
    return [json.loads(line) for line in (out / METRICS).read_text().splitlines()]


@pytest.fixture(scope="module")
def examples(tiny_tokenizer: PreTrainedTokenizerBase) -> list[Example]:
    renderer = Renderer(tiny_tokenizer)
    towns = ["Arlen", "Bost", "Corvin", "Dunmar", "Elst", "Farrow"]
    turns = [
        [Message("user", f"Where is {town}?"), Message("assistant", f"<think>\n{town}\n</think>\n" * (1 + number % 3))]
        for number, town in enumerate(towns)
    ]
    return [Example.of(renderer.encode(messages)) for messages in turns]


def test_the_loss_is_the_mean_over_the_trainable_tokens_of_the_global_batch(tiny_folder: Path) -> None:
    reference = load_model(str(tiny_folder))
    found = []
    for row in ROWS:
        logprobs_TV = torch.log_softmax(reference(torch.tensor([row.ids])).logits[0], dim=-1)
        found += [logprobs_TV[at - 1, row.ids[at]].item() for at, on in enumerate(row.trainable) if on]
    assert len(found) == 6
    model, compute = load_trainable(str(tiny_folder))
    batches = [pad(ROWS[:1]), pad(ROWS[1:]), pad([])]
    update = train_step(Scorer(model, compute), adamw(model, 0.0, 0.0), batches, 6, 0.0, 1.0, ProcessGroup())
    assert update.loss == pytest.approx(-sum(found) / 6, abs=1e-6)


def test_the_split_into_micro_batches_does_not_change_the_update(tiny_folder: Path) -> None:
    updates: list[SftUpdate] = []
    weights = []
    for batches in ([pad(ROWS)], [pad([row]) for row in ROWS]):
        model, compute = load_trainable(str(tiny_folder))
        scorer = Scorer(model, compute)
        optimizer = adamw(scorer, 1e-3, 0.0)
        updates += [train_step(scorer, optimizer, batches, 6, 1e-3, 1.0, ProcessGroup()) for _ in range(3)]
        weights.append([part.detach() for part in model.parameters()])
    for one, other in zip(updates[:3], updates[3:], strict=True):
        assert one.loss == pytest.approx(other.loss, abs=1e-5)
        assert one.grad_norm == pytest.approx(other.grad_norm, rel=1e-5)
    for one, other in zip(*weights, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


@pytest.mark.parametrize("micro_tokens", [40, 16384])
def test_training_learns_and_writes_a_checkpoint(
    tiny_folder: Path, tmp_path: Path, examples: list[Example], micro_tokens: int
) -> None:
    options = SftOptions(
        model=str(tiny_folder), lr=1e-2, steps=30, batch_size=4, micro_tokens=micro_tokens, save_every=20
    )
    metrics = run(options, examples, tmp_path / "out")
    assert [line["step"] for line in metrics] == list(range(1, 31))
    assert metrics[-1]["loss"] < 0.5 * metrics[0]["loss"]
    assert metrics[-1]["lr"] == pytest.approx(1e-3) and metrics[-1]["epoch"] == 20.0
    first = load_model(str(tiny_folder))
    for folder in (tmp_path / "out", tmp_path / "out" / "step-20"):
        assert not torch.equal(load_model(str(folder)).lm_head.weight, first.lm_head.weight)
        assert json.loads((folder / "webdancer.json").read_text())["step"] in (20, 30)


def test_the_same_seed_gives_the_same_run(tiny_folder: Path, tmp_path: Path, examples: list[Example]) -> None:
    runs = [
        run(SftOptions(model=str(tiny_folder), lr=1e-3, steps=5, batch_size=2, seed=seed), examples, tmp_path / name)
        for name, seed in (("first", 7), ("again", 7), ("other", 8))
    ]
    first, again, other = ([line["loss"] for line in metrics] for metrics in runs)
    assert first == again != other


def test_lora_learns_and_leaves_a_plain_checkpoint(tiny_folder: Path, tmp_path: Path, examples: list[Example]) -> None:
    options = SftOptions(model=str(tiny_folder), lr=1e-2, steps=20, batch_size=6, lora_rank=8)
    metrics = run(options, examples, tmp_path / "out")
    assert metrics[-1]["loss"] < metrics[0]["loss"] - 0.3
    merged = load_model(str(tmp_path / "out"))
    assert not [name for name, _ in merged.named_parameters() if "lora" in name]
    again = run(SftOptions(model=str(tmp_path / "out"), lr=1e-9, steps=1, batch_size=6), examples, tmp_path / "again")
    assert again[0]["loss"] < metrics[-1]["loss"] + 0.05


def test_bfloat16_arithmetic_learns_too(tiny_folder: Path, tmp_path: Path, examples: list[Example]) -> None:
    options = SftOptions(model=str(tiny_folder), lr=3e-3, steps=20, batch_size=6, dtype="bfloat16")
    metrics = run(options, examples, tmp_path / "out")
    assert metrics[-1]["loss"] < 0.7 * metrics[0]["loss"]
    assert AutoConfig.from_pretrained(tmp_path / "out").dtype in ("bfloat16", torch.bfloat16)


def test_a_run_that_diverges_stops_and_keeps_its_weights(tiny_folder: Path) -> None:
    model, compute = load_trainable(str(tiny_folder))
    before = model.lm_head.weight.detach().clone()
    with torch.no_grad():
        model.model.norm.weight.fill_(math.inf)
    with pytest.raises(Diverged, match="lower --lr"):
        train_step(Scorer(model, compute), adamw(model, 1e-3, 0.0), [pad(ROWS)], 6, 1e-3, 1.0, ProcessGroup())
    assert torch.equal(model.lm_head.weight, before)


@pytest.mark.parametrize(
    ("epochs", "steps", "batch_size", "count", "expected"),
    [(3.0, None, 16, 100, 19), (0.5, None, 16, 100, 4), (3.0, 7, 16, 100, 7), (2.0, None, 16, 5, 2)],
)
def test_steps_follow_from_epochs(epochs: float, steps: int | None, batch_size: int, count: int, expected: int) -> None:
    # 3 * 100 / 16 = 18.75; 0.5 * 100 / 16 = 3.1; steps win; a batch is at most the whole data: 2 * 5 / 5.
    assert total_steps(SftOptions(epochs=epochs, steps=steps, batch_size=batch_size), count) == expected


def test_a_run_ends_with_its_minutes_and_leaves_a_checkpoint(
    tiny_folder: Path, examples: list[Example], tmp_path: Path
) -> None:
    said: list[str] = []
    options = SftOptions(model=str(tiny_folder), out=str(tmp_path), steps=50, batch_size=2, minutes=1e-6, lr=1e-3)
    setup = set_up(options, ProcessGroup(), said.append)
    train_sft(options, [[example] for example in examples], setup, {"id": "test"}, held_out=examples[:1])
    lines = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    assert [line["step"] for line in lines] == [1]
    assert lines[0]["held_out_loss"] > 0
    assert load_model(str(tmp_path)).num_parameters() > 0
    assert "1e-06 minutes are over: ended after step 1 of 50" in said


@pytest.mark.slow
def test_a_real_model_learns_by_lora_along_the_same_path(
    smollm2_folder: Path, smollm2_tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    renderer = Renderer(smollm2_tokenizer)
    turns = [
        [
            Message("user", f"Where is {town}?"),
            Message("assistant", f"<think>\nI look.\n</think>\n<answer>{town}</answer>"),
        ]
        for town in ("Arlen", "Bost", "Corvin", "Dunmar")
    ]
    examples = [Example.of(renderer.encode(messages)) for messages in turns]
    options = SftOptions(model=str(smollm2_folder), lr=1e-3, steps=10, batch_size=4, lora_rank=8)
    metrics = run(options, examples, tmp_path / "out")
    assert metrics[-1]["loss"] < 0.5 * metrics[0]["loss"]
    assert load_model(str(tmp_path / "out")).dtype == torch.bfloat16
