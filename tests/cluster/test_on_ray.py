"""A map on three Ray nodes of this machine, while workers, nodes and stages are killed.

Needs the extra ``cluster``; it is run with ``python -m pytest tests/cluster/test_on_ray.py -m slow``.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from webdancer_cli import cli
from webdancer_cli.cluster.map_folder import MapFolder
from webdancer_cli.options import config
from webdancer_cli.stages import split

pytest.importorskip("ray", reason="needs webdancer[cluster]")
KILLS, PARTS = 20, 72  # parts for longer than it takes to kill so often, on a fast machine, too


@pytest.fixture
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    for _ in range(2):
        made.add_node(num_cpus=1)
    yield made
    made.shutdown()


def processes(*marks: str) -> list[int]:
    """The processes whose command line holds all of these words."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if all(mark in words for mark in marks):
            found.append(int(entry.name))
    return found


def kill_one(cluster: Any, folder: Path, draw: random.Random) -> bool:
    """A stage with its worker or without it, or a node with all on it (and another one comes); never the first node."""
    stages = processes("webdancer_cli.cluster.child", str(folder))
    if not stages:
        return False
    victim = draw.choice(["stage", "worker", "node"])
    if victim == "node":
        cluster.remove_node(draw.choice(list(cluster.worker_nodes)), allow_graceful=False)
        cluster.add_node(num_cpus=1)
        return True
    stage = draw.choice(stages)
    try:
        words = Path(f"/proc/{stage}/cmdline").read_bytes().decode().split("\0")
        parent = next(int(word.removeprefix("--parent=")) for word in words if word.startswith("--parent="))
        os.kill(stage if victim == "stage" else parent, signal.SIGKILL)
    except (OSError, StopIteration):
        return False  # it has just ended
    return True


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_twenty_kills_of_workers_nodes_and_stages_leave_nothing_out_and_nothing_twice(
    tmp_path: Path, cluster: Any
) -> None:
    data, whole = tmp_path / "qa.jsonl", tmp_path / "whole"
    data.write_text(
        "".join(
            json.dumps(
                {"id": f"q{n}", "question": f"Who built the mill of Vel{n // 2}{'?' * (n % 5)}", "answer": "Ada"}
            )
            + "\n"
            for n in range(6000)
        )
    )
    cli.run_command(["lint", "--data", str(data), "--out", str(whole), "--quiet"])
    split.run(config.SplitOptions(data=str(data), by="wording", parts=PARTS, out=str(tmp_path / "parts")))
    command = [sys.executable, "-m", "webdancer_cli", "map", "--in", "parts", "--out", "done", "--resume", "-q"]
    command += ["--on", "ray", "-j", "3", "--", "lint"]
    environment = os.environ | {"RAY_ADDRESS": cluster.address}
    draw, kills, folder = random.Random(7), 0, MapFolder(str(tmp_path / "done"))
    while not all(folder.is_done(part.name) for part in (tmp_path / "parts").iterdir()):
        process = subprocess.Popen(command, cwd=tmp_path, env=environment)
        while process.poll() is None:
            time.sleep(draw.random())
            kills += kills < KILLS and kill_one(cluster, tmp_path, draw)
    done = [line for part in (tmp_path / "done").glob("part-*") for line in part.read_bytes().splitlines()]
    assert sorted(done) == sorted(whole.read_bytes().splitlines())
    assert kills == KILLS
