"""A step of ``rl`` whose rollouts wait for something slow, with the trainer waiting too, and working meanwhile.

    python tests/bench/staleness.py [--wait 8] [--steps 5] [--micro-tokens 60]

Every answer is judged only after ``wait`` seconds, as if a slow tool had been asked; few ``micro_tokens`` make training
slow. Runs alternate; a step's time is that of the whole run after its first step.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tiny_models import CHATML, byte_level
from training_runs import save_undecided, toy

from webdancer_cli.data.records import QA, Verdict
from webdancer_cli.grading.exact_match import MatchJudge
from webdancer_cli.stages import rl as stage


class SlowJudge(MatchJudge):
    """Matches, after a while."""

    def __init__(self, seconds: float):
        self._seconds = seconds

    async def judge(self, qa: QA, answer: str | None) -> Verdict:
        await asyncio.sleep(self._seconds)
        return await super().judge(qa, answer)


def seconds_per_step(folder: Path, model: Path, staleness: int, options: argparse.Namespace) -> tuple[float, float]:
    """Of all steps after the first, which nothing can be played ahead of; and the seconds of training among them."""
    folder.mkdir()
    given = toy(
        folder,
        model,
        steps=options.steps,
        lr=1e-6,
        max_staleness=staleness,
        micro_tokens=options.micro_tokens,
        group=options.group,
    )
    began = time.perf_counter()
    marks: list[float] = []

    class Marks:
        def step(self, *_: object) -> None:
            marks.append(time.perf_counter() - began)

    stage.run(given, judge=SlowJudge(options.wait), progress=Marks())  # type: ignore[arg-type]
    lines = [json.loads(line) for line in (folder / "out" / "metrics.jsonl").read_text().splitlines()]
    trained = sum(line["seconds_train"] for line in lines[1:]) / (len(lines) - 1)
    return (marks[-1] - marks[0]) / (len(marks) - 1), trained


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, value in (("wait", 8.0), ("steps", 5), ("micro-tokens", 60), ("group", 32), ("runs", 2)):
        parser.add_argument(f"--{name}", type=type(value), default=value)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        grammar = ["<think>\n", "\n</think>\n", "<tool_call>", "</tool_call>", "<answer>"]
        (folder / "model").mkdir()
        save_undecided(folder / "model", byte_level(CHATML, grammar, "<|im_end|>"))
        for run in range(options.runs):
            strict, trained = seconds_per_step(folder / f"strict{run}", folder / "model", 0, options)
            ahead, _ = seconds_per_step(folder / f"ahead{run}", folder / "model", 1, options)
            print(f"strict {strict:.1f} s a step, {trained:.1f} of training; ahead {ahead:.1f} s: {ahead / strict:.2f}")


if __name__ == "__main__":
    main()
