"""Which of the questions that an author writes go on to the output: groups in, groups out, in their order.

A question goes on if a model's checks pass it, no question before it was the same or nearly, and the mix has a place
for it. Only what goes on makes a later one a duplicate, and the checks of many groups run side by side, so that one is
looked up at two moments. When it comes, the model is not asked about it if it repeats what is there or under way: that
saves money and decides nothing. When all before it are decided, it is refused if it repeats one that went on; if it
does not, the model is asked about it after all.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from webdancer_cli.data.ordered_map import Stopped, ordered_map
from webdancer_cli.data.pipeline import gather_or_cancel
from webdancer_cli.data.records import QA
from webdancer_cli.errors import Reject, RunStopped
from webdancer_cli.synthesis.mix import Mix
from webdancer_cli.synthesis.model_checks import ModelChecks
from webdancer_cli.synthesis.protocols import Outcome, QuestionGroup, RefusedQuestion
from webdancer_cli.synthesis.repeated_questions import Repeats
from webdancer_cli.synthesis.resume import Earlier, mark_group


@dataclass(eq=False)
class _Candidate:
    """An outcome on its way, with its place among all; whether the model ``is_asked`` about it before its turn."""

    outcome: Outcome
    place: int
    is_asked: bool


@dataclass(frozen=True)
class _Candidates:
    """Those of a group; without its ``key`` when the run was stopped in its middle."""

    key: str
    members: list[_Candidate]
    pages_done: int = 0


class Screen:
    """Refuses what is not to be written; the model ``checks``, if there are any, on ``jobs`` questions at once."""

    def __init__(self, repeats: Repeats, earlier: Earlier, mix: Mix, checks: ModelChecks | None, jobs: int):
        self._repeats = repeats
        self._earlier = earlier
        self._mix = mix
        self._checks = checks
        self._jobs = jobs
        self._free = asyncio.Semaphore(jobs)

    async def let_through(self, groups: AsyncIterator[QuestionGroup]) -> AsyncGenerator[QuestionGroup, None]:
        """The groups with a reason beside each question that is not to be written; the others carry the group's mark.

        Raises RunStopped, after what can still be given.
        """
        async with aclosing(self._checked(groups)) as checked:
            async for candidates in checked:
                group, stop = await self._decide(candidates)
                yield group
                if stop:
                    raise stop

    async def _checked(self, groups: AsyncIterator[QuestionGroup]) -> AsyncGenerator[_Candidates, None]:
        entered = (self._enter(group) async for group in groups)
        if self._checks is None:
            async for candidates in entered:
                yield candidates
            return
        async with aclosing(ordered_map(entered, self._check, self._jobs, held_per_job=1)) as finished:
            async for _, task in finished:
                yield task.result()

    def _enter(self, group: QuestionGroup) -> _Candidates:
        members = [self._candidate(outcome) for outcome in group.outcomes]
        return _Candidates(group.key, members, group.pages_done)

    def _candidate(self, outcome: Outcome) -> _Candidate:
        place, is_asked = self._repeats.next_place(), False
        if self._checks and isinstance(outcome, QA) and outcome.id not in self._earlier.ids:
            is_asked = self._repeats.offer(outcome, place)
        return _Candidate(outcome, place, is_asked)

    async def _check(self, candidates: _Candidates) -> _Candidates:
        """The group after the model checks. Raises Stopped, with those of it that were still checked."""
        stops = await gather_or_cancel(self._check_one(member) for member in candidates.members)
        if stop := next(filter(None, stops), None):
            lost = [member for member, cause in zip(candidates.members, stops, strict=True) if cause]
            self._refuse(lost)
            raise Stopped(stop, _Candidates("", [member for member in candidates.members if member not in lost]))
        return candidates

    async def _check_one(self, member: _Candidate) -> RunStopped | None:
        """Ask the model about a question that is to be asked about; what stopped the run, if that did."""
        if member.is_asked:
            async with self._free:
                try:
                    member.outcome = await self._checked_by_model(member.outcome)
                except RunStopped as stop:
                    return stop
        return None

    async def _checked_by_model(self, outcome: Outcome) -> Outcome:
        """The question, or why a model does not let it pass. Raises RunStopped."""
        return await self._checks.check(outcome) if self._checks and isinstance(outcome, QA) else outcome

    async def _decide(self, candidates: _Candidates) -> tuple[QuestionGroup, RunStopped | None]:
        """The group, now that all before it are decided; as far as it was when the run was stopped, if it was."""
        key, decided, stop = candidates.key, list[Outcome | None](), None
        for member in candidates.members:
            try:
                decided.append(await self._decided(member))
            except RunStopped as error:
                key, stop = "", error
                break
        outcomes = [outcome for outcome in decided if outcome]
        already = len(decided) - len(outcomes)
        sound = [outcome for outcome in outcomes if isinstance(outcome, QA)]
        failed = any(isinstance(outcome, RefusedQuestion) and outcome.reject.failed for outcome in outcomes)
        if key and not failed:
            mark_group(sound, key, self._earlier.count(key) + len(sound))
        return QuestionGroup(outcomes, key, already, candidates.pages_done), stop

    async def _decided(self, member: _Candidate) -> Outcome | None:
        """The question, why it is not to be written, or None if an earlier run wrote it. Raises RunStopped."""
        outcome = await self._beside_others(member)
        if not isinstance(outcome, QA):
            self._refuse([member])
        elif not member.is_asked:
            self._repeats.add(outcome, member.place)
        return outcome

    async def _beside_others(self, member: _Candidate) -> Outcome | None:
        qa = member.outcome
        if isinstance(qa, RefusedQuestion):
            return qa
        if fault := self._repeats.find(qa, member.place):
            return RefusedQuestion(Reject(fault.reason, fault.detail, failed=False), qa)
        if qa.id in self._earlier.ids:
            self._repeats.add(qa)
            return None
        if surplus := self._mix.surplus(qa):
            return RefusedQuestion(surplus, qa)
        return qa if member.is_asked else await self._checked_by_model(qa)

    def _refuse(self, members: list[_Candidate]) -> None:
        """What is not to be written makes nothing a duplicate."""
        for member in members:
            if member.is_asked:
                self._repeats.refuse(member.place)
