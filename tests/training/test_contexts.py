"""Whatever the context policy: what is trained is what was sampled, in what was seen, each id once."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from itertools import count
from typing import Any, ClassVar

import pytest
from chain import QUESTION, Chain, follow
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from webdancer_cli.agent.episode import Limits, play
from webdancer_cli.agent.tools import Tools
from webdancer_cli.data.records import QA, Message, Trajectory
from webdancer_cli.options.config import RlOptions
from webdancer_cli.prompts import load
from webdancer_cli.training.engine import SampledTokens, SamplingParams
from webdancer_cli.training.example_selection import NothingToLearn, select_examples
from webdancer_cli.training.layout import Layout
from webdancer_cli.training.renderer import Renderer
from webdancer_cli.training.rollouts import RolloutCollector, SampledContext, training_samples
from webdancer_cli.training.token_policy import TokenPolicy, TokenSession
from webdancer_cli.transcript.contexts import exchanges_seen
from webdancer_cli.transcript.grammar import render_response

WORDING = load("compact")
REQUEST = render_response(WORDING.context.request)
RULES = st.one_of(
    st.just("append"),
    st.just("fold"),
    st.integers(1, 3).map("keep:{}".format),
    st.integers(100, 900).map("fold:{}".format),
)


class Follower:
    """An engine that follows the chain by what its prompt shows, and notes what it was asked and said.

    An ``odd`` turn is sampled letter by letter, as no tokenizer would write it; an ``open`` one lacks its end token.
    """

    max_length = 20_000

    def __init__(self, renderer: Renderer, odd: Sequence[bool] = (), left_open: Sequence[bool] = ()):
        self._renderer, self._odd, self._open = renderer, list(odd), list(left_open)
        self._logprobs = count()
        self.asked: list[tuple[list[int], SampledTokens]] = []

    async def generate(
        self, prompt_ids: Sequence[int], sampling: SamplingParams, row: str | None = None
    ) -> SampledTokens:
        shown = self._renderer.decode(prompt_ids)
        ids = self._renderer.turn(follow(shown, sums_up=REQUEST in shown[shown.rindex("<|im_start|>user") :]))
        if self._odd and self._odd.pop():
            text = self._renderer.text(ids)
            ids = [*(id for letter in text for id in self._renderer.turn(letter)[:-1]), self._renderer.end_id]
        if self._open and self._open.pop():
            ids = ids[:-1]
        sampled = SampledTokens(ids, [-float(next(self._logprobs)) for _ in ids], "stop")
        self.asked.append((list(prompt_ids), sampled))
        return sampled

    def release(self, row: str) -> None:
        pass


class Watched(TokenPolicy):
    session: TokenSession

    def begin(self, messages: list[Message], qa: QA, rollout: int = 0) -> TokenSession:
        self.session = super().begin(messages, qa, rollout)
        return self.session


def policy(engine: Follower, renderer: Renderer, window: int) -> Watched:
    return Watched("follower", engine, renderer, max_context_tokens=window, max_turn_tokens=400)  # type: ignore[arg-type]


def played(
    engine: Follower, renderer: Renderer, rule: str, *, window: int, pages: int, chars: int
) -> tuple[Trajectory, TokenSession]:
    watched, tools = policy(engine, renderer, window), Tools(Chain(pages, chars), WORDING)
    limits = Limits(context=rule, answer_tokens=200)
    return asyncio.run(play(QUESTION, watched, tools, limits=limits)), watched.session


@pytest.fixture(scope="module")
def renderer(tiny_tokenizer: PreTrainedTokenizerFast) -> Renderer:
    return Renderer(tiny_tokenizer)


def stretches(ids: Sequence[int], trainable: Sequence[Any]) -> list[tuple[list[int], list[int]]]:
    """The runs of trainable ids, each with all that stands before it."""
    edges = [at for at, (before, now) in enumerate(zip([0, *trainable], [*trainable, 0], strict=True)) if before != now]
    return [(list(ids[:start]), list(ids[start:stop])) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def trained(samples: Sequence[SampledContext]) -> list[tuple[list[int], list[int]]]:
    return [pair for sample in samples for pair in stretches(sample.tokens.ids, sample.tokens.trainable)]


any_episode = given(
    rule=RULES,
    window=st.integers(900, 4000),
    pages=st.integers(1, 8),
    chars=st.integers(40, 280),
    odd=st.lists(st.booleans(), max_size=12),
    left_open=st.lists(st.booleans(), max_size=12),
)


@any_episode
def test_every_sampled_id_is_trained_once_in_what_was_seen(
    renderer: Renderer, rule: str, window: int, pages: int, chars: int, odd: list[bool], left_open: list[bool]
) -> None:
    engine = Follower(renderer, odd, left_open)
    _, session = played(engine, renderer, rule, window=window, pages=pages, chars=chars)
    samples = session.samples
    assert trained(samples) == [(prompt, sampled.ids) for prompt, sampled in engine.asked]
    assert [logprob for sample in samples for logprob in sample.logprobs] == [
        logprob for _, sampled in engine.asked for logprob in sampled.logprobs
    ]
    assert all(sample.tokens.trainable.count(True) == len(sample.logprobs) for sample in samples)
    assert len(samples) == 1 or rule != "append"


@any_episode
def test_every_prompt_follows_from_the_record_and_the_ids_that_were_sampled(
    renderer: Renderer, rule: str, window: int, pages: int, chars: int, odd: list[bool], left_open: list[bool]
) -> None:
    engine = Follower(renderer, odd, left_open)
    episode, _ = played(engine, renderer, rule, window=window, pages=pages, chars=chars)
    answers = [message.content for message in episode.messages[1:] if message.role == "user"]
    turns = [sampled.ids for _, sampled in engine.asked]
    for turn, (prompt, _) in enumerate(engine.asked):
        expected = renderer.prompt(episode.messages[:1])
        seen = exchanges_seen(answers, episode.context, turn) if episode.context else enumerate(answers[:turn])
        for earlier, answered in seen:
            closed = turns[earlier][-1] == renderer.end_id
            expected = [*expected, *turns[earlier], *renderer.observation(answered, closed=closed)]
        assert prompt == expected


@given(rule=RULES, window=st.integers(900, 4000), pages=st.integers(1, 8), chars=st.integers(40, 280))
def test_sft_on_the_record_trains_what_rl_would(
    renderer: Renderer, rule: str, window: int, pages: int, chars: int
) -> None:
    episode, session = played(Follower(renderer), renderer, rule, window=window, pages=pages, chars=chars)
    examples, cut = select_examples(
        renderer, episode.messages, episode.context, train_on="all", overlong="drop", max_length=20_000
    )
    assert not cut
    assert [pair for each in examples for pair in stretches(list(each.ids), list(each.trainable))] == trained(
        session.samples
    )


def test_a_chain_longer_than_the_window_ends_with_an_answer_where_the_context_is_rewritten(renderer: Renderer) -> None:
    """Ten pages of 280 letters, of which the tiny tokenizer makes nearly as many tokens: about 5,000 in all."""
    told = {}
    for rule in ("append", "keep:1", "fold"):
        episode, session = played(Follower(renderer), renderer, rule, window=2600, pages=10, chars=280)
        told[rule] = episode.ending, len(session.samples), session.length > 2600
        assert all(len(sample.tokens.ids) <= 2600 for sample in session.samples)
    # keep:1: the first two turns in one context, and one for each of the other nine.
    assert told["append"] == ("token_limit", 1, False) and told["keep:1"] == ("answered", 10, True)
    assert told["fold"][0] == "answered" and told["fold"][1] >= 2 and told["fold"][2]


def test_samples_of_one_trajectory_share_what_they_have_in_common(renderer: Renderer) -> None:
    _, session = played(Follower(renderer), renderer, "keep:2", window=4000, pages=6, chars=200)
    rows = [sample.tokens for sample in session.samples]
    plan = Layout("tree", micro_tokens=50_000).plan(rows)
    # Neighbours differ from the observation on that the later one has as a line: 0, 1, 2, … turns are in common.
    assert plan.shared_prefix_tokens > 0.25 * plan.tokens


def test_what_is_asked_of_a_trajectory_is_asked_of_all_its_contexts(renderer: Renderer) -> None:
    episode, _ = played(Follower(renderer), renderer, "keep:1", window=4000, pages=4, chars=200)
    longest = max(len(renderer.encode(episode.messages[:at]).ids) for at in (2, 4))

    def examples(**asked: Any) -> list[list[int]]:
        given: dict[str, Any] = {"train_on": "all", "overlong": "drop", "max_length": 20_000, **asked}
        found, _ = select_examples(renderer, episode.messages, episode.context, **given)
        return [[id for id, on in zip(each.ids, each.trainable, strict=True) if on] for each in found]

    turns = [renderer.turn(message.content) for message in episode.messages if message.role == "assistant"]
    assert examples() == [turns[0] + turns[1], *turns[2:]]
    assert examples(train_on="last") == turns[-1:]
    (answer,) = examples(train_on="answers")
    assert renderer.decode(answer) == "<answer>\nlamp\n</answer><|im_end|>"
    with pytest.raises(NothingToLearn, match="too_long"):
        examples(max_length=longest)
    # Cut, the first context gives both of its turns, and what does not fit in the others is left out.
    assert examples(max_length=longest, overlong="truncate") == [turns[0] + turns[1]]


@pytest.mark.parametrize("rule", ["append", "keep:1", "fold:500"])
async def test_all_samples_of_an_episode_bear_its_advantage_and_its_whole_length_counts(
    renderer: Renderer, rule: str
) -> None:
    """One of two rollouts gives a wrong answer in its sixth turn: of two rewards, the advantages are 1 and -1."""

    class Lost(Follower):
        turns: ClassVar[Counter[str | None]] = Counter()

        async def generate(
            self, prompt_ids: Sequence[int], sampling: SamplingParams, row: str | None = None
        ) -> SampledTokens:
            self.turns[row] += 1
            sampled = await super().generate(prompt_ids, sampling, row)
            if row is None or row.split("/")[1] == "0" or self.turns[row] < 6:
                return sampled
            wrong = self._renderer.turn("<think>\nNo.\n</think>\n<answer>\nbell\n</answer>")
            return SampledTokens(wrong, [-1.0] * len(wrong), "stop")

    options = RlOptions(group=2, context=rule, max_context_tokens=4000, overlong_tokens=3000, overlong_at=4000)
    tools = Tools(Chain(6), WORDING)
    collector = RolloutCollector(policy(Lost(renderer), renderer, 4000), tools, WORDING, options)
    ((right, wrong),) = await collector.play([QUESTION], attempt=0)
    assert (right.correct, wrong.correct) == (True, False)
    samples = training_samples([right, wrong])
    assert [sample.advantage for sample in samples] == pytest.approx(
        [1.0] * len(right.samples) + [-1.0] * len(wrong.samples)
    )
    assert (len(right.samples) > 1) == (rule != "append")
    assert [sample.tokens for sample in samples] == [each.tokens for each in (*right.samples, *wrong.samples)]
    # The punishment begins at 1,000 of the tokens of the whole episode, more than any one context has.
    assert right.reward == pytest.approx(1.0 - (right.length - 1000) / 3000)
    assert right.length >= sum(len(sample.logprobs) for sample in right.samples)
