#!/bin/bash
# RL of a 32B model at 32 K tokens on sixteen nodes of eight 80 GB GPUs: eight train, eight serve.
#
#     cd examples/cluster && MODEL=/shared/sft DATA=/shared/rl.jsonl WEB=/shared/web.index OUT=/shared/rl sbatch rl_32b_16_nodes.sh
#
# All of them lie where every node sees them under the same path. docs/scale.md has what it should take.
#SBATCH --nodes=16
#SBATCH --gpus-per-node=8
#SBATCH --exclusive
#SBATCH --requeue
#SBATCH --open-mode=append
GPUS=8             # of a node
TRAIN_NODES=8      # the first ones train, the others serve
SERVER_GPUS=4      # of one server: as few as hold the weights and some episodes
REPLICAS=1         # groups of ranks that hold all weights between them
# shellcheck source=rl_nodes.sh
source "${SLURM_SUBMIT_DIR:-.}/rl_nodes.sh"
