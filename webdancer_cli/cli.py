"""The front door: flags in, one stage call, JSON lines out.

Here, and nowhere else, imports stand inside functions: ``--help`` must not wait for torch. Here, and nowhere else,
errors become exit codes: 0 all good; 1 finished, some records failed; 2 usage or configuration; 130 interrupted.
"""

import inspect
import os
import select
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import typer

from webdancer_cli import __version__, config, flags, settings
from webdancer_cli.errors import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_SOME_FAILED,
    EXIT_USAGE,
    ClosedPipe,
    UsageError,
    WebdancerError,
)

if TYPE_CHECKING:
    from webdancer_cli.agent.episode import Policy
    from webdancer_cli.agent.summariser import Summariser
    from webdancer_cli.flow import Progress, Tally
    from webdancer_cli.llm import Chat
    from webdancer_cli.synthesis.roles import Hardener, QuestionWriter
    from webdancer_cli.tape import Tape
    from webdancer_cli.web.live import LiveWeb
    from webdancer_cli.web.taped import TapedWeb

EXTRAS = {
    "torch": "train",
    "transformers": "train",
    "peft": "train",
    "safetensors": "train",
    "tokenizers": "train",
    "vllm": "vllm",
    "jinja2": "report",
}
"""Which extra of the package brings a module that may be missing."""

TYPER_USAGE_ERROR = cast(type[typer.BadParameter], typer.BadParameter.__mro__[1])
"""What Typer raises for a mistyped command or flag; the class itself is exported by no version of Typer."""

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)


@dataclass(frozen=True)
class Run:
    """One run of one command, and what it tells the user on stderr."""

    command: str
    quiet: bool = False

    def say(self, line: str) -> None:
        if not self.quiet and _is_first_rank():
            print(f"webdancer {self.command}: {line}", file=sys.stderr, flush=True)

    def table(self, text: str) -> None:
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def progress(self) -> "AbstractContextManager[Progress | None]":
        from webdancer_cli import progress

        return progress.shown(self.command, quiet=self.quiet or not _is_first_rank())

    def end(self, tally: "Tally", player: object = None) -> int:
        """Sum up: what became of the records, what the calls took, and why the run stopped early, if it did."""
        self.say(tally.line())
        if ledger := getattr(player, "ledger", None):
            self.say(ledger.line())
        if tally.stopped:
            print(f"webdancer {self.command}: stopped: {tally.stopped}", file=sys.stderr, flush=True)
        return tally.exit_code


Result = TypeVar("Result")
Work = Callable[[Any, Run], int]


def command(work: Work) -> Work:
    """Make ``work(options, run)`` the command of its name: the docstring is its help, its dataclass gives the flags."""
    name = work.__name__.removesuffix("_")

    def invoked(quiet: bool, show_config: bool, **given: Any) -> int:
        run = Run(name, quiet)
        return ending(run, lambda: _show(name, given) if show_config else work(_options(name, given), run))

    invoked.__signature__ = inspect.Signature(flags.parameters(name))  # type: ignore[attr-defined]
    invoked.__annotations__ = {}
    app.command(name, help=work.__doc__)(invoked)
    return work


def _options(name: str, given: dict[str, Any]) -> Any:
    options: Any = settings.build(settings.COMMANDS[name], settings.resolve(name, given))
    if isinstance(options, config.DataStage | config.Training):
        _refuse_overwriting(options)
    if isinstance(options, config.DataStage) and _reads_stdin(options):
        # A stage before us in the pipe may still be writing the pages that we read: they are whole with its first line.
        select.select([sys.stdin], [], [])
    return options


def _reads_stdin(options: "config.DataStage | config.Training") -> bool:
    return options.data == "-" and not getattr(options, "roots", None)


def _refuse_overwriting(options: "config.DataStage | config.Training") -> None:
    """Nothing may be lost: neither the input, nor what is there already when no input comes."""
    others = [getattr(options, name, None) for name in ("rejects", "unused_qa", "skip_solved", "tape")]
    files = [os.path.realpath(path) for path in [options.data, options.out, *others] if path and path != "-"]
    twice = next((path for path in files if files.count(path) > 1), None)
    if twice:
        raise UsageError(f"{twice}: named twice among the files to read and to write; name different files")
    if _reads_stdin(options) and (sys.stdin is None or sys.stdin.isatty()):
        raise UsageError("nothing on stdin: pipe JSON lines in, or name a file with --data")
    if options.data != "-" and not Path(options.data).is_file():
        raise UsageError(f"{options.data}: no such file: name a JSON lines file with --data")


