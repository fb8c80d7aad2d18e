#!/bin/bash
# One run of RL over the nodes of a SLURM job: the first TRAIN_NODES train, the others serve. The recipes read it.
#
# A job that is killed or requeued goes on where it was: the servers start from $MODEL, and get the newest weights before
# the first rollout. VLLM_SERVER_DEV_MODE lets whoever reaches a port change a server: keep it inside the cluster.
set -euo pipefail
: "${MODEL:?}" "${DATA:?}" "${WEB:?}" "${OUT:?}" "${GPUS:?}" "${TRAIN_NODES:?}" "${SERVER_GPUS:?}" "${REPLICAS:?}"
PORT=${PORT:-8100}
RENDEZVOUS_PORT=${RENDEZVOUS_PORT:-29500}
LENGTH=${LENGTH:-32768}                   # of an episode, in tokens
QUESTIONS=${QUESTIONS:-32}
GROUP=${GROUP:-16}
STEPS=${STEPS:-200}

mkdir -p "$OUT"
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
trainers=("${nodes[@]:0:TRAIN_NODES}")
servers=("${nodes[@]:TRAIN_NODES}")
listed() { local IFS=,; echo "$*"; }

urls=()
for node in "${servers[@]}"; do
  for ((number = 0; number < GPUS / SERVER_GPUS; number++)); do
    urls+=(--vllm-url "http://$node:$((PORT + number))")
  done
done

# One task for each server; SLURM shows it its own GPUs, and SLURM_LOCALID tells its port.
export VLLM_SERVER_DEV_MODE=1 VLLM_NO_USAGE_STATS=1 MODEL PORT LENGTH SERVER_GPUS
# shellcheck disable=SC2016
srun --overlap --nodes="${#servers[@]}" --nodelist="$(listed "${servers[@]}")" --ntasks-per-node=$((GPUS / SERVER_GPUS)) \
  --gpus-per-task="$SERVER_GPUS" --output="$OUT/vllm-%n-%t.log" \
  bash -c 'exec vllm serve "$MODEL" --served-model-name policy --host 0.0.0.0 --port $((PORT + SLURM_LOCALID)) \
    --max-model-len "$LENGTH" --dtype bfloat16 --generation-config vllm --enable-prompt-tokens-details --seed 0 \
    --tensor-parallel-size "$SERVER_GPUS"' &
serving=$!
trap 'kill "$serving" 2>/dev/null || true' EXIT

for url in "${urls[@]}"; do
  if [[ $url == --vllm-url ]]; then continue; fi
  until curl --silent --fail --noproxy '*' --output /dev/null "$url/health"; do
    if ! kill -0 "$serving" 2>/dev/null; then
      echo "the servers have ended: see $OUT/vllm-*.log" >&2
      exit 1
    fi
    sleep 5
  done
done

srun --overlap --nodes="$TRAIN_NODES" --nodelist="$(listed "${trainers[@]}")" --ntasks-per-node=1 --gpus-per-node="$GPUS" \
  torchrun --nnodes="$TRAIN_NODES" --nproc-per-node="$GPUS" --rdzv-id="$SLURM_JOB_ID" --rdzv-backend=c10d \
  --rdzv-endpoint="${trainers[0]}:$RENDEZVOUS_PORT" \
  -m webdancer_cli rl --data "$DATA" --web "$WEB" --model "$MODEL" --out "$OUT" --resume --save-every 5 --keep 2 --async-save \
  --engine vllm "${urls[@]}" --max-staleness 1 --steps "$STEPS" --questions "$QUESTIONS" --group "$GROUP" \
  --max-context-tokens "$LENGTH" --micro-tokens "$LENGTH" --dtype bfloat16 --checkpointing full --replicas "$REPLICAS"
