"""``filter``: trajectories in, the good ones out, and a reason for every other one (paper, section 2: the funnel).

The stages, in the order of ``--stages``:

validity     the episode is well-formed (``grading.format``): grammar, known tools, valid arguments, at least one tool
             call, an answer at the end, no observation inside an assistant turn
correctness  the verdict that the trajectory carries, or else the match by rule with the gold answer, or the judge's
             word. *Unjudged* is its own class: never kept, never counted as wrong
quality      number of actions, repeated calls, thoughts, repetition, evidence (``grading.quality``)
model        the critic's opinions: non-redundancy, goal alignment, logical reasoning and accuracy

Then, over what passed: ``--dedup``, and the best of every question.

Data that was judged before, like the authors' released lines, carries no verdict, and its answers are sentences that a
match by rule takes for wrong: give a judge, or filter it with ``--stages validity,quality``.

``--resume`` appends what is missing: what stands in ``out`` has passed and is asked about no more; the rest is examined
anew, where a tape gives the models' words again. What stands there is the first of its kind for ``--dedup`` and counts
for ``--per-question``. With ``--per-question`` all is written at the end of the input: a budget needs a tape then.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing
from tempfile import SpooledTemporaryFile
from typing import Any, NamedTuple

import msgspec

from webdancer_cli.agent.custom_tools import load_tools
from webdancer_cli.data.input_streams import STDIN
from webdancer_cli.data.jsonl import skip_line
from webdancer_cli.data.key_set import KeySet
from webdancer_cli.data.pipeline import Progress, RecordWriter, ReportedStats, iterate_in_thread, run_pipeline
from webdancer_cli.data.records import QA, Trajectory, Verdict
from webdancer_cli.data.sealed import SEALED, refuse_taping
from webdancer_cli.data.shards import take_shard
from webdancer_cli.data.totals import items_in
from webdancer_cli.errors import ModelError, Reject, UsageError
from webdancer_cli.grading.critic import Critic
from webdancer_cli.grading.exact_match import METHOD, Judge, MatchJudge
from webdancer_cli.grading.format import FormatFault, own_turns, tools_of, trajectory_fault
from webdancer_cli.grading.funnel import Funnel, FunnelStep
from webdancer_cli.grading.quality import quality_fault
from webdancer_cli.grading.selection import duplicate_key
from webdancer_cli.grading.spool import QuestionLog, TrajectorySpool
from webdancer_cli.options import config
from webdancer_cli.transcript import released_format
from webdancer_cli.transcript.contexts import without_summaries
from webdancer_cli.transcript.grammar import Turn
from webdancer_cli.transcript.tool_schemas import Schema

DEDUP = "dedup"
PER_QUESTION = "per question"
SPOOL_BYTES = 1 << 20
"""What waits goes from memory to the disk beyond this size."""


class Candidate(NamedTuple):
    """A trajectory with its assistant turns, read once for all stages."""

    trajectory: Trajectory
    turns: list[Turn]


class Examined(msgspec.Struct):
    """A trajectory that passed so many stages; ``reject`` is why it did not pass the next."""

    candidate: Candidate
    passed: int
    reject: Reject | None = None


Check = Callable[[Candidate], Awaitable[None]]
"""Raises Reject."""


async def run(
    options: config.FilterOptions,
    *,
    progress: Progress | None = None,
    judge: Judge | None = None,
    critic: Critic | None = None,
) -> ReportedStats[Funnel]:
    """Filter a stream in flat memory; the models are asked about at most ``options.jobs`` trajectories at once.

    Raises UsageError for a stage that lacks its model.
    """
    checks = FunnelChecks(options, judge, critic).chosen()
    funnel = Funnel([FunnelStep(name) for name in [*checks, *_over_all(options)]])
    with SpooledTemporaryFile(SPOOL_BYTES) as spool, SpooledTemporaryFile(SPOOL_BYTES) as seen:
        questions = QuestionLog(seen if options.unused_qa else None)
        outlet = FilterOutput(options, funnel, questions, TrajectorySpool(spool))

        async def work(trajectory: Trajectory) -> list[Examined]:
            candidate = Candidate(trajectory, own_turns(without_summaries(trajectory)))
            return [await examine(candidate, checks.values(), passes=outlet.has(trajectory))]

        with outlet:
            read = released_format.read_trajectories(options.data, outlet.reject_line)
            trajectories = (_admitted(trajectory, options) for trajectory in read)
            shard = take_shard(trajectories, options.shard, options.limit, lambda trajectory: trajectory.qa.id)
            asked = questions.seen_in(shard)
            total = items_in(options, lambda: released_format.read_trajectories(options.data, skip_line))
            if judge or critic:
                await run_pipeline(asked, work, outlet, jobs=options.jobs, progress=progress, total=total)
            else:
                arriving = iterate_in_thread(asked) if options.data == STDIN else _at_hand(asked)
                await _in_turn(arriving, work, outlet, progress, total)
            if not outlet.stats.stopped:
                outlet.finish()
    return ReportedStats.of(outlet.stats, funnel)


def _admitted(trajectory: Trajectory, options: config.FilterOptions) -> Trajectory:
    """One whose question came from an encrypted set is to be written in the clear only if the user says so."""
    if options.reveal:
        trajectory.qa.extra.pop(SEALED, None)
    elif options.tape:
        refuse_taping(options.data, trajectory.qa.extra)
    return trajectory


Work = Callable[[Trajectory], Awaitable[list[Examined]]]


async def _in_turn(
    trajectories: AsyncGenerator[Trajectory, None],
    work: Work,
    outlet: "FilterOutput",
    progress: Progress | None,
    total: int | None,
) -> None:
    """Rules wait for nothing: a task for each trajectory would cost more than they do."""
    async with aclosing(trajectories):
        async for trajectory in trajectories:
            outlet.stats.counts["in"] += 1
            for done in await work(trajectory):
                outlet.write(done)
            if progress:
                progress.step(outlet.stats.counts["in"], total, outlet.stats.brief())


async def _at_hand(trajectories: Iterable[Trajectory]) -> AsyncGenerator[Trajectory, None]:
    """A file is read without waiting, so no thread has to; the event loop comes in now and then, for Ctrl-C."""
    for number, trajectory in enumerate(trajectories):
        yield trajectory
        if number % 8 == 0:
            await asyncio.sleep(0)


def _over_all(options: config.FilterOptions) -> list[str]:
    """The stages that look at several trajectories."""
    return [name for name, wanted in ((DEDUP, options.dedup), (PER_QUESTION, options.per_question)) if wanted]


async def examine(candidate: Candidate, checks: Iterable[Check], passes: bool) -> Examined:
    """How far a trajectory comes; an earlier run may have found that it ``passes``."""
    passed = 0
    for check in checks:
        try:
            if not passes:
                await check(candidate)
        except Reject as reject:
            return Examined(candidate, passed, reject)
        passed += 1
    return Examined(candidate, passed)


class FunnelChecks:
    """The stages that look at one trajectory."""

    def __init__(self, options: config.FilterOptions, judge: Judge | None, critic: Critic | None):
        self._options = options
        self._judge = judge
        self._critic = critic
        self._own_tools: list[Schema] = [tool.schema for tool in load_tools(options.tool)]

    def chosen(self) -> dict[str, Check]:
        """In the chosen order."""
        known: dict[str, Check] = {
            "validity": self.validity,
            "correctness": self.correctness,
            "quality": self.quality,
            "model": self.model,
        }
        if "model" in self._options.stages and self._critic is None:
            raise UsageError("--stages model: which model? Name it with --judge-model and --judge-base-url")
        return {name: known[name] for name in self._options.stages}

    async def validity(self, candidate: Candidate) -> None:
        trajectory = candidate.trajectory
        tools = [*tools_of(trajectory.messages), *self._own_tools] if self._own_tools else None
        _decide(trajectory_fault(trajectory, tools, candidate.turns))

    async def quality(self, candidate: Candidate) -> None:
        trajectory = candidate.trajectory
        messages, forgets = without_summaries(trajectory), trajectory.context is not None
        _decide(quality_fault(messages, candidate.turns, self._options, forgets=forgets))

    async def correctness(self, candidate: Candidate) -> None:
        """A judge that was asked in vain is a failure: the exit code tells of it."""
        trajectory = candidate.trajectory
        carried = trajectory.verdict
        verdict = trajectory.verdict = await self._verdict(trajectory)
        if verdict.outcome == "correct":
            return
        detail = f"{verdict.detail}: answer {_short(trajectory.answer)}, gold {_short(trajectory.qa.answer)}"
        if verdict.outcome == "wrong":
            raise Reject("wrong_answer", detail, failed=False)
        raise Reject("unjudged", detail, failed=verdict is not carried and verdict.method != METHOD)

    async def _verdict(self, trajectory: Trajectory) -> Verdict:
        """A judge that reads is asked where only a rule found no match."""
        carried = trajectory.verdict
        by_rule = self._judge and carried and carried.method == METHOD and carried.outcome == "wrong"
        if carried and carried.outcome != "unjudged" and not by_rule:
            return carried
        verdict = await (self._judge or MatchJudge()).judge(trajectory.qa, trajectory.answer)
        return carried if carried and not self._judge and verdict.outcome != "correct" else verdict

    async def model(self, candidate: Candidate) -> None:
        assert self._critic
        trajectory = candidate.trajectory
        try:
            trajectory.opinions = await self._critic.opinions(trajectory)
        except ModelError as error:
            raise Reject("model_error", str(error)) from None
        for opinion in trajectory.opinions:
            if not opinion.good:
                raise Reject(opinion.criterion, opinion.reason, failed=False)


def _no_place(trajectory: Trajectory) -> Reject | None:
    """Why the authors' form cannot hold a trajectory."""
    if SEALED in trajectory.qa.extra:
        return Reject("encrypted", "the authors' form has no place for a canary: write it with --reveal")
    if trajectory.context:
        return Reject("context", f"the authors' form cannot say what the policy saw: {trajectory.context.rule}")
    return None


