"""The recipes for several nodes: run with a double of SLURM that only writes down what it is told to start."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from webdancer_cli import cli
from webdancer_cli.training.vllm_api import server_command

CLUSTER = Path(__file__).parents[2] / "examples" / "cluster"
SCRIPTS = sorted(CLUSTER.glob("*.sh"))
RECIPES = [("rl_7b_2_nodes.sh", 2, 1, 1), ("rl_32b_16_nodes.sh", 16, 8, 4)]

DOUBLES = {
    "scontrol": 'printf "node%s\\n" $(seq 1 "$NODES")',
    "curl": "exit 0",
    # A server lasts until it is ended; what trains comes to its end.
    "srun": """python3 -c 'import json, os, sys; print(json.dumps(sys.argv[1:]))' "$@" >> "$STARTED"
[[ $* == *torchrun* ]] || exec sleep 60""",
}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_sound(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)
    if checker := shutil.which("shellcheck"):
        subprocess.run([checker, "--external-sources", f"--source-path={CLUSTER}", script], check=True)


@pytest.mark.parametrize(("name", "nodes", "training", "server_gpus"), RECIPES)
def test_a_recipe_starts_servers_and_a_trainer_that_knows_them_all(
    tmp_path: Path, name: str, nodes: int, training: int, server_gpus: int
) -> None:
    for program, body in DOUBLES.items():
        (tmp_path / program).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / program).chmod(0o755)
    text = (CLUSTER / name).read_text()
    assert f"#SBATCH --nodes={nodes}\n" in text
    started = tmp_path / "started"
    given = {
        "MODEL": "/shared/sft",
        "DATA": "/shared/rl.jsonl",
        "WEB": "/shared/web.index",
        "OUT": str(tmp_path / "rl"),
    }
    given |= {"SLURM_JOB_NODELIST": "node[1-9]", "SLURM_JOB_ID": "7", "SLURM_SUBMIT_DIR": str(CLUSTER)}
    given |= {"NODES": str(nodes), "STARTED": str(started), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["bash", CLUSTER / name], check=True, env=os.environ | given, timeout=60)
    serve, train = sorted(
        (json.loads(line) for line in started.read_text().splitlines()), key=lambda w: "torchrun" in w
    )

    assert f"--nodes={nodes - training}" in serve and f"--ntasks-per-node={8 // server_gpus}" in serve
    served = serve[-1]
    ours = server_command("py", "m", 1, "0", max_length=1, dtype="bfloat16", lora_rank=0, seed=0)
    for flag in [word for word in ours if word.startswith("--")]:  # a server that rl starts itself has these
        assert flag in served or flag == "--model", flag

    at = train.index("webdancer_cli")
    words = train[at + 1 :]
    urls = [words[at + 1] for at, word in enumerate(words) if word == "--vllm-url"]
    hosts = [f"node{number}" for number in range(training + 1, nodes + 1)]
    assert urls == [f"http://{host}:{8100 + number}" for host in hosts for number in range(8 // server_gpus)]
    assert {f"--nnodes={training}", "--nproc-per-node=8", "--rdzv-endpoint=node1:29500"} <= set(train[:at])
    assert cli.run_command([words[0], "--show-config", *words[1:]]) == 0


def test_every_recipe_is_named_where_scale_is_written_about() -> None:
    told = (CLUSTER.parents[1] / "docs" / "scale.md").read_text("utf-8")
    assert not [name for name, *_ in RECIPES if name not in told]
    assert re.search(r"python tests/bench/placement\.py", told)
