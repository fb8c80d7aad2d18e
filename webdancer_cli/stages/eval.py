"""``eval``: questions in, graded attempts out, and the scores of them all.

Every question is played ``--runs`` times and its answer judged. An attempt that the judge could not judge is written as
*unjudged*: it enters no accuracy, is counted apart, the exit code tells of it, and ``--resume`` plays it again. A
policy that could not answer at all (``model_error``) and a service behind the tools that was down (``tool_abort``) are
failures, not wrong answers: they go to the rejects, and ``--resume`` plays them again, too.

The file of attempts is all that the scores need: ``scores.from_attempts(jsonl.read(path, Attempt))`` gives them again.
"""

from collections.abc import Iterable, Iterator

import msgspec

from webdancer_cli import config, jsonl
from webdancer_cli.agent.episode import FAILURES, Limits, Policy, play
from webdancer_cli.agent.own_tools import load_tools
from webdancer_cli.agent.summariser import Summariser
from webdancer_cli.agent.tools import Tools
from webdancer_cli.errors import Reject
from webdancer_cli.flow import Progress, Sink, Stopped, Tally, once
from webdancer_cli.flow import run as flow_run
from webdancer_cli.grading import unjudged
from webdancer_cli.grading.answers import Judge, MatchJudge
from webdancer_cli.grading.format import format_ok
from webdancer_cli.grading.scores import Scoreboard, Scores
from webdancer_cli.prompts import load_for
from webdancer_cli.questions import read_questions
from webdancer_cli.records import QA, Attempt, Trajectory, Verdict, trajectory_id
from webdancer_cli.sealed import Terms, marks
from webdancer_cli.shards import chosen
from webdancer_cli.web.corpus import Corpus, tell_rejected
from webdancer_cli.web.source import Web


class Run(msgspec.Struct):
    """One run of one question."""

    qa: QA
    index: int


async def run(
    options: config.Eval,
    policy: Policy,
    progress: Progress | None = None,
    judge: Judge | None = None,
    *,
    web: Web | None = None,
    summariser: Summariser | None = None,
) -> tuple[Tally, Scores]:
    """Play, grade and score. Raises UsageError for prompts, a corpus or an ``out`` that cannot work.

    With ``resume`` the scores cover the attempts of the earlier run, too. ``web`` is the live one; without it,
    options.web names a corpus.
    """
    prompts, own_tools, limits = load_for(options), load_tools(options.tool), Limits.of(options)
    web = web or Corpus.load(options.web, snippet_chars=prompts.caps.snippet_chars)
    tools = Tools(web, prompts, own_tools, summariser)
    judge = judge or MatchJudge()

    async def work(item: Run) -> list[Attempt]:
        trajectory = await play(item.qa, policy, tools, prompts, limits, item.index, date=options.date or "")
        if trajectory.ending in FAILURES:
            raise Reject(trajectory.ending, trajectory.extra["error"])
        verdict, stop = await unjudged.verdict_or_stop(judge, item.qa, trajectory.answer)
        unjudged.count(verdict, sink.tally)
        well_formed = not trajectory.repairs and format_ok(trajectory.messages, tools.schemas)
        graded = attempt(trajectory, verdict, well_formed)
        board.add(graded)
        if stop:
            raise Stopped(stop, [graded])
        return [graded]

    def key(item: Run) -> str:
        return trajectory_id(item.qa.id, item.index, policy.name, prompts.id)

    with (
        unjudged.forgotten(options.out, options.resume),
        Sink("eval", options.out, options.rejects, resume=options.resume) as sink,
    ):
        board = _earlier(options.out) if sink.done else Scoreboard()
        tell_rejected(web, sink.reject_line)
        asked = read_questions(
            options.data, sink.reject_line, Terms(options.reveal, options.canary, bool(options.tape))
        )
        questions = chosen(asked, options.shard, options.limit, lambda qa: qa.id)
        items = runs(once(questions, sink), options.runs)
        tally = await flow_run(items, work, sink, jobs=options.jobs, key=key, progress=progress)
    return tally, board.scores(options.seed)


def _earlier(path: str) -> Scoreboard:
    board = Scoreboard()
    for attempt in jsonl.read(path, Attempt):
        board.add(attempt)
    return board


def runs(questions: Iterable[QA], count: int) -> Iterator[Run]:
    """All runs of a question stand together, so that a stopped evaluation has whole questions up to the last."""
    return (Run(qa, index) for qa in questions for index in range(count))


def attempt(trajectory: Trajectory, verdict: Verdict, well_formed: bool) -> Attempt:
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
        format_ok=well_formed,
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
        extra=marks(qa.extra),
    )