def _decide(fault: FormatFault | None) -> None:
    """A decision, not a failure: the exit code stays 0."""
    if fault:
        raise Reject(fault.reason, fault.detail, failed=False)


def _short(text: str | None, chars: int = 200) -> str:
    return repr(text if text is None or len(text) <= chars else text[:chars] + "…")


class FilterOutput(RecordWriter):
    """Where examined trajectories come out, in input order: kept ones in the chosen form, the others as rejects."""

    def __init__(self, options: config.FilterOptions, funnel: Funnel, questions: QuestionLog, waiting: TrajectorySpool):
        super().__init__(
            "filter", options.out, options.rejects, resume=options.resume, key=_written_key(options.format)
        )
        self._options = options
        self._funnel = funnel
        self._questions = questions
        self._waiting = waiting
        self._met = KeySet(self._standing() if options.dedup and self.done else ())

    def has(self, trajectory: Trajectory) -> bool:
        """Whether an earlier run has written it."""
        return len(self.done) > 0 and self._written_id(trajectory) in self.done

    def write(self, record: Any) -> None:
        """Take an Examined."""
        examined: Examined = record
        trajectory, reject, passed = examined.candidate.trajectory, examined.reject, examined.passed
        if self._options.dedup and reject is None:
            reject = None if self.has(trajectory) else self._duplicate(examined.candidate)
            passed += reject is None
        if reject is None and self._options.format == "webdancer":
            reject = _no_place(trajectory)
        self._funnel.count(passed, reject)
        if reject:
            self.reject(reject, trajectory, trajectory.id)
        elif self._options.per_question:
            self._wait(trajectory)
        else:
            self._write(trajectory)

    def _duplicate(self, candidate: Candidate) -> Reject | None:
        if self._met.add(self._same_key(candidate.trajectory, candidate.turns)):
            return None
        return Reject("duplicate", "an earlier one has the same calls and the same answer", failed=False)

    def _standing(self) -> Iterator[str]:
        """The keys of what an earlier run has written."""
        for trajectory in released_format.read_trajectories(self._options.out):
            yield self._same_key(trajectory, own_turns(without_summaries(trajectory)))

    def _same_key(self, trajectory: Trajectory, turns: list[Turn]) -> str:
        """The authors' lines keep the question and not its id."""
        if self._options.format == "webdancer":
            asked = QA(question=released_format.question_in(trajectory.messages), answer="")
            trajectory = msgspec.structs.replace(trajectory, qa=asked)
        return duplicate_key(trajectory, turns)

    def _wait(self, trajectory: Trajectory) -> None:
        """Until the end of the input. What stands in ``out`` was found correct, whatever verdict it came with."""
        stands = self.has(trajectory)
        if stands and "correctness" in self._options.stages:
            trajectory.verdict = None
        self._waiting.add(trajectory, stands)

    def finish(self) -> None:
        """The input has ended: write the best of every question, and the questions without a kept trajectory."""
        if count := self._options.per_question:
            for trajectory, is_best in self._waiting.released(count):
                reject = None if is_best else Reject("not_among_best", f"{count} others are kept", failed=False)
                self._funnel.step(PER_QUESTION).take(reject)
                if reject:
                    self.reject(reject, trajectory, trajectory.id)
                else:
                    self._write(trajectory)
        if self._options.unused_qa:
            self.stats.counts["unused questions"] = self._questions.write_unsolved(self._options.unused_qa)

    def _write(self, trajectory: Trajectory) -> None:
        self._questions.solved(trajectory.qa)
        if self.has(trajectory):
            self.stats.counts["already done"] += 1
        elif self._options.format == "webdancer":
            self.write_line(released_format.encode_released(trajectory))
        else:
            super().write(trajectory)

    def _written_id(self, trajectory: Trajectory) -> str:
        """The authors' lines have no id of their own: there it is that of the messages."""
        return (
            released_format.messages_id(trajectory.messages) if self._options.format == "webdancer" else trajectory.id
        )


def _written_key(format: str) -> Callable[[dict[str, Any]], str] | None:
    """How an output line names its trajectory."""
    if format != "webdancer":
        return None
    return lambda value: released_format.as_trajectory(value).id
