"""What is measured: random models of known shapes with a tokenizer of their own, and rows of random ids."""

import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))  # for tiny_models and training_runs

GRAMMAR = ["<think>\n", "\n</think>\n", "<tool_call>", "</tool_call>", "<tool_response>\n", "\n</tool_response>"]
GRAMMAR += ["<answer>"]

QWEN3 = {"vocab_size": 151936, "head_dim": 128, "max_position_embeddings": 131072, "tie_word_embeddings": True}
SHAPES: dict[str, dict[str, Any]] = {
    "0.6b": {
        "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16,
        "num_key_value_heads": 8, **QWEN3,
    },
    "4b": {
        "hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "num_attention_heads": 32,
        "num_key_value_heads": 8, **QWEN3,
    },
    "tiny": {
        "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 512, "max_position_embeddings": 8192,
        "tie_word_embeddings": True,
    },
}  # fmt: skip
"""Qwen3-0.6B, Qwen3-4B, and what the rehearsal takes for both."""

LENGTHS = {"8k": 8192, "16k": 16384, "64k": 65536}
REHEARSED_LENGTHS = {"8k": 64, "16k": 128, "64k": 256}

STEP_TOKENS = {"0.6b": 65536, "4b": 32768, "tiny": 256}
"""Tokens of an optimizer step, in rows of one length; a longer row is a step by itself."""

MICRO_TOKENS, SPARING_MICRO_TOKENS = 16384, 8192
"""Tokens that go through the model at once; a longer row goes alone. The fewer ones where weights fill the memory."""

LORA_RANK = 16
LOSS_RUN = 64
"""Tokens in a row that bear loss, after as many that bear none."""


@dataclass(frozen=True)
class Case:
    """One figure: which weights are trained, and how long each row is."""

    weights: str
    """"full" or "lora"."""
    length: str

    @property
    def name(self) -> str:
        return f"{self.weights}-{self.length}"


def cases(chosen: str, shape: str, rehearse: bool) -> list[tuple[Case, int]]:
    """Those of ``chosen`` (names, comma-separated; empty: all), each with its tokens a row. The shorter ones first."""
    lengths = REHEARSED_LENGTHS if rehearse else LENGTHS
    order = ("lora", "full") if shape == "4b" else ("full", "lora")
    found = [Case(weights, length) for weights in order for length in lengths]
    wanted = [name for name in chosen.split(",") if name]
    return [(case, lengths[case.length]) for case in found if not wanted or case.name in wanted]


def checkpoint(shape: str, work: Path) -> Path:
    """A random model of ``shape`` in bfloat16 as a Hugging Face folder under ``work``, made once."""
    import torch
    from tiny_models import byte_level
    from transformers import Qwen3Config, Qwen3ForCausalLM

    folder = work / f"model-{shape}"
    if (folder / "config.json").is_file():
        return folder
    tokenizer = byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"], GRAMMAR, "<|im_end|>")
    config = Qwen3Config(**SHAPES[shape], eos_token_id=tokenizer.eos_token_id, dtype="bfloat16")
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with device:
        model = Qwen3ForCausalLM(config).to(torch.bfloat16)
    making = work / f"making-{shape}"
    model.save_pretrained(making)
    tokenizer.save_pretrained(making)
    making.rename(folder)
    return folder


def random_rows(count: int, length: int, vocabulary: int, seed: int) -> list[tuple[list[int], list[bool]]]:
    """Ids and which of them bear loss: half of them, in runs, as turns of a policy and observations alternate."""
    draw = random.Random(seed)
    bears = [at // LOSS_RUN % 2 == 1 if length > 2 * LOSS_RUN else at % 2 == 1 for at in range(length)]
    return [(draw.choices(range(vocabulary), k=length), bears) for _ in range(count)]


def micro_tokens(shape: str, case: Case) -> int:
    return SPARING_MICRO_TOKENS if shape == "4b" and case.weights == "full" else MICRO_TOKENS


def rows_of_step(shape: str, length: int) -> int:
    return max(1, STEP_TOKENS[shape] // length)


def operations(shape: str, case: Case, length: int, rows: int, loss_tokens: int) -> float:
    """Operations that a step has to do, nothing twice: a product with weights costs 2 a weight and token forward, as
    much for what flows back, and as much again for a weight that is trained; attention sees half the square; the head
    is needed where there is loss. Adapters count nothing."""
    config = SHAPES[shape]
    hidden, layers, heads = config["hidden_size"], config["num_hidden_layers"], config["num_attention_heads"]
    width = heads * config["head_dim"]
    keys = config["num_key_value_heads"] * config["head_dim"]
    body = layers * (2 * hidden * width + 2 * hidden * keys + 3 * hidden * config["intermediate_size"])
    passes = 6 if case.weights == "full" else 4
    products = passes * (body * length * rows + config["vocab_size"] * hidden * loss_tokens)
    return products + 12.0 * layers * width * rows * length * length / 2
