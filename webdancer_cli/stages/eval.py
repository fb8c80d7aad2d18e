"""``eval``: questions in, graded attempts out, and the scores of them all.

Every question is played ``--runs`` times and its answer judged. An attempt that the judge could not judge is written as
*unjudged*: it enters no accuracy, is counted apart, the exit code tells of it, and ``--resume`` plays it again. A
policy that could not answer at all (``model_error``) and a service behind the tools that was down (``tool_abort``) are
failures, not wrong answers: they go to the rejects, and ``--resume`` plays them again, too.

The file of attempts is all that the scores need: ``scores.from_attempts(jsonl.read_records(path, Attempt))`` gives
them again.
"""

from collections.abc import Iterable, Iterator

import msgspec

from webdancer_cli.agent.episode import FAILED_ENDINGS, Limits, Policy, play
from webdancer_cli.agent.summariser import Summariser
from webdancer_cli.agent.toolbox import open_tools
from webdancer_cli.data import jsonl
from webdancer_cli.data.ordered_map import Stopped
from webdancer_cli.data.pipeline import Progress, RecordWriter, ReportedStats, drop_duplicates
from webdancer_cli.data.pipeline import run_pipeline as flow_run
from webdancer_cli.data.questions import read_questions
from webdancer_cli.data.records import QA, Attempt, Trajectory, Verdict, trajectory_id
from webdancer_cli.data.sealed import seal_marks, terms_of
from webdancer_cli.data.shards import take_shard
from webdancer_cli.errors import Reject
from webdancer_cli.grading import unjudged
from webdancer_cli.grading.exact_match import Judge, MatchJudge
from webdancer_cli.grading.format import well_formed
from webdancer_cli.grading.scores import Scoreboard, Scores
from webdancer_cli.options import config
from webdancer_cli.web.corpus import report_rejected
from webdancer_cli.web.protocols import Web


class QuestionRun(msgspec.Struct):
    """One run of one question."""

    qa: QA
    index: int


async def run(
    options: config.EvalOptions,
    policy: Policy,
    *,
    progress: Progress | None = None,
    web: Web | None = None,
    summariser: Summariser | None = None,
    judge: Judge | None = None,
) -> ReportedStats[Scores]:
    """Play, grade and score. Raises UsageError for prompts, a corpus or an ``out`` that cannot work.

    With ``resume`` the scores cover the attempts of the earlier run, too. ``web`` is the live one; without it,
    options.web names a corpus.
    """
    prompts, tools = open_tools(options, web, summariser)
    limits, judge = Limits.of(options), judge or MatchJudge()

    async def work(item: QuestionRun) -> list[Attempt]:
        trajectory = await play(item.qa, policy, tools, prompts, limits, item.index, date=options.date or "")
        if trajectory.ending in FAILED_ENDINGS:
            raise Reject(trajectory.ending, trajectory.extra["error"])
        verdict, stop = await unjudged.verdict_or_stop(judge, item.qa, trajectory.answer)
        unjudged.count_verdict(verdict, output.stats)
        graded = attempt(trajectory, verdict, well_formed(trajectory, tools.schemas))
        board.add(graded)
        if stop:
            raise Stopped(stop, [graded])
        return [graded]

    def key(item: QuestionRun) -> str:
        return trajectory_id(item.qa.id, item.index, policy.name, prompts.id)

    with (
        unjudged.drop_unjudged(options.out, options.resume),
        RecordWriter("eval", options.out, options.rejects, resume=options.resume) as output,
    ):
        board = _earlier(options.out) if output.done else Scoreboard()
        report_rejected(tools.web, output.reject_line)
        asked = read_questions(options.data, output.reject_line, terms_of(options))
        questions = take_shard(asked, options.shard, options.limit, lambda qa: qa.id)
        items = runs(drop_duplicates(questions, output), options.runs)
        stats = await flow_run(items, work, output, jobs=options.jobs, key=key, progress=progress)
    return ReportedStats.of(stats, board.scores(options.seed))


def _earlier(path: str) -> Scoreboard:
    board = Scoreboard()
    for attempt in jsonl.read_records(path, Attempt):
        board.add(attempt)
    return board


def runs(questions: Iterable[QA], count: int) -> Iterator[QuestionRun]:
    """All runs of a question stand together, so that a stopped evaluation has whole questions up to the last."""
    return (QuestionRun(qa, index) for qa in questions for index in range(count))


def attempt(trajectory: Trajectory, verdict: Verdict, format_ok: bool) -> Attempt:
    """The graded record of an episode."""
    qa = trajectory.qa
    return Attempt(
        id=trajectory.id,
        qa_id=qa.id,
        run=trajectory.rollout,
        model=trajectory.model,
        question=qa.question,
        gold=qa.answer,
        answer=trajectory.answer,
        verdict=verdict,
        format_ok=format_ok,
        ending=trajectory.ending,
        level=qa.level,
        type=qa.type,
        prompts=trajectory.prompts,
        web=trajectory.web,
        summariser=trajectory.summariser,
        tools=trajectory.tools,
        usage=trajectory.usage,
        calls=trajectory.calls,
        last_call=trajectory.last_call,
        messages=trajectory.messages,
        extra=seal_marks(qa.extra),
    )
