"""Trajectories a second through ``filter``'s rule stages, on one core, and the memory it takes.

    python tests/bench/filter.py [LINES_FILE] [COUNT]

Without a file of trajectories it makes lines of the released data's shape: about 20 KB, one call, a third of the
characters the policy's own.
"""

import asyncio
import json
import random
import resource
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

from webdancer_cli.data.records import QA, Message, Trajectory
from webdancer_cli.options import config
from webdancer_cli.stages import filter as stage
from webdancer_cli.transcript import released_format
from webdancer_cli.transcript.grammar import ToolCall, Turn, render_response, render_turn

WORDS = [f"word{number}" for number in range(5000)]


def made(number: int) -> bytes:
    draw = random.Random(number)

    def text(count: int) -> str:
        return " ".join(draw.choices(WORDS, k=count))

    call = ToolCall("search", {"query": [text(8), text(8)]})
    messages = [
        Message("system", text(120)),
        Message("user", f"{text(300)}\n\nUser: {text(30)}?"),
        Message("assistant", render_turn(Turn(thought=text(350), call=call))),
        Message("user", render_response(text(1200))),
        Message("assistant", render_turn(Turn(thought=text(350), answer=text(4)))),
    ]
    qa = QA(question=f"question {number}", answer=text(4))
    return released_format.encode_released(Trajectory(qa=qa, messages=messages, ending="answered"))


def distinct(line: bytes, number: int) -> bytes:
    """The line with a number before its first message: what has the same id is written once only."""
    return line.replace(b'"content": "', b'"content": "%d ' % number, 1) + b"\n"


def main() -> None:
    lines = (
        Path(sys.argv[1]).read_bytes().splitlines() if len(sys.argv) > 1 else [made(number) for number in range(200)]
    )
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 3000
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/in", "wb") as stream:
            stream.writelines(distinct(line, number) for number, line in enumerate(islice(cycle(lines), count)))
        megabytes = Path(f"{folder}/in").stat().st_size / 1e6
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for format in ("record", "webdancer"):
            options = config.FilterOptions(
                data=f"{folder}/in", out=f"{folder}/out", stages=["validity", "quality"], format=format
            )
            wall, cpu = time.perf_counter(), time.process_time()
            stats = asyncio.run(stage.run(options))
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            figures = {"format": format, "in": count, "megabytes": round(megabytes, 1), "kept": stats.counts["out"]}
            rates = {"per_second": round(count / wall), "per_cpu_second": round(count / cpu)}
            print(json.dumps(figures | rates))
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print(json.dumps({"peak_memory_grew_by_megabytes": round(grown, 1)}))


if __name__ == "__main__":
    main()
