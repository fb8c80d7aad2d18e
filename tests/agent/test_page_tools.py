"""``--page-tools``: finding words in a page, and reading it part by part."""

import json

import pytest

from webdancer_cli.agent.custom_tools import CustomTool
from webdancer_cli.agent.toolbox import open_tools
from webdancer_cli.agent.tools import Tools
from webdancer_cli.errors import ToolError, UsageError
from webdancer_cli.options import config
from webdancer_cli.prompts import load
from webdancer_cli.transcript.grammar import ToolCall
from webdancer_cli.web.corpus import Corpus

PAGE = "http://127.0.0.1:8765/Dolvek.html"
TEXT = "Dolvek is a person. The teacher of Dolvek is Brunda. The birthplace of Dolvek is Kemlo."


@pytest.fixture
def reading(corpus: Corpus) -> Tools:
    return Tools(corpus, load("default").capped(page_chars=60), page_tools=["find", "start"])


def find(*texts: str, url: str = PAGE) -> ToolCall:
    return ToolCall("find", {"url": url, "text": list(texts)})


def visit(start: object) -> ToolCall:
    return ToolCall("visit", {"url": [PAGE], "goal": "", "start": start})


async def test_words_are_found_with_where_their_sentences_start(reading: Tools) -> None:
    first, second = (await reading.call(find("the teacher", "sister"))).split("\n=======\n")
    assert first == (
        f"Sentences of {PAGE} (87 characters) that hold 'the teacher': 1, shown are 1, each after the character where "
        "it starts.\n[20] The teacher of Dolvek is Brunda."
    )
    assert second.startswith(f"No sentence of {PAGE} (87 characters) holds 'sister'.")
    assert await reading.call(ToolCall("find", {"url": PAGE, "text": "the teacher"})) == first


async def test_a_page_is_read_part_by_part(reading: Tools) -> None:
    first = await reading.call(visit(0))
    assert first == (
        f"The text of {PAGE} from character 0 to 52 of 87:\n\n{TEXT[:52]}\n\n(To read on, visit it with start 52.)"
    )
    second = f"The text of {PAGE} from character 52 to 87 of 87:\n\n{TEXT[53:]}"
    assert await reading.call(visit(52)) == await reading.call(visit(52.0)) == second
    with pytest.raises(ToolError, match="the text has 87 characters; start 87 is beyond its end"):
        await reading.call(visit(87))


async def test_parts_and_goals_of_a_page_are_remembered_apart(reading: Tools) -> None:
    memory: dict[tuple[str, ...], str] = {}
    calls = [visit(0), visit(52), ToolCall("visit", {"url": PAGE, "goal": "teacher"}), find("teacher")]
    seen = [await reading.call(call, memory) for call in calls]
    assert len(set(seen)) == len(memory) == 4
    assert [await reading.call(call, memory) for call in calls] == seen and len(memory) == 4


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        (visit("here"), 'visit needs "url"'),
        (visit(-1), 'visit needs "url"'),
        (visit(True), 'visit needs "url"'),
        (find(), 'find needs "url": a string, and "text"'),
        (ToolCall("find", {"text": ["x"]}), 'find needs "url"'),
        (find("x", url="http://e.org/none"), "no such page"),
    ],
)
async def test_what_cannot_be_read_is_told(reading: Tools, call: ToolCall, fault: str) -> None:
    with pytest.raises(ToolError, match=fault):
        await reading.call(call)


async def test_without_the_switch_the_tools_are_the_papers(corpus: Corpus) -> None:
    plain = Tools(corpus, load("default"))
    assert [schema["name"] for schema in plain.schemas] == ["search", "visit"] and "start" not in json.dumps(
        plain.schemas
    )
    with pytest.raises(ToolError, match="there is no tool called 'find'"):
        await plain.call(find("x"))
    assert "The useful information in" in await plain.call(visit(0))


def test_the_policy_is_shown_what_was_switched_on(corpus: Corpus) -> None:
    prompts, tools = open_tools(config.SampleOptions(web=corpus.path, page_tools=["start", "find"]))
    shown = prompts.user("Who?", tools.schemas)
    assert '"name": "find"' in shown and '"start": {' in shown


def test_prompts_without_tools_and_a_second_find_are_refused(corpus: Corpus) -> None:
    def find(text: str) -> str:
        """Find."""
        return text

    own = CustomTool("find", find)
    assert Tools(corpus, load("default"), [own]).schemas[-1]["description"] == "Find."
    with pytest.raises(UsageError, match="two tools are called find"):
        Tools(corpus, load("default"), [own], page_tools=["find"])
    with pytest.raises(UsageError, match="--page-tools start: the prompts compact show no tools"):
        Tools(corpus, load("compact"), page_tools=["start"])
