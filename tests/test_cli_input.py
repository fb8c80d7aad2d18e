"""Bad input, in real processes with real stdin: one clear line, the right exit code, and nothing lost."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

Webdancer = Callable[..., "subprocess.CompletedProcess[str]"]
Served = Callable[[Path], AbstractContextManager[str]]

SLOW_RL = pytest.param("rl", marks=pytest.mark.slow)

PAGE = {"url": "http://a.test/1", "title": "Alba Corr", "text": "Alba Corr is a painter. Alba Corr was born in Vell."}
EVIDENCE = {"url": "http://a.test/1", "title": "Alba Corr", "quote": "Alba Corr was born in Vell."}
GOOD = {
    "question": "Where was Alba Corr born?",
    "answer": "Vell",
    "type": "single_hop",
    "level": 1,
    "evidence": [EVIDENCE],
}
OTHER = GOOD | {"question": "What is the birthplace of Alba Corr?"}


@pytest.fixture(autouse=True)
def corpus(tmp_path: Path) -> Path:
    return write(tmp_path / "pages.jsonl", PAGE)


def write(path: Path, *values: object) -> Path:
    path.write_text("".join(text(value) for value in values))
    return path


def text(value: object) -> str:
    return (value if isinstance(value, str) else json.dumps(value)) + "\n"


def refused(done: "subprocess.CompletedProcess[str]", code: int, *said: str) -> str:
    """The one line on stderr, but for the notice of the built-in model, of a run that ended with ``code``."""
    lines = [line for line in done.stderr.splitlines() if "--model builtin:" not in line]
    assert (done.returncode, done.stdout, len(lines)) == (code, "", 1), done
    assert all(word in lines[0] for word in said), lines[0]
    return lines[0]


# --- no input


@pytest.mark.parametrize("command", ["crawlqa", "e2hqa", "sample", "filter", "sft", "rl", "eval"])
def test_a_terminal_on_stdin_and_no_file_is_a_usage_error(
    command: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    """Nobody is piping; and an earlier result must survive the mistake."""
    kept = write(tmp_path / "out.jsonl", GOOD).read_text()
    keyboard, terminal = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "webdancer_cli", command, "--out", "out.jsonl"],
            stdin=terminal,
            capture_output=True,
            text=True,
            timeout=120,
            cwd=tmp_path,
            env=environment,
        )
    finally:
        os.close(keyboard)
        os.close(terminal)
    refused(done, 2, f"webdancer {command}: nothing on stdin", "--data")
    assert (tmp_path / "out.jsonl").read_text() == kept


@pytest.mark.parametrize("command", ["e2hqa", "sample", "filter", "sft", "rl", "eval"])
def test_a_file_that_is_not_there_is_a_usage_error(webdancer: Webdancer, command: str, tmp_path: Path) -> None:
    kept = write(tmp_path / "out.jsonl", GOOD).read_text()
    refused(webdancer(command, "--data", "nowhere.jsonl", "--out", "out.jsonl"), 2, "nowhere.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == kept


def test_input_and_output_of_one_name_would_lose_the_input(webdancer: Webdancer, tmp_path: Path) -> None:
    kept = write(tmp_path / "qa.jsonl", GOOD).read_text()
    refused(webdancer("sample", "--data", "qa.jsonl", "--out", "./qa.jsonl"), 2, "qa.jsonl", "different files")
    refused(webdancer("sample", "--out", "new.jsonl", "--rejects", "new.jsonl"), 2, "new.jsonl", "different files")
    assert (tmp_path / "qa.jsonl").read_text() == kept


def test_an_empty_input_is_an_empty_result(webdancer: Webdancer) -> None:
    done = webdancer("sample", stdin="")
    assert (done.returncode, done.stdout) == (0, "")


# --- broken records


@pytest.mark.parametrize("command", ["e2hqa", "sample", "eval"])
def test_a_broken_line_in_the_middle_loses_only_itself(webdancer: Webdancer, command: str, tmp_path: Path) -> None:
    done = webdancer(command, "--rejects", "rejects.jsonl", stdin=text(GOOD) + '{"question": "half a\n' + text(OTHER))
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 2
    rejected = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert [(line["reason"], line["stage"], line["record"]) for line in rejected] == [
        ("broken_line", command, '{"question": "half a')
    ]
    assert rejected[0]["detail"].startswith("stdin:2: ")
    assert "broken_line 1" in done.stderr


@pytest.mark.parametrize("command", ["e2hqa", "lint", "sample", "eval", "filter"])
def test_every_record_is_written_or_rejected_with_a_reason(webdancer: Webdancer, command: str, tmp_path: Path) -> None:
    """Good, broken, of the wrong shape, there before, and without an answer or an episode that ends in one."""
    bad: list[object] = ["{", "[1, 2]", OTHER | {"question": 2}, {"nothing": 1}]
    given: list[object] = [GOOD, *bad, GOOD, OTHER | {"evidence": []}]
    if command == "filter":
        messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "Hm."}]
        episode = {"qa": GOOD, "messages": messages, "ending": "format_error"}
        given = [episode, *bad, episode | {"messages": messages[:1]}]
    done = webdancer(command, "--rejects", "rejects.jsonl", stdin="".join(map(text, given)))
    assert done.returncode == 1, done.stderr
    rejected = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert len(done.stdout.splitlines()) + len(rejected) == len(given)
    assert all(re.fullmatch("[a-z_]+", line["reason"]) and line["stage"] == command for line in rejected)
    assert [line["reason"] for line in rejected].count("broken_line") == 1
    assert [line["reason"] for line in rejected].count("wrong_shape") == 3


def test_a_field_of_the_wrong_type_loses_only_its_record(webdancer: Webdancer, tmp_path: Path) -> None:
    wrong = OTHER | {"question": 2}
    done = webdancer("sample", "--rejects", "rejects.jsonl", stdin=text(GOOD) + text(wrong))
    assert (done.returncode, len(done.stdout.splitlines())) == (1, 1)
    rejected = json.loads((tmp_path / "rejects.jsonl").read_text())
    assert (rejected["reason"], rejected["record"]) == ("wrong_shape", wrong)
    assert "question" in rejected["detail"] and "stdin:2" in rejected["detail"]


def test_unknown_fields_travel_along(webdancer: Webdancer) -> None:
    done = webdancer("e2hqa", stdin=text(GOOD | {"my_column": [1, 2]}))
    assert json.loads(done.stdout)["my_column"] == [1, 2]


@pytest.mark.parametrize(
    ("command", "given", "what"),
    [
        pytest.param("sft", GOOD, "question", marks=pytest.mark.slow),
        ("filter", GOOD, "question"),
        ("sample", PAGE, "page"),
        ("eval", PAGE, "page"),
    ],
)
def test_data_of_the_wrong_kind_says_what_it_is(
    webdancer: Webdancer, tmp_path: Path, command: str, given: dict[str, Any], what: str
) -> None:
    write(tmp_path / "wrong.jsonl", given)
    refused(webdancer(command, "--data", "wrong.jsonl", "--out", "new"), 2, "wrong.jsonl:1", f"this is a {what}")


def test_data_of_the_wrong_kind_leaves_an_earlier_result_alone(webdancer: Webdancer, tmp_path: Path) -> None:
    write(tmp_path / "wrong.jsonl", GOOD)
    kept = write(tmp_path / "out.jsonl", PAGE).read_text()
    refused(webdancer("filter", "--data", "wrong.jsonl", "--out", "out.jsonl"), 2, "wrong.jsonl:1")
    assert (tmp_path / "out.jsonl").read_text() == kept


# --- the corpus and the web


@pytest.mark.parametrize("command", ["e2hqa", "sample", "eval", SLOW_RL])
@pytest.mark.parametrize("web", ["empty.jsonl", "nowhere.jsonl"])
def test_a_corpus_without_pages_is_a_usage_error(webdancer: Webdancer, tmp_path: Path, command: str, web: str) -> None:
    write(tmp_path / "empty.jsonl")
    refused(webdancer(command, "--web", web, "--out", "new", stdin=text(GOOD)), 2, web)


def test_a_corpus_of_questions_is_a_usage_error(webdancer: Webdancer, tmp_path: Path) -> None:
    write(tmp_path / "qa.jsonl", GOOD)
    refused(webdancer("sample", "--web", "qa.jsonl", stdin=text(GOOD)), 2, "qa.jsonl:1", "this is a question")


@pytest.mark.parametrize("root", ["http://nowhere.invalid/", "http://127.0.0.1:9/"])
def test_a_root_that_cannot_be_reached_is_a_rejected_record(webdancer: Webdancer, tmp_path: Path, root: str) -> None:
    done = webdancer("crawlqa", root, "--allow-private", "--rejects", "rejects.jsonl", "--pages", "new.jsonl")
    assert (done.returncode, done.stdout) == (1, "")
    rejected = json.loads((tmp_path / "rejects.jsonl").read_text())
    assert rejected["record"]["url"] == root and rejected["reason"] and rejected["detail"]


def test_a_site_that_forbids_robots_is_not_read(webdancer: Webdancer, served: Served, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "robots.txt").write_text("User-agent: *\nDisallow: /\n")
    (site / "index.html").write_text("<title>Secret</title><p>Nobody may read this.</p>")
    with served(site) as root:
        done = webdancer("crawlqa", root, "--allow-private", "--rejects", "rejects.jsonl", "--pages", "new.jsonl")
    assert (done.returncode, done.stdout) == (1, "")
    assert "robots" in json.loads((tmp_path / "rejects.jsonl").read_text())["reason"]
    assert (tmp_path / "new.jsonl").read_text() == ""


def test_a_loopback_site_needs_allow_private(webdancer: Webdancer, served: Served, tmp_path: Path) -> None:
    with served(tmp_path) as root:
        done = webdancer("crawlqa", root, "--rejects", "rejects.jsonl", "--pages", "new.jsonl")
    assert (done.returncode, done.stdout) == (1, "")
    assert "--allow-private" in json.loads((tmp_path / "rejects.jsonl").read_text())["detail"]


# --- models


@pytest.mark.parametrize("command", ["sample", "eval", "rl"])
@pytest.mark.slow
def test_a_missing_checkpoint_is_a_usage_error(webdancer: Webdancer, command: str) -> None:
    refused(webdancer(command, "--model", "./no-such-model", "--out", "new", stdin=text(GOOD)), 2, "no-such-model")


@pytest.mark.slow
def test_a_checkpoint_without_a_tokenizer_is_a_usage_error(webdancer: Webdancer, tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "config.json").write_text('{"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]}')
    refused(webdancer("sample", "--model", "./half", stdin=text(GOOD)), 2, "half", "tokenizer")


@pytest.mark.parametrize("command", ["sample", "sft"])
def test_a_missing_extra_names_what_to_install(webdancer: Webdancer, tmp_path: Path, command: str) -> None:
    """As where torch was never installed: the import fails, which a folder before it on the path brings about."""
    without = tmp_path / "without"
    without.mkdir()
    (without / "torch.py").write_text('raise ModuleNotFoundError("No module named \'torch\'", name="torch")')
    path = f"{without}{os.pathsep}{Path(__file__).parent.parent}"
    done = webdancer(command, "--model", "nano", "--out", "new", stdin=text(GOOD), PYTHONPATH=path)
    refused(done, 2, "torch", "pip install 'webdancer[train]'")


def test_an_author_that_needs_an_endpoint_says_so(webdancer: Webdancer) -> None:
    refused(webdancer("e2hqa", "--model", "qwen", stdin=text(GOOD)), 2, "qwen", "--base-url")


@pytest.mark.parametrize("command", ["crawlqa", "e2hqa", "sample", "eval"])
def test_an_endpoint_without_a_model_name_says_so(webdancer: Webdancer, command: str) -> None:
    done = webdancer(command, "--base-url", "http://127.0.0.1:9/v1", stdin=text(GOOD))
    refused(done, 2, "http://127.0.0.1:9/v1", "--model")


# --- output


@pytest.mark.parametrize("command", ["e2hqa", "sample", "filter", "eval"])
def test_an_output_that_cannot_be_written_is_a_usage_error(webdancer: Webdancer, tmp_path: Path, command: str) -> None:
    """A file stands where a folder would have to be: that stops root, too."""
    write(tmp_path / "file", PAGE)
    refused(webdancer(command, "--out", "file/out.jsonl", stdin=""), 2, "file")


@pytest.mark.parametrize("command", ["sft", "rl"])
@pytest.mark.slow
def test_a_checkpoint_folder_that_cannot_be_written_is_a_usage_error(
    webdancer: Webdancer, tmp_path: Path, command: str
) -> None:
    write(tmp_path / "file", PAGE)
    refused(webdancer(command, "--model", "nano", "--out", "file/model", stdin=text(GOOD)), 2, "file")


def test_a_full_disk_ends_the_run_with_a_line(webdancer: Webdancer) -> None:
    done = webdancer("sample", "--out", "/dev/full", stdin=text(GOOD))
    refused(done, 1, "/dev/full", "No space left on device")
