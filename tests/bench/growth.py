"""What each data stage costs at growing sizes, beside a limit or a peer, and how it grows: one command, one table.

    python tests/bench/growth.py                                  # 1,000 and 10,000 records or pages; minutes
    python tests/bench/growth.py --sizes 1000,10000,100000        # an hour
    python tests/bench/growth.py --only lint,filter

Every command is a process of its own, and counts with its children by processor time (user and system), so that other
work on the machine changes little. What it costs with fifty records is its start, and taken off. ``growth`` is the
slope of log(cost) over log(size), least squares: 1 is linear. The limit or peer does the core of the same work on the
same input, and no more:

    json             reads each line of the input by Python's json, and writes it again
    trafilatura      its ``extract`` on each HTML file, in one process
    http             fetches each page by Python's http.client over one connection, and reads it
    tantivy          its writer, fed with each page's text as one document
    lint             for ``map``: the stage by itself
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bm25 import world
from processor import seconds_of
from stream import PAGE, question, trajectory

from webdancer_cli.data import jsonl

HEAD = (
    "| stage | start, s | size | then, processor s | per 1,000 | growth | limit or peer | its processor s | ratio |\n"
    + "|---" * 9
    + "|"
)
FEW = 50
"""Records of a run that costs its start alone."""
PASS_OVER_JSON = (
    "import json, sys\nfor line in open(sys.argv[1]): sys.stdout.write(json.dumps(json.loads(line)) + '\\n')"
)
TRAFILATURA = (
    "import sys, pathlib, trafilatura\n"
    "for path in pathlib.Path(sys.argv[1]).rglob('*.html'): trafilatura.extract(path.read_text(), include_links=True)"
)
HTTP = (
    "import sys, http.client, pathlib\n"
    "connection, site = http.client.HTTPConnection('127.0.0.1', int(sys.argv[2])), pathlib.Path(sys.argv[1])\n"
    "for path in site.rglob('*.html'):\n"
    "    connection.request('GET', '/' + str(path.relative_to(site)))\n"
    "    connection.getresponse().read()"
)
TANTIVY = (
    "import json, sys, tantivy\n"
    "schema = tantivy.SchemaBuilder().add_text_field('text', stored=False).build()\n"
    "writer = tantivy.Index(schema, sys.argv[2]).writer(num_threads=1)\n"
    "for line in open(sys.argv[1]): writer.add_document(tantivy.Document(text=[json.loads(line)['text']]))\n"
    "writer.commit()"
)


@dataclass(frozen=True)
class Run:
    """The command of a stage in its folder, and the code of what it is held against."""

    stage: list[str]
    peer: str
    code: list[str]


Prepared = Callable[[int, Path], AbstractContextManager[Run]]
"""What makes a run of so many records or pages, in an empty folder."""


def webdancer(*words: object) -> list[str]:
    return [sys.executable, "-m", "webdancer_cli", *map(str, words)]


def python(code: str, *words: object) -> list[str]:
    return [sys.executable, "-c", code, *map(str, words)]


@contextmanager
def lint(size: int, folder: Path) -> Iterator[Run]:
    yield _over_lines(folder, map(question, range(size)), "lint")


@contextmanager
def filtered(size: int, folder: Path) -> Iterator[Run]:
    yield _over_lines(folder, map(trajectory, range(size)), "filter")


@contextmanager
def sampled(size: int, folder: Path) -> Iterator[Run]:
    pages = _written(folder / "pages.jsonl", [PAGE])
    yield _over_lines(folder, map(question, range(size)), "sample", "--web", pages)


@contextmanager
def split(size: int, folder: Path) -> Iterator[Run]:
    data = _written(folder / "in", map(question, range(size)))
    yield Run(_split(data, folder), "json", python(PASS_OVER_JSON, data))


@contextmanager
def mapped(size: int, folder: Path) -> Iterator[Run]:
    alone = _over_lines(folder, map(question, range(size)), "lint")
    subprocess.run(_split(folder / "in", folder), check=True)
    parts = ["--in", folder / "parts", "--out", folder / "done", "-j", 1]
    yield Run(webdancer("map", "-q", *parts, "--", "lint"), "lint", alone.stage)


@contextmanager
def indexed(size: int, folder: Path) -> Iterator[Run]:
    pages = _world(size, folder)
    (folder / "bare").mkdir()
    yield Run(
        webdancer("index", "-q", "--pages", pages, "--out", folder / "web.index"),
        "tantivy",
        python(TANTIVY, pages, folder / "bare"),
    )


@contextmanager
def extracted(size: int, folder: Path) -> Iterator[Run]:
    site = _site(size, folder)
    files = ["--pages", folder / "pages", "--out", folder / "qa", "--ask", "nothing"]
    yield Run(webdancer("crawlqa", "-q", site, *files), "trafilatura", python(TRAFILATURA, site))


@contextmanager
def crawled(size: int, folder: Path) -> Iterator[Run]:
    site = _site(size, folder)
    handler = partial(Quiet, directory=str(site))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    root = f"http://127.0.0.1:{server.server_port}/index.html"
    files = ["--pages", folder / "pages", "--out", folder / "qa", "--ask", "nothing", "--max-pages", 10 * size]
    try:
        yield Run(
            webdancer("crawlqa", "-q", root, "--allow-private", *files, "--delay-seconds", 0),
            "http",
            python(HTTP, site, server.server_port),
        )
    finally:
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass


STAGES: dict[str, tuple[int, Prepared]] = {
    "lint": (1_000_000, lint),
    "filter": (1_000_000, filtered),
    "sample": (100_000, sampled),
    "split": (1_000_000, split),
    "map -- lint": (100_000, mapped),
    "index": (1_000_000, indexed),
    "extraction": (10_000, extracted),
    "crawl": (10_000, crawled),
}
"""The largest size of each that is worth its time, and what makes a run of it."""


def _written(path: Path, records: Iterable[dict[str, str] | dict[str, object]]) -> Path:
    with path.open("w") as lines:
        lines.writelines(json.dumps(record) + "\n" for record in records)
    return path


def _over_lines(folder: Path, records: Iterable[dict[str, object]], stage: str, *more: object) -> Run:
    data = _written(folder / "in", records)
    run = webdancer(stage, "-q", "--data", data, "--out", folder / "out", *more)
    return Run(run, "json", python(PASS_OVER_JSON, data))


def _split(data: Path, folder: Path) -> list[str]:
    return webdancer("split", "-q", "--data", data, "-n", 8, "--out", folder / "parts")


def _world(size: int, folder: Path) -> Path:
    jsonl.write_records(str(folder / "pages.jsonl"), world(size, "rich"))
    return folder / "pages.jsonl"


def _site(size: int, folder: Path) -> Path:
    subprocess.run(webdancer("world", "-q", "--pages", size, "--out", folder / "world"), check=True)
    return folder / "world" / "site"


def processor_seconds(command: list[str]) -> float:
    seconds, done = seconds_of(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if done.returncode not in (0, 1):  # 1: some records failed
        raise SystemExit(f"{command}: {done.stderr.decode()[-2000:]}")
    return seconds


def costs(prepared: Prepared, size: int) -> tuple[float, float, str]:
    """Of a stage at a size, and of what it is held against, with its name."""
    with tempfile.TemporaryDirectory(prefix="growth-") as folder, prepared(size, Path(folder)) as run:
        return processor_seconds(run.stage), processor_seconds(run.code), run.peer


def growth(points: list[tuple[int, float]]) -> float:
    logs = [(math.log(size), math.log(cost)) for size, cost in points]
    return statistics.linear_regression(*zip(*logs, strict=True)).slope


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,10000")
    parser.add_argument("--only", default=",".join(STAGES), help="stages, by their names in the table")
    options = parser.parse_args()
    sizes = sorted(map(int, options.sizes.split(",")))
    ours, bare = (min(processor_seconds(code) for _ in range(3)) for code in (webdancer("--version"), python("pass")))
    print(f"`webdancer --version` costs {ours:.2f} s, `python -c pass` {bare:.2f} s.\n\n{HEAD}", flush=True)
    for name in options.only.split(","):
        largest, prepared = STAGES[name]
        start, least_start, peer = costs(prepared, FEW)
        points: list[tuple[int, float]] = []
        for size in (size for size in sizes if size <= largest):
            whole, least, _ = costs(prepared, size)
            cost, least = max(whole - start, 1e-3), max(least - least_start, 1e-3)
            points.append((size, cost))
            slope = f"{growth(points):.2f}" if len(points) > 1 else ""
            cells = [name, f"{start:.2f}", f"{size:,}", f"{cost:.2f}", f"{1000 * cost / size:.3f}", slope]
            print(f"| {' | '.join([*cells, peer, f'{least:.2f}', f'{cost / least:.1f}'])} |", flush=True)


if __name__ == "__main__":
    main()
