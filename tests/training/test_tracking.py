"""Trackers get the numbers of each step, and can end no run."""

import subprocess
import sys
from pathlib import Path

import pytest
from report_records import attempt
from training_runs import trajectories

from webdancer_cli.data.records import Attempt, from_object
from webdancer_cli.errors import UsageError
from webdancer_cli.grading import scores
from webdancer_cli.options.config import SftOptions
from webdancer_cli.stages import eval, sft
from webdancer_cli.training.tracking import Tracked


def test_a_tracker_that_is_not_there_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--track missing_tracker: missing_tracker is not installed: pip install"):
        Tracked("missing_tracker", tmp_path, {}, print)


def test_without_a_tracker_nothing_is_sent(tmp_path: Path) -> None:
    tracked = Tracked("none", tmp_path, {}, print)
    tracked.log({"step": 1})
    tracked.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_tensorboard_has_the_numbers_of_every_step(tiny_folder: Path, tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    out = tmp_path / "out"
    data = str(trajectories(tmp_path / "data.jsonl"))
    sft.run(SftOptions(data=data, model=str(tiny_folder), out=str(out), steps=3, batch_size=2, track="tensorboard"))
    events = reader.EventAccumulator(str(out / "tensorboard")).Reload()
    assert {"loss", "lr", "grad_norm"} <= set(events.Tags()["tensors"])
    assert [event.step for event in events.Tensors("loss")] == [1, 2, 3]


def test_the_scores_of_a_checkpoint_are_sent_at_its_step() -> None:
    attempts = [from_object(Attempt, attempt(number, outcome)) for number, outcome in enumerate(("correct", "wrong"))]
    line = eval.tracked_line("checkpoints/rl/step-40", scores.from_attempts(attempts))
    assert (line["step"], line["pass_1"]) == (40, 0.5)
    assert line["level 1"]["pass_1"] == 1.0 and line["conduct"]["attempts"] == 2
    assert eval.tracked_line("nano", scores.from_attempts(attempts))["step"] == 0


def test_scores_are_tracked_without_torch(tmp_path: Path, environment: dict[str, str]) -> None:
    pytest.importorskip("tensorboard")
    script = (
        "import sys\nfrom pathlib import Path\nfrom webdancer_cli.training.tracking import Tracked\n"
        "tracked = Tracked('tensorboard', Path('eval'), {}, print)\n"
        "tracked.log({'step': 0, 'pass_1': 0.5, 'conduct': {'calls': 3}})\ntracked.close()\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.stdout == "False\n", done.stderr
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert {"pass_1", "conduct.calls"} <= set(
        reader.EventAccumulator(str(tmp_path / "eval/tensorboard")).Reload().Tags()["tensors"]
    )
