"""The command that runs a stage over parts: whatever it is interrupted by, the parts are the whole."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from webdancer_cli import cli
from webdancer_cli.cluster.map_folder import MapFolder
from webdancer_cli.data import jsonl, locks
from webdancer_cli.errors import UsageError
from webdancer_cli.options import config
from webdancer_cli.stages import map as stage
from webdancer_cli.stages import split


def questions(path: Path, count: int = 60) -> Path:
    """Good questions, some in the same words as others, some that are none, and a line that cannot be read."""
    lines = [
        {"id": f"q{number}", "question": f"Who built the mill of Vel{number // 2}{'?' * (number % 5)}", "answer": "Ada"}
        for number in range(count)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + "{\n")
    return path


def parts_of(data: Path, by: str = "wording", count: int = 4) -> Path:
    folder = data.parent / "parts"
    split.run(config.SplitOptions(data=str(data), by=by, parts=count, out=str(folder)))  # type: ignore[arg-type]
    return folder


def mapped(parts: Path, *words: str, **options: object) -> dict[str, int]:
    given = config.MapOptions(command=list(words), source=str(parts), out=str(parts.parent / "done"), **options)  # type: ignore[arg-type]
    return dict(stage.run(given).counts)


def lines(*paths: Path) -> list[bytes]:
    return sorted(line for path in paths for line in path.read_bytes().splitlines())


def done(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "done").iterdir() if path.name != ".map")


@pytest.mark.slow
def test_the_outputs_of_the_parts_are_the_output_of_the_stage(tmp_path: Path) -> None:
    data = questions(tmp_path / "qa.jsonl")
    whole, rejects = tmp_path / "whole", tmp_path / "rejects"
    assert cli.run_command(["lint", "--data", str(data), "--out", str(whole), "--rejects", str(rejects)]) == 1
    counts = mapped(parts_of(data), "lint")
    assert counts == {"parts": 4, "out": len(lines(whole)), "rejected": len(lines(rejects))} and len(lines(whole)) > 9
    assert lines(*done(tmp_path)) == lines(whole)
    folder = MapFolder(str(tmp_path / "done"))
    reasons = sorted(json.loads(line)["reason"] for line in lines(rejects))
    parts = [path.name for path in done(tmp_path)]
    assert reasons == sorted(
        json.loads(line)["reason"] for part in parts for line in lines(folder.beside(part, "rejects"))
    )
    again = mapped(tmp_path / "parts", "lint", resume=True)
    assert again == {"parts done before": 4, "out": counts["out"], "rejected": counts["rejected"]}


@pytest.mark.slow
def test_parts_that_are_done_one_by_one_make_the_whole(tmp_path: Path) -> None:
    data = questions(tmp_path / "qa.jsonl")
    parts = parts_of(data, "place", 3)
    cli.run_command(["lint", "--similarity", "1", "--data", str(data), "--out", str(tmp_path / "whole")])
    for number in (2, 0, 1, 0):
        mapped(parts, "lint", "--similarity", "1", on=f"part:{number}", resume=True)
    assert b"".join(path.read_bytes() for path in done(tmp_path)) == (tmp_path / "whole").read_bytes()
    with pytest.raises(UsageError, match="there are 3 parts, counted from 0"):
        mapped(parts, "lint", "--similarity", "1", on="part:3", resume=True)


@pytest.mark.slow
def test_another_stage_other_options_and_other_parts_are_refused(tmp_path: Path) -> None:
    parts = parts_of(questions(tmp_path / "qa.jsonl", 4), count=2)
    mapped(parts, "lint")
    with pytest.raises(UsageError, match="was begun before: go on with --resume"):
        mapped(parts, "lint")
    with pytest.raises(UsageError, match=r"options is another \(similarity\)"):
        mapped(parts, "lint", "--similarity", "0.5", resume=True)
    with pytest.raises(UsageError, match=r"command is another \(lint before\)"):
        mapped(parts, "filter", resume=True)
    part = parts / "part-0.jsonl"
    text = part.read_bytes()
    part.write_bytes(text.replace(b"mill", b"hill"))
    with pytest.raises(UsageError, match=r"part-0\.jsonl was changed since the part was begun"):
        mapped(parts, "lint", resume=True)
    part.write_bytes(text)
    assert mapped(parts, "lint", resume=True)["parts done before"] == 2
    part.write_bytes(text + b"\n")
    with pytest.raises(UsageError, match="inputs is another"):
        mapped(parts, "lint", resume=True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "which stage"),
        (["world"], "is no stage that reads and writes records"),
        (["lint", "--out", "x"], "--out: the map gives that"),
        (["lint", "--report", "r.json"], "all parts would write r.json: put {part} into it"),
        (["filter", "--unused-qa", "rl.jsonl"], "all parts would write rl.jsonl"),
        (["crawlqa", "{input}"], "all parts would write its pages"),
    ],
)
def test_what_cannot_be_mapped_is_refused_before_anything_is_written(
    tmp_path: Path, words: list[str], said: str
) -> None:
    parts = parts_of(questions(tmp_path / "qa.jsonl", 4), count=2)
    with pytest.raises(UsageError, match=said):
        mapped(parts, *words)
    assert not (tmp_path / "done").exists()


def test_parts_that_are_not_there_or_not_whole_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        mapped(tmp_path / "parts", "lint")
    (tmp_path / "parts").mkdir()
    with pytest.raises(UsageError, match="holds no parts"):
        mapped(tmp_path / "parts", "lint")
    (tmp_path / "parts" / ".part-0.jsonl").touch()
    with pytest.raises(UsageError, match="is not whole"):
        mapped(tmp_path / "parts", "lint")


@pytest.mark.slow
def test_a_part_that_another_process_works_on_and_a_stage_that_refuses_end_the_map(tmp_path: Path) -> None:
    parts = parts_of(questions(tmp_path / "qa.jsonl", 4), count=2)
    with locks.hold_outputs([str(MapFolder(str(tmp_path / "done")).beside("part-1.jsonl", "lock"))]):
        with pytest.raises(UsageError, match="another run is writing it"):
            mapped(parts, "lint", on="part:1")
    (tmp_path / "done" / ".map" / "run.json").unlink()
    with pytest.raises(UsageError, match=r"part part-\d\.jsonl: webdancer lint: .*nowhere\.jsonl"):
        mapped(parts, "lint", "--against", "nowhere.jsonl")


def stage_of(folder: Path, parent: int) -> list[int]:
    """The processes of stages that work for a map."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"--parent={parent}".encode() in words and any(str(folder).encode() in word for word in words):
            found.append(int(entry.name))
    return found


