"""The tools of the agent, those of the web and the user's own: a call in, the text of an observation out.

Observations have the structure of the released trajectories; their words come from the prompt set, so that a small
model can be shown terse ones. A batch of queries or pages is answered concurrently, and in the order asked.
"""

import asyncio
import copy
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from webdancer_cli.agent.custom_tools import CustomTool
from webdancer_cli.data.pipeline import gather_or_cancel
from webdancer_cli.data.records import Page
from webdancer_cli.errors import Outage, ToolError, UsageError
from webdancer_cli.options import config
from webdancer_cli.prompts import PromptSet, fill, load
from webdancer_cli.text.page_parts import part_of
from webdancer_cli.text.spacing import squeeze
from webdancer_cli.text.words import sentence_spans
from webdancer_cli.transcript.grammar import ToolCall
from webdancer_cli.transcript.tool_schemas import (
    ASKED,
    FIND_SCHEMA,
    PAGED_VISIT_SCHEMA,
    SEARCH_SCHEMA,
    VISIT_SCHEMA,
    Schema,
    call_fault,
)
from webdancer_cli.web.deadline import within
from webdancer_cli.web.page_passages import find_in_page, passages_of_page
from webdancer_cli.web.protocols import Hit, Web
from webdancer_cli.web.workers import Workers

if TYPE_CHECKING:
    from webdancer_cli.agent.summariser import Summariser

Answer = TypeVar("Answer")

ToolCache = dict[tuple[str, ...], str]
"""What the searches and visits of one episode have returned, by tool and what was asked. Failures are not in it."""


