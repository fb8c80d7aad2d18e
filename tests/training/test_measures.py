"""Measures by hand, held-out loss against the model's own, and a card that says what a checkpoint is."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_runs import trajectories

from webdancer_cli.errors import UsageError
from webdancer_cli.options.config import SftOptions
from webdancer_cli.stages import sft
from webdancer_cli.training.measures import GradientWatch, flops, mfu
from webdancer_cli.training.models import describe, load_model, load_tokenizer
from webdancer_cli.training.renderer import Renderer


def test_operations_are_counted_by_hand(tiny_folder: Path) -> None:
    """Tied: all weights multiply. 6 a weight and token; attention 12 x 2 layers x width 32 x half of 10 x 10."""
    plain = describe(str(tiny_folder))
    assert flops(plain, [10]) == 6 * plain.parameters * 10 + 12 * 2 * 32 * 50
    assert flops(plain, [10, 4]) == flops(plain, [10]) + flops(plain, [4])
    assert mfu(1e12, 1.0, 1, torch.device("cpu")) is None


def test_a_gradient_that_explodes_is_told_once_there_is_something_to_compare() -> None:
    watch = GradientWatch()
    assert watch.warning(1e9) == ""
    assert not [told for told in (watch.warning(1.0) for _ in range(19)) if told]
    assert watch.warning(9.9) == ""
    assert "norm is 10.5, and was 1" in watch.warning(10.5)


@pytest.fixture(scope="module")
def trained(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four steps, with the loss of what is held out after the second and the last."""
    folder = tmp_path_factory.mktemp("trained")
    data = trajectories(folder / "data.jsonl")
    lines = data.read_text().splitlines(keepends=True)
    (folder / "train.jsonl").write_text("".join(lines[:5]))
    (folder / "held.jsonl").write_text("".join(lines[5:]))
    given = {"data": str(folder / "train.jsonl"), "eval_data": str(folder / "held.jsonl"), "out": str(folder / "out")}
    sft.run(SftOptions(**given, model=str(tiny_folder), steps=4, batch_size=2, lr=1e-2, eval_every=2))  # type: ignore[arg-type]
    return folder


def test_held_out_loss_is_that_of_the_checkpoint_on_what_it_has_not_seen(trained: Path) -> None:
    lines = [json.loads(line) for line in (trained / "out" / "metrics.jsonl").read_text().splitlines()]
    assert ["held_out_loss" in line for line in lines] == [False, True, False, True]
    model, renderer = load_model(str(trained / "out"), "float32"), Renderer(load_tokenizer(str(trained / "out")))
    total, count = 0.0, 0
    for (example,) in sft.read_dataset(SftOptions(data=str(trained / "held.jsonl")), renderer, 4096).examples:
        logits_TV = model(torch.tensor([list(example.ids)])).logits[0]
        logprobs_TV = torch.log_softmax(logits_TV.detach(), dim=-1)
        sampled = [at for at, on in enumerate(example.trainable) if on]
        total -= sum(float(logprobs_TV[at - 1, example.ids[at]]) for at in sampled)
        count += len(sampled)
    assert lines[-1]["held_out_loss"] == pytest.approx(total / count, abs=1e-5)


def test_the_card_tells_data_recipe_provenance_and_measures(trained: Path) -> None:
    card = (trained / "out" / "README.md").read_text()
    about = json.loads((trained / "out" / "webdancer.json").read_text())
    last = json.loads((trained / "out" / "metrics.jsonl").read_text().splitlines()[-1])
    assert card.startswith("---\nlibrary_name:") and "license:" in card.split("---")[1]
    for told in (
        about["data_sha256"],
        about["id"],
        "| `lr` | 0.01 |",
        "- trained on: 5",
        f"{last['held_out_loss']:.6g}",
    ):
        assert told in card


def test_the_best_checkpoint_is_the_result_also_of_a_run_that_was_killed(tiny_folder: Path, tmp_path: Path) -> None:
    """A learning rate at which the loss of what is held out soon rises again."""
    data = trajectories(tmp_path / "data.jsonl")
    lines = data.read_text().splitlines(keepends=True)
    (tmp_path / "train.jsonl").write_text("".join(lines[:2]))
    (tmp_path / "held.jsonl").write_text("".join(lines[2:]))
    given = {"data": str(tmp_path / "train.jsonl"), "eval_data": str(tmp_path / "held.jsonl"), "lr": 0.1}
    results = []
    for name in ("whole", "killed"):
        options = SftOptions(**given, model=str(tiny_folder), out=str(tmp_path / name), steps=6, batch_size=2)  # type: ignore[arg-type]
        options = replace(options, eval_every=1, keep_best=True, save_every=2)
        if name == "killed":
            with pytest.raises(InterruptedError):
                sft.run(options, progress=KilledAt(6))  # type: ignore[arg-type]
        sft.run(replace(options, resume=name == "killed"))
        losses = [
            json.loads(line)["held_out_loss"] for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        ]
        about = json.loads((tmp_path / name / "webdancer.json").read_text())
        assert about["step"] == 1 + losses.index(min(losses)) < 6
        assert not (tmp_path / name / "best").exists()
        results.append((tmp_path / name / "model.safetensors").read_bytes())
    assert results[0] == results[1]


class KilledAt:
    """A progress that ends the run when a step is told."""

    def __init__(self, step: int):
        self.at = step

    def step(self, step: int, steps: int, note: str) -> None:
        if step == self.at:
            raise InterruptedError


def test_the_best_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="--keep-best: which trajectories"):
        sft.run(SftOptions(keep_best=True))
