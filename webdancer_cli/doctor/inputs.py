"""Whether what a run reads can be read: its first records, its corpus, prompts, tools, and the files beside."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from webdancer_cli.agent.custom_tools import load_tools
from webdancer_cli.data import jsonl
from webdancer_cli.data.benchmarks import Loader
from webdancer_cli.data.jsonl import BadLine
from webdancer_cli.data.questions import read_questions
from webdancer_cli.data.records import Attempt, Rejected
from webdancer_cli.data.sealed import SealTerms, terms_of
from webdancer_cli.doctor.findings import Finding, good, wrong
from webdancer_cli.errors import UsageError
from webdancer_cli.grading.predictions import read_predictions
from webdancer_cli.options import config
from webdancer_cli.prompts import load, load_for
from webdancer_cli.report import card
from webdancer_cli.tape import Tape
from webdancer_cli.transcript.released_format import read_trajectories
from webdancer_cli.web.open_pages import open_pages
from webdancer_cli.web.page_lines import read_pages

LOOKED_AT = 200
"""Records of a file that are read."""
BESIDE = ("gold", "ids", "skip_solved", "eval_data", "curriculum", "prices", "against", "merge")
"""Options that name files to read beside the data."""

Reading = Callable[[BadLine], Iterable[object]]


def first_records(about: str, name: str, read: Reading) -> Iterator[Finding]:
    """The first records of a file. Raises UsageError for one that is missing, or of another kind."""
    bad: list[Rejected] = []
    count = sum(1 for _ in islice(read(bad.append), LOOKED_AT))
    if bad:
        read_of = f"{len(bad)} of the first {count + len(bad)} lines cannot be read"
        yield wrong(about, f"{name}: {read_of}, the first because {bad[0].detail}: mend or remove them")
    elif not count:
        yield wrong(about, f"{name}: holds no records: was the stage before it run?")
    else:
        yield good(about, f"{name}: the first {count} records can be read")


def data(options: object) -> Iterator[Finding]:
    """What ``--data`` names, as the stage reads it."""
    if isinstance(options, config.EvalOptions):
        Loader(options.benchmark, options.ids)
    if not (source := str(getattr(options, "data", ""))):
        return
    if isinstance(options, config.CrawlqaOptions) and options.roots:
        return
    if source == jsonl.STDIN:
        yield good("data", "comes on stdin, and was not looked at: name a file with --data to have it read")
    elif not Path(source).is_file():
        yield wrong("data", f"{source}: no such file: name a JSON lines file with --data")
    elif reading := _reading(options, source):
        yield from first_records("data", source, reading)


def _reading(options: object, source: str) -> Reading | None:
    if isinstance(options, config.SftOptions | config.FilterOptions):
        return lambda bad: read_trajectories(source, bad)
    if isinstance(options, config.EvalOptions) and options.grade_only:
        return lambda bad: read_predictions(source, None, bad, SealTerms(canary=options.canary))
    if isinstance(options, config.EncryptedOptions):
        loader = Loader(options.benchmark, options.ids) if isinstance(options, config.EvalOptions) else Loader()
        return lambda bad: loader.questions(read_questions(source, bad, terms_of(options)))
    return None


def beside(options: object) -> Iterator[Finding]:
    """The other files that are read, and the folders that are looked through."""
    for name in BESIDE:
        given = getattr(options, name, None) or []
        for path in [given] if isinstance(given, str) else given:
            if not Path(path).is_file():
                yield wrong("files", f"--{name.replace('_', '-')} {path}: no such file: name one that is there")
    if isinstance(options, config.EvalOptions) and options.gold and Path(options.gold).is_file():
        gold, terms = options.gold, SealTerms(canary=options.canary)
        yield from first_records("files", f"--gold {gold}", lambda bad: read_questions(gold, bad, terms))
    if isinstance(options, config.CompareOptions):
        for path in options.files:
            yield from first_records("files", path, _attempts(path))
    if isinstance(options, config.ViewOptions):
        paths = [path if Path(path).is_file() else path.partition("=")[2] or path for path in options.files]
        missing = [path for path in paths if path != jsonl.STDIN and not Path(path).is_file()]
        yield from (wrong("files", f"{path}: no such file: name one that a stage wrote") for path in missing)
    if isinstance(options, config.VerifyOptions) and options.file:
        card.read(options.file)
        yield good("files", f"{options.file}: a run card")


def _attempts(path: str) -> Reading:
    return lambda bad: jsonl.read_records(path, Attempt, bad)


def corpus(path: str) -> Iterator[Finding]:
    """The first pages of ``--web``, or the whole of an index, which is opened at once. Raises UsageError."""
    if Path(path).is_dir():
        yield good("web", f"--web {path}: an index of {len(open_pages(path)):,} pages")
        return
    if path == jsonl.STDIN:
        raise UsageError("--web -: needs a file: pages on stdin cannot be read again; name the file that --pages wrote")
    if not Path(path).is_file():
        yield wrong("web", f"--web {path}: no such file: crawl it with `webdancer crawlqa URL --pages {path}`")
        return
    yield from first_records("web", f"--web {path}", lambda bad: read_pages(path, bad))


def wording(options: object) -> Iterator[Finding]:
    """Prompts and own tools. Raises UsageError."""
    if isinstance(options, config.EpisodeOptions):
        yield good("prompts", f"{load_for(options).id}")
    elif name := getattr(options, "prompts", ""):
        yield good("prompts", f"{load(name).name}")
    if tools := load_tools(getattr(options, "tool", [])):
        yield good("tools", ", ".join(tool.name for tool in tools))


def recorded(options: config.CallOptions, models: Iterable[str]) -> Iterator[Finding]:
    """A tape that is there already, or has to be; a replay needs calls of all its ``models``. Raises UsageError for a
    file that is no tape."""
    if not options.tape or (options.tape_mode != "replay" and not Path(options.tape).is_file()):
        return
    with Tape(options.tape, "replay") as opened:
        known = {exchange.label for exchange in opened.exchanges() if exchange.kind == "llm"}
        if options.tape_mode == "replay" and (lacking := sorted(set(models) - known)):
            told = (
                f"{options.tape}: has no call of {', '.join(lacking)}, but of {', '.join(sorted(known)) or 'no model'}"
            )
            yield wrong("tape", f"{told}: replay the tape of a run with these models, or add to it by --tape-mode auto")
        else:
            yield good("tape", f"{options.tape}: recorded from {opened.date} on")
