"""Episodes played by a chat endpoint: what it is sent, and what becomes of what it says."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from loopback import answering

from webdancer_cli.agent.chat_policy import ChatPolicy
from webdancer_cli.agent.episode import Limits, play
from webdancer_cli.agent.tools import Tools, tool_schemas
from webdancer_cli.data.records import QA, ModelCall, Trajectory
from webdancer_cli.errors import ServiceRefused
from webdancer_cli.grading.format import well_formed
from webdancer_cli.llm.client import ChatClient
from webdancer_cli.options import config
from webdancer_cli.prompts import PromptSet, load
from webdancer_cli.transcript.contexts import seen_contexts
from webdancer_cli.transcript.grammar import parse_turn
from webdancer_cli.web.corpus import Corpus

QUESTION = QA(question="Who is the teacher of Dolvek?", answer="Brunda")
CALL = '<tool_call>\n{"name": "search", "arguments": {"query": ["Dolvek"]}}\n</tool_call>'
ANSWER = "<answer>\nBrunda\n</answer>"

Say = dict[str, Any]


def say(content: str | None, finish: str = "stop", tokens: int = 10, **message: str) -> Say:
    usage = {"prompt_tokens": tokens, "completion_tokens": 5}
    return {"choices": [{"message": {"content": content, **message}, "finish_reason": finish}], "usage": usage}


@contextmanager
def endpoint(*replies: Say | int) -> Iterator[tuple[str, list[Say]]]:
    """Serves the replies in turn; a number is an HTTP status. Yields its base URL and the requests it got."""
    requests: list[Say] = []

    def reply(request: Say, _: object) -> tuple[int, object]:
        requests.append(request)
        said = replies[len(requests) - 1]
        return (said, {"error": "maximum context length"}) if isinstance(said, int) else (200, said)

    with answering(reply) as url:
        yield url, requests


def teacher(url: str, **given: Any) -> ChatPolicy:
    options = config.SampleOptions(model="teacher", base_url=[url], **given)
    sampling = {name: getattr(options, name) for name in ("temperature", "top_p", "repetition_penalty")}
    return ChatPolicy(options, ChatClient(url, "teacher", max_tokens=options.max_turn_tokens, **sampling))


async def run(url: str, tools: Tools, prompts: PromptSet, **options: Any) -> Trajectory:
    policy = teacher(url, **options)
    try:
        return await play(QUESTION, policy, tools, prompts, Limits())
    finally:
        await policy.chat.aclose()


async def test_the_endpoint_sees_exactly_the_history_of_the_record(tools: Tools, compact: PromptSet) -> None:
    turns = [f"<think>\nSearch.\n</think>\n{CALL}", f"<think>\nDone.\n</think>\n{ANSWER}"]
    with endpoint(*map(say, turns)) as (url, requests):
        trajectory = await run(url, tools, compact)
    sent = [(message["role"], message["content"]) for message in requests[-1]["messages"]]
    assert sent == [(message.role, message.content) for message in trajectory.messages[:-1]]
    assert requests[0]["stop"] == ["<tool_response>"]
    assert (trajectory.model, trajectory.ending, trajectory.repairs) == ("teacher", "answered", [])
    assert (trajectory.usage.calls, trajectory.usage.input_tokens, trajectory.usage.output_tokens) == (2, 20, 10)


async def test_reasoning_becomes_the_thought_of_a_well_formed_turn(tools: Tools, compact: PromptSet) -> None:
    replies = [say(CALL, reasoning_content="Let me search."), say(f"\n\n{ANSWER}", reasoning="There it is.")]
    with endpoint(*replies) as (url, _):
        trajectory = await run(url, tools, compact)
    assert well_formed(trajectory)
    assert trajectory.messages[1].content == f"<think>\nLet me search.\n</think>\n{CALL}"
    assert trajectory.messages[3].content == f"<think>\nThere it is.\n</think>\n{ANSWER}"


async def test_a_server_that_ignores_stop_strings_cannot_invent_observations(tools: Tools, compact: PromptSet) -> None:
    invented = f"<think>\nSearch.\n</think>\n{CALL}\n<tool_response>\n42\n</tool_response>"
    with endpoint(say(invented), say(f"<think>\nDone.\n</think>\n{ANSWER}")) as (url, requests):
        trajectory = await run(url, tools, compact)
    assert "42" not in json.dumps(requests)
    assert trajectory.repairs == ["1:invented_response"]


async def test_the_context_is_full_when_the_endpoint_says_or_counts_so(tools: Tools, compact: PromptSet) -> None:
    with endpoint(say(CALL), 400, 400) as (url, _):  # asked for 2,048 tokens, then for 512
        said = await run(url, tools, compact)
    with endpoint(say(CALL, tokens=95), say(ANSWER)) as (url, requests):
        counted = await run(url, tools, compact, max_context_tokens=100)  # 95 + 5
    assert (said.ending, counted.ending, len(requests)) == ("token_limit", "token_limit", 1)


async def test_an_endpoint_that_is_not_there_is_a_model_error(tools: Tools, compact: PromptSet) -> None:
    with endpoint(404) as (url, _):
        trajectory = await run(url, tools, compact)
    assert trajectory.ending == "model_error"
    assert "HTTP 404" in trajectory.extra["error"]
    assert len(trajectory.messages) == 1


async def test_an_endpoint_that_refuses_the_key_ends_the_run(tools: Tools, compact: PromptSet) -> None:
    with endpoint(401) as (url, _), pytest.raises(ServiceRefused, match="HTTP 401"):
        await run(url, tools, compact)


UNOPENED = [
    "Search.\n</think>\n\n{action}",
    "Search.</think>{action}",
    "\n\nSearch.\n\n</think>{action}\n",
    "\nSearch. As <b>told</b>.\nOr not.\n</think>\n{action}",
    "\n</think>\n{action}",
]


@pytest.mark.parametrize("layout", UNOPENED)
@pytest.mark.parametrize("cot", ["auto", "long"])
async def test_a_thought_that_the_template_had_opened_gets_its_tag_back(corpus: Corpus, layout: str, cot: str) -> None:
    prompts = load("default")
    with endpoint(*(say(layout.format(action=action)) for action in (CALL, ANSWER))) as (url, requests):
        trajectory = await run(url, Tools(corpus, prompts), prompts, cot=cot)
    assert (trajectory.answer, trajectory.repairs) == ("Brunda", [])
    assert well_formed(trajectory)
    assert trajectory.messages[2].content.startswith("<think>\n")
    [shown] = shown_to(requests[1])
    assert shown.startswith("<think>" if cot == "auto" else "<tool_call>")


@pytest.mark.parametrize(
    "text",
    [
        f"Search. {CALL}",
        f"One.</think>Two.</think>{CALL}",
        f"{CALL}</think>",
        f"<think>One.</think></think>{CALL}",
        CALL,
    ],
)
async def test_what_lacks_a_thought_or_closes_twice_stays_a_mend(tools: Tools, compact: PromptSet, text: str) -> None:
    with endpoint(say(text), say(f"<think>\nDone.\n</think>\n{ANSWER}")) as (url, _):
        trajectory = await run(url, tools, compact)
    assert trajectory.repairs


async def test_an_empty_turn_is_the_episodes_to_judge(tools: Tools, compact: PromptSet) -> None:
    with endpoint(*[say("")] * 3) as (url, requests):
        trajectory = await run(url, tools, compact)
    assert (trajectory.ending, len(requests)) == ("format_error", 3)
    with endpoint(say(""), say(f"<think>\nDone.\n</think>\n{ANSWER}")) as (url, _):
        assert (await run(url, tools, compact)).ending == "answered"


LONG = [
    say(CALL, reasoning_content="Let me search. " * 50),
    say(f"<think>\nAnd inline.\n</think>\n{CALL}"),
    say(ANSWER, reasoning_content="There it is."),
]


def shown_to(request: Say) -> list[str]:
    """What the endpoint is shown of the policy's own turns."""
    return [message["content"] for message in request["messages"] if message["role"] == "assistant"]


