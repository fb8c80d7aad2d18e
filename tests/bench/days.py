"""A crawl of many pages that is stopped and goes on: every page once, and how much memory it takes.

python tests/bench/days.py --pages 20000 --out DIR              # five interruptions: SIGINT and kill -9 in turn
python tests/bench/days.py --pages 200000 --out DIR --seconds 420     # so long a slice; the same command goes on
python tests/bench/days.py --pages 200000 --out DIR --known           # what a crawl remembers alone: nothing is fetched

The site is the fictional world of ``webdancer world``, its pages computed as they are asked for by a server of its own:
it costs no disk. Lists that ask not to be kept (noindex) lead to all pages. Between interruptions a run is left alone
until it has written its share of the pages. The peak of resident memory (VmHWM) is that of the process that crawls,
read while it lives; the workers that extract are processes of their own. What was asked for is counted by the server,
across all runs. Exits with 1 if a page or a text stands twice in the file, or if a page of the world was not asked for.
"""

import argparse
import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path

import msgspec

from webdancer_cli.options import config
from webdancer_cli.web.crawl.crawl_database import CrawlDatabase
from webdancer_cli.web.crawl.crawler import KnownPage, crawl
from webdancer_cli.web.crawl.near_duplicates import PERMUTATIONS
from webdancer_cli.world.almanac import Almanac
from webdancer_cli.world.atlas import Atlas
from webdancer_cli.world.rich_pages import RichPages
from webdancer_cli.world.site import page_html

INTERRUPTIONS = 5
LIST_PAGES = 250


class Site:
    """Bodies by path, and the numbers of the world's pages."""

    def __init__(self, pages: int, seed: int):
        self._world = RichPages(Almanac(Atlas(pages, seed)))
        indices = [index for kind in self._world.plurals for index in self._world.indices(kind)]
        self.numbers = {f"/{self._world.path(index)}": index for index in indices}

    def body(self, path: str) -> str | None:
        if path in self.numbers:
            return page_html(self._world, self._world.article(self.numbers[path]))
        if path == "/":
            return _list(f"/list/{place}" for place in range(0, len(self.numbers), LIST_PAGES))
        if found := re.fullmatch(r"/list/(\d+)", path):
            return _list(islice(self.numbers, int(found[1]), int(found[1]) + LIST_PAGES))
        return None


def _list(paths: Iterable[str]) -> str:
    links = "".join(f'<li><a href="{path}">{path}</a></li>' for path in paths)
    return (
        f"<html><head><title>List</title><meta name=robots content=noindex></head><main><ul>{links}</ul></main></html>"
    )


def serve(pages: int, seed: int, log: Path) -> None:
    """A line for each page that is asked for."""
    site = Site(pages, seed)
    with log.open("ab", buffering=0) as asked:

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = site.body(self.path)
                if self.path in site.numbers:
                    asked.write(f"{site.numbers[self.path]}\n".encode())
                sent = (body or "").encode()
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """Whoever asked was killed."""

        server = Server(("127.0.0.1", int(os.environ.get("PORT", "0"))), Handler)
        print(server.server_port, flush=True)
        server.serve_forever()


