"""The front door: flags in, one stage call, JSON lines out.

Here, and nowhere else, imports stand inside functions: ``--help`` must not wait for torch. Which model, and which web,
takes which part of a run is decided here, too: the functions below the commands open them.
"""

import inspect
import os
import select
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import typer

from webdancer_cli import __version__, config, flags, locks, settings
from webdancer_cli.endings import ending, is_first_rank
from webdancer_cli.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, UsageError

if TYPE_CHECKING:
    from webdancer_cli.agent.episode import Policy
    from webdancer_cli.agent.summariser import Summariser
    from webdancer_cli.flow import Progress, Tally
    from webdancer_cli.grading.answers import Judge
    from webdancer_cli.grading.critic import Critic
    from webdancer_cli.llm import Chat, Patience
    from webdancer_cli.prompts import PromptSet
    from webdancer_cli.staff import Staff
    from webdancer_cli.synthesis.roles import Hardener, QuestionWriter
    from webdancer_cli.tape import Tape
    from webdancer_cli.web.live import LiveWeb
    from webdancer_cli.web.taped import TapedWeb

SHOWN_CHARS = 300
"""What is shown of the last failure; all of it stands in the rejects."""
RL_JUDGE_CALLS = 64
"""Answers judged at once in ``rl``."""

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
        if not self.quiet and is_first_rank():
            print(f"webdancer {self.command}: {line}", file=sys.stderr, flush=True)

    def table(self, text: str) -> None:
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def plan(self, options: config.Calls, staff: "Staff") -> int:
        """What the run would do. On stderr, even if quiet: it was asked for."""
        from webdancer_cli import dry_run

        print(f"webdancer {self.command}: {dry_run.plan(options).table(staff)}", file=sys.stderr, flush=True)
        return EXIT_OK

    def progress(self) -> "AbstractContextManager[Progress | None]":
        from webdancer_cli import progress

        return progress.shown(self.command, quiet=self.quiet or not is_first_rank())

    def end(self, tally: "Tally", staff: "Staff | None" = None) -> int:
        """Sum up: what became of the records, what the calls took, and why the run stopped early, if it did."""
        self.say(tally.line())
        if tally.last_failure:
            self.say(f"the last failure: {' '.join(tally.last_failure.split())[:SHOWN_CHARS]}")
        if tally.remark:
            self.say(tally.remark)
        for line in staff.lines() if staff else []:
            self.say(line)
        if tally.stopped and is_first_rank():
            print(f"webdancer {self.command}: stopped: {tally.stopped}", file=sys.stderr, flush=True)
        return tally.exit_code


Result = TypeVar("Result")
Work = Callable[[Any, Run], int]


def command(work: Work) -> Work:
    """Make ``work(options, run)`` the command of its name: the docstring is its help, its dataclass gives the flags."""
    name = work.__name__.removesuffix("_")

    def invoked(quiet: bool, show_config: bool, **given: Any) -> int:
        run = Run(name, quiet)
        return ending(name, lambda: _show(name, given) if show_config else _undisturbed(work, name, given, run))

    invoked.__signature__ = inspect.Signature(flags.parameters(name))  # type: ignore[attr-defined]
    invoked.__annotations__ = {}
    app.command(name, help=work.__doc__)(invoked)
    return work


def _options(name: str, given: dict[str, Any]) -> Any:
    options: Any = settings.build(settings.COMMANDS[name], settings.resolve(name, given))
    if isinstance(options, config.DataStage | config.Training):
        _refuse_overwriting(options)
    return options


def _undisturbed(work: Work, name: str, given: dict[str, Any], run: Run) -> int:
    """Run a command while nobody else writes what it writes. Of several ranks, the first one writes."""
    options = _options(name, given)
    with ExitStack() as locked:
        if is_first_rank() and not getattr(options, "dry_run", False):
            locked.enter_context(_outputs_held(options))
        if isinstance(options, config.DataStage) and _reads_stdin(options):
            # A stage before us in the pipe may still write the pages that we read: they are whole with its first line.
            select.select([sys.stdin], [], [])
        return work(options, run)


