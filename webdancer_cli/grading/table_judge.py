"""What no rule decides of an answer that is a table: a model is asked about names and cells, many at once."""

import asyncio
from collections.abc import Sequence

import msgspec

from webdancer_cli.data.benchmarks import JUDGE_TABLE_CELLS, JUDGE_TABLE_NAMES
from webdancer_cli.data.records import QA, Usage
from webdancer_cli.data.table_questions import TableRules
from webdancer_cli.grading.judge_view import head_and_tail, neutralise
from webdancer_cli.grading.table_answers import RightCells, SameNames, TableGrade, TableQuestion, compare_tables
from webdancer_cli.llm.budget import add_usage
from webdancer_cli.llm.structured_output import ChatModel, Unreadable, ask
from webdancer_cli.prompts import PromptSet, fill

CELLS_AT_ONCE = 40
"""Pairs of cells in one question to the model."""
CELL_CHARS = 600
"""Characters of a cell that the model is shown."""


class NamePair(msgspec.Struct):
    """A given name, and the known name that it means, by their numbers."""

    given: int
    known: int


class NameMatches(msgspec.Struct):
    """The given names that mean a known one."""

    matches: list[NamePair]


class CellJudgement(msgspec.Struct):
    """The numbers of the right pairs and of the wrong ones: of all pairs, each once."""

    right: list[int]
    wrong: list[int]


class TableJudge:
    """Asks ``chat`` what a comparison of tables leaves open, and adds up what that took."""

    def __init__(self, chat: ChatModel, prompts: PromptSet):
        self._chat = chat
        self._prompts = prompts

    async def grade(self, rules: TableRules, qa: QA, answer: str) -> tuple[TableGrade, Usage]:
        """Raises ModelError and RunStopped; Unreadable for a reply that leaves a cell open: none counts as wrong."""
        comparison, usage = compare_tables(rules, qa.answer, answer), Usage()
        replies: list[list[int]] | None = None
        while True:
            try:
                questions = comparison.send(replies) if replies is not None else next(comparison)
            except StopIteration as end:
                return end.value, usage
            replies = []
            for reply, taken in await asyncio.gather(*(self._reply(question, qa) for question in questions)):
                replies.append(reply)
                usage = add_usage(usage, taken)

    async def _reply(self, question: TableQuestion, qa: QA) -> tuple[list[int], Usage]:
        if isinstance(question, SameNames):
            return await self._places(question, qa)
        parts = [question.pairs[at : at + CELLS_AT_ONCE] for at in range(0, len(question.pairs), CELLS_AT_ONCE)]
        told = await asyncio.gather(*(self._cells(RightCells(question.criterion, part), qa) for part in parts))
        usage = Usage()
        for _, taken in told:
            usage = add_usage(usage, taken)
        return [cell for cells, _ in told for cell in cells], usage

    async def _places(self, question: SameNames, qa: QA) -> tuple[list[int], Usage]:
        known, given = _numbered(question.known), _numbered(question.given)
        prompt = self._filled(JUDGE_TABLE_NAMES, qa, known=known, given=given)
        said, usage = await ask(self._chat, NameMatches, prompt)
        places = [-1] * len(question.given)
        for pair in said.matches:
            if not (1 <= pair.given <= len(question.given) and 0 <= pair.known <= len(question.known)):
                raise Unreadable(f"matches name {pair.given} with {pair.known}, and there are not so many")
            places[pair.given - 1] = pair.known - 1
        return places, usage

    async def _cells(self, question: RightCells, qa: QA) -> tuple[list[int], Usage]:
        pairs = "\n".join(
            f"{number}. known: {_shown(known)}\n   given: {_shown(given)}"
            for number, (known, given) in enumerate(question.pairs, 1)
        )
        criterion = neutralise(question.criterion) or "(none)"
        prompt = self._filled(JUDGE_TABLE_CELLS, qa, criterion=criterion, pairs=pairs)
        said, usage = await ask(self._chat, CellJudgement, prompt)
        if sorted([*said.right, *said.wrong]) != list(range(1, len(question.pairs) + 1)):
            raise Unreadable(f"a verdict on {len(said.right) + len(said.wrong)} of {len(question.pairs)} cells")
        return [at in said.right for at in range(1, len(question.pairs) + 1)], usage

    def _filled(self, prompt: str, qa: QA, **values: str) -> str:
        return fill(self._prompts.files[prompt], question=neutralise(qa.question), **values)


def _numbered(texts: Sequence[str]) -> str:
    return "\n".join(f"{number}. {_shown(text)}" for number, text in enumerate(texts, 1))


def _shown(text: str) -> str:
    return head_and_tail(neutralise(text), CELL_CHARS)
