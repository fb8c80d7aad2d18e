"""Crawls of real documentation sites on loopback: what was asked for and kept, at which pace, and beside Scrapy.

python tests/bench/crawl.py proof FOLDER…                      # 2,000 pages of each site, or all; then a slow crawl
python tests/bench/crawl.py speed FOLDER --scrapy PYTHON       # PYTHON: one of an environment with Scrapy, trafilatura
python tests/bench/crawl.py sample FOLDER… --count 40          # texts of some pages, to be read

A folder holds the HTML of a site, with an ``index.html``. Every folder is served by a process of its own, which writes
down each request with its time. ``proof`` judges by these logs and by the pages kept: no page twice (by URL, by text),
none from elsewhere, nothing that robots.txt forbids, no request too soon after another. It exits with 1 if one of that
fails. ``speed`` runs ours and two spiders (``crawl_scrapy.py``) in turn, with the same limits, on the same server.
"""

import argparse
import asyncio
import json
import mimetypes
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from urllib.parse import unquote, urlsplit

import peak  # noqa: F401  (tells how much memory a crawl took)
from processor import seconds_of
from protego import Protego

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import Page
from webdancer_cli.options import config
from webdancer_cli.web import urls
from webdancer_cli.web.crawl.crawler import SkippedUrl, crawl

HERE = Path(__file__).parent
PER_SITE = 2000
AT_ONCE = 8
SLACK_SECONDS = 0.02
"""A request may arrive this much late, and the next on time. On a busy machine it is more: then the pace fails."""


class Connection(asyncio.Protocol):
    """One connection of a client: any number of GET requests, answered from the files of a folder."""

    def __init__(self, files: "Files", log: "Log"):
        self._files = files
        self._log = log
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        while b"\r\n\r\n" in self._held:
            head, _, self._held = self._held.partition(b"\r\n\r\n")
            self._answer(head.partition(b"\r\n")[0].split()[1].decode("ascii"))

    def _answer(self, path: str) -> None:
        status, kind, body = self._files.get(path)
        self._log.add(path, status, kind)
        head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)  # type: ignore[attr-defined]


class Files:
    """The files below a folder by their paths, each read once, and a robots.txt."""

    def __init__(self, folder: Path, robots: str):
        self._folder = folder
        self._read: dict[str, tuple[int, str, bytes]] = {}
        if robots:
            self._read["/robots.txt"] = 200, "text/plain", robots.encode()

    def get(self, path: str) -> tuple[int, str, bytes]:
        """Status, media type and body."""
        path = path.partition("?")[0]
        if path not in self._read:
            self._read[path] = self._load(path)
        return self._read[path]

    def _load(self, path: str) -> tuple[int, str, bytes]:
        file = self._folder / unquote(path).lstrip("/")
        file = file / "index.html" if file.is_dir() else file
        if ".." in path or not file.is_file():
            return 404, "text/html", b"<h1>Not Found</h1>"
        return 200, mimetypes.guess_type(file.name)[0] or "application/octet-stream", file.read_bytes()


class Log:
    """A line of JSON per request: seconds, path, status, media type."""

    def __init__(self, path: Path):
        self._file = path.open("w", buffering=1)

    def add(self, path: str, status: int, kind: str) -> None:
        self._file.write(f"{json.dumps([time.monotonic(), path, status, kind])}\n")


async def serve(folder: Path, log: Path, robots: str) -> None:
    files, written = Files(folder, robots), Log(log)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(files, written), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@dataclass
class Request:
    at: float
    path: str
    status: int
    kind: str


@dataclass
class Site:
    """A folder that is being served."""

    url: str
    log: Path
    robots: str
    read: int = field(default=0)

    def requests(self) -> list[Request]:
        """What was asked for since the last call."""
        lines = self.log.read_text().splitlines()
        new, self.read = lines[self.read :], len(lines)
        return [Request(*json.loads(line)) for line in new]


@contextmanager
def served(folder: Path, robots: str = "") -> Iterator[Site]:
    with tempfile.NamedTemporaryFile(suffix=".log") as log:
        command = [sys.executable, __file__, "serve", str(folder), "--log", log.name, "--robots", robots]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            yield Site(f"http://127.0.0.1:{int((server.stdout or sys.stdin).readline())}/", Path(log.name), robots)
        finally:
            server.kill()
            server.wait()


def some_rules(folder: Path, more: str = "") -> str:
    """A robots.txt that forbids every other folder of a site, and a page in its root."""
    folders = sorted(path.name for path in folder.iterdir() if path.is_dir() and any(path.glob("*.html")))
    pages = sorted(path.name for path in folder.glob("*.html") if path.name != "index.html")
    forbidden = [*(f"/{name}/" for name in folders[::2]), f"/{pages[len(pages) // 2]}"]
    return "User-agent: *\n" + "".join(f"Disallow: {path}\n" for path in forbidden) + more


