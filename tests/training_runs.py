"""Runs for the tests of training: some short episodes, a checkpoint that says either of two answers, and torchrun."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import torch
from tiny_models import save_tiny
from transformers import PreTrainedTokenizerFast

from webdancer_cli.data import jsonl
from webdancer_cli.data.jsonl import write_records
from webdancer_cli.data.records import QA, Message, Page, Trajectory
from webdancer_cli.options.config import RlOptions
from webdancer_cli.training.layout import pad
from webdancer_cli.training.logprobs import Scorer
from webdancer_cli.training.models import load_trainable
from webdancer_cli.training.optimizer import adamw
from webdancer_cli.training.renderer import Renderer

ROOT = Path(__file__).parent.parent
TOWNS = ["Arlen", "Bost", "Corvin", "Dunmar", "Elst", "Farrow", "Gant", "Holm"]
ANSWERS = ("red", "blue")


def trajectories(path: Path) -> Path:
    """Eight short episodes of different lengths."""
    lines = [
        Trajectory(
            qa=QA(question=f"Where is {town}?", answer=town),
            messages=[
                Message("user", f"Where is {town}?"),
                Message("assistant", f"<think>\n{' '.join(TOWNS[: number + 1])}\n</think>\n<answer>{town}</answer>"),
            ],
            ending="answered",
        )
        for number, town in enumerate(TOWNS)
    ]
    write_records(str(path), lines)
    return path


def environment(ranks: int) -> dict[str, str]:
    """For so many ranks: each with a GPU, or all on the CPU where there are fewer of them."""
    known = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return known if ranks <= torch.cuda.device_count() else {**known, "CUDA_VISIBLE_DEVICES": ""}


def ranks(count: int, *arguments: str, stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
    """``torchrun --nproc-per-node count -m webdancer_cli ARGUMENTS``, on loopback."""
    return subprocess.run(
        torchrun(count, *arguments), input=stdin, capture_output=True, text=True, timeout=300, env=environment(count)
    )


def killed_ranks(count: int, metrics: Path, step: int, *arguments: str) -> bool:
    """The same, killed with all its ranks as soon as ``metrics`` holds the line of ``step``; whether it came so far."""
    running = subprocess.Popen(
        torchrun(count, *arguments), stderr=subprocess.DEVNULL, env=environment(count), start_new_session=True
    )
    while running.poll() is None:
        if metrics.exists() and metrics.read_bytes().count(b"\n") >= step:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
            return True
        time.sleep(0.001)
    return False


def torchrun(count: int, *arguments: str) -> list[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    launched = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(count)]
    return [*launched, "--master-addr", "127.0.0.1", "--master-port", port, "-m", "webdancer_cli", *arguments]


QUESTIONS = [f"Colour {number}?" for number in range(4)]


def turn(answer: str) -> Message:
    return Message("assistant", f"<think>\nx\n</think>\n<answer>\n{answer}\n</answer>")


def save_undecided(folder: Path, tokenizer: PreTrainedTokenizerFast, **options: int) -> None:
    """A tiny checkpoint that has learned the form of an answer, and says either of two at random."""
    save_tiny(folder, tokenizer, max_position_embeddings=256, **options)
    model, compute = load_trainable(str(folder), "float32")
    scorer, renderer = Scorer(model, compute), Renderer(tokenizer)
    rows = [renderer.encode([Message("user", question), turn(answer)]) for question in QUESTIONS for answer in ANSWERS]
    micro, optimizer = pad(rows), adamw(scorer, 1e-2, 0.0)
    for _ in range(60):
        (-scorer(micro).mean()).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)


def attempts(folder: Path) -> str:
    """A curriculum for these questions: the last is sometimes right, the others never, and the first was not asked."""
    graded = {QUESTIONS[1]: "bbbb", QUESTIONS[2]: "bbbb", QUESTIONS[3]: "rbrb"}
    lines = [
        {"question": question, "answer": "red", "prediction": {"r": "red", "b": "blue"}[given]}
        for question, all_given in graded.items()
        for given in all_given
    ]
    path = folder / "attempts.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def toy(folder: Path, undecided: Path, **changes: object) -> RlOptions:
    jsonl.write_records(str(folder / "qa.jsonl"), [QA(question=question, answer="red") for question in QUESTIONS])
    jsonl.write_records(
        str(folder / "pages.jsonl"), [Page(url="http://127.0.0.1/red", title="Red", text="Red is warm.")]
    )
    settings = {
        "data": str(folder / "qa.jsonl"),
        "web": str(folder / "pages.jsonl"),
        "out": str(folder / "out"),
        "model": str(undecided),
        "prompts": "compact",
        "lr": 1e-3,
        "steps": 12,
        "questions": 4,
        "group": 16,
        "max_rounds": 1,
        "max_turn_tokens": 60,
        "max_context_tokens": 120,
        **changes,
    }
    return RlOptions(**settings)  # type: ignore[arg-type]
