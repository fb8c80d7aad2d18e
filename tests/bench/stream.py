"""Resident memory of a stage while records stream through it: at a tenth of the way, and at the end.

    python tests/bench/stream.py filter|lint|sample|eval [RECORDS] [--resume]

The records are made as they are read and written to nowhere, so that whatever grows is the stage's own. With
``--resume``, an earlier run has written the first half, which the stage reads back. ``eval`` and ``sample`` play the
demonstrator over a corpus of one page.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = {"url": "http://a.test/1", "title": "Alba Corr", "text": "Alba Corr is a painter. Alba Corr was born in Vell."}
EVIDENCE = {"url": PAGE["url"], "title": PAGE["title"], "quote": "Alba Corr was born in Vell."}
CALL = (
    '<think>\nIt was there.\n</think>\n<tool_call>\n{"name": "search", "arguments": {"query": ["Alba"]}}\n</tool_call>'
)
ANSWER = "<think>\nIt says so.\n</think>\n<answer>\nVell\n</answer>"


def question(number: int) -> dict[str, object]:
    words = f"In what {number} of {number % 977} towns was Alba Corr born in the year {number * 7919 % 1_000_003}?"
    return {"question": words, "answer": "Vell", "type": "single_hop", "level": 1, "evidence": [EVIDENCE]}


def trajectory(number: int) -> dict[str, object]:
    texts = ["system", "user", "assistant", "user", "assistant"]
    said = ["", "Question?", CALL, "<tool_response>\nAlba Corr was born in Vell.\n</tool_response>", ANSWER]
    messages = [{"role": role, "content": text} for role, text in zip(texts, said, strict=True)]
    return {
        "qa": question(number),
        "messages": messages,
        "ending": "answered",
        "answer": "Vell",
        "id": f"{number:016x}",
    }


def lines(stage: str, first: int, last: int) -> Iterator[bytes]:
    made = trajectory if stage == "filter" else question
    for number in range(first, last):
        yield json.dumps(made(number)).encode() + b"\n"


def resident_mb(pid: int) -> float:
    """The stage and its children."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main(stage: str, records: int, resume: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "pages.jsonl").write_text(json.dumps(PAGE) + "\n")
        arguments = [sys.executable, "-m", "webdancer_cli", stage, "-q"]
        if stage in ("sample", "eval"):
            arguments += ["--prompts", "compact", "--jobs", "8"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        run = lambda out, more: subprocess.Popen(  # noqa: E731
            [*arguments, "--out", out, *more], cwd=folder, env=environment, stdin=subprocess.PIPE
        )
        out, more = "/dev/null", []
        if resume:
            out, more = f"{folder}/out.jsonl", ["--resume"]
            feed(run(out, []), stage, 0, records // 2, [])
        sizes: list[float] = []
        began = time.perf_counter()
        feed(run(out, more), stage, 0, records, sizes)
        seconds = time.perf_counter() - began
        figures = {"stage": stage, "records": records, "resume": resume, "seconds": round(seconds, 1)}
        figures |= {"mb_at_10_percent": round(sizes[0]), "mb_at_100_percent": round(sizes[-1])}
        print(json.dumps(figures | {"grown_mb": round(sizes[-1] - sizes[0], 1), "most_mb": round(max(sizes))}))


def feed(process: "subprocess.Popen[bytes]", stage: str, first: int, last: int, sizes: list[float]) -> None:
    """Write records to the stage; its size after every tenth of them goes into ``sizes``."""
    assert process.stdin
    for number, line in enumerate(lines(stage, first, last), 1):
        process.stdin.write(line)
        if number % (last // 10) == 0:
            process.stdin.flush()
            sizes.append(resident_mb(process.pid))
    process.stdin.close()
    if process.wait():
        raise SystemExit(f"{stage} ended with {process.returncode}")


if __name__ == "__main__":
    chosen = [word for word in sys.argv[1:] if not word.startswith("--")]
    main(chosen[0], int(chosen[1]) if len(chosen) > 1 else 1_000_000, "--resume" in sys.argv)