class Findings:
    """What held and what did not."""

    def __init__(self) -> None:
        self.failed = 0

    def tell(self, what: str, bad: Sequence[object], found: str = "") -> None:
        self.failed += bool(bad)
        verdict = f"FAILED: {len(bad)}, such as {bad[0]}" if bad else "holds"
        print(f"  {what}: {verdict}{' (' + found + ')' if found else ''}", flush=True)


async def crawled(roots: list[str], options: config.CrawlqaOptions) -> tuple[list[Page], list[SkippedUrl], float]:
    """The pages, what gave none, and the seconds."""
    skips: list[SkippedUrl] = []
    start = time.perf_counter()
    pages = [page async for page in crawl(roots, options, skipped=skips.append)]
    return pages, skips, time.perf_counter() - start


def proof(folders: list[Path], out: Path | None) -> int:
    findings = Findings()
    with ExitStack() as stack:
        rules = [some_rules(folders[0]), *("" for _ in folders[1:])]
        sites = [stack.enter_context(served(*pair)) for pair in zip(folders, rules, strict=True)]
        options = config.CrawlqaOptions(
            allow_private=True, max_pages=PER_SITE * len(sites), max_depth=100, per_host=AT_ONCE
        )
        pages, skips, seconds = asyncio.run(crawled([site.url for site in sites], options))
        print(f"{len(pages)} pages of {len(sites)} sites in one crawl, {seconds:.0f} s; no page for: {_counted(skips)}")
        for folder, site in zip(folders, sites, strict=True):
            kept = sum(page.url.startswith(site.url) for page in pages)
            print(f"  {folder}: {kept} pages; of its files {len(list(folder.rglob('*.html')))} are HTML")
        judge_pages(findings, pages, skips, sites)
        for site in sites:
            judge_requests(findings, site, site.requests())
        if out:
            jsonl.write_records(str(out), pages)
    judge_pace(findings, folders)
    return 1 if findings.failed else 0


def _counted(skips: list[SkippedUrl]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in Counter(skip.reason for skip in skips).most_common())


def judge_pages(findings: Findings, pages: list[Page], skips: list[SkippedUrl], sites: list[Site]) -> None:
    roots = tuple(site.url for site in sites)
    findings.tell("no URL twice", _twice(urls.fingerprint(page.url) for page in pages))
    findings.tell("no text twice", _twice(page.sha256 for page in pages))
    outside = {link.url for page in pages for link in page.links if not link.url.startswith(roots)}
    tried = [*(page.url for page in pages), *(skip.url for skip in skips)]
    elsewhere = [url for url in tried if not url.startswith(roots)]
    findings.tell("nothing from elsewhere", elsewhere, f"{len(outside)} links lead out")
    findings.tell("no page without text", [page.url for page in pages if not page.text.strip()])


def judge_requests(findings: Findings, site: Site, requests: list[Request]) -> None:
    rules = Protego.parse(site.robots)
    print(f"  {site.url}: {len(requests)} requests")
    findings.tell("  nothing asked for twice", _twice(request.path for request in requests))
    findings.tell("  robots.txt first", [] if requests[0].path == "/robots.txt" else [requests[0]])
    forbidden = [request.path for request in requests if not rules.can_fetch(request.path, "webdancer")]
    findings.tell("  nothing that robots.txt forbids", forbidden, f"{site.robots.count('Disallow')} rules")


def _twice(items: Iterator[str] | Sequence[str]) -> list[str]:
    return [item for item, count in Counter(items).items() if count > 1]


def judge_pace(findings: Findings, folders: list[Path], delay: float = 0.2, crawl_delay: float = 0.5) -> None:
    """A short crawl with --delay-seconds, of which one site asks for more."""
    rules = [f"User-agent: *\nCrawl-delay: {crawl_delay}\n", *("" for _ in folders[1:])]
    with ExitStack() as stack:
        sites = [stack.enter_context(served(*pair)) for pair in zip(folders, rules, strict=True)]
        options = config.CrawlqaOptions(
            allow_private=True, delay_seconds=delay, max_pages=20 * len(sites), per_host=AT_ONCE
        )
        pages, _, seconds = asyncio.run(crawled([site.url for site in sites], options))
        print(f"{len(pages)} pages with --delay-seconds {delay}, in {seconds:.1f} s")
        for site in sites:
            wanted = crawl_delay if site.robots else delay
            times = [request.at for request in site.requests() if request.path != "/robots.txt"]
            gaps = [after - before for before, after in pairwise(times)]
            soon = [gap for gap in gaps if gap < wanted - SLACK_SECONDS]
            found = f"{len(times)} requests, {min(gaps):.3f} to {max(gaps):.3f} s apart, median {median(gaps):.3f}"
            findings.tell(f"  {site.url} {wanted} s apart", soon, found)


