"""The rewriter with a chat model (E2HQA, paper section 2): it picks an entity, writes the query, restructures.

The search is real, and so are the checks, the cheap ones first: rules on entity, sentence, description and question;
the search for the description; at last a judge. What fails is tried again with another entity.
"""

from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from webdancer_cli.data.records import QA, Page, Usage
from webdancer_cli.errors import Reject, ToolError
from webdancer_cli.llm import structured_output
from webdancer_cli.llm.budget import add_usage
from webdancer_cli.options import config
from webdancer_cli.prompts import PromptSet
from webdancer_cli.synthesis.chat import aliases
from webdancer_cli.synthesis.chat.page_groups import number_pages
from webdancer_cli.synthesis.chat.quotes import QuoteFinder
from webdancer_cli.synthesis.chat.type_checks import MAX_QUOTE_CHARS
from webdancer_cli.synthesis.checks import wording_fault
from webdancer_cli.synthesis.rewrite_checks import Description, harder_question, is_found_again, page_at
from webdancer_cli.text.names import mentions
from webdancer_cli.text.passages import passages
from webdancer_cli.text.spacing import fold
from webdancer_cli.text.words import content_stems
from webdancer_cli.web.protocols import Web

RESULTS = 5
PAGE_CHARS = 2000
"""Characters of each page that are shown: its sentences that matter for the query."""
ATTEMPTS = 3
"""Entities tried for one round."""
MAX_DESCRIPTION_WORDS = 30
KEPT_SHARE = 0.7
"""The part of a question's other words that a rewrite must keep."""
SUPPORTED_SHARE = 0.5
"""The part of a description's words that sentence and title must hold; the judge sees to the rest."""
PROMPTS = ("entity.md", "query.md", "rewriter.md", "check_rewrite.md")

Value = TypeVar("Value")


class EntityChoice(msgspec.Struct):
    """``entity`` is empty if the question names none that could give way."""

    entity: str


class QueryReply(msgspec.Struct):
    query: str


class RewriteReply(msgspec.Struct):
    """``page`` counts from 1; 0 says that no page holds a sentence to use."""

    page: int
    sentence: str
    description: str
    question: str


class RewriteVerdict(msgspec.Struct):
    one_question: bool
    grammatical: bool
    same_answer: bool
    description_fits: bool
    reason: str = ""


FAULTS = {
    "one_question": "several_questions",
    "grammatical": "ungrammatical",
    "same_answer": "other_answer",
    "description_fits": "unfit_description",
}
"""The reason codes of what a judge can find."""


class ChatRewriter:
    """Replaces entities by descriptions that a model makes of search results.

    ``failures`` counts, by reason, the attempts that came to nothing.
    """

    def __init__(
        self,
        options: config.E2hqaOptions,
        chat: structured_output.ChatModel,
        prompts: PromptSet,
        judge: structured_output.ChatModel,
    ):
        self.name = chat.model
        self.failures: Counter[str] = Counter()
        self._chat = chat
        self._judge = judge
        self._files = prompts.files
        self._prompts = prompts.id_of(*PROMPTS)

    async def rewrite(self, qa: QA, web: Web) -> QA | None:
        """The question one level up; None after ``ATTEMPTS`` entities without a sound one.

        Raises ModelError when the model cannot be reached, and Unreadable when not one of its replies could be read.
        """
        faults: list[structured_output.Unreadable | Reject] = []
        search = EntitySearch()
        while len(faults) < ATTEMPTS:
            search.attempt = len(faults)
            try:
                harder = await self._attempt(qa, web, search)
            except (structured_output.Unreadable, Reject) as fault:
                faults.append(fault)
                self.failures[fault.reason if isinstance(fault, Reject) else "unreadable_reply"] += 1
                if isinstance(fault, Reject) and fault.reason == "no_entity":
                    return None
                continue
            harder.prompts, harder.usage = self._prompts, search.usage
            return harder
        unreadable = [fault for fault in faults if isinstance(fault, structured_output.Unreadable)]
        if len(unreadable) == ATTEMPTS:
            raise unreadable[-1]
        return None

    async def _attempt(self, qa: QA, web: Web, search: "EntitySearch") -> QA:
        """One entity replaced. Raises Reject with the reason why it cannot be, Unreadable, and ModelError."""
        entity = await self._entity(qa, search)
        query = await self._asked(self._chat, QueryReply, "query.md", search, question=qa.question, entity=entity)
        pages = await _found(query.query, web)
        reply = await self._asked(
            self._chat,
            RewriteReply,
            "rewriter.md",
            search,
            question=qa.question,
            answer=qa.answer,
            entity=entity,
            words=MAX_DESCRIPTION_WORDS,
            pages=number_pages((page, passages(page.text, f"{entity} {query.query}", PAGE_CHARS)) for page in pages),
        )
        description = checked_description(reply, qa, entity, query.query, pages)
        harder = checked_question(reply.question.strip(), qa, entity, description, pages, author=self.name)
        homes = [page for page in pages if aliases.is_about(page, entity)]
        if not await _leads_back(description, homes, web):
            raise _fault("not_found_again", description.text)
        await self._judged(harder, qa, entity, description, search)
        return harder

    async def _entity(self, qa: QA, search: "EntitySearch") -> str:
        """An entity that could give way; what cannot is not to be chosen again."""
        avoid = f"- Not again: {'; '.join(search.tried)}.\n" if search.tried else ""
        choice = await self._asked(
            self._chat, EntityChoice, "entity.md", search, question=qa.question, answer=qa.answer, avoid=avoid
        )
        entity = choice.entity.strip()
        if not entity:
            raise _fault("no_entity", qa.question)
        if entity in search.tried:
            raise _fault("entity_repeated", entity)
        search.tried.append(entity)
        if any(mentions(entity, answer) or mentions(answer, entity) for answer in (qa.answer, *qa.aliases)):
            raise _fault("entity_is_answer", entity)
        if not mentions(qa.question, entity):
            raise _fault("entity_not_in_question", entity)
        return entity

    async def _judged(self, harder: QA, qa: QA, entity: str, description: Description, search: "EntitySearch") -> None:
        verdict = await self._asked(
            self._judge,
            RewriteVerdict,
            "check_rewrite.md",
            search,
            entity=entity,
            before=qa.question,
            after=harder.question,
            answer=qa.answer,
            description=description.text,
            source=f"{description.page.title}: {description.sentence}",
        )
        for point, reason in FAULTS.items():
            if not getattr(verdict, point):
                raise _fault(reason, verdict.reason)

    async def _asked(
        self, chat: structured_output.ChatModel, kind: type[Value], file: str, search: "EntitySearch", **values: object
    ) -> Value:
        value, usage = await structured_output.ask_for_json(
            chat, kind, self._files[file], rollout=search.attempt, **values
        )
        search.usage = add_usage(search.usage, usage)
        return value


