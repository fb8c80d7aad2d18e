"""A real small model, served by llama.cpp on the CPU, as author, judge and player of the real commands.

What half a billion parameters know is little, so what is asked here is form: questions that pass every check, episodes
that end by the model's doing, a verdict for every answer. Figures on real pages: ``docs/local-models.md``.
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import local_model
import pytest

pytestmark = pytest.mark.slow

Webdancer = Callable[..., "subprocess.CompletedProcess[str]"]

PROSE = {
    "Halvern": """
        Halvern is a harbour town on the northern coast of Orrin. The lighthouse of Halvern was first lit on 3 May 1871.
        The lamp of the lighthouse was made by Edda Morvane. The harbour of Halvern was dug by the people of Borin.
        The ferry from Halvern to Ossik takes 40 minutes.""",
    "Tirsk glassworks": """
        The Tirsk glassworks were founded by Jonas Keld in 1802. The Tirsk glassworks employ 240 people.
        The furnace of the Tirsk glassworks is fired with peat from the moor of Pell.
        Since 1950 the glassworks have belonged to the Orrin Trust.""",
    "Moor of Pell": """
        The moor of Pell covers 1200 hectares between Tirsk and Halvern.
        The rarest bird of the moor is the reed warbler.
        The railway across the moor of Pell was opened in 1888. The museum of Pell is in the old railway station.
        The engineer of the railway was Rasmus Tavel.""",
    "Ossik": """
        The island of Ossik is governed by a council of seven fishers. The highest hill of Ossik is called Skarn.
        The church of Ossik was painted by Lene Dorv in 1634. The fishing fleet of Ossik has 18 boats.
        The school of Ossik was opened by Queen Irma.""",
    "Edda Morvane": """
        The lens maker Edda Morvane was born in Tirsk in 1839. Her teacher was Jonas Keld.
        The first lens of Edda Morvane is shown in the museum of Pell.
        The last lens of Edda Morvane weighs 300 kilograms.""",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The flags by which a command asks the model."""
    local_model.skip_unless_fetched()
    with local_model.serving(tmp_path_factory.mktemp("server") / "log") as url:
        yield ["--model", local_model.NAME, "--base-url", url, "--temperature", "0", "--jobs", "1"]


@pytest.fixture
def pages(tmp_path: Path) -> list[str]:
    """The URLs of a small corpus in ``pages.jsonl``."""
    texts = {title: " ".join(text.split()) for title, text in PROSE.items()}
    found = [{"url": f"http://127.0.0.1/{title}", "title": title, "text": text} for title, text in texts.items()]
    (tmp_path / "pages.jsonl").write_text("".join(json.dumps(page) + "\n" for page in found), "utf-8")
    return [page["url"] for page in found]


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_it_writes_questions_that_pass_every_check(
    webdancer: Webdancer, model: list[str], pages: list[str], tmp_path: Path
) -> None:
    files = ["pages.jsonl", "--out", "qa.jsonl", "--rejects", "rejects.jsonl"]
    run = webdancer("crawlqa", *files, "--ask", "sentences", "--per-page", "2", *model)
    assert run.returncode == 0, run.stderr
    found = records(tmp_path / "qa.jsonl")
    assert len(found) >= 4, (tmp_path / "rejects.jsonl").read_text("utf-8")
    assert {proof["url"] for qa in found for proof in qa["evidence"]} <= set(pages)
    checked = webdancer("lint", "--data", "qa.jsonl", "--out", "good.jsonl")
    assert checked.returncode == 0 and len(records(tmp_path / "good.jsonl")) == len(found), checked.stderr


QUESTIONS = [
    {"question": "Who made the lamp of the lighthouse of Halvern?", "answer": "Edda Morvane"},
    {"question": "How many people do the Tirsk glassworks employ?", "answer": "240"},
    {"question": "Who painted the church of Ossik?", "answer": "Lene Dorv"},
]


@pytest.mark.parametrize("prompts", ["compact", "small"])
def test_no_episode_ends_by_a_failure(
    webdancer: Webdancer, model: list[str], pages: list[str], prompts: str, tmp_path: Path
) -> None:
    asked = "".join(json.dumps(question) + "\n" for question in QUESTIONS)
    bounds = ["--max-calls", "4", "--max-turn-tokens", "200", "--max-context-tokens", "8000"]
    run = webdancer("sample", "--prompts", prompts, *bounds, "--out", "t.jsonl", *model, stdin=asked)
    assert run.returncode == 0, run.stderr
    played = records(tmp_path / "t.jsonl")
    assert len(played) == len(QUESTIONS)
    assert not {episode["ending"] for episode in played} & {"model_error", "tool_abort"}
    if prompts == "small":
        assert sum(bool(episode.get("tools")) for episode in played) >= 2


def test_it_gives_a_verdict_for_every_answer(
    webdancer: Webdancer, model: list[str], pages: list[str], tmp_path: Path
) -> None:
    asked = "".join(json.dumps(question) + "\n" for question in QUESTIONS)
    bounds = ["--max-calls", "4", "--max-turn-tokens", "200", "--max-context-tokens", "8000"]
    judge = ["--judge-model", local_model.NAME, "--no-judge-check", "--prompts", "small"]
    run = webdancer("eval", *judge, *bounds, "--out", "attempts.jsonl", *model, stdin=asked)
    assert run.returncode == 0, run.stderr
    attempts = records(tmp_path / "attempts.jsonl")
    assert len(attempts) == len(QUESTIONS)
    assert {attempt["verdict"]["outcome"] for attempt in attempts} <= {"correct", "wrong"}
