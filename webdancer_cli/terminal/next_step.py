"""What came out of a run, where it lies, and what one would do with it next: the last line of every stage."""

import sys
from pathlib import Path
from typing import Any, NamedTuple

from webdancer_cli.data.input_streams import STDIN
from webdancer_cli.data.pipeline import RunStats
from webdancer_cli.options import config

REJECTS = "; --rejects FILE keeps what was left out, with reasons"


def next_step(options: object, stats: RunStats) -> str:
    """The line; "" where the next stage of a pipe goes on with what came out."""
    if isinstance(options, config.TrainingOptions):
        return _checkpoint(options, stats)
    if isinstance(options, config.WorldOptions):
        serving = f"python3 -m http.server -b 127.0.0.1 -d {options.out}/site 8000"
        return f"{stats.counts['pages']:,} pages in {options.out}/site; serve them with `{serving}`"
    if isinstance(options, config.IndexOptions) and not options.to:
        sampled = f"webdancer sample --data qa.jsonl --web {options.out} > trajectories.jsonl"
        return f"{stats.counts['pages']:,} pages in {options.out}; next: {sampled}"
    if isinstance(options, config.CrawlqaOptions) and options.ask == "nothing":
        indexed = f"webdancer index --pages {options.pages} --out web.index"
        return f"{stats.counts['pages']:,} pages in {options.pages}; next: {indexed}"
    if isinstance(options, config.DataOptions | config.CompareOptions | config.VerifyOptions):
        place = written_to(options.out)
        return _records(options, stats, place) if place else ""
    return ""


def _checkpoint(options: config.TrainingOptions, stats: RunStats) -> str:
    if stats.stopped:
        return f"a checkpoint in {options.out}; next: the same again with another --out, from --model {options.out}"
    web = options.web if isinstance(options, config.EpisodeOptions) else "pages.jsonl"
    evaluated = f"webdancer eval --data questions.jsonl --web {web} --model {options.out} > attempts.jsonl"
    return f"a checkpoint in {options.out}; next: {evaluated}"


class Outcome(NamedTuple):
    """What comes out of a stage, under which name it is counted, and the command that takes it: a format of ``place``,
    where it lies, and ``options``."""

    what: str
    counted: str
    following: str


OUTCOMES: dict[type, Outcome] = {
    config.CrawlqaOptions: Outcome(
        "questions", "out", "webdancer e2hqa --data {place} --web {options.pages} > harder.jsonl"
    ),
    config.E2hqaOptions: Outcome(
        "questions", "out", "webdancer sample --data {place} --web {options.web} > trajectories.jsonl"
    ),
    config.LintOptions: Outcome("good questions", "out", "webdancer e2hqa --data {place} > harder.jsonl"),
    config.SampleOptions: Outcome("trajectories", "out", "webdancer filter --data {place} > sft.jsonl"),
    config.FilterOptions: Outcome(
        "good trajectories", "out", "webdancer sft --data {place} --model nano --out checkpoints/sft"
    ),
    config.EvalOptions: Outcome("graded attempts", "out", "webdancer view {place} -o report.html"),
    config.CompareOptions: Outcome(
        "questions gained or lost", "changed", "webdancer view {options.files[0]} {options.files[1]} -o report.html"
    ),
    config.VerifyOptions: Outcome("faults", "faults", ""),
}


def _records(options: Any, stats: RunStats, place: str) -> str:
    if "different fields" in stats.counts:  # two cards were compared
        return f"{stats.counts['different fields']:,} different fields in {place}"
    outcome = OUTCOMES[type(options)]
    came = f"{stats.counts[outcome.counted]:,} {outcome.what} in {place}"
    goes_on = isinstance(options, config.DataOptions)
    if goes_on and (stats.stopped or stats.failed):
        out = f"--out {place} --resume" if options.out == STDIN else "--resume"
        return f"{came}; next: mend what failed, and do the rest by the same command with {out}"
    if goes_on and not (stats.counts["out"] or stats.counts["already done"]):
        return came if options.rejects else came + REJECTS
    following = outcome.following.format(place=place, options=options)
    return f"{came}; next: {following}" if following else came


def written_to(out: str) -> str:
    """Where records went: the file that was named, or to which the shell has led stdout; "" for what keeps none: a
    pipe, a screen, /dev/null."""
    if out != STDIN:
        return out if Path(out).is_file() or not Path(out).exists() else ""
    try:
        descriptor = sys.stdout.fileno()
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
    except (AttributeError, OSError, ValueError):
        return ""
    if not path.is_file():
        return ""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