def _outputs_held(options: Any) -> AbstractContextManager[None]:
    """Tapes are held by SQLite, call by call: several runs may record on one."""
    if isinstance(options, config.Training | config.World):
        return locks.held([], [options.out])
    if not isinstance(options, config.DataStage):
        return nullcontext()
    names = ["rejects", "unused_qa", "report"]
    if isinstance(options, config.Crawlqa):
        from webdancer_cli.stages.crawlqa import writes_pages

        names += ["pages"] if writes_pages(options) else []
    files = [path for path in [options.out, *(getattr(options, name, None) for name in names)] if path and path != "-"]
    return locks.held(files, stdout=options.out == "-")


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
    webdancer crawlqa pages.jsonl --model qwen-0.5b --base-url http://127.0.0.1:8000/v1 --ask sentences > qa.jsonl
    """
    from webdancer_cli.stages import crawlqa as stage

    stage.refuse_idle_judge(options)
    with _staffed(options, options.jobs, run) as staff:
        author = _author(options, staff, run)
        judge = _checker(options, staff) if options.closed_book or options.verify else None
        if options.dry_run:
            return run.plan(options, staff)
        with run.progress() as progress:
            tally = _await(stage.run(options, author, progress, staff.tape, judge), staff)
    return run.end(tally, staff)


@command
def e2hqa(options: config.E2hqa, run: Run) -> int:
    """Make questions harder: an entity gives way to a description found through search; the answer stays.

    \b
    webdancer e2hqa --data qa.jsonl --web pages.jsonl --rounds 2 > harder.jsonl
    webdancer e2hqa --data qa.jsonl --model qwen --base-url http://127.0.0.1:8000/v1 > harder.jsonl
    echo '{"question": "Who wrote Emma?", "answer": "Jane Austen"}' | webdancer e2hqa --web pages.jsonl
    """
    from webdancer_cli.stages import e2hqa as stage

    stage.refuse_idle_judge(options)
    with _staffed(options, options.jobs, run) as staff:
        rewriter = _rewriter(options, staff, run)
        if options.dry_run:
            return run.plan(options, staff)
        with run.progress() as progress:
            tally = _await(stage.run(options, rewriter, progress), staff)
    return run.end(tally, staff)


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

    with _staffed(options, options.jobs, run) as staff:
        policy, web = _policy(options, staff, run), _live_web(options, staff.tape)
        summariser, judge = _summariser(options, staff), _judge(options, staff)
        if options.dry_run:
            return run.plan(options, staff)
        with run.progress() as progress:
            playing = stage.run(options, policy, progress, web=web, summariser=summariser, judge=judge)
            tally = _await(playing, policy, web, staff)
        _tell_failures(run, summariser, judge)
    return run.end(tally, staff)


@command
def filter_(options: config.Filter, run: Run) -> int:
    """Keep the good trajectories: valid, correct, of quality; the funnel is shown on stderr.

    \b
    webdancer filter --data trajectories.jsonl --rejects rejects.jsonl > sft.jsonl
    webdancer filter --data trajectories.jsonl --format webdancer --unused-qa rl.jsonl > sft.jsonl
    webdancer filter --data trajectories.jsonl --stages validity,correctness,quality,model \\
      --judge-model qwen --judge-base-url http://127.0.0.1:8000/v1 > sft.jsonl
    """
    from webdancer_cli.stages import filter as stage

    with _staffed(options, options.jobs, run) as staff:
        judge, critic = _judge(options, staff), _critic(options, staff)
        if options.dry_run:
            return run.plan(options, staff)
        with run.progress() as progress:
            tally, funnel = _await(stage.run(options, judge, critic, progress), staff)
        _tell_failures(run, None, judge)
    run.table(funnel.table())
    return run.end(tally, staff)


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
        tally = stage.run(options, progress, say=run.say)
    return run.end(tally)


@command
def rl(options: config.Rl, run: Run) -> int:
    """Train with DAPO on questions; the policy plays its own episodes over the pages of --web.

    \b
    webdancer rl --data qa.jsonl --web pages.jsonl --model checkpoints/sft --out checkpoints/rl --minutes 10
    torchrun --nproc-per-node 2 -m webdancer_cli rl --data qa.jsonl --model checkpoints/sft --out checkpoints/rl
    """
    from webdancer_cli.stages import rl as stage

    with _staffed(options, RL_JUDGE_CALLS, run) as staff:
        web, judge = _live_web(options, staff.tape), _judge(options, staff)
        if options.dry_run:
            return run.plan(options, staff)
        with run.progress() as progress:
            tally = stage.run(options, progress, web=web, judge=judge, say=run.say)
        _tell_failures(run, None, judge)
    return run.end(tally, staff)


@command
def eval_(options: config.Eval, run: Run) -> int:
    """Play and grade: accuracy as k/n with its interval, by level; the scores are shown on stderr.

    \b
    webdancer eval --data questions.jsonl --web pages.jsonl --model checkpoints/rl > attempts.jsonl
    webdancer eval --data questions.jsonl --web pages.jsonl --model checkpoints/rl --temperature 1 --runs 3 > a.jsonl
    webdancer eval --data questions.jsonl --web pages.jsonl --model builtin > demonstrator.jsonl
    """
    from webdancer_cli.stages import eval as stage

    with _staffed(options, options.jobs, run) as staff:
        policy, web = _policy(options, staff, run), _live_web(options, staff.tape)
        summariser, judge = _summariser(options, staff), _judge(options, staff)
        if options.dry_run:
            return run.plan(options, staff)
        with run.progress() as progress:
            playing = stage.run(options, policy, progress, judge, web=web, summariser=summariser)
            tally, scores = _await(playing, policy, web, staff)
        _tell_failures(run, summariser, judge)
    run.table(scores.table())
    return run.end(tally, staff)


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
def _staffed(options: config.Calls, jobs: int, run: Run) -> "Iterator[Staff]":
    """The models of a run, and its tape if it has one.

    The date that a policy is told is the tape's, unless the user gave another.
    """
    from webdancer_cli.staff import Staff

    if not options.tape or options.dry_run:
        yield Staff(options, jobs, tell=run.say)
        return
    from webdancer_cli.tape import Tape

    with Tape(options.tape, options.tape_mode) as tape:
        if isinstance(options, config.Episode) and options.date is None:
            options.date = tape.date
        yield Staff(options, jobs, tape, run.say)
        run.say(f"{options.tape}: {tape.line()}")


def _writing_chat(options: config.Writer, role: str, staff: "Staff") -> "Chat | None":
    """The endpoint that writes questions, or None: then the built-in rules do. A checkpoint cannot."""
    _refuse_nameless("--model", options.model, options.base_url)
    if options.base_url:
        return staff.chat(
            role,
            options.model,
            options.base_url,
            temperature=options.temperature,
            top_p=options.top_p,
        )
    if options.model != config.BUILTIN:
        raise UsageError(f"--model {options.model}: a model as {role} needs --base-url; or take --model builtin")
    return None


def _refuse_nameless(flag: str, model: str | None, base_urls: list[str]) -> None:
    if base_urls and model in (None, config.BUILTIN):
        where = flag.replace("model", "base-url")
        raise UsageError(f"{where} {base_urls[0]}: which of its models? Name it with {flag}")


def _author(options: config.Crawlqa, staff: "Staff", run: Run) -> "QuestionWriter":
    if chat := _writing_chat(options, "author", staff):
        from webdancer_cli.synthesis.chat.author import ChatAuthor
        from webdancer_cli.synthesis.chat.sentence_author import SentenceAuthor

        author = SentenceAuthor if options.ask == "sentences" else ChatAuthor
        return author(options, chat, _prompts(options.prompts))
    if options.ask == "sentences":
        raise UsageError("--ask sentences: needs a model to ask; name one with --model and --base-url")
    run.say(
        "--model builtin: questions are written by rules, several about a page of facts, one about two or three "
        "pages of a manual, hardly any about essays; a model writes more: --model NAME --base-url URL"
    )
    from webdancer_cli.synthesis.builtin.author import Author

    return Author(options)


def _rewriter(options: config.E2hqa, staff: "Staff", run: Run) -> "Hardener":
    if chat := _writing_chat(options, "rewriter", staff):
        from webdancer_cli.synthesis.chat.rewriter import ChatRewriter

        return ChatRewriter(options, chat, _prompts(options.prompts), _checker(options, staff) or chat)
    run.say("--model builtin: entities are described by rules from the pages found")
    from webdancer_cli.synthesis.builtin.rewriter import Rewriter

    return Rewriter(options)


def _prompts(name_or_dir: str) -> "PromptSet":
    from webdancer_cli import prompts

    return prompts.load(name_or_dir)


def _policy(options: "config.Sample | config.Eval", staff: "Staff", run: Run) -> "Policy":
    """The demonstrator, a chat endpoint, or a checkpoint."""
    _refuse_nameless("--model", options.model, options.base_url)
    if options.base_url:
        return _chat_policy(options, staff)
    if options.cot == "long" or options.repetition_penalty != 1:
        raise UsageError("--cot long and --repetition-penalty are for endpoints; name one with --base-url")
    if options.model == config.BUILTIN:
        run.say("--model builtin: the demonstrator follows each question's evidence; no model answers")
        from webdancer_cli.agent.demonstrator import Demonstrator

        return Demonstrator(options)
    from webdancer_cli.training.policies import open_policy

    return open_policy(options, run.say)


def _chat_policy(options: "config.Sample | config.Eval", staff: "Staff") -> "Policy":
    from webdancer_cli.agent.chat import ChatPolicy
    from webdancer_cli.llm import Patience

    chat = staff.chat(
        "teacher",
        options.model,
        options.base_url,
        temperature=options.temperature,
        top_p=options.top_p,
        max_tokens=options.max_turn_tokens,
        repetition_penalty=options.repetition_penalty,
        patience=Patience.within(options.turn_seconds),
    )
    return ChatPolicy(options, chat)


def _summariser(options: "config.Sample | config.Eval", staff: "Staff") -> "Summariser | None":
    """The model that reads pages for the policy, or None: then the pages' own sentences are shown."""
    from webdancer_cli.agent.summariser import ROOM_SHARE, Summariser
    from webdancer_cli.llm import Patience

    model, own_urls = options.summariser_model, options.summariser_base_url
    patience = Patience.within(ROOM_SHARE * options.tool_seconds)
    if chat := _second_chat("summariser", model, own_urls, options.base_url, staff, patience):
        from webdancer_cli import prompts

        return Summariser(chat, prompts.load_for(options), options.tool_seconds)
    return None


