"""A crawl large enough for extraction in processes, killed at random moments and resumed."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import QA

pytestmark = pytest.mark.slow

PAGES = 300
KILLS = 5
SAVED_EARLY = """
import runpy
from webdancer_cli.web.crawl import crawl_database
crawl_database.SAVE_AFTER_PAGES = 60
runpy.run_module("webdancer_cli", run_name="__main__", alter_sys=True)
"""
"""Of so many pages the database stands beside them: some of the kills come before, most of them later."""


def pages(path: Path) -> list[str]:
    """URL and text of every whole line, in order."""
    lines = path.read_text(errors="replace").rpartition("\n")[0].splitlines() if path.exists() else []
    return [line.partition('"fetched_at"')[0] for line in lines]


def descendants(pid: int) -> list[int]:
    """The processes that were started by any thread of a process, and those that they started."""
    try:
        texts = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:  # it has just gone
        return []
    children = [int(child) for text in texts for child in text.split()]
    return [*children, *(found for child in children for found in descendants(child))]


def alive(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    try:
        return state.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def kill_at(process: "subprocess.Popen[bytes]", written: Path, count: int) -> int:
    """Kill when so many pages are written, see that its workers leave too, and say how many there were."""
    while process.poll() is None and len(pages(written)) < count:
        time.sleep(0.005)
    workers = descendants(process.pid) if process.poll() is None else []
    process.kill()
    process.wait()
    wait_until(lambda: not any(map(alive, workers)))
    return len(workers)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are found in /proc")
def test_a_killed_crawl_leaves_no_process_and_goes_on_to_the_same_pages(
    webdancer: Callable[..., "subprocess.CompletedProcess[str]"],
    served: Callable[[Path], AbstractContextManager[str]],
    tmp_path: Path,
    environment: dict[str, str],
) -> None:
    assert webdancer("world", "--pages", str(PAGES), "--out", "world").returncode == 0
    draw = random.Random(int(os.environ.get("WEBDANCER_TEST_SEED", "0")))
    with served(tmp_path / "world" / "site") as root:
        call = ["crawlqa", root, "--allow-private", "--max-pages", "1000"]
        assert webdancer(*call, "--pages", "whole", "--out", "whole.qa").returncode == 0
        whole, written = pages(tmp_path / "whole"), tmp_path / "p"
        command = [sys.executable, "-c", SAVED_EARLY, *call, "--pages", "p", "--out", "p.qa", "--resume"]
        most = 0
        for left in range(KILLS, 0, -1):
            have = len(pages(written))
            process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
            most = max(most, kill_at(process, written, have + draw.randint(1, 2 * (len(whole) - have) // (left + 1))))
            assert pages(written) == whole[: len(pages(written))]
        subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert len(whole) >= PAGES and pages(written) == whole and most > 0
    assert ids(tmp_path / "p.qa") == ids(tmp_path / "whole.qa")


def ids(path: Path) -> list[str]:
    return sorted(qa.id for qa in jsonl.read_records(str(path), QA))


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "still not so"
        time.sleep(0.05)
