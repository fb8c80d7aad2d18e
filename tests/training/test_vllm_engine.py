"""Rollouts by servers: new weights reach every one of them, or the run ends; a server that dies costs no episode."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from stand_in_vllm import StandIn, standing_in
from training_runs import toy
from transformers import PreTrainedTokenizerFast

from webdancer_cli.data.records import QA, Message
from webdancer_cli.errors import ModelError, UsageError, WebdancerError
from webdancer_cli.options.config import RlOptions
from webdancer_cli.stages import rl as stage
from webdancer_cli.training.canary import MOVED, Canary, StaleWeights
from webdancer_cli.training.distributed import ProcessGroup
from webdancer_cli.training.engine import SamplingParams
from webdancer_cli.training.engines import memory_share, servers_sleep
from webdancer_cli.training.models import describe
from webdancer_cli.training.renderer import Renderer, Tokens
from webdancer_cli.training.shared_weights import SharedWeights
from webdancer_cli.training.token_policy import TokenPolicy
from webdancer_cli.training.vllm_api import (
    UNCHANGED_DISTRIBUTION,
    SyncFailed,
    VllmServer,
    check_sampling,
    check_version,
    sampled,
    server_command,
    server_environment,
)
from webdancer_cli.training.vllm_engine import VllmEngine
from webdancer_cli.training.vllm_nccl import OpenGroup, SendTensors, check_nccl
from webdancer_cli.training.weight_broadcast import WeightBroadcast, chunks
from webdancer_cli.transcript.contexts import SeenExchange

LORA = {"lora_rank": 4, "lr": 2e-2}
KINDS = [pytest.param({}, id="full"), pytest.param(LORA, id="lora")]


def by_servers(folder: Path, undecided: Path, servers: list[StandIn], **changes: object) -> RlOptions:
    urls = [server.url for server in servers]
    return toy(folder, undecided, **{"engine": "vllm", "vllm_url": urls, "steps": 2, "group": 6, **changes})


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out" / "metrics.jsonl").read_text().splitlines()]


def drawn(server: StandIn) -> list[dict[str, Any]]:
    """What it was asked to draw."""
    return [asked for asked in server.completions if "prompt_logprobs" not in asked]


@pytest.mark.parametrize("kind", KINDS)
def test_two_servers_share_the_episodes_and_both_get_every_version(
    tmp_path: Path, undecided: Path, tiny_tokenizer: PreTrainedTokenizerFast, kind: dict[str, Any]
):
    rank = kind.get("lora_rank", 0)
    with standing_in(2, undecided, tiny_tokenizer, rank) as servers:
        stats = stage.run(by_servers(tmp_path, undecided, servers, **kind))
    assert stats.exit_code == 0
    lines = metrics(tmp_path)
    assert [(line["copies"], line["updates"]) for line in lines] == [(2, 1), (2, 1)]
    # What served is what was trained: engine and trainer agree in every token (ratio 1), and on the fixed text.
    assert all(line["canary_gap"] < 1e-3 and abs(line["ratio_max"] - 1) < 0.01 for line in lines)
    for server in servers:
        asked = drawn(server)
        assert len(asked) >= 2 * 12
        assert all(asked[0] | UNCHANGED_DISTRIBUTION == asked[0] and type(one["prompt"][0]) is int for one in asked)
        models = Counter(one["model"] for one in asked)
        assert len(models) == (2 if rank else 1)  # a name for every version of the adapters
        assert server.adapters == {}  # and none of them is left behind
    assert not list((tmp_path / "out").glob(".weights*"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_replica_that_keeps_its_weights_ends_the_run_in_that_step_and_what_was_learned_is_saved(
    tmp_path: Path, undecided: Path, tiny_tokenizer: PreTrainedTokenizerFast, kind: dict[str, Any]
):
    with standing_in(2, undecided, tiny_tokenizer, kind.get("lora_rank", 0)) as servers:
        servers[1].keeps_weights = True  # the first sync hands over what it has: nothing can be seen yet
        given = by_servers(tmp_path, undecided, servers, steps=3, **kind)
        with pytest.raises(WebdancerError, match=rf"step 2: {servers[1].url}: plays with .*--resume") as caught:
            stage.run(given)
        assert caught.value.exit_code == 1
        assert [line["step"] for line in metrics(tmp_path)] == [1]
        assert (tmp_path / "out" / "step-1" / "model.safetensors").exists()
        servers[1].keeps_weights = False
        given = by_servers(tmp_path, undecided, servers, steps=3, resume=True, **kind)
        assert stage.run(given).exit_code == 0
    assert [line["step"] for line in metrics(tmp_path)] == [1, 2, 3]


@pytest.mark.parametrize("kind", KINDS)
def test_a_replica_that_refuses_new_weights_ends_the_run_before_it_plays(
    tmp_path: Path, undecided: Path, tiny_tokenizer: PreTrainedTokenizerFast, kind: dict[str, Any]
):
    with standing_in(2, undecided, tiny_tokenizer, kind.get("lora_rank", 0)) as servers:
        servers[0].refuses_weights = True
        with pytest.raises(WebdancerError, match=r"step 1: .*HTTP 500.*no such file"):
            stage.run(by_servers(tmp_path, undecided, servers, **kind))
        assert not any(map(drawn, servers))


def test_when_a_server_dies_in_a_step_its_episodes_end_on_the_other(
    tmp_path: Path, undecided: Path, tiny_tokenizer: PreTrainedTokenizerFast
):
    said: list[str] = []
    with standing_in(2, undecided, tiny_tokenizer) as servers:
        servers[0].dies_at = 1 + 5  # the canary of the first sync, and five of its 12 episodes
        stats = stage.run(by_servers(tmp_path, undecided, servers), say=said.append)
        assert len(drawn(servers[1])) >= 2 * 24 - 5
    assert stats.exit_code == 0
    first, second = metrics(tmp_path)
    assert (first["copies"], second["copies"]) == (2, 1)
    assert first["rollouts"] == 24 and first["unjudged"] == second["unjudged"] == 0
    assert first["endings"].keys() <= {"answered", "no_answer", "format_error", "token_limit"}
    assert any(servers[0].url in line and "1 of 2 servers" in line for line in said)


async def test_an_episode_stays_with_one_server_and_its_ids_come_back_as_they_were_drawn(
    undecided: Path, tiny_tokenizer: PreTrainedTokenizerFast
):
    with standing_in(2, undecided, tiny_tokenizer, max_length=256) as servers:
        engine = VllmEngine(
            [VllmServer(server.url) for server in servers],
            "policy",
            None,
            max_length=256,
            lora=False,
            world=ProcessGroup(),
            say=print,
        )
        policy = TokenPolicy("tiny", engine, Renderer(tiny_tokenizer), max_context_tokens=256, max_turn_tokens=8)
        questions = [QA(question=f"Colour {number}?", answer="x") for number in range(4)]
        sessions = [policy.begin([Message("user", qa.question)], qa) for qa in questions]
        for turn in range(3):
            await asyncio.gather(*(session.act() for session in sessions))
            for session in sessions:
                session.observe(f"{turn}: go on")
        await engine.aclose()
    assert [len(drawn(server)) for server in servers] == [6, 6]
    seen = [session.context.tokens.ids for session in sessions]
    for server in servers:
        prompts = [asked["prompt"] for asked in drawn(server)]
        # How many of its prompts are the beginning of an episode: all three of each that is its own.
        turns = [sum(ids[: len(prompt)] == prompt for prompt in prompts) for ids in seen]
        assert sorted(turns) == [0, 0, 3, 3]
    assert all(session.context.tokens.trainable.count(True) == len(session.context.logprobs) for session in sessions)


async def test_where_its_context_is_rewritten_an_episode_stays_there_too(
    undecided: Path, tiny_tokenizer: PreTrainedTokenizerFast
):
    renderer, opening = Renderer(tiny_tokenizer), [Message("user", "Colour?")]
    with standing_in(2, undecided, tiny_tokenizer, max_length=256) as servers:
        urls = [VllmServer(server.url) for server in servers]
        engine = VllmEngine(urls, "policy", None, max_length=256, lora=False, world=ProcessGroup(), say=print)
        policy = TokenPolicy("tiny", engine, renderer, max_context_tokens=256, max_turn_tokens=8)
        session = policy.begin(opening, QA(question="Colour?", answer="x"))
        for turn in range(3):
            await session.act()
            if turn == 1:  # what was answered to the first turn is a line from now on
                session.rewrite([SeenExchange(0, "out")])
            session.observe(f"{turn}: go on")
        await engine.aclose()
    asked, idle = sorted((drawn(server) for server in servers), key=len, reverse=True)
    before, after = (sample.tokens.ids for sample in session.samples)
    first, second, third = (list(each["prompt"]) for each in asked)
    assert idle == [] and (first, second) == (before[: len(first)], before[: len(second)])
    turns = before[len(first) : len(first) + 8], before[len(second) : len(second) + 8]

    def answered(turn: list[int], content: str) -> list[int]:
        return [*turn, *renderer.observation(content, closed=turn[-1] in renderer.closing_ids)]

    assert third == after[: len(third)] == [*first, *answered(turns[0], "out"), *answered(turns[1], "1: go on")]


def test_without_any_server_left_the_run_ends_with_what_it_has(
    tmp_path: Path, undecided: Path, tiny_tokenizer: PreTrainedTokenizerFast
):
    with standing_in(1, undecided, tiny_tokenizer) as servers:
        servers[0].dies_at = 1 + 24 + 1  # after the first step, when the second step's weights are scored
        with pytest.raises(WebdancerError, match=r"step 2: none of .* is left to play with"):
            stage.run(by_servers(tmp_path, undecided, servers))
    assert (tmp_path / "out" / "step-1" / "model.safetensors").exists()


def test_what_a_killed_run_left_for_servers_goes_when_it_goes_on_and_nobody_elses(tmp_path: Path, undecided: Path):
    plain = describe(str(undecided))
    for out in ("one", "two"):  # two runs that share a folder, killed
        SharedWeights(tmp_path, plain, 0, tmp_path / out)
    left = set(tmp_path.glob(".weights-*"))
    again = SharedWeights(tmp_path, plain, 0, tmp_path / "one")
    now = set(tmp_path.glob(".weights-*"))
    assert len(left) == len(now) == 2 and len(left & now) == 1
    again.remove()
    assert set(tmp_path.glob(".weights-*")) == left & now


# ---- weights from GPU to GPU: a queue in NCCL's place --------------------------------------------------------------


def queues_for_nccl(monkeypatch: pytest.MonkeyPatch, servers: list[StandIn], met: list[tuple[str, int, int]]) -> None:
    def opener(device: torch.device) -> OpenGroup:
        def open_group(address: str, port: int, size: int) -> SendTensors:
            met.append((address, port, size))
            return lambda tensors: [server.wire.put(tensor) for tensor in tensors for server in servers] and None

        return open_group

    monkeypatch.setattr("webdancer_cli.training.engines.nccl_group", opener)
    monkeypatch.setattr("webdancer_cli.training.engines.check_nccl", lambda device: None)


def test_a_group_of_trainer_and_servers_is_met_once_and_every_version_goes_through_it(
    tmp_path: Path, undecided: Path, tiny_tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
):
    met: list[tuple[str, int, int]] = []
    monkeypatch.setattr("webdancer_cli.training.weight_broadcast.CHUNK_BYTES", 5000)  # several tensors, several times
    with standing_in(2, undecided, tiny_tokenizer) as servers:
        queues_for_nccl(monkeypatch, servers, met)
        stats = stage.run(by_servers(tmp_path, undecided, servers, weight_transfer="nccl"))
    assert stats.exit_code == 0
    assert [(line["copies"], line["updates"]) for line in metrics(tmp_path)] == [(2, 1), (2, 1)]
    assert all(line["canary_gap"] < 1e-3 and abs(line["ratio_max"] - 1) < 0.01 for line in metrics(tmp_path))
    ((address, port, size),) = met
    assert (address, size) == ("127.0.0.1", 3)  # the trainer, and a worker of each server
    meeting = {"master_address": address, "master_port": port, "world_size": 3, "packed": False}
    assert [server.group for server in servers] == [{**meeting, "rank_offset": rank} for rank in (1, 2)]
    for server in servers:
        assert (
            server.left_group and server.weight_version == "2" and "lm_head.weight" not in server.received
        )  # tied: it went once
        assert not server.wire.qsize() and server.diary == ["takes weights", "is asked"] * 2
    assert not list((tmp_path / "out").glob(".weights*"))


def test_a_server_that_receives_nothing_ends_the_run_though_the_sender_waits_for_it(
    tmp_path: Path, undecided: Path, tiny_tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
):
    waiting = threading.Event()
    with standing_in(2, undecided, tiny_tokenizer) as servers:

        def opener(device: torch.device) -> OpenGroup:
            return lambda address, port, size: lambda tensors: waiting.wait() and None  # as NCCL waits: for ever

        monkeypatch.setattr("webdancer_cli.training.engines.nccl_group", opener)
        monkeypatch.setattr("webdancer_cli.training.engines.check_nccl", lambda device: None)
        for server in servers:
            server.refuses_updates = True
        with pytest.raises(WebdancerError, match=r"step 1: .*update_weights: HTTP 500.*CUDA out of memory"):
            stage.run(by_servers(tmp_path, undecided, servers, weight_transfer="nccl"))
        waiting.set()
        servers[1].dies_at = 0
        with pytest.raises(WebdancerError, match=servers[1].url):
            stage.run(by_servers(tmp_path, undecided, servers, weight_transfer="nccl"))


async def test_all_weights_are_gone_through_when_a_server_is_lost_in_between(
    undecided: Path, tiny_tokenizer: PreTrainedTokenizerFast
):
    """They are gathered from all ranks: who stops would leave the others waiting."""
    gone: list[int] = []

    def weights() -> Iterator[tuple[str, torch.Tensor]]:
        for number in range(5):
            gone.append(number)
            yield f"w{number}", torch.zeros(4)

    with standing_in(1, undecided, tiny_tokenizer) as (stand_in,):
        server = VllmServer(stand_in.url)
        stand_in.dies_at = 1
        stand_in.completions.append({})
        broadcast = WeightBroadcast([server], lambda address, port, size: lambda tensors: None)
        with pytest.raises(SyncFailed, match="--weight-transfer files"):
            await broadcast.deliver(weights(), 1)
        await server.aclose()
    assert gone == [0, 1, 2, 3, 4]


def test_weights_are_sent_in_parts_and_a_tied_one_once():
    one, two, three = (torch.zeros(size) for size in (10, 20, 30))  # 40, 80 and 120 bytes
    weights = [("a", one), ("also a", one), ("b", two), ("c", three)]
    names = [[name for name, _ in part] for part in chunks(iter(weights), 100)]
    assert names == [["a", "b"], ["c"]]  # 120 bytes fill the first
    assert [[name for name, _ in part] for part in chunks(iter(weights), 1)] == [["a"], ["b"], ["c"]]


def test_nccl_is_refused_where_there_is_no_gpu():
    with pytest.raises(UsageError, match="trains on the CPU"):
        check_nccl(torch.device("cpu"))
    with pytest.raises(UsageError, match="no two ranks on one GPU"):
        servers_sleep(RlOptions(engine="vllm", vllm_gpus=["0"], weight_transfer="nccl", vllm_sleep="off"), [("a", "0")])


# ---- servers that sleep while the trainer works ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_servers_sleep_once_a_step_and_play_with_new_weights_when_they_wake(
    tmp_path: Path, undecided: Path, tiny_tokenizer: PreTrainedTokenizerFast, kind: dict[str, Any]
):
    with standing_in(2, undecided, tiny_tokenizer, kind.get("lora_rank", 0)) as servers:
        stats = stage.run(by_servers(tmp_path, undecided, servers, vllm_sleep="on", **kind))
    assert stats.exit_code == 0
    assert [(line["copies"], line["unjudged"]) for line in metrics(tmp_path)] == [(2, 0), (2, 0)]
    waking = ["wakes weights, kv_cache", "takes weights"]
    if not kind:  # all weights: they come before there is memory for keys and values
        waking = ["wakes weights", "takes weights", "wakes kv_cache"]
    step = [*waking, "is asked", "sleeps 1"]
    for server in servers:
        assert server.diary == ["sleeps 1", *step, *step, "wakes weights, kv_cache"] and not server.asleep


def test_a_server_that_does_not_sleep_ends_the_run_before_the_trainer_needs_its_memory(
    tmp_path: Path, undecided: Path, tiny_tokenizer: PreTrainedTokenizerFast
):
    with standing_in(2, undecided, tiny_tokenizer) as servers:
        servers[1].sleepless = True
        with pytest.raises(WebdancerError, match=rf"{servers[1].url}/sleep.*Sleep mode is not enabled"):
            stage.run(by_servers(tmp_path, undecided, servers, vllm_sleep="on"))
        assert not servers[0].asleep
        servers[1].routes.remove("/wake_up")
        with pytest.raises(UsageError, match="--enable-sleep-mode, or give --vllm-sleep off"):
            stage.run(by_servers(tmp_path, undecided, servers, vllm_sleep="on"))
        assert not any(map(drawn, servers))


def test_questions_of_a_step_that_no_server_slept_after_are_asked_again_by_the_run_that_goes_on(
    tmp_path: Path, undecided: Path, tiny_tokenizer: PreTrainedTokenizerFast
):
    """What is saved is the end of step 1: the rollouts of step 2 were played, and not trained on."""
    with standing_in(2, undecided, tiny_tokenizer) as servers:

        class SleeplessAfterTheFirst:
            def step(self, step: int, steps: int, note: str) -> None:
                servers[1].sleepless = True

        given = by_servers(tmp_path, undecided, servers, vllm_sleep="on", questions=2)
        with pytest.raises(WebdancerError, match=r"step 2: .*Sleep mode is not enabled.*--resume goes on after step 1"):
            stage.run(given, progress=SleeplessAfterTheFirst())  # type: ignore[arg-type]
        assert not servers[0].asleep  # it is left as it was given
    saved = json.loads((tmp_path / "out" / "step-1" / "state" / "run.json").read_text())
    assert (saved["step"], saved["data"]["epoch"], saved["data"]["position"]) == (1, 0, 2)


async def test_weights_that_were_forgotten_in_sleep_are_read_again(
    tmp_path: Path, undecided: Path, tiny_tokenizer: PreTrainedTokenizerFast
):
    with standing_in(1, undecided, tiny_tokenizer) as (stand_in,):
        server = VllmServer(stand_in.url)
        before = await server.score("policy", [1, 2, 3])
        await server.sleep(keep_weights=False)
        await server.load_weights(undecided, "1", asleep=True)
        assert await server.score("policy", [1, 2, 3]) == before
        await server.aclose()
    assert stand_in.diary[1:] == ["sleeps 2", "wakes weights", "takes weights", "wakes kv_cache", "is asked"]


@pytest.mark.parametrize(
    ("places", "ranks", "sleep"),
    [
        (["0"], [("a", "0")], True),
        (["1"], [("a", "0")], False),
        (["2+3"], [("a", "0"), ("a", "3")], True),
        (["1"], [("a", "0"), ("b", "1")], False),  # of another machine
        (["cpu"], [("a", None)], False),
    ],
)
def test_servers_sleep_by_themselves_where_they_share_a_gpu(
    places: list[str], ranks: list[tuple[str, str | None]], sleep: bool
):
    assert servers_sleep(RlOptions(engine="vllm", vllm_gpus=places), ranks) is sleep
    assert servers_sleep(RlOptions(engine="vllm", vllm_gpus=places, vllm_sleep="off"), ranks) is False
    stale = RlOptions(engine="vllm", vllm_gpus=places, max_staleness=1)
    if sleep:
        with pytest.raises(UsageError, match="--max-staleness 1 plays meanwhile"):
            servers_sleep(stale, ranks)
    else:
        assert not servers_sleep(stale, ranks)


def test_a_server_gets_what_the_trainer_leaves_of_a_gpu(undecided: Path):
    """All weights: 4 bytes of weight and 8 of moments are kept for each parameter; adapters leave nearly all."""
    plain = describe(str(undecided))
    gpu = 40 * plain.parameters  # 12 of 40 bytes a parameter are 30 %, and a tenth is spare
    full = RlOptions(model=str(undecided), engine="vllm", vllm_gpus=["0"], dtype="bfloat16")
    assert memory_share(plain, full, 1, gpu) == pytest.approx(0.6, abs=0.001)
    assert memory_share(plain, full, 2, gpu) == pytest.approx(0.75, abs=0.001)
    held = replace(full, kl=0.01)  # to what the run began with: another 4 bytes, which no adapter needs
    assert memory_share(plain, held, 1, gpu) == pytest.approx(0.5, abs=0.001)
    adapters, held_adapters = (memory_share(plain, replace(given, lora_rank=4), 1, gpu) for given in (full, held))
    assert held_adapters == adapters
    with pytest.raises(UsageError, match="use --lora-rank"):
        memory_share(plain, full, 1, 15 * plain.parameters)  # 12 and a spare 1.5: 1.5 bytes are left, and 2 are needed


# ---- the canary, by itself ------------------------------------------------------------------------------------------

OWN = [-1.0, -2.0, -3.0]


def moved(logprobs: list[float], by: float) -> list[float]:
    return [logprob - by for logprob in logprobs]


@pytest.mark.parametrize(
    ("own", "theirs", "reason"),
    [
        (OWN, OWN, ""),
        (OWN, moved(OWN, 0.09), ""),
        (OWN, moved(OWN, 0.11), "other weights than those that are trained"),
        (OWN, [float("nan")] * 3, "other weights than those that are trained"),
        # The trainer has moved further than rounding explains, and the copy not by a digit.
        (moved(OWN, 2 * MOVED), OWN, "the weights of the step before"),
        (moved(OWN, 2 * MOVED), [-1.0, -2.0, -3.000001], ""),
        (moved(OWN, MOVED / 2), OWN, ""),
    ],
)
def test_what_the_canary_lets_pass(own: list[float], theirs: list[float], reason: str):
    canary = Canary(Tokens([1, 2, 3, 4], [False, True, True, True]), limit=0.1)
    canary.check(OWN, {"a": OWN, "b": OWN})
    if not reason:
        gaps = [abs(left - right) for left, right in zip(own, theirs, strict=True)]
        assert canary.check(own, {"a": moved(own, 0.001), "b": theirs}) == pytest.approx(max(0.001, sum(gaps) / 3))
        return
    with pytest.raises(StaleWeights, match=rf"b: .*{reason}"):
        canary.check(own, {"a": moved(own, 0.001), "b": theirs})


# ---- vLLM's API -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["0.32.0", "0.33.1.post1", "0.33.0rc1+cpu"])
def test_versions_that_were_tried_pass(version: str):
    check_version(version, "here")


@pytest.mark.parametrize("version", ["0.31.2", "0.34.0", "1.0", "dev"])
def test_other_versions_are_refused_by_name(version: str):
    with pytest.raises(UsageError, match=rf"vLLM {version}: its API is known for 0.32 to 0.33"):
        check_version(version, "here")


@pytest.mark.parametrize(("temperature", "top_p"), [(0.7, 1.0), (0.0, 1.0), (1.0, 0.9)])
def test_draws_from_another_distribution_are_refused(temperature: float, top_p: float):
    with pytest.raises(UsageError, match="temperature 1 and top_p 1"):
        check_sampling(SamplingParams(max_tokens=3, temperature=temperature, top_p=top_p))


@pytest.mark.parametrize(
    "choice",
    [
        {"finish_reason": "stop", "logprobs": None, "token_ids": [1]},
        {"finish_reason": "stop", "logprobs": {"token_logprobs": [-1.0]}},
        {"finish_reason": "stop", "logprobs": {"token_logprobs": [-1.0]}, "token_ids": [1, 2]},
        {"finish_reason": "stop", "logprobs": {"token_logprobs": [None]}, "token_ids": [1]},
        {"finish_reason": "abort", "logprobs": {"token_logprobs": []}, "token_ids": []},
    ],
)
def test_an_answer_without_a_log_prob_for_every_id_is_no_turn(choice: dict[str, Any]):
    with pytest.raises(ModelError):
        sampled({"choices": [choice]}, 4)


@pytest.mark.parametrize(
    ("lora_rank", "missing", "remedy"),
    [(4, "/v1/load_lora_adapter", "--enable-lora --max-lora-rank 4"), (0, "/collective_rpc", "VLLM_SERVER_DEV_MODE=1")],
)
async def test_a_server_that_takes_no_new_weights_is_refused_with_the_remedy(
    undecided: Path, tiny_tokenizer: PreTrainedTokenizerFast, lora_rank: int, missing: str, remedy: str
):
    with standing_in(1, undecided, tiny_tokenizer) as (stand_in,):
        server = VllmServer(stand_in.url + "/v1/")
        assert await server.check(lora_rank=lora_rank) == ("policy", 120)
        stand_in.routes.remove(missing)
        with pytest.raises(UsageError, match=remedy):
            await server.check(lora_rank=lora_rank)
        stand_in.version = "0.40.0"
        with pytest.raises(UsageError, match=r"vLLM 0\.40\.0"):
            await server.check(lora_rank=lora_rank)
        await server.aclose()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"engine": "vllm", "vllm_gpus": ["0"], "weight_transfer": "nccl", "sync_folder": "/a"},
            "no files are written",
        ),
        ({"engine": "vllm"}, "--vllm-url"),
        ({"engine": "vllm", "vllm_url": ["http://a"], "vllm_gpus": ["0"]}, "--vllm-gpus"),
        ({"vllm_url": ["http://a"]}, "--engine vllm"),
        ({"vllm_gpus": ["0"]}, "--engine vllm"),
        ({"engine": "vllm", "vllm_url": ["http://a"], "temperature": 0.7}, "temperature 1 alone"),
        ({"engine": "vllm", "vllm_gpus": ["0-3"]}, r"0\+1 is one on two GPUs"),
        ({"vllm_sleep": "on"}, "--engine vllm"),
        ({"weight_transfer": "nccl"}, "--engine vllm"),
        (
            {"engine": "vllm", "vllm_gpus": ["0"], "weight_transfer": "nccl", "lora_rank": 4},
            "adapters go through files",
        ),
        ({"engine": "vllm", "vllm_gpus": ["cpu"], "weight_transfer": "nccl"}, "from GPU to GPU"),
        ({"engine": "vllm", "vllm_gpus": ["0"], "weight_transfer": "nccl", "vllm_sleep": "on"}, "stay awake"),
        ({"engine": "vllm", "vllm_gpus": ["cpu"], "vllm_sleep": "on"}, "on the CPU cannot sleep"),
        ({"engine": "vllm", "vllm_gpus": ["0"], "vllm_sleep": "on", "max_staleness": 1}, "--max-staleness 1"),
    ],
)
def test_servers_and_engine_have_to_fit_together(changes: dict[str, Any], words: str):
    with pytest.raises(UsageError, match=words):
        RlOptions(**changes)


def test_weights_that_a_server_would_not_take_whole_are_refused_before_it_starts(tmp_path: Path, undecided: Path):
    """The embedding of this model is its output head, too, which vLLM on the CPU keeps as it was."""
    with pytest.raises(UsageError, match=r"tied embeddings.*--lora-rank"):
        stage.run(toy(tmp_path, undecided, engine="vllm", vllm_gpus=["cpu"]))


def test_a_server_of_our_own_is_told_nothing_of_torchrun(monkeypatch: pytest.MonkeyPatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "TORCHELASTIC_RUN_ID"):
        monkeypatch.setenv(name, "1")
    told = server_environment("0+1", 8)
    assert not {"RANK", "WORLD_SIZE", "MASTER_ADDR", "TORCHELASTIC_RUN_ID"} & set(told)
    assert (told["CUDA_VISIBLE_DEVICES"], told["VLLM_ALLOW_RUNTIME_LORA_UPDATING"]) == ("0,1", "1")
    assert "VLLM_SERVER_DEV_MODE" not in told and server_environment("cpu", 0)["VLLM_SERVER_DEV_MODE"] == "1"
    command = server_command("py", "m", 1, "0+1", max_length=9, dtype="bfloat16", lora_rank=9, seed=0)
    pairs = set(pairwise(command))
    assert {("--tensor-parallel-size", "2"), ("--max-lora-rank", "16"), ("--max-model-len", "9")} <= pairs
    assert "--enable-sleep-mode" not in command and "--weight-transfer-config" not in command
    command = server_command("py", "m", 1, "0", max_length=9, dtype="bfloat16", lora_rank=9, seed=0, memory_share=0.5)
    assert {("--enable-sleep-mode", "--gpu-memory-utilization"), ("--gpu-memory-utilization", "0.500")} <= set(
        pairwise(command)
    )
    command = server_command("py", "m", 1, "0", max_length=9, dtype="bfloat16", lora_rank=0, seed=0, nccl=True)
    assert ("--weight-transfer-config", '{"backend": "nccl"}') in set(pairwise(command))
    assert server_environment("0", 8, sleeps=True)["VLLM_SERVER_DEV_MODE"] == "1"
