"""lint as a stage: a filter for lines, with reasons, a report, and evaluation files."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import QA
from webdancer_cli.errors import UsageError
from webdancer_cli.options import config
from webdancer_cli.stages import lint

Webdancer = Callable[..., "subprocess.CompletedProcess[str]"]

LINES = """\
{"question": "Who is the mayor of Velmora?", "answer": "Dolvek", "mine": 1}
{"question": "Is Dolvek the mayor?", "answer": "Yes"}
{"question": "Who is the mayor of Velmora?", "answer": "Dolvek"}
{"question": "Who wrote Emma?", "answer": "Jane Austen"}
{"question": 3}
"""


def options(folder: Path, **more: object) -> config.LintOptions:
    (folder / "qa.jsonl").write_text(LINES)
    given = {"data": str(folder / "qa.jsonl"), "out": str(folder / "out"), "rejects": str(folder / "bad"), **more}
    return config.LintOptions(**given)


def test_good_lines_pass_with_their_own_fields_and_bad_ones_get_reasons(tmp_path: Path) -> None:
    stats = lint.run(options(tmp_path, report=str(tmp_path / "report.json")))
    kept = [line.value for line in jsonl.read_values(str(tmp_path / "out"))]
    assert [line["question"] for line in kept] == ["Who is the mayor of Velmora?", "Who wrote Emma?"]
    assert kept[0]["mine"] == 1
    bad = [line.value for line in jsonl.read_values(str(tmp_path / "bad"))]
    assert [line["reason"] for line in bad] == ["yes_no", "duplicate", "wrong_shape"]
    assert stats.exit_code == 1  # for the line that is no question; the others are decisions
    assert msgspec.json.decode((tmp_path / "report.json").read_bytes()) == stats.report.values()


def test_evaluation_files_of_several_shapes(tmp_path: Path) -> None:
    (tmp_path / "gaia.jsonl").write_text('{"Question": "Who wrote Emma?"}\n')
    (tmp_path / "none.jsonl").write_text('{"text": "Who wrote Emma?"}\n')
    stats = lint.run(options(tmp_path, against=[str(tmp_path / "gaia.jsonl")]))
    assert stats.reasons["contaminated"] == 1
    with pytest.raises(UsageError, match=r"none\.jsonl:1: this is a page"):
        lint.run(options(tmp_path, against=[str(tmp_path / "none.jsonl")]))


def test_contamination_is_counted_by_file(tmp_path: Path) -> None:
    (tmp_path / "gaia.jsonl").write_text('{"Question": "Who wrote Emma?", "Final answer": "?"}\n')
    (tmp_path / "simpleqa.csv").write_text(
        'metadata,problem,answer\n"{}","who wrote\n“EMMA”",Jane\n{},Is Dolvek the mayor?,no'
    )
    (tmp_path / "other.csv").write_text("question\nWho painted it?\n")
    files = [str(tmp_path / name) for name in ("gaia.jsonl", "simpleqa.csv", "other.csv")]
    stats = lint.run(options(tmp_path, against=files, report=str(tmp_path / "report.json")))
    assert stats.reasons == {"yes_no": 1, "contaminated": 1, "duplicate": 1, "wrong_shape": 1}
    values = msgspec.json.decode((tmp_path / "report.json").read_bytes())
    assert values["contaminated_by"] == {files[1]: 2, files[0]: 1}  # the yes/no question is contaminated, too
    assert values["duplicates"] == {"duplicate": 1, "near_duplicate": 0} and values["good"] == stats.report.good == 1


def test_a_table_of_questions_is_linted_like_lines(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("metadata,problem,answer\n\"{'topic': 'Art'}\",Who wrote Emma?,Jane Austen\n,,x\n")
    stats = lint.run(options(tmp_path, data=str(tmp_path / "s.csv")))
    kept = [line.value for line in jsonl.read_values(str(tmp_path / "out"))]
    assert [(line["question"], line["metadata"]) for line in kept] == [("Who wrote Emma?", {"topic": "Art"})]
    assert stats.reasons == {"wrong_shape": 1}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"data": "-", "against": ["-"]}, "--against -: stdin holds the questions already"),
        ({"report": "OUT"}, "--report .*: already used for something else"),
        ({"report": "no/such/folder/report.json"}, "--report no/such/folder/report.json: No such file"),
    ],
)
def test_what_cannot_work_is_told_before_anything_is_written(
    more: dict[str, object], message: str, tmp_path: Path
) -> None:
    more = {name: str(tmp_path / "out") if value == "OUT" else value for name, value in more.items()}
    (tmp_path / "out").write_text("earlier\n")
    with pytest.raises(UsageError, match=message):
        lint.run(options(tmp_path, **more))
    assert (tmp_path / "out").read_text() == "earlier\n"


def test_a_second_run_with_resume_adds_nothing(tmp_path: Path) -> None:
    lint.run(options(tmp_path))
    before = (tmp_path / "out").read_bytes()
    stats = lint.run(options(tmp_path, resume=True))
    assert (tmp_path / "out").read_bytes() == before and stats.counts["already done"] == 2


def test_with_resume_what_was_kept_counts_as_met(tmp_path: Path) -> None:
    """Other lines than those of the earlier run: a copy with another answer, and what was written, each twice."""
    given = options(tmp_path)
    jsonl.write_records(given.out, [QA(question="Who wrote Emma?", answer="Jane Austen")])
    copy = '{"question": "WHO wrote Emma?", "answer": "Austen"}\n'
    same = '{"question": "Who wrote Emma?", "answer": "Jane Austen"}\n'
    (tmp_path / "more.jsonl").write_text((copy + same) * 2)
    stats = lint.run(config.LintOptions(data=str(tmp_path / "more.jsonl"), out=given.out, resume=True))
    assert stats.counts["already done"] == 1 and stats.counts["out"] == 0
    assert stats.reasons == {"duplicate": 3}


@pytest.mark.parametrize("killed_after", [0, 1, 2])
def test_a_killed_run_ends_as_one_that_was_not(killed_after: int, tmp_path: Path) -> None:
    lint.run(options(tmp_path))
    whole = (tmp_path / "out").read_bytes()
    (tmp_path / "out").write_bytes(b"".join(whole.splitlines(keepends=True)[:killed_after]) + b'{"torn')
    lint.run(options(tmp_path, resume=True))
    assert (tmp_path / "out").read_bytes() == whole


def test_in_a_pipe_it_reads_and_writes_as_it_goes_and_stops_with_its_reader(environment: dict[str, str]) -> None:
    lint_head = f"{sys.executable} -m webdancer_cli lint -q | head -n 1"
    lines = "".join(f'{{"question": "Who was mayor number {nth}?", "answer": "Dolvek"}}\n' for nth in range(5000))
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {lint_head}; echo ${{PIPESTATUS[0]}} >&2"],
        input=lines, capture_output=True, text=True, timeout=120, env=environment,
    )  # fmt: skip
    assert done.stdout.startswith('{"question":"Who was mayor number 0?"') and done.stdout.count("\n") == 1
    assert done.stderr.strip() == "0"


def test_a_table_comes_through_a_pipe(webdancer: Webdancer) -> None:
    done = webdancer("lint", "--data", "-", stdin='metadata,problem,answer\n{},"Who wrote\nEmma?",Jane Austen\n')
    assert msgspec.json.decode(done.stdout)["question"] == "Who wrote\nEmma?" and done.returncode == 0
