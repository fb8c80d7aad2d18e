# What the runs here have in common; they read it. They set WORK and SEED.

say() { printf '\n== %s\n' "$*" >&2; }

# step NAME COMMAND...: run once; a later run skips what is done.
step() {
  local name=$1; shift
  if [[ -e $WORK/.done-$name ]]; then say "$name: done before"; return; fi
  say "$name"
  "$@"
  touch "$WORK/.done-$name"
}

draw() {   # draw N FILE: N different records at random, the same ones in every run with this seed
  python3 -c 'import json, random, sys
n, seed, path = sys.argv[1:]
lines = list({json.loads(line)["id"]: line for line in open(path, "rb")}.values())
sys.stdout.buffer.writelines(random.Random(seed).sample(lines, min(int(n), len(lines))))' "$1" "$SEED" "$2"
}
