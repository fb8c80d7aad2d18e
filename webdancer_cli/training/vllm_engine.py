"""Rollouts by vLLM servers: each holds the whole model; an episode stays with one, which has computed its prefix."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from webdancer_cli.data.pipeline import Say
from webdancer_cli.errors import ModelError
from webdancer_cli.training.distributed import ProcessGroup
from webdancer_cli.training.engine import SampledTokens, SamplingParams
from webdancer_cli.training.shared_weights import SharedWeights
from webdancer_cli.training.vllm_api import PARTS, ServerLost, SyncFailed, VllmServer
from webdancer_cli.training.vllm_processes import ServerProcesses
from webdancer_cli.training.weight_broadcast import WeightBroadcast

TRIES = 3
"""How often a server that is well is asked for one turn."""
PAUSE_SECONDS = 1.0


def give_back_unused(world: ProcessGroup) -> None:
    """Let every rank's allocator give back what it holds of a GPU and does not use. All ranks call it together."""
    if world.device.type == "cuda":
        torch.cuda.empty_cache()
    world.barrier()


class VllmEngine:
    """Implements Engine with servers that all serve one model, as ``base``.

    Every rank has one for its own episodes; new weights are handed over by rank 0, by a ``shared`` folder that the
    servers see, or by ``broadcast``. A server that is gone is asked no more until it has taken new weights again.
    With ``sleeps`` they sleep already, and again whenever the engine is paused.
    """

    def __init__(
        self,
        servers: Sequence[VllmServer],
        base: str,
        shared: SharedWeights | None,
        broadcast: WeightBroadcast | None = None,
        *,
        max_length: int,
        lora: bool,
        world: ProcessGroup,
        say: Say,
        processes: ServerProcesses | None = None,
        sleeps: bool = False,
    ):
        self.max_length = max_length
        self.version = 0
        self._servers = list(servers)
        self._alive = list(servers)
        self._shared = shared
        self._broadcast = broadcast
        self._lora = lora
        self._world = world
        self._say = say
        self._processes = processes
        self._sleeps = self._asleep = sleeps
        self._model = base
        self._adapters: dict[str, str] = {}
        """The adapter that each server has loaded for us, by its URL."""
        self._rows: dict[str, VllmServer] = {}

    async def generate(
        self, prompt_ids: Sequence[int], sampling: SamplingParams, row: str | None = None
    ) -> SampledTokens:
        """See Engine. When a server is lost, the turn is drawn by another one, from the same seed."""
        room = self.max_length - len(prompt_ids)
        if not prompt_ids or room < 1:
            raise ModelError(f"a prompt of {len(prompt_ids)} tokens leaves no room in {self.max_length}")
        fitting = replace(sampling, max_tokens=min(sampling.max_tokens, room))
        tries: Counter[str] = Counter()
        while True:
            server = self._server_of(row)
            tries[server.url] += 1
            try:
                return await server.generate(self._model, prompt_ids, fitting)
            except ServerLost as lost:
                if not await server.is_healthy():
                    self._lose(server, lost)
                elif tries[server.url] == TRIES:
                    raise
                else:
                    await asyncio.sleep(PAUSE_SECONDS)

    def release(self, row: str) -> None:
        self._rows.pop(row, None)

    async def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """See Engine. Raises SyncFailed, on all ranks, when a server that is there did not take them, or none is."""
        failed: SyncFailed | None = None
        folder = None
        if self._broadcast is not None:
            try:
                await self._broadcast.deliver(weights, version)
            except SyncFailed as error:
                failed = error
        elif self._shared is None:
            for _ in weights:  # each is gathered from all ranks
                pass
        else:
            folder = self._shared.write(weights, version)
        if self._asleep:  # what the trainer's allocator keeps unused is theirs now
            give_back_unused(self._world)
        if folder is not None:
            try:
                await self._hand_over(folder, version)
            except SyncFailed as error:
                failed = error
        self._asleep = self._asleep and failed is not None  # some may sleep still
        told = self._world.from_main(lambda: (failed and str(failed), [s.url for s in self._alive], self._model))
        reason, alive, self._model = told
        if reason:
            raise SyncFailed(reason)
        self._alive = [server for server in self._servers if server.url in alive]
        self._rows = {}
        self.version = version

    async def pause(self) -> None:
        """See Engine. Raises SyncFailed, on all ranks, when a server that is there does not sleep."""
        if not self._sleeps:
            return
        self._world.barrier()  # no rank has an episode left
        self._asleep = True  # some of them at least, whatever becomes of the others
        failed = await self._send_to_sleep() if self._world.is_main else ""
        if reason := self._world.from_main(lambda: failed):
            raise SyncFailed(reason)

    async def score(self, ids: Sequence[int]) -> dict[str, list[float]]:
        """See Engine; by the URL of each server."""
        found: dict[str, list[float]] = {}
        for server in list(self._alive):
            try:
                found[server.url] = await server.score(self._model, ids)
            except ServerLost as lost:
                self._lose(server, lost)
        if not found:
            raise SyncFailed(self._none_left)
        return found

    async def aclose(self) -> None:
        """Leave given servers as they were, and end our own."""
        try:
            if self._broadcast is not None and not self._processes:
                await self._broadcast.leave()
            if self._world.is_main and not self._processes:
                await asyncio.gather(*map(self._leave, self._alive), return_exceptions=True)
            for server in self._servers:
                await server.aclose()
        finally:
            if self._processes:
                self._processes.end()
            if self._shared:
                self._shared.remove()

    @property
    def _keeps_weights(self) -> bool:
        """Whether a server needs its old weights again: under new adapters, or when it goes on without us."""
        return self._lora or not self._processes

    @property
    def _none_left(self) -> str:
        return f"none of {', '.join(server.url for server in self._servers)} is left to play with"

    def _server_of(self, row: str | None) -> VllmServer:
        """The server that has an episode's prefix; for a new one that with the fewest."""
        if not self._alive:
            raise ModelError(self._none_left)
        server = self._rows.get(row) if row is not None else None
        if server not in self._alive:
            held = Counter(server.url for server in self._rows.values())
            server = min(self._alive, key=lambda server: held[server.url])
        assert server is not None
        if row is not None:
            self._rows[row] = server
        return server

    def _lose(self, server: VllmServer, lost: ServerLost) -> None:
        if server in self._alive:
            self._alive.remove(server)
            self._adapters.pop(server.url, None)
            left = f"{len(self._alive)} of {len(self._servers)} servers play on"
            self._say(f"{lost}: its episodes go on elsewhere; {left}")

    async def _send_to_sleep(self) -> str:
        """Why a server that is there does not sleep, if there is one."""
        servers = list(self._alive)
        sleeping = (server.sleep(keep_weights=self._keeps_weights) for server in servers)
        for server, outcome in zip(servers, await asyncio.gather(*sleeping, return_exceptions=True), strict=True):
            if isinstance(outcome, ServerLost):
                self._lose(server, outcome)
            elif isinstance(outcome, SyncFailed):
                return str(outcome)
            elif outcome is not None:
                raise outcome
        return ""

    async def _hand_over(self, folder: Path, version: int) -> None:
        """Every server has the new weights when this returns, or is lost. Raises SyncFailed."""
        name = f"{folder.parent.name.lstrip('.')}-{version}"
        done = await asyncio.gather(
            *(self._hand_to(server, folder, name, version) for server in self._servers), return_exceptions=True
        )
        self._alive = []
        lost: list[ServerLost] = []
        for server, outcome in zip(self._servers, done, strict=True):
            if isinstance(outcome, ServerLost):
                lost.append(outcome)
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                self._alive.append(server)
        if not self._alive:
            raise SyncFailed(f"{self._none_left}: {lost[0]}")
        if lost:
            self._say(f"{lost[0]}: plays no more; {len(self._alive)} of {len(self._servers)} servers have the weights")
        if self._lora:
            self._model = name

    async def _hand_to(self, server: VllmServer, folder: Path, name: str, version: int) -> None:
        if not self._lora:
            await server.load_weights(folder, str(version), asleep=self._asleep)
            return
        await server.load_adapter(name, folder, asleep=self._asleep)
        await self._unload(server)
        self._adapters[server.url] = name

    async def _leave(self, server: VllmServer) -> None:
        """As it was given to us."""
        try:
            if self._asleep:
                await server.wake(*PARTS)
        finally:
            await self._unload(server)

    async def _unload(self, server: VllmServer) -> None:
        if old := self._adapters.pop(server.url, None):
            await server.unload_adapter(old)
