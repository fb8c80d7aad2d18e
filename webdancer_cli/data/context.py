"""What a record says of the context of its episode."""

import msgspec

APPEND = "append"
"""The context policy of the paper: the policy sees its whole history."""


class Context(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What the policy saw of its own history, where that was not all of it: ``transcript.contexts`` gives it back.

    ``rule`` is the context policy, "keep:K" or "fold". Turns are numbered from 0. ``lines`` has what stood in place of
    each observation, in their order, once it was no more among the last K; "" for one that stayed. ``folds`` has the
    numbers of the turns that are summaries: the policy went on from its first messages and the latest of them.
    """

    rule: str
    lines: list[str] = []
    folds: list[int] = []
