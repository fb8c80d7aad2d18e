"""The checkpoints of one run: when they are written, when they count, which ones stay.

``out/step-N`` is a plain Hugging Face folder, and in its ``state/`` lies what ``--resume`` needs. It is written beside,
as ``out/.partial``, and appears by one rename: a run that is killed leaves the whole of a checkpoint or nothing of it.
"""

import json
import shutil
import warnings
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from peft import PeftModel
from safetensors import SafetensorError
from torch.distributed.checkpoint.api import CheckpointException
from transformers import PreTrainedModel

from webdancer_cli.errors import WebdancerError
from webdancer_cli.options.config import TrainingOptions
from webdancer_cli.training import checkpoint
from webdancer_cli.training.checkpoint_writer import CheckpointWriter
from webdancer_cli.training.state import LONE_REMARK, TrainingState, without_remarks


class RunSaver:
    """Saves one run. All ranks have one and call it together.

    ``write`` and ``commit`` are apart, so that a step's line is in the metrics before its checkpoint counts.
    """

    def __init__(self, options: TrainingOptions, writer: CheckpointWriter, model: PreTrainedModel | PeftModel):
        self._writer = writer
        self._model = model
        self._world = writer.world
        self._out = writer.setup.out
        self._partial = self._out / checkpoint.PARTIAL
        self._best = self._out / checkpoint.BEST
        self._replaced_best = self._out / checkpoint.REPLACED_BEST
        self._every, self._keep, self._async = options.save_every, options.keep, options.async_save
        self._step: int | None = None
        """Of the checkpoint that is written, and does not count yet."""
        self._writing: Future[Any] | None = None
        self._group = _own_group() if self._async and self._world.size > 1 else None
        if self._async:  # it saves in a thread, which a filter for a while would not reach
            warnings.filterwarnings("ignore", message=LONE_REMARK)

    def is_due(self, step: int, steps: int) -> bool:
        return bool(self._every) and step % self._every == 0 and step < steps

    def has(self, step: int) -> bool:
        """Whether a checkpoint of this step counts."""
        return checkpoint.is_finished(checkpoint.step_folder(self._out, step))

    def write(self, state: TrainingState, measures: dict[str, Any]) -> dict[str, float]:
        """Write a checkpoint, all but its name; what is to be known of it, as metrics. ``measures`` are for its card.

        Raises WebdancerError when it cannot be written.
        """
        self.commit()
        self._world.from_main(self._begin)
        values = state.values(self._world)
        self._write_tensors(state)
        run_file = self._partial / checkpoint.STATE / checkpoint.RUN_FILE
        with _told(self._partial):
            metrics = self._writer.write(self._partial, self._model, state.step, measures)
            if self._world.is_main:
                if not run_file.parent.is_dir():  # what saves in the background may not have come to it yet
                    run_file.parent.mkdir(exist_ok=True)
                run_file.write_text(json.dumps(values), encoding="utf-8")
        self._step = state.step
        return metrics

    def commit(self, *, wait: bool = True) -> None:
        """Let what was written count. Without ``wait``, only if nothing of it is still under way."""
        if self._step is None or not (wait or self._is_written()):
            return
        if self._writing:
            with _told(self._partial):
                self._writing.result()
        step, self._step, self._writing = self._step, None, None
        self._world.barrier()
        if self._world.is_main:
            self._partial.rename(checkpoint.step_folder(self._out, step))
            checkpoint.remove_states(self._out, self._keep)

    def keep_best(self, state: TrainingState, loss: float, measures: dict[str, Any]) -> None:
        """Write the model as ``out/best`` if its held-out ``loss`` is the lowest so far."""
        if state.best_loss is not None and loss >= state.best_loss:
            return
        state.best_loss = loss
        self.commit()
        self._world.from_main(self._begin)
        with _told(self._partial):
            self._writer.write(self._partial, self._model, state.step, measures)
        if self._world.is_main:
            if self._best.is_dir():
                self._best.rename(self._replaced_best)
            self._partial.rename(self._best)
            shutil.rmtree(self._replaced_best, ignore_errors=True)

    def recover_best(self, state: TrainingState) -> None:
        """Of a run that goes on: have the best checkpoint back if the run was killed while another took its place. One
        that is not there, or that is of a step that the run has before it again, does not count."""
        best_step = self._world.from_main(self._step_of_best)
        if best_step is None or best_step > state.step:
            state.best_loss = None

    def _step_of_best(self) -> int | None:
        if self._replaced_best.is_dir():
            if self._best.is_dir():
                shutil.rmtree(self._replaced_best)
            else:
                self._replaced_best.rename(self._best)
        manifest = self._best / checkpoint.MANIFEST
        return int(json.loads(manifest.read_text(encoding="utf-8"))["step"]) if manifest.is_file() else None

    def finish(self, state: TrainingState, measures: dict[str, Any]) -> dict[str, float]:
        """Write the result of the run, which counts when ``commit_result`` has moved it in."""
        self.commit()
        self._world.from_main(self._begin)
        with _told(self._partial):
            return self._writer.write(self._partial, self._model, state.step, measures)

    def commit_result(self, *, best: bool = False) -> None:
        """Let the result count: what ``finish`` wrote, or the best checkpoint."""
        if not self._world.is_main:
            return
        if best:
            shutil.rmtree(self._partial)
            shutil.copytree(self._best, self._partial)
        checkpoint.move_in(self._partial, self._out)
        for folder in (self._best, self._replaced_best):
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Wait for what is still written in the background, whatever became of the run: nobody else may write there."""
        if self._writing:
            wait([self._writing])

    def _begin(self) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)
        with _told(self._partial):
            self._partial.mkdir()

    def _is_written(self) -> bool:
        """Whether all ranks have written their shards."""
        ready = self._writing is None or self._writing.done()
        return all(self._world.gather(ready))

    def _write_tensors(self, state: TrainingState) -> None:
        """Every rank its shards; asynchronous saving copies them first, and writes while the training goes on."""
        folder = self._partial / checkpoint.STATE
        alone = self._world.size == 1
        with _told(self._partial), without_remarks():
            if self._async:
                group = self._group
                saving: Any = dcp.async_save(state.tensors(), checkpoint_id=folder, process_group=group, no_dist=alone)
                self._writing = saving
            else:
                dcp.save(state.tensors(), checkpoint_id=folder, no_dist=alone)


def _own_group() -> Any:
    """Connections of its own for what writes beside the training: two users of one group would mix up their calls."""
    return dist.new_group(backend="gloo")


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """What cannot be written is told in one line: raises WebdancerError."""
    try:
        yield
    except (OSError, SafetensorError, CheckpointException) as error:
        first = next(iter(error.failures.values()))[0] if isinstance(error, CheckpointException) else error
        reason = (isinstance(first, OSError) and first.strerror) or " ".join(str(first).split())[:200]
        remedy = "make room there; --resume goes on from the last checkpoint"
        raise WebdancerError(f"{folder.parent}: a checkpoint could not be written: {reason}: {remedy}") from None
