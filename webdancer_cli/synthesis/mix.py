"""``--mix``: shares of the question types in the output, held while the questions stream.

The rule: of n questions that are out, no type has ever one more than its share of n. What would exceed its share waits,
at most ``MOST_WAITING`` questions of a type, and goes out in the order of its coming as soon as the others have caught
up. A question that finds no room to wait, one that still waits at the end, and one of a type without a share are
surplus. A type of which there is too little thus bounds the whole: the shares hold, the number does not.
"""

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

from webdancer_cli.data.records import QA
from webdancer_cli.errors import Reject, UsageError
from webdancer_cli.options import config
from webdancer_cli.synthesis.protocols import TYPES, question_types

MOST_WAITING = 1000


def parse(parts: Sequence[str]) -> dict[str, Fraction]:
    """The shares of ``["single_hop=2", "multi_hop=1"]``; they add up to 1. Raises UsageError."""
    weights: dict[str, Fraction] = {}
    for part in parts:
        name, _, number = (piece.strip() for piece in part.partition("="))
        if name not in TYPES:
            raise UsageError(f"--mix {part}: no such type; choose from {', '.join(TYPES)}")
        if name in weights:
            raise UsageError(f"--mix {part}: {name} has a share already; name each type once")
        weights[name] = _weight(part, number)
    total = sum(weights.values())
    if parts and not total:
        raise UsageError(f"--mix {','.join(parts)}: all shares are 0; give one type at least a share")
    return {name: weight / total for name, weight in weights.items() if weight}


def _weight(part: str, number: str) -> Fraction:
    try:
        weight = Fraction(number)
    except (ValueError, ZeroDivisionError):
        weight = Fraction(-1)
    if weight < 0:
        raise UsageError(f"--mix {part}: needs the form TYPE=NUMBER, such as single_hop=2")
    return weight


def shares_of(options: config.CrawlqaOptions) -> dict[str, Fraction]:
    """The share of each type in the output, none at all without ``--mix``. Raises UsageError."""
    types, shares = question_types(options.types), parse(options.mix)
    if unwritten := [name for name in shares if name not in types]:
        raise UsageError(f"--mix {unwritten[0]}: not among --types {','.join(types)}; name it in both or in neither")
    return shares


def quotas(options: config.CrawlqaOptions) -> dict[str, int]:
    """How many questions to write from a page at most, by type: ``per_page`` of the type with the largest share, and
    of the others according to theirs."""
    shares = shares_of(options)
    if not shares:
        return dict.fromkeys(question_types(options.types), options.per_page)
    largest = max(shares.values())
    return {name: -(-options.per_page * share // largest) for name, share in shares.items()}


class Mix:
    """Holds the shares; without any, everything goes out. ``out`` counts, by type, what an earlier run wrote."""

    def __init__(self, shares: Mapping[str, Fraction], out: Mapping[str, int] | None = None):
        self._shares = dict(shares)
        self._out = Counter({name: (out or {}).get(name, 0) for name in self._shares})
        self._waiting: dict[str, deque[QA]] = {name: deque() for name in self._shares}

    def surplus(self, qa: QA) -> Reject | None:
        """Why a question has no place in the output, now that it comes; None if it may go on, or wait."""
        if not self._shares:
            return None
        if qa.type not in self._shares:
            return _surplus(f"{qa.type or 'no type'} has no share")
        if len(self._waiting[qa.type]) >= MOST_WAITING:
            return _surplus(f"{MOST_WAITING} of type {qa.type} wait already")
        return None

    def pass_on(self, qa: QA) -> Iterator[QA]:
        """The questions that may go out now that this one has come, which is no surplus."""
        if not self._shares:
            yield qa
            return
        self._waiting[qa.type].append(qa)
        while (name := self._next()) is not None:
            self._out[name] += 1
            yield self._waiting[name].popleft()

    def _next(self) -> str | None:
        """Of the types that wait and may go on, the one that lacks most."""
        total = self._out.total() + 1
        lacking = {
            name: self._shares[name] * total - self._out[name] for name, waiting in self._waiting.items() if waiting
        }
        name = max(lacking, key=lambda name: lacking[name], default=None)
        return name if name is not None and lacking[name] > 0 else None

    def finish(self) -> Iterator[tuple[QA, Reject]]:
        """What waits in vain, when no more will come."""
        for waiting in self._waiting.values():
            while waiting:
                qa = waiting.popleft()
                yield qa, _surplus(f"{qa.type} had its share")


def _surplus(detail: str) -> Reject:
    return Reject("over_share", detail, failed=False)
