"""A reward for ``rl --reward``: the answer alone, without the tenth for form."""

from webdancer_cli.data.records import Trajectory


def answer_only(trajectory: Trajectory, format_ok: bool) -> float | None:
    verdict = trajectory.verdict
    return None if verdict is None or verdict.outcome == "unjudged" else float(verdict.outcome == "correct")