class Tools:
    """``search`` and ``visit`` over one web, worded and capped by a prompt set, and the user's own tools.

    An own tool may be given as its function. Holds nothing of any episode: what one remembers is its own
    ``ToolCache``. Raises UsageError for own tools under prompts that show no tools: no policy could know of them.
    """

    def __init__(
        self,
        web: Web,
        prompts: PromptSet | None = None,
        own: Sequence[CustomTool | Callable[..., Any]] = (),
        summariser: "Summariser | None" = None,
        page_tools: Sequence[str] = (),
    ):
        prompts = prompts or load("default")
        tools = [each if isinstance(each, CustomTool) else CustomTool(each.__name__, each) for each in own]
        _refuse_unshown(prompts, tools, page_tools)
        self.web = web
        self._summariser = summariser
        self.summariser = summariser.name if summariser else ""
        self.prompts = prompts
        self.caps = prompts.caps
        self.schemas = tool_schemas(tools, page_tools)
        self._reads_parts = "start" in page_tools
        self._own = {tool.name: tool for tool in tools}
        self._settings = prompts.settings
        self._workers = Workers()

    def over(self, web: Web) -> "Tools":
        """The same tools over another web."""
        tools = copy.copy(self)
        tools.web = web
        return tools

    def faults(self, call: ToolCall) -> str | None:
        """What is wrong with a call before anything runs: an unknown tool, a missing or ill-typed argument."""
        fault = call_fault(call, self.schemas)
        if fault is None:
            return self._own[call.name].conversion_fault(call.arguments) if call.name in self._own else None
        if fault.reason == "unknown_tool":
            *others, last = (schema["name"] for schema in self.schemas)
            return f"there is no tool called {call.name!r}: the tools are {', '.join(others)} and {last}"
        return _NEEDS.get(call.name, fault.detail)

    def repair(self, call: ToolCall, repairs: list[str]) -> ToolCall:
        """The call with what is amiss in form alone put right; each mend is named, for such a call is malformed."""
        if call.name in self._own:
            return ToolCall(call.name, self._own[call.name].repair(call.arguments, repairs))
        arguments = dict(call.arguments)
        if call.name == "search" and "query" not in arguments and "queries" in arguments:
            repairs.append("renamed_argument")
            arguments["query"] = arguments.pop("queries")
        if call.name == "visit" and "goal" not in arguments:
            repairs.append("missing_goal")
            arguments["goal"] = ""
        return ToolCall(call.name, arguments)

    def cap_tokens(self, name: str) -> int:
        """How long an observation of a tool may be."""
        if name in self._own:
            return self.caps.tool_tokens
        return self.caps.search_tokens if name == "search" else self.caps.visit_tokens

    async def call(
        self, call: ToolCall, memory: ToolCache | None = None, seconds: float = config.EpisodeOptions.tool_seconds
    ) -> str:
        """Run a call. Raises ToolError for a faulty call, and when every query or page of it failed; Outage.

        A query, or a page with its goal, that ``memory`` holds is answered from there; ``seconds`` bound each of them.
        """
        call = self.repair(call, [])
        if fault := self.faults(call):
            raise ToolError(fault)
        if call.name in self._own:
            return await self._in_time(self._own[call.name].call(call.arguments), seconds)
        known = {} if memory is None else memory
        context = {name: value for name, value in call.arguments.items() if name != ASKED[call.name]}

        async def answer(asked: str) -> str:
            key = (call.name, asked, *map(str, sorted(context.items())))
            if key not in known:
                known[key] = await self._answer(call.name, asked, context, seconds)
            return known[key]

        return await self._batch(answer, _asked(call))

    async def _answer(self, name: str, asked: str, context: dict[str, Any], seconds: float) -> str:
        """To one query, page or text; ``context`` holds the other arguments of the call."""
        if name == "search":
            return await self._search(asked, seconds)
        if name == "find":
            return await self._find(asked, context["url"], seconds)
        if self._reads_parts and "start" in context:
            return await self._read_on(asked, int(context["start"]), seconds)
        return await self._visit(asked, context["goal"], seconds)

    async def passages(self, page: Page, goal: str) -> str:
        """What a page says about a goal, as much as is shown of one page. Raises ToolError and Outage."""
        return await passages_of_page(page, goal, self.caps.page_chars, self._workers)

    async def _in_time(self, answer: Awaitable[Answer], seconds: float) -> Answer:
        try:
            async with within(seconds):
                return await answer
        except TimeoutError:
            raise ToolError(fill(self._settings.episode.late, seconds=f"{seconds:g}")) from None

    async def _batch(self, answer: Callable[[str], Coroutine[Any, Any, str]], asked: list[str]) -> str:
        """Answers in the order asked; one that failed says so in its place."""
        asked = list(dict.fromkeys(asked))
        parts = asked[: self.caps.queries]
        answers = await gather_or_cancel(_answer_or_error(answer, part) for part in parts)
        wording = self._settings.episode
        text = wording.between.join(str(answer) for answer in answers)
        if all(isinstance(answer, ToolError) for answer in answers):
            raise ToolError(text)
        return text + (fill(wording.unanswered, count=len(parts)) if len(asked) > len(parts) else "")

    async def _search(self, query: str, seconds: float) -> str:
        wording = self._settings.search
        try:
            async with asyncio.timeout(seconds):
                hits = await self.web.search(query, self.caps.search_results)
        except TimeoutError:
            raise Outage(f"{self.web.name}: no answer to a search within {seconds:g} seconds") from None
        if not hits:
            return fill(wording.none, query=query)
        entries = (self._entry(rank, hit) for rank, hit in enumerate(hits, 1))
        return fill(wording.header, query=query, count=len(hits)) + wording.between.join(entries)

    def _entry(self, rank: int, hit: Hit) -> str:
        wording, short = self._settings.search, cut_line(hit.snippet, self.caps.snippet_chars)
        date = fill(wording.date, date=hit.date) if hit.date else ""
        snippet = fill(wording.snippet, snippet=short) if short else ""
        title = squeeze(hit.title)
        return fill(wording.entry, rank=rank, title=title, url=hit.url, date=date, snippet=snippet)

    async def _read(self, url: str, seconds: float) -> Page:
        page = await self._in_time(self.web.read(url), seconds)
        if not page.text.strip():
            raise ToolError(f"{url}: the page holds no text")
        return page

    async def _find(self, words: str, url: str, seconds: float) -> str:
        page, wording = await self._read(url, seconds), self._settings.find
        count, shown = await find_in_page(page, words, self.caps.page_chars, self._workers)
        if not count:
            return fill(wording.none, text=words, url=url, chars=len(page.text))
        entries = (fill(wording.entry, start=each.start, sentence=squeeze(each.sentence)) for each in shown)
        header = fill(wording.header, text=words, url=url, chars=len(page.text), count=count, shown=len(shown))
        return header + wording.between.join(entries)

    async def _read_on(self, url: str, start: int, seconds: float) -> str:
        page, wording = await self._read(url, seconds), self._settings.visit
        if start >= len(page.text):
            raise ToolError(fill(wording.beyond, url=url, start=start, chars=len(page.text)))
        part = part_of(page.text, start, self.caps.page_chars)
        onward = fill(wording.onward, end=part.end) if part.end < len(page.text) else ""
        shown = {"url": url, "start": part.start, "end": part.end, "chars": len(page.text)}
        return fill(wording.part, text=part.text.strip(), onward=onward, **shown)

    async def _visit(self, url: str, goal: str, seconds: float) -> str:
        page = await self._read(url, seconds)
        note = await self._summariser.note(page, goal) if self._summariser else None
        shown = msgspec.structs.replace(page, text=note.evidence) if note else page
        evidence = await self.passages(shown, goal)
        summary = note.summary if note else page_lead(page)
        return fill(self._settings.visit.page, url=url, goal=goal, evidence=evidence, summary=summary)


