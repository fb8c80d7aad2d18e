"""What split and map cost beside the stage itself: lint over questions, in one process and part by part.

    python tests/bench/map.py                     # 20,000 questions, 8 parts: a Markdown table on stdout
    python tests/bench/map.py --questions 200000 --parts 16 --jobs 4

The outputs must be the same lines (else the exit code is 1). A part costs the start of a process and its digests.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from processor import seconds_of

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import QA


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=20_000)
    parser.add_argument("--parts", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    print("| step | seconds | CPU seconds |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "qa.jsonl"
        jsonl.write_records(str(data), (question(number) for number in range(given.questions)))
        step(f"lint of {given.questions:,} questions", folder, "lint --data qa.jsonl --out whole")
        step(f"split into {given.parts}", folder, f"split --data qa.jsonl --by answer -n {given.parts} --out parts")
        mapped = f"map --in parts --out done -j {given.jobs}"
        step(f"map -j {given.jobs} -- lint", folder, f"{mapped} -- lint")
        step("map --resume, all done", folder, f"{mapped} --resume -- lint")
        whole, parts = Path(folder) / "whole", (Path(folder) / "done").glob("part-*")
        same = sorted(line for part in parts for line in part.open("rb")) == sorted(whole.open("rb"))
    return 0 if same else 1


def question(number: int) -> QA:
    asked = f"Which town is the birthplace of Dol{number % 977} Vek{number // 977}, who built mill number {number}?"
    return QA(question=asked, answer=f"Kem{number % 1999}")


def step(name: str, folder: str, words: str) -> None:
    start = time.perf_counter()
    command = [sys.executable, "-m", "webdancer_cli", *words.split()]
    command.insert(4, "--quiet")
    seconds, _ = seconds_of(command, cwd=folder, check=True)
    print(f"| {name} | {time.perf_counter() - start:.1f} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
