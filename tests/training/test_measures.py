"""Measures by hand, held-out loss against the model's own, and a card that says what a checkpoint is."""

import json
import shutil
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


class Overfitting:
    """Runs with a learning rate at which the loss of what is held out soon rises again."""

    def __init__(self, tiny_folder: Path, folder: Path):
        lines = trajectories(folder / "data.jsonl").read_text().splitlines(keepends=True)
        (folder / "train.jsonl").write_text("".join(lines[:2]))
        (folder / "held.jsonl").write_text("".join(lines[2:]))
        data = {"data": str(folder / "train.jsonl"), "eval_data": str(folder / "held.jsonl")}
        steps = {"steps": 6, "batch_size": 2, "lr": 0.1, "eval_every": 1, "save_every": 2}
        self.options = SftOptions(**data, **steps, model=str(tiny_folder), keep_best=True)  # type: ignore[arg-type]
        self._folder = folder

    def run(self, name: str, progress: "KilledAt | None" = None, **others: object) -> None:
        options = replace(self.options, out=str(self._folder / name), **others)  # type: ignore[arg-type]
        sft.run(options, progress=progress)

    def losses(self, name: str) -> list[float]:
        lines = (self._folder / name / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line)["held_out_loss"] for line in lines]

    def best_step(self, name: str) -> int:
        step = json.loads((self._folder / name / "webdancer.json").read_text())["step"]
        assert isinstance(step, int) and not list((self._folder / name).glob("*best*"))
        return step

    def weights(self, name: str) -> bytes:
        return (self._folder / name / "model.safetensors").read_bytes()


@pytest.fixture
def overfitting(tiny_folder: Path, tmp_path: Path) -> Overfitting:
    return Overfitting(tiny_folder, tmp_path)


def test_the_best_checkpoint_is_the_result_also_of_a_run_that_was_killed(overfitting: Overfitting) -> None:
    overfitting.run("whole")
    with pytest.raises(InterruptedError):
        overfitting.run("killed", KilledAt(6))
    overfitting.run("killed", resume=True)
    for name in ("whole", "killed"):
        losses = overfitting.losses(name)
        assert overfitting.best_step(name) == 1 + losses.index(min(losses)) < 6
    assert overfitting.weights("killed") == overfitting.weights("whole")


@pytest.mark.parametrize("left", [{"best"}, {"best", ".best-before"}, {".best-before"}, set()])
def test_a_run_killed_while_one_best_checkpoint_takes_the_place_of_another_goes_on(
    overfitting: Overfitting, tmp_path: Path, left: set[str]
) -> None:
    """As the folder was at each moment of it; and where somebody has removed both, the best of the rest is taken."""
    overfitting.run("whole")
    with pytest.raises(InterruptedError):
        overfitting.run("killed", KilledAt(6))
    best = tmp_path / "killed" / "best"
    assert best.is_dir()
    best.rename(tmp_path / "before")
    for name in left:
        shutil.copytree(tmp_path / "before", tmp_path / "killed" / name)
    overfitting.run("killed", resume=True)
    if left:
        assert overfitting.weights("killed") == overfitting.weights("whole")
    else:
        rest = overfitting.losses("killed")[4:]
        assert overfitting.best_step("killed") == 5 + rest.index(min(rest))


def test_a_best_checkpoint_of_a_step_that_comes_again_does_not_count(overfitting: Overfitting, tmp_path: Path) -> None:
    """It would stay even if the step, done again, were not as good: on other hardware, or by drawn evaluations."""
    overfitting.run("whole")
    with pytest.raises(InterruptedError):
        overfitting.run("killed", KilledAt(4))
    manifest = tmp_path / "killed" / "best" / "webdancer.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"step": 3, "mark": "of another timeline"}))
    overfitting.run("killed", resume=True)
    assert "mark" not in json.loads((tmp_path / "killed" / "webdancer.json").read_text())


def test_the_best_by_other_data_is_another_run(overfitting: Overfitting, tmp_path: Path) -> None:
    with pytest.raises(InterruptedError):
        overfitting.run("killed", KilledAt(6))
    other = str(tmp_path / "train.jsonl")
    with pytest.raises(UsageError, match="was made with another --eval-data"):
        overfitting.run("killed", resume=True, eval_data=other)
    shutil.copy(tmp_path / "held.jsonl", tmp_path / "moved.jsonl")
    overfitting.run("killed", resume=True, eval_data=str(tmp_path / "moved.jsonl"))


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
