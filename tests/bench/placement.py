"""What RL at 32 K tokens should take of a cluster: memory and seconds of a step, computed; a Markdown table.

    python tests/bench/placement.py [--mfu 0.35] [--kept 0.5] [--tokens 16000] [--own-tokens 2500] [--folder-gb 2,20]

Memory of the trainer and room beside its state are those of ``rl --dry-run`` (``training/memory.py``), keys and values
those of the in-process engine, operations those of ``sft``'s MFU. Assumed, and to be set by flags: the share of a GPU's
peak that training reaches (20 to 35 % were measured on an H100), and that reading prompts reaches; the share of its
memory's bandwidth that drawing reaches; how many of the groups are kept; what an episode has; what writing to the
shared folder, and reading from it by all servers together, reaches. Nothing of it was measured on a cluster.
"""

import argparse
from dataclasses import dataclass

import torch
import transformers
from memory import SIZES

from webdancer_cli.options.config import RlOptions
from webdancer_cli.training.cache_memory import bytes_per_position
from webdancer_cli.training.engines import memory_share
from webdancer_cli.training.measures import PEAK_FLOPS, flops
from webdancer_cli.training.memory import adapter_parameters, estimate
from webdancer_cli.training.model_source import ModelSource
from webdancer_cli.training.models import ModelDescription

GPU_BYTES, GPU_BANDWIDTH, PEAK = 80e9, 3.35e12, PEAK_FLOPS["H100"]
NODE = 8
SERVED_SHARE = 0.9
"""Of a GPU's memory, for a server that has it for itself; vLLM's own default."""
BYTES = 2
"""Of a number in bfloat16."""
NAMES = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
NAMES += ("num_key_value_heads", "head_dim", "tie_word_embeddings")


@dataclass(frozen=True)
class Placement:
    """Who trains and who serves, in GPUs; no GPUs to serve means that servers sleep on those that train."""

    name: str
    size: str
    training: int
    serving: int
    server_gpus: int
    lora_rank: int = 0

    def options(self) -> RlOptions:
        place = "+".join(map(str, range(self.server_gpus)))
        given = {"dtype": "bfloat16", "checkpointing": "full", "lora_rank": self.lora_rank, "max_context_tokens": 32768}
        return RlOptions(engine="vllm", vllm_gpus=[place], questions=32, group=16, **given)  # type: ignore[arg-type]


PLACEMENTS = (
    Placement("one node, servers sleep", "7B", NODE, 0, 1),
    Placement("one node, LoRA, servers sleep", "7B", NODE, 0, 1, 32),
    Placement("two nodes (`rl_7b_2_nodes.sh`)", "7B", NODE, NODE, 1),
    Placement("two nodes, LoRA", "32B", NODE, NODE, 4, 32),
    Placement("sixteen nodes (`rl_32b_16_nodes.sh`)", "32B", 8 * NODE, 8 * NODE, 4),
)


def described(size: str) -> ModelDescription:
    family, *values = SIZES[size]
    config = getattr(transformers, f"{family}Config")(**dict(zip(NAMES, values, strict=True)))
    with torch.device("meta"):
        return ModelDescription(ModelSource(size), getattr(transformers, f"{family}ForCausalLM")(config))


def row(placement: Placement, given: argparse.Namespace) -> str:
    """A line of the table."""
    plain, options = described(placement.size), placement.options()
    trainer = estimate(plain, options, options.max_context_tokens, placement.training, "cuda")
    sleeps = not placement.serving
    share = memory_share(plain, options, placement.training, GPU_BYTES) if sleeps else SERVED_SHARE
    servers = (placement.serving or placement.training) // placement.server_gpus
    weights = BYTES * plain.parameters
    position = bytes_per_position(plain.model, BYTES)
    room = max(0.0, placement.server_gpus * share * GPU_BYTES - weights)
    longest = int(room / position / options.max_context_tokens)
    seconds = step_seconds(placement, plain, options, given, room, servers)
    strict = sum(seconds.values())
    stale = "-" if sleeps else f"{max(seconds['rollouts'], seconds['training']) + seconds['sync']:,.0f}"
    serving = f"{servers} × {placement.server_gpus}" + (" (shared)" if sleeps else "")
    cells = [f"{placement.training}", f"{trainer.total / 1e9:.0f}", serving, f"{room / 1e9:.0f}", f"{longest}"]
    cells += [f"{value:,.0f}" for value in seconds.values()] + [f"{strict:,.0f}", stale]
    kind = "LoRA" if placement.lora_rank else "all"
    return f"| {placement.size}, {kind} | {placement.name} | " + " | ".join(cells) + " |"


def step_seconds(
    placement: Placement,
    plain: ModelDescription,
    options: RlOptions,
    given: argparse.Namespace,
    room: float,
    servers: int,
) -> dict[str, float]:
    """Of one optimiser step on ``questions`` kept groups, each part for itself."""
    trained = options.questions * options.group
    played = trained / given.kept
    # Of six operations a weight two are the forward pass, which is computed again, and two the gradients of weights,
    # which frozen ones do not have.
    operations = flops(plain, [given.tokens] * trained) * (1 if placement.lora_rank else 4 / 3)
    training = operations / (placement.training * PEAK * given.mfu)

    each = played / servers
    at_once = max(1.0, min(each, room / (bytes_per_position(plain.model, BYTES) * given.tokens)))
    read = BYTES * plain.parameters + at_once * bytes_per_position(plain.model, BYTES) * given.tokens / 2
    pass_seconds = read / (placement.server_gpus * GPU_BANDWIDTH * given.bandwidth)
    turns = max(1.0, each / at_once)  # a place that is free is taken by the next episode
    drawing = turns * given.own_tokens * pass_seconds
    reading = each * 2 * plain.parameters * given.tokens / (placement.server_gpus * PEAK * given.reading)
    waiting = given.calls * given.tool_seconds * turns

    rank = placement.lora_rank
    size = 4 * adapter_parameters(plain.model, rank) if rank else BYTES * plain.parameters
    write, take = (1e9 * float(value) for value in given.folder_gb.split(","))
    return {"rollouts": drawing + reading + waiting, "training": training, "sync": size / write + servers * size / take}


def main() -> None:
    parser = argparse.ArgumentParser()
    shares = {"mfu": 0.35, "reading": 0.4, "bandwidth": 0.6, "kept": 0.5}
    episode = {"tokens": 16000, "own-tokens": 2500, "calls": 10, "tool-seconds": 2.0}
    for name, value in {**shares, **episode, "folder-gb": "2,20"}.items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    given = parser.parse_args()
    head = ("model", "placement", "GPUs that train", "GB of each", "servers × GPUs", "GB of a server for episodes")
    head += ("episodes of 32 K at once", "rollouts, s", "training, s", "new weights, s", "step, s", "one step ahead, s")
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for placement in PLACEMENTS:
        print(row(placement, given))


if __name__ == "__main__":
    main()
