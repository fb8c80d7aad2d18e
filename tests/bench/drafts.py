"""How much faster the in-process engine is with guesses at the next tokens (``training/drafts.py``).

    python tests/bench/drafts.py --model FOLDER --data DEMONSTRATIONS [--lengths 0,3] [--rounds 2] [--threads 2]

The policy's turns of some demonstrations are drawn again, all episodes at once: the engine reads prompts and
observations, computes, guesses and samples as ever, but what it draws is what the demonstration says, so that every
length of guesses has the same to do. Each round goes through all lengths.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from webdancer_cli.data.records import Message
from webdancer_cli.training import transformers_engine
from webdancer_cli.training.engine import SamplingParams
from webdancer_cli.training.models import load_model, load_tokenizer
from webdancer_cli.training.renderer import Renderer, Tokens
from webdancer_cli.training.sampling import sample_tokens
from webdancer_cli.training.transformers_engine import TransformersEngine


class Script:
    """The ids of a turn, one after the other, in place of its random numbers."""

    def __init__(self, ids: Iterable[int]):
        self._ids = iter(ids)

    def random(self) -> int:
        return next(self._ids)


def as_scripted(
    logits: Tensor, temperatures: Sequence[float], top_ps: Sequence[float], ids: Sequence[int]
) -> tuple[list[int], list[float]]:
    """Costs what sampling costs."""
    _, logprobs = sample_tokens(logits, temperatures, top_ps, [0.5] * len(ids))
    return list(ids), logprobs


class ScriptedEngine(TransformersEngine):
    """Draws what ``script`` says for each episode."""

    script: dict[str, Sequence[int]]

    def _request(self, ids: list[int], sampling: SamplingParams, limit: int, row: str | None) -> Any:
        request: Any = super()._request(ids, sampling, limit, row)
        request.random = Script(self.script[request.name])
        return request


def turns_of(tokens: Tokens) -> Iterator[tuple[int, int]]:
    """Where the policy's turns begin and end."""
    at, length = 0, len(tokens.ids)
    while at < length:
        stop = at
        while stop < length and tokens.trainable[stop]:
            stop += 1
        if stop > at:
            yield at, stop
        at = stop + 1


async def play(engine: ScriptedEngine, name: str, tokens: Tokens, turns: int) -> int:
    drawn = 0
    for start, stop in list(turns_of(tokens))[:turns]:
        engine.script[name] = tokens.ids[start:stop]
        sample = await engine.generate(tokens.ids[:start], SamplingParams(max_tokens=stop - start), row=name)
        drawn += len(sample.ids)
    engine.release(name)
    return drawn


async def measure(model: torch.nn.Module, tokenizer: object, rows: Sequence[Tokens], length: int, turns: int) -> None:
    longest = max(len(row.ids) for row in rows)
    engine = ScriptedEngine(model, tokenizer, max_length=longest, rows=len(rows), draft_tokens=length)
    engine.script = {}
    began, burnt = time.perf_counter(), time.process_time()
    drawn = sum(await asyncio.gather(*(play(engine, str(at), row, turns) for at, row in enumerate(rows))))
    print(
        f"guesses of {length}: {engine.steps} steps, {time.perf_counter() - began:.1f} s, "
        f"{time.process_time() - burnt:.1f} s of processor time, {drawn} tokens",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--lengths", default="0,3")
    for name, value in {"episodes": 16, "turns": 3, "rounds": 2, "threads": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    transformers_engine.sample_tokens = as_scripted
    tokenizer = load_tokenizer(options.model)
    renderer = Renderer(tokenizer)
    with open(options.data, encoding="utf-8") as lines:
        told = [json.loads(line)["messages"] for _, line in zip(range(options.episodes), lines, strict=False)]
    rows = [renderer.encode([Message(turn["role"], turn["content"]) for turn in messages]) for messages in told]
    model = load_model(options.model, options.dtype).eval()
    for _ in range(options.rounds):
        for length in map(int, options.lengths.split(",")):
            asyncio.run(measure(model, tokenizer, rows, length, options.turns))


if __name__ == "__main__":
    main()
