"""Two steps of ``webdancer rl`` with tools: groups of rollouts over a small web, graded, and trained on.

A random model ends no episode, so it first learns by ``webdancer sft`` to search and then to say either of two answers:
then groups have both outcomes, and there is something to train on.
"""

import asyncio
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measuring import arguments, forget_peak, now, peak_gb, webdancer
from shapes import checkpoint
from training_runs import ANSWERS, TOWNS

from webdancer_cli.agent.episode import Completion, Limits, play
from webdancer_cli.agent.tools import Tools
from webdancer_cli.data.jsonl import write_records
from webdancer_cli.data.records import QA, Message, Page
from webdancer_cli.prompts import load
from webdancer_cli.web.corpus import Corpus

PROMPTS = "compact"
SFT_STEPS, STEPS, GROUP = 80, 2, 8
REHEARSED_SFT_STEPS, REHEARSED_GROUP = 80, 4


def main() -> None:
    options, results = arguments()
    folder = options.work / "rl"
    folder.mkdir(exist_ok=True)
    learned, trained = folder / "sft", folder / "rl"
    data(folder)
    steps, rate = (REHEARSED_SFT_STEPS, 1e-2) if options.rehearse else (SFT_STEPS, 4e-4)
    with results.figures("sft") as figures:
        began = now()
        model = checkpoint(options.shape, options.work)
        given = ["--data", folder / "sft.jsonl", "--model", model, "--out", learned]
        webdancer("sft", *given, "--steps", steps, "--lr", rate)
        figures["losses"] = [line["loss"] for line in metrics(learned)][:: steps // 8]
        figures["seconds"] = round(now() - began, 2)
    if "failed" in figures:
        return
    with results.figures("rl") as figures:
        forget_peak()
        given = ["--data", folder / "qa.jsonl", "--web", folder / "pages.jsonl", "--model", learned, "--out", trained]
        group = REHEARSED_GROUP if options.rehearse else GROUP
        episode = ["--prompts", PROMPTS, "--max-calls", 3, "--max-turn-tokens", 64, "--max-context-tokens", 512]
        budget = ["--steps", STEPS, "--questions", len(TOWNS), "--group", group, "--max-rounds", 1]
        webdancer("rl", *given, *episode, *budget)
        figures["steps"] = metrics(trained)
        figures["peak_gb"] = peak_gb()
        assert figures["steps"][-1]["updates"], "no group had both outcomes"


def metrics(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def data(folder: Path) -> None:
    """Pages, questions about them, and for each question an episode for each answer."""
    questions = [QA(question=f"What colour is {town}?", answer=ANSWERS[0]) for town in TOWNS]
    pages = [Page(url=f"http://a.test/{town}", title=town, text=f"{town} is {ANSWERS[0]}.") for town in TOWNS]
    write_records(str(folder / "qa.jsonl"), questions)
    write_records(str(folder / "pages.jsonl"), pages)
    prompts = load(PROMPTS)
    tools = Tools(Corpus.load(str(folder / "pages.jsonl")), prompts)
    played = [
        asyncio.run(play(qa, Script(turns(town, said)), tools, prompts, Limits()))
        for qa, town in zip(questions, TOWNS, strict=True)
        for said in ANSWERS
    ]
    write_records(str(folder / "sft.jsonl"), played)


def turns(town: str, said: str) -> list[str]:
    call = json.dumps({"name": "search", "arguments": {"query": [town]}})
    return [
        f"<think>\nFind {town}.\n</think>\n<tool_call>\n{call}\n</tool_call>",
        f"<think>\nFound.\n</think>\n<answer>\n{said}\n</answer>",
    ]


class Script:
    """Implements Policy and Session: says its turns, one after the other."""

    name = "script"
    remaining_tokens = math.inf

    def __init__(self, turns: Sequence[str]):
        self._turns = list(turns)

    def begin(self, messages: list[Message], qa: QA, rollout: int = 0) -> "Script":
        return self

    def count(self, content: str) -> int:
        return 0

    async def act(self) -> Completion:
        return Completion(text=self._turns.pop(0), finish="stop")

    def observe(self, content: str) -> None:
        pass


if __name__ == "__main__":
    main()
