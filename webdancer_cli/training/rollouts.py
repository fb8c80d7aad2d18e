"""Groups of graded episodes, played by the policy itself with the same driver and tools as everywhere else.

A bad episode is data; a failure of the machinery is not: it is unjudged, and enters neither a group's advantages nor an
accuracy.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import msgspec

from webdancer_cli.agent.episode import Limits, play
from webdancer_cli.agent.tools import Tools
from webdancer_cli.data.records import QA, Message, Page, Trajectory, Verdict
from webdancer_cli.errors import Outage, RunStopped, ServiceRefused
from webdancer_cli.grading.exact_match import Judge, MatchJudge
from webdancer_cli.grading.format import well_formed
from webdancer_cli.grading.reward import reward
from webdancer_cli.grading.unjudged import unjudged_verdict
from webdancer_cli.options.config import RlOptions
from webdancer_cli.prompts import PromptSet
from webdancer_cli.training.dapo import group_advantages, is_learnable, overlong_penalty
from webdancer_cli.training.renderer import Tokens
from webdancer_cli.training.token_policy import SampledContext, TokenPolicy, TokenSession
from webdancer_cli.user_functions import UserFunction, describe_error, load_function
from webdancer_cli.web.protocols import Hit, Web

MACHINERY = frozenset({"model_error", "time_limit", "tool_abort"})
"""Endings that say nothing about the policy: how long an episode takes depends on how many others are played."""


@dataclass(frozen=True)
class Rollout:
    """A graded episode of so many tokens in all, and its training samples; ``reward`` is None if unjudged."""

    trajectory: Trajectory
    samples: list[SampledContext]
    length: int
    format_ok: bool
    reward: float | None
    compared: float | None
    """What dynamic sampling compares a group by: whether the answer is right, or the reward of the user's own function.
    None if unjudged."""

    @property
    def correct(self) -> bool | None:
        verdict = self.trajectory.verdict
        return None if verdict is None or verdict.outcome == "unjudged" else verdict.outcome == "correct"

    @property
    def logprobs(self) -> list[float]:
        """Those of all that the policy wrote, as it was sampled."""
        return [logprob for sample in self.samples for logprob in sample.logprobs]


@dataclass(frozen=True)
class TrainingSample:
    """What the loss needs of one context of a rollout: ids, the log-probs of the trainable ones as sampled, and the
    rollout's advantage."""

    tokens: Tokens
    logprobs: list[float]
    advantage: float
    weight: float = 1.0
    """How much each of its tokens counts in the mean that the loss is."""
    before_updates: list[float] | None = None
    """The log-probs under the weights that the step began with, if those are others than the sampler's, and several
    updates are made in it."""


Group = list[Rollout]
"""The rollouts of one question."""


Answer = TypeVar("Answer")


@dataclass(frozen=True)
class OverlongPunishment:
    """The soft punishment of long episodes, in tokens: of which, from where, and where it is full."""

    limit: int
    zone: int
    own: bool

    @classmethod
    def of(cls, options: RlOptions, context_tokens: int) -> "OverlongPunishment":
        limit = options.overlong_at or context_tokens
        return cls(limit, options.overlong_tokens, options.overlong_counts == "own")

    def penalty(self, length: int, sampled: int) -> float:
        """For an episode of so many tokens, of which so many were sampled, whatever of them the policy still saw."""
        return overlong_penalty(sampled if self.own else length, self.limit, self.zone)


class OwnReward:
    """A reward function of the user's. What it raises or returns amiss ends the run, with what was learned saved."""

    def __init__(self, named: str):
        """Raises UsageError when there is no such function."""
        self._name, function = load_function("--reward", named)
        self._function = UserFunction(function)

    async def __call__(self, trajectory: Trajectory, format_ok: bool) -> float | None:
        """A finite number, or None. Raises RunStopped for anything else."""
        value = await self._function(trajectory, format_ok)
        if isinstance(value, BaseException):
            raise RunStopped(f"--reward {self._name}: {describe_error(value)}")
        if value is None or (isinstance(value, int | float) and math.isfinite(value)):
            return None if value is None else float(value)
        raise RunStopped(f"--reward {self._name}: returned {value!r}, which is neither a finite number nor None")


