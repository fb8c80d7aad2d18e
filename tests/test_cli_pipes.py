"""Stages as neighbours in a pipe, and stages that are stopped by ``| head``, Ctrl-C or kill -9, then resumed."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import pytest

Webdancer = Callable[..., "subprocess.CompletedProcess[str]"]
Served = Callable[[Path], AbstractContextManager[str]]
Started = Callable[..., "subprocess.Popen[bytes]"]
TOWNS = [f"Vell{number}" for number in range(40)]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A page per person, which says where the person was born."""
    return write(tmp_path / "pages.jsonl", [page(number) for number in range(len(TOWNS))])


@pytest.fixture
def questions(tmp_path: Path, corpus: Path) -> Path:
    return write(tmp_path / "qa.jsonl", [question(number) for number in range(len(TOWNS))])


@pytest.fixture
def start(tmp_path: Path, environment: dict[str, str]) -> Started:
    """Start ``webdancer ARGUMENTS`` and leave it running."""

    def started(*arguments: str, **streams: Any) -> "subprocess.Popen[bytes]":
        words = [sys.executable, "-m", "webdancer_cli", *arguments]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | streams
        return subprocess.Popen(words, cwd=tmp_path, env=environment, preexec_fn=hear_interrupts, **pipes)

    return started


def person(number: int) -> str:
    return f"Corr{number} Alba"


def page(number: int) -> dict[str, Any]:
    text = f"{person(number)} is a painter. {person(number)} was born in {TOWNS[number]}."
    return {"url": f"http://a.test/{number}", "title": person(number), "text": text}


def question(number: int) -> dict[str, Any]:
    quote = f"{person(number)} was born in {TOWNS[number]}."
    evidence = [{"url": f"http://a.test/{number}", "title": person(number), "quote": quote}]
    text = f"Where was {person(number)} born?"
    return {"question": text, "answer": TOWNS[number], "type": "single_hop", "level": 1, "evidence": evidence}