def _show(name: str, given: dict[str, Any]) -> int:
    print(settings.show(name, settings.resolve(name, given)))
    return EXIT_OK


@app.callback(invoke_without_command=True)
def webdancer(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> int:
    """From web pages to a trained web-research agent: JSON lines in, JSON lines out.

    \b
    webdancer world --out world && python3 -m http.server -b 127.0.0.1 -d world/site 8000 &
    webdancer crawlqa http://127.0.0.1:8000/ --allow-private --pages pages.jsonl |
      webdancer e2hqa --web pages.jsonl |
      webdancer sample --web pages.jsonl -n 3 |
      webdancer filter > sft.jsonl
    webdancer sft --data sft.jsonl --model nano --out checkpoints/sft
    """
    if version:
        print(f"webdancer {__version__}")
    elif context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        return EXIT_USAGE
    return EXIT_OK


@command
def crawlqa(options: config.Crawlqa, run: Run) -> int:
    """Crawl from root URLs and write questions with the pages that prove their answers.

    \b
    webdancer crawlqa https://docs.python.org/3/ --max-pages 200 --pages pages.jsonl > qa.jsonl
    echo '{"url": "http://127.0.0.1:8000/"}' | webdancer crawlqa --allow-private > qa.jsonl
    webdancer crawlqa http://127.0.0.1:8000/ --allow-private --types count,intersection | head -3
    webdancer crawlqa https://docs.python.org/3/ --model qwen --base-url http://127.0.0.1:8000/v1 > qa.jsonl
    """
    from webdancer_cli.stages import crawlqa as stage

    with _taped(options, run) as tape:
        chat = _chat(options, "author", tape)
        author = _author(options, chat, run)
        with run.progress() as progress:
            tally = _await(stage.run(options, author, progress, tape), chat)
    return run.end(tally, chat)


@command
def e2hqa(options: config.E2hqa, run: Run) -> int:
    """Make questions harder: an entity gives way to a description found through search; the answer stays.

    \b
    webdancer e2hqa --data qa.jsonl --web pages.jsonl --rounds 2 > harder.jsonl
    webdancer e2hqa --data qa.jsonl --model qwen --base-url http://127.0.0.1:8000/v1 > harder.jsonl
    echo '{"question": "Who wrote Emma?", "answer": "Jane Austen"}' | webdancer e2hqa --web pages.jsonl
    """
    from webdancer_cli.stages import e2hqa as stage

    with _taped(options, run) as tape:
        chat = _chat(options, "rewriter", tape)
        rewriter = _rewriter(options, chat, run)
        with run.progress() as progress:
            tally = _await(stage.run(options, rewriter, progress), chat)
    return run.end(tally, chat)


@command
def lint(options: config.Lint, run: Run) -> int:
    """Check questions, whoever wrote them: the good ones pass, the others get reasons, a report goes to stderr.

    \b
    webdancer lint --data qa.jsonl --rejects bad.jsonl > good.jsonl
    webdancer lint --data qa.jsonl --against gaia.jsonl,webwalkerqa.jsonl --report report.json > good.jsonl
    webdancer lint --data qa.jsonl --allow-boolean --out /dev/null
    """
    from webdancer_cli.stages import lint as stage

    with run.progress() as progress:
        tally, report = stage.run(options, progress)
    run.table(report.table())
    return run.end(tally)


@command
def sample(options: config.Sample, run: Run) -> int:
    """Play ReAct episodes over questions, with search and visit over the pages of --web.

    \b
    webdancer sample --data qa.jsonl --web pages.jsonl -n 3 > trajectories.jsonl
    webdancer sample --data qa.jsonl --model qwq --base-url http://127.0.0.1:8000/v1 --out t.jsonl --resume
    webdancer sample --data qa.jsonl --model checkpoints/sft --prompts compact > trajectories.jsonl
    webdancer sample --data qa.jsonl --web live --search searxng=http://127.0.0.1:8888 --model nano > t.jsonl
    """
    from webdancer_cli.stages import sample as stage

    with _taped(options, run) as tape:
        policy, web = _policy(options, run, tape), _live_web(options, tape)
        summariser = _summariser(options, tape)
        with run.progress() as progress:
            playing = stage.run(options, policy, progress, web=web, summariser=summariser)
            tally = _await(playing, policy, web, summariser)
        _tell_failures(summariser, run)
    return run.end(tally, policy)


@command
def filter_(options: config.Filter, run: Run) -> int:
    """Keep the good trajectories: valid, correct, of quality; the funnel is shown on stderr.

    \b
    webdancer filter --data trajectories.jsonl --rejects rejects.jsonl > sft.jsonl
    webdancer filter --data trajectories.jsonl --format webdancer --unused-qa rl.jsonl > sft.jsonl
    """
    from webdancer_cli.stages import filter as stage

    tally, funnel = stage.run(options)
    run.table(funnel.table())
    return run.end(tally)


@command
def sft(options: config.Sft, run: Run) -> int:
    """Fine-tune on kept trajectories; only what the policy wrote bears loss.

    \b
    webdancer sft --data sft.jsonl --model nano --out checkpoints/sft
    webdancer sft --data sft.jsonl --model Qwen/Qwen2.5-7B --lora-rank 32 --out checkpoints/sft
    torchrun --nproc-per-node 2 -m webdancer_cli sft --data sft.jsonl --model nano --out checkpoints/sft
    """
    from webdancer_cli.stages import sft as stage

    with run.progress() as progress:
        tally = stage.run(options, progress)
    return run.end(tally)


@command
def rl(options: config.Rl, run: Run) -> int:
    """Train with DAPO on questions; the policy plays its own episodes over the pages of --web.

    \b
    webdancer rl --data qa.jsonl --web pages.jsonl --model checkpoints/sft --out checkpoints/rl --minutes 10
    torchrun --nproc-per-node 2 -m webdancer_cli rl --data qa.jsonl --model checkpoints/sft --out checkpoints/rl
    """
    from webdancer_cli.stages import rl as stage

    web = _live_web(options)
    with run.progress() as progress:
        tally = stage.run(options, progress, web=web)
    return run.end(tally)


@command
def eval_(options: config.Eval, run: Run) -> int:
    """Play and grade: accuracy as k/n with its interval, by level; the scores are shown on stderr.

    \b
    webdancer eval --data questions.jsonl --web pages.jsonl --model checkpoints/rl > attempts.jsonl
    webdancer eval --data questions.jsonl --web pages.jsonl --model checkpoints/rl --temperature 1 --runs 3 > a.jsonl
    webdancer eval --data questions.jsonl --web pages.jsonl --model builtin > demonstrator.jsonl
    """
    from webdancer_cli.stages import eval as stage

    with _taped(options, run) as tape:
        policy, web = _policy(options, run, tape), _live_web(options, tape)
        summariser = _summariser(options, tape)
        with run.progress() as progress:
            playing = stage.run(options, policy, progress, web=web, summariser=summariser)
            tally, scores = _await(playing, policy, web, summariser)
        _tell_failures(summariser, run)
    run.table(scores.table())
    return run.end(tally, policy)


@command
def world(options: config.World, run: Run) -> int:
    """Write a fictional web as static HTML, with the facts behind it in facts.jsonl.

    \b
    webdancer world --pages 300 --seed 1 --out world && python3 -m http.server -b 127.0.0.1 -d world/site 8000
    webdancer world --pages 300 --seed 2 --style plain --names eval --out unseen
    """
    from webdancer_cli.stages import world as stage

    with run.progress() as progress:
        pages = stage.run(options, progress)
    run.say(f"{pages} pages; serve them with `python3 -m http.server -b 127.0.0.1 -d {options.out}/site 8000`")
    return EXIT_OK


@command
def tape(options: config.Tape, run: Run) -> int:
    """List what a tape holds as JSON lines; merge other tapes into it and remove what is not wanted before.

    \b
    webdancer tape run.tape
    webdancer tape run.tape --merge shard-1.tape,shard-2.tape > list.jsonl
    webdancer tape run.tape --drop web --drop-label qwen --drop-older-days 30 > list.jsonl
    """
    from webdancer_cli.stages import tape as stage

    run.say(stage.run(options))
    return EXIT_OK


def _await(stage: Coroutine[Any, Any, Result], *players: object) -> Result:
    """Run the stage; then close what its players hold open, in the event loop that opened it."""
    import asyncio  # half of what --help would cost

    async def whole() -> Result:
        try:
            return await stage
        finally:
            for player in players:
                if close := getattr(player, "aclose", None):
                    await close()

    return asyncio.run(whole())


def _live_web(options: config.Episode, tape: "Tape | None" = None) -> "LiveWeb | TapedWeb | None":
    """The live web, or None: then ``--web`` names a corpus."""
    if options.web == config.LIVE:
        from webdancer_cli.web.live import open_live
        from webdancer_cli.web.taped import TapedWeb

        live = open_live(options, asks=tape is None or tape.mode != "replay")
        return TapedWeb(live, tape) if tape else live
    if options.search:
        raise UsageError(f"--search {options.search}: searches the live web; add --web live")
    return None


@contextmanager
def _taped(options: config.Remote, run: Run) -> "Iterator[Tape | None]":
    """The tape of a run, if it has one. The date that a policy is told is the tape's, unless the user gave another."""
    if not options.tape:
        yield None
        return
    from webdancer_cli.tape import Tape

    with Tape(options.tape, options.tape_mode) as tape:
        if isinstance(options, config.Episode) and options.date is None:
            options.date = tape.date
        yield tape
        run.say(f"{options.tape}: {tape.line()}")


def _chat(options: "config.Crawlqa | config.E2hqa", role: str, tape: "Tape | None") -> "Chat | None":
    """The endpoint that writes questions, or None: then the built-in rules do. A checkpoint cannot."""
    _refuse_nameless(options)
    if options.base_url:
        from webdancer_cli.llm import Chat
        from webdancer_cli.spending import Ledger

        return Chat(
            options.base_url,
            options.model,
            temperature=options.temperature,
            top_p=options.top_p,
            jobs=options.jobs,
            ledger=Ledger.of(options),
            tape=tape,
        )
    if options.model != config.BUILTIN:
        raise UsageError(f"--model {options.model}: a model as {role} needs --base-url; or take --model builtin")
    return None


def _refuse_nameless(options: config.Remote) -> None:
    if options.base_url and options.model == config.BUILTIN:
        raise UsageError(f"--base-url {options.base_url[0]}: which of its models? Name it with --model")


def _author(options: config.Crawlqa, chat: "Chat | None", run: Run) -> "QuestionWriter":
    if chat:
        from webdancer_cli import prompts
        from webdancer_cli.synthesis.asking import ChatAsk
        from webdancer_cli.synthesis.chat_author import ChatAuthor

        return ChatAuthor(options, ChatAsk(chat), prompts.load("default").files)
    run.say("--model builtin: questions are written by rules from the pages' sentences and links")
    from webdancer_cli.synthesis.author import Author

    return Author(options)


def _rewriter(options: config.E2hqa, chat: "Chat | None", run: Run) -> "Hardener":
    if chat:
        from webdancer_cli import prompts
        from webdancer_cli.synthesis.asking import ChatAsk
        from webdancer_cli.synthesis.chat_rewriter import ChatRewriter

        return ChatRewriter(options, ChatAsk(chat), prompts.load("default").files)
    run.say("--model builtin: entities are described by rules from the pages found")
    from webdancer_cli.synthesis.rewriter import Rewriter

    return Rewriter(options)


def _policy(options: "config.Sample | config.Eval", run: Run, tape: "Tape | None") -> "Policy":
    """The demonstrator, a chat endpoint, or a checkpoint."""
    _refuse_nameless(options)
    if options.base_url:
        from webdancer_cli.agent.chat import ChatPolicy
        from webdancer_cli.spending import Ledger

        return ChatPolicy(options, ledger=Ledger.of(options), tape=tape)
    if options.cot == "long" or options.repetition_penalty != 1:
        raise UsageError("--cot long and --repetition-penalty are for endpoints; name one with --base-url")
    if options.model == config.BUILTIN:
        run.say("--model builtin: the demonstrator follows each question's evidence; no model answers")
        from webdancer_cli.agent.demonstrator import Demonstrator

        return Demonstrator(options)
    from webdancer_cli.training.policies import open_policy

    return open_policy(options)


def _summariser(options: "config.Sample | config.Eval", tape: "Tape | None") -> "Summariser | None":
    """The model that reads pages for the policy, or None: then the pages' own sentences are shown."""
    model, base_urls = options.summariser_model, options.base_url
    if options.summariser_base_url:
        base_urls = [options.summariser_base_url]
        if not model:
            raise UsageError(f"--summariser-base-url {base_urls[0]}: which of its models? Name it: --summariser-model")
    if not model:
        return None
    if not base_urls:
        raise UsageError(f"--summariser-model {model}: at which endpoint? Name it with --summariser-base-url")
    from webdancer_cli import prompts
    from webdancer_cli.agent.summariser import Summariser
    from webdancer_cli.llm import Chat
    from webdancer_cli.spending import Ledger, price_of

    price = price_of(model, options.prices)
    ledger = Ledger(model, price=price, max_cost=options.max_cost, max_tokens=options.max_tokens)
    chat = Chat(base_urls, model, temperature=0.0, top_p=1.0, jobs=options.jobs, ledger=ledger, tape=tape)
    return Summariser(chat, prompts.load_for(options), options.tool_seconds)


def _tell_failures(summariser: "Summariser | None", run: Run) -> None:
    if summariser and summariser.failures:
        run.say(f"the summariser failed on {summariser.failures} visits, which showed the pages' own sentences instead")


def ending(run: Run, work: Callable[[], int]) -> int:
    """The exit code of ``work``; whatever ends it early costs one line on stderr at most."""
    try:
        return work()
    except SystemExit:
        raise
    except BaseException as error:
        if os.environ.get("WEBDANCER_DEBUG"):
            traceback.print_exc()
        return _explained(run.command, _single(error))


def _single(error: BaseException) -> BaseException:
    """The error inside the groups that asyncio's task groups wrap around it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _explained(command: str, error: BaseException) -> int:
    if isinstance(error, ClosedPipe | BrokenPipeError):
        return EXIT_OK
    line, code = _line_and_code(error)
    if code != EXIT_USAGE or _is_first_rank():
        print(f"webdancer {command}: {' '.join(line.split())}", file=sys.stderr, flush=True)
    return code


def _line_and_code(error: BaseException) -> tuple[str, int]:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; what was finished is written, --resume does the rest", EXIT_INTERRUPTED
    if isinstance(error, WebdancerError):
        return str(error), error.exit_code
    if missing := _missing_module(error):
        return f"{missing} is not installed: pip install 'webdancer[{EXTRAS[missing]}]'", EXIT_USAGE
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'writing'}: {error.strerror}", EXIT_SOME_FAILED
    return f"{type(error).__name__}: {error}: this is a bug; WEBDANCER_DEBUG=1 shows where", EXIT_SOME_FAILED


def _missing_module(error: BaseException | None) -> str | None:
    """The module of an extra that could not be imported: the error may wrap the one that names it."""
    while error is not None:
        module = (error.name or "").partition(".")[0] if isinstance(error, ImportError) else ""
        if module in EXTRAS:
            return module
        error = error.__cause__ or error.__context__
    return None


def _is_first_rank() -> bool:
    return os.environ.get("RANK", "0") == "0"


def run_command(arguments: list[str]) -> int:
    """Parse and run; the exit code. A mistyped command or flag is one line, too."""
    try:
        return int(app(arguments, prog_name="webdancer", standalone_mode=False) or EXIT_OK)
    except TYPER_USAGE_ERROR as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "webdancer"
        print(f"{path}: {' '.join(error.format_message().split())} (see {path} --help)", file=sys.stderr)
        return EXIT_USAGE


def main() -> None:
    code = run_command(sys.argv[1:])
    _flush_or_silence()
    sys.exit(code)


def _flush_or_silence() -> None:
    """Flush stdout; if its reader has gone, point it to nowhere: then the interpreter does not complain at its exit."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
