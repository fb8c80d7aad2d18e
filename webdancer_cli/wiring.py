"""Who takes part in a run, opened from its options: models, judges, policies, the web, and what is told on stderr.

Heavy imports, and those that a run may not need, stand inside the functions: ``--help`` must not wait for torch.
"""

import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from webdancer_cli.errors import EXIT_OK, UsageError
from webdancer_cli.options import config
from webdancer_cli.terminal.board import tell
from webdancer_cli.terminal.exit_codes import is_first_rank
from webdancer_cli.web_wiring import open_embedder

if TYPE_CHECKING:
    from webdancer_cli.agent.episode import Policy
    from webdancer_cli.agent.summariser import Summariser
    from webdancer_cli.data.pipeline import Progress, RunStats
    from webdancer_cli.grading.critic import Critic
    from webdancer_cli.grading.exact_match import Judge
    from webdancer_cli.grading.model_judge import ModelJudge
    from webdancer_cli.llm.chat_pool import ChatPool
    from webdancer_cli.llm.client import ChatClient
    from webdancer_cli.options.option_checks import Options
    from webdancer_cli.prompts import PromptSet
    from webdancer_cli.stages.map import Engine
    from webdancer_cli.synthesis.protocols import QuestionRewriter, QuestionWriter

SHOWN_CHARS = 300
"""What is shown of the last failure; all of it stands in the rejects."""


@dataclass(frozen=True)
class CommandRun:
    """One run of one command, and what it tells the user on stderr."""

    command: str
    quiet: bool = False
    summary: str | None = None
    """File for what became of the records."""

    def say(self, line: str) -> None:
        if not self.quiet and is_first_rank():
            tell(f"webdancer {self.command}: {line}")

    def table(self, text: str) -> None:
        if not self.quiet:
            tell(text)

    def plan(self, options: config.CallOptions, chat_pool: "ChatPool") -> int:
        """What the run would ask of its models."""
        from webdancer_cli import dry_run

        return self.tell_plan(dry_run.plan_run(options).table(chat_pool))

    def tell_plan(self, plan: str) -> int:
        """What the run would do or need."""
        self.show(f"webdancer {self.command}: {plan}")
        return EXIT_OK

    def show(self, text: str) -> None:
        """What the run is for, told to people. On stderr, even if quiet: it was asked for."""
        if is_first_rank():
            tell(text, as_it_is=True)

    @property
    def coloured(self) -> bool:
        """Whether people see colours: on a terminal, unless NO_COLOR is set (no-color.org)."""
        return sys.stderr.isatty() and not os.environ.get("NO_COLOR")

    def progress(
        self, chat_pool: "ChatPool | None" = None, minutes: float | None = None
    ) -> "AbstractContextManager[Progress | None]":
        """``minutes``: how long the run may take."""
        from webdancer_cli.terminal import progress

        return progress.show_progress(
            self.command,
            quiet=self.quiet or not is_first_rank(),
            spent=chat_pool.spent_text if chat_pool else lambda: "",
            within_seconds=None if minutes is None else 60 * minutes,
        )

    def follow(
        self, stage: "Callable[..., RunStats]", options: "Options", chat_pool: "ChatPool | None" = None, **beside: Any
    ) -> int:
        """Run a stage that needs nobody, or what is handed to it ``beside``, under its progress, and sum up."""
        with self.progress(chat_pool) as progress:
            stats = stage(options, progress=progress, **beside)
        return self.end(stats, chat_pool, options=options)

    def end(self, stats: "RunStats", chat_pool: "ChatPool | None" = None, *, options: "Options | None" = None) -> int:
        """Sum up: what was found, what became of the records, what the calls took, why the run stopped early; and, by
        its ``options``, where what came out lies, and what one would do with it next."""
        from webdancer_cli.data.pipeline import ReportedStats
        from webdancer_cli.report import json_file
        from webdancer_cli.terminal.next_step import next_step
        from webdancer_cli.terminal.progress import hand_on

        hand_on(stats.counts["out"])

        if isinstance(stats, ReportedStats):
            self.table(stats.report.table())
        self.say(stats.summary())
        if stats.last_failure:
            self.say(f"the last failure: {' '.join(stats.last_failure.split())[:SHOWN_CHARS]}")
        if stats.remark:
            self.say(stats.remark)
        for line in chat_pool.summaries() if chat_pool else []:
            self.say(line)
        if self.summary:
            told = {name: getattr(stats, name) for name in ("counts", "reasons", "failed", "stopped")}
            json_file.write_json(self.summary, told)
        if stats.stopped and is_first_rank():
            tell(f"webdancer {self.command}: stopped: {stats.stopped}")
        if options and (line := next_step(options, stats)):
            self.say(line)
        return stats.exit_code


Result = TypeVar("Result")


def run_stage(stage: Coroutine[Any, Any, Result], *players: object) -> Result:
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


