"""Memory of a training step: what is measured here beside what ``--dry-run`` says; and its table for three sizes.

    python tests/bench/memory.py [--measure]      # the table, as Markdown; or peaks on this machine's CPU

A peak is the highest resident memory above what the process held before the model was opened (VmHWM), with an allocator
that gives back what is freed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOKENS = 2048
CASES = [
    {"checkpointing": "none"},
    {"checkpointing": "light"},
    {"checkpointing": "selective"},
    {"checkpointing": "full"},
    {"checkpointing": "full", "lora_rank": 8},
    {"checkpointing": "none", "dtype": "bfloat16"},
]
SIZES = {  # as published: Qwen3-0.6B, Qwen2.5-7B, Qwen2.5-32B
    "0.6B": ("Qwen3", 151936, 1024, 3072, 28, 16, 8, 128, True),
    "7B": ("Qwen2", 152064, 3584, 18944, 28, 28, 4, 128, False),
    "32B": ("Qwen2", 152064, 5120, 27648, 64, 40, 8, 128, False),
}
GPUS = (1, 8, 16, 64)


def step_here(folder: str, given: dict[str, object]) -> None:
    """Two steps of one micro-batch; prints the peak and the estimate, in bytes."""
    import torch

    from webdancer_cli.data.pipeline import say_nothing
    from webdancer_cli.options.config import SftOptions
    from webdancer_cli.training import memory
    from webdancer_cli.training.distributed import ProcessGroup
    from webdancer_cli.training.layout_check import choose_layout
    from webdancer_cli.training.models import describe, load_tokenizer
    from webdancer_cli.training.optimizer import adamw, optimizer_step
    from webdancer_cli.training.renderer import Tokens
    from webdancer_cli.training.trainable import open_trainable

    options = SftOptions(model=folder, **{"dtype": "float32", **given})  # type: ignore[arg-type]
    plain = describe(folder)
    estimate = memory.estimate(plain, options, TOKENS, 1, "cpu")
    before = status("VmRSS")
    opened = open_trainable(plain, load_tokenizer(folder), options, ProcessGroup())
    layout = choose_layout(opened.scorer, options, torch.device("cpu"), say_nothing)
    optimizer = adamw(opened.scorer, 1e-3, 0.0)
    rows = [Tokens(torch.randint(0, 300, (TOKENS,)).tolist(), [True] * TOKENS)]
    for _ in range(2):
        (-opened.scorer(layout.batch(rows)).mean()).backward()
        optimizer_step(opened.scorer, optimizer, 0.0, 1e-3, 1.0)
    print(json.dumps({"peak": status("VmHWM") - before, "estimate": estimate.total, **vars(estimate)}))


def status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


def make(folder: Path) -> None:
    """Thirty-three million parameters."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    sys.path.insert(0, str(ROOT / "tests"))
    from tiny_models import CHATML, byte_level

    tokenizer = byte_level(CHATML, [], CHATML[2])
    sizes = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 8, "num_attention_heads": 8}
    config = Qwen3Config(vocab_size=len(tokenizer), num_key_value_heads=8, head_dim=64, **sizes)
    torch.manual_seed(0)
    Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def measure() -> list[dict[str, object]]:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        for case in CASES:
            done = subprocess.run(
                [sys.executable, __file__, "--step", json.dumps(case), folder],
                env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536"},
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            found.append({**case, **json.loads(done.stdout.splitlines()[-1])})
    return found


def markdown() -> str:
    """The estimates for full fine-tuning in bfloat16, everything of a layer computed again."""
    import torch
    import transformers

    from webdancer_cli.options.config import SftOptions
    from webdancer_cli.training import memory
    from webdancer_cli.training.model_source import ModelSource
    from webdancer_cli.training.models import ModelDescription

    names = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers")
    names += ("num_attention_heads", "num_key_value_heads", "head_dim", "tie_word_embeddings")
    lines = [
        "| model | tokens | " + " | ".join(f"{count} GPU" for count in GPUS) + " |",
        "|---|---|" + "---|" * len(GPUS),
    ]
    for size, (family, *values) in SIZES.items():
        config = getattr(transformers, f"{family}Config")(**dict(zip(names, values, strict=True)))
        with torch.device("meta"):
            model = getattr(transformers, f"{family}ForCausalLM")(config)
        for tokens in (8192, 32768, 131072):
            totals = []
            for lora_rank in (0, 32):
                options = SftOptions(dtype="bfloat16", checkpointing="full", lora_rank=lora_rank)
                plain = ModelDescription(ModelSource(size), model)
                totals.append([memory.estimate(plain, options, tokens, count, "cuda").total for count in GPUS])
            cells = [f"{full / 1e9:,.0f} / {lora / 1e9:,.0f}" for full, lora in zip(*totals, strict=True)]
            lines.append(f"| {size} | {tokens // 1024} K | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--step", nargs=2, metavar=("CASE", "FOLDER"))
    given = parser.parse_args()
    if given.step:
        step_here(given.step[1], json.loads(given.step[0]))
    elif given.measure:
        for line in measure():
            print(json.dumps(line))
    else:
        print(markdown())


if __name__ == "__main__":
    main()