class RolloutCollector:
    """Where the policy plays: tools, prompts, limits and judge, the same for every episode of a run.

    What would end a data stage ends the training, too, but not at once: what was learned so far is to be saved.
    """

    def __init__(
        self,
        policy: TokenPolicy,
        tools: Tools,
        prompts: PromptSet,
        options: RlOptions,
        judge: Judge | None = None,
        own_reward: OwnReward | None = None,
    ):
        self._spent = ""
        self._held = (judge, tools.web)
        self._web = _RefusalGuard(tools.web)
        self._judge = judge or MatchJudge()
        self._policy = policy
        self._tools = tools.over(self._web)
        self._prompts = prompts
        self._limits = Limits.of(options)
        self._date = options.date or ""
        self._group = options.group
        self._under_way: dict[str, float] = {}
        self._own_reward = own_reward
        self._overlong = OverlongPunishment.of(options, policy.max_context_tokens)

    @property
    def stopped(self) -> str:
        """Why no more answers can be judged, or no more episodes played, once that is so."""
        return self._spent or self._web.refused

    def under_way(self) -> list[str]:
        """The episodes that have begun and not ended, the oldest first."""
        now = time.monotonic()
        return [f"{name}, for {now - began:.0f} s" for name, began in list(self._under_way.items())]

    async def play(
        self,
        questions: Sequence[QA],
        attempt: int,
        seconds: float = math.inf,
        rollouts: int | None = None,
        at_once: int | None = None,
    ) -> list[Group]:
        """A group per question, all episodes at once; ``attempt`` numbers the calls, so that no draw repeats.

        Episodes that are under way after so many ``seconds``, or have not begun by then, are ended by their time. A
        group has the run's size, unless ``rollouts`` says another. No more than ``at_once`` episodes are under way, if
        it is given: each has its own time then, none of which it spends waiting for others.
        """
        size = rollouts or self._group
        first = attempt * size
        ends = asyncio.get_running_loop().time() + seconds
        seats = asyncio.Semaphore(at_once or size * max(1, len(questions)))
        async with asyncio.TaskGroup() as tasks:
            groups = [
                [tasks.create_task(self._rollout(qa, first + index, ends, seats)) for index in range(size)]
                for qa in questions
            ]
        return [[task.result() for task in group] for group in groups]

    async def _rollout(self, qa: QA, number: int, ends: float, seats: asyncio.Semaphore) -> Rollout:
        policy = _RecordingPolicy(self._policy)
        async with seats:
            trajectory = await self._graded(qa, policy, number, ends)
        samples, length = policy.session.samples, policy.session.length
        format_ok = well_formed(trajectory, self._tools.schemas)
        score, compared = await self._score(trajectory, format_ok)
        if score is not None:
            score += self._overlong.penalty(length, sum(len(sample.logprobs) for sample in samples))
        return Rollout(trajectory, samples, length, format_ok, score, compared)

    async def _graded(self, qa: QA, policy: "_RecordingPolicy", number: int, ends: float) -> Trajectory:
        left = max(0.0, ends - asyncio.get_running_loop().time())
        limits = msgspec.structs.replace(self._limits, episode_seconds=min(left, self._limits.episode_seconds))
        name = f"{qa.id} (rollout {number})"
        self._under_way[name] = time.monotonic()
        try:
            trajectory = await play(qa, policy, self._tools, self._prompts, limits, number, date=self._date)
            trajectory.verdict = await self._grade(trajectory, ends)
        finally:
            del self._under_way[name]
        return trajectory

    async def _score(self, trajectory: Trajectory, format_ok: bool) -> tuple[float | None, float | None]:
        """The reward, and by what of it the group is compared; both None if unjudged."""
        if self._own_reward:
            own = await self._own(trajectory, format_ok)
            return own, own
        score = None if trajectory.verdict is None else reward(format_ok, trajectory.verdict)
        right = trajectory.verdict is not None and trajectory.verdict.outcome == "correct"
        return score, None if score is None else float(right)

    async def _own(self, trajectory: Trajectory, format_ok: bool) -> float | None:
        """By the user's function; None for an episode that machinery ended, and for what the function cannot say."""
        if trajectory.ending in MACHINERY or self._own_reward is None:
            return None
        try:
            return await self._own_reward(trajectory, format_ok)
        except RunStopped as stop:
            self._spent = str(stop)
            return None

    async def _grade(self, trajectory: Trajectory, ends: float) -> Verdict:
        """The judge's word; ``unjudged``, too, for an episode that was ended by something that is not the policy's, and
        when the judge has not spoken by ``ends``."""
        if trajectory.ending in MACHINERY:
            return Verdict(outcome="unjudged", method="ending", detail=trajectory.ending)
        try:
            async with asyncio.timeout_at(ends if math.isfinite(ends) else None):
                return await self._judge.judge(trajectory.qa, trajectory.answer)
        except TimeoutError:
            return Verdict(outcome="unjudged", method=self._judge.name, detail="time_limit")
        except RunStopped as stop:
            self._spent = _cause(stop)
            return unjudged_verdict(self._judge, stop)

    async def aclose(self) -> None:
        """Close what the judge and the live web hold open, in the event loop that they were asked in."""
        for held in self._held:
            if close := getattr(held, "aclose", None):
                await close()


