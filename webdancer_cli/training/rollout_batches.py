"""Dynamic sampling: the rollouts of one step, in rounds of fresh questions."""

import asyncio
import math
from collections import Counter, deque
from concurrent.futures import Future
from dataclasses import dataclass, field

from webdancer_cli.grading.pass_rates import PassCount
from webdancer_cli.options.config import RlOptions
from webdancer_cli.training.distributed import ProcessGroup
from webdancer_cli.training.engine import Engine
from webdancer_cli.training.question_stream import GroupOutcome, QuestionStream
from webdancer_cli.training.rollout_loop import RolloutLoop, wait_for
from webdancer_cli.training.rollouts import Group, Rollout, RolloutCollector, learnable
from webdancer_cli.training.watchdog import Watchdog

IN_VAIN = "not one episode of a step could be judged: model, web or judge are out of order"


UNJUDGED_STEPS = 5
"""Over so many steps the share of episodes without a verdict is looked at."""


@dataclass
class RolloutBatch:
    """What dynamic sampling brought for one step, over all ranks."""

    version: int = 0
    """Of the weights that it was played with."""
    dynamic: bool = True
    """Whether only groups that can be learned from are trained on."""
    groups: list[Group] = field(default_factory=list)
    rounds: int = 0
    epoch: int = 0
    """The pass over the questions that the last of them is of."""
    resting: int = 0
    """Questions that rest after it."""
    stopped: str = ""
    """Why a rank can play or judge no more, if one cannot."""

    @property
    def kept(self) -> list[Group]:
        """The groups that can be learned from."""
        return [group for group in self.groups if learnable(group)]

    @property
    def trained_on(self) -> list[Group]:
        """Those, or without dynamic sampling all in which something with a reward was written."""
        if self.dynamic:
            return self.kept
        return [group for group in self.groups if any(each.reward is not None and each.logprobs for each in group)]

    @property
    def why_to_stop(self) -> str:
        """What keeps further steps from teaching anything: no answer can be judged any more. The same on all ranks."""
        judged = any(rollout.reward is not None for group in self.groups for rollout in group)
        return self.stopped or ("" if judged else IN_VAIN)


class UnjudgedShare:
    """How many episodes of the last steps say nothing, and whether that is too many to learn from the others."""

    def __init__(self, limit: float):
        self._limit = limit
        self._steps: deque[list[Rollout]] = deque(maxlen=UNJUDGED_STEPS)

    def why_to_stop(self, batch: RolloutBatch) -> str:
        """Why the run should end, once the steps up to this one tell; else nothing."""
        self._steps.append([rollout for group in batch.groups for rollout in group])
        rollouts = [rollout for step in self._steps for rollout in step]
        silent = [rollout for rollout in rollouts if rollout.reward is None]
        if len(self._steps) < UNJUDGED_STEPS or len(silent) <= self._limit * len(rollouts):
            return ""
        verdicts = [rollout.trajectory.verdict for rollout in silent]
        causes = Counter(verdict.detail or verdict.method for verdict in verdicts if verdict)
        named = ", ".join(f"{cause} ({count})" for cause, count in causes.most_common(3))
        return (
            f"{len(silent)} of {len(rollouts)} episodes of the last {UNJUDGED_STEPS} steps have no verdict: {named}: "
            f"mend that, or allow more than --max-unjudged {self._limit:g}"
        )


async def collect(
    collector: RolloutCollector,
    stream: QuestionStream,
    step: int,
    options: RlOptions,
    world: ProcessGroup,
    version: int,
) -> RolloutBatch:
    """Dynamic sampling: rounds of fresh questions until enough groups are learnable, or ``max_rounds`` are over.

    A round's questions are dealt out to the ranks; all ranks end with all groups, in the order of the questions. A rank
    that can play or judge no more ends the rounds for all. When ``step_seconds`` are over, so are the episodes under
    way, and the rounds. Without dynamic sampling there is one round.
    """
    loop = asyncio.get_running_loop()
    dynamic = options.dynamic_sampling == "on"
    collected = RolloutBatch(version, dynamic)
    rounds = options.max_rounds if dynamic else 1
    ends, late = loop.time() + options.step_seconds, False
    while not (late or collected.stopped or collected.rounds == rounds or len(collected.kept) >= options.questions):
        questions = stream.take(round_size(collected, options.questions))
        attempt = step * options.max_rounds + collected.rounds
        mine = await collector.play(questions[world.rank :: world.size], attempt, max(0.0, ends - loop.time()))
        told = world.gather((mine, collector.stopped, loop.time() >= ends))
        parts, reasons, clocks = zip(*told, strict=True)
        collected.stopped, late = next(filter(None, reasons), ""), any(clocks)
        groups = [parts[at % world.size][at // world.size] for at in range(len(questions))]
        stream.hear(map(outcome_of, groups))
        collected.groups += groups
        collected.rounds += 1
    collected.epoch, collected.resting = stream.epoch, stream.resting
    return collected


def outcome_of(group: Group) -> GroupOutcome:
    """What a question's rollouts tell of it."""
    right = [rollout.correct for rollout in group if rollout.correct is not None]
    compared = {rollout.compared for rollout in group}
    alike = len(compared) == 1 and None not in compared
    return GroupOutcome(group[0].trajectory.qa.id, PassCount(sum(right), len(right)), alike)


def round_size(collected: RolloutBatch, wanted: int) -> int:
    """Questions of the next round: what is missing, over the share of learnable groups so far; ``wanted`` at most."""
    kept, played = len(collected.kept), len(collected.groups)
    return min(wanted, math.ceil((wanted - kept) * played / kept)) if kept else wanted


class RolloutSource:
    """The batches of a run: each is played when it is wanted, or ahead of that, while the trainer works on another."""

    def __init__(
        self,
        loop: RolloutLoop,
        collector: RolloutCollector,
        engine: Engine,
        stream: QuestionStream,
        options: RlOptions,
        world: ProcessGroup,
        watchdog: Watchdog,
    ):
        self._loop, self._collector, self._engine, self._stream = loop, collector, engine, stream
        self._options, self._watchdog = options, watchdog
        # What ranks agree on about episodes must not be mixed up with what they agree on about weights meanwhile.
        self._world = world.beside() if options.max_staleness else world
        self._ahead: Future[RolloutBatch] | None = None

    def begin(self, step: int) -> None:
        """Play the batch of ``step`` from now on, with the weights that the engine has now."""
        self._stream.hold()
        played = collect(self._collector, self._stream, step, self._options, self._world, self._engine.version)
        self._ahead = self._loop.begin(played)

    def finish(self, step: int) -> RolloutBatch | None:
        """The batch that was begun, when it is there; None if none was. No episode is under way afterwards."""
        if self._ahead is None:
            return None
        ahead, self._ahead = self._ahead, None
        with self._watchdog.watching(f"the rollouts of step {step}", self._options.step_seconds):
            return wait_for(ahead)

    def play(self, step: int) -> RolloutBatch:
        """The batch of ``step``, played now."""
        self.begin(step)
        batch = self.finish(step)
        assert batch is not None
        return batch

    def close(self) -> None:
        """Whatever was begun and is not wanted any more; ranks that play together end together."""
        if self._ahead and self._world.size > 1:
            self._ahead.result()
        elif self._ahead:
            self._ahead.cancel()
        self._ahead = None
