"""All that is known of vLLM, in one file: its HTTP API, its command line, and the versions that were tried.

Ids go in, and ids with their log-probs come out; nothing is decoded here. Routes, fields and flags are those of vLLM
0.32, read in its source and run on the CPU; 0.33 is let pass, and was not run. The
trainer's end of a transfer over NCCL is in ``vllm_nccl.py``.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from torch import Tensor

from webdancer_cli.errors import ModelError, UsageError, WebdancerError
from webdancer_cli.services.proxies import http_client
from webdancer_cli.training import vllm_child
from webdancer_cli.training.engine import SampledTokens, SamplingParams
from webdancer_cli.transcript.grammar import STOP_STRINGS

FIRST, BEFORE = (0, 32), (0, 34)
"""The versions whose API is the one that is spoken here: from the first, up to but without the second."""
TRIED = "0.32 was run, 0.33 was not"

CONNECT_SECONDS = 10.0
SYNC_SECONDS = 1800.0
"""How long a server may take to read new weights."""

LARGEST_SEED = 2**63
"""Seeds are signed numbers of 64 bits there."""

UNCHANGED_DISTRIBUTION = {
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
"""Named in every request, since what it leaves open a server takes from the model's generation config."""

ADAPTER_ROUTES = ("/v1/load_lora_adapter", "/v1/unload_lora_adapter")
WEIGHT_ROUTES = ("/collective_rpc", "/reset_prefix_cache", "/update_weight_version")
TRANSFER_ROUTES = (
    "/init_weight_transfer_engine",
    "/start_weight_update",
    "/update_weights",
    "/finish_weight_update",
    "/reset_prefix_cache",
)
SLEEP_ROUTES = ("/sleep", "/wake_up")
REMEDIES = {
    ADAPTER_ROUTES: "start it with VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 and --enable-lora --max-lora-rank {rank}",
    WEIGHT_ROUTES: "start it with VLLM_SERVER_DEV_MODE=1, where nobody else can reach it",
    TRANSFER_ROUTES: 'start it with VLLM_SERVER_DEV_MODE=1 and --weight-transfer-config \'{{"backend": "nccl"}}\'',
    SLEEP_ROUTES: "start it with VLLM_SERVER_DEV_MODE=1 and --enable-sleep-mode, or give --vllm-sleep off",
}


PARTS = WEIGHTS, KV_CACHE = "weights", "kv_cache"
"""What a server that sleeps wakes apart."""


class ServerLost(ModelError):
    """A server gave no answer: it is down, or out of reach. Another one may do what it was asked."""


class SyncFailed(WebdancerError):
    """A server answered, and does not have the weights that it was told to play with."""


