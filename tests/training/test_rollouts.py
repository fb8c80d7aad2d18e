"""Groups of graded episodes: what is judged, what is rewarded, and what is left out."""

import asyncio
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from webdancer_cli.agent.tools import Tools
from webdancer_cli.data import jsonl
from webdancer_cli.data.records import QA, Page, Verdict
from webdancer_cli.errors import BudgetSpent, ModelError, ServiceRefused
from webdancer_cli.options.config import RlOptions
from webdancer_cli.prompts import load
from webdancer_cli.training.engine import SampledTokens, SamplingParams
from webdancer_cli.training.renderer import Renderer
from webdancer_cli.training.rollouts import Group, RolloutCollector, learnable, rollout_record, training_samples
from webdancer_cli.training.token_policy import TokenPolicy
from webdancer_cli.transcript.grammar import ToolCall, Turn, render_turn
from webdancer_cli.web.corpus import Corpus
from webdancer_cli.web.protocols import Hit

RED = QA(question="What colour?", answer="Red", aliases=["scarlet"])
REDS = [QA(question=f"What colour is {number}?", answer="Red") for number in range(6)]
SEARCH = render_turn(Turn(thought="Look.", call=ToolCall("search", {"query": ["colour"]})))


def answer(text: str) -> str:
    return render_turn(Turn(thought="Known.", answer=text))


class ByRollout:
    """An engine whose rollouts speak from scripts, told apart by the order in which they begin; None is an outage."""

    max_length = 2000

    def __init__(self, renderer: Renderer, *scripts: list[str | None]):
        self.renderer = renderer
        self.scripts = [list(script) for script in scripts]
        self.rows: dict[str, list[str | None]] = {}

    async def generate(self, prompt_ids: list[int], sampling: SamplingParams, row: str | None = None) -> SampledTokens:
        assert row is not None
        script = self.rows.setdefault(row, self.scripts[len(self.rows)] if row not in self.rows else [])
        text = script.pop(0)
        if text is None:
            raise ModelError("the engine is out")
        ids = self.renderer.turn(text)[: sampling.max_tokens]
        return SampledTokens(ids, [-0.1] * len(ids), "stop" if ids[-1] in sampling.stop_ids else "length")

    def release(self, row: str) -> None:
        pass


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    path = str(tmp_path / "pages.jsonl")
    jsonl.write_records(path, [Page(url="http://127.0.0.1/c", title="Colour", text="The colour is red.")])
    return Tools(Corpus.load(path), load("compact"))


def collector(
    tools: Tools,
    tokenizer: PreTrainedTokenizerFast,
    *scripts: list[str | None],
    judge: "Reads | None" = None,
    **options: object,
) -> RolloutCollector:
    renderer = Renderer(tokenizer)
    given = RlOptions(**{"group": len(scripts), "max_context_tokens": 1500, **options})  # type: ignore[arg-type]
    policy = TokenPolicy(
        "tiny",
        ByRollout(renderer, *scripts),
        renderer,
        max_context_tokens=given.max_context_tokens,
        max_turn_tokens=given.max_turn_tokens,
    )
    return RolloutCollector(policy, tools, load("compact"), given, judge)


async def played(
    tools: Tools, tokenizer: PreTrainedTokenizerFast, *scripts: list[str | None], **options: object
) -> Group:
    groups = await collector(tools, tokenizer, *scripts, **options).play([RED], attempt=0)  # type: ignore[arg-type]
    assert len(groups) == 1
    return groups[0]


class Reads:
    """A judge that takes what has "red" in it for right; it cannot judge "mauve", and has money for ``calls``."""

    name = "model:reads"

    def __init__(self, calls: int = 99):
        self.calls = calls
        self.asked: list[str | None] = []
        self.closed = False

    async def judge(self, qa: QA, answer: str | None) -> Verdict:
        if len(self.asked) == self.calls:
            raise BudgetSpent("--max-cost 1 is spent")
        self.asked.append(answer)
        if answer == "mauve":
            return Verdict(outcome="unjudged", method=self.name, detail="model_error")
        return Verdict(outcome="correct" if "red" in (answer or "") else "wrong", method=self.name)

    async def aclose(self) -> None:
        self.closed = True


