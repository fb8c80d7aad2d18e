"""Tiny random models of real architectures through engine, trainer, LoRA, checkpoint and reload.

What a family cannot do is refused in one line; everything else is right.
"""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_models import ARCHITECTURES, CHATML, MAY_BE_REFUSED, byte_level
from transformers import AutoModelForCausalLM

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import QA, Message, Trajectory
from webdancer_cli.errors import UsageError
from webdancer_cli.options.config import EvalOptions, SftOptions
from webdancer_cli.stages import sft
from webdancer_cli.training.distributed import ProcessGroup
from webdancer_cli.training.dropout import without_dropout
from webdancer_cli.training.engine import SamplingParams
from webdancer_cli.training.engine_check import check_engine
from webdancer_cli.training.layout import Batch, pack, pad
from webdancer_cli.training.logprobs import Scorer, check_dropout, token_logprobs
from webdancer_cli.training.models import describe, dtypes, load_model, load_trainable
from webdancer_cli.training.renderer import Tokens
from webdancer_cli.training.sharded_weights import fill_weights, materialize, names_in_files, skeleton
from webdancer_cli.training.token_policy import open_token_policy
from webdancer_cli.training.transformers_engine import TransformersEngine

Folder = Callable[[str], Path]
every_architecture = pytest.mark.parametrize("name", ARCHITECTURES)


@pytest.fixture(scope="session")
def episodes(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("data") / "sft.jsonl"
    turns = [
        Message("user", "What colour is Bost?"),
        Message("assistant", "<think>\nx\n</think>\n<answer>red</answer>"),
    ]
    question = QA(question="What colour is Bost?", answer="red")
    jsonl.write_records(str(path), [Trajectory(qa=question, messages=turns, ending="answered")] * 2)
    return str(path)


def logits(model: torch.nn.Module, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].float()


def played(folder: Path) -> list[tuple[list[int], list[float | None]]]:
    """Rows of different length side by side, two turns each, one longer than a step reads."""
    engine = open_token_policy(EvalOptions(model=str(folder))).engine

    async def one(number: int, length: int) -> tuple[list[int], list[float | None]]:
        generator = torch.Generator().manual_seed(number)
        ids: list[int] = []
        logprobs: list[float | None] = []
        for turn, more in enumerate((length, 5 + number)):
            ids += torch.randint(3, 290, (more,), generator=generator).tolist()
            logprobs += [None] * more
            sample = await engine.generate(ids, SamplingParams(max_tokens=6, seed=turn), f"row {number}")
            ids, logprobs = ids + sample.ids, [*logprobs, *sample.logprobs]
        return ids, logprobs

    async def everyone() -> list[tuple[list[int], list[float | None]]]:
        return await asyncio.gather(*(one(number, length) for number, length in enumerate((300, 7, 41))))

    return asyncio.run(everyone())


@every_architecture
def test_the_engine_plays_a_model_as_it_is_or_refuses_it(folder: Folder, name: str) -> None:
    try:
        rows = played(folder(name))
    except UsageError as refusal:
        assert name in MAY_BE_REFUSED and "in-process engine" in str(refusal) and "\n" not in str(refusal)
        return
    model = AutoModelForCausalLM.from_pretrained(folder(name), dtype=torch.float32).eval()
    for ids, logprobs in rows:
        own = torch.log_softmax(logits(model, ids), -1)
        sampled = [(at, logprob) for at, logprob in enumerate(logprobs) if logprob is not None]
        assert len(sampled) >= 2
        for at, logprob in sampled:
            assert logprob == pytest.approx(float(own[at - 1, ids[at]]), abs=1e-4)


@pytest.mark.parametrize("name", ["qwen3", "qwen3.5", "bloom", "lfm2"])
def test_the_check_of_an_engine_sees_what_a_full_comparison_sees(folder: Folder, name: str) -> None:
    """Also in bfloat16, where log-probs of a right engine differ by rounding."""
    for dtype in ("float32", "bfloat16"):
        engine = TransformersEngine(
            load_model(str(folder(name)), dtype), byte_level(CHATML, [], CHATML[2]), max_length=512, chunk_tokens=7
        )
        if name == "qwen3":
            assert check_engine(engine, engine.model, name).largest_gap < (1e-4 if dtype == "float32" else 0.5)
        else:
            with pytest.raises(UsageError, match="in-process engine"):
                check_engine(engine, engine.model, name)


CONVERTED = {"qwen3-moe", "mixtral", "deepseek-v3", "qwen2-moe-window"}
"""Experts lie in the files one by one and in memory together: rank 0 opens these for all."""


@every_architecture
def test_a_model_that_is_filled_in_parts_is_the_one_that_transformers_opens(folder: Folder, name: str) -> None:
    """All weights and all buffers, also those that no file holds, bit for bit and in their dtypes."""
    plain = describe(str(folder(name)))
    kinds = dtypes(plain, torch.float32)
    bare = skeleton(plain, kinds, plain.rows)
    assert all(parameter.is_meta for parameter in bare.parameters())
    assert (names_in_files(bare, plain) is None) == (name in CONVERTED)
    if name in CONVERTED:
        return
    materialize(bare, bare, torch.device("cpu"))
    fill_weights(bare, plain, None, ProcessGroup())
    own = load_model(plain, "float32")
    for ours, theirs in (
        (bare.state_dict(), own.state_dict()),
        (dict(bare.named_buffers()), dict(own.named_buffers())),
    ):
        assert ours.keys() == theirs.keys()
        assert not [
            key for key in ours if ours[key].dtype != theirs[key].dtype or not torch.equal(ours[key], theirs[key])
        ]
    assert [key for key, _ in bare.named_parameters()] == [key for key, _ in own.named_parameters()], "ties are kept"


@every_architecture
@pytest.mark.parametrize("rank", [0, 4])
def test_what_is_trained_is_what_is_saved(folder: Folder, episodes: str, tmp_path: Path, name: str, rank: int) -> None:
    """After one small step: transformers finds every weight, and the model is nearly what it was."""
    options = SftOptions(
        data=episodes, model=str(folder(name)), out=str(tmp_path / "out"), steps=1, lr=1e-6, lora_rank=rank
    )
    try:
        sft.run(options)
    except UsageError as refusal:
        assert name in MAY_BE_REFUSED and "\n" not in str(refusal)
        return
    saved, found = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32, output_loading_info=True)
    assert not any(found.values()), found
    base = AutoModelForCausalLM.from_pretrained(folder(name), dtype=torch.float32).eval()
    ids = list(range(3, 40))
    moved = float((logits(saved.eval(), ids) - logits(base, ids)).abs().max())
    assert 0 < moved < 0.05
    metrics = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert ("update_rounded_away" in metrics[-1]) == (rank > 0)