class EntitySearch:
    """The search for one entity that can give way: the ``attempt``, counted from 0, which tells apart on a tape what is
    asked in the same words again; the entities ``tried``; and the ``usage`` of all attempts.
    """

    def __init__(self) -> None:
        self.attempt = 0
        self.tried: list[str] = []
        self.usage = Usage()


async def _found(query: str, web: Web) -> list[Page]:
    """The pages that a query finds. Raises Reject when there are none that can be read."""
    try:
        hits = await web.search(query, RESULTS)
    except ToolError as error:
        raise _fault("search_failed", str(error)) from None
    pages = [page for hit in hits if (page := await page_at(hit.url, web))]
    if not pages:
        raise _fault("nothing_found", query)
    return pages


async def _leads_back(description: Description, homes: Sequence[Page], web: Web) -> bool:
    try:
        return await is_found_again(description, homes, web)
    except ToolError as error:
        raise _fault("search_failed", str(error)) from None


def checked_description(reply: RewriteReply, qa: QA, entity: str, query: str, pages: Sequence[Page]) -> Description:
    """The description, with the page's own words as its proof. Raises Reject."""
    if not 1 <= reply.page <= len(pages):
        raise _fault("no_description", entity)
    page = pages[reply.page - 1]
    sentence = QuoteFinder(page.text).find(reply.sentence)
    if not sentence:
        raise _fault("sentence_not_found", reply.sentence)
    if len(sentence) > MAX_QUOTE_CHARS:
        raise _fault("long_quote", sentence)
    home = aliases.is_about(page, entity)
    if not home and not any(aliases.is_named(sentence, name) for name in aliases.entity_names(entity, pages)):
        raise _fault("not_about_entity", sentence)
    text = reply.description.strip()
    if any(mentions(f"{text} {sentence}", name) for name in (qa.answer, *qa.aliases)):
        raise _fault("answer_in_description", text)
    if not 1 <= len(text.split()) <= MAX_DESCRIPTION_WORDS:
        raise _fault("long_description", text)
    said, known = content_stems(text), content_stems(f"{sentence} {page.title}")
    if len(said & known) < SUPPORTED_SHARE * len(said):
        raise _fault("unsupported_description", text)
    return Description(text, sentence, page, query)


def checked_question(
    question: str, qa: QA, entity: str, description: Description, pages: Sequence[Page], *, author: str
) -> QA:
    """The record of the harder question. Raises Reject."""
    if fold(description.text) not in fold(question):
        raise _fault("description_left_out", question)
    if named := aliases.remaining_name(entity, aliases.entity_names(entity, pages), qa.question, question):
        raise _fault("entity_left", named)
    if _kept(qa.question, question, entity) < KEPT_SHARE:
        raise _fault("question_changed", question)
    if fault := wording_fault(QA(question=question, answer=qa.answer, type=qa.type), allow_boolean=True):
        raise _fault(fault.reason, fault.detail)
    if harder := harder_question(qa, entity, description, question, author=author):
        return harder
    raise _fault("unsound_question", question)


def _kept(before: str, after: str, entity: str) -> float:
    """The share of a question's words, but for those of the entity, that are still there."""
    rest = content_stems(before) - content_stems(entity)
    return len(rest & content_stems(after)) / len(rest) if rest else 1.0


def _fault(reason: str, detail: str) -> Reject:
    return Reject(reason, detail, failed=False)
