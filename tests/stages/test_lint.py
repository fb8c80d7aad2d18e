"""lint as a stage: a filter for lines, with reasons, a report, and evaluation files."""

from pathlib import Path

import msgspec
import pytest

from webdancer_cli import config, jsonl
from webdancer_cli.errors import UsageError
from webdancer_cli.stages import lint

LINES = """\
{"question": "Who is the mayor of Velmora?", "answer": "Dolvek", "mine": 1}
{"question": "Is Dolvek the mayor?", "answer": "Yes"}
{"question": "Who is the mayor of Velmora?", "answer": "Dolvek"}
{"question": "Who wrote Emma?", "answer": "Jane Austen"}
{"question": 3}
"""


def options(folder: Path, **more: object) -> config.Lint:
    (folder / "qa.jsonl").write_text(LINES)
    given = {"data": str(folder / "qa.jsonl"), "out": str(folder / "out"), "rejects": str(folder / "bad"), **more}
    return config.Lint(**given)


def test_good_lines_pass_with_their_own_fields_and_bad_ones_get_reasons(tmp_path: Path) -> None:
    tally, report = lint.run(options(tmp_path, report=str(tmp_path / "report.json")))
    kept = [line.value for line in jsonl.values(str(tmp_path / "out"))]
    assert [line["question"] for line in kept] == ["Who is the mayor of Velmora?", "Who wrote Emma?"]
    assert kept[0]["mine"] == 1
    bad = [line.value for line in jsonl.values(str(tmp_path / "bad"))]
    assert [line["reason"] for line in bad] == ["yes_no", "duplicate", "wrong_shape"]
    assert tally.exit_code == 1  # for the line that is no question; the others are decisions
    assert msgspec.json.decode((tmp_path / "report.json").read_bytes()) == report.values()


def test_evaluation_files_of_several_shapes(tmp_path: Path) -> None:
    (tmp_path / "gaia.jsonl").write_text('{"Question": "Who wrote Emma?"}\n')
    (tmp_path / "none.jsonl").write_text('{"text": "Who wrote Emma?"}\n')
    tally, _ = lint.run(options(tmp_path, against=[str(tmp_path / "gaia.jsonl")]))
    assert tally.reasons["contaminated"] == 1
    with pytest.raises(UsageError, match=r"none\.jsonl:1: has no question"):
        lint.run(options(tmp_path, against=[str(tmp_path / "none.jsonl")]))


def test_a_second_run_with_resume_adds_nothing(tmp_path: Path) -> None:
    lint.run(options(tmp_path))
    before = (tmp_path / "out").read_bytes()
    tally, _ = lint.run(options(tmp_path, resume=True))
    assert (tmp_path / "out").read_bytes() == before and tally.counts["already done"] == 2
