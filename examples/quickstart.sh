#!/usr/bin/env bash
# From a website to a trained agent: every stage once, as one would pipe them, on two CPU cores, with no key and no network.
# A small fictional web is crawled for training; the agent is then asked about another one, with other names, unseen so far.
# Run it again, and it goes on where it stopped; delete $WORK to start over. `make quickstart` makes the environment first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ./steps.sh   # say, step, draw, draw_levels

WORK=${WORK:-work}                          # everything that is made lies here
SEED=${SEED:-0}                             # draws the worlds, the order of the data and all sampling
PAGES=${PAGES:-400}                         # pages of the training world
EVAL_PAGES=${EVAL_PAGES:-200}               # pages of the unseen world
TYPES=${TYPES:-single_hop,multi_hop}        # questions written from both worlds
ROUNDS=${ROUNDS:-1}                         # rewrites that make a question harder
STYLE=${STYLE:-planned}                     # of the demonstrations' thoughts: they say which steps are left (or plain)
DEMOS=${DEMOS:-92}                          # demonstrations for SFT: few, where questions for RL are many
SFT_STEPS=${SFT_STEPS:-300}
SFT_BATCH=${SFT_BATCH:-8}
SFT_LR=${SFT_LR:-2e-3}
RL_STEPS=${RL_STEPS:-45}
RL_MINUTES=${RL_MINUTES:-15}                # RL ends earlier on a machine that is slower
RL_QUESTIONS=${RL_QUESTIONS:-16}            # questions per step
RL_GROUP=${RL_GROUP:-8}                     # rollouts per question
RL_LR=${RL_LR:-4e-4}
RL_LEVELS=${RL_LEVELS:-1:400,2:520,3:680}    # questions for RL by pages to read: most where there is most to learn
EVAL_QUESTIONS=${EVAL_QUESTIONS:-200}
PORT=${PORT:-8765}                          # of both sites, one after the other: the model learns what a URL looks like
EPISODE="--prompts compact --max-calls 8 --max-context-tokens 768 --max-turn-tokens 96"   # three pages take up to 520

mkdir -p "$WORK"
server=
trap stop_serving EXIT

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

serve() {   # serve DIR: until stop_serving, or the end of this script
  if answers "$PORT"; then
    echo "quickstart: port $PORT is taken; choose another, e.g. PORT=9765" >&2
    exit 2
  fi
  python3 -m http.server "$PORT" --bind 127.0.0.1 --directory "$1" >/dev/null 2>&1 &
  server=$!
  for _ in $(seq 100); do
    if answers "$PORT"; then return; fi
    sleep 0.1
  done
  echo "quickstart: the server on port $PORT did not start" >&2
  exit 2
}

stop_serving() {
  if [[ $server ]]; then
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    server=
  fi
}

worlds() {
  webdancer world --style plain --names train --pages "$PAGES" --seed $((2 * SEED + 1)) --out "$WORK/world" \
    --site-url "http://127.0.0.1:$PORT"
  webdancer world --style plain --names eval --pages "$EVAL_PAGES" --seed $((2 * SEED + 2)) --out "$WORK/unseen" \
    --site-url "http://127.0.0.1:$PORT"
}

browsing_data() {   # the pipe: pages -> questions -> harder questions -> demonstrations -> the good ones
  serve "$WORK/world/site"
  webdancer crawlqa "http://127.0.0.1:$PORT/" --allow-private --max-pages $((9 * PAGES)) --types "$TYPES" \
      --pages "$WORK/pages.jsonl" |
    webdancer e2hqa --web "$WORK/pages.jsonl" --rounds "$ROUNDS" --keep-chain |
    tee "$WORK/qa.jsonl" |
    webdancer sample --web "$WORK/pages.jsonl" --style "$STYLE" $EPISODE |
    webdancer filter --rejects "$WORK/filtered-out.jsonl" > "$WORK/demonstrations.jsonl"
  stop_serving
  draw "$DEMOS" "$WORK/demonstrations.jsonl" > "$WORK/sft.jsonl"
}

check_questions() {   # what is wrong with them, if anything; the report is for reading
  webdancer lint --data "$WORK/qa.jsonl" --rejects "$WORK/bad-qa.jsonl" --report "$WORK/questions.json" --out "$WORK/good-qa.jsonl"
}

