"""Which checks a run with given options needs, in the order in which they are told."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from webdancer_cli.data.jsonl import STDIN
from webdancer_cli.doctor import inputs, machine, services, versions
from webdancer_cli.doctor.findings import Check, Finding, good, wrong
from webdancer_cli.doctor.hub import hub_fault
from webdancer_cli.errors import UsageError
from webdancer_cli.llm.chat_pool import ChatPool
from webdancer_cli.options import config, settings
from webdancer_cli.options.option_checks import Options, named_files
from webdancer_cli.prompts import BUILT_IN, load
from webdancer_cli.web.crawl import roots

LookAtModel = Callable[[Any], Iterable[Finding]]
"""What ``doctor.model`` finds: it imports torch, which the other checks do without."""


def of_installation(torch_devices: Callable[[], Iterable[Finding]]) -> list[Check]:
    """What can be looked at without a stage: what is installed, the machine, and the settings of this folder."""
    return [
        Check("versions", lambda: versions.versions(frozenset())),
        Check("processor", machine.processor),
        Check("torch", torch_devices),
        Check("disk", lambda: [machine.room(".", is_folder=True), machine.scratch()]),
        Check("prompts", lambda: [good("prompts", ", ".join(load(name).id for name in BUILT_IN))]),
        Check("settings", _settings),
    ]


def of_run(options: Options, chat_pool: ChatPool | None, look_at_model: LookAtModel) -> list[Check]:
    """What a run with these options stands on."""
    needed = versions.extras_of(options)
    checks = [Check("versions", lambda: versions.versions(needed)), Check("processor", machine.processor)]
    checks.append(Check("shared", machine.shared_memory))
    checks.append(Check("versions", lambda: versions.tracker(options)))
    if versions.opens_model(options):
        checks.append(Check("model", lambda: _model(options, look_at_model)))
    checks += [Check("data", lambda: inputs.data(options)), Check("files", lambda: inputs.beside(options))]
    checks.append(Check("prompts", lambda: inputs.wording(options)))
    checks += [*_web(options), *_asked(options, chat_pool), Check("disk", lambda: _disk(options))]
    return checks


def _model(options: Options, look_at_model: LookAtModel) -> Iterator[Finding]:
    if fault := hub_fault(str(getattr(options, "model", ""))):
        yield wrong("model", fault)
    else:
        yield from look_at_model(options)


def _settings() -> Iterator[Finding]:
    """``webdancer.toml`` and the variables, as every command reads them. Raises UsageError."""
    for command, kind in settings.COMMANDS.items():
        try:
            settings.build(kind, settings.resolve(command, {}))
        except UsageError as error:
            yield wrong("settings", str(error))
            return
    yield good("settings", f"{settings.FILE} and {settings.PREFIX}* variables hold nothing unknown")


def _web(options: Options) -> Iterator[Check]:
    """The corpus, the live web, or the sites to be crawled."""
    if isinstance(options, config.CrawlqaOptions):
        if sites := [] if roots.are_paths(options.roots or ["://"]) else options.roots:
            yield Check("root", lambda: services.together([services.root(s, options.allow_private) for s in sites]))
        return
    path = getattr(options, "web", None)
    if path is None or (isinstance(options, config.EvalOptions) and (options.grade_only or options.agent == "none")):
        return
    if path != config.LIVE:
        yield Check("web", lambda: inputs.corpus(path))
    elif isinstance(options, config.EpisodeOptions) and not _is_replayed(options):
        yield Check("search", lambda: services.together(services.searches(options)))


def _asked(options: Options, chat_pool: ChatPool | None) -> Iterator[Check]:
    if isinstance(options, config.CallOptions):
        models = [chat.model for chat in chat_pool.chats.values()] if chat_pool else []
        yield Check("tape", lambda: inputs.recorded(options, models))
    if chat_pool and not _is_replayed(options):
        yield Check("endpoint", lambda: services.together(services.models(chat_pool)))
        if isinstance(options, services.Embedding) and options.embed:
            yield Check("endpoint", lambda: services.together(services.embedders(options)))
        if isinstance(options, services.Judging):
            yield Check("judge", lambda: services.together(services.judges(options, chat_pool)))


def _is_replayed(options: object) -> bool:
    return isinstance(options, config.CallOptions) and bool(options.tape) and options.tape_mode == "replay"


def _disk(options: Options) -> Iterator[Finding]:
    """Where the run writes. The folder of a checkpoint is looked at with the model, which tells how much it takes."""
    tape = options.tape if isinstance(options, config.CallOptions) else None
    pages = [options.pages] if isinstance(options, config.CrawlqaOptions) else []
    yield from (machine.room(path) for path in named_files(*options.outputs(), *pages, tape) if path != STDIN)
    if not isinstance(options, config.TrainingOptions):
        yield from (machine.room(folder, is_folder=True) for folder in options.output_folders())
    yield machine.scratch()
