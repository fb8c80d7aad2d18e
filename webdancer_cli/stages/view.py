"""``webdancer view``: what the other stages wrote, as one HTML file, in the terminal, or for other tools."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from webdancer_cli.data import jsonl
from webdancer_cli.data.pipeline import Progress, RunStats
from webdancer_cli.data.records import Rejected, WrongShape
from webdancer_cli.data.totals import count_lines
from webdancer_cli.errors import UsageError
from webdancer_cli.options import config
from webdancer_cli.options.option_checks import same_file
from webdancer_cli.report import terminal
from webdancer_cli.report.flat_table import CSV, PARQUET, FlatTable
from webdancer_cli.report.inspect_log import InspectLog
from webdancer_cli.report.model import Report, ReportBuilder
from webdancer_cli.report.shapes import Shape


class Gathering(Protocol):
    """Takes the decoded lines of files, and writes what it makes of them."""

    def add(self, source: int, value: Any) -> Shape: ...
    def write(self, path: str) -> None: ...


EXPORTS: dict[str, Callable[..., Gathering]] = {CSV: FlatTable, PARQUET: FlatTable, ".eval": InspectLog}
"""What ``out`` is by its ending, if it is no report."""


def run(
    options: config.ViewOptions,
    *,
    progress: Progress | None = None,
    to_file: Callable[[Report, str], None] | None = None,
) -> RunStats:
    """A report by ``to_file``, which is ``report.html.write_html``, or what the ending of ``out`` says; without ``out``
    the records go to the terminal."""
    if options.out is None:
        return _show(options)
    export = EXPORTS.get(Path(options.out).suffix)
    if export:
        return _write(options, export, progress)
    assert to_file is not None  # the front door hands it over: it needs a library that exports do without
    return _write(options, partial(_HtmlReport, to_file), progress)


def is_export(out: str | None) -> bool:
    return out is not None and Path(out).suffix in EXPORTS


class _HtmlReport:
    """Gathers a report, to be written ``to_file``."""

    def __init__(self, to_file: Callable[[Report, str], None], title: str, names: list[str], *, reveal: bool):
        self._builder = ReportBuilder(title, names, reveal=reveal)
        self._to_file = to_file
        self.add = self._builder.add

    def write(self, path: str) -> None:
        self._to_file(self._builder.report(), path)


def _write(
    options: config.ViewOptions, gathering_of: Callable[..., Gathering], progress: Progress | None = None
) -> RunStats:
    """Write the file. A line that cannot be read is counted as failed, and the file is on the others.

    Raises UsageError for files that are not there, and where no line is anything that could be shown.
    """
    names, paths = _named(options)
    for said in (said for path in paths for said in same_file(path, options.out)):
        raise UsageError(said)
    stats, out, total = RunStats(), str(options.out), _total(paths, options.limit) if progress else None
    gathering = gathering_of(options.title, names, reveal=options.reveal)
    for source, line in _lines(paths, options.limit, stats):
        try:
            stats.counts["not shown" if gathering.add(source, line.value) == "other" else "shown"] += 1
        except WrongShape as error:
            _fail(stats, Rejected(reason="wrong_shape", detail=f"{line.name}: {error}"))
        if progress:
            progress.step(stats.counts.total(), total, line.name)
    if not stats.counts["shown"]:
        raise UsageError(f"nothing to show: {stats.last_failure or 'none of the lines is a record'}")
    gathering.write(out)
    stats.remark = f"{out}: {Path(out).stat().st_size / 1e6:.1f} MB; {_opened_by(out)}"
    return stats


def _total(paths: list[str], limit: int | None) -> int | None:
    """Lines of all files, of each the first ``limit``; None where stdin is one of them."""
    return None if jsonl.STDIN in paths else count_lines(*paths, most=limit)


def _opened_by(out: str) -> str:
    """What one would do with the file."""
    by_ending = {".eval": f"inspect view start --log-dir {Path(out).parent}", CSV: "a table", PARQUET: "a table"}
    return by_ending.get(Path(out).suffix, "open it in a browser")


def _show(options: config.ViewOptions) -> RunStats:
    """Show the records in the terminal, or as plain text where the output goes elsewhere."""
    _, paths = _named(options)
    stats = RunStats()
    with terminal.screen() as screen:
        for _, line in _lines(paths, options.limit, stats):
            try:
                screen.show(line.name, line.value, reveal=options.reveal)
                stats.counts["shown"] += 1
            except WrongShape as error:
                _fail(stats, Rejected(reason="wrong_shape", detail=f"{line.name}: {error}"))
    return stats


def _lines(paths: list[str], limit: int | None, stats: RunStats) -> Iterator[tuple[int, jsonl.Line]]:
    """The number of the file, and its line; what is no JSON is counted as failed."""
    for source, path in enumerate(paths):
        for number, line in enumerate(jsonl.read_values(path, lambda bad: _fail(stats, bad)), 1):
            yield source, line
            if number == limit:
                break


def _fail(stats: RunStats, bad: Rejected) -> None:
    stats.failed += 1
    stats.reasons[bad.reason] += 1
    stats.last_failure = bad.detail


def _named(options: config.ViewOptions) -> tuple[list[str], list[str]]:
    """The names of the files and their paths: NAME=FILE, else the shortest end of the path that tells them apart."""
    if not options.files:
        raise UsageError("which files? Name those that the other stages wrote, or - for stdin")
    given = [_split(argument) for argument in options.files]
    for _, path in given:
        if path != jsonl.STDIN and not Path(path).is_file():
            raise UsageError(f"{path}: no such file: name a file of JSON lines")
    paths = [path for _, path in given]
    taken = {name for name, _ in given}
    short = [Path(path).name if name in taken else name for name, path in zip(short_names(paths), paths, strict=True)]
    return [name or short[number] for number, (name, _) in enumerate(given)], paths


def _split(argument: str) -> tuple[str, str]:
    """A file that is there keeps its equals signs."""
    name, equals, path = argument.partition("=")
    return (name, path) if equals and path and not Path(argument).is_file() else ("", argument)


def short_names(paths: list[str]) -> list[str]:
    """The shortest ends of the paths, without their endings, that differ: "sft/metrics" and "rl/metrics"."""
    parts = [Path(path).with_suffix("").parts if path != jsonl.STDIN else ("stdin",) for path in paths]
    longest = max(map(len, parts), default=0)
    for depth in range(1, longest + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return list(paths)
