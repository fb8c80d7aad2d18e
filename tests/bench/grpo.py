"""A step of RL with tools beside TRL's GRPOTrainer: one command, alternating runs.

    python tests/bench/grpo.py --work QUICKSTART_WORK --trl /path/to/its/python [--rounds 2] [--steps 3]
    python tests/bench/grpo.py --work LAPTOP_WORK --laptop --trl /path/to/its/python [--questions 2] [--rounds 1]

``--work`` is the folder of a finished quickstart, or laptop run: its policy after SFT is trained on its questions over
its pages. Both sides have the same model in the same precision (the quickstart's in float32, the laptop's in bfloat16
with weights in float32), the same prompts (framed as the policy was taught), the same tools
(TRL's ask a server on loopback, which answers by ours), rewards, limits and numbers of rollouts, and are each run in a
process of its own. TRL generates by ``generate``, which reads a conversation anew for each of its turns; its engine of
continuous batching did not end a step on a CPU. What is drawn differs, so tokens a second are told, too. Ours trains on
groups whose rewards differ (DAPO's dynamic sampling, one round), TRL on all; so the seconds of training are also told
by the token that is trained on. Steps after the first are timed. ``--trl`` has trl >= 1.16.

AsyncGRPOTrainer takes its rollouts from a vLLM server that gets weights by NCCL: it needs GPUs, and is not run here.
"""

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

QUICKSTART = {
    "data": "qa.jsonl", "web": "pages.jsonl", "prompts": "compact", "max-calls": 8, "max-context-tokens": 768,
    "max-turn-tokens": 96, "lr": 2e-4, "dtype": "float32",
}  # fmt: skip
LAPTOP = {
    "data": "world/questions.jsonl", "web": "world/pages.jsonl", "prompts": "small", "max-calls": 20,
    "max-context-tokens": 6144, "max-turn-tokens": 256, "lr": 2e-5, "dtype": "bfloat16",
}  # fmt: skip
"""What either run plays with; ``data`` and ``web`` lie in its folder."""
HEAD = (
    "| side | s a step | rollouts, s | drawn tokens/s | training, s | trained tokens/s | accuracy |\n"
    + "|---" * 7
    + "|"
)
# Our frame of the turns, with TRL's roles for calls and observations. What the policy wrote stays as the ids it drew.
TEMPLATE = """{%- for message in messages -%}
{%- if message.role == 'tool' -%}
{{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' -}}
{%- elif message.role == 'assistant' -%}
{{- '<|im_start|>assistant\\n<think>' + (message.reasoning_content or '') + '</think>\\n' + (message.content or '') -}}
{%- for call in message.tool_calls or [] -%}
{{- '<tool_call>\\n' + (call.function | tojson) + '\\n</tool_call>' -}}
{%- endfor -%}
{{- '<|im_end|>\\n' -}}
{%- else -%}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="the folder of a finished quickstart")
    parser.add_argument("--trl", type=Path, help="Python of an environment with trl")
    for name, value in (("rounds", 2), ("steps", 3), ("questions", 8), ("group", 8), ("threads", os.cpu_count() or 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--laptop", action="store_true", help="the folder is that of a laptop run")
    parser.add_argument("--job", type=Path, help="what a side is to do: a JSON file")
    options = parser.parse_args()
    options.play = LAPTOP if options.laptop else QUICKSTART
    if options.job:
        print(json.dumps(run_trl(json.loads(options.job.read_text()))))
        return
    print(HEAD, flush=True)
    seconds: dict[str, list[float]] = {"ours": [], "trl": []}
    with tempfile.TemporaryDirectory() as folder, served_tools(options) as url:
        for number in range(options.rounds):
            for side in ("ours", "trl"):
                work = Path(folder) / f"{side}{number}"
                work.mkdir()
                told = ours(options, work, number) if side == "ours" else theirs(options, work, number, url)
                seconds[side] += told["seconds"]
                print(row(side, told), flush=True)
    medians = {side: statistics.median(found) for side, found in seconds.items()}
    print(
        f"\nA step takes TRL {medians['trl'] / medians['ours']:.1f} times as long as ours (medians of all timed steps)."
    )


def row(side: str, told: dict[str, Any]) -> str:
    """A line of the table: medians over steps, and tokens over seconds of all of them."""
    drawn, trained = (sum(told[name]) for name in ("drawn", "trained"))
    rollout, train = (sum(told[name]) for name in ("rollout", "train"))
    cells = [f"{statistics.median(told['seconds']):.2f}", f"{statistics.median(told['rollout']):.2f}"]
    cells += [
        f"{drawn / rollout:,.0f}",
        f"{statistics.median(told['train']):.2f}",
        f"{trained / max(train, 1e-9):,.0f}",
    ]
    return f"| {side} | " + " | ".join([*cells, f"{statistics.mean(told['accuracy']):.2f}"]) + " |"


def questions_of(options: argparse.Namespace, seed: int) -> list[str]:
    """The lines of a round's questions: the same for both sides."""
    count = (options.steps + 1) * options.questions
    lines = (options.work / options.play["data"]).read_text(encoding="utf-8").splitlines(keepends=True)
    start = seed * count % max(1, len(lines) - count)
    return lines[start : start + count]


