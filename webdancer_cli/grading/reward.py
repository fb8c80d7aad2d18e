"""The reward of an episode (paper, section 3.4): R = 0.1 · format + 0.9 · answer, both 0 or 1."""

from webdancer_cli.data.records import Verdict

FORMAT_WEIGHT = 0.1
ANSWER_WEIGHT = 0.9


def reward(format_ok: bool, verdict: Verdict) -> float | None:
    """None when the verdict is ``unjudged``: such an episode enters no advantage, neither as right nor as wrong."""
    if verdict.outcome == "unjudged":
        return None
    return FORMAT_WEIGHT * format_ok + ANSWER_WEIGHT * (verdict.outcome == "correct")
