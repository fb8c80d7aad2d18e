"""Which engine a run plays with: the one place that names them. Everybody else knows the protocol ``Engine``."""

import asyncio
import math
import os
import socket
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from webdancer_cli.data.pipeline import Say, say_nothing
from webdancer_cli.errors import UsageError
from webdancer_cli.options.config import RlOptions
from webdancer_cli.training.cache_memory import bytes_per_position, most_cache_bytes
from webdancer_cli.training.engine import Engine
from webdancer_cli.training.engine_check import check_engine
from webdancer_cli.training.memory import GB, estimate
from webdancer_cli.training.models import ModelDescription, load_policy_model
from webdancer_cli.training.precision import arithmetic
from webdancer_cli.training.setup import TrainingSetup
from webdancer_cli.training.shared_weights import SharedWeights
from webdancer_cli.training.transformers_engine import TransformersEngine
from webdancer_cli.training.vllm_api import CPU, PARTS, VllmServer
from webdancer_cli.training.vllm_engine import VllmEngine
from webdancer_cli.training.vllm_nccl import check_nccl, nccl_group
from webdancer_cli.training.vllm_processes import ServedModel, ServerProcesses
from webdancer_cli.training.weight_broadcast import WeightBroadcast

CHECKED_ROWS, CHECKED_CHUNK_TOKENS = 4, 7
"""Size of the small engine that a model is tried in: rows side by side, each read in several chunks."""


def engine_bytes(plain: ModelDescription, *, max_length: int, rows: int, dtype: str, device: torch.device | str) -> int:
    """Memory of the engine that ``open_engine`` would open: weights of its own, and at most so much of keys and
    values."""
    itemsize = arithmetic(plain.parameters, dtype, device).itemsize
    held = min(most_cache_bytes(device), rows * max_length * bytes_per_position(plain.model, itemsize))
    return itemsize * plain.parameters + held


def open_engine(
    plain: ModelDescription,
    tokenizer: PreTrainedTokenizerBase,
    name: str,
    *,
    max_length: int,
    rows: int,
    dtype: str = "auto",
    lora_rank: int = 0,
    device: torch.device | str = "cpu",
    seed: int = 0,
    say: Say = say_nothing,
) -> Engine:
    """An engine that plays the model of ``plain``, whose user knows it as ``name``.

    ``rows`` episodes at once, of ``max_length`` tokens at most. With ``lora_rank`` it takes adapters as new weights.
    Raises UsageError for a model that cannot be opened, or that the engine does not play as it is.
    """
    model = load_policy_model(plain, dtype, lora_rank, device, seed)
    small = TransformersEngine(
        model, tokenizer, max_length=max_length, rows=CHECKED_ROWS, chunk_tokens=CHECKED_CHUNK_TOKENS
    )
    say(check_engine(small, model, name).line())
    return TransformersEngine(model, tokenizer, max_length=max_length, rows=rows)


def open_rollout_engine(options: RlOptions, setup: TrainingSetup) -> Engine:
    """The engine that ``rl`` plays with. All ranks open one together, each for its own episodes.

    Raises UsageError, before any work, for a model that it does not play, and for servers that cannot be used.
    """
    if options.engine == "vllm":
        return _open_vllm_engine(options, setup)
    return open_engine(
        setup.plain,
        setup.tokenizer,
        options.model,
        max_length=options.max_context_tokens,
        rows=rows_of_a_round(options, setup.world.size),
        dtype=options.dtype,
        lora_rank=options.lora_rank,
        device=setup.world.device,
        seed=options.seed,
        say=setup.say,
    )


def rollout_engine_bytes(options: RlOptions, plain: ModelDescription, ranks: int, device: torch.device | str) -> int:
    """Memory of that engine in the process of a rank; servers have their own."""
    if options.engine == "vllm":
        return 0
    rows, length = rows_of_a_round(options, ranks), options.max_context_tokens
    return engine_bytes(plain, max_length=length, rows=rows, dtype=options.dtype, device=device)


def rows_of_a_round(options: RlOptions, ranks: int) -> int:
    """Episodes that a rank plays at once."""
    return math.ceil(options.questions / ranks) * options.group


def _open_vllm_engine(options: RlOptions, setup: TrainingSetup) -> VllmEngine:
    world = setup.world
    sleeps = servers_sleep(options, world.gather((socket.gethostname(), trainer_gpu(world.device))))
    nccl = options.weight_transfer == "nccl"
    if nccl:
        world.from_main(partial(check_nccl, world.device))
    processes = _start_servers(options, setup, sleeps) if options.vllm_gpus and world.is_main else None
    try:
        urls = world.from_main(lambda: processes.urls if processes else options.vllm_url)
        servers = [VllmServer(url) for url in urls]
        base, served_length = world.from_main(lambda: asyncio.run(_checked(servers, options, sleeps)))
    except BaseException:
        if processes:
            processes.end()
        raise
    shared, broadcast = None, None
    if world.is_main and nccl:
        broadcast = WeightBroadcast(servers, nccl_group(world.device))
    elif world.is_main:
        shared = SharedWeights(Path(options.sync_folder or setup.out), setup.plain, options.lora_rank, setup.out)
    setup.say(f"{len(servers)} vLLM servers play{', and sleep meanwhile' if sleeps else ''}: {', '.join(urls)}")
    return VllmEngine(
        servers,
        base,
        shared,
        broadcast,
        max_length=min(options.max_context_tokens, served_length),
        lora=bool(options.lora_rank),
        world=world,
        say=setup.say,
        processes=processes,
        sleeps=sleeps,
    )


