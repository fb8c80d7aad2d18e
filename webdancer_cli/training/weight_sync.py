"""From the trainer to those who play: new weights, and the proof that they have arrived."""

import time
from typing import Any

from webdancer_cli.training.canary import Canary, StaleWeights
from webdancer_cli.training.checkpoint_writer import full_weights
from webdancer_cli.training.distributed import ProcessGroup
from webdancer_cli.training.engine import Engine
from webdancer_cli.training.rollout_loop import RolloutLoop
from webdancer_cli.training.run import TrainingRun


def sync_weights(
    loop: RolloutLoop, engine: Engine, run: TrainingRun, canary: Canary, version: int, world: ProcessGroup
) -> dict[str, Any]:
    """Let ``engine`` play with the weights as they are now; what is to be known of it, as metrics.

    All ranks call it together. Raises WebdancerError, on all of them, when a copy of the model does not play with these
    weights.
    """
    started = time.perf_counter()
    loop.run(engine.load_weights(full_weights(run.trainable.model, run.writer.kinds), version))
    with run.trainable.measuring():
        own = run.trainable.scorer(run.layout.batch([canary.tokens])).tolist()
    theirs = loop.run(engine.score(canary.tokens.ids))
    # Ranks may play with different copies: all of them know of all, so that they end together.
    copies = {
        f"rank {rank}, {name}" if world.size > 1 else name: logprobs
        for rank, told in enumerate(world.gather(theirs))
        for name, logprobs in told.items()
    }
    if engine.version != version:
        raise StaleWeights(f"the engine plays version {engine.version} of the weights, not {version}")
    gap = canary.check(own, copies)
    return {"canary_gap": gap, "copies": len(copies), "seconds_sync": round(time.perf_counter() - started, 3)}
