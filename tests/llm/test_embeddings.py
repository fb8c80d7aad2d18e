"""The embeddings client against an endpoint that misbehaves in the ways real ones do."""

import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from embedding_server import EmbeddingServer, answer_of, embedding, word_vectors

from webdancer_cli.errors import BudgetSpent, ModelError, ServiceRefused
from webdancer_cli.llm.budget import Budget, Ledger
from webdancer_cli.llm.embeddings import EmbeddingClient, parse_vectors
from webdancer_cli.llm.endpoints import EMBEDDINGS, EndpointPool
from webdancer_cli.llm.replies import NoReply
from webdancer_cli.services.retry import RetryPolicy
from webdancer_cli.tape import Tape

QUICK = RetryPolicy(attempts=3, attempt_seconds=20, total_seconds=60, first_pause_seconds=0.01)
Spoil = Callable[[Any], tuple[int, Any] | None]


@asynccontextmanager
async def asking(spoil: Spoil = lambda request: None, **more: Any) -> AsyncIterator[tuple[EmbeddingClient, Any]]:
    with embedding(EmbeddingServer(word_vectors(8), spoil)) as server:
        client = EmbeddingClient(
            EndpointPool([server.url], 4, path=EMBEDDINGS, flag="--embed"), "m", retry=QUICK, **more
        )
        yield client, server
        await client.aclose()


def floats(*values: float) -> str:
    return base64.b64encode(np.array(values, "<f4").tobytes()).decode()


@pytest.mark.parametrize(
    "data",
    [
        [{"index": 0, "embedding": [3, 4]}, {"index": 1, "embedding": [0, 2]}],
        [{"index": 1, "embedding": floats(0, 2)}, {"index": 0, "embedding": floats(3, 4)}],
        [{"embedding": [3, 4]}, {"embedding": [0, 2]}],
        [{"index": 1, "embedding": [[0, 2]]}, {"index": 0, "embedding": floats(3, 4)}],
    ],
    ids=["numbers", "base64, out of order", "no index", "a list around one"],
)
def test_vectors_are_read_in_any_form_and_have_length_one(data: Any) -> None:
    assert parse_vectors(data, 2).tolist() == np.array([[0.6, 0.8], [0, 1]], np.float32).tolist()  # 3² + 4² = 5²


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        [1, 2],
        [{"index": 0, "embedding": [1]}],
        [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [1]}],
        [{"index": 0, "embedding": [1]}, {"index": 2, "embedding": [1]}],
        [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": [1, 2]}],
        [{"index": 0, "embedding": []}, {"index": 1, "embedding": []}],
        [{"index": 0, "embedding": ["x"]}, {"index": 1, "embedding": [1]}],
        [{"index": 0, "embedding": "AAA"}, {"index": 1, "embedding": "AAAA"}],
        [{"index": 0, "embedding": None}, {"index": 1, "embedding": [1]}],
    ],
    ids=lambda data: json.dumps(data),
)
def test_what_is_no_vector_for_each_text_is_no_answer(data: Any) -> None:
    with pytest.raises(NoReply):
        parse_vectors(data, 2)


def test_a_vector_of_zeros_stays_one_and_what_is_not_finite_is_marked() -> None:
    nothing, broken, one = parse_vectors([{"embedding": [0, 0]}, {"embedding": [None, 1]}, {"embedding": [0, 9]}], 3)
    assert not nothing.any() and not np.isfinite(broken).all() and one.tolist() == [0, 1]


TOO_LONG = {"error": {"message": "This model's maximum context length is 8 tokens, you requested 9", "code": 400}}
BATCH = {"message": "batch size 9 > maximum allowed batch size 2", "type": "Validation"}


async def test_a_batch_that_is_too_much_is_halved_until_it_is_taken() -> None:
    async with asking(lambda request: (422, BATCH) if len(request["input"]) > 2 else None) as (client, server):
        found = await client.embed_all([f"text {number}" for number in range(9)], 9)
    assert not found.failures and not found.cut
    assert np.allclose(found.vectors, parse_vectors(answer_of(server.embed(found.texts), {"input": []})["data"], 9))


async def test_a_text_that_is_too_long_is_cut_and_the_others_stay_whole() -> None:
    too_long: Spoil = lambda request: (400, TOO_LONG) if max(map(len, request["input"])) > 100 else None  # noqa: E731
    async with asking(too_long) as (client, _):
        found = await client.embed_all(["word " * 40, "short"], 8)
    assert found.cut == {0} and not found.failures and found.texts[1] == "short"
    assert len(found.texts[0]) == 84  # 200, then three quarters: 150, 112, 84
    assert found.vectors.any(axis=1).all()


