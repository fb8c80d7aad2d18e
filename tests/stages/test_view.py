"""``webdancer view``: files in, one file or plain text out."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from report_records import attempt, question, trajectory

from webdancer_cli.errors import UsageError
from webdancer_cli.options import config
from webdancer_cli.report import html
from webdancer_cli.stages import view

Webdancer = Callable[..., "subprocess.CompletedProcess[str]"]


def written(path: Path, *lines: Any) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
    return str(path)


def index(path: Path) -> dict[str, Any]:
    text = path.read_text("utf-8").split('id="index">', 1)[1].split("</script>", 1)[0]
    return dict(json.loads(text))


def test_files_of_every_kind_make_one_report(tmp_path: Path) -> None:
    metrics = {"step": 1, "loss": 2.0}
    files = [
        written(tmp_path / "sft" / "metrics.jsonl", metrics),
        written(tmp_path / "rl" / "metrics.jsonl", metrics | {"reward": 0.5}),
        "base=" + written(tmp_path / "eval.jsonl", attempt(1, "correct"), attempt(2, "wrong")),
        written(tmp_path / "mixed.jsonl", trajectory(), question(), {"what": "else"}),
    ]
    out = tmp_path / "report.html"
    stats = view.run(config.ViewOptions(files=files, out=str(out)), to_file=html.write_html)
    found = index(out)
    assert [source["name"] for source in found["sources"]] == [
        "sft/metrics",
        "rl/metrics",
        "base",
        f"{tmp_path.name}/mixed",
    ]
    assert (len(found["episodes"]["rows"]), len(found["questions"]["rows"]), len(found["runs"])) == (3, 1, 2)
    assert (stats.counts["shown"], stats.counts["not shown"], stats.exit_code) == (6, 1, 0)


def test_a_line_that_cannot_be_read_is_counted_and_the_report_is_on_the_others(tmp_path: Path) -> None:
    path = written(tmp_path / "t.jsonl", trajectory(), "{torn\n", trajectory(ending="bored"))
    stats = view.run(config.ViewOptions(files=[path], out=str(tmp_path / "r.html")), to_file=html.write_html)
    assert (stats.counts["shown"], stats.reasons, stats.exit_code) == (1, {"broken_line": 1, "wrong_shape": 1}, 1)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a/eval.jsonl"], ["eval"]),
        (["a/x.jsonl", "b/x.jsonl"], ["a/x", "b/x"]),
        (["-"], ["stdin"]),
        (["x.jsonl", "x.jsonl"], ["x.jsonl", "x.jsonl"]),
    ],
)
def test_files_are_called_by_the_shortest_names_that_differ(paths: list[str], names: list[str]) -> None:
    assert view.short_names(paths) == names


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], "which files"),
        (["gone.jsonl"], "no such file"),
        (["report.html"], "named twice"),
        (["empty.jsonl"], "nothing to show"),
    ],
)
def test_what_makes_no_report_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "report.html", question())
    written(tmp_path / "empty.jsonl")
    with pytest.raises(UsageError, match=said):
        view.run(config.ViewOptions(files=files, out="report.html"), to_file=html.write_html)


def test_on_a_pipe_records_are_plain_text_from_stdin_too(webdancer: Webdancer, tmp_path: Path) -> None:
    path = written(tmp_path / "q.jsonl", question(), question(question="Who wrote Persuasion?"))
    done = webdancer("view", path, "--limit", "1")
    assert done.returncode == 0
    assert "Who wrote Emma?" in done.stdout and "Persuasion" not in done.stdout and "\x1b" not in done.stdout
    assert webdancer("view", "-", stdin=json.dumps(question()) + "\n").stdout.count("Jane Austen") >= 1


def test_the_command_writes_the_report_and_says_where(webdancer: Webdancer, tmp_path: Path) -> None:
    written(tmp_path / "q.jsonl", question())
    done = webdancer("view", "q.jsonl", "-o", "report.html", "--title", "Mine")
    assert (done.returncode, done.stdout) == (0, "")
    assert "report.html: " in done.stderr
    assert index(tmp_path / "report.html")["title"] == "Mine"


def test_a_file_may_stand_in_a_report_twice_and_keeps_its_equals_signs(tmp_path: Path) -> None:
    path = tmp_path / "a=report.html"
    written(path, question())
    options = config.ViewOptions(files=[str(path), f"again={path}"], out=str(tmp_path / "report.html"))
    assert view.run(options, to_file=html.write_html).counts["shown"] == 2
