"""Time and memory of ``lint`` over 100,000 invented questions, of which 2,000 are near copies.

python tests/bench/lint.py [questions]
"""

import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

from webdancer_cli import config, jsonl
from webdancer_cli.records import QA
from webdancer_cli.stages import lint

COPY_EVERY = 50


def questions(count: int) -> Iterator[QA]:
    draw = random.Random(0)
    names = ["".join(draw.choice("bdklmnprst") + draw.choice("aeiou") for _ in range(3)).title() for _ in range(5000)]
    words = ["".join(draw.choice("bdklmnprst") + draw.choice("aeiou") for _ in range(3)) for _ in range(3000)]
    for nth in range(count):
        town, friend, island, answer = draw.choices(names, k=4)
        kind, trade, craft, part = draw.choices(words, k=4)
        question = (
            f"Which {kind} in {town} was founded by the {trade} who studied {craft} with {friend} and later moved to "
            f"the {part} of {island}?"
        )
        yield QA(question=question, answer=answer)
        if nth % COPY_EVERY == 0:
            yield QA(question=question.replace("later", "afterwards"), answer=answer)


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = str(Path(folder) / "qa.jsonl")
        jsonl.write_all(source, questions(count))
        before, wall, cpu = getrusage(RUSAGE_SELF).ru_maxrss, time.perf_counter(), time.process_time()
        tally, _ = lint.run(config.Lint(data=source, out=str(Path(folder) / "good.jsonl")))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        grown = (getrusage(RUSAGE_SELF).ru_maxrss - before) / 1024
        print(f"{wall:.1f} s, {cpu:.1f} s of CPU, {grown:.0f} MB more memory: {tally.line()}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
