"""The commands, one after the other: options in, one stage call, how it ended out.

Imports stand inside the commands: ``--help`` must not wait for torch. Which model, and which web, takes which part of a
run is decided in ``wiring``.
"""

import sys
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

import typer

from webdancer_cli import __version__
from webdancer_cli.command_registry import app, command
from webdancer_cli.errors import EXIT_OK, EXIT_USAGE
from webdancer_cli.options import config
from webdancer_cli.web_wiring import open_index_embedder, open_web
from webdancer_cli.wiring import (
    CommandRun,
    judged_options,
    judging_chat,
    map_engine,
    model_judge,
    open_author,
    open_chats,
    open_checker,
    open_critic,
    open_judge,
    open_other_judges,
    open_policy,
    open_rewriter,
    open_summariser,
    report_failures,
    run_stage,
)

if TYPE_CHECKING:
    from webdancer_cli.data.pipeline import RunStats
    from webdancer_cli.grading.exact_match import Judge
    from webdancer_cli.llm.chat_pool import ChatPool

RL_JUDGE_CALLS = 64
"""Answers judged at once in ``rl``."""


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
def crawlqa(options: config.CrawlqaOptions, run: CommandRun) -> int:
    """Crawl from root URLs and write questions with the pages that prove their answers.

    \b
    webdancer crawlqa https://docs.python.org/3/ --max-pages 200 --pages pages.jsonl > qa.jsonl
    echo '{"url": "http://127.0.0.1:8000/"}' | webdancer crawlqa --allow-private > qa.jsonl
    webdancer crawlqa http://127.0.0.1:8000/ --allow-private --types count,intersection | head -3
    webdancer crawlqa https://docs.python.org/3/ --model qwen --base-url http://127.0.0.1:8000/v1 > qa.jsonl
    webdancer crawlqa pages.jsonl --model qwen-0.5b --base-url http://127.0.0.1:8000/v1 --ask sentences > qa.jsonl
    """
    from webdancer_cli.stages import crawlqa as stage

    with open_chats(options, options.jobs, run) as chat_pool:
        author = open_author(options, chat_pool, run)
        judge = open_checker(options, chat_pool) if options.closed_book or options.verify else None
        if options.dry_run:
            return run.plan(options, chat_pool)
        with run.progress(chat_pool) as progress:
            stats = run_stage(
                stage.run(options, author, progress=progress, judge=judge, tape=chat_pool.tape), chat_pool
            )
    return run.end(stats, chat_pool, options=options)


@command
def index(options: config.IndexOptions, run: CommandRun) -> int:
    """Make an index on disk over files of pages: opened at once, searched by many, gone on with after a kill.

    \b
    webdancer index --pages pages.jsonl --out web.index
    webdancer index --pages crawl-1.jsonl crawl-2.jsonl.gz crawl-3.jsonl.zst --out web.index
    webdancer sample --data qa.jsonl --web web.index > trajectories.jsonl
    webdancer index --pages pages.jsonl --out web.index --embed http://127.0.0.1:8000/v1 --embed-model MODEL
    """
    from webdancer_cli.stages import index as stage

    chat_pool, embedder = open_index_embedder(options, run.say)
    return run.follow(stage.run, options, chat_pool, embedder=embedder)


@command
def e2hqa(options: config.E2hqaOptions, run: CommandRun) -> int:
    """Make questions harder: an entity gives way to a description found through search; the answer stays.

    \b
    webdancer e2hqa --data qa.jsonl --web pages.jsonl --rounds 2 > harder.jsonl
    webdancer e2hqa --data qa.jsonl --model qwen --base-url http://127.0.0.1:8000/v1 > harder.jsonl
    echo '{"question": "Who wrote Emma?", "answer": "Jane Austen"}' | webdancer e2hqa --web pages.jsonl
    """
    from webdancer_cli.stages import e2hqa as stage

    with open_chats(options, options.jobs, run) as chat_pool:
        rewriter, web = open_rewriter(options, chat_pool, run), open_web(options, chat_pool)
        if options.dry_run:
            return run.plan(options, chat_pool)
        with run.progress(chat_pool) as progress:
            stats = run_stage(stage.run(options, rewriter, progress=progress, web=web), chat_pool)
    return run.end(stats, chat_pool, options=options)


