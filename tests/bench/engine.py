"""Sampled tokens per second of the in-process engine, with episodes like those of a quickstart run.

    python tests/bench/engine.py [--rows 128] [--threads 2] [--episodes 256] [--turns 3] [--drawn 25] [--read 40]

A random model of nano's shape plays episodes: a prompt, then per turn some drawn ids and an observation.
"""

import argparse
import asyncio
import cProfile
import pstats
import random
import time

import torch
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from webdancer_cli.training.engine import SamplingParams
from webdancer_cli.training.transformers_engine import TransformersEngine

VOCAB = 1200


def nano_like(length: int) -> Qwen3ForCausalLM:
    config = Qwen3Config(
        vocab_size=VOCAB,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=length,
        tie_word_embeddings=True,
    )
    return Qwen3ForCausalLM(config).eval()


async def episode(engine: TransformersEngine, number: int, options: argparse.Namespace) -> int:
    rng = random.Random(number)
    ids = [rng.randrange(VOCAB) for _ in range(rng.randrange(options.read // 2, 2 * options.read))]
    drawn = 0
    for turn in range(options.turns):
        wanted = rng.randrange(options.drawn // 2, 3 * options.drawn // 2)
        sample = await engine.generate(ids, SamplingParams(max_tokens=wanted, seed=number + turn), row=str(number))
        drawn += len(sample.ids)
        ids = ids + sample.ids + [rng.randrange(VOCAB) for _ in range(rng.randrange(1, 2 * options.read))]
    engine.release(str(number))
    return drawn


async def measure(options: argparse.Namespace) -> None:
    length = 1024
    words = Tokenizer(models.WordLevel({f"w{at}": at for at in range(VOCAB)}, unk_token="w0"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words)
    engine = TransformersEngine(nano_like(length), tokenizer, max_length=length, rows=options.rows)
    await asyncio.gather(*(episode(engine, number, options) for number in range(4)))
    before, began, burnt = engine.steps, time.perf_counter(), time.process_time()
    drawn = sum(await asyncio.gather(*(episode(engine, number, options) for number in range(options.episodes))))
    seconds = time.perf_counter() - began
    burnt = time.process_time() - burnt
    steps = engine.steps - before
    print(
        f"{drawn / seconds:,.0f} drawn tokens/s: {drawn:,} tokens in {seconds:.2f} s, {steps} steps of "
        f"{1000 * seconds / steps:.1f} ms, {options.rows} rows, "
        f"{options.threads} threads, {burnt:.1f} s of processor time"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = {"rows": 128, "threads": 2, "episodes": 256, "turns": 3, "drawn": 25, "read": 40}
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    profiler = cProfile.Profile()
    if options.profile:
        profiler.enable()
    asyncio.run(measure(options))
    if options.profile:
        profiler.disable()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
