"""Runs that end by the clock: ``--minutes`` of ``sft`` and ``rl``. The clock is rank 0's, and counts steps alone."""

from webdancer_cli.training.distributed import ProcessGroup


def out_of_time(minutes: float | None, seconds: float, world: ProcessGroup) -> bool:
    """Whether the steps so far, which took ``seconds``, have used up the ``minutes`` that a run has. All ranks call it
    together, and are told the same; where there is no bound, none asks another."""
    return minutes is not None and world.from_main(lambda: seconds >= 60 * minutes)


def steps_in_time(steps: int, minutes: float | None, done: int, seconds: float, world: ProcessGroup) -> int:
    """How many steps a run will have taken in the end: ``steps``, or as many as fit into ``minutes`` at the pace of
    those that are ``done``, which took ``seconds``; at least one more. All ranks call it together.

    A learning rate that follows this falls to its end whether the steps or the time run out first (budgeted training,
    arXiv 1905.04753).
    """
    if minutes is None or not done:
        return steps
    return world.from_main(lambda: max(done + 1, min(steps, int(60 * minutes * done / seconds))))
