"""How far a stage is: what is said of it, how long the rest is said to take, and who draws where on a terminal."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pyte
import pytest

from webdancer_cli.data.pipeline import RunStats
from webdancer_cli.data.totals import items_in
from webdancer_cli.options import config
from webdancer_cli.terminal.board import clipped
from webdancer_cli.terminal.pace import Pace, rate_text, time_text
from webdancer_cli.terminal.progress import StageProgress, show_progress

COLUMNS, ROWS = 80, 24


class Clock:
    """Shows the time that it is set to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    "seconds_of",
    [lambda n: 0.5, lambda n: 0.5 + 0.3 * (n % 2), lambda n: 30.0 if n == 0 else 0.5, lambda n: 3.0 if n < 20 else 1.5],
    ids=["even", "alternating", "a slow first one", "twice as fast later"],
)
def test_what_is_left_is_told_within_a_factor_of_two_after_a_tenth(seconds_of: Callable[[int], float]) -> None:
    """Of 1000 items, at each of them from the hundredth on."""
    clock, times = Clock(), [seconds_of(number) for number in range(1000)]
    pace = Pace(clock)
    pace.note(0)
    for done in range(1, 1000):
        clock.now += times[done - 1]
        pace.note(done)
        left, told = sum(times[done:]), pace.seconds_left(1000)
        assert done < 100 or (told is not None and left / 2 <= told <= 2 * left), done


def test_nothing_is_told_of_a_pace_before_anything_is_done() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert pace.per_second is None and pace.seconds_left(10) is None
    pace.note(0)
    clock.now = 5.0
    pace.note(0)
    assert pace.per_second is None


def test_work_that_begins_anew_has_a_pace_of_its_own() -> None:
    """100 pages in 100 s, then the same 100 pages are asked about, 10 s each: 90 of them take 900 s."""
    clock = Clock()
    pace = Pace(clock)
    for done in range(101):
        clock.now = float(done)
        pace.note(done)
    for done in range(11):
        clock.now = 100.0 + 10 * done
        pace.note(done)
    assert pace.per_second == pytest.approx(0.1) and pace.seconds_left(100) == pytest.approx(900)
    assert pace.seconds == 200


@pytest.mark.parametrize(
    ("per_second", "text"),
    [(1234.4, "1,234/s"), (12, "12/s"), (3.14, "3.1/s"), (0.5, "30/min"), (0.05, "3.0/min"), (0.001, "4/h")],
)
def test_rates_are_told_in_units_that_are_easy_to_read(per_second: float, text: str) -> None:
    assert rate_text(per_second) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (91, "2 min"), (3600, "60 min"), (7800, "2 h 10 min")]
)
def test_times_are_told_as_one_says_them(seconds: float, text: str) -> None:
    assert time_text(seconds) == text


def test_the_counts_that_matter_are_told_while_it_runs() -> None:
    """Of 9 rejects 4 failed; 2 answers could not be judged, which are failures, too."""
    stats = RunStats(failed=6)
    stats.counts.update({"in": 20, "out": 11, "rejected": 9, "unjudged": 2})
    assert stats.brief() == "11 kept, 5 left out, 4 failed, 2 unjudged"
    assert RunStats().brief() == "0 kept"


def test_a_line_has_a_bar_where_the_total_is_known_and_there_is_room() -> None:
    progress = StageProgress("eval", spent=lambda: "$0.12")
    assert progress.line(80).split() == ["eval", "starting"]
    progress.step(0, 200, "0 kept")
    progress.step(50, 200, "48 kept, 2 failed")
    assert "━━╌╌╌╌╌╌╌╌  50/200" in progress.line(80) and "╌" not in progress.line(60)
    assert progress.line(80).endswith("48 kept, 2 failed, $0.12")
    progress.step(50, None, "48 kept")
    assert "50 done" in progress.line(80) and "╌" not in progress.line(80)


def test_a_total_that_proves_too_small_is_none() -> None:
    progress = StageProgress("eval")
    progress.step(201, 200, "")
    assert "201 done" in progress.line(80)


def test_a_run_with_a_time_limit_does_not_promise_to_take_longer() -> None:
    progress = StageProgress("rl", within_seconds=0.0)
    progress.step(1, 100, "")
    time.sleep(0.01)
    progress.step(2, 100, "")
    progress.measured()
    assert "0 s left" in progress.plain()


def test_a_log_has_a_plain_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress("sample", told_every_seconds=0.02) as progress:
        assert progress is not None
        progress.step(0, 4, "0 kept")
        progress.step(2, 4, "2 kept")
        while "2/4" not in (said := capsys.readouterr().err):
            time.sleep(0.01)
    assert re.match(r"webdancer sample: 2/4.*; 2 kept\n", said)
    assert "\x1b" not in said


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress("sample", quiet=True) as progress:
        assert progress is None
    assert capsys.readouterr().err == ""


