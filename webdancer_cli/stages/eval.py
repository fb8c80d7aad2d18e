"""``eval``: questions in, graded attempts out, and the scores of them all.

Every question is played ``--runs`` times and its answer judged. An attempt that the judge could not judge is written as
*unjudged*: it enters no accuracy, is counted apart, the exit code tells of it, and ``--resume`` plays it again. A
policy that could not answer at all (``model_error``) and a service behind the tools that was down (``tool_abort``) are
failures, not wrong answers: they go to the rejects, and ``--resume`` plays them again, too. With ``--grade-only``
nothing is played: answers that were given earlier, here or elsewhere, are judged.

The file of attempts is all that the scores need: ``scores.from_attempts(jsonl.read_records(path, Attempt))`` gives
them again.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from webdancer_cli.agent.baselines import Baseline, NoWeb, prompts_id
from webdancer_cli.agent.episode import FAILED_ENDINGS, Limits, Policy, play
from webdancer_cli.agent.leak_guard import LeakGuard, canaries_of, saw_canary
from webdancer_cli.agent.summariser import Summariser
from webdancer_cli.agent.toolbox import open_tools
from webdancer_cli.agent.tools import Tools
from webdancer_cli.data import jsonl
from webdancer_cli.data.benchmarks import NAME, Loader, is_set_answer, told_by
from webdancer_cli.data.context import APPEND
from webdancer_cli.data.ordered_map import Stopped
from webdancer_cli.data.pipeline import (
    Progress,
    RecordWriter,
    ReportedStats,
    RunStats,
    Say,
    drop_duplicates,
    run_pipeline,
    say_nothing,
)
from webdancer_cli.data.questions import read_questions
from webdancer_cli.data.records import QA, Anatomy, Attempt, Trajectory, Verdict, content_id, trajectory_id
from webdancer_cli.data.sealed import SealTerms, seal_marks, terms_of
from webdancer_cli.data.shards import take_shard
from webdancer_cli.data.table_questions import RULES, table_rules
from webdancer_cli.data.totals import items_in
from webdancer_cli.errors import Outage, Reject
from webdancer_cli.grading import unjudged
from webdancer_cli.grading.anatomy import dissect
from webdancer_cli.grading.exact_match import METHOD, Judge
from webdancer_cli.grading.format import own_turns, well_formed
from webdancer_cli.grading.groups import groups_of
from webdancer_cli.grading.model_judge import ModelJudge, RuleJudge
from webdancer_cli.grading.predictions import (
    Prediction,
    Questions,
    attempt_of,
    no_attempt,
    question_of,
    read_predictions,
)
from webdancer_cli.grading.scores import Scoreboard, Scores
from webdancer_cli.grading.set_answers import unnamed_items
from webdancer_cli.grading.table_answers import unnamed_keys
from webdancer_cli.options import config
from webdancer_cli.prompts import load_for
from webdancer_cli.report import card, json_file
from webdancer_cli.tape import Tape
from webdancer_cli.training.tracking import Tracked
from webdancer_cli.transcript.contexts import without_summaries
from webdancer_cli.web.corpus import report_rejected
from webdancer_cli.web.protocols import Web

SAW_CANARY = "canary"
"""Among the leaks of an attempt: a tool showed a canary."""


class QuestionRun(msgspec.Struct):
    """One run of one question."""

    qa: QA
    index: int


async def run(
    options: config.EvalOptions,
    policy: Policy | None = None,
    *,
    progress: Progress | None = None,
    say: Say = say_nothing,
    web: Web | None = None,
    summariser: Summariser | None = None,
    judge: Judge | None = None,
    others: Sequence[Judge] = (),
    tape: Tape | None = None,
) -> ReportedStats[Scores]:
    """Play, grade and score. Raises UsageError for prompts, a corpus or an ``out`` that cannot work.

    With ``resume`` the scores cover the attempts of the earlier run, too. ``web`` is the live one; without it,
    options.web names a corpus. With ``grade_only`` there is neither a ``policy`` nor a web. ``others`` are further
    judges; all that are models are tried out before anything is played.
    """
    json_file.check_writable(options.report)
    json_file.check_writable(options.card, flag="--card")
    judge, loader = judge or RuleJudge(), Loader(options.benchmark, options.ids)
    tracked = Tracked(options.track, _tracked_folder(options.out), {"options": vars(options)}, say)
    player = None if options.grade_only else Player(options, policy, web, summariser)
    if options.judge_check:
        await _try_out(judge, *others)
    with (
        unjudged.drop_unjudged(options.out, options.resume),
        RecordWriter("eval", options.out, options.rejects, resume=options.resume) as output,
    ):
        grader = Grader(options, [judge, *others], output, _earlier(options.out) if output.done else Scoreboard())
        if player:
            stats = await _play(options, player, grader, output, progress, loader)
        else:
            stats = await _grade(options, grader, output, progress, loader)
    scores = grader.board.scores(options.seed)
    if not (scores.attempts or any(stats.counts.values())):
        stats.remark = f"{options.data}: holds no question: nothing was scored"
    told = report(options, scores, stats)
    json_file.write_json(options.report, told)
    tracked.log(tracked_line(options.model, scores))
    tracked.close()
    json_file.write_json(options.card, card_of(options, told, player, [judge, *others], tape) if options.card else None)
    return ReportedStats.of(stats, scores)


def _tracked_folder(out: str) -> Path:
    return Path("eval") if out == jsonl.STDIN else Path(out).with_suffix("")


def tracked_line(model: str, scores: Scores) -> dict[str, object]:
    """What a tracker is told: all numbers, those of the whole first, at the step of a checkpoint ``step-N``."""
    rows = {row.name: msgspec.to_builtins(row) for row in (*scores.by_level, *scores.by_type)}
    steps = re.findall(r"step-(\d+)", model)
    conduct = msgspec.to_builtins(scores.conduct)
    return {"step": int(steps[-1]) if steps else 0, **msgspec.to_builtins(scores.overall), **rows, "conduct": conduct}


async def _try_out(*judges: Judge) -> None:
    """Raises UsageError for a model that cannot judge: before anything was spent on episodes."""
    for judge in judges:
        if isinstance(judge, ModelJudge):
            await judge.check()


class Grader:
    """Judges attempts, dissects them, and counts them. The first judge's verdict counts."""

    def __init__(self, options: config.EvalOptions, judges: Sequence[Judge], output: RecordWriter, board: Scoreboard):
        self.board = board
        self._by = options.by
        self._judge, *self._others = judges
        self._output = output

    async def graded(self, prediction: Prediction) -> list[Attempt]:
        """Raises Stopped with the attempt, unjudged, when the run is stopped before its verdict."""
        qa, attempt = prediction
        verdict, stop = await unjudged.verdict_or_stop(self._judge, qa, attempt.answer)
        unjudged.count_verdict(verdict, self._output.stats)
        verdicts: list[Verdict] = []
        for other in self._others if verdict.method != METHOD else ():
            if not stop:
                more, stop = await unjudged.verdict_or_stop(other, qa, attempt.answer)
                verdicts.append(more)
        attempt = msgspec.structs.replace(
            attempt,
            verdict=verdict,
            verdicts=verdicts,
            confidence=verdict.confidence if attempt.confidence is None else attempt.confidence,
            groups=groups_of(qa, self._by) or attempt.groups,
            extra={**attempt.extra, **seal_marks(qa.extra), **_set_of(qa)},
        )
        if saw_canary(attempt.messages, canaries_of(qa)) and SAW_CANARY not in attempt.leaks:
            attempt.leaks = [*attempt.leaks, SAW_CANARY]
        attempt.anatomy = anatomy_of(attempt) if _can_be_dissected(attempt) else None
        self.board.add(attempt)
        if stop:
            raise Stopped(stop, [attempt])
        return [attempt]


