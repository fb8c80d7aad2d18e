"""The baselines beside the whole agent: one model call, without a web or with what one search found.

"none"  closed book: the question alone.
"rag"   the question with passages of the pages that one search for it lists.

Both are episodes of a single turn, so that they are graded and counted as the agent's are.
"""

import asyncio
from typing import Literal

import msgspec

from webdancer_cli.agent.episode import Limits, Policy, play
from webdancer_cli.agent.tools import Tools
from webdancer_cli.agent.truncation import estimate_tokens, truncate
from webdancer_cli.data.context import APPEND
from webdancer_cli.data.pipeline import gather_or_cancel
from webdancer_cli.data.records import QA, Message, Page, Trajectory, trajectory_id
from webdancer_cli.errors import Outage, ToolError
from webdancer_cli.prompts import PromptSet, fill
from webdancer_cli.text.spacing import squeeze
from webdancer_cli.web.deadline import within
from webdancer_cli.web.protocols import Hit

Kind = Literal["none", "rag"]
PROMPTS: dict[str, str] = {"none": "answer_closed_book.md", "rag": "answer_from_pages.md"}


def prompts_id(agent: str, prompts: PromptSet) -> str:
    """The provenance of an episode's wording, for the whole agent and for the baselines."""
    return prompts.id_of(PROMPTS[agent]) if agent in PROMPTS else prompts.id


class NoWeb:
    """What an agent without tools stands on."""

    name = ""

    async def search(self, query: str, results: int) -> list[Hit]:
        raise ToolError("there is no web to search")

    async def read(self, url: str) -> Page:
        raise ToolError(f"{url}: there is no web to read")


class Baseline:
    """Plays episodes of one turn. The prompt set's caps bound what is shown of the pages."""

    def __init__(self, kind: Kind, policy: Policy, tools: Tools, prompts: PromptSet, limits: Limits):
        self._kind = kind
        self._policy = policy
        self._tools = tools
        self._prompts = prompts
        self._limits = msgspec.structs.replace(limits, max_calls=1, context=APPEND)

    async def play(self, qa: QA, rollout: int = 0, *, timings: bool = False) -> Trajectory:
        """Raises Outage when the search or a page that it lists cannot be had for now."""
        pages = await self._pages(qa.question) if self._kind == "rag" else []
        template = self._prompts.files[PROMPTS[self._kind]]
        shown = truncate("\n\n".join(pages) or "(none)", self._fits, self._prompts.settings.episode.cut)
        messages = [Message("user", fill(template, question=qa.question, pages=shown))]
        played = await play(
            qa, self._policy, self._tools, self._prompts, self._limits, rollout, timings=timings, messages=messages
        )
        name = prompts_id(self._kind, self._prompts)
        return msgspec.structs.replace(
            played,
            id=trajectory_id(qa.id, rollout, played.model, name),
            ending="no_answer" if played.ending == "call_limit" else played.ending,  # more calls were never meant
            prompts=name,
            web=self._tools.web.name if self._kind == "rag" else "",
            tools={"search": 1, "visit": len(pages)} if self._kind == "rag" else {},
        )

    def _fits(self, text: str) -> bool:
        return estimate_tokens(text) <= self._tools.caps.visit_tokens

    async def _pages(self, question: str) -> list[str]:
        """Passages of the pages that a search for the question lists, best first; a page that is not there is left
        out."""
        caps = self._tools.caps
        try:
            async with asyncio.timeout(self._limits.tool_seconds):
                hits = await self._tools.web.search(question, min(caps.search_results, caps.queries))
        except TimeoutError:
            raise Outage(f"{self._tools.web.name}: no answer to a search in time") from None
        except ToolError:
            return []
        texts = await gather_or_cancel(self._passages(hit, question) for hit in hits)
        read = [(hit, text) for hit, text in zip(hits, texts, strict=True) if text]
        return [f"{rank}. [{squeeze(hit.title)}]({hit.url})\n{text}" for rank, (hit, text) in enumerate(read, 1)]

    async def _passages(self, hit: Hit, question: str) -> str:
        try:
            async with within(self._limits.tool_seconds):
                page = await self._tools.web.read(hit.url)
                return await self._tools.passages(page, question)
        except (ToolError, TimeoutError):
            return ""