def test_a_line_is_never_wider_than_the_terminal() -> None:
    assert clipped("abcdef", 6) == "abcdef" and clipped("abcdefg", 6) == "abcde…"


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ('{"a": 1}\n{"a": 2}\n{"a": 3}', {}, 3),
        ('{"a": 1}\n{"a": 2}\n{"a": 3}\n', {"limit": 2}, 2),
        ('{"a": 1}\n' * 8, {"shard": "2/4"}, 2),
        ("question,answer\na,b\n", {}, 7),  # a table is counted by whoever can read it
    ],
)
def test_the_items_before_a_run_are_counted(tmp_path: Path, text: str, options: dict, expected: int) -> None:
    file = tmp_path / "data"
    file.write_text(text)
    assert items_in(config.LintOptions(data=str(file), **options), lambda: range(7)) == expected
    assert items_in(config.LintOptions(), lambda: range(7)) is None, "stdin ends when it ends"


# ---- on a terminal --------------------------------------------------------------------------------------------------

STAGE = """
import os, sys, time
from webdancer_cli.data.pipeline import RunStats
from webdancer_cli.wiring import CommandRun
name, ending = sys.argv[1:]
run = CommandRun(name)
stats = RunStats()
with run.progress() as progress:
    run.say(f"{name} begins, and has so much to say of it that no terminal of eighty columns shows it in one line")
    for line in sys.stdin:
        stats.counts["out"] += 1
        progress.step(stats.counts["out"], None, stats.brief())
        print(line, end="", flush=True)
        time.sleep(0.01)
        while ending == "learns" and stats.counts["out"] == 75 and progress.learnt_total is None:
            time.sleep(0.02)  # until the stage before has ended
        if ending == "killed":
            os.kill(os.getpid(), 9)
run.end(stats)
"""


def screens_of(line: str, folder: Path, environment: dict[str, str]) -> list[list[str]]:
    """What a terminal of 80 columns shows while a shell runs a line, whenever something was written."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    variables = environment | {"TERM": "xterm", "TMPDIR": str(folder), "XDG_RUNTIME_DIR": ""}
    shell = subprocess.Popen(
        ["bash", "-c", line], stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, cwd=folder, env=variables,
        start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    screen = pyte.Screen(COLUMNS, ROWS)
    stream, screens = pyte.ByteStream(screen), []
    while written := read(master):
        stream.feed(written)
        screens.append([row.rstrip() for row in screen.display])
    os.close(master)
    assert shell.wait() == 0
    return screens


def read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # nobody writes any more
        return b""


@pytest.mark.slow
def test_the_stages_of_a_pipe_have_a_line_each_and_write_over_nobody(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    (tmp_path / "stage.py").write_text(STAGE)
    names = ["crawlqa", "e2hqa", "sample", "filter"]
    stages = " | ".join(
        f"{sys.executable} stage.py {name} {'learns' if name != 'crawlqa' else 'ends'}" for name in names
    )
    screens = screens_of(f"seq 150 | {stages} > out.txt", tmp_path, environment)
    drawn = [[row for row in screen if re.match(r"(crawlqa|e2hqa|sample|filter) ", row)] for screen in screens]
    assert all(len({row.split()[0] for row in rows}) == len(rows) for rows in drawn), "a line for each stage"
    assert all([row.split()[0] for row in rows] == [n for n in names if n in str(rows)] for rows in drawn), "in order"
    assert max(map(len, drawn)) == len(names)
    assert any("150/150" in row or "/150 " in row for rows in drawn for row in rows), "told by the stage before"
    last = "\n".join(screens[-1])
    for name in names:
        assert f"webdancer {name}: {name} begins, and has so much" in last
        assert f"webdancer {name}: 150 out" in last
    assert not re.search(r"^(crawlqa|e2hqa|sample|filter) ", last, re.MULTILINE), "and takes it off at its end"
    assert not list(tmp_path.glob("webdancer-*")), "nothing is left behind"


@pytest.mark.slow
def test_a_stage_that_is_killed_leaves_its_line_to_nobody(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "stage.py").write_text(STAGE)
    stage = f"{sys.executable} stage.py"
    screens = screens_of(
        f"(seq 5 | {stage} sample killed; seq 5 | {stage} filter ends) > out.txt", tmp_path, environment
    )
    assert any(re.match("sample ", row) for screen in screens for row in screen), "it had one"
    last = "\n".join(screens[-1])
    assert "webdancer filter: 5 out" in last and not re.search("^sample ", last, re.MULTILINE)
