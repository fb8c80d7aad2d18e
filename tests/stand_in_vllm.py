"""A server with the routes and shapes of vLLM's API that plays a tiny model with our own engine, and fails on demand.

Shapes as vLLM 0.32 answered them (``tests/training/test_vllm.py`` holds the adapter against the real one).
"""

import asyncio
import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from loopback import Handler
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from webdancer_cli.training.engine import SamplingParams
from webdancer_cli.training.models import load_policy_model
from webdancer_cli.training.transformers_engine import TransformersEngine

BASE = "policy"


class StandIn:
    """One server, and what it was asked. Its faults may be set at any time."""

    def __init__(self, folder: Path, tokenizer: PreTrainedTokenizerBase, lora_rank: int = 0, max_length: int = 120):
        model = load_policy_model(str(folder), "float32", lora_rank)
        self.max_length = max_length
        self.engine = TransformersEngine(model, tokenizer, max_length=max_length, rows=256)
        self.lora_rank = lora_rank
        self.version = "0.32.0"
        self.routes = {"/v1/completions", "/v1/load_lora_adapter", "/v1/unload_lora_adapter"}
        self.routes |= {"/collective_rpc", "/reset_prefix_cache", "/update_weight_version", "/sleep", "/wake_up"}
        self.routes |= {"/init_weight_transfer_engine", "/start_weight_update", "/update_weights"}
        self.routes |= {"/finish_weight_update", "/shutdown_weight_transfer_engine"}
        self.left_group = False
        self.wire: queue.Queue[Tensor] = queue.Queue()
        """What is sent in a group comes here, in NCCL's place."""
        self.group: dict[str, Any] = {}
        self.received: dict[str, Tensor] = {}
        self.refuses_updates = False
        """Says no when it is to receive, so that nobody takes what is sent."""
        self.keeps_weights = False
        """Says that it has taken new weights, and has not."""
        self.refuses_weights = False
        self.dies_at: int | None = None
        """Gone for good when so many completions are asked for."""
        self.completions: list[dict[str, Any]] = []
        self.asleep: set[str] = set()
        self.sleepless = False
        """Refuses to sleep."""
        self.diary: list[str] = []
        """What became of it: slept, woke, took weights, was asked; each once in a row."""
        self.adapters: dict[str, str] = {}
        self.weight_version = "default"
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.loop.call_soon_threadsafe(self.loop.stop)

    @property
    def is_dead(self) -> bool:
        return self.dies_at is not None and len(self.completions) >= self.dies_at

    def get(self, path: str) -> tuple[int, Any]:
        if path in self.routes:
            return 405, {"detail": "Method Not Allowed"}
        card = {"id": BASE, "object": "model", "root": "/models/tiny", "parent": None, "max_model_len": self.max_length}
        adapters = [
            {"id": name, "object": "model", "root": root, "parent": BASE, "max_model_len": None}
            for name, root in self.adapters.items()
        ]
        known = {
            "/health": {},
            "/version": {"version": self.version},
            "/v1/models": {"object": "list", "data": [card, *adapters]},
            "/weight_info": {"weight_version": self.weight_version},
            "/get_world_size": {"world_size": 1},
        }
        return (200, known[path]) if path in known else (404, {"detail": "Not Found"})

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        path, _, query = path.partition("?")
        if path not in self.routes:
            return 404, {"detail": "Not Found"}
        if path in ("/sleep", "/wake_up"):
            return self._sleep_or_wake(path, parse_qs(query))
        if path == "/v1/completions":
            self._note("is asked")
            return self._completion(body)
        if self.refuses_weights:
            message = "Call to collective_rpc method failed: Worker failed with error 'no such file'"
            return 500, {"error": {"message": message, "type": "InternalServerError", "param": None, "code": 500}}
        if path == "/shutdown_weight_transfer_engine":
            self.left_group = True
            return 200, {"message": "done"}
        if path in ("/init_weight_transfer_engine", "/start_weight_update", "/update_weights", "/finish_weight_update"):
            return self._transfer(path, body)
        if path == "/v1/load_lora_adapter":
            self._take(Path(body["lora_path"]) / "adapter_model.safetensors")
            self.adapters[body["lora_name"]] = body["lora_path"]
            return 200, f"Success: LoRA adapter '{body['lora_name']}' added successfully."
        if path == "/v1/unload_lora_adapter":
            del self.adapters[body["lora_name"]]
            return 200, f"Success: LoRA adapter '{body['lora_name']}' removed successfully."
        if path == "/collective_rpc":
            assert body["method"] == "reload_weights"
            self._take(Path(body["kwargs"]["weights_path"]) / "model.safetensors")
            return 200, {"results": [None]}
        if path == "/update_weight_version":
            self.weight_version = body["new_version"]
            return 200, {"success": True, "new_version": body["new_version"]}
        return 200, {"success": True}

    def _transfer(self, path: str, body: Any) -> tuple[int, Any]:
        """The routes of ``vllm/entrypoints/rl/online/api_router.py``."""
        if path == "/init_weight_transfer_engine":
            self.group = body["init_info"]
        elif path == "/start_weight_update":
            self.received = {}
        elif path == "/update_weights":
            if self.refuses_updates:
                return 500, {"error": {"message": "CUDA out of memory", "code": 500}}
            told = body["update_info"]
            for name, dtype, shape in zip(told["names"], told["dtype_names"], told["shapes"], strict=True):
                tensor = self.wire.get(timeout=30)
                assert (str(tensor.dtype), list(tensor.shape)) == (f"torch.{dtype}", shape)
                self.received[name] = tensor.clone()
        else:
            self._load(dict(self.received))
            self.weight_version = body["weight_version"]
        return 200, {"message": "done"}

    def _sleep_or_wake(self, path: str, asked: dict[str, list[str]]) -> tuple[int, Any]:
        """Level 2 forgets the weights. Awake is who has all memory again."""
        if path == "/wake_up":
            self._note(f"wakes {', '.join(asked['tags'])}")
            self.asleep -= set(asked["tags"])
            return 200, {"status": "sleeping" if self.asleep else "awake", "tags": asked["tags"]}
        (level,) = asked["level"]
        self._note(f"sleeps {level}")
        if self.sleepless:
            return 500, {"error": {"message": "Sleep mode is not enabled in the model config", "code": 500}}
        self.asleep = {"weights", "kv_cache"}
        if level == "2":
            for parameter in self.engine.model.parameters():
                parameter.data.zero_()
        return 200, {"status": "sleeping", "level": int(level)}

    def _note(self, line: str) -> None:
        if self.diary[-1:] != [line]:
            self.diary.append(line)

    def _take(self, file: Path) -> None:
        self._load({_own_name(name): tensor for name, tensor in load_file(file).items()})

    def _load(self, weights: dict[str, Tensor]) -> None:
        assert "weights" not in self.asleep
        self._note("takes weights")
        if not self.lora_rank:
            weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
        if not self.keeps_weights:
            self._within(self.engine.load_weights(_each(weights), 0))

    def _completion(self, body: Any) -> tuple[int, Any]:
        assert not self.asleep
        self.completions.append(body)
        if body["model"] not in {BASE, *self.adapters}:
            return 404, {"error": {"message": f"The model `{body['model']}` does not exist.", "code": 404}}
        if len(body["prompt"]) >= self.max_length:
            return 400, {"error": {"message": "max_tokens must be at least 1, got 0.", "code": 400}}
        choice: dict[str, Any] = {"index": 0, "text": "", "stop_reason": None, "prompt_token_ids": None}
        if "prompt_logprobs" in body:
            (scores,) = self._within(self.engine.score(body["prompt"])).values()
            told = [{str(id): {"logprob": p, "rank": 1}} for id, p in zip(body["prompt"][1:], scores, strict=True)]
            choice |= {"finish_reason": "length", "logprobs": None, "prompt_logprobs": [None, *told]}
        else:
            stops = frozenset(body["stop_token_ids"])
            sampling = SamplingParams(max_tokens=body["max_tokens"], stop_ids=stops, seed=body["seed"])
            sample = self._within(self.engine.generate(body["prompt"], sampling))
            choice |= {"finish_reason": sample.finish, "token_ids": sample.ids, "prompt_logprobs": None}
            choice["logprobs"] = {"token_logprobs": sample.logprobs, "tokens": [], "text_offset": []}
        usage = {"prompt_tokens": len(body["prompt"]), "prompt_tokens_details": {"cached_tokens": 3}}
        return 200, {"id": "cmpl-1", "object": "text_completion", "choices": [choice], "usage": usage}

    def _within(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def _handler(self) -> type[Handler]:
        stand_in = self

        class Answering(Handler):
            def do_GET(self) -> None:
                self._tell(stand_in.get, self.path)

            def do_POST(self) -> None:
                body = self.posted() if self.headers.get("Content-Length", "0") != "0" else None
                self._tell(stand_in.post, self.path, body)

            def _tell(self, answer: Any, *asked: Any) -> None:
                if not stand_in.is_dead:
                    status, value = answer(*asked)
                if stand_in.is_dead:  # no status line, nothing: as of a process that was killed
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Type", "text/plain" if isinstance(value, str) else "application/json")
                content = value.encode() if isinstance(value, str) else json.dumps(value).encode()
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        return Answering


@contextmanager
def standing_in(
    count: int, folder: Path, tokenizer: PreTrainedTokenizerBase, lora_rank: int = 0, max_length: int = 120
) -> Iterator[list[StandIn]]:
    """So many servers of the model in ``folder``, for as long as a block runs."""
    servers = [StandIn(folder, tokenizer, lora_rank, max_length) for _ in range(count)]
    try:
        yield servers
    finally:
        for server in servers:
            server.close()


def _own_name(name: str) -> str:
    """From a name in a file to that in the model: peft leaves the adapter's own name out."""
    short = name.removeprefix("base_model.model.")
    return short.replace(".lora_A.", ".lora_A.default.").replace(".lora_B.", ".lora_B.default.")


def _each(weights: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    yield from weights.items()
