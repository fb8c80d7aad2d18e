"""``examples/cluster/slurm.sh`` on a real SLURM: two node daemons on this machine, of which one is lost with all on it.

Needs root, and Debian's packages slurmctld, slurmd, slurm-client and munge; run with ``python -m pytest
tests/cluster/test_on_slurm.py -m slow``. Everything of it lies in a temporary folder, on ports of its own.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from webdancer_cli import cli
from webdancer_cli.cluster.map_folder import MapFolder
from webdancer_cli.options import config
from webdancer_cli.stages import split

ROOT = Path(__file__).parent.parent.parent
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "munged")
PARTS = 8
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") for name in PROGRAMS),
        reason="needs root and a SLURM that is installed",
    ),
]
CONFIGURATION = """
ClusterName=webdancer
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SlurmdTimeout=10
JobRequeue=1
NodeName=one NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 State=UNKNOWN
NodeName=two NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP
"""


class Slurm:
    """A controller and two nodes; all that is started is ended by its process id."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.environment = os.environ | {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}:/usr/sbin",
            "PYTHONPATH": str(ROOT),
        }
        self._daemons: list[subprocess.Popen[bytes]] = []
        for name in ("state", "spool-one", "spool-two", "bin"):
            (folder / name).mkdir()
        (folder / "bin" / "webdancer").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m webdancer_cli "$@"\n')
        (folder / "bin" / "webdancer").chmod(0o755)
        text = CONFIGURATION.format(host=socket.gethostname().partition(".")[0], folder=folder, ports=free_ports(3))
        (folder / "slurm.conf").write_text(text)

    def start(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        named = [f"--{kind}-file={self.folder}/munge.{kind}" for kind in ("pid", "log", "seed")]
        self._daemon("munged", "-F", "-f", f"-S{self.folder}/munge.socket", f"--key-file={key}", *named)
        wait_for(lambda: (self.folder / "munge.socket").exists())
        self._daemon("slurmctld", "-D")
        self.node("one")
        self.node("two")
        wait_for(lambda: self.asked("sinfo", "-h", "-o", "%T").split() == ["idle"])

    def node(self, name: str) -> None:
        self._daemon("slurmd", "-D", "-N", name)

    def _daemon(self, *words: str) -> None:
        with open(self.folder / f"{words[0]}.out", "ab") as log:
            self._daemons.append(subprocess.Popen(words, env=self.environment, stdout=log, stderr=log))

    def asked(self, *words: str) -> str:
        return subprocess.run(words, env=self.environment, capture_output=True, text=True, cwd=self.folder).stdout

    def lose_node(self, name: str) -> None:
        """Its daemons, then all that runs on it: nobody is left to say what became of the job."""
        jobs = [pid for pid in processes_with(f"SLURMD_NODENAME={name}", "environ") if self._is_mine(pid)]
        steps = {parent_of(pid) for pid in jobs} - {0, 1, os.getpid()} - set(jobs)
        nodes = [pid for pid in processes_with(f"slurmd -D -N {name}", "cmdline") if self._is_mine(pid)]
        for pid in (*nodes, *steps, *jobs):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _is_mine(self, pid: int) -> bool:
        return f"SLURM_CONF={self.folder}" in read(pid, "environ")

    def stop(self) -> None:
        for name in ("one", "two"):
            self.lose_node(name)
        for daemon in reversed(self._daemons):
            daemon.kill()
            daemon.wait()


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""


def parent_of(pid: int) -> int:
    status = [line.split() for line in read(pid, "status").splitlines()]
    return next((int(words[1]) for words in status if words and words[0] == "PPid:"), 0)


def processes_with(words: str, name: str) -> list[int]:
    pids = [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]
    return [pid for pid in pids if pid != os.getpid() and words in read(pid, name)]


def wait_for(holds: Callable[[], bool], seconds: float = 300) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Slurm]:
    made = Slurm(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def test_an_array_job_of_which_a_node_is_lost_makes_the_whole(tmp_path: Path, slurm: Slurm) -> None:
    data, whole, done = tmp_path / "qa.jsonl", tmp_path / "whole", MapFolder(str(tmp_path / "done"))
    asked = [f"Who built the mill of Vel{n // 2}{'?' * (n % 5)}" for n in range(2000)]
    lines = [json.dumps({"id": f"q{n}", "question": question, "answer": "Ada"}) for n, question in enumerate(asked)]
    data.write_text("\n".join(lines))
    cli.run_command(["lint", "--data", str(data), "--out", str(whole), "--quiet"])
    split.run(config.SplitOptions(data=str(data), by="wording", parts=PARTS, out=str(tmp_path / "parts")))
    script = str(ROOT / "examples" / "cluster" / "slurm.sh")
    said = slurm.asked("sbatch", f"--array=0-{PARTS - 1}", script, "parts", "done", "lint")
    assert said.startswith("Submitted batch job")
    wait_for(lambda: bool(processes_with("SLURMD_NODENAME=two", "environ")))
    slurm.lose_node("two")
    wait_for(lambda: "down" in slurm.asked("sinfo", "-h", "-n", "two", "-o", "%T"))
    slurm.node("two")
    wait_for(lambda: not slurm.asked("squeue", "-h").strip(), 600)
    outputs = [line for part in (tmp_path / "done").glob("part-*") for line in part.read_bytes().splitlines()]
    assert all(done.is_done(part.name) for part in (tmp_path / "parts").iterdir())
    assert sorted(outputs) == sorted(whole.read_bytes().splitlines())
