"""What a model thinks of each question that is written, and whether it passes.

``--closed-book``: a question that the model answers without any page needs no search, and is left out. ``--verify``: so
is one whose answer does not follow from its quotes, in the eyes of a model that is shown nothing else.
"""

import msgspec

from webdancer_cli.data.records import QA, Usage
from webdancer_cli.errors import ModelError, Reject
from webdancer_cli.grading import exact_match
from webdancer_cli.llm.budget import add_usage
from webdancer_cli.llm.structured_output import ChatModel, TextOrNumber, ask_for_json
from webdancer_cli.prompts import PromptSet
from webdancer_cli.synthesis.protocols import Outcome, RefusedQuestion

CheckResult = tuple[Reject | None, Usage]
"""Why a question cannot pass, if it cannot, and what it took to find out."""


class ClosedBookReply(msgspec.Struct):
    """``answer`` is empty if the model does not know."""

    answer: TextOrNumber


class VerificationReply(msgspec.Struct):
    """What holds of a question, its answer and its quotes, each by itself."""

    proved: bool
    only_answer: bool
    clear: bool
    reason: str = ""


class ModelChecks:
    """The checks of a model that were asked for, the cheaper one first."""

    def __init__(self, judge: ChatModel, prompts: PromptSet, *, closed_book: bool, verify: bool):
        self._judge = judge
        self._prompts = prompts.files
        wanted = ((self.closed_book, closed_book), (self.verify, verify))
        self._checks = [check for check, is_wanted in wanted if is_wanted]

    async def check(self, qa: QA) -> Outcome:
        """The question with what the checks took, or why it did not pass. Raises RunStopped."""
        for check in self._checks:
            try:
                reject, usage = await check(qa)
            except ModelError as error:
                return RefusedQuestion(Reject("model_error", str(error)), qa)
            qa.usage = add_usage(qa.usage or Usage(), usage)
            if reject:
                return RefusedQuestion(reject, qa)
        return qa

    async def closed_book(self, qa: QA) -> CheckResult:
        """Raises ModelError and RunStopped."""
        reply, usage = await ask_for_json(
            self._judge, ClosedBookReply, self._prompts["closed_book.md"], question=qa.question
        )
        knows = exact_match.match_answer(reply.answer, qa.answer, qa.aliases).outcome == "correct"
        return Reject("closed_book", reply.answer, failed=False) if knows else None, usage

    async def verify(self, qa: QA) -> CheckResult:
        """Raises ModelError and RunStopped."""
        quotes = "\n".join(f"{place}. {proof.title}: {proof.quote}" for place, proof in enumerate(qa.evidence, 1))
        said, usage = await ask_for_json(
            self._judge,
            VerificationReply,
            self._prompts["verify.md"],
            question=qa.question,
            answer=qa.answer,
            quotes=quotes,
        )
        faults = {"not_proved": said.proved, "other_answers": said.only_answer, "unclear": said.clear}
        fault = next((name for name, holds in faults.items() if not holds), None)
        return Reject(fault, said.reason, failed=False) if fault else None, usage
