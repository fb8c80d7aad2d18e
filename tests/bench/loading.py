"""Peak memory of each rank while a model is opened for training, by one rank and by several.

    python tests/bench/loading.py [--gigabytes 1.0] [--ranks 2] [--lora-rank 0]

Makes a random Qwen3 of that size in float32 once, opens it in processes of their own, lets it compute once (files that
are mapped cost nothing before they are used), and prints for each the weights that it holds, its resident memory before
it opened them, and its highest one (VmHWM: pages of files included) after opening and after the first pass.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def resident_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def make(folder: Path, gigabytes: float) -> None:
    """Layers of 16.8 million parameters each, beside an embedding that is small."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    sys.path.insert(0, str(ROOT / "tests"))
    from tiny_models import CHATML, byte_level

    tokenizer = byte_level(CHATML, [], CHATML[2])
    layers = max(1, round(gigabytes * 1e9 / 4 / 16.8e6))
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=layers,
        num_attention_heads=16,
        num_key_value_heads=16,
        head_dim=64,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(0)
    Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def open_here(folder: str, lora_rank: int) -> None:
    """What one rank does; the figures of all go to stdout."""
    from webdancer_cli.options.config import SftOptions
    from webdancer_cli.training.distributed import process_group
    from webdancer_cli.training.logprobs import check_head
    from webdancer_cli.training.models import describe, load_tokenizer
    from webdancer_cli.training.trainable import open_trainable

    with process_group() as world:
        plain, tokenizer = describe(folder), load_tokenizer(folder)
        before = resident_bytes()
        opened = open_trainable(plain, tokenizer, SftOptions(model=folder, dtype="float32", lora_rank=lora_rank), world)
        opening = peak_bytes()
        world.barrier()
        opened.within_forward(lambda: check_head(opened.model))
        peak = peak_bytes()
        world.barrier()
        held = sum(getattr(p, "_local_tensor", p).numel() * p.element_size() for p in opened.model.parameters())
        line = {"rank": world.rank, "before": before, "opening": opening, "first_pass": peak, "weights": held}
        lines = world.gather(line)
        if world.is_main:  # two writers of one stdout would mix up their lines
            print("\n".join(map(json.dumps, lines)), flush=True)


def measure(folder: Path, ranks: int, lora_rank: int) -> list[dict[str, int]]:
    launched = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)] if ranks > 1 else []
    done = subprocess.run(
        [sys.executable, *launched, __file__, "--open", str(folder), "--lora-rank", str(lora_rank)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--lora-rank", type=int, default=0)
    parser.add_argument("--open")
    given = parser.parse_args()
    if given.open:
        open_here(given.open, given.lora_rank)
        return
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), given.gigabytes)
        (one,) = measure(Path(folder), 1, given.lora_rank)
        several = measure(Path(folder), given.ranks, given.lora_rank)
    # A lone rank maps the files, and takes the memory for them when it first computes.
    taken = one["first_pass"]
    for line in (one, *several):
        figures = ", ".join(f"{name} {line[name] / 1e9:.2f}" for name in ("weights", "before", "opening", "first_pass"))
        shares = f"opening takes {line['opening'] / taken:.2f} of what one rank takes"
        shares += f", the first pass {line['first_pass'] / taken:.2f}"
        print(f"rank {line['rank']} of {1 if line is one else given.ranks}: {figures} GB: {shares}")


if __name__ == "__main__":
    main()