def sample(folders: list[Path], count: int, seed: int, pages_file: Path) -> None:
    """The texts of some pages of a ``proof --out``, drawn evenly from the sites."""
    by_site: dict[str, list[Page]] = {}
    for page in jsonl.read_records(str(pages_file), Page):
        by_site.setdefault(urls.site_of(page.url), []).append(page)
    draw = random.Random(seed)
    for nth, (_, pages) in enumerate(sorted(by_site.items())):
        share = count // len(by_site) + (nth < count % len(by_site))
        for page in draw.sample(pages, share):
            print(f"\n{'=' * 20} {urlsplit(page.url).path} | {page.title}\n{page.text}")


@dataclass
class Run:
    name: str
    seconds: float
    cpu: float
    megabytes: float
    pages: int
    between: float
    """Seconds from the first request to the last: without the start of the process."""


def speed(folder: Path, scrapy: str, rounds: int) -> int:
    with served(folder) as site, tempfile.TemporaryDirectory() as out:
        commands = {
            "webdancer": [sys.executable, __file__, "crawl", site.url, "--out", f"{out}/ours"],
            "Scrapy + trafilatura": [scrapy, str(HERE / "crawl_scrapy.py"), site.url, f"{out}/full", "main-text"],
            "Scrapy alone": [scrapy, str(HERE / "crawl_scrapy.py"), site.url, f"{out}/bare", "all-text"],
        }
        runs = []
        for _ in range(rounds):
            for name, command in commands.items():
                runs.append(timed(name, command, site))
                print(_shown(runs[-1]), flush=True)
        print(f"the server alone: {asyncio.run(server_pages_a_second(site)):.0f} pages/s")
    _compare(runs)
    return 0


def timed(name: str, command: list[str], site: Site) -> Run:
    site.requests()
    start = time.perf_counter()
    with tempfile.NamedTemporaryFile("r") as peak_file:
        cpu, done = seconds_of(command, env=os.environ | {"PEAK": peak_file.name})
        seconds = time.perf_counter() - start
        peak_kb = int(peak_file.read() or 0)
    if done.returncode:
        raise SystemExit(f"{name}: exit code {done.returncode}")
    got = [request for request in site.requests() if request.status == 200 and request.kind == "text/html"]
    pages, between = len({request.path for request in got}), got[-1].at - got[0].at
    return Run(name, seconds, cpu, peak_kb / 1024, pages, between)


def _shown(run: Run) -> str:
    return (
        f"{run.name:<22}{run.pages:>6} pages  {run.seconds:6.1f} s  {run.pages / run.seconds:6.1f} pages/s  "
        f"{run.pages / run.between:6.1f} pages/s without start  {1000 * run.cpu / run.pages:6.1f} ms CPU/page  "
        f"{run.megabytes:.0f} MB"
    )


def _compare(runs: list[Run]) -> None:
    ours = [run for run in runs if run.name == "webdancer"]
    for name in dict.fromkeys(run.name for run in runs if run.name != "webdancer"):
        pairs = list(zip(ours, (run for run in runs if run.name == name), strict=True))
        faster = [us.pages / us.seconds / (them.pages / them.seconds) for us, them in pairs]
        cheaper = [us.cpu / us.pages / (them.cpu / them.pages) for us, them in pairs]
        print(
            f"webdancer to {name}: {median(faster):.2f} ({min(faster):.2f} to {max(faster):.2f}) of its pages/s, "
            f"{median(cheaper):.2f} ({min(cheaper):.2f} to {max(cheaper):.2f}) of its CPU a page"
        )


async def server_pages_a_second(site: Site) -> float:
    """What a plain client gets that asks for all pages again, over ``AT_ONCE`` connections."""
    lines = [json.loads(line) for line in site.log.read_text().splitlines()]
    paths = list(dict.fromkeys(path for _, path, status, kind in lines if status == 200 and kind == "text/html"))
    waiting, start = iter(paths * 3), time.perf_counter()

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(site.url).port, limit=1 << 20)
        for path in waiting:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
        writer.close()

    await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
    return 3 * len(paths) / (time.perf_counter() - start)


async def keep(url: str, out: str) -> None:
    """What ``crawlqa`` does before it writes questions."""
    options = config.CrawlqaOptions(allow_private=True, max_pages=100_000, max_depth=100, per_host=AT_ONCE)
    with jsonl.LineWriter(out) as writer:
        async for page in crawl([url], options):
            writer.write(page)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["proof", "speed", "sample", "serve", "crawl"])
    parser.add_argument("where", nargs="*", help="folders; for crawl, a URL")
    parser.add_argument("--scrapy", help="a Python that has Scrapy")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="proof: also write the pages there; sample: read them there")
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--robots", default="")
    given = parser.parse_args()
    folders = [Path(where) for where in given.where]
    match given.what:
        case "proof":
            return proof(folders, given.out)
        case "speed":
            return speed(folders[0], given.scrapy, given.rounds)
        case "sample":
            sample(folders, given.count, given.seed, given.out)
        case "serve":
            asyncio.run(serve(folders[0], given.log, given.robots))
        case "crawl":
            asyncio.run(keep(given.where[0], str(given.out)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
