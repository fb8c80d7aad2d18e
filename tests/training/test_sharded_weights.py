"""Two ranks open what one opens: the same weights, adapters and rows for new tokens, each rank its part."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import ARCHITECTURES, CHATML, byte_level
from training_runs import environment, ranks, trajectories

from webdancer_cli.errors import UsageError
from webdancer_cli.options.config import SftOptions
from webdancer_cli.training.distributed import ProcessGroup, device_mesh
from webdancer_cli.training.models import load_tokenizer, load_trainable
from webdancer_cli.training.trainable import open_trainable

OPEN = """
import json, sys, torch
from webdancer_cli.options.config import SftOptions
from webdancer_cli.training import sharded_weights
from webdancer_cli.training.distributed import full_tensor, process_group
from webdancer_cli.training.models import describe, load_tokenizer
from webdancer_cli.training.trainable import open_trainable
model, out, more = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
with process_group() as world:
    opened = open_trainable(describe(model), load_tokenizer(model), SftOptions(model=model, **more), world)
    weights = {name: full_tensor(p.detach()).clone() for name, p in opened.model.named_parameters()}
    trained = [name for name, p in opened.scorer.named_parameters() if p.requires_grad]
    local = sum(getattr(p, "_local_tensor", p).numel() for p in opened.model.parameters())
    if world.rank == world.size - 1:
        torch.save((weights, dict(opened.model.named_buffers()), trained, opened.grown, local), out)
"""


def opened(folder: Path, out: Path, count: int, more: dict[str, Any]) -> Any:
    launched = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    script = out.with_suffix(".py")
    script.write_text(OPEN)
    done = subprocess.run(
        [sys.executable, *launched, str(script), str(folder), str(out), json.dumps(more)],
        env=environment(1),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return torch.load(out, weights_only=False)


def with_new_tokens(folder: Path) -> None:
    tokenizer = load_tokenizer(str(folder))
    tokenizer.add_tokens([f"<new-{number}>" for number in range(600)])
    tokenizer.save_pretrained(folder)


def with_an_adapter(folder: Path) -> None:
    """An adapter folder that names the model beside it."""
    model, _ = load_trainable(str(folder), lora_rank=2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    base = folder.with_name("base")
    folder.rename(base)
    model.save_pretrained(folder)
    config = json.loads((folder / "adapter_config.json").read_text()) | {"base_model_name_or_path": str(base)}
    (folder / "adapter_config.json").write_text(json.dumps(config))


CASES = {
    "tied, read in parts": ("qwen2", None, {}),
    "adapters over a frozen bfloat16 base": ("llama3", None, {"lora_rank": 2, "dtype": "bfloat16"}),
    "converted weights, from rank 0": ("mixtral", None, {}),
    "rows for new tokens, from rank 0": ("qwen3", with_new_tokens, {}),
    "a merged adapter, from rank 0": ("qwen3", with_an_adapter, {"lora_rank": 2}),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_ranks_open_what_one_opens(tmp_path: Path, case: str) -> None:
    architecture, change, more = CASES[case]
    folder = tmp_path / "model"
    folder.mkdir()
    ARCHITECTURES[architecture](folder, byte_level(CHATML, [], CHATML[2]))
    if change:
        change(folder)
    (one, buffers, trained, grown, all_of_it), (two, *same, local) = (
        opened(folder, tmp_path / f"{count}.pt", count, more) for count in (1, 2)
    )
    assert one.keys() == two.keys()
    assert not [name for name in one if one[name].dtype != two[name].dtype or not torch.equal(one[name], two[name])]
    assert buffers.keys() == same[0].keys() and all(torch.equal(buffers[name], same[0][name]) for name in buffers)
    assert same[1:] == [trained, grown]
    assert bool(grown) == (change is with_new_tokens)
    assert local < 0.6 * all_of_it


@pytest.mark.slow
def test_groups_of_ranks_learn_what_one_rank_learns(tiny_folder: Path, tmp_path: Path) -> None:
    """Four ranks as two replicas of two shards; their layers are computed again in the backward pass."""
    data = trajectories(tmp_path / "data.jsonl")
    given = [
        "sft",
        "--data",
        str(data),
        "--model",
        str(tiny_folder),
        "--steps",
        "3",
        "--batch-size",
        "5",
        "--lr",
        "1e-3",
    ]
    found = []
    for name, count, more in (("one", 1, []), ("four", 4, ["--replicas", "2", "--checkpointing", "selective"])):
        done = ranks(count, *given, *more, "--out", str(tmp_path / name))
        assert done.returncode == 0, done.stderr
        found.append([json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()])
    for one, four in zip(*found, strict=True):
        assert four["loss"] == pytest.approx(one["loss"], abs=1e-5)
        assert four["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-4)


def test_what_cannot_be_sharded_so_is_refused_in_one_line(tiny_folder: Path) -> None:
    with pytest.raises(UsageError, match="--replicas 3: 2 ranks cannot be dealt out"):
        device_mesh(ProcessGroup(0, 2), 3)
    if not torch.cuda.is_available():
        options = SftOptions(model=str(tiny_folder), cpu_offload=True)
        with pytest.raises(UsageError, match="--cpu-offload: there is no GPU here"):
            open_trainable(None, None, options, ProcessGroup())  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_opening_by_two_ranks_takes_each_less_than_three_quarters_of_what_one_takes() -> None:
    """A model of 1 GB in float32; what a process has before it opens anything counts, too."""
    bench = Path(__file__).parents[1] / "bench" / "loading.py"
    done = subprocess.run(
        [sys.executable, str(bench), "--gigabytes", "1"], capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    shares = [line.partition("opening takes ")[2].split(" ")[0] for line in done.stdout.splitlines()]
    assert len(shares) == 3
    assert all(float(share) < 0.75 for share in shares[1:]), done.stdout
