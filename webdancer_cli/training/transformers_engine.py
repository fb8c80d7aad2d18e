"""The in-process engine: batched decoding over all live episodes with one cache, for small models and small machines.

Requests join and leave between steps (continuous batching). A step is one forward pass over the new token of every row
that is decoding, with a guess at those after it (``drafts``), and a chunk of every row that has a prompt or an
observation to read. A row keeps its keys and values between the turns of its episode, so that a turn computes the new
ids only; and a new row that begins like another one, with the system prompt or the whole prompt of its group, has that
part copied.
"""

import asyncio
import heapq
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, islice
from typing import Any

import torch
from torch import Tensor

from webdancer_cli.errors import ModelError, UsageError
from webdancer_cli.training.attention import attending, window_of
from webdancer_cli.training.cache_memory import bytes_per_position, most_cache_bytes
from webdancer_cli.training.drafts import Drafts, History
from webdancer_cli.training.engine import Finish, SampledTokens, SamplingParams
from webdancer_cli.training.kv_cache import KVCache, SlotAttention, StepLayout
from webdancer_cli.training.models import ADAPTER_MARK
from webdancer_cli.training.models import max_length as longest
from webdancer_cli.training.sampling import sample_tokens
from webdancer_cli.training.stop_strings import StopStrings
from webdancer_cli.transcript.grammar import STOP_STRINGS

CHUNK_TOKENS = 256
"""Most tokens of one row that a step reads."""

STEP_TOKENS = 4096
"""Most tokens of all rows that a step reads."""

DRAFT_TOKENS = 3
"""Most tokens of a row's guess."""

SHARED_TOKENS = 32
"""From here on what a new row shares with another one is copied, and waited for while that one still reads it."""

NEIGHBOURS = 16
"""Rows with which a new one is compared: those that came last."""


@dataclass
class _Row:
    """A slot of the cache, held by an episode, and the ids whose keys and values lie in it."""

    slot: int
    ids: list[int] = field(default_factory=list)
    last_step: int = 0
    history: History = field(default_factory=History)


@dataclass(eq=False)
class _Request:
    """A call under way. ``ids`` is the prompt and what was drawn; the first ``computed`` of them are in the cache."""

    name: str
    ids: list[int]
    sampling: SamplingParams
    limit: int
    random: random.Random
    answer: asyncio.Future[SampledTokens]
    logprobs: list[float] = field(default_factory=list)
    slot: int = -1
    history: History = field(default_factory=History)
    computed: int = 0
    cached: int = 0

    @property
    def pending(self) -> int:
        return len(self.ids) - self.computed

    @property
    def drawn(self) -> list[int]:
        return self.ids[len(self.ids) - len(self.logprobs) :]

    @property
    def left(self) -> int:
        """How many more ids may be drawn."""
        return self.limit - len(self.logprobs)


@dataclass(frozen=True)
class _Reading:
    """What a step reads of a row: so many pending ids, and a guess at what will be drawn after the last of them."""

    request: _Request
    pending: int
    draft: list[int] = field(default_factory=list)

    @property
    def count(self) -> int:
        return self.pending + len(self.draft)

    @property
    def draws(self) -> bool:
        """Whether nothing is left to be read, so that a token can be drawn."""
        return self.pending == self.request.pending