async def test_a_text_without_a_vector_is_named_and_costs_the_others_nothing() -> None:
    """One text breaks the model down, another is refused by a filter, a third has no word that the model knows."""

    def spoil(request: Any) -> tuple[int, Any] | None:
        if "bad" in request["input"]:
            return 400, {"error": {"message": "The input was flagged by our content filter"}}
        if "break" in request["input"]:
            return 200, answer_of([[float("nan")] * 8] * len(request["input"]), request)
        return None

    async with asking(spoil) as (client, _):
        found = await client.embed_all(["one", "bad", "break", "...", "two"], 8)
    assert set(found.failures) == {1, 2, 3}
    assert ["filter" in found.failures[1], "finite" in found.failures[2], "zeros" in found.failures[3]] == [True] * 3
    assert found.vectors.any(axis=1).tolist() == [True, False, False, False, True]


async def test_a_model_that_takes_no_text_at_all_is_an_error() -> None:
    refused = (400, {"error": {"message": "'$.input' is invalid"}})
    async with asking(lambda request: refused) as (client, _):
        with pytest.raises(ModelError, match=r"takes none of 4 texts: .*is invalid"):
            await client.embed_all(["a", "b", "c", "d"], 2)


def answers_in_turn(*answers: tuple[int, Any] | None) -> Spoil:
    left = list(answers)
    return lambda request: left.pop(0) if left else None


@pytest.mark.parametrize(
    "passing",
    [
        (429, {"error": {"message": "Rate limit reached. Please try again in 20ms."}}),
        (503, {"error": {"message": "model is loading"}}),
        (200, {"error": {"message": "internal server error", "code": 500}}),
        (200, {"data": []}),
        (200, {"object": "list"}),
        (400, {"error": {"message": "Unknown parameter: 'encoding_format'", "param": "encoding_format"}}),
    ],
    ids=lambda answer: json.dumps(answer),
)
async def test_what_may_pass_is_tried_again(passing: tuple[int, Any]) -> None:
    async with asking(answers_in_turn(passing)) as (client, server):
        vectors = await client.embed(["one", "two"])
    assert vectors.shape == (2, 8) and len(server.asked) == 2


async def test_a_refused_key_ends_the_run_after_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-0123456789")
    told = {"error": {"message": "Incorrect API key provided: sk-canary-0123456789"}}
    async with asking(lambda request: (401, told)) as (client, server):
        for _ in range(2):
            with pytest.raises(ServiceRefused) as refused:
                await client.embed_query("one")
    assert len(server.asked) == 1 and "canary" not in str(refused.value) and "***" in str(refused.value)


async def test_calls_are_counted_and_bounded() -> None:
    ledger = Ledger("m", budget=Budget(max_tokens=3))
    async with asking(ledger=ledger) as (client, _):
        await client.embed(["one two", "three"])
        assert (ledger.total.calls, ledger.total.input_tokens) == (1, 3)
        with pytest.raises(BudgetSpent):
            await client.embed(["four"])


async def test_where_a_server_does_not_count_the_texts_are_estimated_and_vectors_are_no_tokens() -> None:
    ledger = Ledger("m")
    uncounted: Spoil = lambda request: (200, {"data": [{"embedding": [1.0] * 500}]})  # noqa: E731
    async with asking(uncounted, ledger=ledger) as (client, _):
        await client.embed(["x" * 400])
    assert 100 < ledger.total.input_tokens < 130 and ledger.total.output_tokens == 0  # 4 bytes a token


async def test_a_query_is_asked_for_once_on_tape_and_a_failure_is_never_there(tmp_path: Path) -> None:
    path = str(tmp_path / "tape")
    broken = (200, {"data": [{"embedding": [None] * 8}]})
    with Tape(path) as tape:
        async with asking(answers_in_turn(broken), tape=tape) as (client, server):
            with pytest.raises(ModelError, match="not finite"):
                await client.embed_query("one")
            vectors = [await client.embed_query("one") for _ in range(2)]
        assert len(server.asked) == 2 and tape.counts == {"replayed": 1, "recorded": 1, "missed": 0}
    with Tape(path, "replay") as tape:
        async with asking(tape=tape) as (client, server):
            assert (await client.embed_query("one")).tolist() == vectors[0].tolist() == vectors[1].tolist()
            with pytest.raises(ModelError, match="is not on the tape"):
                await client.embed_query("two")
    assert not server.asked
