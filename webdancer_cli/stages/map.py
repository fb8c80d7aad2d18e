"""``webdancer map``: a data stage over every part of a folder."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from webdancer_cli import __version__
from webdancer_cli.cluster.map_folder import MapFolder, MapRun, PartInput
from webdancer_cli.cluster.part_runner import PART, PartOutcome, PartTask, run_part
from webdancer_cli.data.pipeline import Progress, RunStats
from webdancer_cli.errors import UsageError
from webdancer_cli.options import config, flags, settings

MAPS_OWN = ("data", "out", "rejects", "summary", "resume", "shard", "limit", "dry_run")
"""Options of the stage that the map gives."""
NOT_PINNED = (*MAPS_OWN, "jobs", "max_cost", "max_tokens")
"""Options that do not change what comes out."""


Engine = Callable[[list[PartTask], int, str], Iterator[PartOutcome]]
"""Does tasks elsewhere: so many at once, at an address."""


def run(options: config.MapOptions, *, progress: Progress | None = None, engine: Engine | None = None) -> RunStats:
    """Counts the ``parts`` that are done now and those that were done before, and what is in them together.

    An ``engine`` does them elsewhere. Raises UsageError for a stage that cannot be mapped, for a folder that holds
    another map, and if the stage refuses its options.
    """
    stage = _stage_options(options)
    inputs = _inputs(Path(options.source))
    folder = MapFolder(options.out)
    kept = {name: value for name, value in vars(stage).items() if name not in NOT_PINNED}
    pinned = MapRun(options.command[0], kept, inputs)
    folder.pin(pinned, resume=options.resume)
    chosen = inputs if options.part is None else [_numbered(inputs, options)]
    words = [*options.command, *_divided(stage, min(options.jobs, len(chosen)), len(inputs))]
    source, out = Path(options.source).absolute(), str(Path(options.out).absolute())
    tasks = [PartTask(part.name, str(source / part.name), out, str(Path.cwd()), words, __version__) for part in chosen]
    stats = RunStats()
    for outcome in engine(tasks, options.jobs, options.on) if engine else _here(tasks, options.jobs):
        _count(stats, outcome)
        if outcome.is_usage:
            raise UsageError(f"part {outcome.part}: {outcome.failure}")
        if progress:
            progress.step(stats.counts["parts"] + stats.counts["parts done before"], len(tasks), stats.summary())
    return stats


def _stage_options(options: config.MapOptions) -> config.DataOptions:
    """The options that the stage will have. Raises UsageError for those that only the map can give."""
    if not options.command:
        raise UsageError("which stage? Name it after --, with its options: webdancer map --in parts -- lint")
    name, *words = options.command
    kind = settings.COMMANDS.get(name)
    if kind is None or not issubclass(kind, config.DataOptions):
        raise UsageError(f"{name}: is no stage that reads and writes records: it cannot be mapped")
    given = flags.parsed(name, words)
    if own := next((field for field in MAPS_OWN if given.get(field) is not None), None):
        raise UsageError(f"-- {name} --{own.replace('_', '-')}: the map gives that to each part; leave it out")
    stage: config.DataOptions = settings.build(kind, settings.resolve(name, given))
    shared = [path for path in stage.outputs() if path != "-" and PART not in path]
    if shared or (name == "crawlqa" and not any(PART in word for word in words)):
        raise UsageError(f"-- {name}: all parts would write {shared[0] if shared else 'its pages'}: put {PART} into it")
    return stage


def _inputs(folder: Path) -> list[PartInput]:
    """The files of a folder in the order of their names. Raises UsageError if there are none, or half of them."""
    if not folder.is_dir():
        raise UsageError(f"--in {folder}: no such folder: make one with `webdancer split`")
    if any(entry.name.startswith(".part-") for entry in folder.iterdir()):
        raise UsageError(f"--in {folder}: is not whole: a `webdancer split` was interrupted; run it again")
    files = sorted(entry for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith("."))
    if not files:
        raise UsageError(f"--in {folder}: holds no parts")
    return [PartInput(file.name, file.stat().st_size) for file in files]


def _numbered(inputs: list[PartInput], options: config.MapOptions) -> PartInput:
    number = options.part or 0
    if number >= len(inputs):
        raise UsageError(f"--on part:{number}: there are {len(inputs)} parts, counted from 0")
    return inputs[number]


def _divided(stage: config.DataOptions, at_once: int, parts: int) -> Iterator[str]:
    """What the parts share: calls at once, and what they may cost."""
    yield from ("--jobs", str(max(1, stage.jobs // at_once)))
    if isinstance(stage, config.CallOptions):
        if stage.max_cost is not None:
            yield from ("--max-cost", repr(stage.max_cost / parts))
        if stage.max_tokens is not None:
            yield from ("--max-tokens", str(max(1, stage.max_tokens // parts)))


def _here(tasks: list[PartTask], at_once: int) -> Iterator[PartOutcome]:
    """The outcomes as they come, of so many parts at once. When nobody asks for more, what runs is told to end."""
    stop = threading.Event()
    with ThreadPoolExecutor(at_once) as pool:
        try:
            for done in as_completed([pool.submit(run_part, task, stop) for task in tasks]):
                yield done.result()
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)


def _count(stats: RunStats, outcome: PartOutcome) -> None:
    if not outcome.manifest:
        stats.counts["parts failed"] += 1
        stats.failed += 1
        stats.last_failure = f"part {outcome.part}: {outcome.failure}"
        return
    done = outcome.manifest
    stats.counts["parts done before" if outcome.already else "parts"] += 1
    stats.counts.update({"out": done.files["output"].lines, "rejected": done.files["rejects"].lines})
    stats.reasons.update(done.summary.reasons)
    stats.failed += done.summary.failed
