"""A checkpoint as a policy: ids are kept as sampled, and the text that the parser reads is theirs."""

import asyncio
import gc
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from webdancer_cli.agent.episode import TokenLimit
from webdancer_cli.data.records import QA, Message
from webdancer_cli.options.config import EvalOptions
from webdancer_cli.options.config import SampleOptions as SampleOptions
from webdancer_cli.training.engine import SampledTokens, SamplingParams
from webdancer_cli.training.renderer import Renderer
from webdancer_cli.training.token_policy import TokenPolicy, open_token_policy
from webdancer_cli.transcript.grammar import render_response

QUESTION = QA(question="Where?", answer="Here")
OPENING = [Message("user", "Where?")]


class ScriptedEngine:
    """Gives prepared ids in turn, cut at what was asked for, and notes what it was given."""

    max_length = 1000

    def __init__(self, *turns: list[int]):
        self.turns = list(turns)
        self.prompts: list[list[int]] = []
        self.samplings: list[SamplingParams] = []
        self.released: list[str] = []

    async def generate(self, prompt_ids: list[int], sampling: SamplingParams, row: str | None = None) -> SampledTokens:
        self.prompts.append(list(prompt_ids))
        self.samplings.append(sampling)
        turn = self.turns.pop(0)
        ids = turn[: sampling.max_tokens]
        finish = "stop" if ids[-1] in sampling.stop_ids else "length"
        return SampledTokens(ids, [-0.5 - at for at in range(len(ids))], finish)  # type: ignore[arg-type]

    def release(self, row: str) -> None:
        self.released.append(row)


@pytest.fixture
def renderer(tiny_tokenizer: PreTrainedTokenizerFast) -> Renderer:
    return Renderer(tiny_tokenizer)


def policy(engine: ScriptedEngine, renderer: Renderer, **options: object) -> TokenPolicy:
    settings = {"max_context_tokens": 1000, "max_turn_tokens": 500, **options}
    return TokenPolicy("tiny", engine, renderer, **settings)  # type: ignore[arg-type]


async def test_a_later_prompt_is_the_earlier_one_plus_what_was_sampled_plus_the_observation(renderer: Renderer):
    # a word letter by letter: encoding its text again would give other ids
    odd = [*(renderer.turn(letter)[0] for letter in "capital"), renderer.end_id]
    assert odd != renderer.turn("capital")
    engine = ScriptedEngine(odd, renderer.turn("done"))
    session = policy(engine, renderer).begin(OPENING, QUESTION)
    first = await session.act()
    content = render_response("A page with <|im_end|> in it")
    session.observe(content)
    await session.act()
    assert first.text == "capital" and first.finish == "stop"
    assert engine.prompts[0] == renderer.prompt(OPENING)
    assert engine.prompts[1] == engine.prompts[0] + odd + renderer.observation(content)


async def test_an_observation_takes_the_room_that_was_counted(renderer: Renderer):
    session = policy(ScriptedEngine(renderer.turn("first"), renderer.turn("second")[:-1]), renderer).begin(
        OPENING, QUESTION
    )
    for content in (render_response("A page with <|im_end|> in it"), render_response("after a turn that was cut off")):
        await session.act()
        before, counted = session.remaining_tokens, session.count(content)
        session.observe(content)
        assert session.remaining_tokens == before - counted


async def test_trainable_ids_are_exactly_the_sampled_ones_and_each_has_its_logprob(renderer: Renderer):
    turns = [renderer.turn("first"), renderer.turn("second")]
    session = policy(ScriptedEngine(*turns), renderer).begin(OPENING, QUESTION)
    await session.act()
    session.observe("more")
    await session.act()
    tokens = session.context.tokens
    marked = [id for id, trainable in zip(tokens.ids, tokens.trainable, strict=True) if trainable]
    assert marked == turns[0] + turns[1]
    assert session.context.logprobs == [-0.5 - at for turn in turns for at in range(len(turn))]
    messages = [*OPENING, Message("assistant", "first"), Message("user", "more"), Message("assistant", "second")]
    assert (tokens.ids, tokens.trainable) == (renderer.encode(messages).ids, renderer.encode(messages).trainable)


async def test_a_turn_that_was_cut_off_is_closed_before_the_observation_and_that_is_not_trained(renderer: Renderer):
    long = renderer.turn("a long turn that does not end in time")
    engine = ScriptedEngine(long, renderer.turn("x"))
    session = policy(engine, renderer, max_turn_tokens=5).begin(OPENING, QUESTION)
    completion = await session.act()
    session.observe("go on")
    await session.act()
    assert completion.finish == "length"
    assert engine.prompts[1] == engine.prompts[0] + long[:5] + renderer.observation("go on", closed=False)
    assert sum(session.context.tokens.trainable[: len(engine.prompts[1])]) == 5


async def test_a_full_context_is_a_token_limit(renderer: Renderer):
    prompt = len(renderer.prompt(OPENING))
    engine = ScriptedEngine(renderer.turn("some words"), renderer.turn("x"))
    session = policy(engine, renderer, max_context_tokens=prompt + 3).begin(OPENING, QUESTION)
    completion = await session.act()
    assert completion.finish == "length" and engine.samplings[0].max_tokens == 3
    session.observe("more")
    with pytest.raises(TokenLimit):
        await session.act()


async def test_draws_depend_on_seed_question_rollout_and_turn(renderer: Renderer):
    async def seeds(seed: int, qa: QA, rollout: int) -> list[int]:
        engine = ScriptedEngine(renderer.turn("a"), renderer.turn("b"))
        session = policy(engine, renderer, seed=seed).begin(OPENING, qa, rollout)
        await session.act()
        session.observe("more")
        await session.act()
        return [sampling.seed for sampling in engine.samplings]

    other = QA(question="When?", answer="Now")
    all_seeds = [await seeds(*case) for case in ((0, QUESTION, 0), (1, QUESTION, 0), (0, other, 0), (0, QUESTION, 1))]
    assert len({seed for pair in all_seeds for seed in pair}) == 8
    assert await seeds(0, QUESTION, 0) == all_seeds[0]


async def test_an_episode_gives_its_row_back_when_it_is_over(renderer: Renderer):
    engine = ScriptedEngine(renderer.turn("a"))
    session = policy(engine, renderer).begin(OPENING, QUESTION)
    await session.act()
    assert engine.released == []
    del session
    gc.collect()
    assert len(engine.released) == 1


@pytest.mark.parametrize("kind", [SampleOptions, EvalOptions])
async def test_a_checkpoint_plays_alone_as_in_company(kind: type, tiny_folder: Path):
    options = kind(model=str(tiny_folder), max_turn_tokens=12, max_context_tokens=200, temperature=0.8, top_p=0.9)

    async def text(rollout: int, opened: TokenPolicy) -> str:
        return (await opened.begin(OPENING, QUESTION, rollout).act()).text

    together = open_token_policy(options)
    texts = await asyncio.gather(*(text(rollout, together) for rollout in range(6)))
    assert len(set(texts)) > 1
    assert await text(4, open_token_policy(options)) == texts[4]
