"""Nobody else writes here: of two runs on one output, the second ends at once, and nothing of the first is lost."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from webdancer_cli.data import jsonl, locks
from webdancer_cli.errors import UsageError

QUESTION = '{"question": "Which engineer founded the museum in 1931?", "answer": "Ida Kroll"}\n'
HOLDS = "another run is writing it: wait for its end, or name another one"


# ---- one process


def test_what_is_held_is_refused_to_others_and_free_afterwards(tmp_path: Path) -> None:
    path = str(tmp_path / "a" / "out.jsonl")
    with locks.hold_outputs([path]):
        with pytest.raises(UsageError, match=f"{path}: {HOLDS}"), locks.hold_outputs([path]):
            raise AssertionError
        with locks.hold_outputs([str(tmp_path / "other.jsonl")]):
            pass
    with locks.hold_outputs([path]):
        pass


def test_another_name_of_the_same_file_is_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    (tmp_path / "link").symlink_to("out")
    with (
        locks.hold_outputs([str(tmp_path / "out")]),
        pytest.raises(UsageError, match="link"),
        locks.hold_outputs([str(tmp_path / "link")]),
    ):
        raise AssertionError


def test_a_lock_changes_nothing_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("before")
    with locks.hold_outputs([str(tmp_path / "out")]):
        pass
    assert (tmp_path / "out").read_text() == "before"


def test_a_run_without_a_library_that_it_needs_leaves_no_empty_file(tmp_path: Path) -> None:
    with pytest.raises(ImportError), locks.hold_outputs([str(tmp_path / "out")]):
        raise ModuleNotFoundError("jinja2")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_refused_leaves_no_empty_file_and_no_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("")
    names = [str(tmp_path / "new"), str(tmp_path / "old")]
    with pytest.raises(UsageError), locks.hold_outputs(names, [str(tmp_path / "folder")]):
        raise UsageError("no such model")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old"]


def test_a_folder_is_held_and_keeps_no_trace(tmp_path: Path) -> None:
    folder = str(tmp_path / "checkpoint")
    with locks.hold_outputs([], [folder]):
        with pytest.raises(UsageError, match=f"{folder}: {HOLDS}"), locks.hold_outputs([], [folder]):
            raise AssertionError
        (tmp_path / "checkpoint" / "config.json").write_text("{}")
    assert [path.name for path in (tmp_path / "checkpoint").iterdir()] == ["config.json"]


@pytest.mark.parametrize("name", ["/dev/null", "/dev/stdout", "/dev/stderr"])
def test_a_device_is_never_locked(name: str) -> None:
    with locks.hold_outputs([name]), locks.hold_outputs([name]):
        pass


def test_a_named_pipe_is_neither_opened_nor_locked(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with locks.hold_outputs([str(tmp_path / "pipe")]), locks.hold_outputs([str(tmp_path / "pipe")]):
        pass


def test_a_file_that_is_put_in_the_place_of_a_held_one_is_held(tmp_path: Path) -> None:
    path, part = tmp_path / "out", tmp_path / "out.part"
    with locks.hold_outputs([str(path)]):
        part.write_text("kept")
        with (
            locks.replace_held_file(str(path), str(part)),
            pytest.raises(UsageError, match="another run"),
            locks.hold_outputs([str(path)]),
        ):
            raise AssertionError
    assert path.read_text() == "kept" and not part.exists()


def test_what_is_held_may_be_read_and_is_written_by_its_holder(tmp_path: Path) -> None:
    path = str(tmp_path / "out.jsonl")
    with locks.hold_outputs([path]), jsonl.LineWriter(path) as writer:
        writer.write({"id": "a"})
        assert [line.value for line in jsonl.read_values(path)] == [{"id": "a"}]


# ---- processes

Webdancer = Callable[..., "subprocess.CompletedProcess[str]"]


class Live:
    """A run that has begun and waits for the rest of its input."""

    def __init__(self, folder: Path, environment: dict[str, str], *words: str, stdout: int = subprocess.DEVNULL):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "webdancer_cli", *words],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=subprocess.PIPE,
        )

    def feed(self, text: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def wait_for(self, path: Path) -> None:
        until = time.monotonic() + 120
        while not (path.exists() and path.stat().st_size):
            assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.02)

    def end(self) -> int:
        self.process.communicate(timeout=120)
        return self.process.returncode


@contextmanager
def linting(folder: Path, environment: dict[str, str], *words: str, stdout: int = subprocess.DEVNULL) -> Iterator[Live]:
    live = Live(folder, environment, "lint", *words, stdout=stdout)
    try:
        live.feed(QUESTION)
        yield live
    finally:
        live.process.kill()
        live.process.communicate()


def is_refused(done: "subprocess.CompletedProcess[str]", name: str) -> bool:
    said = done.stderr.splitlines()
    return (done.returncode, len(said), done.stdout) == (2, 1, "") and f"{name}: {HOLDS}" in said[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (("--out", "a", "--rejects", "r"), ("--out", "a")),
        (("--out", "a", "--rejects", "r"), ("--out", "a", "--resume")),
        (("--out", "a", "--rejects", "r"), ("--out", "./a")),
        (("--out", "a", "--rejects", "r"), ("--out", "b", "--rejects", "r")),
        (("--out", "a", "--report", "p"), ("--out", "b", "--report", "p")),
    ],
)
def test_the_second_of_two_runs_ends_at_once(
    mine: tuple[str, ...], theirs: tuple[str, ...], webdancer: Webdancer, tmp_path: Path, environment: dict[str, str]
) -> None:
    with linting(tmp_path, environment, *mine) as live:
        live.wait_for(tmp_path / "a")
        before = (tmp_path / "a").read_bytes()
        name = next(word for word, own in zip(theirs[1::2], ("a", "r"), strict=False) if word.strip("./") in mine)
        assert is_refused(webdancer("lint", *theirs, stdin=QUESTION), name)
        assert (tmp_path / "a").read_bytes() == before and not (tmp_path / "b").exists()
        live.feed(QUESTION.replace("1931", "1932"))
        assert live.end() == 0
    assert len((tmp_path / "a").read_bytes().splitlines()) == 2
    assert webdancer("lint", *theirs, stdin=QUESTION).returncode == 0


@pytest.mark.slow
def test_a_killed_run_holds_nothing(webdancer: Webdancer, tmp_path: Path, environment: dict[str, str]) -> None:
    with linting(tmp_path, environment, "--out", "a") as live:
        live.wait_for(tmp_path / "a")
        live.process.send_signal(signal.SIGKILL)
        live.process.wait()
        assert webdancer("lint", "--out", "a", "--resume", stdin=QUESTION).returncode == 0
    assert len((tmp_path / "a").read_bytes().splitlines()) == 1


@pytest.mark.slow
def test_stdout_is_held_where_it_goes_to_a_file(tmp_path: Path, environment: dict[str, str]) -> None:
    def run(into: Path) -> "subprocess.CompletedProcess[bytes]":
        with into.open("ab") as stdout:
            command = [sys.executable, "-m", "webdancer_cli", "lint"]
            return subprocess.run(
                command, cwd=tmp_path, env=environment, input=QUESTION.encode(), stdout=stdout, stderr=subprocess.PIPE
            )

    with (tmp_path / "a").open("ab") as stdout, linting(tmp_path, environment, stdout=stdout.fileno()) as live:
        live.wait_for(tmp_path / "a")
        second = run(tmp_path / "a")
        assert second.returncode == 2 and f"stdout: {HOLDS}" in second.stderr.decode()
        assert run(tmp_path / "b").returncode == 0
        assert live.end() == 0
        assert run(tmp_path / "a").returncode == 0, "though a shell still has it open"
    assert len((tmp_path / "a").read_bytes().splitlines()) == 2


@pytest.mark.slow
@pytest.mark.parametrize("out", ["/dev/null", "/dev/stdout", "-"])
def test_runs_into_pipes_and_devices_go_side_by_side(
    out: str, webdancer: Webdancer, tmp_path: Path, environment: dict[str, str]
) -> None:
    with linting(tmp_path, environment, "--out", out, stdout=subprocess.PIPE) as live:
        assert webdancer("lint", "--out", out, stdin=QUESTION).returncode == 0
        assert live.end() == 0


@pytest.mark.slow
def test_a_dry_run_beside_a_run_is_none_that_writes(
    webdancer: Webdancer, tmp_path: Path, environment: dict[str, str]
) -> None:
    (tmp_path / "pages.jsonl").write_text('{"url": "http://a.test/", "title": "A", "text": "A page of nothing."}\n')
    (tmp_path / "qa.jsonl").write_text(QUESTION)
    with linting(tmp_path, environment, "--out", "a") as live:
        live.wait_for(tmp_path / "a")
        assert webdancer("sample", "--data", "qa.jsonl", "--out", "a", "--dry-run").returncode == 0
        assert is_refused(webdancer("sample", "--data", "qa.jsonl", "--out", "a"), "a")


@pytest.mark.slow
def test_a_corpus_is_read_while_it_is_written(
    webdancer: Webdancer, tmp_path: Path, environment: dict[str, str]
) -> None:
    page = '{"url": "http://a.test/", "title": "A", "text": "A page of nothing."}\n'
    (tmp_path / "pages.jsonl").write_text(page)
    with locks.hold_outputs([str(tmp_path / "pages.jsonl")]):
        done = webdancer("sample", "--web", "pages.jsonl", stdin=QUESTION)
        assert done.returncode == 0 and done.stdout
        (tmp_path / "site").mkdir()
        assert is_refused(webdancer("crawlqa", "site", "--out", "qa"), "pages.jsonl")
        assert webdancer("crawlqa", "pages.jsonl", "--out", "qa").returncode == 0, "a file of pages is only read"
    assert (tmp_path / "pages.jsonl").read_text() == page


@pytest.mark.slow
@pytest.mark.parametrize("command", ["sft", "rl", "world"])
def test_a_folder_that_a_run_writes_is_refused_to_another(command: str, webdancer: Webdancer, tmp_path: Path) -> None:
    (tmp_path / "qa.jsonl").write_text(QUESTION)
    data = () if command == "world" else ("--data", "qa.jsonl", "--model", "nano")
    with locks.hold_outputs([], [str(tmp_path / "out")]):
        assert is_refused(webdancer(command, *data, "--out", "out"), "out")