def _set_of(qa: QA) -> dict[str, Any]:
    """What a judge has to know of the question's set when it grades the attempt anew."""
    benchmark = told_by(qa)
    known: dict[str, Any] = {NAME: benchmark.name} if benchmark else {}
    if is_set_answer(qa):
        known["answer_type"] = "Set Answer"
    return known | ({RULES: qa.extra[RULES]} if table_rules(qa) else {})


def _can_be_dissected(attempt: Attempt) -> bool:
    """Without tools there is nothing to follow, nor where another harness wrote its calls in a way of its own."""
    if attempt.agent in ("react", "rag"):
        return bool(attempt.messages)
    return attempt.agent != "none" and any(turn.call for turn in own_turns(attempt.messages))


def anatomy_of(attempt: Attempt) -> Anatomy:
    return dissect(
        without_summaries(attempt),
        attempt.ending,
        attempt.question,
        _looked_for(question_of(attempt), attempt.answer or ""),
        attempt.evidence,
        is_wrong=attempt.verdict.outcome == "wrong",
        retrieved=attempt.agent == "rag",
    )


def _looked_for(qa: QA, answer: str) -> list[str]:
    """What an episode had to find: the gold answer, or of one that is a set or a table the parts that it lacks."""
    if rules := table_rules(qa):
        return unnamed_keys(rules, qa.answer, answer)
    if is_set_answer(qa):
        return unnamed_items(qa.answer, answer)
    return [qa.answer, *qa.aliases]


