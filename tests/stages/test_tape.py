"""The command that looks into a tape."""

import json
from pathlib import Path

import pytest

from webdancer_cli.errors import UsageError
from webdancer_cli.llm.client import Reply
from webdancer_cli.options import config
from webdancer_cli.stages import tape as stage
from webdancer_cli.tape import Tape


async def record(path: Path, *labels: str) -> str:
    async def live() -> Reply:
        return Reply(text="hi")

    with Tape(str(path)) as tape:
        for label in labels:
            await tape.record_or_replay("web" if "://" in label else "llm", [label], label, Reply, live)
    return str(path)


async def test_it_lists_merges_and_prunes(tmp_path: Path) -> None:
    one = await record(tmp_path / "one", "qwen", "http://a.test/")
    two = await record(tmp_path / "two", "qwen", "llama")
    out = tmp_path / "list.jsonl"
    options = config.TapeOptions(file=one, merge=[two], drop=["web"], out=str(out))
    assert stage.run(options).remark == "2 llm; 1 merged, 1 removed"
    listed = [json.loads(line) for line in out.read_text().splitlines()]
    assert sorted(line["label"] for line in listed) == ["llama", "qwen"]
    assert set(listed[0]) == {"key", "kind", "label", "recorded_at", "bytes"}


async def test_several_tapes_become_a_new_one(tmp_path: Path) -> None:
    parts = [await record(tmp_path / name, name) for name in ("one", "two")]
    options = config.TapeOptions(file=str(tmp_path / "new"), merge=parts, out=str(tmp_path / "list"))
    assert stage.run(options).remark == "2 llm; 2 merged, 0 removed"


async def test_no_tape_is_made_or_overwritten_by_mistake(tmp_path: Path) -> None:
    there = await record(tmp_path / "there", "qwen")
    with pytest.raises(UsageError, match="which tape"):
        stage.run(config.TapeOptions())
    with pytest.raises(UsageError, match="no such tape"):
        stage.run(config.TapeOptions(file=str(tmp_path / "their")))
    with pytest.raises(UsageError, match="--out"):
        stage.run(config.TapeOptions(file=there, out=there))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there"]
