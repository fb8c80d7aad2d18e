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

draw_levels() {   # draw_levels LEVEL:N,... FILE: so many records of each level at random, in a random order
  python3 -c 'import json, random, sys
shares, seed, path = sys.argv[1:]
lines, drawn, choice = {json.loads(line)["id"]: line for line in open(path, "rb")}, [], random.Random(seed)
for level, count in (map(int, share.split(":")) for share in shares.split(",")):
    of_level = [line for line in lines.values() if json.loads(line)["level"] == level]
    drawn += choice.sample(of_level, min(count, len(of_level)))
choice.shuffle(drawn)
sys.stdout.buffer.writelines(drawn)' "$1" "$SEED" "$2"
}

draw() {   # draw N FILE: N different records at random, the same ones in every run with this seed
  python3 -c 'import json, random, sys
n, seed, path = sys.argv[1:]
lines = list({json.loads(line)["id"]: line for line in open(path, "rb")}.values())
sys.stdout.buffer.writelines(random.Random(seed).sample(lines, min(int(n), len(lines))))' "$1" "$SEED" "$2"
}
