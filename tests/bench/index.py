"""The index on disk over a large fictional web: time and memory to build, to open, and to search.

    python tests/bench/index.py --pages 10000 --folder big             # a Markdown table on stdout
    python tests/bench/index.py --pages 100000 --folder big --memory   # the same queries on the file in memory, too
    python tests/bench/index.py --pages 1000000 --folder big --seconds 400   # in pieces: call it until there is a table

The world is written as a file of pages, then `webdancer index` makes the index (a process of its own, whose largest
resident memory is told; with --seconds it is killed when they are over, and goes on in the next call), then fresh
processes open and search it: one, and eight at once. A query asks for a page by its name and five words of one of its
sentences, in any order. Must hold: built in under 4 GB, opened in under 1 s, median query under 20 ms, and with
--memory the page asked for first as often as there, within one in a hundred (else the exit code is 1).
"""

import argparse
import json
import os
import random
import resource
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bm25 import world

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import Page
from webdancer_cli.text.words import sentences
from webdancer_cli.web.open_pages import open_pages

MOST_GIGABYTES, MOST_OPEN_SECONDS, MOST_QUERY_MS = 4.0, 1.0, 20.0
READERS = 8
HEADER = (
    "| pages | pages, GB | index, GB | build, s | build, GB resident | open, ms | first query, ms | median query, ms "
    "| p95, ms | eight at once: median, ms | asked page first | in memory |\n" + "|---" * 12 + "|"
)


def main() -> int:
    given = parsed()
    if given.search:
        print(json.dumps(search(given.search, given.queries, given.seed)))
        return 0
    folder, ends_at = Path(given.folder), time.monotonic() + given.seconds
    folder.mkdir(parents=True, exist_ok=True)
    pages, index, notes = (folder / f"{kind}-{given.pages}" for kind in ("pages.jsonl", "web.index", "built.json"))
    if not (write_pages(pages, given.pages, ends_at) and build(pages, index, notes, ends_at)):
        print("not done yet: call again", file=sys.stderr)
        return 3
    return report(pages, index, json.loads(notes.read_text()), given)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=10_000)
    parser.add_argument("--folder", default="bench-index")
    parser.add_argument("--seconds", type=float, default=1e9, help="for writing the pages and the index, in this call")
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--search", help="open these pages and search them; used by the script itself")
    return parser.parse_args()


def write_pages(path: Path, size: int, ends_at: float) -> bool:
    """Whether the pages are all there: what an earlier call wrote stays."""
    jsonl.cut_torn_line(str(path))
    if not path.exists():
        path.touch()
    with path.open("rb") as lines:
        there = sum(1 for _ in lines)
    with jsonl.LineWriter(str(path), append=True) as writer:
        for page in world(size, "rich", skip=there):
            writer.write(page)
            if time.monotonic() > ends_at:
                return False
    return True


def build(pages: Path, index: Path, notes: Path, ends_at: float) -> bool:
    """Whether the index is whole; ``notes`` sum up the seconds of all calls, and keep the largest resident memory."""
    noted = json.loads(notes.read_text()) if notes.exists() else {"seconds": 0.0, "gigabytes": 0.0, "kills": 0}
    if noted.get("whole"):
        return True
    start = time.monotonic()
    command = [sys.executable, "-m", "webdancer_cli", "index", "--pages", str(pages), "--out", str(index)]
    process = subprocess.Popen(command)
    while process.poll() is None and time.monotonic() < ends_at:
        time.sleep(0.05)
    if process.returncode is None:
        process.send_signal(signal.SIGKILL)
        noted["kills"] += 1
    noted["whole"] = process.wait() == 0
    noted["seconds"] += time.monotonic() - start
    noted["gigabytes"] = max(noted["gigabytes"], resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20)
    notes.write_text(json.dumps(noted))
    return bool(noted["whole"])


def report(pages: Path, index: Path, noted: dict[str, float], given: argparse.Namespace) -> int:
    one = searched(index, given.queries, [given.seed])[0]
    eight = searched(index, given.queries, range(100, 100 + READERS))
    memory = searched(pages, given.queries, [given.seed])[0] if given.memory else None
    held = sum(file.stat().st_size for file in index.rglob("*") if file.is_file())
    figures = [
        f"{one['pages']:,}",
        f"{pages.stat().st_size / 1e9:.2f}",
        f"{held / 1e9:.2f}",
        f"{noted['seconds']:.0f} ({noted['kills']:.0f} kills)",
        f"{noted['gigabytes']:.2f}",
        f"{one['open_ms']:.0f}",
        f"{one['first_ms']:.1f}",
        f"{one['median_ms']:.2f}",
        f"{one['p95_ms']:.2f}",
        f"{statistics.median(each['median_ms'] for each in eight):.2f}",
        f"{one['first']}/{given.queries}",
        f"{memory['first']}/{given.queries}, {memory['median_ms']:.2f} ms" if memory else "",
    ]
    print(HEADER)
    print(f"| {' | '.join(figures)} |")
    fast = one["open_ms"] < MOST_OPEN_SECONDS * 1000 and one["median_ms"] < MOST_QUERY_MS
    as_good = memory is None or one["first"] >= 0.99 * memory["first"]
    return 0 if fast and as_good and noted["gigabytes"] < MOST_GIGABYTES else 1


def searched(pages: Path, queries: int, seeds: "range | list[int]") -> list[dict[str, float]]:
    """What fresh processes find, all at once."""
    command = [sys.executable, __file__, "--search", str(pages), "--queries", str(queries), "--seed"]
    running = [subprocess.Popen([*command, str(seed)], stdout=subprocess.PIPE, env=os.environ) for seed in seeds]
    return [json.loads(process.communicate()[0]) for process in running]


def search(path: str, queries: int, seed: int) -> dict[str, float]:
    start = time.perf_counter()
    web = open_pages(path)
    opened = time.perf_counter()
    web.search_now("a town by the sea", 10)
    first_ms = (time.perf_counter() - opened) * 1000
    asked = [query(web._page(row), seed) for row in random.Random(seed).sample(range(len(web)), queries)]
    seconds, first = [], 0
    for words, url in asked:
        begun = time.perf_counter()
        hits = web.search_now(words, 10)
        seconds.append(time.perf_counter() - begun)
        first += bool(hits) and hits[0].url == url
    return {
        "pages": len(web),
        "open_ms": (opened - start) * 1000,
        "first_ms": first_ms,
        "median_ms": statistics.median(seconds) * 1000,
        "p95_ms": statistics.quantiles(seconds, n=20)[-1] * 1000,
        "first": first,
    }


def query(page: Page, seed: int) -> tuple[str, str]:
    draw = random.Random(f"{seed}:{page.url}")
    words = draw.choice(sentences(page.text) or [page.title]).split()
    return " ".join([page.title, *draw.sample(words, min(5, len(words)))]), page.url


if __name__ == "__main__":
    sys.exit(main())