async def test_reward_is_a_tenth_for_format_and_nine_tenths_for_the_answer(
    tools: Tools, tiny_tokenizer: PreTrainedTokenizerFast
):
    group = await played(
        tools,
        tiny_tokenizer,
        [SEARCH, answer("red")],
        [SEARCH, answer("scarlet")],
        [SEARCH, answer("blue")],
        ["<answer>red</answer>"],  # right, but without a thought and without looking
        ["nonsense", "nonsense", "nonsense"],
        [SEARCH, answer("red") + "<tool_response>invented"],
    )
    assert [rollout.reward for rollout in group] == pytest.approx([1.0, 1.0, 0.1, 0.9, 0.0, 0.9])
    assert [rollout.correct for rollout in group] == [True, True, False, True, False, True]
    assert [rollout.format_ok for rollout in group] == [True, True, True, False, False, False]
    assert [rollout.trajectory.rollout for rollout in group] == list(range(6))


async def test_an_outage_is_unjudged_and_in_no_group(tools: Tools, tiny_tokenizer: PreTrainedTokenizerFast):
    group = await played(tools, tiny_tokenizer, [SEARCH, answer("red")], [SEARCH, None], [SEARCH, answer("blue")])
    outage = group[1]
    assert (outage.correct, outage.reward, outage.trajectory.ending) == (None, None, "model_error")
    assert learnable(group)
    # rewards 1.0 and 0.1: mean 0.55, deviation 0.45
    assert [training_sample.advantage for training_sample in training_samples(group)] == pytest.approx([1, -1])
    assert not learnable(group[:2])


async def test_the_answer_part_of_the_reward_is_the_judges_word(tools: Tools, tiny_tokenizer: PreTrainedTokenizerFast):
    judge = Reads()
    scripts = [[SEARCH, answer("it is red")], [SEARCH, answer("blue")], ["<answer>a red one</answer>"], [SEARCH, None]]
    group = await played(tools, tiny_tokenizer, *scripts, judge=judge)
    assert [rollout.reward for rollout in group] == [1.0, pytest.approx(0.1), pytest.approx(0.9), None]
    assert sorted(map(str, judge.asked)) == ["a red one", "blue", "it is red"]  # not about the outage


async def test_what_the_judge_cannot_judge_is_no_part_of_the_groups_statistics(
    tools: Tools, tiny_tokenizer: PreTrainedTokenizerFast
):
    scripts = [[SEARCH, answer(colour)] for colour in ("red", "mauve", "blue", "mauve", "green")]
    group = await played(tools, tiny_tokenizer, *scripts, judge=Reads())
    assert [rollout.correct for rollout in group] == [True, None, False, None, False]
    assert learnable(group) and not learnable(group[:2]) and not learnable(group[1:])
    # rewards 1.0, 0.1, 0.1: mean 0.4, deviation sqrt((0.36 + 0.09 + 0.09) / 3) = sqrt(0.18)
    assert [training_sample.advantage for training_sample in training_samples(group)] == pytest.approx(
        [0.6 / 0.18**0.5] + [-0.3 / 0.18**0.5] * 2
    )
    assert training_samples(group[1:2]) == []


async def test_a_spent_budget_leaves_the_rest_unjudged_and_says_so(
    tools: Tools, tiny_tokenizer: PreTrainedTokenizerFast
):
    judge = Reads(calls=1)
    scripts = [[SEARCH, answer("red")], [SEARCH, answer("blue")]]
    playing = collector(tools, tiny_tokenizer, *scripts, judge=judge)
    ((one, two),) = await playing.play([RED], attempt=0)
    assert sorted([one.correct, two.correct], key=str) in ([None, True], [False, None])
    assert playing.stopped == "--max-cost 1 is spent"
    await playing.aclose()
    assert judge.closed


async def test_a_group_that_differs_only_by_format_is_not_learnable(
    tools: Tools, tiny_tokenizer: PreTrainedTokenizerFast
):
    group = await played(tools, tiny_tokenizer, [SEARCH, answer("blue")], ["<answer>blue</answer>"])
    assert [rollout.reward for rollout in group] == pytest.approx([0.1, 0.0])
    assert not learnable(group)