@contextmanager
def open_chats(options: config.CallOptions, jobs: int, run: CommandRun) -> "Iterator[ChatPool]":
    """The models of a run, and its tape if it has one.

    The date that a policy is told is the tape's, unless the user gave another.
    """
    from webdancer_cli.llm.chat_pool import ChatPool

    if not options.tape or options.dry_run:
        yield ChatPool(options, jobs, tell=run.say)
        return
    from webdancer_cli.tape import Tape

    with Tape(options.tape, options.tape_mode) as tape:
        if isinstance(options, config.EpisodeOptions) and options.date is None:
            options.date = tape.date
        yield ChatPool(options, jobs, tape, run.say)
        run.say(f"{options.tape}: {tape.summary()}")


def _writing_chat(options: config.WriterOptions, role: str, chat_pool: "ChatPool") -> "ChatClient | None":
    """The endpoint that writes questions, or None: then the built-in rules do. A checkpoint cannot."""
    if options.base_url:
        return chat_pool.chat(
            role,
            options.model,
            options.base_url,
            temperature=options.temperature,
            top_p=options.top_p,
        )
    if options.model != config.BUILTIN:
        raise UsageError(f"--model {options.model}: a model as {role} needs --base-url; or take --model builtin")
    return None


def open_author(options: config.CrawlqaOptions, chat_pool: "ChatPool", run: CommandRun) -> "QuestionWriter":
    if chat := _writing_chat(options, "author", chat_pool):
        from webdancer_cli.synthesis.chat.author import ChatAuthor
        from webdancer_cli.synthesis.chat.sentence_author import SentenceAuthor

        author = SentenceAuthor if options.ask == "sentences" else ChatAuthor
        return author(options, chat, _prompts(options.prompts))
    if options.ask == "sentences":
        raise UsageError("--ask sentences: needs a model to ask; name one with --model and --base-url")
    if options.ask == "nothing":
        from webdancer_cli.synthesis.page_blocks import NoQuestions

        return NoQuestions()
    run.say(
        "--model builtin: questions are written by rules, several about a page of facts, one about one to three "
        "pages of a manual, hardly any about tutorials and essays; a model writes more: --model NAME --base-url URL"
    )
    from webdancer_cli.synthesis.builtin.author import BuiltinAuthor
    from webdancer_cli.synthesis.page_blocks import InBlocks

    return InBlocks(lambda: BuiltinAuthor(options))


def open_rewriter(options: config.E2hqaOptions, chat_pool: "ChatPool", run: CommandRun) -> "QuestionRewriter":
    if chat := _writing_chat(options, "rewriter", chat_pool):
        from webdancer_cli.synthesis.chat.rewriter import ChatRewriter

        return ChatRewriter(options, chat, _prompts(options.prompts), open_checker(options, chat_pool) or chat)
    run.say("--model builtin: entities are described by rules from the pages found")
    from webdancer_cli.synthesis.builtin.rewriter import BuiltinRewriter

    return BuiltinRewriter(options)


def _prompts(name_or_dir: str) -> "PromptSet":
    from webdancer_cli import prompts

    return prompts.load(name_or_dir)


def open_policy(
    options: "config.SampleOptions | config.EvalOptions", chat_pool: "ChatPool", run: CommandRun
) -> "Policy":
    """The demonstrator, a chat endpoint, or a checkpoint."""
    if options.base_url:
        return _chat_policy(options, chat_pool)
    if (options.cot == "long" and options.model != config.BUILTIN) or options.repetition_penalty != 1:
        raise UsageError("--cot long and --repetition-penalty are for endpoints; name one with --base-url")
    if options.model == config.BUILTIN:
        if isinstance(options, config.EvalOptions) and options.agent != "react":
            raise UsageError(f"--agent {options.agent}: asks a model; name one with --model")
        run.say("--model builtin: the demonstrator follows each question's evidence; no model answers")
        from webdancer_cli.agent.demonstrator import Demonstrator

        return Demonstrator(options)
    from webdancer_cli.training.token_policy import open_token_policy

    return open_token_policy(options, run.say)


def _chat_policy(options: "config.SampleOptions | config.EvalOptions", chat_pool: "ChatPool") -> "Policy":
    from webdancer_cli.agent.chat_policy import ChatPolicy
    from webdancer_cli.llm.model_client import retry_within

    if isinstance(options, config.EvalOptions) and options.agent != "react" and options.cot == "long":
        raise UsageError(f"--cot long: words the prompt of the whole agent; leave it out with --agent {options.agent}")
    chat = chat_pool.chat(
        "teacher",
        options.model,
        options.base_url,
        temperature=options.temperature,
        top_p=options.top_p,
        max_tokens=options.max_turn_tokens,
        repetition_penalty=options.repetition_penalty,
        retry=retry_within(options.turn_seconds),
    )
    return ChatPolicy(options, chat)