_NEEDS = {
    "search": 'search needs "query": an array of strings',
    "visit": 'visit needs "url": an array of strings, and "goal": a string',
    "find": 'find needs "url": a string, and "text": an array of strings',
}
"""What the policy reads when it called one of the standard tools wrongly."""


def tool_schemas(own: Sequence[CustomTool] = (), page_tools: Sequence[str] = ()) -> list[Schema]:
    """What the policy is shown of its tools; ``page_tools`` are those that were switched on."""
    standard = [SEARCH_SCHEMA, PAGED_VISIT_SCHEMA if "start" in page_tools else VISIT_SCHEMA]
    found = [FIND_SCHEMA] if "find" in page_tools else []
    return [*standard, *found, *(tool.schema for tool in own)]


def _refuse_unshown(prompts: PromptSet, own: Sequence[CustomTool], page_tools: Sequence[str]) -> None:
    """Raises UsageError for tools that no policy could know of, or tell apart."""
    given = f"--tool {own[0].name}" if own else f"--page-tools {','.join(page_tools)}" if page_tools else ""
    if given and not prompts.shows_tools:
        raise UsageError(f"{given}: the prompts {prompts.name} show no tools; choose others")
    if "find" in page_tools and any(tool.name == "find" for tool in own):
        raise UsageError("--tool find: two tools are called find; rename yours, or leave out --page-tools find")


async def _answer_or_error(answer: Callable[[str], Awaitable[str]], part: str) -> str | ToolError:
    try:
        return await answer(part)
    except ToolError as error:
        return error


def _asked(call: ToolCall) -> list[str]:
    """The queries or URLs of a call that has no fault, without blank ones."""
    given = call.arguments[ASKED[call.name]]
    texts = [text.strip() for text in ([given] if isinstance(given, str) else given)]
    return [text for text in texts if text]


def cut_line(text: str, chars: int) -> str:
    """At most ``chars`` characters on one line, cut at a word, with a mark where something is missing."""
    text = squeeze(text)
    if len(text) <= chars:
        return text
    return text[:chars].rsplit(" ", 1)[0] + " ..." if chars else ""


def page_lead(page: Page, chars: int = 300) -> str:
    """What a page is about: its title and its first sentence, where pages introduce their subject."""
    title = squeeze(page.title)
    spans = (squeeze(page.text[start:end]) for start, end in sentence_spans(page.text))
    first = next((sentence for sentence in spans if sentence != title), "")
    return f"{title}: {cut_line(first, chars)}"
