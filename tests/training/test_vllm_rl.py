"""RL through real vLLM servers on the CPU: two of them, started and ended by the run, get new weights at every step."""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import torch
from training_runs import save_undecided, toy
from transformers import PreTrainedTokenizerFast

from webdancer_cli.stages import rl as stage
from webdancer_cli.training.vllm_api import ServerLost, SyncFailed, VllmServer
from webdancer_cli.training.vllm_processes import ServedModel, ServerProcesses

pytestmark = pytest.mark.vllm


@pytest.fixture(scope="module")
def undecided_for_vllm(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: PreTrainedTokenizerFast) -> Path:
    """With heads of a size that its attention on the CPU takes, and an output head that it can read anew."""
    pytest.importorskip("vllm")
    folder = tmp_path_factory.mktemp("undecided")
    save_undecided(folder, tiny_tokenizer, hidden_size=64, head_dim=32, tie_word_embeddings=False)
    return folder


@pytest.mark.parametrize(
    "kind", [pytest.param({"lora_rank": 8, "lr": 5e-3}, id="lora"), pytest.param({"lr": 1e-3}, id="full")]
)
def test_two_servers_play_two_steps_with_the_weights_of_the_trainer(
    tmp_path: Path, undecided_for_vllm: Path, kind: dict[str, Any]
):
    said: list[str] = []
    given = toy(tmp_path, undecided_for_vllm, engine="vllm", vllm_gpus=["cpu", "cpu"], steps=2, **kind)
    assert stage.run(given, say=said.append).exit_code == 0
    lines = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["copies"], line["unjudged"]) for line in lines] == [(1, 2, 0), (2, 2, 0)]
    # In float32 both sides agree in every digit that matters: on the fixed text, and in all that was drawn. So they do
    # in the second step, after an update.
    assert lines[0]["updates"] == 1 and all(line["canary_gap"] < 1e-3 for line in lines)
    assert all(abs(line["ratio_max"] - 1) < 0.01 for line in lines if line["updates"])
    urls = [line.partition(": a vLLM server")[0] for line in said if "a vLLM server is starting" in line]
    assert len(urls) == 2
    for url in urls:
        with pytest.raises(urllib.error.URLError, match="refused"):
            urllib.request.urlopen(f"{url}/health", timeout=5)


async def test_a_server_that_is_started_for_nccl_has_the_routes_and_counts_its_workers(
    tmp_path: Path, undecided_for_vllm: Path
):
    """As far as that goes without a GPU: nobody can be met."""
    model = ServedModel(str(undecided_for_vllm), 120, "float32", 0, 0, nccl=True)
    processes = ServerProcesses(["cpu"], model, tmp_path, print)
    try:
        server = VllmServer(processes.urls[0])
        assert await server.check(lora_rank=0, nccl=True) == ("policy", 120)
        assert await server.workers() == 1
        await server.start_update()
        with pytest.raises((SyncFailed, ServerLost), match="transfer not initialized"):
            await server.receive([("model.norm.weight", torch.zeros(64))])
        await server.aclose()
    finally:
        processes.end()
