"""Parts on the nodes of a Ray cluster: one task for each.

Ray starts a task again whose worker or node is lost; where the part was, it goes on. All nodes see the same files, and
have the package and the keys that a stage needs.
"""

from collections.abc import Iterator

import ray
from ray.exceptions import RayError

from webdancer_cli.cluster.part_runner import ATTEMPTS, PartOutcome, PartTask, run_part
from webdancer_cli.errors import UsageError

LOCK_SECONDS = 60.0
"""So long a part is waited for that somebody else works on: whoever did may be lost, and not yet gone."""


@ray.remote(num_cpus=1, max_retries=ATTEMPTS)
def _part(task: PartTask) -> PartOutcome:
    return run_part(task, lock_seconds=LOCK_SECONDS)


def ray_outcomes(tasks: list[PartTask], at_once: int, address: str) -> Iterator[PartOutcome]:
    """The outcomes as they come, of so many parts at once. ``address`` is "ray" for the cluster that RAY_ADDRESS names
    (or else one on this machine), or that of a cluster. Raises UsageError if there is none."""
    try:
        ray.init(address=None if address == "ray" else address, log_to_driver=False, logging_level="error")
    except (ConnectionError, ValueError, RayError) as error:
        raise UsageError(f"--on {address}: no Ray cluster there: {error}") from None
    waiting = iter(tasks)
    try:
        running = {_part.remote(task): task for _, task in zip(range(at_once), waiting, strict=False)}
        while running:
            done, _ = ray.wait(list(running), num_returns=1)
            for reference in done:
                task = running.pop(reference)
                yield _outcome(reference, task)
            running |= {_part.remote(task): task for _, task in zip(done, waiting, strict=False)}
    finally:
        ray.shutdown()


def _outcome(reference: "ray.ObjectRef[PartOutcome]", task: PartTask) -> PartOutcome:
    try:
        return ray.get(reference)
    except RayError as error:
        return PartOutcome(task.part, failure=str(error).strip().splitlines()[-1])