@command
def lint(options: config.LintOptions, run: CommandRun) -> int:
    """Check questions, whoever wrote them: the good ones pass, the others get reasons, a report goes to stderr.

    \b
    webdancer lint --data qa.jsonl --rejects bad.jsonl > good.jsonl
    webdancer lint --data qa.jsonl --against gaia.jsonl,webwalkerqa.jsonl --report report.json > good.jsonl
    webdancer lint --data qa.jsonl --allow-boolean --out /dev/null
    """
    from webdancer_cli.stages import lint as stage

    return run.follow(stage.run, options)


@command
def sample(options: config.SampleOptions, run: CommandRun) -> int:
    """Play ReAct episodes over questions, with search and visit over the pages of --web.

    \b
    webdancer sample --data qa.jsonl --web pages.jsonl -n 3 > trajectories.jsonl
    webdancer sample --data qa.jsonl --model qwq --base-url http://127.0.0.1:8000/v1 --out t.jsonl --resume
    webdancer sample --data qa.jsonl --model checkpoints/sft --prompts compact > trajectories.jsonl
    webdancer sample --data qa.jsonl --web live --search searxng=http://127.0.0.1:8888 --model nano > t.jsonl
    """
    from webdancer_cli.stages import sample as stage

    return _play(stage.run, options, run)


@command
def filter_(options: config.FilterOptions, run: CommandRun) -> int:
    """Keep the good trajectories: valid, correct, of quality; the funnel is shown on stderr.

    \b
    webdancer filter --data trajectories.jsonl --rejects rejects.jsonl > sft.jsonl
    webdancer filter --data trajectories.jsonl --format webdancer --unused-qa rl.jsonl > sft.jsonl
    webdancer filter --data trajectories.jsonl --stages validity,correctness,quality,model \\
      --judge-model qwen --judge-base-url http://127.0.0.1:8000/v1 > sft.jsonl
    """
    from webdancer_cli.stages import filter as stage

    with open_chats(options, options.jobs, run) as chat_pool:
        judge, critic = open_judge(options, chat_pool), open_critic(options, chat_pool)
        if options.dry_run:
            return run.plan(options, chat_pool)
        with run.progress(chat_pool) as progress:
            stats = run_stage(stage.run(options, progress=progress, judge=judge, critic=critic), chat_pool)
        report_failures(run, None, judge)
    return run.end(stats, chat_pool, options=options)


@command
def sft(options: config.SftOptions, run: CommandRun) -> int:
    """Fine-tune on kept trajectories; only what the policy wrote bears loss.

    \b
    webdancer sft --data sft.jsonl --model nano --out checkpoints/sft
    webdancer sft --data sft.jsonl --model Qwen/Qwen2.5-7B --lora-rank 32 --out checkpoints/sft
    webdancer sft --data sft.jsonl --model nano --show-masks 2
    torchrun --nproc-per-node 2 -m webdancer_cli sft --data sft.jsonl --model nano --out checkpoints/sft
    """
    from webdancer_cli.stages import sft as stage

    if options.show_masks:
        text, stats = stage.masks(options, coloured=run.coloured)
        run.show(text)
        return run.end(stats)
    if options.dry_run:
        return run.tell_plan(stage.plan_memory(options))
    with run.progress(minutes=options.minutes) as progress:
        stats = stage.run(options, progress=progress, say=run.say)
    return run.end(stats, options=options)