class _RefusalGuard:
    """A web whose refusal ends the episode as an outage does, and is heard of in ``refused``; it is asked no more."""

    def __init__(self, web: Web):
        self.name = web.name
        self.refused = ""
        self._web = web

    async def search(self, query: str, results: int) -> list[Hit]:
        return await self._heard(lambda: self._web.search(query, results))

    async def read(self, url: str) -> Page:
        return await self._heard(lambda: self._web.read(url))

    async def _heard(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        if self.refused:
            raise Outage(self.refused)
        try:
            return await ask()
        except ServiceRefused as refused:
            self.refused = _cause(refused)
            raise Outage(self.refused) from refused


def _cause(stop: RunStopped) -> str:
    """Without the data stages' remedy: this one has no ``--resume``."""
    return str(stop).partition("; --resume")[0]


class _RecordingPolicy:
    """The policy, for one episode, whose session can be looked at afterwards."""

    def __init__(self, policy: TokenPolicy):
        self.name = policy.name
        self._policy = policy

    def begin(self, messages: list[Message], qa: QA, rollout: int = 0) -> TokenSession:
        self.session = self._policy.begin(messages, qa, rollout)
        return self.session


def learnable(group: Group) -> bool:
    """Whether dynamic sampling keeps a group."""
    return is_learnable([rollout.compared for rollout in group])


def training_samples(group: Group, loss_mean: Literal["tokens", "episodes"] = "tokens") -> list[TrainingSample]:
    """The samples of a group's judged rollouts; all of a rollout's bear its advantage.

    Their weights add up, over tokens, to what the loss is divided by: the tokens, or the episodes.
    """
    judged = [rollout for rollout in group if rollout.reward is not None]
    advantages = group_advantages([rollout.reward for rollout in judged if rollout.reward is not None])
    samples = []
    for rollout, advantage in zip(judged, advantages, strict=True):
        sampled = sum(len(sample.logprobs) for sample in rollout.samples)
        weight = 1 / max(1, sampled) if loss_mean == "episodes" else 1.0
        samples += [TrainingSample(each.tokens, each.logprobs, advantage, weight) for each in rollout.samples]
    return samples


def rollout_record(rollout: Rollout, step: int) -> Trajectory:
    """The trajectory as a line to read, with its step and reward."""
    said = {"step": step, "reward": rollout.reward, "format_ok": rollout.format_ok}
    extra = {**rollout.trajectory.extra, **said}
    return msgspec.structs.replace(rollout.trajectory, extra=extra)
