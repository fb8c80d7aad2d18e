"""Drawn tokens/s of the in-process engine: rows side by side, each with a prompt to read and tokens to draw."""

import asyncio
import random
from typing import Any

from measuring import arguments, device, forget_peak, now, peak_gb
from shapes import SHAPES, checkpoint

from webdancer_cli.training.engine import SamplingParams
from webdancer_cli.training.engine_check import check_engine
from webdancer_cli.training.models import load_policy_model, load_tokenizer
from webdancer_cli.training.transformers_engine import TransformersEngine

ROWS = (16, 64, 128)
PROMPT_TOKENS, DRAWN_TOKENS, LONGEST = 512, 128, 1024
REHEARSED_ROWS = (2, 4)
CACHE_BYTES = 32 << 30


def main() -> None:
    options, results = arguments()
    folder = str(checkpoint(options.shape, options.work))
    tokenizer = load_tokenizer(folder)
    model = load_policy_model(folder, "bfloat16", device=device())
    with results.figures("check") as figures:
        small = TransformersEngine(model, tokenizer, max_length=LONGEST, rows=4, chunk_tokens=7)
        figures["said"] = check_engine(small, model, folder).line()
    for rows in REHEARSED_ROWS if options.rehearse else ROWS:
        if results.remaining_seconds <= 0:
            results.add(f"rows-{rows}", skipped="no time left")
            continue
        with results.figures(f"rows-{rows}") as figures:
            measure(figures, model, tokenizer, rows, SHAPES[options.shape]["vocab_size"], options.rehearse)


def measure(figures: dict[str, Any], model: Any, tokenizer: Any, rows: int, vocabulary: int, rehearse: bool) -> None:
    prompt, drawn = (32, 8) if rehearse else (PROMPT_TOKENS, DRAWN_TOKENS)
    forget_peak()
    engine = TransformersEngine(model, tokenizer, max_length=LONGEST, rows=rows, cache_bytes=CACHE_BYTES)
    asyncio.run(play(engine, rows, prompt, 4, vocabulary, seed=0))  # warm
    began, steps = now(), engine.steps
    asyncio.run(play(engine, rows, prompt, 1, vocabulary, seed=1))
    read = now() - began
    began, steps = now(), engine.steps
    count = asyncio.run(play(engine, rows, prompt, drawn, vocabulary, seed=2))
    seconds = now() - began
    figures.update(rows=engine.rows, prompt_tokens=prompt, drawn_tokens=drawn, steps=engine.steps - steps)
    figures["drawn_per_second"] = round(count / seconds, 1)
    figures["read_per_second"] = round(rows * prompt / read, 1)
    figures["decoding_per_second"] = round((count - rows) / max(1e-9, seconds - read), 1)
    figures["step_ms"] = round(1e3 * (seconds - read) / max(1, drawn - 1), 2)
    figures["peak_gb"] = peak_gb()


async def play(engine: TransformersEngine, rows: int, prompt: int, drawn: int, vocabulary: int, seed: int) -> int:
    """All rows at once; how many tokens were drawn."""

    async def row(number: int) -> int:
        ids = random.Random(f"{seed}:{number}").choices(range(vocabulary), k=prompt)
        sample = await engine.generate(ids, SamplingParams(max_tokens=drawn, seed=number))
        return len(sample.ids)

    return sum(await asyncio.gather(*(row(number) for number in range(rows))))


if __name__ == "__main__":
    main()