@contextmanager
def served(pages: int, seed: int, folder: Path) -> Iterator[str]:
    """At the same port in every slice: a crawl is of the same site only at the same address."""
    remembered = folder / "port"
    port = remembered.read_text() if remembered.exists() else "0"
    command = [sys.executable, __file__, "--serve", str(folder / "asked"), "--pages", str(pages), "--seed", str(seed)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PORT": port})
    try:
        port = (server.stdout or sys.stdin).readline().strip()
        remembered.write_text(port)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.kill()
        server.wait()


def lines_in(path: Path) -> int:
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def run_slice(root: str, given: argparse.Namespace, ends: float) -> None:
    """Crawl until all is there or the time is over; interrupted at equal shares of the pages."""
    folder: Path = given.out
    pages, state = folder / "pages.jsonl", folder / "state.json"
    told = json.loads(state.read_text()) if state.exists() else {"interruptions": [], "seconds": 0.0, "peaks": []}
    while time.monotonic() < ends and not told.get("is_over"):
        done = len(told["interruptions"])
        until = given.pages * (done + 1) // (INTERRUPTIONS + 1) if done < INTERRUPTIONS else given.pages
        start, before = time.monotonic(), lines_in(pages)
        process = subprocess.Popen(command_of(root, given), stderr=(folder / "stderr").open("a"))
        written = before
        while process.poll() is None and time.monotonic() < ends and (written < until or until == given.pages):
            time.sleep(1.0)
            written = lines_in(pages)
            told["peaks"].append([written, *peak_of(process.pid)])
        how = end(process, done)
        told["is_over"] = process.returncode in (0, 1)
        if written >= until and until < given.pages and not told["is_over"]:
            told["interruptions"].append([how, written])
        told["seconds"] += time.monotonic() - start
        told["slices"] = told.get("slices", 0) + 1
        state.write_text(json.dumps(told))


def command_of(root: str, given: argparse.Namespace) -> list[str]:
    command = [sys.executable, "-m", "webdancer_cli", "crawlqa", root, "--allow-private"]
    command += ["--pages", str(given.out / "pages.jsonl"), "--out", str(given.out / "qa.jsonl"), "--resume"]
    return [*command, "--max-pages", str(given.pages), "--max-depth", "100", *given.options.split()]


def peak_of(pid: int) -> tuple[int, int]:
    """VmHWM and VmRSS of a process, in kB."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0, 0
    found = dict(re.findall(r"(VmHWM|VmRSS):\s+(\d+)", status))
    return int(found.get("VmHWM", 0)), int(found.get("VmRSS", 0))


def end(process: "subprocess.Popen[bytes]", number: int) -> str:
    if process.poll() is not None:
        return f"exit {process.returncode}"
    sign = signal.SIGINT if number % 2 == 0 else signal.SIGKILL
    process.send_signal(sign)
    process.wait()
    return sign.name


def judge(given: argparse.Namespace) -> int:
    folder: Path = given.out
    told = json.loads((folder / "state.json").read_text())
    urls, texts, written = set(), set(), 0
    with (folder / "pages.jsonl").open("rb") as lines:
        for line in lines:
            page = msgspec.json.decode(line)
            urls.add(page["url"])
            texts.add(page["sha256"])
            written += 1
    asked = Counter(map(int, (folder / "asked").read_text().split()))
    missing = given.pages - len(asked)
    peaks = [(count, high) for count, high, _ in told["peaks"] if high]
    early = max((high for count, high in peaks if count <= given.pages // 10), default=0)
    most = max((high for _, high in peaks), default=0)
    once = len(urls) == len(texts) == written
    print(
        "| pages written | each once | asked for | more than once | runs | interrupted | seconds | pages/s "
        "| peak after 10 % | peak |\n|---|---|---|---|---|---|---|---|---|---|\n"
        f"| {written:,} | {'yes' if once else 'NO'} | {len(asked):,} of {given.pages:,} "
        f"| {sum(count > 1 for count in asked.values())} | {told['slices']} "
        f"| {', '.join(f'{how} at {at:,}' for how, at in told['interruptions'])} | {told['seconds']:.0f} "
        f"| {written / told['seconds']:.1f} | {early / 1024:.0f} MB | {most / 1024:.0f} MB |"
    )
    return 0 if once and not (told["is_over"] and missing) else 1


def known_pages(pages: int, seed: int, told: Callable[[int], None]) -> Iterator[KnownPage]:
    """Pages that an earlier run has fetched: each links to the next ten by number, and to ten that have been met."""
    for number in range(pages):
        draw = random.Random(f"{seed} {number}")
        targets = [*range(10 * number + 1, 10 * number + 11), *(draw.randrange(number + 1) for _ in range(10))]
        links = tuple(f"http://known.invalid/page/{target}" for target in targets if target < pages)
        url = f"http://known.invalid/page/{number}"
        yield KnownPage(url, url, links, sha256(url.encode()).hexdigest(), draw.randbytes(4 * PERMUTATIONS), 0.0)
        told(number + 1)


async def remember(given: argparse.Namespace) -> int:
    """Rebuild a crawl from its pages: all that it does but requests and extraction. Rows of memory in MB."""
    tenth = given.pages // 10
    print("| | pages | seconds | peak | now | database |\n|---|---|---|---|---|---|")
    start, place = time.perf_counter(), given.out / "known.crawl"

    def tell(what: str, count: int) -> None:
        if count % tenth == 0 and (count == tenth or count == given.pages):
            peak, now = (kilobytes / 1024 for kilobytes in peak_of(os.getpid()))
            size = place.stat().st_size / 1e6 if place.exists() else 0.0
            seconds = time.perf_counter() - start
            print(f"| {what} | {count:,} | {seconds:.0f} | {peak:.0f} | {now:.0f} | {size:.0f} |", flush=True)

    class Database(CrawlDatabase):
        def commit(self, pages: int) -> None:
            super().commit(pages)
            tell("crawled", pages)

    with Database(place) as database:
        known = known_pages(given.pages, given.seed, lambda count: tell("read", count))
        options = config.CrawlqaOptions(max_pages=given.pages, max_depth=100)
        async for _ in crawl(["http://known.invalid/page/0"], options, known=known, database=database):
            pass
        return 0 if database.noted("kept", 0) == given.pages else 1


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pages", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--options", default="", help="further options of crawlqa, such as '--ask nothing'")
    parser.add_argument("--known", action="store_true", help="rebuild a crawl from its pages")
    parser.add_argument("--serve", type=Path)
    given = parser.parse_args()
    if given.serve:
        serve(given.pages, given.seed, given.serve)
    given.out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it would be ignored, by children too
    if given.known:
        return asyncio.run(remember(given))
    with served(given.pages, given.seed, given.out) as root:
        run_slice(root, given, time.monotonic() + given.seconds)
    return judge(given)


if __name__ == "__main__":
    raise SystemExit(main())
