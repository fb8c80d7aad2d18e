"""A server that a run has started does not outlive it, whatever killed the run and whatever the server was doing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

STARTER = """
import os, subprocess, sys, time
command = [sys.executable, "-c", sys.argv[1], str(os.getpid()), sys.argv[2]]
server = subprocess.Popen(command, start_new_session=True)
print(server.pid, flush=True)
time.sleep(600)
"""
CHILD = """
from webdancer_cli.training import vllm_child
vllm_child.POLL_SECONDS = vllm_child.END_SECONDS = 0.1
vllm_child.serve()
"""
SERVERS = {
    "serves": "import time; open(__file__ + '.up', 'w'); time.sleep(600)",
    "heeds no signal": "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "open(__file__ + '.up', 'w'); time.sleep(600)",
    "has a process": "import subprocess, sys, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); open(__file__ + '.up', 'w'); "
    "signal.pause()",
}


def group_is_gone(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return True
    return all(
        stat.read_text().rpartition(")")[2].split()[0] == "Z"
        for stat in Path("/proc").glob("[0-9]*/stat")
        if stat.exists() and int(stat.read_text().rpartition(")")[2].split()[2]) == leader
    )


def wait_for(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("server", SERVERS)
def test_a_killed_run_leaves_no_server(server: str, tmp_path: Path):
    (tmp_path / "served.py").write_text(SERVERS[server])
    command = [sys.executable, "-c", STARTER, CHILD, "served"]
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path})
    leader = int(run.stdout.readline())
    wait_for((tmp_path / "served.py.up").exists)
    run.send_signal(signal.SIGKILL)
    run.wait()
    wait_for(lambda: group_is_gone(leader))


def test_a_server_whose_run_died_before_it_looked_ends_at_once(tmp_path: Path):
    (tmp_path / "served.py").write_text(SERVERS["serves"])
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    command = [sys.executable, "-c", CHILD, str(gone.pid), "served"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, timeout=60)
    assert done.returncode == -signal.SIGTERM