# ---- playing -------------------------------------------------------------------------------------------------------


class Player:
    """Plays the runs of an evaluation, with the whole agent or as a baseline."""

    def __init__(
        self, options: config.EvalOptions, policy: Policy | None, web: Web | None, summariser: Summariser | None
    ):
        assert policy is not None  # the front door opens one unless options.grade_only
        self.policy = policy
        self.agent = options.agent
        web = NoWeb() if options.agent == "none" and not web else web
        self.prompts, self._tools = open_tools(options, web, summariser)
        self.web, self._limits = self._tools.web, Limits.of(options)
        self._date, self._timings = options.date or "", options.timings
        self._is_guarded = options.leak_guard

    def key(self, item: QuestionRun) -> str:
        rule = self._limits.context if self.agent == "react" else APPEND
        return trajectory_id(item.qa.id, item.index, self.policy.name, prompts_id(self.agent, self.prompts), rule)

    async def play(self, item: QuestionRun) -> Prediction:
        """Raises Reject for an episode that failed for reasons of its servers."""
        guard = LeakGuard(self.web, item.qa) if self._is_guarded else None
        try:
            played = await self._episode(item, self._tools.over(guard) if guard else self._tools)
        except Outage as error:
            raise Reject("tool_abort", str(error)) from None
        if played.ending in FAILED_ENDINGS:
            raise Reject(played.ending, played.extra["error"])
        attempt = attempt_of(played, well_formed=self._is_well_formed(played), agent=self.agent)
        attempt.leaks = guard.kept_back if guard else []
        return Prediction(item.qa, attempt)

    async def _episode(self, item: QuestionRun, tools: Tools) -> Trajectory:
        qa, rollout = item.qa, item.index
        if self.agent != "react":
            baseline = Baseline(self.agent, self.policy, tools, self.prompts, self._limits)
            return await baseline.play(qa, rollout, timings=self._timings)
        return await play(
            qa, self.policy, tools, self.prompts, self._limits, rollout, date=self._date, timings=self._timings
        )

    def _is_well_formed(self, played: Trajectory) -> bool:
        if self.agent != "react":
            return not played.repairs and played.ending == "answered"
        return well_formed(played, self._tools.schemas)


