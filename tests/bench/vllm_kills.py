"""``rl`` through vLLM servers on the CPU, killed with ``kill -9`` at random moments, and gone on with by ``--resume``.

    python tests/bench/vllm_kills.py [--kills 5] [--steps 8] [--lora-rank 4] [--own | --stand-in]

By default one server stands all the time, and every kill leaves it with what the run had loaded; with ``--own`` the run
starts it, and the server has to be gone before the next start; with ``--stand-in`` it is the tests' double of vLLM. A
start is killed at a random moment after a step of its own. Afterwards all steps have to be there, each once, and
nothing may be left behind; printed are how far each start had come, and the largest gap of the canary.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from stand_in_vllm import standing_in
from tiny_models import CHATML, byte_level
from training_runs import environment, save_undecided, toy

from webdancer_cli.options.config import RlOptions
from webdancer_cli.options.option_checks import option
from webdancer_cli.training.vllm_processes import ServedModel, ServerProcesses


def flags(given: RlOptions) -> list[str]:
    plain = RlOptions()
    own = {field.name: getattr(given, field.name) for field in fields(RlOptions)}
    words = []
    for name, value in own.items():
        if value != getattr(plain, name):
            values = [] if value is True else value if isinstance(value, list) else [value]
            words += (
                [option(name)] if value is True else [word for each in values for word in (option(name), str(each))]
            )
    return words


def lines_of(out: Path) -> int:
    path = out / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def servers_of(pid: int) -> list[int]:
    """The processes that a run has started, and theirs."""
    told = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True).stdout.split()
    parents = dict(zip(map(int, told[::2]), map(int, told[1::2]), strict=True))
    found, new = [], [pid]
    while new:
        new = [child for child, parent in parents.items() if parent in new and child != parent]
        found += new
    return found


def gone(pids: list[int], seconds: float = 60) -> bool:
    ends = time.monotonic() + seconds
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        if time.monotonic() > ends:
            return False
        time.sleep(0.5)
    return True


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, value in (("kills", 5), ("steps", 8), ("lora-rank", 4), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--own", action="store_true")
    parser.add_argument("--stand-in", action="store_true")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name, ExitStack() as held:
        folder = Path(name)
        model = folder / "model"
        model.mkdir()
        grammar = ["<think>\n", "\n</think>\n", "<tool_call>", "</tool_call>", "<answer>"]
        tokenizer = byte_level(CHATML, grammar, "<|im_end|>")
        tied = options.stand_in  # vLLM on the CPU keeps the old head of a tied model
        save_undecided(model, tokenizer, hidden_size=64, head_dim=32, tie_word_embeddings=tied)
        place: dict[str, object] = {"vllm_gpus": ["cpu"]}
        if options.stand_in:
            standing_in_for = held.enter_context(standing_in(1, model, tokenizer, options.lora_rank))
            place = {"vllm_url": [server.url for server in standing_in_for]}
        elif not options.own:
            served = ServedModel(str(model), 120, "float32", options.lora_rank, 0)
            standing = ServerProcesses(["cpu"], served, folder, lambda line: print(line, file=sys.stderr))
            held.callback(standing.end)
            place = {"vllm_url": standing.urls}
        more = {"lora_rank": options.lora_rank, "lr": 5e-3 if options.lora_rank else 1e-3, "group": 8}
        given = toy(folder, model, engine="vllm", steps=options.steps, save_every=1, keep=1, **more, **place)
        words = [sys.executable, "-m", "webdancer_cli", "rl", *flags(given), "--resume"]
        out, began, at = Path(given.out), time.monotonic(), []
        for _ in range(options.kills):
            run = subprocess.Popen(words, stderr=subprocess.DEVNULL, env=environment(1))
            before = lines_of(out)
            while run.poll() is None and lines_of(out) <= before:  # until a step of its own is done
                time.sleep(0.05)
            time.sleep(rng.uniform(0, 3))
            if run.poll() is not None:
                break
            children = servers_of(run.pid)
            os.kill(run.pid, signal.SIGKILL)
            run.wait()
            at.append(lines_of(out))
            assert gone(children), "a server outlived its run"
        done = subprocess.run(words, stderr=subprocess.PIPE, text=True, env=environment(1))
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines] == list(range(1, options.steps + 1))
        assert not list(out.glob(".weights*")) and not (out / ".partial").exists()
        print(f"killed {len(at)} times, when so many steps were told: {at}; {time.monotonic() - began:.0f} s in all")
        print(f"largest canary gap {max(line['canary_gap'] for line in lines):.2g}")
        print("accuracy " + " ".join(f"{line['accuracy']:.2f}" for line in lines))


if __name__ == "__main__":
    main()
