"""sft: trajectories in, a Hugging Face checkpoint out."""

import json
import os
import pty
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_models import byte_level
from transformers import AutoModelForCausalLM, AutoTokenizer

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import QA, Message, Trajectory
from webdancer_cli.errors import UsageError
from webdancer_cli.options import config
from webdancer_cli.stages import sft
from webdancer_cli.training.model_source import NANO_FOLDER
from webdancer_cli.training.models import load_tokenizer
from webdancer_cli.training.renderer import Renderer
from webdancer_cli.transcript.released_format import encode_released

ROOT = Path(__file__).parents[2]
RELEASED = ROOT.parent / "shared" / "data" / "webdancer_trajectories.jsonl"
TOWNS = ["Arlen", "Bost", "Corvin", "Dunmar"]


def trajectory(town: str, turn: str = "<think>\nI know.\n</think>\n<answer>\n{}\n</answer>") -> Trajectory:
    messages = [Message("user", f"Which town is {town}?"), Message("assistant", turn.format(town))]
    return Trajectory(qa=QA(question=f"Which town is {town}?", answer=town), messages=messages, ending="answered")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.jsonl"
    jsonl.write_records(str(path), [trajectory(town) for town in TOWNS])
    return path


def options(data: Path, **more: object) -> config.SftOptions:
    given = {"out": str(data.parent / "out"), "steps": 2, "batch_size": 2, "lr": 1e-4, **more}
    return config.SftOptions(data=str(data), **given)


def test_a_checkpoint_with_its_origin(data: Path) -> None:
    stats = sft.run(options(data))
    out = data.parent / "out"
    assert stats.summary() == "4 in, 4 trained on" and stats.exit_code == 0
    model = AutoModelForCausalLM.from_pretrained(out)
    assert not torch.equal(model.lm_head.weight, AutoModelForCausalLM.from_pretrained(NANO_FOLDER).lm_head.weight)
    assert AutoTokenizer.from_pretrained(out).encode("<|im_end|>") == [Renderer(load_tokenizer("nano")).end_id]
    about = json.loads((out / "webdancer.json").read_text())
    assert about["command"] == "sft" and about["parent"] == {"model": "nano", "id": None} and about["step"] == 2
    assert about["options"]["lr"] == 1e-4 and about["records"] == {"in": 4, "trained on": 4}
    assert len(about["data_sha256"]) == 64
    metrics = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in metrics] == [1, 2]
    known = {"step", "loss", "tokens", "lr", "grad_norm", "tokens_per_second", "epoch", "loss_share", "peak_memory_gb"}
    known |= {"shared_prefix_tokens", "padding"}
    assert set(metrics[0]) == known and metrics[0]["padding"] == 0
    assert 0 < metrics[0]["loss_share"] < 1 and metrics[0]["peak_memory_gb"] > 0.1


def test_progress_is_told_step_by_step(data: Path) -> None:
    class Told:
        def __init__(self) -> None:
            self.steps: list[tuple[int, int | None]] = []

        def step(self, done: int, total: int | None, note: str) -> None:
            self.steps.append((done, total))
            assert "loss" in note and "tokens/s" in note

    told = Told()
    sft.run(options(data), progress=told)
    assert told.steps == [(1, 2), (2, 2)]


def test_the_authors_lines_are_learned_like_ours(data: Path) -> None:
    renderer = Renderer(load_tokenizer("nano"))
    ours = sft.read_dataset(options(data), renderer, 2048)
    theirs = data.parent / "theirs.jsonl"
    theirs.write_bytes(b"\n".join(encode_released(trajectory(town)) for town in TOWNS))
    assert sft.read_dataset(options(theirs), renderer, 2048).examples == ours.examples


@pytest.mark.skipif(not RELEASED.exists(), reason="the released trajectories are not here")
def test_the_released_trajectories_render_exactly() -> None:
    renderer = Renderer(load_tokenizer("nano"))
    dataset = sft.read_dataset(config.SftOptions(data=str(RELEASED), limit=20), renderer, 10**6)
    lines = [json.loads(line) for line in RELEASED.read_bytes().splitlines()[:20]]
    for (example,), line in zip(dataset.examples, lines, strict=True):
        said = [token for token, trainable in zip(example.ids, example.trainable, strict=True) if trainable]
        turns = [m["content"] + "<|im_end|>" for m in line["messages"] if m["role"] == "assistant"]
        assert renderer._whole.decode(said, skip_special_tokens=False) == "".join(turns)


def test_what_cannot_be_learned_is_left_out_and_counted(data: Path) -> None:
    lines = data.read_bytes().splitlines()
    silent = Trajectory(qa=QA(question="?", answer="!"), messages=[Message("user", "?")], ending="model_error")
    jsonl.write_records(str(data), [trajectory("Elst", "<think>\n" + "long " * 300 + "\n</think>"), silent])
    data.write_bytes(b"\n".join([*lines, b'{"torn": ', *data.read_bytes().splitlines()]))
    stats = sft.run(options(data, max_length=200))
    assert stats.counts == {"in": 6, "trained on": 4}
    assert stats.reasons == {"broken_line": 1, "too_long": 1, "no_assistant_turn": 1}
    assert stats.exit_code == 1