unseen_questions() {
  serve "$WORK/unseen/site"
  webdancer crawlqa "http://127.0.0.1:$PORT/" --allow-private --max-pages $((9 * EVAL_PAGES)) --types "$TYPES" \
      --pages "$WORK/unseen-pages.jsonl" |
    webdancer e2hqa --web "$WORK/unseen-pages.jsonl" --rounds "$ROUNDS" --keep-chain > "$WORK/unseen-qa.jsonl"
  stop_serving
  draw "$EVAL_QUESTIONS" "$WORK/unseen-qa.jsonl" > "$WORK/test.jsonl"
}

fine_tune() {
  webdancer sft --data "$WORK/sft.jsonl" --model nano --out "$WORK/sft" \
    --steps "$SFT_STEPS" --batch-size "$SFT_BATCH" --lr "$SFT_LR" --seed "$SEED" --micro-tokens 2048
}

reinforce() {
  draw_levels "$RL_LEVELS" "$WORK/qa.jsonl" > "$WORK/rl.jsonl"
  webdancer rl --data "$WORK/rl.jsonl" --web "$WORK/pages.jsonl" --model "$WORK/sft" --out "$WORK/rl" $EPISODE \
    --minutes "$RL_MINUTES" --steps "$RL_STEPS" --questions "$RL_QUESTIONS" --group "$RL_GROUP" --lr "$RL_LR" --seed "$SEED" \
    --max-rounds 2 --micro-tokens 4096
}

evaluate() {   # evaluate NAME MODEL: greedy, on the questions of the unseen world
  webdancer eval --data "$WORK/test.jsonl" --web "$WORK/unseen-pages.jsonl" --model "$2" $EPISODE \
    --resume --out "$WORK/eval-$1.jsonl" --card "$WORK/card-$1.json"
}

evaluate_closed_book() {   # what the model answers without a single page
  webdancer eval --data "$WORK/test.jsonl" --model "$WORK/rl" --agent none --max-context-tokens 768 --max-turn-tokens 96 \
    --resume --out "$WORK/eval-closed-book.jsonl"
}

step worlds worlds
step browsing-data browsing_data
step check-questions check_questions
step unseen-questions unseen_questions
step eval-base evaluate base nano
step sft fine_tune
step eval-sft evaluate sft "$WORK/sft"
step rl reinforce
step eval-rl evaluate rl "$WORK/rl"
step eval-closed-book evaluate_closed_book
step eval-demonstrator evaluate demonstrator builtin

say "what RL changed, question by question"
webdancer compare "$WORK/eval-sft.jsonl" "$WORK/eval-rl.jsonl" --report "$WORK/sft-rl.json" --out "$WORK/changed.jsonl"

say "the card of the last evaluation, verified: its files, its records, its verdicts and its numbers"
webdancer verify "$WORK/card-rl.json"

say "accuracy on ${EVAL_QUESTIONS} questions about a world that no stage had seen, in $((SECONDS / 60)) min $((SECONDS % 60)) s"
python3 table.py base="$WORK/eval-base.jsonl" sft="$WORK/eval-sft.jsonl" rl="$WORK/eval-rl.jsonl" \
  closed-book="$WORK/eval-closed-book.jsonl" demonstrator="$WORK/eval-demonstrator.jsonl"
webdancer view base="$WORK/eval-base.jsonl" sft="$WORK/eval-sft.jsonl" rl="$WORK/eval-rl.jsonl" \
  closed-book="$WORK/eval-closed-book.jsonl" demonstrator="$WORK/eval-demonstrator.jsonl" \
  "$WORK/sft/metrics.jsonl" "$WORK/rl/metrics.jsonl" "$WORK/rl/rollouts.jsonl" \
  "$WORK/sft.jsonl" "$WORK/test.jsonl" "$WORK/unseen-pages.jsonl" --title "Quickstart" --out "$WORK/report.html"
cat <<END

Everything lies in $(realpath "$WORK"):
  world/ unseen/              the two fictional webs              pages.jsonl         what the crawler read
  qa.jsonl, rl.jsonl          questions with their evidence       demonstrations.jsonl, sft.jsonl
  sft/ rl/                    checkpoints with metrics.jsonl      eval-*.jsonl        every graded episode
  report.html                 all of it to look at, in a browser
END