def write(path: Path, values: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def wait_for_lines(path: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert time.monotonic() < deadline, f"no {count} lines in {path}"
        time.sleep(0.02)


def hear_interrupts() -> None:
    """A shell starts background jobs deaf to Ctrl-C, and the tests may run in one."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def feed(process: "subprocess.Popen[bytes]", data: bytes) -> None:
    assert process.stdin
    process.stdin.write(data)
    process.stdin.flush()


def test_records_appear_as_they_are_made(start: Started, questions: Path) -> None:
    """The first trajectory is there while the second question is still to come."""
    first, second = questions.read_bytes().splitlines(keepends=True)[:2]
    process = start("sample", "--quiet")
    assert process.stdout
    feed(process, first)
    assert json.loads(process.stdout.readline())["answer"] == TOWNS[0]
    feed(process, second)
    out, err = process.communicate()
    assert json.loads(out)["answer"] == TOWNS[1]
    assert (process.returncode, err) == (0, b"")


def test_a_stage_waits_for_its_first_line_before_it_opens_the_corpus(start: Started, questions: Path) -> None:
    """The stage before it in the pipe may still be writing that corpus."""
    corpus = questions.with_name("pages.jsonl")
    pages = corpus.read_bytes()
    corpus.unlink()
    process = start("sample")
    time.sleep(1)
    assert process.poll() is None
    corpus.write_bytes(pages)
    out, _ = process.communicate(questions.read_bytes())
    assert (process.returncode, out.count(b"\n")) == (0, len(TOWNS))


def test_head_ends_a_stage_quietly(start: Started, questions: Path) -> None:
    """The reader leaves while there is more to write, and stdin stays open."""
    process = start("sample", "-n", "50", "--jobs", "2")
    assert process.stdout and process.stderr
    feed(process, questions.read_bytes())
    for _ in range(3):
        assert json.loads(process.stdout.readline())["answer"]
    process.stdout.close()
    assert process.wait(timeout=120) == 0
    assert b"Error" not in (said := process.stderr.read()) and b"Exception" not in said


def test_a_pipe_of_stages_leaves_stdout_to_records(start: Started, questions: Path) -> None:
    sampling = start("sample", "--data", str(questions))
    filtering = start("filter", "--rejects", "rejects.jsonl", stdin=sampling.stdout)
    assert sampling.stdout and sampling.stderr
    sampling.stdout.close()
    out, err = filtering.communicate(timeout=120)
    assert (sampling.wait(), filtering.returncode) == (0, 0)
    assert {json.loads(line)["answer"] for line in out.splitlines()} == set(TOWNS)
    assert b"builtin" in sampling.stderr.read() and b"40" in err


@pytest.mark.slow
def test_the_whole_pipe_finds_what_stages_one_after_another_find(
    webdancer: Webdancer, served: Served, tmp_path: Path, environment: dict[str, str]
) -> None:
    """In the pipe every stage reads the corpus that the first one is writing; none may see a part of it."""
    assert webdancer("world", "--pages", "60", "--style", "plain", "--out", "world").returncode == 0
    module = f"{sys.executable} -m webdancer_cli"
    with served(tmp_path / "world" / "site") as root:
        crawl = f"{module} crawlqa {root} --allow-private --delay-seconds 0.01"
        shell = (
            f"{crawl} | tee qa.jsonl | {module} e2hqa | {module} sample --prompts compact -j 1"
            f" | {module} filter > piped.jsonl"
        )
        piped = subprocess.run(["bash", "-o", "pipefail", "-c", shell], cwd=tmp_path, env=environment, timeout=300)
    assert piped.returncode == 0
    webdancer("e2hqa", "--data", "qa.jsonl", "--out", "harder.jsonl")
    webdancer("sample", "--data", "harder.jsonl", "--prompts", "compact", "--out", "sampled.jsonl")
    webdancer("filter", "--data", "sampled.jsonl", "--out", "filtered.jsonl")
    assert len(lines(tmp_path / "piped.jsonl")) > 100
    assert lines(tmp_path / "piped.jsonl") == lines(tmp_path / "filtered.jsonl")


def test_ctrl_c_leaves_a_file_that_resume_completes(start: Started, webdancer: Webdancer, questions: Path) -> None:
    folder = questions.parent
    whole = ["sample", "-n", "3", "--web", "pages.jsonl"]
    process = start(*whole, "--out", "stopped.jsonl")
    feed(process, b"".join(questions.read_bytes().splitlines(keepends=True)[:10]))
    wait_for_lines(folder / "stopped.jsonl", 5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert b"interrupted" in err.splitlines()[-1] and b"Traceback" not in err, err.decode()
    assert all(json.loads(line) for line in lines(folder / "stopped.jsonl"))
    assert_resume_equals_an_uninterrupted_run(webdancer, whole, questions)


def test_a_kill_leaves_a_file_that_resume_completes(start: Started, webdancer: Webdancer, questions: Path) -> None:
    folder = questions.parent
    whole = ["sample", "-n", "3", "--web", "pages.jsonl"]
    process = start(*whole, "--out", "stopped.jsonl", stderr=subprocess.DEVNULL)
    feed(process, b"".join(questions.read_bytes().splitlines(keepends=True)[:10]))
    wait_for_lines(folder / "stopped.jsonl", 5)
    process.kill()
    process.communicate()
    with open(folder / "stopped.jsonl", "ab") as torn:
        torn.write(b'{"qa": {"question": "half a li')
    assert_resume_equals_an_uninterrupted_run(webdancer, whole, questions)


def assert_resume_equals_an_uninterrupted_run(webdancer: Webdancer, arguments: list[str], questions: Path) -> None:
    folder = questions.parent
    resumed = webdancer(*arguments, "--data", "qa.jsonl", "--out", "stopped.jsonl", "--resume")
    assert resumed.returncode == 0 and "already done" in resumed.stderr
    assert webdancer(*arguments, "--data", "qa.jsonl", "--out", "whole.jsonl").returncode == 0
    assert sorted(lines(folder / "stopped.jsonl")) == sorted(lines(folder / "whole.jsonl"))
    assert len(lines(folder / "whole.jsonl")) == 3 * len(TOWNS)


def test_resume_onto_stdout_is_refused(webdancer: Webdancer, questions: Path) -> None:
    done = webdancer("sample", "--data", "qa.jsonl", "--resume")
    assert done.returncode == 2 and "--out FILE" in done.stderr.splitlines()[-1]


INTERRUPTED = (130, -signal.SIGINT)
"""A second Ctrl-C may meet the interpreter on its way out; a shell tells of 130 in both cases."""

STAGES = {
    "e2hqa": ["e2hqa", "--keep-chain"],
    "lint": ["lint"],
    "sample": ["sample", "-n", "3", "--web", "pages.jsonl"],
    "eval": ["eval", "--runs", "3"],
    "filter": ["filter"],
}


@pytest.fixture
def data(webdancer: Webdancer, questions: Path) -> Callable[[str], Path]:
    """What a stage reads: questions, or the trajectories that answer them."""

    def made(command: str) -> Path:
        if command != "filter":
            return questions
        assert webdancer("sample", "--data", "qa.jsonl", "--out", "trajectories.jsonl").returncode == 0
        return questions.with_name("trajectories.jsonl")

    return made


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("command", STAGES)
def test_ctrl_c_once_or_twice_leaves_a_file_that_resume_completes(
    start: Started, webdancer: Webdancer, data: Callable[[str], Path], command: str, times: int
) -> None:
    """The input stays open, as it does behind a slow neighbour; what was being written may be torn by the second."""
    source = data(command)
    process = start(*STAGES[command], "--out", "stopped.jsonl", "--rejects", "rejects.jsonl")
    feed(process, b"".join(source.read_bytes().splitlines(keepends=True)[:15]))
    stopped = source.with_name("stopped.jsonl")
    wait_for_lines(stopped, 3)
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    _, err = process.communicate(timeout=120)
    assert process.returncode in INTERRUPTED
    assert b"interrupted" in err and not any(word in err for word in (b"Traceback", b"ignored", b"Task")), err.decode()
    with stopped.open("ab") as torn:
        torn.write(b'{"qa": {"question": "half a li')
    resumed = webdancer(*STAGES[command], "--data", source.name, "--out", "stopped.jsonl", "--resume")
    whole = webdancer(*STAGES[command], "--data", source.name, "--out", "whole.jsonl")
    assert (resumed.returncode, whole.returncode) == (0, 0) and "already done" in resumed.stderr
    assert sorted(lines(stopped)) == sorted(lines(source.with_name("whole.jsonl"))) != []


@pytest.mark.parametrize(
    "command", [name if name == "sample" else pytest.param(name, marks=pytest.mark.slow) for name in STAGES]
)
def test_a_closed_pipe_ends_every_stage_quietly(
    start: Started, data: Callable[[str], Path], command: str, tmp_path: Path
) -> None:
    everything = data(command).read_bytes()
    process = start(*STAGES[command], "--rejects", "rejects.jsonl")
    assert process.stdout and process.stderr and process.stdin
    half = everything[: len(everything) // 2].rpartition(b"\n")[0] + b"\n"
    feed(process, half)
    assert json.loads(process.stdout.readline())
    process.stdout.close()
    with suppress(BrokenPipeError):
        feed(process, everything[len(half) :])
    assert process.wait(timeout=120) == 0
    assert not any(word in (said := process.stderr.read()) for word in (b"Error", b"Exception", b"Traceback")), said


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_while_a_model_is_silent_ends_the_run_at_once(start: Started, questions: Path, times: int) -> None:
    """Nobody waits for what is under way: neither for the answer, nor for the time limit of the call."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        process = start("sample", "--data", "qa.jsonl", "--out", "o.jsonl", "--model", "m", "--base-url", url)
        silent.settimeout(120)
        connection, _ = silent.accept()
        with connection:
            began = time.monotonic()
            for _ in range(times):
                process.send_signal(signal.SIGINT)
                time.sleep(0.05)
            _, err = process.communicate(timeout=120)
    assert process.returncode in INTERRUPTED and time.monotonic() - began < 60
    assert b"interrupted" in err and not any(word in err for word in (b"Traceback", b"ignored", b"Task")), err.decode()


@pytest.mark.slow
def test_ctrl_c_in_a_crawl_leaves_files_that_resume_completes(
    start: Started, webdancer: Webdancer, served: Served, tmp_path: Path
) -> None:
    assert webdancer("world", "--pages", "50", "--style", "plain", "--out", "world").returncode == 0
    with served(tmp_path / "world" / "site") as root:
        crawl = ["crawlqa", root, "--allow-private", "--delay-seconds", "0.02"]
        process = start(*crawl, "--pages", "stopped.pages", "--out", "stopped.jsonl")
        wait_for_lines(tmp_path / "stopped.jsonl", 3)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 130 and b"interrupted" in err and b"Traceback" not in err, err.decode()
        for name in ("stopped.pages", "stopped.jsonl"):
            with (tmp_path / name).open("ab") as torn:
                torn.write(b'{"url": "half a li')
        resumed = webdancer(*crawl, "--pages", "stopped.pages", "--out", "stopped.jsonl", "--resume")
        whole = webdancer(*crawl, "--pages", "whole.pages", "--out", "whole.jsonl")
    assert (resumed.returncode, whole.returncode) == (0, 0), resumed.stderr
    for one, other in (("stopped.pages", "whole.pages"), ("stopped.jsonl", "whole.jsonl")):
        assert sorted(map(timeless, lines(tmp_path / one))) == sorted(map(timeless, lines(tmp_path / other))) != []


def timeless(line: str) -> str:
    return re.sub(r'"fetched_at":"[^"]*"', "", line)
