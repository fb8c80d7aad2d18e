"""What demonstrations teach, and what RL adds to them, at each number of pages: few and many, its options on and off.

    python tests/bench/rl_gain.py --work gain [--demos 30,100,300] [--variants plain,curriculum] [--rl-steps 45]
    python tests/bench/rl_gain.py --work gain --demos 30,100,300,1000,3000 --thoughts plain,short,long --variants none

The quickstart's worlds and ``nano``. What is done stays done: run it again after a kill, or with more variants. A
variant is a name below, or NAME=FLAGS of ``rl``; ``--thoughts`` are those of the demonstrations (``--style plain``, or
``--cot``). For the curriculum the fine-tuned model plays the questions of RL
first, which costs ``--rated`` times ``--rated-rollouts`` episodes. Prints two tables in Markdown: accuracy on the
unseen world by pages to read, greedy, against SFT and against the first variant (exact McNemar tests); and what the
rollouts of the first and last third of the steps were like.
"""

import argparse
import json
import os
import random
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import Attempt
from webdancer_cli.grading.scores import from_attempts
from webdancer_cli.grading.statistics import mcnemar_exact

EPISODE = shlex.split("--prompts compact --max-calls 8 --max-context-tokens 768 --max-turn-tokens 96")
VARIANTS = {
    "plain": "",
    "curriculum": "--curriculum {attempts}",
    "rest": "--rest 2",
    "stale": "--max-staleness 1",
    "context": "--context keep:2",
    "no-dynamic-sampling": "--dynamic-sampling off",
    "episode-mean": "--loss-mean episodes",
    "no-format-reward": f"--reward {Path(__file__).with_name('answer_reward.py')}:answer_only",
    # With one update a step every ratio is 1, and no clip is ever reached.
    "two-updates": "--minibatches 2",
    "symmetric-clip": "--minibatches 2 --clip-high 0.2",
}
"""Flags of ``rl``: what is switched on, and what each part of DAPO does, by switching it off."""
THOUGHTS = {"plain": "--style plain", "short": "--cot short", "long": "--cot long"}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(site: Path, port: int) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", port), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.shutdown()
        server.server_close()


def webdancer(*words: object) -> None:
    print(f"== {words[0]} {' '.join(map(str, words[1:]))}", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "webdancer_cli", *map(str, words)], check=True, env=os.environ)


def draw(source: Path, count: int, seed: int, target: Path) -> Path:
    """So many of its lines at random, no record twice."""
    if not target.exists():
        lines = list({json.loads(line)["id"]: line for line in source.open("rb")}.values())
        target.write_bytes(b"".join(random.Random(seed).sample(lines, min(count, len(lines)))))
    return target


class Gain:
    """The runs, in a folder; each method makes what it names, unless it is there."""

    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.work = Path(options.work)
        self.work.mkdir(parents=True, exist_ok=True)

    def questions(self, name: str, pages: int, seed: int) -> tuple[Path, Path]:
        """Questions over a world, and its pages."""
        asked, corpus = self.work / f"{name}-qa.jsonl", self.work / f"{name}-pages.jsonl"
        if not asked.exists():
            world, base = self.work / f"{name}-world", self.work / f"{name}-base.jsonl"
            names = "train" if name == "train" else "eval"
            given = ["--style", "plain", "--names", names, "--pages", pages, "--seed", seed, "--out", world]
            webdancer("world", *given, "--site-url", f"http://127.0.0.1:{self.options.port}")
            with serving(world / "site", self.options.port) as url:
                crawl = [url, "--allow-private", "--max-pages", 9 * pages, "--types", "single_hop,multi_hop"]
                webdancer("crawlqa", *crawl, "--pages", corpus, "--out", base)
            part = self.work / f"{name}-qa.part"
            webdancer("e2hqa", "--data", base, "--web", corpus, "--rounds", 1, "--keep-chain", "--out", part)
            part.rename(asked)
        return asked, corpus

    def demonstrations(self, thoughts: str) -> Path:
        asked, corpus = self.questions("train", self.options.pages, 2 * self.options.seed + 1)
        good = self.work / f"demonstrations-{thoughts}.jsonl"
        if not good.exists():
            played, part = self.work / f"played-{thoughts}.jsonl", self.work / "good.part"
            style = [*THOUGHTS[thoughts].split(), *EPISODE, "--resume", "--out", played]
            webdancer("sample", "--data", asked, "--web", corpus, *style)
            webdancer("filter", "--data", played, "--rejects", self.work / "bad.jsonl", "--out", part)
            part.rename(good)
        return good

    def fine_tuned(self, demos: int, thoughts: str) -> Path:
        out = self.work / f"sft-{thoughts}-{demos}"
        data = draw(self.demonstrations(thoughts), demos, self.options.seed, self.work / f"{out.name}.jsonl")
        given = ["--steps", self.options.sft_steps, "--batch-size", 8, "--lr", 2e-3, "--micro-tokens", 2048]
        webdancer(
            "sft", "--data", data, "--out", out, *given, "--seed", self.options.seed, "--save-every", 50, "--resume"
        )
        return out

    def reinforced(self, model: Path, name: str, flags: str) -> Path:
        out = self.work / f"rl-{model.name.removeprefix('sft-')}-{name}"
        asked, corpus = self.questions("train", self.options.pages, 2 * self.options.seed + 1)
        data = draw(asked, self.options.rated, self.options.seed, self.work / "rl.jsonl")
        if "{attempts}" in flags:
            flags = flags.format(attempts=self.attempts(model, data, corpus))
        given = ["--steps", self.options.rl_steps, "--questions", 16, "--group", 8, "--lr", 2e-4, "--max-rounds", 2]
        given += [
            *EPISODE,
            "--micro-tokens",
            4096,
            "--seed",
            self.options.seed,
            "--save-every",
            2,
            "--keep",
            1,
            "--resume",
        ]
        webdancer("rl", "--data", data, "--web", corpus, "--model", model, "--out", out, *given, *shlex.split(flags))
        return out

    def attempts(self, model: Path, data: Path, corpus: Path) -> Path:
        out = self.work / f"attempts-{model.name}.jsonl"
        rollouts = ["--temperature", 1, "-n", self.options.rated_rollouts, "--seed", self.options.seed]
        player = ["--model", model, *EPISODE, "--resume", "--out", out]
        webdancer("sample", "--data", data, "--web", corpus, *player, *rollouts)
        return out

    def evaluated(self, model: Path) -> dict[str, Attempt]:
        """By question."""
        asked, corpus = self.questions("unseen", self.options.eval_pages, 2 * self.options.seed + 2)
        data = draw(asked, self.options.eval_questions, self.options.seed, self.work / "test.jsonl")
        out = self.work / f"eval-{model.name}.jsonl"
        webdancer("eval", "--data", data, "--web", corpus, "--model", model, *EPISODE, "--resume", "--out", out)
        return {attempt.qa_id: attempt for attempt in jsonl.read_records(str(out), Attempt)}


