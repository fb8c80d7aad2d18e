"""verify: a whole run passes, and one changed byte anywhere in card, attempts, corpus or tape is named."""

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from webdancer_cli.cli import run_command
from webdancer_cli.data import jsonl
from webdancer_cli.data.pipeline import RunStats
from webdancer_cli.data.records import Page, Usage
from webdancer_cli.errors import UsageError
from webdancer_cli.grading.model_judge import ModelJudge
from webdancer_cli.llm.client import Reply
from webdancer_cli.options import config
from webdancer_cli.prompts import load
from webdancer_cli.report.card import flat
from webdancer_cli.stages import verify as stage
from webdancer_cli.tape import Tape

NAMES = ["Velmora", "Kemlo", "Talrano", "Nimmek", "Orrin", "Dolvek"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of the demonstrator with its card: two of its questions have no page, and end without an answer."""
    monkeypatch.chdir(tmp_path)
    pages = [
        Page(url=f"http://127.0.0.1/{name}", title=name, text=f"{name} was founded in 1200.") for name in NAMES[:4]
    ]
    jsonl.write_records("pages.jsonl", pages)
    lines = [
        {
            "question": f"When was {name} founded?",
            "answer": "1200",
            "topic": name[0],
            "evidence": [{"url": f"http://127.0.0.1/{name}", "title": name, "quote": f"{name} was founded in 1200."}],
        }
        for name in NAMES
    ]
    Path("qa.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    files = ["--data", "qa.jsonl", "--web", "pages.jsonl", "--out", "attempts.jsonl", "--card", "card.json"]
    assert run_command(["eval", *files, "--model", "builtin", "--date", "2026-01-01", "--quiet"]) == 0
    return tmp_path


def verify(**more: Any) -> tuple[RunStats, list[str]]:
    stats = asyncio.run(stage.run(config.VerifyOptions(file="card.json", out="faults.jsonl"), **more))
    return stats, [json.loads(line)["fault"] for line in Path("faults.jsonl").read_bytes().splitlines()]


def card() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("card.json").read_bytes())
    return found


def test_a_whole_run_is_verified(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    stats, faults = verify()
    assert faults == [] and stats.exit_code == 0 and stats.counts["verified"] == 6
    assert card()["scores"]["overall"]["correct"] == 4 and card()["scores"]["conduct"]["failures"] == {"no_answer": 2}
    assert set(card()["files"]) == {"data", "web"}
    assert run_command(["verify", "card.json"]) == 0 and "0 faults" in capfd.readouterr().err


def test_two_runs_have_the_same_card(folder: Path) -> None:
    before = Path("card.json").read_bytes(), Path("attempts.jsonl").read_bytes()
    files = ["--data", "qa.jsonl", "--web", "pages.jsonl", "--out", "attempts.jsonl", "--card", "card.json"]
    run_command(["eval", *files, "--model", "builtin", "--date", "2026-01-01", "--quiet"])
    assert before == (Path("card.json").read_bytes(), Path("attempts.jsonl").read_bytes())


def changed(leaf: Any) -> Any:
    """The value with its last byte changed."""
    if isinstance(leaf, bool):
        return not leaf
    if isinstance(leaf, int | float):
        return leaf + 1
    if isinstance(leaf, str):
        return leaf[:-1] + ("0" if leaf[-1:] != "0" else "1")
    return "x"


def with_change(value: Any, at: str, path: str) -> Any:
    """A copy of a JSON value in which the leaf at a dotted path is another."""
    if at == path:
        return changed(value)
    if isinstance(value, dict):
        return {name: with_change(part, f"{at}.{name}".lstrip("."), path) for name, part in value.items()}
    if isinstance(value, list):
        return [with_change(part, f"{at}.{number}", path) for number, part in enumerate(value)]
    return value


def test_each_changed_field_of_the_card_is_named(folder: Path) -> None:
    whole = card()
    paths = [path for path, _ in flat({name: part for name, part in whole.items() if name != "digests"})]
    assert len(paths) > 100
    for path in paths:
        edited = with_change(whole, "", path)
        Path("card.json").write_text(json.dumps(edited))
        _, faults = verify()
        assert any(fault.startswith(f"card: {path}: ") for fault in faults), (path, faults)


def test_a_field_that_was_added_or_taken_away_is_named(folder: Path) -> None:
    edited = card() | {"remark": "better"}
    del edited["not_scored"]
    Path("card.json").write_text(json.dumps(edited))
    _, faults = verify()
    assert [fault.split(": ")[1] for fault in faults] == ["not_scored", "remark"]


def test_a_byte_of_any_field_of_the_predictions_is_found_by_its_line(folder: Path) -> None:
    whole = Path("attempts.jsonl").read_bytes()
    lines = whole.splitlines(keepends=True)
    for field in json.loads(lines[1]):
        at = lines[1].index(f'"{field}":'.encode()) + len(field) + 4
        line = lines[1][:at] + bytes([lines[1][at] ^ 1]) + lines[1][at + 1 :]
        Path("attempts.jsonl").write_bytes(b"".join([lines[0], line, *lines[2:]]))
        _, faults = verify()
        assert "attempts.jsonl:2: is not the line that was scored" in faults, field
    Path("attempts.jsonl").write_bytes(b"".join(lines[:-1]))
    _, faults = verify()
    assert "attempts.jsonl: has 5 lines, and had 6" in faults
    assert any(fault.startswith("scores: overall.judged: the card has 6, and 5 comes out") for fault in faults)


def test_a_verdict_that_was_edited_is_graded_anew_and_the_scores_do_not_come_out(folder: Path) -> None:
    text = Path("attempts.jsonl").read_text()
    Path("attempts.jsonl").write_text(text.replace('"outcome":"wrong"', '"outcome":"correct"', 1))
    stats, faults = verify()
    assert any("is 'correct' by match, and graded anew 'wrong' by match" in fault for fault in faults)
    assert any(fault.startswith("scores: overall.correct: the card has 4, and 5 comes out") for fault in faults)
    assert stats.exit_code == 1


@pytest.mark.parametrize(("name", "field"), [("qa.jsonl", "files.data"), ("pages.jsonl", "files.web")])
def test_a_changed_or_missing_file_is_named(folder: Path, name: str, field: str) -> None:
    Path(name).write_bytes(Path(name).read_bytes().replace(b"1200", b"1201", 1))
    assert verify()[1] == [f"{field}: {name}: sha256 is not the card's"]
    Path(name).unlink()
    assert verify()[1] == [f"{field}: {name}: is not there any more"]


class Scripted:
    """A judge that says so once per question; afterwards its tape does."""

    model = "j"

    async def complete(self, messages: Any, *, rollout: int = 0, schema: Any = None) -> Reply:
        return Reply(text='{"reason": "same", "verdict": "correct"}', usage=Usage(calls=1))


def test_each_exchange_of_the_tape_is_verified(folder: Path) -> None:
    with Tape("run.tape") as tape:
        for number in range(3):
            asyncio.run(tape.record_or_replay("llm", [number], "m", str, lambda: _said("hello")))
        digests = list(tape.digests())
    edited = card() | {
        "tape": {"path": "run.tape", "exchanges": " ".join(f"{key}:{found[:8]}" for key, found in digests)}
    }
    Path("card.json").write_text(json.dumps(edited))

    def about_tape() -> list[str]:
        return [fault for fault in verify()[1] if fault.startswith("run.tape")]

    assert about_tape() == []
    for column, value in {"kind": "web", "label": "n", "recorded_at": "x", "value": b"x"}.items():
        with sqlite3.connect("run.tape") as database:
            (before,) = database.execute(f"SELECT {column} FROM exchanges WHERE key = ?", (digests[1][0],)).fetchone()
            database.execute(f"UPDATE exchanges SET {column} = ? WHERE key = ?", (value, digests[1][0]))
        assert about_tape() == [f"run.tape: exchange {digests[1][0]}: is not what was recorded"], column
        with sqlite3.connect("run.tape") as database:
            database.execute(f"UPDATE exchanges SET {column} = ? WHERE key = ?", (before, digests[1][0]))
    with sqlite3.connect("run.tape") as database:
        database.execute("DELETE FROM exchanges WHERE key = ?", (digests[1][0],))
    assert about_tape() == [f"run.tape: exchange {digests[1][0]}: is not on the tape any more"]


async def _said(text: str) -> str:
    return text


def test_verdicts_of_a_model_are_asked_for_again_or_told_to_be_taken_as_they_stand(folder: Path) -> None:
    judge = ModelJudge(Scripted(), load("default"), "judge.md")
    text = Path("attempts.jsonl").read_text().splitlines()
    graded = json.loads(text[0]) | {"answer": "the year 1200", "verdict": {"outcome": "wrong", "method": judge.method}}
    Path("attempts.jsonl").write_text("\n".join([json.dumps(graded), *text[1:]]) + "\n")
    stats, _ = verify()
    assert stats.remark.startswith("1 verdicts of a model are taken as they stand")
    asked: list[str] = []
    stats, faults = verify(judging=lambda prompt: asked.append(prompt) or judge)  # type: ignore[func-returns-value]
    assert asked == ["judge.md"] and stats.remark == ""
    assert any("is 'wrong' by model:j judge" in fault and "graded anew 'correct'" in fault for fault in faults)


@pytest.mark.parametrize("content", [None, "{}", "[1]", "nothing"])
def test_what_is_no_card_is_refused(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match=r"x\.json"):
        asyncio.run(stage.run(config.VerifyOptions(file=str(path))))
    with pytest.raises(UsageError, match="which card"):
        asyncio.run(stage.run(config.VerifyOptions()))


def test_two_cards_are_compared_field_by_field(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The second run has other options, other data, and so other scores; its digests of attempts differ in one."""
    lines = Path("qa.jsonl").read_text().splitlines()
    Path("qa.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    files = ["--data", "qa.jsonl", "--web", "pages.jsonl", "--out", "again.jsonl", "--card", "again.json"]
    run_command(["eval", *files, "--model", "builtin", "--date", "2026-01-01", "--jobs", "3", "--quiet"])
    assert run_command(["compare", "card.json", "again.json", "--out", "different.jsonl"]) == 0
    found = {
        line["field"]: (line["a"], line["b"])
        for line in map(json.loads, Path("different.jsonl").read_text().splitlines())
    }
    assert found["options.jobs"] == (64, 3)
    assert found["scores.overall.judged"] == (6, 5)
    assert {"files.data.sha256", "files.data.bytes"} <= set(found) and "files.web.sha256" not in found
    assert found["attempts.lines"] == ("6, 1 of them its own", "5, 0 of them its own")
    assert not any(field.startswith("digests") for field in found)
    told = capfd.readouterr().err
    assert told.index("made with") < told.index("options.jobs") < told.index("scores.overall.judged")


def test_a_card_is_the_same_as_itself(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_command(["compare", "card.json", "card.json", "--out", "different.jsonl"]) == 0
    assert Path("different.jsonl").read_bytes() == b""
    assert "made with: the same" in capfd.readouterr().err
