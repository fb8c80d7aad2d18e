"""``kill -9`` at random moments, then ``--resume``: the same records as an uninterrupted run, each once.

The moments are drawn from a seed: WEBDANCER_TEST_SEED=7 draws others.
"""

import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

Webdancer = Callable[..., "subprocess.CompletedProcess[str]"]
Served = Callable[[Path], AbstractContextManager[str]]

pytestmark = pytest.mark.slow

SEED = int(os.environ.get("WEBDANCER_TEST_SEED", "0"))


@dataclass
class Killing:
    """A command that is killed again and again. ``files`` are what it writes beside its records."""

    folder: Path
    environment: dict[str, str]
    command: list[str]
    files: tuple[str, ...] = ()

    def whole(self) -> list[list[str]]:
        """What an uninterrupted run writes, each file sorted."""
        assert self.start("whole", [*self.command, "--out", "whole"]).wait() == 0
        return self.results("whole")

    def start(self, prefix: str, arguments: list[str], **streams: object) -> "subprocess.Popen[bytes]":
        """The command, with the names of its other files under a prefix."""
        words = [word.format(prefix=prefix) for word in arguments]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
        call = [sys.executable, "-m", "webdancer_cli", *words]
        return subprocess.Popen(call, cwd=self.folder, env=self.environment, **(quiet | streams))  # type: ignore[call-overload,no-any-return]

    def results(self, name: str) -> list[list[str]]:
        return [
            sorted(map(timeless, lines(self.folder / file))) for file in (name, *(name + end for end in self.files))
        ]

    def survives(self, kills: int, draw: random.Random) -> None:
        """Killed so often, it comes to its end several times; each time it has written what ``whole`` has."""
        expected, left = self.whole(), kills
        while left:
            for file in ("out", *("out" + end for end in self.files)):
                (self.folder / file).unlink(missing_ok=True)
            left -= self.kill_once(draw, len(expected[0]), redirected=draw.random() < 0.5)
            while left and len(lines(self.folder / "out")) < len(expected[0]) - 2:
                left -= self.kill_once(draw, len(expected[0]))
            assert self.start("out", [*self.command, "--out", "out", "--resume"]).wait() == 0
            assert self.results("out") == expected

    def kill_once(self, draw: random.Random, total: int, *, redirected: bool = False) -> bool:
        """Start, and kill at a random line or, once in four times, at a random moment; whether it still lived."""
        out = self.folder / "out"
        written = len(lines(out))
        if redirected:
            with out.open("wb") as stdout:
                process = self.start("out", self.command, stdout=stdout)
        else:
            process = self.start("out", [*self.command, "--out", "out", "--resume"])
        if draw.random() < 0.25:
            time.sleep(draw.uniform(0, 0.8))
        else:
            wait_for_lines(process, out, written + draw.randint(0, max(1, (total - written) // 2)))
            time.sleep(draw.uniform(0, 0.003))
        lived = process.poll() is None
        process.kill()
        process.wait()
        ids = [json.loads(line)["id"] for line in lines(out)]
        assert len(set(ids)) == len(ids)
        return lived


def lines(path: Path) -> list[str]:
    """The whole lines of a file; what a kill tore off is none."""
    return path.read_text(errors="replace").rpartition("\n")[0].splitlines() if path.exists() else []


def timeless(line: str) -> str:
    return re.sub(r'"fetched_at":"[^"]*"', "", line)


def wait_for_lines(process: "subprocess.Popen[bytes]", path: Path, count: int) -> None:
    while process.poll() is None and (not path.exists() or path.read_bytes().count(b"\n") < count):
        time.sleep(0.001)


@pytest.fixture(scope="module")
def draw() -> random.Random:
    return random.Random(SEED)


@pytest.fixture
def world(webdancer: Webdancer, served: Served, tmp_path: Path) -> Iterator[str]:
    """A site being served, its pages, and 40 questions about them."""
    assert webdancer("world", "--pages", "50", "--style", "plain", "--out", "world").returncode == 0
    with served(tmp_path / "world" / "site") as root:
        arguments = [root, "--allow-private", "--pages", "pages.jsonl", "--limit", "200", "--out", "all.jsonl"]
        assert webdancer("crawlqa", *arguments).returncode == 0
        questions = lines(tmp_path / "all.jsonl")
        (tmp_path / "qa.jsonl").write_text("".join(line + "\n" for line in questions[::5]))
        yield root


def test_sampling_200_records_survives_30_kills(
    world: str, tmp_path: Path, environment: dict[str, str], draw: random.Random
) -> None:
    command = ["sample", "--data", "qa.jsonl", "-n", "5", "--rejects", "{prefix}.rejects"]
    killing = Killing(tmp_path, environment, command, (".rejects",))
    killing.survives(30, draw)
    assert len(lines(tmp_path / "whole")) == 200


REJECTS = ["--rejects", "{prefix}.rejects"]


@pytest.mark.parametrize(
    ("command", "files"),
    [
        (["e2hqa", "--data", "all.jsonl", "--rounds", "2", "--keep-chain"], ()),
        (["eval", "--data", "qa.jsonl", "--runs", "5"], ()),
        (["filter", "--data", "t.jsonl", *REJECTS, "--unused-qa", "{prefix}.qa"], (".rejects", ".qa")),
        (["filter", "--data", "t.jsonl", *REJECTS, "--per-question", "2"], (".rejects",)),
    ],
)
def test_every_stage_survives_kills(
    world: str,
    webdancer: Webdancer,
    tmp_path: Path,
    environment: dict[str, str],
    draw: random.Random,
    command: list[str],
    files: tuple[str, ...],
) -> None:
    if command[0] == "filter":
        assert webdancer("sample", "--data", "qa.jsonl", "-n", "5", "--out", "right.jsonl").returncode == 0
        right = (tmp_path / "right.jsonl").read_text()
        (tmp_path / "t.jsonl").write_text(
            right.replace('"ending":"answered"', '"ending":"answered","verdict":{"outcome":"wrong","method":"m"}', 60)
        )
    Killing(tmp_path, environment, command, files).survives(6, draw)


def test_a_crawl_survives_kills(world: str, tmp_path: Path, environment: dict[str, str], draw: random.Random) -> None:
    command = ["crawlqa", world, "--allow-private", "--pages", "{prefix}.pages", "--delay-seconds", "0.02"]
    Killing(tmp_path, environment, command, (".pages",)).survives(6, draw)
