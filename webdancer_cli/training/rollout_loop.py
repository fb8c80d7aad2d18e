"""Where episodes are played: an event loop in a thread of its own, so that the trainer can compute beside them."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

import torch

Result = TypeVar("Result")


class RolloutLoop:
    """One event loop, from the first episode of a run to the last."""

    def __init__(self, device: torch.device):
        self._device = device
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="rollouts", daemon=True)
        self._thread.start()

    def begin(self, work: "Coroutine[Any, Any, Result]") -> "Future[Result]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: "Coroutine[Any, Any, Result]") -> Result:
        """What ``work`` comes to. An interrupt ends it."""
        return wait_for(self.begin(work))

    def close(self) -> None:
        """End whatever is left in the loop, and the thread."""
        self.run(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.set_device(self._device)  # each thread has one of its own
        self._loop.run_forever()


def wait_for(under_way: "Future[Result]") -> Result:
    """What it comes to; who waits no longer ends it."""
    try:
        return under_way.result()
    except BaseException:
        under_way.cancel()
        raise


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
