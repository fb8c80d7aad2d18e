"""Time and memory of ``lint`` over invented questions, of which one in 50 is a near copy; each size in its own process.

python tests/bench/lint.py [questions ...]
"""

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import QA
from webdancer_cli.options import config
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


def measure(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = str(Path(folder) / "qa.jsonl")
        jsonl.write_records(source, questions(count))
        before, wall, cpu = resident(), time.perf_counter(), time.process_time()
        stats = lint.run(config.LintOptions(data=source, out=str(Path(folder) / "good.jsonl")))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        memory = f"{resident():.0f} MB ({before:.0f} before)"
        print(f"{count:>9,}: {wall:5.1f} s, {cpu:5.1f} s of CPU, {memory}: {stats.summary()}")


def resident() -> float:
    """The most memory that this process has had, in MB."""
    return getrusage(RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    if sys.argv[1:2] == ["--here"]:
        measure(int(sys.argv[2]))
    else:
        for size in sys.argv[1:] or ["10000", "100000", "200000"]:
            subprocess.run([sys.executable, __file__, "--here", size], check=True)