async def test_long_thoughts_are_left_out_of_the_input_and_kept_in_the_record(corpus: Corpus) -> None:
    prompts = load("default")
    with endpoint(*LONG) as (url, requests):
        trajectory = await run(url, Tools(corpus, prompts), prompts, cot="long")
    assert [shown_to(request) for request in requests] == [[], [CALL], [CALL, CALL]]
    task = requests[0]["messages"][1]["content"]
    assert "Write nothing but one action" in task and "<think>" not in task and '"name": "visit"' in task
    assert task.endswith(f"User: {QUESTION.question}")
    thoughts = [parse_turn(message.content).thought for message in trajectory.messages if message.role == "assistant"]
    assert thoughts == ["Let me search. " * 49 + "Let me search.", "And inline.", "There it is."]
    assert trajectory.messages[1].content == prompts.user(QUESTION.question, tool_schemas())
    assert (trajectory.cot, trajectory.ending, well_formed(trajectory)) == ("long", "answered", True)


@pytest.mark.parametrize(
    ("cot", "replies", "expected"),
    [
        ("auto", LONG, "long"),
        ("auto", [say(f"<think>\nSearch.\n</think>\n{CALL}")] * 2 + [say(ANSWER)], "short"),
        ("short", LONG, "short"),
    ],
)
async def test_auto_goes_by_what_the_endpoint_returns(
    cot: str, replies: list[Say], expected: str, tools: Tools, compact: PromptSet
) -> None:
    with endpoint(*replies) as (url, requests):
        trajectory = await run(url, tools, compact, cot=cot)
    assert trajectory.cot == expected
    seen = shown_to(requests[-1])
    kept = [message.content for message in trajectory.messages if message.role == "assistant"][:-1]
    assert seen == ([CALL, CALL] if expected == "long" else kept)


