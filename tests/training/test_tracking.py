"""Trackers get the numbers of each step, and can end no run."""

from pathlib import Path

import pytest
from training_runs import trajectories

from webdancer_cli.errors import UsageError
from webdancer_cli.options.config import SftOptions
from webdancer_cli.stages import sft
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
    assert {"loss", "lr", "grad_norm"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3]
