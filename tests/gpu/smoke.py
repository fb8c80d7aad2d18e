"""Whether it runs at all: the machine's speed, and two steps of ``webdancer sft`` through the command line, watched.

Which attention the rows really went through is read from the profile of the run, not from the code.
"""

import json
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from measuring import PEAK_FLOPS, arguments, device, now, webdancer
from shapes import GRAMMAR
from tiny_models import byte_level, save_tiny
from torch.profiler import ProfilerActivity, profile
from training_runs import trajectories

PACKAGES = ["torch", "triton", "transformers", "tokenizers", "peft", "accelerate", "trl", "datasets", "numpy", "typer"]
ATTENTION_NAMES = ("attn", "attention", "flash", "fmha")
TINY_WIDTHS = {"max_position_embeddings": 4096}


def main() -> None:
    options, results = arguments()
    with results.figures("machine") as figures:
        machine(figures, 256 if options.rehearse else 8192)
    with results.figures("cli") as figures:
        command_line(figures, options.work)


def machine(figures: dict[str, Any], size: int) -> None:
    figures["device"] = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"
    figures["python"] = sys.version.split()[0]
    figures["versions"] = {name: _version(name) for name in PACKAGES}
    if torch.cuda.is_available():
        figures["cuda"] = torch.version.cuda
        figures["memory_gb"] = round(torch.cuda.mem_get_info()[1] / 1e9, 2)
    factor = torch.randn(size, size, device=device()).to(torch.bfloat16)
    for repeats in (3, 10):
        began = now()
        for _ in range(repeats):
            factor @ factor
        seconds = (now() - began) / repeats
    figures["product_tflops"] = round(2 * size**3 / seconds / 1e12, 3)
    figures["product_share_of_peak"] = round(2 * size**3 / seconds / PEAK_FLOPS, 3) if device().type == "cuda" else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def command_line(figures: dict[str, Any], work: Path) -> None:
    """``webdancer sft`` in this process. Raises AssertionError for a GPU that computed other than varlen attention."""
    model, data, out = work / "smoke-model", work / "smoke-data.jsonl", work / "smoke-out"
    tokenizer = byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"], GRAMMAR, "<|im_end|>")
    save_tiny(model, tokenizer, **TINY_WIDTHS)
    trajectories(data)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
    with profile(activities=activities) as seen:
        webdancer("sft", "--data", data, "--model", model, "--out", out, "--steps", 2, "--dtype", "bfloat16")
    names = {event.key for event in seen.key_averages()}
    figures["attention"] = sorted(name for name in names if any(part in name.lower() for part in ATTENTION_NAMES))
    figures["metrics"] = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    if torch.cuda.is_available():
        assert any("_varlen_attn_backward" in name for name in names), "no varlen attention on this GPU"


if __name__ == "__main__":
    main()