@pytest.mark.slow
def test_maps_and_stages_that_are_killed_at_any_moment_leave_nothing_out_and_nothing_twice(tmp_path: Path) -> None:
    """Four lives of the map: in some it is killed, and its stages with it; in some a stage, which is tried again."""
    data = questions(tmp_path / "qa.jsonl", 1500)
    parts = parts_of(data, count=5)
    cli.run_command(["lint", "--data", str(data), "--out", str(tmp_path / "whole"), "--quiet"])
    command = [sys.executable, "-m", "webdancer_cli", "map", "--in", str(parts), "--out", str(tmp_path / "done")]
    draw = random.Random(1)
    for life in range(4):
        process = subprocess.Popen([*command, "--resume", "--quiet", "--", "lint"])
        while process.poll() is None and not (running := stage_of(tmp_path, process.pid)):
            time.sleep(0.01)
        time.sleep(draw.random() / 2)
        if process.poll() is None:
            victim = process.pid if life % 2 else draw.choice(running)
            try:
                os.kill(victim, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it was done
            finally:
                if life % 2:
                    process.wait()
                    until = time.monotonic() + 30
                    while stage_of(tmp_path, process.pid):  # its stages die with it
                        assert time.monotonic() < until
                        time.sleep(0.01)
        process.wait()
    subprocess.run([*command, "--resume", "--", "lint"], check=False)
    assert lines(*done(tmp_path)) == lines(tmp_path / "whole")
    assert all(MapFolder(str(tmp_path / "done")).is_done(path.name) for path in parts.iterdir())


@pytest.mark.slow
def test_two_rounds_of_split_and_lint_find_what_one_pass_finds(tmp_path: Path) -> None:
    """By answer, which brings near-duplicates together; then by wording, for duplicates that have another answer. Of
    those, the order of the parts tells which stays."""
    asked = "Who was the very first {}teacher of Vel{}?"
    data = [
        {"id": f"n{n}", "question": asked.format("and famous " * (n % 2), n // 2), "answer": f"Bo{n // 2}"}
        for n in range(40)
    ]
    data += [{**data[2 * n], "id": f"s{n}", "question": data[2 * n]["question"].upper()} for n in range(9)]
    data += [{**data[2 * n], "id": f"a{n}", "answer": "Cy"} for n in range(5)]
    last = tmp_path / "qa.jsonl"
    last.write_text("".join(json.dumps(line) + "\n" for line in data))
    cli.run_command(["lint", "--data", str(last), "--similarity", "0.6", "--out", str(tmp_path / "whole")])
    for by in ("answer", "wording"):
        folder = tmp_path / by
        folder.mkdir()
        last = last.rename(folder / "qa.jsonl")
        mapped(parts_of(last, by), "lint", "--similarity", "0.6")
        last.write_bytes(b"".join(path.read_bytes() for path in done(folder)))
    found, whole = (list(map(json.loads, lines(path))) for path in (last, tmp_path / "whole"))
    assert sorted(qa["question"] for qa in found) == sorted(qa["question"] for qa in whole)
    twice = {line["question"] for line in data if line["answer"] == "Cy"}
    once = [sorted(qa["id"] for qa in kept if qa["question"] not in twice) for kept in (found, whole)]
    assert once[0] == once[1] and (len(whole), len(once[1])) == (20, 15)


@pytest.mark.slow
def test_harder_questions_episodes_and_what_is_kept_of_them_are_those_of_one_process(tmp_path: Path) -> None:
    def both(data: Path, by: str, *words: str) -> Path:
        """What the stage makes of the whole is what it makes of the parts."""
        folder = tmp_path / words[0]
        folder.mkdir()
        whole = folder / "whole.jsonl"
        assert cli.run_command([*words, "--data", str(data), "--out", str(whole), "--quiet"]) == 0
        (folder / "data.jsonl").write_bytes(data.read_bytes())
        mapped(parts_of(folder / "data.jsonl", by, 3), *words)
        assert lines(*done(folder)) == lines(whole) and len(lines(whole)) > 40
        return whole

    pages, data, web = (str(tmp_path / name) for name in ("pages.jsonl", "qa.jsonl", "web.index"))
    cli.run_command(["world", "--pages", "60", "--out", str(tmp_path / "world"), "--quiet"])
    site = str(tmp_path / "world" / "site")
    cli.run_command(["crawlqa", site, "--pages", pages, "--limit", "80", "--out", data, "--quiet"])
    cli.run_command(["index", "--pages", pages, "--out", web, "--quiet"])
    harder = both(Path(data), "answer", "e2hqa", "--web", web)
    episodes = both(harder, "id", "sample", "--web", web, "-n", "2")
    both(episodes, "question", "filter", "--dedup", "--per-question", "1")


def test_budgets_and_calls_are_divided(tmp_path: Path) -> None:
    sampling = config.SampleOptions(jobs=64, max_cost=5.0, max_tokens=1000)
    assert list(stage._divided(sampling, 4, 10)) == ["--jobs", "16", "--max-cost", "0.5", "--max-tokens", "100"]
    assert list(stage._divided(config.LintOptions(jobs=2), 4, 10)) == ["--jobs", "1"]


def test_a_summary_says_what_became_of_the_records(tmp_path: Path) -> None:
    data, summary = questions(tmp_path / "qa.jsonl", 4), tmp_path / "s.json"
    cli.run_command(["lint", "--data", str(data), "--out", str(tmp_path / "o"), "--summary", str(summary)])
    said = json.loads(summary.read_text())
    assert said["counts"]["out"] == len(list(jsonl.read_values(str(tmp_path / "o"))))
    assert said["failed"] == 1 and said["reasons"]["broken_line"] == 1 and said["stopped"] == ""