# Ours


def ours(options: argparse.Namespace, work: Path, seed: int) -> dict[str, Any]:
    steps = options.steps + 1
    (work / "qa.jsonl").write_text("".join(questions_of(options, seed)))
    given = {
        **options.play, "data": work / "qa.jsonl", "web": options.work / options.play["web"],
        "model": options.work / "sft", "out": work / "out", "steps": steps, "questions": options.questions,
        "group": options.group, "max-rounds": 1, "micro-tokens": 4096, "seed": seed,
    }  # fmt: skip
    words = [part for name, value in given.items() for part in (f"--{name}", str(value))]
    environment = os.environ | {"OMP_NUM_THREADS": str(options.threads)}
    subprocess.run([sys.executable, "-m", "webdancer_cli", "rl", *words, "--quiet"], env=environment, check=True)
    lines = [json.loads(line) for line in (work / "out" / "metrics.jsonl").read_text().splitlines()][1:]
    rollout, train = [line["seconds_rollout"] for line in lines], [line["seconds_train"] for line in lines]
    return {
        "seconds": [sum(parts) for parts in zip(rollout, train, (line["seconds_sync"] for line in lines), strict=True)],
        "rollout": rollout,
        "train": train,
        "drawn": [line["sampled"] * line["rollouts"] for line in lines],
        "trained": [line.get("tokens", 0) for line in lines],
        "accuracy": [line["accuracy"] for line in lines],
    }


def our_tools(options: argparse.Namespace) -> Any:
    from webdancer_cli.agent.toolbox import open_tools
    from webdancer_cli.options.config import RlOptions

    pages = str(options.work / options.play["web"])
    return open_tools(RlOptions(web=pages, prompts=options.play["prompts"]))[1]


