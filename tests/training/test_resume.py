"""A run that was killed goes on as if nothing had been, from what is whole, and only as the run that it was."""

import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn
from training_runs import attempts, killed_ranks, ranks, toy, trajectories

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import QA
from webdancer_cli.errors import UsageError
from webdancer_cli.options.config import RlOptions, SftOptions
from webdancer_cli.stages import rl, sft
from webdancer_cli.training import checkpoint
from webdancer_cli.training.distributed import ProcessGroup
from webdancer_cli.training.models import load_model
from webdancer_cli.training.optimizer import adamw
from webdancer_cli.training.question_stream import QuestionStream
from webdancer_cli.training.run_log import cut
from webdancer_cli.training.state import TrainingState, random_state, restore_random_state, seed_everything

ROOT = Path(__file__).parents[2]
MEASURED = {"second", "seconds", "peak"}


class Killed(Exception):
    """Stands for a kill, in a test that has one process."""


class KilledAt:
    """A progress that ends the run when a step is told."""

    def __init__(self, step: int):
        self.at = step

    def step(self, step: int, steps: int, note: str) -> None:
        if step == self.at:
            raise Killed


def options(folder: Path, model: Path, **more: object) -> SftOptions:
    given = {"data": str(trajectories(folder / "data.jsonl")), "model": str(model), "out": str(folder / "out")}
    rest = {"steps": 6, "batch_size": 3, "lr": 1e-3, "weight_decay": 0.1, "save_every": 3}
    return SftOptions(**{**given, **rest, **more})  # type: ignore[arg-type]


def killed(given: SftOptions | RlOptions, step: int) -> None:
    stage = sft if isinstance(given, SftOptions) else rl
    with pytest.raises(Killed):
        stage.run(given, progress=KilledAt(step))  # type: ignore[arg-type]


def lines(out: Path, name: str = "metrics.jsonl") -> list[dict[str, object]]:
    """The metrics, without what a clock says."""
    told = [json.loads(line) for line in (out / name).read_text().splitlines()]
    return [
        {name: value for name, value in line.items() if "second" not in name and "peak" not in name} for line in told
    ]


@pytest.mark.parametrize("more", [{}, {"lora_rank": 4}, {"dtype": "bfloat16"}, {"async_save": True}])
def test_six_steps_are_three_a_kill_and_three_bit_for_bit(
    tiny_folder: Path, tmp_path: Path, more: dict[str, object]
) -> None:
    """Killed in step 5, before which the checkpoint of step 3 was written, and the lines of 3 and 4."""
    whole = options(tmp_path, tiny_folder, out=str(tmp_path / "whole"), **{**more, "async_save": False})
    sft.run(whole)
    parts = options(tmp_path, tiny_folder, **more)
    killed(parts, 5)
    sft.run(replace(parts, resume=True))
    assert lines(tmp_path / "out") == lines(tmp_path / "whole")
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "out"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_run_without_a_checkpoint_starts_and_one_that_is_done_stays(tiny_folder: Path, tmp_path: Path) -> None:
    given = options(tmp_path, tiny_folder, resume=True, save_every=0, steps=2)
    killed(given, 2)
    assert checkpoint.newest(tmp_path / "out") is None
    sft.run(given)
    told: list[str] = []
    before = (tmp_path / "out" / "model.safetensors").stat().st_mtime_ns
    sft.run(given, say=told.append)
    assert len(lines(tmp_path / "out")) == 2
    assert (tmp_path / "out" / "model.safetensors").stat().st_mtime_ns == before
    assert told == [f"{tmp_path / 'out'}: is done at step 2"]


OTHERS = [
    ({"lr": 2e-3}, r"--lr 0\.001, not 0\.002"),
    ({"batch_size": 2}, "--batch-size 3, not 2"),
    ({"limit": 5}, "--limit None, not 5"),
    ({"seed": 1}, "--seed 0, not 1"),
]