async def test_auto_turns_long_in_the_middle(tools: Tools, compact: PromptSet) -> None:
    replies = [say(f"<think>\nSearch.\n</think>\n{CALL}"), say(CALL, reasoning="Again."), say(ANSWER)]
    with endpoint(*replies) as (url, requests):
        trajectory = await run(url, tools, compact, cot="auto")
    assert shown_to(requests[1]) == [trajectory.messages[1].content]
    assert shown_to(requests[2]) == [CALL, CALL]
    assert trajectory.cot == "long"


async def test_calls_carry_the_endpoints_ids_and_counts(tools: Tools, compact: PromptSet) -> None:
    replies = [{**say(CALL, tokens=10), "id": "chatcmpl-7"}, {**say(ANSWER, tokens=30), "id": 8}]
    with endpoint(*replies) as (url, _):
        trajectory = await run(url, tools, compact)
    assert trajectory.calls == [
        ModelCall(tool="search", trace="chatcmpl-7", input_tokens=10, output_tokens=5),
        ModelCall(input_tokens=30, output_tokens=5),
    ]


async def test_draws_depend_on_seed_question_rollout_and_turn(tools: Tools, compact: PromptSet) -> None:
    async def seeds(seed: int, rollout: int) -> list[int]:
        with endpoint(say(CALL), say(ANSWER)) as (url, requests):
            policy = teacher(url, seed=seed)
            await play(QUESTION, policy, tools, compact, Limits(), rollout)
            await policy.chat.aclose()
        return [request["seed"] for request in requests]

    first = await seeds(1, 0)
    assert await seeds(1, 0) == first
    assert len({*first, *await seeds(1, 1), *await seeds(2, 0)}) == 6


async def test_a_repetition_penalty_is_sent_only_if_there_is_one(tools: Tools, compact: PromptSet) -> None:
    with endpoint(say(ANSWER), say(ANSWER)) as (url, requests):
        await run(url, tools, compact)
        await run(url, tools, compact, repetition_penalty=1.1)
    assert ["repetition_penalty" in request for request in requests] == [False, True]


async def test_before_the_context_is_full_the_model_is_told_to_answer(corpus: Corpus, compact: PromptSet) -> None:
    """Of 800 tokens 605 are taken after the first turn, and about 800 / 8 = 100 are kept for the answer.

    The endpoint counted 600 tokens for a few bytes, so that a byte is taken for a token: one of two results fits.
    """
    with endpoint(say(CALL, tokens=600), say(ANSWER)) as (url, requests):
        trajectory = await run(url, Tools(corpus, compact), compact, max_context_tokens=800, max_turn_tokens=500)
    assert (trajectory.ending, trajectory.last_call, trajectory.answer) == ("answered", "token_limit", "Brunda")
    shown = "1. [Dolvek](http://127.0.0.1:8765/Dolvek.html) ...\n\nAnswer now."
    assert trajectory.messages[2].content == f"<tool_response>\n{shown}\n</tool_response>"
    assert requests[1]["max_tokens"] == 800 - 605 - len(trajectory.messages[2].content)


@pytest.mark.parametrize("cot", ["short", "long"])
@pytest.mark.parametrize("rule", ["keep:1", "fold:1"])
async def test_an_endpoint_is_shown_what_the_record_says_of_a_context_that_is_rewritten(
    rule: str, cot: str, tools: Tools, compact: PromptSet
) -> None:
    """Of a reasoning model's earlier turns only the action, as under every context policy."""
    thoughtful = f"<think>\nSearch.\n</think>\n{CALL}"
    turns = [thoughtful, thoughtful, f"<think>\nDone.\n</think>\n{ANSWER}"]
    if rule == "fold:1":  # before the second result, when something can be freed
        turns.insert(2, "Found nothing so far.")
    with endpoint(*(say(turn, tokens=100) for turn in turns)) as (url, requests):
        policy = teacher(url, cot=cot, context=rule, prompts="compact")
        trajectory = await play(QUESTION, policy, tools, compact, Limits(context=rule))
        await policy.chat.aclose()
    assert trajectory.ending == "answered" and well_formed(trajectory)
    contexts = seen_contexts(trajectory.messages, trajectory.context)
    assert len(contexts) == 2
    sent = [message["content"] for message in requests[-1]["messages"]]
    shown = [message.content for message in contexts[-1].messages[:-1]]
    assert sent[1:] == [CALL if cot == "long" and text == thoughtful else text for text in shown[1:]]
