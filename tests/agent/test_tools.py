"""search and visit: their observations, their caps, their faults."""

import asyncio
import subprocess
import sys

import pytest

from webdancer_cli.agent.tools import Tools, cut_line, page_lead
from webdancer_cli.data.records import Page
from webdancer_cli.errors import Outage, ToolError
from webdancer_cli.prompts import PromptSet, load
from webdancer_cli.transcript.grammar import ToolCall
from webdancer_cli.web.corpus import Corpus
from webdancer_cli.web.protocols import Hit

SITE = "http://127.0.0.1:8765"
DOLVEK = "Dolvek is a person. The teacher of Dolvek is Brunda. The birthplace of Dolvek is Kemlo."


def search(*queries: str) -> ToolCall:
    return ToolCall("search", {"query": list(queries)})


def visit(*names: str, goal: str = "teacher") -> ToolCall:
    return ToolCall("visit", {"url": [f"{SITE}/{name}.html" for name in names], "goal": goal})


async def test_a_compact_search_is_a_bare_list(tools: Tools) -> None:
    assert await tools.call(search("Dolvek")) == f"1. [Dolvek]({SITE}/Dolvek.html)\n2. [Velmora]({SITE}/Velmora.html)"


async def test_a_compact_visit_is_the_page(tools: Tools) -> None:
    assert await tools.call(visit("Dolvek")) == DOLVEK


async def test_a_default_search_names_query_count_links_and_snippets(corpus: Corpus) -> None:
    text = await Tools(corpus, load("default")).call(search("teacher of Dolvek", "Nimmek"))
    first, second = text.split("\n=======\n")
    assert first.startswith("A web search for 'teacher of Dolvek' found 2 results:\n\n## Web Results\n1. [Dolvek](")
    assert f"1. [Dolvek]({SITE}/Dolvek.html)\n\nThe teacher of Dolvek is Brunda.\n" in first
    assert second.startswith("A web search for 'Nimmek' found no results.")


async def test_a_default_visit_gives_evidence_and_summary_for_the_goal(corpus: Corpus) -> None:
    text = await Tools(corpus, load("default")).call(visit("Dolvek", "Kemlo"))
    first, second = text.split("\n=======\n")
    assert first == (
        f"The useful information in {SITE}/Dolvek.html for user goal teacher as follows:\n\n"
        f"Evidence in page:\n{DOLVEK}\n\nSummary:\nDolvek: Dolvek is a person."
    )
    assert second.startswith(f"The useful information in {SITE}/Kemlo.html for user goal teacher as follows:")


async def test_a_page_over_the_cap_shows_what_the_goal_asks_for(corpus: Corpus, compact: PromptSet) -> None:
    text = await Tools(corpus, compact.capped(page_chars=40)).call(visit("Dolvek"))
    assert "The teacher of Dolvek is Brunda." in text
    assert len(text) <= 40


@pytest.mark.parametrize(
    "arguments", [{"query": "Dolvek"}, {"queries": ["Dolvek"]}, {"queries": "Dolvek"}, {"query": [" Dolvek ", ""]}]
)
async def test_search_understands_the_forms_that_models_write(arguments: dict, tools: Tools) -> None:
    assert await tools.call(ToolCall("search", arguments)) == await tools.call(search("Dolvek"))


async def test_visit_takes_one_url_as_text_and_can_do_without_a_goal(tools: Tools) -> None:
    assert await tools.call(ToolCall("visit", {"url": f"{SITE}/Dolvek.html"})) == DOLVEK


@pytest.mark.parametrize(
    ("call", "meant", "repairs"),
    [
        (ToolCall("search", {"queries": "x"}), ToolCall("search", {"query": "x"}), ["renamed_argument"]),
        (ToolCall("visit", {"url": "x"}), ToolCall("visit", {"url": "x", "goal": ""}), ["missing_goal"]),
        (ToolCall("search", {"query": "x", "queries": "y"}), ToolCall("search", {"query": "x", "queries": "y"}), []),
        (ToolCall("search", {"query": "x", "year": 1}), ToolCall("search", {"query": "x", "year": 1}), []),
        (ToolCall("google", {"queries": "x"}), ToolCall("google", {"queries": "x"}), []),
    ],
)
def test_a_call_that_is_amiss_in_form_alone_is_put_right_and_the_mend_named(
    call: ToolCall, meant: ToolCall, repairs: list[str], tools: Tools
) -> None:
    found: list[str] = []
    assert tools.repair(call, found) == meant
    assert found == repairs