@contextmanager
def served_tools(options: argparse.Namespace) -> Iterator[str]:
    """Our tools over the run's pages, which answer calls on loopback, as JSON; gives the address."""
    from webdancer_cli.errors import ToolError
    from webdancer_cli.transcript.tool_calls import ToolCall

    tools = our_tools(options)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                told = asyncio.run(tools.call(ToolCall(**asked)))
            except ToolError as error:
                told = str(error)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(told.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


# TRL's


def theirs(options: argparse.Namespace, work: Path, seed: int, url: str) -> dict[str, Any]:
    from webdancer_cli.prompts import load, opening_messages

    prompts, schemas = load(options.play["prompts"]), our_tools(options).schemas
    rows = []
    for qa in map(json.loads, questions_of(options, seed)):
        opening = opening_messages(prompts, qa["question"], schemas)
        prompt = [{"role": message.role, "content": message.content} for message in opening]
        rows.append({"prompt": prompt, "answer": qa["answer"]})
    job = {
        "model": str(options.work / "sft"), "out": str(work / "out"), "url": url, "seed": seed, "rows": rows,
        "steps": options.steps + 1, "questions": options.questions, "group": options.group, "play": options.play,
    }  # fmt: skip
    (work / "job.json").write_text(json.dumps(job))
    environment = os.environ | {
        "OMP_NUM_THREADS": str(options.threads),
        "HF_HUB_OFFLINE": "1",
        "WANDB_DISABLED": "true",
    }
    with (work / "stderr").open("w+") as log:
        command = [str(options.trl), __file__, "--job", str(work / "job.json")]
        run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
        if run.returncode:
            log.seek(0)
            raise SystemExit(f"TRL's side ended with {run.returncode}: {log.read()[-3000:]}")
    told: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return told


def run_trl(job: dict[str, Any]) -> dict[str, Any]:
    """In TRL's environment: its trainer, timed at its own methods. The first step is left out."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOTrainer
    from trl.chat_template_utils import qwen3_template

    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    tokenizer.chat_template, tokenizer.response_template = TEMPLATE, qwen3_template
    prompts = [row["prompt"] for row in job["rows"]]
    reward = Reward({row["prompt"][-1]["content"]: row["answer"] for row in job["rows"]})
    longest = max(
        len(tokenizer.apply_chat_template(prompt, add_generation_prompt=True)["input_ids"]) for prompt in prompts
    )
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32),
        reward_funcs=reward,
        args=settings(job, longest),
        train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in prompts]),
        processing_class=tokenizer,
        tools=tools_behind(job["url"]),
    )
    rollouts, steps = Timed(trainer._generate), Timed(trainer.training_step)
    trainer._generate, trainer.training_step = rollouts, steps
    trainer.train()
    drawn = [sum(sum(mask) for mask in made[2]) for made in rollouts.results[1:]]
    return {
        "seconds": steps.seconds[1:],
        "rollout": rollouts.seconds[1:],
        "train": [whole - part for whole, part in zip(steps.seconds, rollouts.seconds, strict=True)][1:],
        "drawn": drawn,
        "trained": drawn,
        "accuracy": reward.accuracies[1:],
    }


class Timed:
    """A function, with the seconds that each of its calls took, and their results."""

    def __init__(self, function: Callable[..., Any]):
        self._function = function
        self.seconds: list[float] = []
        self.results: list[Any] = []

    def __call__(self, *given: Any, **named: Any) -> Any:
        started = time.perf_counter()
        self.results.append(self._function(*given, **named))
        self.seconds.append(time.perf_counter() - started)
        return self.results[-1]


class Reward:
    """0.1 for an answer in its tags, and 0.9 if it is the right one; keeps the share of right ones of each call."""

    __name__ = "reward"

    def __init__(self, answers: dict[str, str]):
        self.answers = answers
        self.accuracies: list[float] = []

    def __call__(self, prompts: list[Any], completions: list[Any], **_: object) -> list[float]:
        said = [
            re.search(r"<answer>\s*(.*?)\s*</answer>", completion[-1].get("content") or "", re.DOTALL)
            for completion in completions
        ]
        gold = [self.answers[prompt[-1]["content"]].casefold() for prompt in prompts]
        right = [found is not None and found[1].casefold() == answer for found, answer in zip(said, gold, strict=True)]
        self.accuracies.append(sum(right) / len(right))
        return [0.1 * (found is not None) + 0.9 * is_right for found, is_right in zip(said, right, strict=True)]


def settings(job: dict[str, Any], prompt_tokens: int) -> Any:
    """Those of ours by TRL's names; what a prompt leaves of the context is TRL's bound of all that follows it."""
    from trl import GRPOConfig

    play = job["play"]
    return GRPOConfig(
        output_dir=job["out"], per_device_train_batch_size=job["questions"] * job["group"],
        num_generations=job["group"], max_steps=job["steps"], temperature=1.0, loss_type="dapo",
        max_completion_length=play["max-context-tokens"] - prompt_tokens,
        max_tool_calling_iterations=play["max-calls"], epsilon=0.2, epsilon_high=0.28, beta=0.0,
        learning_rate=play["lr"], lr_scheduler_type="constant", max_grad_norm=1.0, gradient_checkpointing=False,
        bf16=play["dtype"] == "bfloat16", use_cpu=True, report_to=[], save_strategy="no", logging_steps=1,
        seed=job["seed"], shuffle_dataset=False,
    )  # fmt: skip


def tools_behind(url: str) -> list[Callable[..., str]]:
    """Functions as TRL takes them: it reads their schemas off their docstrings."""

    def call(name: str, arguments: dict[str, Any]) -> str:
        asked = json.dumps({"name": name, "arguments": arguments}).encode()
        with urllib.request.urlopen(url, data=asked) as reply:
            return str(reply.read().decode())

    def search(query: list[str]) -> str:
        """Search.

        Args:
            query: The queries.

        Returns:
            What was found.
        """
        return call("search", {"query": query})

    def visit(url: list[str], goal: str) -> str:
        """Visit.

        Args:
            url: The pages.
            goal: What is looked for.

        Returns:
            What stands there.
        """
        return call("visit", {"url": url, "goal": goal})

    return [search, visit]


if __name__ == "__main__":
    main()