class TransformersEngine:
    """Implements Engine with a transformers model, on any device.

    ``rows`` caps the live episodes; when memory allows fewer, further requests wait. The model is used as it is: call
    ``load_weights`` (or ``refresh``, if it is trained in place) after every update. One event loop, one thread.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        max_length: int,
        rows: int = 128,
        cache_bytes: int | None = None,
        chunk_tokens: int = CHUNK_TOKENS,
        draft_tokens: int = DRAFT_TOKENS,
    ):
        self.model = model
        self.max_length = min(max_length, longest(model.config) or max_length)
        window = window_of(model.config)
        self._window = window if window is not None and window < self.max_length else None
        """What its layers have to say, where an episode may be longer."""
        self._device = next(model.parameters()).device
        row_bytes = self.max_length * bytes_per_position(model, model.dtype.itemsize)
        self.rows = max(1, min(rows, (cache_bytes or most_cache_bytes(self._device)) // row_bytes))
        self.steps = 0
        """Forward passes so far."""
        self.version = 0
        self.chunk_tokens = chunk_tokens
        self._stop_strings = StopStrings(tokenizer, STOP_STRINGS)
        self._waiting: list[_Request] = []
        self._running: list[_Request] = []
        self._common_prefix: list[int] = []
        """Ids with which all calls under way begin, and those that ended since last there was none."""
        self._driver: asyncio.Task[None] | None = None
        self._drafts = Drafts(draft_tokens)
        self._narrow = 1 + draft_tokens
        """Tokens up to which a row's attention is that of one that decodes."""
        self._calls = 0
        self._cache = KVCache(self.rows, self.max_length)
        self._clear()

    async def generate(
        self, prompt_ids: Sequence[int], sampling: SamplingParams, row: str | None = None
    ) -> SampledTokens:
        """See Engine. Raises ModelError when the prompt is empty or leaves no room."""
        room = self.max_length - len(prompt_ids)
        if not prompt_ids or room < 1:
            raise ModelError(f"a prompt of {len(prompt_ids)} tokens leaves no room in {self.max_length}")
        request = self._request(list(prompt_ids), sampling, min(sampling.max_tokens, room), row)
        self._waiting.append(request)
        if self._driver is None or self._driver.done():
            self._driver = asyncio.create_task(self._drive())
            self._driver.add_done_callback(self._tell_failure)
        try:
            return await request.answer
        finally:
            self._leave(request)
            if row is None:
                self.release(request.name)

    def release(self, row: str) -> None:
        held = self._held.pop(row, None)
        if held is not None:
            heapq.heappush(self._free, held.slot)

    def refresh(self) -> None:
        """The weights have changed: keys and values of the old ones are dropped. No call may be under way."""
        if self._running or self._waiting:
            raise RuntimeError(f"{len(self._running) + len(self._waiting)} calls are under way while weights change")
        self._clear()

    async def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """See Engine. The weights are copied in place into the engine's own model."""
        self.refresh()
        own = self.model.state_dict()
        adapters = {name for name in own if ADAPTER_MARK in name}
        missing = adapters or set(own)
        strange = []
        for name, tensor in weights:
            if name in own:
                own[name].copy_(tensor)
                missing.discard(name)
            else:
                strange.append(name)
        if strange or missing:
            raise RuntimeError(
                f"weights came that the model does not know {strange[:3]} or lacks {sorted(missing)[:3]}"
            )
        self.version = version

    async def pause(self) -> None:
        """Weights and cache stay where they are."""

    @torch.inference_mode()
    async def score(self, ids: Sequence[int]) -> dict[str, list[float]]:
        """See Engine: there is one copy."""
        self.model.eval()
        ids_T = torch.tensor(ids, device=self._device)
        logprobs_TV = self.model(input_ids=ids_T[None], use_cache=False).logits[0, :-1].float().log_softmax(-1)
        return {"the engine in this process": logprobs_TV.gather(1, ids_T[1:, None])[:, 0].tolist()}

    async def aclose(self) -> None:
        """Nothing is held but memory."""

    def _clear(self) -> None:
        """Take every slot back. The buffers stay as they are: a slot's new owner writes before it reads."""
        self._free = list(range(self.rows))
        self._held: dict[str, _Row] = {}
        self._drafts.forget()

    def _request(self, ids: list[int], sampling: SamplingParams, limit: int, row: str | None) -> _Request:
        self._calls += 1
        name = row if row is not None else f"call {self._calls}"
        if any(other.name == name for other in (*self._running, *self._waiting)):
            raise ValueError(f"row {name!r} is already generating")
        answer = asyncio.get_running_loop().create_future()
        return _Request(name, ids, sampling, limit, random.Random(sampling.seed), answer)

    def _leave(self, request: _Request) -> None:
        """A call is over, or its caller was cancelled: what it has computed stays for the episode's next turn."""
        for queue in (self._running, self._waiting):
            if request in queue:
                queue.remove(request)
        if request.slot >= 0 and (held := self._held.get(request.name)) is not None:
            held.ids, held.last_step = request.ids[: request.computed], self.steps

    async def _drive(self) -> None:
        """Step while there is anything to do; tools run between the steps."""
        self.model.eval()
        while self._running or self._waiting:
            self._admit()
            self._step()
            await asyncio.sleep(0)

    def _tell_failure(self, driver: asyncio.Task[None]) -> None:
        """When the driver ends early, every caller gets its error: nobody awaits the driver itself."""
        for request in (*self._running, *self._waiting):
            if driver.cancelled():
                request.answer.cancel()
            elif (error := driver.exception()) and not request.answer.done():
                request.answer.set_exception(error)

    def _admit(self) -> None:
        """Give slots to waiting calls, first come first served; episodes that hold one already pass."""
        still_waiting = []
        for request in self._waiting:
            held = self._held.get(request.name) or self._begin(request)
            if held is None:
                still_waiting.append(request)
                continue
            request.slot = held.slot
            request.history = held.history
            request.history.begin(request.ids)
            request.computed = request.cached = min(_common(held.ids, request.ids), len(request.ids) - 1)
            prefix = self._common_prefix if self._running else request.ids
            self._common_prefix = prefix[: _common(prefix, request.ids)]
            self._running.append(request)
        self._waiting = still_waiting

    def _begin(self, request: _Request) -> _Row | None:
        """A row for a new episode, with what it shares with another row; none as long as that is still being read."""
        if not self._free and self._running:
            return None
        shared, ready, slot = self._like(request.ids)
        if shared - ready >= SHARED_TOKENS:
            return None
        row = self._new_row(request.name)
        if row is not None and ready >= SHARED_TOKENS:
            self._cache.copy(slot, row.slot, ready)
            row.ids = request.ids[:ready]
        return row

    def _like(self, ids: list[int]) -> tuple[int, int, int]:
        """How many first ids the row that is most like these shares with them, how many it has read, and its slot."""
        under_way = {request.name: request for request in self._running}
        best = (0, 0, 0)
        for name in islice(reversed(self._held), NEIGHBOURS):
            row, request = self._held[name], under_way.get(name)
            shared = _common(request.ids if request else row.ids, ids)
            best = max(best, (shared, min(shared, request.computed) if request else shared, row.slot))
        return best

    def _new_row(self, name: str) -> _Row | None:
        """A free slot. Only when nothing else could go on does the longest idle episode give its slot away."""
        if not self._free and not self._running and self._held:
            self.release(min(self._held, key=lambda held: self._held[held].last_step))
        if not self._free:
            return None
        row = self._held[name] = _Row(heapq.heappop(self._free))
        return row

    def _step(self) -> None:
        self.steps += 1
        readings = self._readings()
        logits_RV = self._forward(readings)
        drawing = [reading for reading in readings if reading.draws]
        for reading in readings:
            reading.request.computed += reading.pending
        self._take(drawing, logits_RV)

    def _readings(self) -> list[_Reading]:
        """What this step reads; rows that only decode come first."""
        readings = []
        budget = STEP_TOKENS
        for request in sorted(self._running, key=lambda request: request.pending > 1):
            count = min(request.pending, self.chunk_tokens, budget)
            if count > 0:
                budget -= count
                draft = self._draft(request, budget) if request.logprobs else []
                budget -= len(draft)
                readings.append(_Reading(request, count, draft))
        return sorted(readings, key=lambda reading: reading.count > self._narrow)

    def _draft(self, request: _Request, budget: int) -> list[int]:
        """A guess at what comes after the id that this row has drawn last; one id more can be drawn than is guessed."""
        return self._drafts.of(request.ids, request.history, min(request.left - 1, budget))

    @torch.inference_mode()
    def _forward(self, readings: Sequence[_Reading]) -> Tensor:
        """Logits after the last pending id, and after each id of its guess, of every row that draws, in their order."""
        starts = [reading.request.computed for reading in readings]
        counts = [reading.count for reading in readings]
        slots = [reading.request.slot for reading in readings]
        plan = StepLayout(slots, starts, counts, self._device, len(self._common_prefix), self._narrow)
        self._cache.reserve(1 + max(slots), max(map(sum, zip(starts, counts, strict=True))))
        ids: list[int] = []
        kept: list[int] = []
        for reading, start in zip(readings, starts, strict=True):
            ids += [*reading.request.ids[start : start + reading.pending], *reading.draft]
            if reading.draws:
                kept += range(len(ids) - 1 - len(reading.draft), len(ids))
        attention = SlotAttention(plan, self._cache)
        with attending(self.model.config, attention):
            output = self.model(
                input_ids=torch.tensor([ids], device=self._device),
                position_ids=plan.positions_N[None],
                use_cache=False,
                logits_to_keep=torch.tensor(kept, dtype=torch.long, device=self._device),
            )
        if self._window is not None and self._window not in attention.windows:
            raise UsageError(f"its layers do not say how wide their window is ({self._window})")
        return output.logits[0]

    def _take(self, readings: Sequence[_Reading], logits_RV: Tensor) -> None:
        """Draw one id for every row that draws, and one more for each id of its guess that was drawn; answer the calls
        that end with it."""
        firsts = accumulate((1 + len(reading.draft) for reading in readings), initial=0)
        drawing = [(reading, first) for reading, first in zip(readings, firsts, strict=False)]
        along = 0
        while drawing:
            ids, logprobs = sample_tokens(
                logits_RV[[first + along for _, first in drawing]],
                [reading.request.sampling.temperature for reading, _ in drawing],
                [reading.request.sampling.top_p for reading, _ in drawing],
                [reading.request.random.random() for reading, _ in drawing],
            )
            agreeing = []
            for (reading, first), id, logprob in zip(drawing, ids, logprobs, strict=True):
                goes_on = self._add(reading.request, id, logprob)
                if goes_on and reading.draft[along : along + 1] == [id]:
                    reading.request.computed += 1  # its keys and values are in the cache already
                    agreeing.append((reading, first))
            drawing = agreeing
            along += 1

    def _add(self, request: _Request, id: int, logprob: float) -> bool:
        """What was drawn becomes part of the text; whether its turn goes on."""
        request.ids.append(id)
        request.logprobs.append(logprob)
        stopped = id in request.sampling.stop_ids or self._stop_strings.end(request.drawn, id)
        if stopped or not request.left:
            self._finish(request, "stop" if stopped else "length")
            return False
        return True

    def _finish(self, request: _Request, finish: Finish) -> None:
        self._running.remove(request)
        self._drafts.learn(request.ids, len(request.ids) - len(request.logprobs))
        if not request.answer.done():
            request.answer.set_result(SampledTokens(request.drawn, request.logprobs, finish, request.cached))


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    """Length of the common prefix."""
    shared, most = 0, min(len(left), len(right))
    while shared < most:  # by halves: slices are compared at once
        middle = (shared + most + 1) // 2
        if left[shared:middle] == right[shared:middle]:
            shared = middle
        else:
            most = middle - 1
    return shared