def servers_sleep(options: RlOptions, ranks: "Sequence[tuple[str, str | None]]") -> bool:
    """Whether servers give back their GPUs while the trainer works; ``ranks`` tells host and GPU of each, rank 0 first.

    Raises UsageError where they would have to, and play meanwhile.
    """
    trained_on = {gpu for host, gpu in ranks if host == ranks[0][0] and gpu is not None}
    shared = bool(trained_on & {gpu for place in options.vllm_gpus for gpu in place.split("+")})
    if shared and options.weight_transfer == "nccl":
        raise UsageError(
            f"--vllm-gpus {','.join(options.vllm_gpus)}: is trained on, too, and NCCL has no two ranks on one GPU: "
            "name other GPUs, or use --weight-transfer files"
        )
    if options.vllm_sleep != "auto":
        return options.vllm_sleep == "on"
    if shared and options.max_staleness:
        raise UsageError(
            f"--vllm-gpus {','.join(options.vllm_gpus)}: is trained on, too, and --max-staleness 1 plays meanwhile: "
            "name other GPUs, or leave --max-staleness out"
        )
    return shared


def trainer_gpu(device: torch.device) -> str | None:
    """The GPU of a rank, as CUDA_VISIBLE_DEVICES would name it."""
    if device.type != "cuda":
        return None
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return visible.split(",")[device.index].strip() if visible else str(device.index)


SERVER_SPARE = 0.1
"""Share of a GPU that neither a server that sleeps nor the trainer's state is given: contexts, graphs, fragments."""


def memory_share(plain: ModelDescription, options: RlOptions, ranks: int, gpu_bytes: float) -> float:
    """The share of a GPU that a server may take there while the trainer keeps only weights and moments, and with
    ``kl`` the weights of its reference.

    Raises UsageError where the model itself would not fit in it.
    """
    trainer = estimate(plain, options, 1, ranks, "cuda")
    kept = trainer.weights + trainer.optimizer + trainer.reference
    share = min(0.9, 1 - kept / gpu_bytes - SERVER_SPARE)
    across = min(len(place.split("+")) for place in options.vllm_gpus)
    served = arithmetic(plain.parameters, options.dtype, "cuda").itemsize * plain.parameters / across
    if served >= share * gpu_bytes:
        raise UsageError(
            f"--vllm-gpus: beside what the trainer keeps {max(0.0, share) * gpu_bytes / GB:.0f} GB of each "
            f"GPU are left, and a server's weights take {served / GB:.0f} GB: use --lora-rank, --cpu-offload, more "
            "ranks, or GPUs of their own"
        )
    return share


def _start_servers(options: RlOptions, setup: TrainingSetup, sleeps: bool) -> ServerProcesses:
    source = setup.plain.source
    if source.gguf or source.adapter:
        raise UsageError(
            f"--vllm-gpus: {options.model}: vLLM serves a folder of safetensors, no GGUF file and no adapter"
        )
    tied = setup.plain.model.config.get_text_config().tie_word_embeddings
    if tied and CPU in options.vllm_gpus and not options.lora_rank:
        raise UsageError(
            "--vllm-gpus cpu: vLLM on the CPU keeps the old output head of a model with tied embeddings when it reads "
            "new weights: use --lora-rank, GPUs, or --engine inprocess"
        )
    dtype = str(arithmetic(setup.plain.parameters, options.dtype, setup.world.device)).removeprefix("torch.")
    length = min(options.max_context_tokens, setup.plain.max_length or options.max_context_tokens)
    share = None
    if sleeps:
        gpu_bytes = torch.cuda.get_device_properties(setup.world.device).total_memory
        share = memory_share(setup.plain, options, setup.world.size, gpu_bytes)
    nccl = options.weight_transfer == "nccl"
    model = ServedModel(source.name, length, dtype, options.lora_rank, options.seed, share, nccl)
    return ServerProcesses(options.vllm_gpus, model, setup.out, setup.say)


async def _checked(servers: list[VllmServer], options: RlOptions, sleeps: bool) -> tuple[str, int]:
    """The model's name at all servers, and the longest sequence that each of them takes; those that are to sleep do.

    Raises UsageError.
    """
    try:
        nccl = options.weight_transfer == "nccl"
        told = [await server.check(lora_rank=options.lora_rank, sleeps=sleeps, nccl=nccl) for server in servers]
        if sleeps:  # the trainer is about to open its model
            await _send_to_sleep(servers, keep_weights=bool(options.lora_rank or options.vllm_url))
    finally:
        for server in servers:
            await server.aclose()  # its connections belong to this event loop
    names = {name for name, _ in told}
    if len(names) > 1:
        raise UsageError(f"--vllm-url: the servers have different models: {', '.join(sorted(names))}")
    return names.pop(), min(length for _, length in told)


async def _send_to_sleep(servers: list[VllmServer], *, keep_weights: bool) -> None:
    """All of them, or none: when one does not sleep, those that do are woken. Raises ServerLost and SyncFailed."""
    try:
        for server in servers:
            await server.sleep(keep_weights=keep_weights)
    except BaseException:
        await asyncio.gather(*(server.wake(*PARTS) for server in servers), return_exceptions=True)
        raise