@command
def rl(options: config.RlOptions, run: CommandRun) -> int:
    """Train with DAPO on questions; the policy plays its own episodes over the pages of --web.

    \b
    webdancer rl --data qa.jsonl --web pages.jsonl --model checkpoints/sft --out checkpoints/rl --minutes 10
    torchrun --nproc-per-node 2 -m webdancer_cli rl --data qa.jsonl --model checkpoints/sft --out checkpoints/rl
    """
    from webdancer_cli.stages import rl as stage

    with open_chats(options, RL_JUDGE_CALLS, run) as chat_pool:
        web, judge = open_web(options, chat_pool), open_judge(options, chat_pool)
        if options.dry_run:
            run.tell_plan(stage.plan_memory(options))
            return run.plan(options, chat_pool)
        with run.progress(chat_pool, options.minutes) as progress:
            stats = stage.run(options, progress=progress, say=run.say, web=web, judge=judge)
        report_failures(run, None, judge)
    return run.end(stats, chat_pool, options=options)


@command
def eval_(options: config.EvalOptions, run: CommandRun) -> int:
    """Play and grade: accuracy as k/n with its interval, by level; the scores are shown on stderr.

    \b
    webdancer eval --data questions.jsonl --web pages.jsonl --model checkpoints/rl > attempts.jsonl
    webdancer eval --data questions.jsonl --web pages.jsonl --model checkpoints/rl --temperature 1 --runs 3 > a.jsonl
    webdancer eval --data questions.jsonl --web pages.jsonl --model builtin > demonstrator.jsonl
    webdancer eval --data questions.jsonl --model checkpoints/rl --agent none --report closed-book.json > a.jsonl
    webdancer eval --grade-only --data predictions.json --gold questions.jsonl --report scores.json > graded.jsonl
    """
    from webdancer_cli.stages import eval as stage

    return _play(
        stage.run,
        options,
        run,
        plays=not options.grade_only,
        beside=lambda chat_pool: {
            "say": run.say,
            "others": open_other_judges(options, chat_pool),
            "tape": chat_pool.tape,
        },
    )


def _play(
    stage: "Callable[..., Coroutine[Any, Any, RunStats]]",
    options: config.SampleOptions | config.EvalOptions,
    run: CommandRun,
    *,
    plays: bool = True,
    beside: "Callable[[ChatPool], dict[str, Any]]" = lambda chat_pool: {},
) -> int:
    """Open who plays, if anybody ``plays``, who helps and who judges; hand a stage what it needs ``beside``; play."""
    with open_chats(options, options.jobs, run) as chat_pool, run.progress(chat_pool) as progress:
        policy = open_policy(options, chat_pool, run) if plays else None
        web = open_web(options, chat_pool) if plays else None
        summariser, judge = open_summariser(options, chat_pool), open_judge(options, chat_pool)
        more = beside(chat_pool)
        if options.dry_run:
            return run.plan(options, chat_pool)
        playing = stage(options, policy, progress=progress, web=web, summariser=summariser, judge=judge, **more)
        stats = run_stage(playing, policy, web, chat_pool)
        report_failures(run, summariser, judge)
    return run.end(stats, chat_pool, options=options)


@command
def compare(options: config.CompareOptions, run: CommandRun) -> int:
    """Compare two evaluations question by question: effect, interval, exact test, and how behaviour differs.

    \b
    webdancer compare sft.jsonl rl.jsonl > changed.jsonl
    webdancer compare sft.jsonl rl.jsonl --report comparison.json --out /dev/null
    webdancer compare card-sft.json card-rl.json --out /dev/null
    """
    from webdancer_cli.stages import compare as stage

    return run.end(stage.run(options), options=options)


