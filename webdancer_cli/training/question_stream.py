"""Where a run is in its questions: pass after pass over all of them, in an order that is drawn, or that pays best.

Two options change what a pass holds. With ``rest`` a question whose rollouts were all right, or all wrong, is left out
of the next passes: DAPO would play its group and throw it away. With a curriculum a pass goes by what is known of each
question's pass rate p, by ``PassCount.learnability``, since the gradient of a group grows with the variance p (1 - p)
of its rewards, and prompts near one half were found to teach most (arXiv 2504.03380, 2510.01135).
"""

import random
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from webdancer_cli.data.records import QA
from webdancer_cli.grading.pass_rates import PassCount


@dataclass(frozen=True)
class GroupOutcome:
    """How the rollouts of one question ended. ``alike``: all of them are judged, and none is better than another."""

    id: str
    counts: PassCount
    alike: bool


class QuestionStream:
    """Questions (with different ids) without end.

    A part of the training state: it can say where it is, and go on from there. ``least`` questions are in every pass,
    so that a round of as many finds enough: where too few are awake, those that have rested longest come back.
    ``rest`` is for how many passes a question rests. With ``measured``, pass rates by question, there is a curriculum:
    what can be learned most from comes first, of equals the harder, and then as drawn. What the run itself hears of a
    question replaces what was measured before.
    """

    def __init__(
        self,
        questions: Sequence[QA],
        seed: int,
        *,
        least: int = 1,
        rest: int = 0,
        measured: Mapping[str, PassCount] | None = None,
    ):
        self._questions = {qa.id: qa for qa in questions}
        self._seed = seed
        self._least = min(least, len(questions))
        self._rest = rest
        self._measured = measured
        self._heard: dict[str, PassCount] = {}
        """The run's own last counts, of a curriculum."""
        self._resting: dict[str, int] = {}
        """Who rests, and the last pass in which it does."""
        self._taken_in: dict[str, int] = {}
        """The passes of the last round's questions, which may be two."""
        self._epoch = 0
        self._position = 0
        self._order = self._pass()
        self._waiting: deque[QA] = deque()
        self._held: dict[str, Any] | None = None

    @property
    def epoch(self) -> int:
        """The pass that the next question is of, counted from 0."""
        return self._epoch

    @property
    def resting(self) -> int:
        """How many questions rest now."""
        return len(self._resting)

    def take(self, count: int) -> list[QA]:
        """The questions of a round: ``count``, or all there are, none of them twice.

        What is drawn in an episode depends on the question and the round, so a question that stood twice in a round
        would be played twice alike. One that comes again too soon, at the start of a pass, waits for the next round.
        """
        taken: dict[str, QA] = {}
        self._taken_in = {}
        again: list[QA] = []
        while len(taken) < min(count, len(self._questions)):
            qa = self._waiting.popleft() if self._waiting else self._next()
            if qa.id in taken:
                again.append(qa)
            taken.setdefault(qa.id, qa)
            self._taken_in.setdefault(qa.id, self._epoch)
        self._waiting.extendleft(reversed(again))
        return list(taken.values())

    def hear(self, outcomes: Iterable[GroupOutcome]) -> None:
        """What became of questions that were taken: it tells who rests, and how later passes are ordered."""
        for outcome in outcomes:
            if self._measured is not None and outcome.counts.judged:
                self._heard[outcome.id] = outcome.counts
            last = self._taken_in[outcome.id] + self._rest
            if self._rest and outcome.alike and last >= self._epoch:
                self._resting[outcome.id] = last
        self._waiting = deque(qa for qa in self._waiting if qa.id not in self._resting)

    def hold(self) -> None:
        """What is taken from now on is only under way: a run that goes on from here takes it again."""
        self._held = self._now()

    def let_go(self) -> None:
        """What was taken since belongs to the step that is trained now."""
        self._held = None

    def state_dict(self) -> dict[str, Any]:
        """Where the stream is, as JSON."""
        return self._held or self._now()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._epoch, self._position = state["epoch"], state["position"]
        self._resting = dict(state.get("resting", {}))
        self._heard = {id: PassCount(*counts) for id, counts in state.get("heard", {}).items()}
        self._order = [self._questions[id] for id in state["order"]] if "order" in state else self._pass()
        self._waiting = deque(self._questions[id] for id in state["waiting"])

    def _now(self) -> dict[str, Any]:
        state = {"epoch": self._epoch, "position": self._position, "waiting": [qa.id for qa in self._waiting]}
        if self._rest or self._measured is not None:  # the order of the pass follows from what was heard before it
            state |= {"order": [qa.id for qa in self._order]}
            state |= {"resting": dict(self._resting), "heard": {id: list(told) for id, told in self._heard.items()}}
        return state

    def _next(self) -> QA:
        """The next question that is awake. In a pass that has just begun there are some."""
        while True:
            if self._position == len(self._order):
                self._epoch, self._position = self._epoch + 1, 0
                self._order = self._pass()
            qa = self._order[self._position]
            self._position += 1
            if qa.id not in self._resting:
                return qa

    def _pass(self) -> list[QA]:
        """The questions of a new pass, in their order."""
        questions = list(self._questions.values())
        drawn = random.Random(f"{self._seed}:{self._epoch}").sample(questions, len(questions))
        self._resting = {id: last for id, last in self._resting.items() if last >= self._epoch}
        resting = sorted((qa.id for qa in drawn if qa.id in self._resting), key=self._resting.__getitem__)
        for id in resting[: max(0, self._least - (len(drawn) - len(resting)))]:
            del self._resting[id]
        awake = [qa for qa in drawn if qa.id not in self._resting]
        return awake if self._measured is None else sorted(awake, key=self._by_gain)

    def _by_gain(self, qa: QA) -> tuple[float, float]:
        known = self._measured or {}
        counts = self._heard.get(qa.id) or known.get(qa.id) or PassCount()
        return -counts.learnability, -counts.hardness