class VllmServer:
    """One server, by its root URL. To be used in one event loop."""

    def __init__(self, url: str):
        self.url = url.rstrip("/").removesuffix("/v1")
        self._client: httpx.AsyncClient | None = None

    async def check(self, *, lora_rank: int, sleeps: bool = False, nccl: bool = False) -> tuple[str, int]:
        """The name and the longest sequence of the model that it serves.

        Raises UsageError, with the remedy, for a server that is not there, of a version that was not tried, or started
        without what new weights need, or what it needs to sleep.
        """
        try:
            version = (await self._get("/version"))["version"]
            models = (await self._get("/v1/models"))["data"]
        except (ModelError, KeyError, TypeError, ValueError) as error:
            raise UsageError(f"--vllm-url {self.url}: no vLLM server answers there: {error}") from None
        check_version(version, f"--vllm-url {self.url}")
        routes = ADAPTER_ROUTES if lora_rank else TRANSFER_ROUTES if nccl else WEIGHT_ROUTES
        await self._check_routes(routes, "takes no new weights", lora_rank)
        if sleeps:
            await self._check_routes(SLEEP_ROUTES, "cannot sleep while the trainer works", lora_rank)
        base = next((model for model in models if not model.get("parent")), models[0])
        return str(base["id"]), int(base["max_model_len"])

    async def generate(self, model: str, prompt_ids: Sequence[int], sampling: SamplingParams) -> SampledTokens:
        """Draw from the whole distribution of ``model``. Raises ServerLost, and ModelError for a refused request."""
        check_sampling(sampling)
        answer = await self._post(
            "/v1/completions",
            {
                "model": model,
                "prompt": list(prompt_ids),
                "max_tokens": sampling.max_tokens,
                "seed": sampling.seed % LARGEST_SEED,
                "stop": list(STOP_STRINGS),
                "stop_token_ids": sorted(sampling.stop_ids),
                "include_stop_str_in_output": True,
                "skip_special_tokens": False,
                "logprobs": 0,
                "return_token_ids": True,
                **UNCHANGED_DISTRIBUTION,
            },
        )
        return sampled(answer, len(prompt_ids))

    async def score(self, model: str, ids: Sequence[int]) -> list[float]:
        """log p of each of ``ids`` but the first, given those before it; computed anew, from no cache."""
        asked = {"model": model, "prompt": list(ids), "max_tokens": 1, "temperature": 1.0, "prompt_logprobs": 0}
        answer = await self._post("/v1/completions", asked)
        try:
            places = answer["choices"][0]["prompt_logprobs"]
            return [float(place[str(id)]["logprob"]) for id, place in zip(ids[1:], places[1:], strict=True)]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ModelError(f"{self.url}: its answer has no log-probs of the prompt: {error!r}") from None

    async def sleep(self, *, keep_weights: bool) -> None:
        """Give back the GPU: keys and values are forgotten, weights move to the CPU's memory, or are forgotten, too.

        Nothing may be under way. Raises ServerLost and SyncFailed.
        """
        await self._sync(f"/sleep?level={1 if keep_weights else 2}", None)

    async def wake(self, *parts: str) -> None:
        """Take memory again, for "weights", for "kv_cache", or for both. Raises ServerLost and SyncFailed."""
        answer = await self._sync("/wake_up?" + "&".join(f"tags={part}" for part in parts), None)
        if KV_CACHE in parts and answer.get("status") != "awake":
            raise SyncFailed(f"{self.url}: was to wake, and says {answer.get('status')}")

    async def load_adapter(self, name: str, folder: Path, *, asleep: bool = False) -> None:
        """Serve an adapter as a model of this ``name``. Raises ServerLost and SyncFailed."""
        if asleep:
            await self.wake(*PARTS)
        await self._sync("/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(folder)})
        models = (await self._get("/v1/models"))["data"]
        served = {model["id"]: model.get("root") for model in models}
        if served.get(name) != str(folder):
            raise SyncFailed(
                f"{self.url}: said that it took {folder}, and plays {served.get(name) or 'nothing'} as {name}"
            )

    async def unload_adapter(self, name: str) -> None:
        await self._sync("/v1/unload_lora_adapter", {"lora_name": name})

    async def load_weights(self, folder: Path, version: str, *, asleep: bool = False) -> None:
        """Read all weights from a folder, in place, and forget keys and values of the old ones.

        A server that is ``asleep`` takes memory for its cache when the weights are there. Raises ServerLost and
        SyncFailed.
        """
        if asleep:
            await self.wake(WEIGHTS)
        await self._sync("/collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}})
        if asleep:
            await self.wake(KV_CACHE)
        await self._forget_old_keys()
        await self._sync("/update_weight_version", {"new_version": version})
        await self._check_weight_version(version)

    async def workers(self) -> int:
        """Processes that hold the model, or a part of it: each is a rank of its own in a group with the trainer."""
        return int((await self._get("/get_world_size"))["world_size"])

    async def join_group(self, address: str, port: int, *, rank: int, size: int) -> None:
        """Meet the trainer there, and be ranks of its NCCL group, ``rank`` the first. Returns when all have come.

        Raises ServerLost and SyncFailed.
        """
        meeting = {"master_address": address, "master_port": port, "rank_offset": rank, "world_size": size}
        try:
            await self._sync("/init_weight_transfer_engine", {"init_info": {**meeting, "packed": False}})
        except SyncFailed as error:  # the route is there whether it was started for NCCL or not
            raise SyncFailed(f"{error}: {REMEDIES[TRANSFER_ROUTES].format()}") from None

    async def leave_group(self) -> None:
        """Raises ServerLost and SyncFailed."""
        await self._sync("/shutdown_weight_transfer_engine", None)

    async def start_update(self) -> None:
        """Make ready for new weights. Raises ServerLost and SyncFailed."""
        await self._sync("/start_weight_update", None)

    async def receive(self, weights: Sequence[tuple[str, Tensor]]) -> None:
        """Receive these, one after the other, in the group. Raises ServerLost and SyncFailed."""
        told = {
            "names": [name for name, _ in weights],
            "dtype_names": [str(tensor.dtype).removeprefix("torch.") for _, tensor in weights],
            "shapes": [list(tensor.shape) for _, tensor in weights],
        }
        await self._sync("/update_weights", {"update_info": told})

    async def finish_update(self, version: str) -> None:
        """Play with what was received, and forget keys and values of the old weights.

        Raises ServerLost and SyncFailed.
        """
        await self._sync("/finish_weight_update", {"weight_version": version})
        await self._forget_old_keys()
        await self._check_weight_version(version)

    async def _forget_old_keys(self) -> None:
        answer = await self._sync("/reset_prefix_cache", None)
        if not answer.get("success", True):
            raise SyncFailed(
                f"{self.url}: keeps keys and values of the old weights: requests are still under way there"
            )

    async def _check_weight_version(self, version: str) -> None:
        told = (await self._get("/weight_info")).get("weight_version")
        if told != version:
            raise SyncFailed(f"{self.url}: plays version {told} of the weights, not {version}")

    async def is_healthy(self) -> bool:
        try:
            response = await self._connection().get("/health", timeout=CONNECT_SECONDS)
        except httpx.HTTPError:
            return False
        return response.status_code == httpx.codes.OK

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _connection(self) -> httpx.AsyncClient:
        if self._client is None:  # an answer takes as long as its tokens do: the episode has the deadline
            waits = httpx.Timeout(None, connect=CONNECT_SECONDS)
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
            self._client = http_client(base_url=self.url, timeout=waits, limits=limits)
        return self._client

    async def _check_routes(self, routes: tuple[str, ...], lack: str, lora_rank: int) -> None:
        for route in routes:
            if not await self._has(route):
                remedy = REMEDIES[routes].format(rank=lora_rank)
                raise UsageError(f"--vllm-url {self.url}: {lack} ({route} is missing): {remedy}")

    async def _has(self, route: str) -> bool:
        """Whether there is a route that takes a POST: any other method is refused by it, and not found elsewhere."""
        try:
            response = await self._connection().get(route)
        except httpx.HTTPError as error:
            raise UsageError(f"--vllm-url {self.url}: {type(error).__name__}: {error}") from None
        return response.status_code == httpx.codes.METHOD_NOT_ALLOWED

    async def _get(self, route: str) -> dict[str, Any]:
        return await self._ask("GET", route, None)

    async def _post(self, route: str, body: dict[str, Any] | None, seconds: float | None = None) -> dict[str, Any]:
        return await self._ask("POST", route, body, seconds)

    async def _sync(self, route: str, body: dict[str, Any] | None) -> dict[str, Any]:
        """A request about weights: whatever a server that is there says against it is a failure of the sync."""
        try:
            return await self._post(route, body, SYNC_SECONDS)
        except ServerLost as lost:
            if await self.is_healthy():
                raise SyncFailed(str(lost)) from None
            raise
        except ModelError as error:
            raise SyncFailed(str(error)) from None

    async def _ask(
        self, method: str, route: str, body: dict[str, Any] | None, seconds: float | None = None
    ) -> dict[str, Any]:
        waits = httpx.Timeout(seconds, connect=CONNECT_SECONDS)
        try:
            response = await self._connection().request(method, route, json=body, timeout=waits)
        except httpx.HTTPError as error:
            raise ServerLost(f"{self.url}{route}: {type(error).__name__} {error}".rstrip()) from None
        said = " ".join(response.text.split())[:300]
        if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise ServerLost(f"{self.url}{route}: HTTP {response.status_code}: {said}")
        if response.status_code != httpx.codes.OK:
            raise ModelError(f"{self.url}{route}: HTTP {response.status_code}: {said}")
        if "json" not in response.headers.get("content-type", ""):
            return {}
        try:
            answer: dict[str, Any] = response.json()
        except ValueError:
            raise ModelError(f"{self.url}{route}: no JSON: {said}") from None
        return answer


def sampled(answer: Mapping[str, Any], prompt_tokens: int) -> SampledTokens:
    """What ``/v1/completions`` answered. Raises ModelError for an answer without ids, or with other log-probs."""
    try:
        choice = answer["choices"][0]
        ids, logprobs = choice["token_ids"], choice["logprobs"]["token_logprobs"]
        cached = ((answer.get("usage") or {}).get("prompt_tokens_details") or {}).get("cached_tokens") or 0
        finish = choice["finish_reason"]
    except (KeyError, TypeError, IndexError) as error:
        raise ModelError(f"vLLM's answer to /v1/completions has another shape than that of 0.32: {error!r}") from None
    if not ids or len(ids) != len(logprobs) or None in logprobs:
        raise ModelError(f"vLLM drew {len(ids or ())} tokens and told {len(logprobs)} log-probs (finish: {finish})")
    return SampledTokens(ids, logprobs, "stop" if finish == "stop" else "length", min(cached, prompt_tokens))


def check_sampling(sampling: SamplingParams) -> None:
    """Raises UsageError for what would make the log-probs those of another distribution than the one drawn from."""
    if sampling.temperature != 1 or sampling.top_p != 1:
        raise UsageError(
            f"--engine vllm draws at temperature 1 and top_p 1, not at {sampling.temperature} and {sampling.top_p}: "
            "its log-probs are the model's own, and would not be those of the distribution that it draws from"
        )


def check_version(version: str, where: str) -> None:
    """Raises UsageError for a version whose API may be another one."""
    numbers = tuple(map(int, re.findall(r"\d+", version)[:2]))
    if not FIRST <= numbers < BEFORE:
        between = f"{FIRST[0]}.{FIRST[1]} to {BEFORE[0]}.{BEFORE[1] - 1}"
        raise UsageError(f"{where}: vLLM {version}: its API is known for {between} ({TRIED}): install one of these")


# ---- servers that are started here --------------------------------------------------------------------------------

SERVED_NAME = "policy"
MODULE = "vllm.entrypoints.openai.api_server"

CPU = "cpu"
MOST_EPISODES_ON_THE_CPU = 64
_TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")


def server_command(
    python: str,
    model: str,
    port: int,
    place: str,
    *,
    max_length: int,
    dtype: str,
    lora_rank: int,
    seed: int,
    memory_share: float | None = None,
    nccl: bool = False,
) -> list[str]:
    """The command line of a server on ``place``: "cpu", a GPU, or several as "0+1". It ends with this process.

    With a ``memory_share`` it takes so much of each GPU, and can sleep; with ``nccl`` it can receive weights so.
    """
    gpus = 1 if place == CPU else len(place.split("+"))
    command = [python, "-m", vllm_child.__name__, str(os.getpid()), MODULE]
    command += ["--model", model, "--served-model-name", SERVED_NAME]
    command += ["--host", "127.0.0.1", "--port", str(port), "--max-model-len", str(max_length), "--dtype", dtype]
    command += ["--generation-config", "vllm", "--enable-prompt-tokens-details", "--seed", str(seed)]
    command += ["--tensor-parallel-size", str(gpus)]
    if lora_rank:
        command += ["--enable-lora", "--max-lora-rank", str(_lora_rank_above(lora_rank)), "--max-loras", "2"]
    if memory_share is not None:
        command += ["--enable-sleep-mode", "--gpu-memory-utilization", f"{memory_share:.3f}"]
    if nccl:
        command += ["--weight-transfer-config", json.dumps({"backend": "nccl"})]
    if place == CPU:
        command += ["--enforce-eager", "--max-num-seqs", str(MOST_EPISODES_ON_THE_CPU)]
    return command


def server_environment(place: str, lora_rank: int, *, sleeps: bool = False) -> dict[str, str]:
    """Ours, without what torchrun tells its ranks; with what lets weights be changed, and a server sleep."""
    kept = {name: value for name, value in os.environ.items() if name not in _TORCHRUN}
    kept = {name: value for name, value in kept.items() if not name.startswith("TORCHELASTIC_")}
    kept |= {"VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_STREAM": "ext://sys.stderr"}
    kept |= {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"} if lora_rank else {}
    kept |= {"VLLM_SERVER_DEV_MODE": "1"} if sleeps or not lora_rank else {}
    if place == CPU:
        return {"VLLM_CPU_KVCACHE_SPACE": "1", **kept}
    return kept | {"CUDA_VISIBLE_DEVICES": place.replace("+", ",")}


def _lora_rank_above(rank: int) -> int:
    """The next of the ranks that ``--max-lora-rank`` takes."""
    return next((taken for taken in (1, 8, 16, 32, 64, 128, 256, 320, 512) if taken >= rank), rank)