def open_summariser(options: "config.SampleOptions | config.EvalOptions", chat_pool: "ChatPool") -> "Summariser | None":
    """The model that reads pages for the policy, or None: then the pages' own sentences are shown."""
    from webdancer_cli.agent.summariser import TIME_SHARE, Summariser
    from webdancer_cli.llm.model_client import retry_within
    from webdancer_cli.prompts import load_for

    if not options.summariser_model:
        return None
    urls = options.summariser_base_url or options.main_base_url
    chat = chat_pool.chat(
        "summariser", options.summariser_model, urls, retry=retry_within(TIME_SHARE * options.tool_seconds)
    )
    return Summariser(chat, load_for(options), options.tool_seconds)


def model_judge(
    options: "config.SampleOptions | config.EvalOptions | config.RlOptions | config.FilterOptions",
    chat: "ChatClient",
    prompt: str | None = None,
) -> "ModelJudge":
    """With a prompt that is named, or of a benchmark that is; else what a question comes from tells."""
    from webdancer_cli.data import benchmarks
    from webdancer_cli.grading.model_judge import ModelJudge

    named = benchmarks.benchmark_named(options.benchmark) if isinstance(options, config.EvalOptions) else None
    return ModelJudge(chat, _prompts(options.prompts), prompt or (named.judge if named else None))


def open_other_judges(options: config.EvalOptions, chat_pool: "ChatPool") -> "list[Judge]":
    """Further judges, for their agreement."""
    if options.also_judge and not options.judge_model:
        raise UsageError(f"--also-judge {options.also_judge[0]}: beside which judge? Name it with --judge-model")
    judges: list[Judge] = []
    for number, named in enumerate(options.also_judge, 2):
        model, _, url = named.partition("=")
        urls = [url] if url else options.judge_base_url or options.base_url
        judges.append(model_judge(options, chat_pool.chat(f"judge {number}", model, urls)))
    return judges


def open_judge(
    options: "config.SampleOptions | config.EvalOptions | config.RlOptions | config.FilterOptions",
    chat_pool: "ChatPool",
) -> "Judge | None":
    """The model that judges answers, or None: then they are matched by rule."""
    if chat := judging_chat(options, chat_pool):
        return model_judge(options, chat)
    return None


def judged_options(path: str) -> config.EvalOptions | None:
    """The options of the run that a card is of, to ask its judge again: from its tape alone. None if there is none."""
    from webdancer_cli.report import card

    given = card.read(path)["options"] if path else {}
    known = set(config.EvalOptions.__dataclass_fields__)
    options = config.EvalOptions(**{name: value for name, value in given.items() if name in known})
    if not (options.judge_model and options.tape and Path(options.tape).is_file()):
        return None
    options.tape_mode, options.max_cost, options.max_tokens = "replay", None, None
    return options


def open_critic(options: config.FilterOptions, chat_pool: "ChatPool") -> "Critic | None":
    """The model that judges a trajectory's quality."""
    if chat := judging_chat(options, chat_pool):
        from webdancer_cli.grading.critic import Critic

        return Critic(chat, _prompts(options.prompts))
    return None


def open_checker(options: config.WriterOptions, chat_pool: "ChatPool") -> "ChatClient | None":
    """The model that checks questions, at temperature 0: the judge, or else the one that writes."""
    if chat := judging_chat(options, chat_pool):
        return chat
    return chat_pool.chat("judge", options.model, options.base_url) if options.base_url else None


def judging_chat(options: config.JudgeOptions, chat_pool: "ChatPool") -> "ChatClient | None":
    """One for all that it is asked about."""
    if not options.judge_model or "judge" in chat_pool.chats:
        return chat_pool.chats.get("judge")
    return chat_pool.chat("judge", options.judge_model, options.judge_base_url or options.main_base_url)


def map_engine(options: config.MapOptions) -> "Engine | None":
    """Who does the parts of a map, or None: then they are done here."""
    if options.on.startswith("ray"):
        from webdancer_cli.cluster.on_ray import ray_outcomes

        return ray_outcomes
    return None


def open_all_chats(options: config.BudgetOptions, chat_pool: "ChatPool") -> None:
    """Every chat that a run with these options would ask, and nothing else of it."""
    open_embedder(options, chat_pool)
    if isinstance(options, config.WriterOptions):
        _writing_chat(options, "author" if isinstance(options, config.CrawlqaOptions) else "rewriter", chat_pool)
    if isinstance(options, config.SampleOptions | config.EvalOptions):
        if options.base_url and not (isinstance(options, config.EvalOptions) and options.grade_only):
            _chat_policy(options, chat_pool)
        open_summariser(options, chat_pool)
    if isinstance(options, config.JudgeOptions):
        judging_chat(options, chat_pool)
    if isinstance(options, config.EvalOptions):
        open_other_judges(options, chat_pool)


def report_failures(run: CommandRun, summariser: "Summariser | None", judge: "Judge | None") -> None:
    """What a model of the second row failed to do ends no run, and must not pass unnoticed."""
    if summariser and summariser.failures:
        shown = "which showed the pages' own sentences instead"
        run.say(f"the summariser gave no readable note on {summariser.failures} visits, {shown}")
    if failures := getattr(judge, "failures", 0):
        run.say(f"{failures} answers stay unjudged; the last because: {getattr(judge, 'last_failure', '')}")