async def test_long_episodes_lose_reward_in_the_last_stretch_of_the_context(
    tools: Tools, tiny_tokenizer: PreTrainedTokenizerFast
):
    right = [SEARCH, answer("red")]
    free, _ = await played(tools, tiny_tokenizer, right, right)
    length = free.length
    # zone 40 of a context of length + 10: 30 tokens into the zone cost 30 / 40
    late, _ = await played(tools, tiny_tokenizer, right, right, max_context_tokens=length + 10, overlong_tokens=40)
    assert late.reward == pytest.approx(1.0 - 0.75)
    assert late.correct


async def test_what_is_trained_is_what_was_sampled(tools: Tools, tiny_tokenizer: PreTrainedTokenizerFast):
    renderer = Renderer(tiny_tokenizer)
    rollout, _ = await played(tools, tiny_tokenizer, [SEARCH, answer("red")], [SEARCH, answer("red")])
    (tokens,) = (sample.tokens for sample in rollout.samples)
    sampled = [id for id, yes in zip(tokens.ids, tokens.trainable, strict=True) if yes]
    assert sampled == renderer.turn(SEARCH) + renderer.turn(answer("red"))
    assert len(rollout.logprobs) == len(sampled)
    assert tokens.ids == renderer.encode(rollout.trajectory.messages).ids


async def test_a_shown_rollout_is_a_trajectory_with_its_reward(tools: Tools, tiny_tokenizer: PreTrainedTokenizerFast):
    rollout, _ = await played(tools, tiny_tokenizer, [SEARCH, answer("red")], [SEARCH, answer("red")])
    line = rollout_record(rollout, 7)
    assert line.messages == rollout.trajectory.messages
    assert line.extra == {"step": 7, "reward": pytest.approx(1.0), "format_ok": True}
    assert rollout.trajectory.extra == {}


class Counts(Reads):
    """A judge that notes how many episodes are under way when it is asked."""

    collector: RolloutCollector

    def __init__(self) -> None:
        super().__init__()
        self.found: list[int] = []

    async def judge(self, qa: QA, answer: str | None) -> Verdict:
        self.found.append(len(self.collector.under_way()))
        await asyncio.sleep(0)
        return await super().judge(qa, answer)


async def test_no_more_episodes_are_under_way_than_are_asked_for(tools: Tools, tiny_tokenizer: PreTrainedTokenizerFast):
    judge = Counts()
    judge.collector = collector(tools, tiny_tokenizer, *[[SEARCH, answer("red")]] * 6, judge=judge)
    groups = await judge.collector.play(REDS, 0, rollouts=1, at_once=2)
    assert [rollout.reward for group in groups for rollout in group] == [1.0] * 6
    assert len(judge.found) == 6 and max(judge.found) == 2


class Refusing:
    """A web without credit."""

    name = "live:refusing"

    def __init__(self) -> None:
        self.asked = 0
        self.closed = False

    async def search(self, query: str, results: int) -> list[Hit]:
        self.asked += 1
        raise ServiceRefused("serper: HTTP 402: no credit left; --resume goes on from there")

    async def read(self, url: str) -> Page:
        raise AssertionError(url)

    async def aclose(self) -> None:
        self.closed = True


async def test_a_refusal_of_the_web_is_unjudged_and_heard_of(tools: Tools, tiny_tokenizer: PreTrainedTokenizerFast):
    web = Refusing()
    scripts = [["<answer>red</answer>"], [SEARCH, answer("red")], [SEARCH, answer("blue")]]
    playing = collector(Tools(web, load("compact")), tiny_tokenizer, *scripts)
    ((free, *refused),) = await playing.play([RED], attempt=0)
    assert free.correct and [rollout.reward for rollout in refused] == [None, None]
    assert [rollout.trajectory.ending for rollout in refused] == ["tool_abort"] * 2
    assert playing.stopped == "serper: HTTP 402: no credit left"  # there is no --resume here
    assert (web.asked, free.trajectory.web) == (1, "live:refusing")
    await playing.aclose()
    assert web.closed