def _judge(options: config.Judged, staff: "Staff") -> "Judge | None":
    """The model that judges answers, or None: then they are matched by rule."""
    if chat := _judging_chat(options, staff):
        from webdancer_cli.grading.judge import ModelJudge

        return ModelJudge(chat, _prompts(getattr(options, "prompts", "default")))
    return None


def _critic(options: config.Filter, staff: "Staff") -> "Critic | None":
    """The model that judges a trajectory's quality."""
    if chat := _judging_chat(options, staff):
        from webdancer_cli.grading.critic import Critic

        return Critic(chat, _prompts(options.prompts))
    return None


def _checker(options: config.Writer, staff: "Staff") -> "Chat | None":
    """The model that checks questions, at temperature 0: the judge, or else the one that writes."""
    if chat := _judging_chat(options, staff):
        return chat
    return staff.chat("judge", options.model, options.base_url) if options.base_url else None


def _judging_chat(options: config.Judged, staff: "Staff") -> "Chat | None":
    urls = getattr(options, "base_url", [])
    return staff.chats.get("judge") or _second_chat("judge", options.judge_model, options.judge_base_url, urls, staff)


def _second_chat(
    role: str,
    model: str | None,
    own_urls: list[str],
    default_urls: list[str],
    staff: "Staff",
    patience: "Patience | None" = None,
) -> "Chat | None":
    """A model beside the main one, at an endpoint of its own or at the same."""
    _refuse_nameless(f"--{role}-model", model, own_urls)
    if not model:
        return None
    if not (own_urls or default_urls):
        raise UsageError(f"--{role}-model {model}: at which endpoint? Name it with --{role}-base-url")
    return staff.chat(role, model, own_urls or default_urls, patience=patience)


def _tell_failures(run: Run, summariser: "Summariser | None", judge: "Judge | None") -> None:
    """What a model of the second row failed to do ends no run, and must not pass unnoticed."""
    if summariser and summariser.failures:
        shown = "which showed the pages' own sentences instead"
        run.say(f"the summariser gave no readable note on {summariser.failures} visits, {shown}")
    if failures := getattr(judge, "failures", 0):
        run.say(f"{failures} answers stay unjudged; the last because: {getattr(judge, 'last_failure', '')}")


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
    if code == EXIT_INTERRUPTED:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would tear the exit
    _flush_or_silence()
    sys.exit(code)


def _flush_or_silence() -> None:
    """Flush stdout; if its reader has gone, point it to nowhere: then the interpreter does not complain at its exit."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
