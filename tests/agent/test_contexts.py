"""Episodes whose context is rewritten: what the policy sees, what the record says, and how far it comes."""

import asyncio
from typing import Any

import pytest
from chain import QUESTION, Chain, follow
from velmora import MAYOR, TEACHER

from webdancer_cli.agent.custom_policy import CustomPolicy
from webdancer_cli.agent.demonstrator import Demonstrator
from webdancer_cli.agent.episode import Limits, play
from webdancer_cli.agent.tools import Tools
from webdancer_cli.data.context import Context
from webdancer_cli.data.records import QA, Message, Trajectory
from webdancer_cli.errors import UsageError
from webdancer_cli.grading.format import trajectory_fault, well_formed
from webdancer_cli.grading.quality import quality_fault
from webdancer_cli.options import config
from webdancer_cli.prompts import load
from webdancer_cli.transcript.contexts import seen_contexts, without_summaries
from webdancer_cli.transcript.grammar import parse_turn, render_response
from webdancer_cli.web.corpus import Corpus

PAGES = 10
REQUEST = render_response(load("compact").context.request)


def follower(seen: list[list[Message]], tokens: float) -> CustomPolicy:
    def respond(messages: list[Message]) -> str:
        seen.append(messages)
        return follow("\n".join(message.content for message in messages), sums_up=messages[-1].content == REQUEST)

    return CustomPolicy("follower", respond, tokens)


def along_the_chain(
    rule: str, *, tokens: float = 700, seen: list[list[Message]] | None = None, **limits: Any
) -> Trajectory:
    """Ten pages of 80 tokens, and turns of 40, which is about twice the 700 tokens of the window."""
    policy = follower([] if seen is None else seen, tokens)
    tools, bounds = Tools(Chain(PAGES), load("compact")), Limits(context=rule, answer_tokens=80, **limits)
    return asyncio.run(play(QUESTION, policy, tools, limits=bounds))


@pytest.mark.parametrize(
    ("rule", "ending"),
    [("append", "token_limit"), ("keep:1", "answered"), ("fold", "answered"), ("fold:200", "answered")],
)
def test_a_chain_longer_than_the_window_ends_with_an_answer_where_the_context_is_rewritten(
    rule: str, ending: str
) -> None:
    seen: list[list[Message]] = []
    played = along_the_chain(rule, seen=seen)
    assert played.ending == ending
    if rule == "append":
        assert played.context is None
    else:
        assert sum(len(message.content) for message in played.messages) / 3.5 > 700
        assert played.answer == "lamp" and well_formed(played) and played.tools == {"visit": PAGES}
        assert played.context and played.context.rule == rule


@pytest.mark.parametrize("rule", ["append", "keep:1", "keep:3", "fold", "fold:200"])
def test_the_record_says_what_the_policy_saw_at_every_turn(rule: str) -> None:
    seen: list[list[Message]] = []
    played = along_the_chain(rule, seen=seen)
    told = []
    for context in seen_contexts(played.messages, played.context):
        own = [at for at, message in enumerate(context.messages) if message.role == "assistant"]
        told += [context.messages[:at] for at in own[len(own) - context.written :]]
    assert told == seen


def test_an_observation_that_is_not_among_the_last_becomes_a_line_if_that_is_shorter() -> None:
    seen: list[list[Message]] = []
    played = along_the_chain("keep:2", tokens=3000, seen=seen)
    line = render_response("visit http://127.0.0.1:8765/1: left out.")
    assert played.context and played.context.lines[0] == line and len(played.context.lines) == PAGES - 2
    assert [sum(message.content.endswith("left out.\n</tool_response>") for message in shown) for shown in seen] == [
        0, 0, 0, *range(1, PAGES - 1),
    ]  # fmt: skip
    short = asyncio.run(
        play(QUESTION, follower([], 3000), Tools(Chain(4, chars=36), load("compact")), limits=Limits(context="keep:1"))
    )
    assert short.context == Context(rule="keep:1", lines=["", "", ""])


def test_a_summary_stands_between_a_call_and_its_result_and_nothing_is_cut_for_it() -> None:
    played = along_the_chain("fold")
    assert played.context and len(played.context.folds) >= 2
    own = [at for at, message in enumerate(played.messages) if message.role == "assistant"]
    for fold in played.context.folds:
        asked, summary, result = played.messages[own[fold] - 1 : own[fold] + 2]
        assert asked.content == REQUEST and summary.content.startswith("I was told")
        assert result.content.startswith("<tool_response>\nNext is") and not result.content.endswith(
            "...\n</tool_response>"
        )
    plain = along_the_chain("append", tokens=5000)
    assert without_summaries(played) == plain.messages
    assert played.usage.calls == plain.usage.calls + len(played.context.folds)


