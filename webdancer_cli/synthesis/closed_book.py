"""``--closed-book``: a question that a model answers without any page needs no search, and is left out."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import msgspec

from webdancer_cli import structured
from webdancer_cli.errors import ModelError, Reject
from webdancer_cli.grading import answers
from webdancer_cli.prompts import PromptSet
from webdancer_cli.records import QA, Usage
from webdancer_cli.spending import added
from webdancer_cli.synthesis import earlier
from webdancer_cli.synthesis.ordered import in_order
from webdancer_cli.synthesis.roles import Refused

Outcome = QA | Refused


class Recalled(msgspec.Struct):
    """``answer`` is empty if the model does not know."""

    answer: str


class ClosedBook:
    """Asks a model each question of a stream, ``jobs`` groups of questions at once."""

    def __init__(self, judge: structured.Completes, prompts: PromptSet, jobs: int):
        self._judge = judge
        self._template = prompts.files["closed_book.md"]
        self._jobs = jobs

    async def sift(self, outcomes: AsyncIterator[Outcome]) -> AsyncGenerator[Outcome, None]:
        """The same outcomes, but for the questions that the model knows. Raises BudgetSpent."""
        async with aclosing(in_order(_grouped(outcomes), self._sifted, self._jobs)) as groups:
            async for group in groups:
                for outcome in group:
                    yield outcome

    async def _sifted(self, group: list[Outcome]) -> list[Outcome]:
        key = next((earlier.key_of(qa) for qa in group if isinstance(qa, QA)), "")
        sifted = [await self._asked(outcome) if isinstance(outcome, QA) else outcome for outcome in group]
        return earlier.marked(sifted, key) if key else sifted

    async def _asked(self, qa: QA) -> Outcome:
        try:
            reply, usage = await structured.ask_for(self._judge, Recalled, self._template, question=qa.question)
        except ModelError as error:
            return Refused(Reject("model_error", f"closed book: {error}"), qa)
        qa.usage = added(qa.usage or Usage(), usage)
        if answers.judge(reply.answer, qa.answer, qa.aliases).outcome == "correct":
            return Refused(Reject("closed_book", reply.answer, failed=False), qa)
        return qa


async def _grouped(outcomes: AsyncIterator[Outcome]) -> AsyncGenerator[list[Outcome], None]:
    """The questions of a group together, with those of it that were refused; everything else by itself."""
    held: list[Outcome] = []
    held_key = ""
    async for outcome in outcomes:
        key = earlier.key_of(outcome) if isinstance(outcome, QA) else held_key if outcome.qa else ""
        if held and not (key and key == held_key):
            yield held
            held = []
        held, held_key = [*held, outcome], key
    if held:
        yield held
