"""The last line of a stage: what came out, where it lies, and a command that can be run on it."""

import shlex
import sys
from pathlib import Path

import pytest

from webdancer_cli.data.pipeline import RunStats
from webdancer_cli.options import config, settings
from webdancer_cli.terminal.next_step import next_step


def stats(failed: int = 0, **counts: int) -> RunStats:
    found = RunStats(failed=failed)
    found.counts.update(counts)
    return found


@pytest.mark.parametrize(
    ("options", "found", "told"),
    [
        (config.CrawlqaOptions(out="qa.jsonl"), stats(out=12), "12 questions in qa.jsonl; next: webdancer e2hqa"),
        (config.CrawlqaOptions(ask="nothing"), stats(pages=7), "7 pages in pages.jsonl; next: webdancer index --pages"),
        (config.SampleOptions(out="t.jsonl"), stats(out=1200), "1,200 trajectories in t.jsonl; next: webdancer filter"),
        (config.SampleOptions(out="t.jsonl"), stats(1, out=3), "3 trajectories in t.jsonl; next: mend what failed"),
        (config.FilterOptions(out="s.jsonl"), stats(out=0), "0 good trajectories in s.jsonl; --rejects FILE keeps"),
        (config.EvalOptions(out="a.jsonl"), stats(out=5), "5 graded attempts in a.jsonl; next: webdancer view a.jsonl"),
        (config.SftOptions(out="ck"), stats(), "a checkpoint in ck; next: webdancer eval"),
        (config.WorldOptions(out="w", pages=50), stats(pages=50), "50 pages in w/site; serve them with"),
        (config.IndexOptions(out="web.index"), stats(pages=9), "9 pages in web.index; next: webdancer sample"),
        (config.LintOptions(out="/dev/null"), stats(out=5), ""),
        (config.LintOptions(), stats(out=5), ""),  # it went to a screen, or to the next stage
    ],
)
def test_the_last_line_names_what_came_out_where_and_what_is_next(
    options: object, found: RunStats, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = next_step(options, found)
    assert line.startswith(told) and bool(line) == bool(told)
    if "next: webdancer" in line:
        name, *words = shlex.split(line.partition("next: webdancer ")[2].partition(" > ")[0])
        assert name in settings.COMMANDS and words


def test_a_file_to_which_the_shell_led_stdout_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open("good.jsonl", "w") as file:
        monkeypatch.setattr(sys, "stdout", file)
        line = next_step(config.LintOptions(), stats(out=5))
    assert line.startswith("5 good questions in good.jsonl; next: webdancer e2hqa --data good.jsonl")