def test_what_is_too_long_may_be_cut_and_is_counted(data: Path) -> None:
    long = trajectory("Elst")
    long.messages += [Message("user", "Sure?"), Message("assistant", "<think>\n" + "long " * 300 + "\n</think>")]
    jsonl.write_records(str(data), [trajectory("Arlen"), long])
    renderer = Renderer(load_tokenizer("nano"))
    dataset = sft.read_dataset(options(data, overlong="truncate"), renderer, 200)
    assert dataset.stats.summary() == "2 in, 1 truncated, 2 trained on"
    assert list(dataset.examples[1][0].ids) == renderer.encode(long.messages[:2]).ids
    assert sft.read_dataset(options(data), renderer, 200).stats.summary() == "2 in, 1 trained on (too_long 1)"


def test_an_order_of_turns_that_the_family_has_no_form_for_is_counted(data: Path) -> None:
    """Gemma's template has no form for two questions in a row."""
    tokenizer = byte_level(["<bos>", "<end_of_turn>", "<start_of_turn>"], [], "<end_of_turn>")
    tokenizer.chat_template = (
        "<bos>{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('no') }}"
        "{% endif %}<start_of_turn>{{ m.role }}\n{{ m.content }}<end_of_turn>\n{% endfor %}"
        "{% if add_generation_prompt %}<start_of_turn>assistant\n{% endif %}"
    )
    twice = trajectory("Elst")
    twice.messages.insert(0, Message("user", "Ready?"))
    jsonl.write_records(str(data), [trajectory("Arlen"), twice])
    assert (
        sft.read_dataset(options(data), Renderer(tokenizer), 999).stats.summary() == "2 in, 1 trained on (turn_order 1)"
    )


def test_masks_are_shown_of_the_first_examples_and_nothing_is_trained(data: Path) -> None:
    shown, stats = sft.masks(options(data, show_masks=2, train_on="answers"), coloured=False)
    assert stats.summary() == "2 in, 2 shown" and not (data.parent / "out").exists()
    assert [town for town in TOWNS if f"⟦<answer>\n{town}\n</answer>⟨<|im_end|>⟩⟧" in shown] == TOWNS[:2]


@pytest.mark.slow
def test_masks_go_to_stderr_coloured_on_a_terminal_alone(data: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "webdancer_cli", "sft", "--data", str(data), "--show-masks", "1", "--quiet"]
    command += ["--out", str(data.parent / "out")]

    def on_a_terminal(**variables: str) -> str:
        keyboard, terminal = pty.openpty()
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=terminal, env=environment | variables)
        os.close(terminal)
        shown = os.read(keyboard, 65536).decode()
        os.close(keyboard)
        assert (done.returncode, done.stdout) == (0, b"")
        return shown

    piped = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (piped.returncode, piped.stdout) == (0, "") and "⟦<think>" in piped.stderr and "\x1b" not in piped.stderr
    coloured = on_a_terminal()
    assert "\x1b[32m" in coloured and "⟦" not in coloured
    assert on_a_terminal(NO_COLOR="1").replace("\r\n", "\n") == piped.stderr
    assert not (data.parent / "out").exists()


def test_limit_uses_the_first_records_only(data: Path) -> None:
    assert sft.run(options(data, limit=3)).counts == {"in": 3, "trained on": 3}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "./missing"}, "no such checkpoint"),
        ({"data": "./missing.jsonl"}, "missing.jsonl"),
        ({"out": "/dev/null/below"}, "folder that can be written"),
        ({"max_length": 3}, "nothing to learn from: 4 in, 0 trained on .too_long 4."),
    ],
)
def test_what_cannot_work_is_one_line_before_any_work(data: Path, changes: dict[str, object], message: str) -> None:
    given = replace(options(data), **changes)
    with pytest.raises(UsageError, match=message) as caught:
        sft.run(given)
    assert "\n" not in str(caught.value)


def test_questions_are_refused_as_training_data(data: Path) -> None:
    jsonl.write_records(str(data), [QA(question="Where is Bost?", answer="Arlen")])
    with pytest.raises(UsageError, match="this is a question"):
        sft.run(options(data))


def test_empty_data_is_refused(data: Path) -> None:
    data.write_bytes(b"")
    with pytest.raises(UsageError, match="nothing to learn from: 0 in"):
        sft.run(options(data))


def test_a_finished_checkpoint_is_never_overwritten(data: Path) -> None:
    sft.run(options(data, steps=1))
    with pytest.raises(UsageError, match="finished checkpoint"):
        sft.run(options(data, steps=1))


@pytest.mark.slow
def test_trajectories_come_through_a_pipe(data: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "webdancer_cli", "sft", "--steps", "1", "--out", "piped"],
        input=data.read_bytes(),
        capture_output=True,
        cwd=data.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    assert (data.parent / "piped" / "model.safetensors").exists()