@pytest.mark.parametrize(
    "call",
    [
        ToolCall("google", {"query": ["x"]}),
        ToolCall("search", {}),
        ToolCall("search", {"query": []}),
        ToolCall("search", {"query": ["", " "]}),
        ToolCall("search", {"query": ["x", 7]}),
        ToolCall("search", {"query": {"text": "x"}}),
        ToolCall("visit", {"goal": "x"}),
        ToolCall("visit", {"url": None, "goal": "x"}),
        ToolCall("visit", {"url": "http://x", "goal": ["x"]}),
    ],
)
async def test_a_faulty_call_is_named_and_never_run(call: ToolCall, tools: Tools) -> None:
    fault = tools.faults(call)
    assert fault and (call.name in fault)
    with pytest.raises(ToolError) as caught:
        await tools.call(call)
    assert str(caught.value) == fault


async def test_one_page_that_fails_says_so_in_its_place(tools: Tools) -> None:
    first, second = (await tools.call(visit("Nowhere", "Dolvek"))).split("\n")
    assert f"{SITE}/Nowhere.html" in first
    assert second == DOLVEK


async def test_a_call_of_which_everything_fails_is_a_tool_error(tools: Tools) -> None:
    with pytest.raises(ToolError, match="Nowhere"):
        await tools.call(visit("Nowhere"))


async def test_queries_over_the_cap_are_left_out_and_this_is_said(corpus: Corpus) -> None:
    tools = Tools(corpus, load("default").capped(queries=2))
    text = await tools.call(search("Dolvek", "Kemlo", "Velmora"))
    assert text.count("## Web Results") == 2
    assert "Only the first 2 were answered" in text


def test_the_agent_is_light_to_import() -> None:
    """Neither the search index nor its arrays: a policy behind an endpoint and the live web need none."""
    rooms = "webdancer_cli.agent.chat_policy, webdancer_cli.agent.demonstrator, webdancer_cli.agent.tools"
    script = f"import sys, {rooms}; sys.exit(bool({{'bm25s', 'numpy', 'torch'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


class SlowWeb:
    name = "slow"

    async def search(self, query: str, results: int) -> list[Hit]:
        await asyncio.sleep(0.2 if query == "slow" else 0.1)
        return [Hit(title=f"{query}\n[1]", url="http://x", snippet="")]

    async def read(self, url: str) -> Page:
        return Page(url=url, title="Empty", text="  ")


@pytest.mark.virtual_clock
async def test_a_batch_runs_at_once_and_keeps_its_order(compact: PromptSet) -> None:
    async with asyncio.timeout(0.3):  # one after another they would take 0.5 s
        text = await Tools(SlowWeb(), compact.capped(queries=4)).call(search("slow", "a", "b", "c"))
    assert [line[4:-11] for line in text.splitlines()] == ["slow [1]", "a [1]", "b [1]", "c [1]"]


async def test_a_page_without_text_is_a_tool_error(compact: PromptSet) -> None:
    with pytest.raises(ToolError, match="no text"):
        await Tools(SlowWeb(), compact).call(visit("x"))


def test_the_summary_of_a_page_is_its_title_and_its_first_sentence() -> None:
    page = Page(url="http://x", title="Kemlo", text="Kemlo\nKemlo is a town. It is old.")
    assert page_lead(page) == "Kemlo: Kemlo is a town."
    assert page_lead(Page(url="http://x", title="Kemlo", text="Kemlo")) == "Kemlo: "


def test_a_snippet_is_cut_at_a_word_with_a_mark() -> None:
    assert cut_line("one two\nthree", 13) == "one two three"
    assert cut_line("one two three", 9) == "one two ..."
    assert cut_line("one two three", 0) == ""


class HalfDownWeb(SlowWeb):
    """Down for one query, and slow for the others; notes which of them it answered to the end."""

    def __init__(self) -> None:
        self.answered: list[str] = []

    async def search(self, query: str, results: int) -> list[Hit]:
        if query == "down":
            raise Outage("HTTP 503")
        hits = await super().search(query, results)
        self.answered.append(query)
        return hits


@pytest.mark.virtual_clock
async def test_an_outage_of_one_query_leaves_no_other_running(compact: PromptSet) -> None:
    web = HalfDownWeb()
    with pytest.raises(Outage):
        await Tools(web, compact.capped(queries=2)).call(search("a", "down"))
    await asyncio.sleep(0.15)
    assert web.answered == [] and asyncio.all_tasks() == {asyncio.current_task()}
