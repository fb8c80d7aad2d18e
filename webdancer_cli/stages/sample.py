"""``sample``: questions in, trajectories out. ``n`` ReAct episodes per question, with real tool calls.

How an episode ends is for ``filter`` to judge: all endings are written, except that a policy which could not answer
(``model_error``) and a service behind the tools that was down (``tool_abort``) are failures: they go to the rejects,
and ``--resume`` plays them again.

With ``--until-correct`` (rejection sampling) the rollouts of a question are played one after the other, judged by rule
or by the judge's model, and the first correct one is the last.

A trajectory that the judge's model could not judge is written as *unjudged*: it is counted apart, the exit code tells
of it, and ``--resume`` with a judge plays it again.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from webdancer_cli.agent.episode import FAILED_ENDINGS, Limits, Policy, play
from webdancer_cli.agent.summariser import Summariser
from webdancer_cli.agent.toolbox import open_tools
from webdancer_cli.agent.tools import Tools
from webdancer_cli.data.jsonl import skip_line
from webdancer_cli.data.ordered_map import Stopped
from webdancer_cli.data.pipeline import Progress, RecordWriter, RunStats, drop_duplicates, run_pipeline
from webdancer_cli.data.questions import read_questions
from webdancer_cli.data.records import QA, Trajectory, Verdict, trajectory_id
from webdancer_cli.data.sealed import terms_of
from webdancer_cli.data.shards import take_shard
from webdancer_cli.data.totals import items_in
from webdancer_cli.errors import Reject, RunStopped
from webdancer_cli.grading import exact_match, unjudged
from webdancer_cli.grading.exact_match import Judge, MatchJudge
from webdancer_cli.options import config
from webdancer_cli.prompts import PromptSet
from webdancer_cli.transcript import released_format
from webdancer_cli.web.corpus import report_rejected
from webdancer_cli.web.protocols import Web


class RolloutTask(msgspec.Struct):
    """Rollouts of one question, to be played one after the other."""

    qa: QA
    rollouts: Sequence[int]


async def run(
    options: config.SampleOptions,
    policy: Policy,
    *,
    progress: Progress | None = None,
    web: Web | None = None,
    summariser: Summariser | None = None,
    judge: Judge | None = None,
) -> RunStats:
    """``web`` is the live one; without it, options.web names a corpus. A ``judge`` grades every trajectory.

    Raises UsageError for prompts, tools, a corpus or files that cannot work.
    """
    prompts, tools = open_tools(options, web, summariser)
    answered = {qa.id for qa in solved(options.skip_solved)} if options.skip_solved else set()
    with (
        unjudged.drop_unjudged(options.out, options.resume and judge is not None),
        RecordWriter("sample", options.out, options.rejects, resume=options.resume) as output,
    ):
        report_rejected(tools.web, output.reject_line)
        judge = judge or (MatchJudge() if options.until_correct else None)
        sampler = Sampler(options, policy, tools, prompts, output, judge)
        asked = read_questions(options.data, output.reject_line, terms_of(options))
        questions = take_shard(asked, options.shard, options.limit, lambda qa: qa.id)
        tasks_each = 1 if options.until_correct else options.n
        items = tasks(_unanswered(drop_duplicates(questions, output), answered, output), options)
        total = items_in(options, lambda: read_questions(options.data, skip_line, terms_of(options)), tasks_each)
        return await run_pipeline(
            items, sampler.work, output, jobs=options.jobs, key=sampler.last_id, progress=progress, total=total
        )


def tasks(questions: Iterable[QA], options: config.SampleOptions) -> Iterator[RolloutTask]:
    """All rollouts of a question stand together, so that a stopped run has whole questions up to the last."""
    if options.until_correct:
        return (RolloutTask(qa, list(range(options.n))) for qa in questions)
    return (RolloutTask(qa, [index]) for qa in questions for index in range(options.n))


class Sampler:
    """Plays tasks. ``output.done`` tells what an earlier run has written."""

    def __init__(
        self,
        options: config.SampleOptions,
        policy: Policy,
        tools: Tools,
        prompts: PromptSet,
        output: RecordWriter,
        judge: Judge | None = None,
    ):
        self._judge = judge
        self._options = options
        self._policy = policy
        self._tools = tools
        self._prompts = prompts
        self._limits = Limits.of(options)
        self._output = output
        if options.until_correct and output.done:
            # What was solved needs no more rollouts: it is as if its last one had been written.
            output.done.update(self._id(qa, options.n - 1) for qa in solved(options.out))

    async def work(self, task: RolloutTask) -> list[Trajectory]:
        """What was played. A failure ends the task: which of its other rollouts are needed, ``--resume`` finds out.

        Raises Stopped, with what was played until then.
        """
        played: list[Trajectory] = []
        try:
            for index in task.rollouts:
                if self._id(task.qa, index) not in self._output.done and not await self._goes_on(task, index, played):
                    break
        except RunStopped as stop:
            raise Stopped(stop, played) from stop
        return played

    async def _goes_on(self, task: RolloutTask, index: int, played: list[Trajectory]) -> bool:
        """Play a rollout; whether the task's next one is to be played, too. Raises RunStopped."""
        trajectory = await self._play(task.qa, index)
        if trajectory.ending in FAILED_ENDINGS:
            self._output.reject(Reject(trajectory.ending, trajectory.extra["error"]), task, trajectory.id)
            return False
        played.append(trajectory)
        if self._judge:
            await self._grade(trajectory, self._judge)
        return not (self._options.until_correct and _settles(trajectory))

    async def _grade(self, trajectory: Trajectory, judge: Judge) -> None:
        """Raises RunStopped; the trajectory then is unjudged."""
        verdict, stop = await unjudged.verdict_or_stop(judge, trajectory.qa, trajectory.answer)
        trajectory.verdict = verdict
        unjudged.count_verdict(verdict, self._output.stats)
        if stop:
            raise stop

    def last_id(self, task: RolloutTask) -> str:
        """The rollout without which a task is not done."""
        return self._id(task.qa, task.rollouts[-1])

    def _id(self, qa: QA, index: int) -> str:
        return trajectory_id(qa.id, index, self._policy.name, self._prompts.id, self._options.context)

    async def _play(self, qa: QA, index: int) -> Trajectory:
        return await play(
            qa,
            self._policy,
            self._tools,
            self._prompts,
            self._limits,
            index,
            date=self._options.date or "",
            timings=self._options.timings,
        )


def _unanswered(questions: Iterable[QA], answered: set[str], output: RecordWriter) -> Iterator[QA]:
    for qa in questions:
        if qa.id in answered:
            output.stats.counts["solved before"] += 1
        else:
            yield qa


def solved(path: str) -> Iterator[QA]:
    """The questions to which a file of trajectories, ours or the authors', has a correct answer."""
    return (trajectory.qa for trajectory in released_format.read_trajectories(path) if is_correct(trajectory))


def is_correct(trajectory: Trajectory) -> bool:
    """By the verdict that a trajectory carries, or else by rule."""
    return _verdict(trajectory).outcome == "correct"


def _settles(trajectory: Trajectory) -> bool:
    """Whether it is correct, or it is not known: the judge failed."""
    return is_correct(trajectory) or (trajectory.verdict is not None and unjudged.judge_failed(trajectory.verdict))


def _verdict(trajectory: Trajectory) -> Verdict:
    if trajectory.verdict and trajectory.verdict.outcome != "unjudged":
        return trajectory.verdict
    return exact_match.match_answer(trajectory.answer, trajectory.qa.answer, trajectory.qa.aliases)