@pytest.mark.parametrize("name", ["qwen3-dropout", "gpt2", "opt"])
def test_rl_trains_without_dropout_and_saves_it(folder: Folder, name: str) -> None:
    model, _ = load_trainable(str(folder(name)))
    with pytest.raises(UsageError, match="dropout aside"):
        torch.manual_seed(0)
        check_dropout(model)
    without_dropout(model)
    check_dropout(model)
    assert model.training
    before = describe(str(folder(name))).model.config
    rates = [key for key, value in before.to_dict().items() if "drop" in key and isinstance(value, float)]
    assert [getattr(model.config, key) for key in rates] == [getattr(before, key) for key in rates]


@pytest.mark.parametrize("name", ["phi3-longrope", "qwen3", "gemma3"])
@pytest.mark.parametrize("lay_out", [pad, pack])
def test_a_rows_loss_does_not_depend_on_its_neighbours(
    folder: Folder, name: str, lay_out: Callable[[list[Tokens]], Batch]
) -> None:
    """Up to the length that a model is trained on; longrope chooses its frequencies by the longest row beyond that."""
    longest = describe(str(folder(name))).max_length or 0
    assert longest == (400 if name == "phi3-longrope" else 512)
    model, _ = load_trainable(str(folder(name)))
    ids = torch.randint(3, 290, (40,), generator=torch.Generator().manual_seed(1)).tolist()
    short, long = Tokens(ids, [True] * 40), Tokens([0] * longest, [False] * longest)
    alone = token_logprobs(model, pad([short]))
    beside = token_logprobs(model, lay_out([short, long]))
    torch.testing.assert_close(alone, beside, rtol=0, atol=1e-4)
    assert Scorer(model)(pad([short])).shape == (39,)
