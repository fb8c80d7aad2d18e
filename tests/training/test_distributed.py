import json
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch.testing import assert_close
from training_runs import ranks, trajectories

from webdancer_cli.data.jsonl import write_records
from webdancer_cli.data.records import QA
from webdancer_cli.errors import UsageError
from webdancer_cli.training.distributed import ProcessGroup, process_group


def test_a_lone_process_is_a_world_of_its_own() -> None:
    with process_group() as world:
        assert world.is_main and world.size == 1
        assert world.from_main(lambda: 3) == 3
        assert world.total(1.5, 2.0) == [1.5, 2.0]
        assert world.gather("x") == ["x"]
    with pytest.raises(UsageError):
        ProcessGroup().from_main(lambda: (_ for _ in ()).throw(UsageError("no")))


@pytest.mark.slow
@pytest.mark.parametrize("lora_rank", ["0", "4"])
def test_two_ranks_learn_what_one_learns(tiny_folder: Path, tmp_path: Path, lora_rank: str) -> None:
    data = trajectories(tmp_path / "data.jsonl").read_text()
    # 5 of 8 a step: uneven shares, so that one rank has a micro-batch less than the other.
    options = [
        "--model",
        str(tiny_folder),
        "--steps",
        "6",
        "--batch-size",
        "5",
        "--lr",
        "1e-3",
        "--lora-rank",
        lora_rank,
    ]
    outs = {name: tmp_path / name for name in ("one", "two", "split")}
    for name, count, micro_tokens in (("one", 1, "16384"), ("two", 2, "100"), ("split", 1, "100")):
        done = ranks(count, "sft", *options, "--micro-tokens", micro_tokens, "--out", str(outs[name]), stdin=data)
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""
    first, *others = (
        [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()] for out in outs.values()
    )
    for other in others:
        for expected, line in zip(first, other, strict=True):
            assert line["loss"] == pytest.approx(expected["loss"], abs=1e-5)
            assert line["grad_norm"] == pytest.approx(expected["grad_norm"], rel=1e-4)
            assert line["tokens"] == expected["tokens"]
    weights = [load_file(out / "model.safetensors") for out in outs.values()]
    for other in weights[1:]:
        assert_close(other, weights[0], rtol=0, atol=1e-5)


@pytest.mark.slow
def test_an_error_of_rank_0_ends_all_ranks_and_is_told_once(tiny_folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "qa.jsonl"
    write_records(str(data), [QA(question="Where is Bost?", answer="Arlen")])
    done = ranks(2, "sft", "--data", str(data), "--model", str(tiny_folder), "--out", str(tmp_path / "out"))
    assert done.returncode != 0
    assert done.stderr.count("this is a question") == 1, done.stderr
    missing = ranks(2, "sft", "--data", str(data), "--model", "./missing", "--out", str(tmp_path / "out"))
    assert missing.stderr.count("no such checkpoint") == 1, missing.stderr
