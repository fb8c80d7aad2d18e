"""``examples/steps.sh``: what the example runs draw from."""

import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest

STEPS = Path(__file__).parent.parent / "examples" / "steps.sh"


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Ten of level 1, six of level 2, three of level 3; the first stands there twice."""
    levels = [1] * 10 + [2] * 6 + [3] * 3
    lines = [json.dumps({"id": f"q{number}", "level": level}) for number, level in enumerate(levels)]
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join([*lines, lines[0]]) + "\n")
    return path


def drawn(call: str, seed: int = 0) -> list[str]:
    script = f"source '{STEPS}'; SEED={seed} WORK=/nowhere; {call}"
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()


def test_levels_are_drawn_as_asked_for_and_none_twice(questions: Path):
    lines = drawn(f"draw_levels 1:2,2:4,3:5 '{questions}'")
    assert Counter(json.loads(line)["level"] for line in lines) == {1: 2, 2: 4, 3: 3}  # there are no more of level 3
    assert len(set(lines)) == len(lines)
    assert [json.loads(line)["level"] for line in lines] != sorted(json.loads(line)["level"] for line in lines)


def test_a_seed_draws_the_same_and_another_one_others(questions: Path):
    for call in (f"draw 6 '{questions}'", f"draw_levels 1:4,2:3 '{questions}'"):
        assert drawn(call) == drawn(call) != drawn(call, seed=1)
    assert len(drawn(f"draw 100 '{questions}'")) == 19