@pytest.fixture(scope="module")
def begun(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> SftOptions:
    """A run that was killed after its third step."""
    given = options(tmp_path_factory.mktemp("begun"), tiny_folder)
    killed(given, 4)
    return replace(given, resume=True)


@pytest.mark.parametrize(("change", "told"), OTHERS)
def test_another_run_is_refused_in_one_line(begun: SftOptions, change: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        sft.run(replace(begun, **change))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value) and "--resume goes on with the same run alone" in str(caught.value)


def test_other_data_and_another_model_are_refused(begun: SftOptions, tmp_path: Path) -> None:
    text = Path(begun.data).read_text()
    (tmp_path / "data.jsonl").write_text(text.replace("Arlen", "Arlan"))
    with pytest.raises(UsageError, match="made with another --data"):
        sft.run(replace(begun, data=str(tmp_path / "data.jsonl")))
    model = load_model(begun.model)
    with torch.no_grad():
        model.lm_head.weight[0, 0] += 1
    copy = tmp_path / "model"
    copy.mkdir()
    for file in Path(begun.model).iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    model.save_pretrained(copy)
    with pytest.raises(UsageError, match="made with another model"):
        sft.run(replace(begun, model=str(copy)))


def test_a_run_that_was_killed_is_not_begun_anew_by_mistake(begun: SftOptions) -> None:
    with pytest.raises(UsageError, match=r"holds step-3 of a run that did not end: go on from there by --resume"):
        sft.run(replace(begun, resume=False))


def test_a_state_that_cannot_be_read_is_told_with_the_remedy(begun: SftOptions, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for file in Path(begun.out).rglob("*"):
        if file.is_file():
            (out / file.relative_to(begun.out)).parent.mkdir(parents=True, exist_ok=True)
            (out / file.relative_to(begun.out)).write_bytes(file.read_bytes())
    (out / "step-3" / "state" / ".metadata").unlink()
    with pytest.raises(UsageError, match=r"step-3/state: cannot be read .* remove .*step-3 to go on"):
        sft.run(replace(begun, out=str(out)))


def test_the_last_checkpoints_keep_their_states_and_all_keep_their_weights(tiny_folder: Path, tmp_path: Path) -> None:
    sft.run(options(tmp_path, tiny_folder, save_every=1, keep=2))
    states = sorted(path.parent.name for path in (tmp_path / "out").glob("step-*/state"))
    assert states == ["step-4", "step-5"]
    for step in range(1, 6):
        load_model(str(tmp_path / "out" / f"step-{step}"))


@pytest.mark.slow
def test_what_cannot_be_written_is_told_in_one_line_and_counts_as_nothing(tiny_folder: Path, tmp_path: Path) -> None:
    """The disk is full for files beyond 20 KB; metrics and configuration fit."""
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000));"
        "from webdancer_cli.cli import run_command; sys.exit(run_command(sys.argv[1:]))"
    )
    given = options(tmp_path, tiny_folder)
    words = ["sft", "--data", given.data, "--model", given.model, "--out", given.out, "--steps", "3", "--save-every"]
    done = subprocess.run(
        [sys.executable, "-c", script, *words, "1"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "a checkpoint could not be written" in last and "make room there" in last, done.stderr
    assert checkpoint.newest(Path(given.out)) is None


def test_lines_after_a_step_are_cut_and_so_is_a_torn_one(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2}\nno json\n{"step": 3}\n{"step": 2, "x": 1}\n{"step": 2')
    cut(path, 2)
    assert path.read_bytes() == b'{"step": 1}\n{"step": 2}\n{"step": 2, "x": 1}\n'


@given(st.integers(1, 9), st.lists(st.integers(1, 12), max_size=8), st.lists(st.integers(1, 12), max_size=8))
def test_a_stream_of_questions_goes_on_where_it_was(count: int, before: list[int], after: list[int]) -> None:
    questions = [QA(question=f"{number}?", answer="x") for number in range(count)]
    stream, again = QuestionStream(questions, 3), QuestionStream(questions, 3)
    for size in before:
        stream.take(size)
    again.load_state_dict(json.loads(json.dumps(stream.state_dict())))
    assert [stream.take(size) for size in after] == [again.take(size) for size in after]


def test_random_generators_go_on_where_they_were() -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.normal()), float(torch.randn(()))

    seed_everything("a")
    draw()
    saved = json.loads(json.dumps(random_state(torch.device("cpu"))))
    first = [draw() for _ in range(3)]
    restore_random_state(saved, torch.device("cpu"))
    assert [draw() for _ in range(3)] == first


def test_a_restored_state_changes_no_weight_by_making_room_for_moments(tmp_path: Path) -> None:
    """What is restored is what was saved: also the weights, though AdamW has to step to have moments."""
    layer = nn.Linear(3, 3)
    state = TrainingState(layer, adamw(layer, 0.1, 0.1))
    with pytest.raises(UsageError, match="cannot be read"):
        before = layer.weight.detach().clone()
        state.restore(tmp_path / "step-1" / "state", ProcessGroup(), 0)
    assert torch.equal(layer.weight, before) and state.step == 0


@pytest.mark.slow
@pytest.mark.parametrize("ordered", [False, True])
def test_rl_goes_on_bit_for_bit(tmp_path: Path, undecided: Path, ordered: bool) -> None:
    """Killed in step 4 of 5: rollouts, questions, weights and metrics are those of a run that was not."""
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    more = {"steps": 5, "save_every": 2, "questions": 3, "max_rounds": 2, "lr": 1e-3}
    if ordered:
        jsonl.write_records(str(tmp_path / "held.jsonl"), [QA(question=f"Shade {n}?", answer="red") for n in range(3)])
        more |= {"rest": 1, "group": 4, "curriculum": attempts(tmp_path)}
        more |= {"eval_data": str(tmp_path / "held.jsonl"), "eval_every": 2}
    rl.run(toy(tmp_path / "whole", undecided, **more))
    parts = toy(tmp_path / "parts", undecided, **more)
    killed(parts, 4)
    rl.run(replace(parts, resume=True))
    whole_out, out = tmp_path / "whole" / "out", tmp_path / "parts" / "out"
    assert lines(out) == lines(whole_out)
    assert (out / "rollouts.jsonl").read_bytes() == (whole_out / "rollouts.jsonl").read_bytes()
    one, two = (load_file(folder / "model.safetensors") for folder in (whole_out, out))
    assert all(torch.equal(one[name], two[name]) for name in one)
    with pytest.raises(UsageError, match=r"--group \d+, not 8"):
        rl.run(replace(parts, resume=True, group=8))
    if ordered:
        assert [line["step"] for line in lines(out, "held_out.jsonl")] == [0, 2, 4, 5]
        assert lines(out, "held_out.jsonl") == lines(whole_out, "held_out.jsonl")
        assert any(line["resting"] for line in lines(out)[:2]), "nothing rested when it was killed"
        with pytest.raises(UsageError, match="another curriculum"):
            rl.run(replace(parts, resume=True, curriculum=None))


KILLS = """
import json, os, random, signal, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from dataclasses import replace
from training_runs import killed_ranks, ranks, toy, trajectories
from webdancer_cli.options.config import SftOptions
from webdancer_cli.stages import rl, sft
from webdancer_cli.training import checkpoint

folder, model = Path({folder!r}), Path({model!r})
WRITES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree")

def given(name):
    (folder / name).mkdir(exist_ok=True)
    if {kind!r} == "rl":
        return toy(folder / name, model, steps=3, save_every=1, keep=1, group=4)
    out, data = str(folder / name / "out"), str(trajectories(folder / name / "data.jsonl"))
    more = dict(async_save={kind!r} == "async", lora_rank=4 if {kind!r} == "lora" else 0)
    more |= dict(save_every=1, keep=1, lr=1e-3)
    return SftOptions(data=data, model=str(model), out=out, steps=3, batch_size=2, **more)

def run(options, kill_at=None, count_in=None):
    '''In a process of its own, which kills itself when it writes for the kill_at-th time.'''
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    moments = 0
    def count(event, args):
        nonlocal moments
        opened = event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR)
        if (opened or event in WRITES) and str(args[0]).startswith(options.out):
            moments += 1
            if moments == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)
    stage = rl if {kind!r} == "rl" else sft
    stage.run(options)
    if count_in:
        Path(count_in).write_text(str(moments))
    os._exit(0)

def result(options):
    out = Path(options.out)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    measured = {{"second", "seconds", "peak"}}
    told = [{{name: value for name, value in line.items() if not measured & set(name.split("_"))}} for line in lines]
    return (out / "model.safetensors").read_bytes(), told

whole = given("whole")
assert run(whole, count_in=str(folder / "count")) == 0
moments = int((folder / "count").read_text())
left, rng = [], random.Random(0)
for number, kill_at in enumerate(sorted(rng.sample(range(1, moments), {kills}))):
    options = given(f"killed-{{number}}")
    assert run(options, kill_at) == -signal.SIGKILL
    found = checkpoint.newest(Path(options.out))
    left.append(found.name if found else "nothing")
    assert run(replace(options, resume=True)) == 0, kill_at
    assert result(options) == result(whole), kill_at
    assert not (Path(options.out) / checkpoint.PARTIAL).exists()
print(json.dumps(left))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["full", "lora", "async", "rl"])
def test_killed_at_twenty_moments_of_saving_a_run_ends_as_if_it_had_not_been(
    tiny_folder: Path, undecided: Path, tmp_path: Path, kind: str
) -> None:
    model = undecided if kind == "rl" else tiny_folder
    names = {"tests": str(ROOT / "tests"), "folder": str(tmp_path), "model": str(model), "kind": kind, "kills": 20}
    done = subprocess.run(
        [sys.executable, "-c", KILLS.format(**names)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    left = json.loads(done.stdout)
    assert len(left) == 20 and {"nothing", "step-1", "step-2"} <= set(left), "kills before, between and after saves"


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (2, 2)])
@pytest.mark.parametrize("more", [(), ("--lora-rank", "4"), ("--async-save",)])
def test_a_run_goes_on_with_another_number_of_ranks(
    tiny_folder: Path, tmp_path: Path, before: int, after: int, more: tuple[str, ...]
) -> None:
    """Killed with SIGKILL, all ranks at once, when step 4 is in the metrics; then 6 steps are those of one rank."""
    data = trajectories(tmp_path / "data.jsonl")
    given = ["--data", str(data), "--model", str(tiny_folder), "--steps", "6", "--batch-size", "3", "--lr", "1e-3"]
    whole = ranks(1, "sft", *given, *more, "--save-every", "3", "--out", str(tmp_path / "whole"))
    assert whole.returncode == 0, whole.stderr
    parts = ["sft", *given, *more, "--save-every", "3", "--out", str(tmp_path / "out")]
    assert killed_ranks(before, tmp_path / "out" / "metrics.jsonl", 4, *parts)
    done = ranks(after, *parts, "--resume")
    assert done.returncode == 0, done.stderr
    one, two = lines(tmp_path / "whole"), lines(tmp_path / "out")
    assert [line["step"] for line in two] == [1, 2, 3, 4, 5, 6]
    for expected, line in zip(one, two, strict=True):
        assert line["loss"] == pytest.approx(expected["loss"], abs=1e-6)
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("whole", "out")]
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=0, atol=1e-6)