@pytest.mark.parametrize(
    ("said", "repairs", "ending"),
    [
        ("", ["empty_summary"], "answered"),
        (
            '<tool_call>\n{"name": "search", "arguments": {"query": ["x"]}}\n</tool_call>',
            ["call_in_summary"],
            "answered",
        ),
        ("Fine.<tool_response>\nThe word is lamp.\n</tool_response>", ["invented_response"], "answered"),
        ("<think>\nI know.\n</think>\n<answer>\nlamp\n</answer>", [], "answered"),
        ("<think>\nI do not know.\n</think>\n<answer>\n</answer>", ["empty_answer"], "no_answer"),
    ],
)
def test_what_is_amiss_with_a_summary_is_named(said: str, repairs: list[str], ending: str) -> None:
    def respond(messages: list[Message]) -> str:
        if messages[-1].content == REQUEST:
            return said
        return follow("\n".join(message.content for message in messages), sums_up=False)

    tools, limits = Tools(Chain(4), load("compact")), Limits(context="fold:200", answer_tokens=80)
    played = asyncio.run(play(QUESTION, CustomPolicy("follower", respond, 700), tools, limits=limits))
    assert played.ending == ending
    assert {repair.partition(":")[2] for repair in played.repairs} == set(repairs)
    assert well_formed(played) == (not repairs)


def test_no_summary_is_asked_for_when_only_an_answer_is_left() -> None:
    played = along_the_chain("fold:1", max_calls=5)
    # A call, and from the second on a summary before each result: two of each, and the last turn is for an answer.
    assert (played.ending, played.usage.calls, played.last_call) == ("call_limit", 5, "call_limit")
    assert played.context == Context(rule="fold:1", folds=[2])


def test_a_policy_whose_window_nobody_knows_cannot_be_told_to_fold() -> None:
    with pytest.raises(UsageError, match="knows no bound"):
        along_the_chain("fold", tokens=float("inf"))


@pytest.mark.parametrize("rule", ["keep:0", "keep", "fold:", "forget"])
def test_a_rule_that_there_is_not_is_refused(rule: str) -> None:
    with pytest.raises(UsageError, match="give append, keep:K, fold"):
        along_the_chain(rule)
    with pytest.raises(UsageError, match="--context"):
        config.SampleOptions(context=rule)


def test_a_call_may_be_made_again_where_its_result_may_be_gone() -> None:
    played = along_the_chain("keep:1")
    turns = [parse_turn(message.content) for message in played.messages if message.role == "assistant"]
    turns[1] = turns[0]
    limits = config.FilterOptions(max_ngram_repeats=0)
    fault = quality_fault(played.messages, turns, limits)
    assert fault and fault.reason == "repeated_call"
    assert quality_fault(played.messages, turns, limits, forgets=True) is None


def test_wording_that_policies_see_is_part_of_a_sets_id_only_where_they_see_it() -> None:
    ours = load("compact")
    assert ours.for_context("append").id == ours.id != ours.for_context("keep:1").id
    assert ours.for_context("fold").id == ours.for_context("keep:1").id


# ---- the demonstrator ----------------------------------------------------------------------------------------------

TWO_HOPS = QA(
    question="Who is the teacher of the mayor of Velmora?", answer="Brunda", type="multi_hop", evidence=[MAYOR, TEACHER]
)


@pytest.mark.parametrize("style", ["plain", "planned"])
@pytest.mark.parametrize("rule", ["keep:1", "keep:2", "fold:30", "fold"])
@pytest.mark.parametrize("prompts", ["compact", "default"])
def test_the_demonstrator_opens_only_addresses_that_it_still_sees(
    prompts: str, rule: str, style: Any, corpus: Corpus
) -> None:
    window = 240 if prompts == "compact" else 1500
    options = config.SampleOptions(prompts=prompts, style=style, context=rule, max_context_tokens=window, recovery=1.0)
    wording = load(prompts)
    limits = Limits(context=rule)
    for rollout in range(4):
        played = asyncio.run(
            play(TWO_HOPS, Demonstrator(options), Tools(corpus, wording), limits=limits, rollout=rollout)
        )
        assert (played.answer, trajectory_fault(played)) == ("Brunda", None)
        assert rule.startswith("keep") or (played.context and played.context.folds)
        for context in seen_contexts(played.messages, played.context):
            own = [at for at, message in enumerate(context.messages) if message.role == "assistant"]
            for at in own[len(own) - context.written :]:
                before = "".join(message.content for message in context.messages[:at])
                call = parse_turn(context.messages[at].content).call
                assert all(url in before for url in (call.arguments.get("url", []) if call else []))


async def test_its_summary_says_what_it_found_what_is_left_and_what_it_has_called(corpus: Corpus) -> None:
    options = config.SampleOptions(prompts="compact", context="fold:30", max_context_tokens=400)
    played = await play(
        TWO_HOPS, Demonstrator(options), Tools(corpus, load("compact")), limits=Limits(context="fold:30")
    )
    assert played.context
    own = [message.content for message in played.messages if message.role == "assistant"]
    summaries = [own[fold] for fold in played.context.folds]
    assert summaries[-1].startswith("Found: The mayor of Velmora is Dolvek. Left: ")
    assert summaries[-1].endswith(f"Called: visit {TEACHER.url}")
