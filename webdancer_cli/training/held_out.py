"""Questions of ``rl`` that nobody practises: how well the policy does on them on its way, and where it did best."""

import time
from collections.abc import Sequence
from typing import Any

from webdancer_cli.data.jsonl import LineWriter
from webdancer_cli.data.records import QA
from webdancer_cli.options.config import RlOptions
from webdancer_cli.training.engines import rows_of_a_round
from webdancer_cli.training.rl_metrics import accuracy_by_level, mean
from webdancer_cli.training.rollout_loop import RolloutLoop
from webdancer_cli.training.rollouts import Rollout, RolloutCollector
from webdancer_cli.training.run import TrainingRun
from webdancer_cli.training.run_log import cut
from webdancer_cli.training.setup import TrainingSetup
from webdancer_cli.training.tracking import Tracked
from webdancer_cli.training.watchdog import Watchdog

HELD_OUT = "held_out.jsonl"
"""A line for each evaluation; its ``step`` counts the steps that were trained before it."""


class HeldOutEvaluation:
    """Plays each of ``questions`` once, as the rollouts of a step are played, as many side by side as in a round of
    one, with the same draws every time.

    All ranks have one, each for its share, and use it together, while no episode is under way.
    """

    def __init__(
        self,
        questions: Sequence[QA],
        options: RlOptions,
        setup: TrainingSetup,
        run: TrainingRun,
        loop: RolloutLoop,
        collector: RolloutCollector,
        watchdog: Watchdog,
        tracked: Tracked,
    ):
        self._questions, self._options, self._setup, self._run = questions, options, setup, run
        self._loop, self._collector, self._watchdog, self._tracked = loop, collector, watchdog, tracked
        self._log = None
        if questions and setup.world.is_main:
            path = setup.out / HELD_OUT
            if path.is_file():  # a run that goes on from a step has not evaluated that one yet
                cut(path, run.state.step - 1)
            self._log = LineWriter(str(path), append=True)

    def is_due(self) -> bool:
        """Whether the policy as it is now is to be looked at, before the next step."""
        every = self._options.eval_every
        return bool(self._questions and every and self._run.state.step % every == 0)

    def is_wanted(self) -> bool:
        return bool(self._questions)

    def evaluate(self) -> dict[str, Any]:
        """What is to be known of it, also as a line of the log; if it is the best so far, it is saved."""
        started = time.perf_counter()
        state, world = self._run.state, self._setup.world
        mine = self._questions[world.rank :: world.size]
        seconds, at_once = self._options.step_seconds, rows_of_a_round(self._options, world.size)
        with self._watchdog.watching(f"the held-out questions after step {state.step}", seconds):
            groups = self._loop.run(self._collector.play(mine, 0, seconds, rollouts=1, at_once=at_once))
        rollouts = [rollout for part in world.gather(groups) for group in part for rollout in group]
        line = {"step": state.step, **held_out_measures(rollouts), "seconds": round(time.perf_counter() - started, 3)}
        if self._log:
            self._log.write(line)
        told = {f"held_out_{name}": value for name, value in line.items() if name != "step"}
        self._tracked.log({"step": state.step, **told})
        if self._options.keep_best and self._is_comparable(rollouts):
            self._run.saver.keep_best(state, -line["reward"], told)
        return told

    def _is_comparable(self, rollouts: Sequence[Rollout]) -> bool:
        """Whether enough of the questions were rewarded for their mean to stand beside that of all of them."""
        silent = sum(rollout.reward is None for rollout in rollouts)
        if silent <= self._options.max_unjudged * len(rollouts):
            return silent < len(rollouts)
        told = f"{silent} of {len(rollouts)} held-out questions have no reward, more than --max-unjudged lets pass"
        self._setup.say(f"step {self._run.state.step}: {told}: it is no candidate for --keep-best")
        return False

    def close(self) -> None:
        if self._log:
            self._log.close()


def held_out_measures(rollouts: Sequence[Rollout]) -> dict[str, Any]:
    """Means over the episodes that have a verdict; None where there is none."""
    judged = [rollout for rollout in rollouts if rollout.correct is not None]
    return {
        "reward": mean([rollout.reward for rollout in rollouts if rollout.reward is not None]),
        "accuracy": mean([bool(rollout.correct) for rollout in judged]),
        "format": mean([rollout.format_ok for rollout in judged]),
        "rollouts": len(rollouts),
        "unjudged": len(rollouts) - len(judged),
        "accuracy_by_level": accuracy_by_level(judged),
    }
