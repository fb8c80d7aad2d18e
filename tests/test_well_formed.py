"""What the agent refuses or mends is malformed for ``filter``, ``eval`` and the reward alike, and nothing else is."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from webdancer_cli.agent.custom_tools import CustomTool
from webdancer_cli.agent.episode import Completion, Limits, play
from webdancer_cli.agent.tools import Tools
from webdancer_cli.data.records import QA, Message, Page, Trajectory
from webdancer_cli.errors import Reject
from webdancer_cli.grading.format import own_turns, well_formed
from webdancer_cli.options import config
from webdancer_cli.prompts import load
from webdancer_cli.stages.filter import Candidate, FunnelChecks
from webdancer_cli.transcript.grammar import ToolCall, Turn, render_turn
from webdancer_cli.web.protocols import Hit


@dataclass
class Point:
    x: int
    label: str = ""


def convert(
    amount: float,
    kind: Literal["km", "mile"],
    places: Annotated[int, msgspec.Meta(ge=0, le=3)] = 1,
    notes: list[str] = [],  # noqa: B006
    at: Point | None = None,
) -> str:
    """Convert a length."""
    return f"{amount} {kind} {places} {notes} {at}"


class Web:
    """Finds a page for everything."""

    name = "web"

    async def search(self, query: str, results: int) -> list[Hit]:
        return [Hit(title=query, url="http://x", snippet="")]

    async def read(self, url: str) -> Page:
        return Page(url=url, title="X", text="The answer is 42.")


class Plays:
    """One call, then the answer."""

    name = "scripted"
    remaining_tokens = float("inf")

    def __init__(self, call: ToolCall):
        self._turns = [Turn(thought="Look.", call=call), Turn(thought="So.", answer="42")]
        self.observed: list[str] = []

    def begin(self, messages: list[Message], qa: QA, rollout: int = 0) -> "Plays":
        return self

    def count(self, content: str) -> int:
        return 0

    async def act(self) -> Completion:
        return Completion(text=render_turn(self._turns[len(self.observed)]), finish="stop")

    def observe(self, content: str) -> None:
        self.observed.append(content)


PROMPTS = load("default")
TOOLS = Tools(Web(), PROMPTS, [CustomTool("convert", convert)])


def played(call: ToolCall) -> Trajectory:
    return asyncio.run(play(QA(question="What?", answer="42"), Plays(call), TOOLS, PROMPTS, Limits()))


def passes_filter(trajectory: Trajectory) -> bool:
    candidate = Candidate(trajectory, own_turns(trajectory.messages))
    try:
        asyncio.run(FunnelChecks(config.FilterOptions(), None, None).validity(candidate))
    except Reject:
        return False
    return True


def runs_as_it_is(call: ToolCall) -> bool:
    return TOOLS.repair(call, mends := []) == call and not mends and TOOLS.faults(call) is None


TEXTS = st.sampled_from(["", " ", "a", "5", "1.5", "true", "null", '["a"]', '{"x": 1}', "furlong", "km", "2024-02-30"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 5) | st.floats(-2, 5) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "label", "y"]), inner, max_size=2)
    ),
    max_leaves=4,
)
NAMES = ["query", "queries", "url", "goal", "amount", "kind", "places", "notes", "at", "colour"]
NEARLY = st.fixed_dictionaries(
    {"amount": st.just(1.5) | VALUES, "kind": st.sampled_from(["km", "mile"]) | VALUES},
    optional={"places": VALUES, "notes": VALUES, "at": VALUES, "colour": VALUES},
)
CALLS = st.builds(
    ToolCall, st.sampled_from(["search", "visit", "fly"]), st.dictionaries(st.sampled_from(NAMES), VALUES)
)
CALLS |= st.builds(ToolCall, st.just("convert"), NEARLY | st.dictionaries(st.sampled_from(NAMES), VALUES))


@settings(max_examples=60)
@given(CALLS)
@example(ToolCall("convert", {"amount": 1, "kind": "furlong"}))
@example(ToolCall("convert", {"amount": 1, "kind": "km", "places": 4}))
@example(ToolCall("convert", {"amount": 1, "kind": "km", "colour": "red"}))
@example(ToolCall("convert", {"amount": "1", "kind": "km"}))
@example(ToolCall("convert", {"amount": 1, "kind": "km", "notes": []}))
@example(ToolCall("search", {"queries": ["a"]}))
@example(ToolCall("visit", {"url": ["http://a"]}))
def test_a_call_that_the_agent_runs_as_it_is_is_well_formed_for_all_and_any_other_for_none(call: ToolCall) -> None:
    trajectory = played(call)
    judged = [passes_filter(trajectory), well_formed(trajectory, TOOLS.schemas), well_formed(trajectory)]
    assert judged == [runs_as_it_is(call)] * 3


@pytest.mark.parametrize(("kind", "is_good"), [("km", True), ("furlong", False)])
def test_the_bare_messages_tell_it_too_by_what_the_prompt_declares(kind: str, is_good: bool) -> None:
    """Lines in the authors' form carry nothing else."""
    trajectory = played(ToolCall("convert", {"amount": 1, "kind": kind}))
    trajectory.repairs = []
    assert passes_filter(trajectory) is is_good