async def _play(
    options: config.EvalOptions,
    player: Player,
    grader: Grader,
    output: RecordWriter,
    progress: Progress | None,
    loader: Loader,
) -> RunStats:
    async def work(item: QuestionRun) -> list[Attempt]:
        return await grader.graded(await player.play(item))

    report_rejected(player.web, output.reject_line)
    read = read_questions(options.data, output.reject_line, terms_of(options))
    asked = loader.questions(read, output.reject)
    questions = take_shard(asked, options.shard, options.limit, lambda qa: qa.id)
    items = runs(drop_duplicates(questions, output), options.runs)
    total = items_in(options, lambda: read_questions(options.data, jsonl.skip_line, terms_of(options)), options.runs)
    return await run_pipeline(items, work, output, jobs=options.jobs, key=player.key, progress=progress, total=total)


def _earlier(path: str) -> Scoreboard:
    board = Scoreboard()
    for attempt in jsonl.read_records(path, Attempt):
        board.add(attempt)
    return board


def runs(questions: Iterable[QA], count: int) -> Iterator[QuestionRun]:
    """All runs of a question stand together, so that a stopped evaluation has whole questions up to the last."""
    return (QuestionRun(qa, index) for qa in questions for index in range(count))


# ---- grading alone -------------------------------------------------------------------------------------------------


async def _grade(
    options: config.EvalOptions, grader: Grader, output: RecordWriter, progress: Progress | None, loader: Loader
) -> RunStats:
    gold = _gold(options, output, loader) if options.gold else None
    read = read_predictions(options.data, gold, output.reject_line, terms_of(options))
    part = take_shard(read, options.shard, options.limit, lambda prediction: prediction.qa.id)

    def predictions() -> Iterator[Prediction]:
        """Of a whole file, a question that nobody answered is wrong; in a part of it, it may be answered elsewhere."""
        yield from part
        if gold and options.limit is None and options.shard is None:
            yield from map(no_attempt, gold.unanswered())

    def key(prediction: Prediction) -> str:
        return prediction.attempt.id

    total = items_in(options, lambda: read_predictions(options.data, None, jsonl.skip_line, terms_of(options)))
    return await run_pipeline(
        predictions(), grader.graded, output, jobs=options.jobs, key=key, progress=progress, total=total
    )


def _gold(options: config.EvalOptions, output: RecordWriter, loader: Loader) -> Questions:
    assert options.gold
    read = read_questions(options.gold, terms=SealTerms(options.reveal, options.canary))
    return Questions(options.gold, loader.questions(read, output.reject))


def card_of(
    options: config.EvalOptions,
    told: dict[str, object],
    player: "Player | None",
    judges: Sequence[Judge],
    tape: Tape | None,
) -> dict[str, object]:
    """All that the scores were made with, for ``verify``."""
    prompts = load_for(options)
    named = {name: getattr(options, name) for name in ("data", "gold", "ids", "prices", "web", "model", "prompts")}
    files = {name: path for name, path in named.items() if path and path != jsonl.STDIN and Path(path).exists()}
    words = {name: content_id(text) for name, text in prompts.files.items()}
    return card.with_digests(
        {
            "card": card.VERSION,
            "made_with": card.made_with(),
            "options": dict(vars(options)),
            "files": {name: card.described(path) for name, path in files.items()},
            "prompts": {"set": prompts.id, "files": words},
            "model": player.policy.name if player else "",
            "web": player.web.name if player else "",
            "summariser": options.summariser_model or "",
            "judges": [getattr(judge, "method", judge.name) for judge in judges],
            "attempts": {"path": options.out, "lines": card.line_digests(options.out)},
            "tape": {"path": tape.path, "exchanges": card.exchange_digests(tape.digests())} if tape else None,
            "not_scored": told["not_scored"],
            "scores": {name: value for name, value in told.items() if name not in ("data", "agent", "not_scored")},
        }
    )


def report(options: config.EvalOptions, scores: Scores, stats: RunStats) -> dict[str, object]:
    """The scores, and what did not come to one."""
    return {"data": options.data, "agent": options.agent, **scores.values(), "not_scored": dict(stats.reasons)}
