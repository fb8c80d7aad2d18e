"""Records for other tools: a flat table, and a log that inspect_ai reads."""

import csv
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from report_records import QUOTE, attempt, question, trajectory

from webdancer_cli.cli import run_command
from webdancer_cli.errors import UsageError
from webdancer_cli.options import config
from webdancer_cli.stages import view


def exported(folder: Path, out: str, *lines: dict[str, Any]) -> Path:
    file = folder / "eval.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    view.run(config.ViewOptions(files=[f"base={file}"], out=str(folder / out)))
    return folder / out


ATTEMPTS = [
    attempt(
        1, "correct", usage={"calls": 2, "input_tokens": 100, "output_tokens": 20}, leaks=["http://a.test", "canary"]
    ),
    attempt(
        1, "wrong", run=1, answer='"=1+1", or\nnobody', verdict={"outcome": "wrong", "method": "m", "confidence": 0.5}
    ),
    attempt(2, "unjudged", answer=None),
]


def test_a_table_has_a_row_for_each_record_and_a_column_for_each_value(tmp_path: Path) -> None:
    path = exported(tmp_path, "t.csv", *ATTEMPTS)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["verdict.outcome"] for row in rows] == ["correct", "wrong", "unjudged"]
    assert [row["usage.input_tokens"] for row in rows] == ["100", "", ""]
    assert (rows[0]["file"], rows[0]["kind"], rows[0]["leaks"]) == ("base", "attempt", "http://a.test; canary")
    assert rows[1]["answer"] == '"=1+1", or\nnobody' and rows[2]["answer"] == ""
    assert not {"messages", "evidence"} & set(rows[0])


def test_a_parquet_table_has_types(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    mixed = [{"step": 1, "loss": 2}, {"step": 2, "loss": 1.5, "note": "x"}, {"step": 3, "loss": 1.0, "note": 3}]
    table = parquet.read_table(exported(tmp_path, "t.parquet", *ATTEMPTS, *mixed)).to_pydict()
    assert table["run"][:3] == [0, 1, 0] and table["verdict.confidence"][:3] == [None, 0.5, None]
    assert table["loss"][3:] == [2.0, 1.5, 1.0] and table["note"][3:] == [None, "x", "3"]


def inside(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as packed:
        return {name: json.loads(packed.read(name)) for name in packed.namelist()}


def test_a_log_has_a_sample_for_each_run_of_a_question(tmp_path: Path) -> None:
    files = inside(exported(tmp_path, "base.eval", *ATTEMPTS, question()))
    assert set(files) == {
        "_journal/start.json", "header.json", "summaries.json",
        "samples/q1_epoch_1.json", "samples/q1_epoch_2.json", "samples/q2_epoch_1.json",
    }  # fmt: skip
    header, sample = files["header.json"], files["samples/q1_epoch_1.json"]
    assert (header["eval"]["task"], header["eval"]["model"], header["eval"]["dataset"]["samples"]) == ("base", "m", 2)
    # one of the two that were judged is right
    (scored,) = header["results"]["scores"]
    assert (scored["metrics"]["accuracy"]["value"], scored["unscored_samples"]) == (0.5, 1)
    assert header["stats"]["model_usage"]["m"] == {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}
    assert (sample["target"], sample["scores"]["verdict"]["value"]) == (["Jane Austen"], "C")
    assert files["samples/q2_epoch_1.json"]["scores"] == {}
    roles = [message["role"] for message in sample["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant"]
    assert sample["messages"][2]["tool_calls"] == [
        {"id": "call_1", "function": "search", "arguments": {"query": "Emma"}, "type": "function"}
    ]
    assert sample["messages"][3]["content"] == f"Emma is a novel. {QUOTE}"
    assert sample["messages"][4]["content"][0] == {"type": "reasoning", "reasoning": "Read."}
    assert [event["event"] for event in sample["events"]] == ["model", "tool", "model"]


def test_a_turn_that_cannot_be_read_stands_as_it_was_written(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "<think>\nHm"}]
    files = inside(exported(tmp_path, "base.eval", attempt(1, "wrong", messages=messages)))
    assert files["samples/q1_epoch_1.json"]["messages"][1]["content"] == [{"type": "text", "text": "<think>\nHm"}]


def test_inspect_reads_the_log(tmp_path: Path) -> None:
    log = pytest.importorskip("inspect_ai.log")
    path = str(exported(tmp_path, "base.eval", *ATTEMPTS))
    read = log.read_eval_log(path)
    assert (read.status, read.eval.model, len(read.samples)) == ("success", "m", 3)
    assert [sample.scores["verdict"].value for sample in read.samples if sample.scores] == ["C", "I"]
    assert len(log.read_eval_log_sample_summaries(path)) == 3


def test_trajectories_have_logs_too(tmp_path: Path) -> None:
    files = inside(exported(tmp_path, "t.eval", trajectory(), trajectory(rollout=1, verdict=None)))
    assert files["header.json"]["results"]["scores"][0]["scored_samples"] == 1


def test_a_log_is_of_one_evaluation(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="of one evaluation"):
        exported(tmp_path, "t.eval", attempt(1, "correct"), attempt(1, "wrong", model="other"))


def test_what_is_encrypted_stays_so_unless_it_is_to_be_revealed(tmp_path: Path) -> None:
    sealed = attempt(1, "correct", question="U0VBTEVE", sealed={"scheme": "x"})
    path = exported(tmp_path, "t.csv", sealed)
    assert "U0VBTEVE" in path.read_text()


def test_the_front_door_tells_an_export_by_its_ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_text(json.dumps(attempt(1, "correct")) + "\n")
    assert run_command(["view", "a.jsonl", "-o", "a.eval"]) == run_command(["view", "a.jsonl", "-o", "a.csv"]) == 0
    assert zipfile.is_zipfile("a.eval") and Path("a.csv").read_text().startswith("file,kind,id")