@command
def verify(options: config.VerifyOptions, run: CommandRun) -> int:
    """Verify a run card: files, records and tape by their digests, verdicts anew, every number computed again.

    \b
    webdancer eval --data qa.jsonl --web pages.jsonl --model builtin --out attempts.jsonl --card card.json
    webdancer verify card.json
    """
    from webdancer_cli.stages import verify as stage

    judged = judged_options(options.file)
    if not judged:
        with run.progress() as progress:
            stats = run_stage(stage.run(options, progress=progress))
        return run.end(stats, options=options)
    with open_chats(judged, judged.jobs, run) as chat_pool, run.progress() as progress:
        chat = judging_chat(judged, chat_pool)
        assert chat is not None  # they name a judge
        judges: dict[str, Judge] = {}

        def judging(prompt: str) -> "Judge":
            if prompt not in judges:
                judges[prompt] = model_judge(judged, chat, prompt)
            return judges[prompt]

        stats = run_stage(stage.run(options, progress=progress, judging=judging), chat_pool)
    return run.end(stats, options=options)


@command
def world(options: config.WorldOptions, run: CommandRun) -> int:
    """Write a fictional web as static HTML, with the facts behind it in facts.jsonl.

    \b
    webdancer world --pages 300 --seed 1 --out world && python3 -m http.server -b 127.0.0.1 -d world/site 8000
    webdancer world --pages 300 --seed 2 --style plain --names eval --out unseen
    """
    from webdancer_cli.stages import world as stage
    from webdancer_cli.terminal.next_step import next_step

    with run.progress() as progress:
        stats = stage.run(options, progress=progress)
    run.say(next_step(options, stats))
    return EXIT_OK


@command
def split(options: config.SplitOptions, run: CommandRun) -> int:
    """Split a file of records into parts, in one pass; every line stays as it is.

    \b
    webdancer split --data qa.jsonl -n 8 --out parts
    webdancer split --data trajectories.jsonl --by question -n 100 --out parts
    """
    from webdancer_cli.stages import split as stage

    return run.follow(stage.run, options)


@command
def map_(options: config.MapOptions, run: CommandRun) -> int:
    """Run a data stage over every part of a folder: here, or one part in each job of a scheduler.

    \b
    webdancer map --in parts --out done -j 2 -- sample --web web.index
    webdancer map --in parts --out good -j 4 -- lint --allow-boolean
    webdancer map --in parts --out done --on part:7 --resume -- filter --unused-qa rl/{part}
    cat done/* > all.jsonl
    """
    from webdancer_cli.stages import map as stage

    return run.follow(partial(stage.run, engine=map_engine(options)), options)


@command
def tape(options: config.TapeOptions, run: CommandRun) -> int:
    """List what a tape holds as JSON lines; merge other tapes into it and remove what is not wanted before.

    \b
    webdancer tape run.tape
    webdancer tape run.tape --merge shard-1.tape,shard-2.tape > list.jsonl
    webdancer tape run.tape --drop web --drop-label qwen --drop-older-days 30 > list.jsonl
    """
    from webdancer_cli.stages import tape as stage

    run.say(stage.run(options).remark)
    return EXIT_OK


@command
def view(options: config.ViewOptions, run: CommandRun) -> int:
    """Look at records: one HTML file with everything in it (-o), a table or log for others, or here, page by page.

    \b
    webdancer view eval-base.jsonl eval-rl.jsonl rl/metrics.jsonl rl/rollouts.jsonl -o report.html
    webdancer view sft=eval-1.jsonl rl=eval-2.jsonl qa.jsonl --title "Two models" -o report.html
    webdancer view trajectories.jsonl
    webdancer view attempts.jsonl -o attempts.parquet
    webdancer view attempts.jsonl -o logs/attempts.eval && inspect view start --log-dir logs
    """
    from webdancer_cli.stages import view as stage

    if options.out is None:
        return run.end(stage.run(options))
    if stage.is_export(options.out):
        with run.progress() as progress:
            return run.end(stage.run(options, progress=progress))
    from webdancer_cli.report import html  # needs the extra that nothing else does

    with run.progress() as progress:
        stats = stage.run(options, progress=progress, to_file=html.write_html)
    return run.end(stats)
