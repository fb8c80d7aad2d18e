"""From the trainer's GPU to those of vLLM servers, over NCCL: no file and no shared folder between them.

Rank 0 of the trainer and every worker of every server are one group, in which it sends and they receive. A group has no
place for who is lost: then the run ends, and goes on with ``--resume``. Not tested on GPUs: the tests hold the order of
requests and tensors against a server that receives through a queue in NCCL's place.
"""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar
from urllib.parse import urlsplit

from torch import Tensor

from webdancer_cli.errors import ModelError
from webdancer_cli.training.vllm_api import ServerLost, SyncFailed, VllmServer
from webdancer_cli.training.vllm_nccl import OpenGroup, SendTensors

Result = TypeVar("Result")

REMEDY = "start all servers again, which may wait for what will not come, or use --weight-transfer files"
CHUNK_BYTES = 1 << 30
"""Servers are told of so many bytes of weights at once, and no more are whole at the sender."""


class WeightBroadcast:
    """Hands all weights to all ``servers``. ``open_group`` joins the group as its rank 0."""

    def __init__(self, servers: Sequence[VllmServer], open_group: OpenGroup):
        self._servers = list(servers)
        self._open_group = open_group
        self._send: SendTensors | None = None

    async def deliver(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Every server plays with these weights when this returns.

        Goes through ``weights`` to their end whatever happens: each is gathered from all ranks. Raises SyncFailed.
        """
        left = iter(weights)
        try:
            if self._send is None:
                self._send = await self._join()
            await _all(server.start_update() for server in self._servers)
            for chunk in chunks(left, CHUNK_BYTES):
                await self._send_and_receive(self._send, chunk)
            await _all(server.finish_update(str(version)) for server in self._servers)
        except ServerLost as lost:
            raise SyncFailed(f"{lost}: over NCCL no server can be left out: {REMEDY}") from None
        except (ModelError, OSError, KeyError, ValueError) as error:  # only SyncFailed is told to the other ranks
            raise SyncFailed(f"{type(error).__name__}: {error}: {REMEDY}") from None
        finally:
            for _ in left:
                pass

    async def leave(self) -> None:
        """Let the servers out of the group, as far as they are there."""
        if self._send is not None:
            await asyncio.gather(*(server.leave_group() for server in self._servers), return_exceptions=True)

    async def _join(self) -> SendTensors:
        sizes = [await server.workers() for server in self._servers]
        address, port = _own_address(self._servers), _free_port()
        size = 1 + sum(sizes)
        joining = _all(
            server.join_group(address, port, rank=1 + sum(sizes[:at]), size=size)
            for at, server in enumerate(self._servers)
        )
        return await _while_others(joining, lambda: self._open_group(address, port, size))

    async def _send_and_receive(self, send: SendTensors, chunk: Sequence[tuple[str, Tensor]]) -> None:
        receiving = _all(server.receive(chunk) for server in self._servers)
        await _while_others(receiving, lambda: send([tensor for _, tensor in chunk]))


def chunks(weights: Iterator[tuple[str, Tensor]], most_bytes: int) -> Iterator[list[tuple[str, Tensor]]]:
    """Weights in order, in parts that end with the tensor that fills ``most_bytes``.

    A tensor of two names comes once, under its first: whoever ties them has it from there.
    """
    part: list[tuple[str, Tensor]] = []
    last: Tensor | None = None
    for name, tensor in weights:
        if tensor is last:
            continue
        last = tensor
        part.append((name, tensor))
        if sum(each.nbytes for _, each in part) >= most_bytes:
            yield part
            part = []
    if part:
        yield part


async def _all(asked: Iterable[Awaitable[None]]) -> None:
    await asyncio.gather(*asked)


async def _while_others(others: Awaitable[None], work: Callable[[], Result]) -> Result:
    """What ``work`` gives, which waits for the others, as they do for it.

    Each fails for both. A thread that waits in NCCL for somebody who will never come cannot be ended; it is left alone.
    """
    told: Future[Result] = Future()
    told.set_running_or_notify_cancel()  # from now on nobody can cancel it

    def run() -> None:
        try:
            told.set_result(work())
        except Exception as error:
            told.set_exception(SyncFailed(f"NCCL: {type(error).__name__}: {error}"))

    threading.Thread(target=run, daemon=True).start()
    working = asyncio.wrap_future(told)
    both: set[asyncio.Future[Any]] = {asyncio.ensure_future(others), working}
    done, pending = await asyncio.wait(both, return_when=asyncio.FIRST_EXCEPTION)
    for each in pending:
        each.cancel()
    for each in done:
        each.result()
    return working.result()


def _own_address(servers: Sequence[VllmServer]) -> str:
    """The address of this machine as the servers see it: that by which the last of them is reached."""
    far = [
        host for server in servers if (host := urlsplit(server.url).hostname or "") not in ("127.0.0.1", "localhost")
    ]
    if not far:
        return "127.0.0.1"
    family, kind, _, _, there = socket.getaddrinfo(far[-1], 9, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as probe:
        probe.connect(there)  # sends nothing
        return str(probe.getsockname()[0])


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("", 0))
        return int(free.getsockname()[1])
