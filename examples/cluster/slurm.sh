#!/bin/bash
# One part of a map in each job of an array. First, once, where the files are:
#
#     webdancer split --data qa.jsonl -n 100 --out parts
#     sbatch --array=0-99%20 slurm.sh parts done sample --web web.index --model qwen --base-url http://gpu1:8000/v1
#     cat done/* > trajectories.jsonl
#
# A job that is killed, preempted or requeued goes on where it was. What is left when all have ended is told by
# `webdancer map --in parts --out done --resume -- sample …`, which does it, too.
#SBATCH --requeue
#SBATCH --ntasks=1
#SBATCH --open-mode=append
set -euo pipefail
parts=$1 done=$2
shift 2
exec webdancer map --in "$parts" --out "$done" --on "part:$SLURM_ARRAY_TASK_ID" --resume --quiet -- "$@"
