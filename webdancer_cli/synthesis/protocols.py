"""The two seams of synthesis: whoever writes questions, and whoever makes them harder; built in, or a chat model."""

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from webdancer_cli.data.records import QA, Page
from webdancer_cli.errors import Reject, UsageError
from webdancer_cli.synthesis.resume import Earlier
from webdancer_cli.web.protocols import Web

TYPES = ("single_hop", "multi_hop", "count", "intersection", "comparison", "temporal")


def question_types(wanted: Sequence[str]) -> list[str]:
    """The types to write, all if none is named. Raises UsageError for an unknown one."""
    for name in wanted:
        if name not in TYPES:
            raise UsageError(f"--types {name}: no such type; choose from {', '.join(TYPES)}")
    return list(wanted or TYPES)


@dataclass(frozen=True)
class RefusedQuestion:
    """A question that was written but cannot be kept; or, without ``qa``, a page (``url``) from which none was read."""

    reject: Reject
    qa: QA | None = None
    url: str = ""


Outcome = QA | RefusedQuestion


@dataclass(frozen=True)
class QuestionGroup:
    """What an author writes at one go: the sound questions and the refused ones, in the order of their writing.

    ``key`` names what was asked about, where asking again costs something: the records carry it, and a resumed run
    leaves out what is all there. It is "" where nothing is saved by that. ``already`` counts the questions of the group
    that are not among the ``outcomes``, since an earlier run wrote them. ``pages_done`` says that no later question
    will be about the first so many pages alone.
    """

    outcomes: Sequence[Outcome]
    key: str = ""
    already: int = 0
    pages_done: int = 0


class QuestionWriter(Protocol):
    """Writes questions from pages."""

    name: str

    def write(self, pages: AsyncIterator[Page], earlier: Earlier) -> AsyncGenerator[QuestionGroup, None]:
        """The questions of a stream of pages, in an order that the pages and the seed decide; ``earlier`` tells what
        need not be asked about again.

        Raises RunStopped, after all that can still be given.
        """
        ...


class QuestionRewriter(Protocol):
    """Makes a question harder. ``failures`` counts, by reason, the attempts that came to nothing."""

    name: str
    failures: Counter[str]

    async def rewrite(self, qa: QA, web: Web) -> QA | None:
        """The question one level up, with the same answer; None if it cannot be made harder.

        Raises ModelError and RunStopped.
        """
        ...
