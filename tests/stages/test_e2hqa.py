"""e2hqa: each question once, harder where it can be, kill-safe; whatever lines come in."""

import asyncio
import json
from pathlib import Path

import pytest

from webdancer_cli import config, jsonl
from webdancer_cli.errors import ModelError, UsageError
from webdancer_cli.flow import Tally
from webdancer_cli.records import QA, Link, Page
from webdancer_cli.stages import e2hqa
from webdancer_cli.synthesis.rewriter import Rewriter
from webdancer_cli.synthesis.roles import Hardener
from webdancer_cli.web.source import Web

CHAIN = ["Ada", "Borin", "Celka", "Dorvim"]
"""Each is the teacher of the next."""


def url(name: str) -> str:
    return f"http://127.0.0.1/{name}"


def page(name: str, teacher: str | None) -> Page:
    sentence = f"The teacher of {name} is {teacher}."
    links = [Link(url=url(teacher), text=teacher, sentence=sentence)] if teacher else []
    return Page(url=url(name), title=name, text=f"{name} is a person. {sentence if teacher else ''}", links=links)


QUESTIONS = [
    {"question": "Who is the pupil that Ada liked best?", "answer": "Zorn", "id": "q0", "mine": 7},
    {"question": "What is two and two?", "answer": "4", "id": "q1"},
    {"question": "Who is older, Celka or not?", "answer": "Yorn", "id": "q2", "tag": "crawlqa"},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pages = [page(name, teacher) for name, teacher in zip(CHAIN, [None, *CHAIN], strict=False)]
    jsonl.write_all(str(tmp_path / "pages.jsonl"), pages)
    (tmp_path / "qa.jsonl").write_text("".join(json.dumps(line) + "\n" for line in QUESTIONS))
    return tmp_path


def options(folder: Path, **more: object) -> config.E2hqa:
    given = {"data": str(folder / "qa.jsonl"), "out": str(folder / "hard.jsonl"), **more}
    return config.E2hqa(web=str(folder / "pages.jsonl"), **given)


def run(options: config.E2hqa, rewriter: Hardener | None = None) -> Tally:
    return asyncio.run(e2hqa.run(options, rewriter or Rewriter(options)))


def written(folder: Path) -> list[QA]:
    return list(jsonl.read(str(folder / "hard.jsonl"), QA))


def test_a_question_is_rewritten_as_often_as_asked_and_as_possible(folder: Path) -> None:
    tally = run(options(folder, rounds=2))
    first, second, third = written(folder)
    assert first.question == "Who is the pupil that the teacher of the teacher of Celka liked best?"
    assert (first.answer, first.level, first.parent, first.tag, first.extra) == ("Zorn", 3, "q0", "e2hqa", {"mine": 7})
    assert [step.entity for step in first.chain] == ["Ada", "Borin"]
    assert [proof.title for proof in first.evidence] == ["Celka", "Borin"]  # in the order of reading
    assert second.question == "What is two and two?" and second.chain == []
    assert third.question == "Who is older, the teacher of Dorvim or not?"  # nobody is taught by Dorvim
    assert {name: tally.counts[name] for name in ("rewritten", "partly rewritten", "unchanged")} == {
        "rewritten": 1,
        "partly rewritten": 1,
        "unchanged": 1,
    }
    assert tally.exit_code == 0


def test_what_passes_unchanged_is_not_touched(folder: Path) -> None:
    run(options(folder, rounds=1))
    lines = (folder / "hard.jsonl").read_text().splitlines()
    assert json.loads(lines[1]) == QUESTIONS[1]


def test_keep_chain_writes_every_level(folder: Path) -> None:
    run(options(folder, rounds=3, keep_chain=True))
    assert [qa.level for qa in written(folder)] == [0, 2, 3, 4, 0, 0, 2]
    assert {qa.parent for qa in written(folder) if qa.chain} == {"q0", "q2"}
    for qa in written(folder):
        assert qa.chain == [] or qa.chain[-1].after == qa.question


@pytest.mark.parametrize("keep_chain", [False, True])
def test_a_run_stopped_anywhere_resumes_to_the_same_file(folder: Path, keep_chain: bool) -> None:
    whole = options(folder, rounds=3, keep_chain=keep_chain)
    run(whole)
    expected = (folder / "hard.jsonl").read_bytes()
    for cut in (0, 10, *(at + 1 for at, byte in enumerate(expected) if byte == ord("\n"))):
        (folder / "hard.jsonl").write_bytes(expected[:cut])
        run(options(folder, rounds=3, keep_chain=keep_chain, resume=True))
        assert (folder / "hard.jsonl").read_bytes() == expected, cut


def test_harder_questions_can_be_made_harder_again_and_resumed(folder: Path) -> None:
    run(options(folder, rounds=1))
    again = {"data": str(folder / "hard.jsonl"), "out": str(folder / "harder.jsonl")}
    run(options(folder, **again))
    expected = (folder / "harder.jsonl").read_bytes()
    run(options(folder, **again, resume=True))
    assert (folder / "harder.jsonl").read_bytes() == expected
    first = next(jsonl.read(str(folder / "harder.jsonl"), QA))
    assert [step.entity for step in first.chain] == ["Ada", "Borin"] and first.level == 3


def test_a_model_that_fails_is_a_failure_of_that_question_only(folder: Path) -> None:
    class Failing:
        name = "failing"

        async def rewrite(self, qa: QA, web: Web) -> QA | None:
            if qa.id == "q1":
                raise ModelError("HTTP 500")
            return None

    tally = run(options(folder, rejects=str(folder / "rejects.jsonl")), Failing())
    assert [qa.id for qa in written(folder)] == ["q0", "q2"]
    assert tally.reasons == {"model_error": 1} and tally.exit_code == 1


def test_limit_counts_questions_read(folder: Path) -> None:
    run(options(folder, limit=2))
    assert len(written(folder)) == 2


def test_the_corpus_is_not_overwritten(folder: Path) -> None:
    with pytest.raises(UsageError, match="that is the corpus"):
        run(options(folder, out=str(folder / "pages.jsonl")))