def right(attempt: Attempt) -> bool:
    return attempt.verdict.outcome == "correct"


def against(before: dict[str, Attempt], after: dict[str, Attempt]) -> str:
    gained = sum(right(after[id]) and not right(before[id]) for id in after)
    lost = sum(right(before[id]) and not right(after[id]) for id in after)
    return f"+{gained} -{lost}, p = {mcnemar_exact(gained, lost):.2g}"


def row(name: str, attempts: dict[str, Attempt], *others: dict[str, Attempt] | None) -> str:
    scores = from_attempts(attempts.values())
    whole = scores.overall
    low, high = whole.pass_1_interval
    levels = {row.name: f"{row.correct}/{row.judged}" for row in scores.by_level}
    cells = [f"{whole.correct}/{whole.judged} = {whole.pass_1:.1%} [{low:.1%}, {high:.1%}]"]
    cells += [levels.get(f"level {level}", "-") for level in (1, 2, 3)]
    cells += [f"{sum(attempt.format_ok for attempt in attempts.values()) / len(attempts):.0%}"]
    return f"| {name} | " + " | ".join(cells + [against(other, attempts) if other else "" for other in others]) + " |"


def thirds(out: Path) -> str:
    """What the rollouts of the first and of the last third of the steps were like."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    size = max(1, len(lines) // 3)

    def means(part: Sequence[dict[str, object]]) -> list[str]:
        told = []
        for name in ("accuracy", "kept_share", "tool_calls", "pages", "sampled"):
            values = [float(line[name]) for line in part if line[name] is not None]  # type: ignore[arg-type]
            told.append(f"{sum(values) / len(values):.2f}" if values else "-")
        hard = [line["accuracy_by_level"]["3"] for line in part if "3" in line["accuracy_by_level"]]  # type: ignore
        return [*told, f"{sum(hard) / len(hard):.2f}" if hard else "-"]

    pairs = zip(means(lines[:size]), means(lines[-size:]), strict=True)
    return f"| {out.name.removeprefix('rl-')} | " + " | ".join(f"{a} to {b}" for a, b in pairs) + " |"


def main() -> None:
    parser = argparse.ArgumentParser()
    numbers = {
        "seed": 0,
        "pages": 400,
        "eval-pages": 200,
        "sft-steps": 300,
        "rl-steps": 45,
        "rated": 400,
        "rated-rollouts": 8,
    }
    for name, value in {**numbers, "eval-questions": 200, "port": 8765}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--work", required=True)
    parser.add_argument("--demos", default="30,100,300")
    parser.add_argument("--thoughts", default="short")
    parser.add_argument("--variants", default=",".join(VARIANTS))
    options = parser.parse_args()
    gain = Gain(options)
    rows, curves = [], []
    for thoughts, demos in product(options.thoughts.split(","), map(int, options.demos.split(","))):
        model = gain.fine_tuned(demos, thoughts)
        base = gain.evaluated(model)
        rows.append(row(f"{demos}, {thoughts}: SFT", base, None, None))
        plain = None
        for given in options.variants.split(",") if options.variants != "none" else ():
            name, _, flags = given.partition("=")
            out = gain.reinforced(model, name, flags or VARIANTS[name])
            attempts = gain.evaluated(out)
            rows.append(row(f"{demos}, {thoughts}: RL {name}", attempts, base, plain))
            plain = plain or attempts
            curves.append(thirds(out))
    print("| demonstrations | all | one page | two | three | format | against SFT | against the first variant |")
    print("|---|---|---|---|---|---|---|---|", *rows, sep="\n")
    if curves:
        print("\n| run | accuracy | kept | tool calls | pages | own tokens | accuracy, three pages |")
        print("|---|---|---|---|---|---|---|", *curves, sep="\n")


if __name__ == "__main__":
    main()
