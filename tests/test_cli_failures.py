"""A chat server that fails 30 % of its calls in six ways costs records, never truth, time without end, or money."""

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from loopback import Handler, listening

pytestmark = pytest.mark.slow

Webdancer = Callable[..., "subprocess.CompletedProcess[str]"]

POISON = "upstream-poison"
SEARCH = '<think>\nSearch.\n</think>\n<tool_call>\n{"name": "search", "arguments": {"query": ["mayor"]}}\n</tool_call>'
ANSWER = "<think>\nFound.\n</think>\n<answer>\nDolvek\n</answer>"
FAILURES = ("429", "500", "cut", "silence", "junk", "empty")
QUESTIONS = 24


def player(prompt: str) -> str:
    return ANSWER if "<tool_response>" in prompt else SEARCH


@contextmanager
def endpoint(
    fails: Callable[[int, str], str] = lambda number, prompt: "",
    say: Callable[[str], str] = player,
    silence: float = 60,
) -> Iterator[tuple[str, list[str]]]:
    """Says what it is to say, unless call ``number`` fails in a named way. Yields its URL and what it did."""
    numbers = count()
    did: list[str] = []
    done = threading.Event()

    class Failing(Handler):
        def do_POST(self) -> None:
            prompt = self.posted()["messages"][-1]["content"]
            failure = fails(next(numbers), prompt)
            did.append(failure)
            if failure == "silence":
                done.wait(silence)
            elif failure == "cut":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{" + POISON.encode())
                self.close_connection = True
            elif failure in ("429", "500"):
                headers = {"Retry-After": "1"} if failure == "429" else {}
                self.answer(int(failure), json.dumps({"error": {"message": POISON}}).encode(), **headers)
            elif failure == "junk":
                self.answer(200, f"<html>{POISON}</html>".encode())
            else:
                self.answer(200, self.reply("" if failure else say(prompt)))

        def reply(self, text: str) -> bytes:
            usage = {"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 400}}
            return json.dumps({"choices": [{"message": {"content": text}}], "usage": usage}).encode()

    with listening(Failing) as root:
        try:
            yield f"{root}/v1", did
        finally:
            done.set()


@pytest.fixture(autouse=True)
def inputs(tmp_path: Path) -> None:
    page = {"url": "http://a.test/velmora", "title": "Velmora", "text": "Velmora is a town. Its mayor is Dolvek."}
    (tmp_path / "pages.jsonl").write_text(json.dumps(page) + "\n")
    questions = [
        {"id": f"q{number}", "question": f"{number}: who is it?", "answer": "Dolvek"} for number in range(QUESTIONS)
    ]
    (tmp_path / "qa.jsonl").write_text("".join(json.dumps(qa) + "\n" for qa in questions))


def sample(url: str, *more: str) -> list[str]:
    files = ["--data", "qa.jsonl", "--out", "out.jsonl", "--rejects", "rejects.jsonl", "--prompts", "compact"]
    return ["sample", *files, "--model", "teacher", "--base-url", url, *more]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def three_in_ten(number: int, prompt: str) -> str:
    return FAILURES[number // 3 % len(FAILURES)] if number % 10 in (2, 5, 8) else ""


@pytest.mark.parametrize("command", ["sample", "eval"])
def test_a_third_of_failing_calls_costs_records_but_leaves_no_trace_in_any(
    webdancer: Webdancer, tmp_path: Path, command: str
) -> None:
    started = time.monotonic()
    with endpoint(three_in_ten) as (url, did):
        done = webdancer(command, *sample(url, "-j", "8", "--turn-seconds", "3")[1:])
    assert done.returncode == 1, done.stderr
    assert set(did) == {"", *FAILURES}
    good, bad = lines(tmp_path / "out.jsonl"), lines(tmp_path / "rejects.jsonl")
    ids = {record["qa_id"] if command == "eval" else record["qa"]["id"] for record in good}
    ids |= {reject["record"]["qa"]["id"] for reject in bad}
    assert len(good) + len(bad) == len(ids) == QUESTIONS
    assert {reject["reason"] for reject in bad} == {"model_error"}
    assert {(record["ending"], record["answer"]) for record in good} == {("answered", "Dolvek")}
    assert POISON not in (tmp_path / "out.jsonl").read_text()
    # Each of 24 questions makes two calls of 2.7 s at most, eight at a time: 3 * 2 * 2.7 s, and room to start.
    # A silent call would take 60 s if it were waited for.
    assert time.monotonic() - started < 60


@pytest.mark.slow
def test_failing_calls_cost_questions_that_are_to_be_made_harder_but_never_change_one(
    webdancer: Webdancer, tmp_path: Path
) -> None:
    """It names what is not in the question, which then passes as it is; where it fails, the question is rejected."""

    def fails(number: int, prompt: str) -> str:
        return FAILURES[number % len(FAILURES)] if "3: who is it?" in prompt else three_in_ten(number, prompt)

    with endpoint(fails, lambda _: json.dumps({"entity": "x", "query": "x"}), silence=1) as (url, did):
        files = ["--data", "qa.jsonl", "--out", "out.jsonl", "--rejects", "rejects.jsonl"]
        done = webdancer("e2hqa", *files, "--model", "teacher", "--base-url", url)
    assert done.returncode == 1, done.stderr
    good, bad = lines(tmp_path / "out.jsonl"), lines(tmp_path / "rejects.jsonl")
    failed = {"q3", "q13", "q23"}
    assert set(did) == {"", *FAILURES}
    assert {record["id"] for record in good} == {f"q{number}" for number in range(QUESTIONS)} - failed
    assert {(reject["id"], reject["reason"]) for reject in bad} == {(id, "model_error") for id in failed}
    assert POISON not in (tmp_path / "out.jsonl").read_text()


def test_a_budget_stops_the_run_cleanly_and_resume_does_the_rest(webdancer: Webdancer, tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text('["teacher"]\ninput = 2.0\ncached = 0.5\noutput = 10.0\n')
    # A call costs (600 * 2 + 400 * 0.5 + 100 * 10) / 1e6 = $0.0024 and 1100 tokens; a question takes two calls.
    with endpoint() as (url, did):
        arguments = sample(url, "-j", "2", "--prices", "prices.toml")
        stopped = webdancer(*arguments, "--max-cost", "0.02")
        calls, kept = len(did), lines(tmp_path / "out.jsonl")
        finished = webdancer(*arguments, "--resume")
    assert stopped.returncode == 1
    assert "--max-cost 0.02 is spent" in stopped.stderr and "--resume" in stopped.stderr
    assert 9 <= calls <= 10  # 9 calls cost $0.0216; the tenth may have been under way
    assert 3 <= len(kept) <= 5
    assert {record["usage"]["cost"] for record in kept} == {0.0048}
    assert lines(tmp_path / "rejects.jsonl") == []
    assert finished.returncode == 0, finished.stderr
    records = lines(tmp_path / "out.jsonl")
    assert records[: len(kept)] == kept
    assert sorted(record["qa"]["id"] for record in records) == sorted(f"q{number}" for number in range(QUESTIONS))
    assert "400 cached" not in stopped.stderr and f"{calls} calls, {calls * 1000} tokens in" in stopped.stderr


def test_a_token_budget_stops_the_run(webdancer: Webdancer, tmp_path: Path) -> None:
    with endpoint() as (url, did):
        done = webdancer(*sample(url, "-j", "1", "--max-tokens", "4000", "--quiet"))
    assert (done.returncode, len(did)) == (1, 4)  # 3 calls take 3300 tokens, 4 calls 4400
    assert "--max-tokens 4000 are spent (4400)" in done.stderr


def test_a_cost_limit_needs_a_price(webdancer: Webdancer) -> None:
    done = webdancer(*sample("http://127.0.0.1:9/v1", "--max-cost", "1"))
    assert done.returncode == 2
    assert "teacher has no known price" in done.stderr and "--prices" in done.stderr


def test_two_endpoints_share_the_calls_and_a_dead_one_costs_nothing(webdancer: Webdancer, tmp_path: Path) -> None:
    def takes_its_time(prompt: str) -> str:
        """Longer than opening a connection may take: a call that is stuck there makes an endpoint the busier one."""
        time.sleep(0.3)
        return player(prompt)

    dead = "http://127.0.0.1:9/v1"
    with endpoint(say=takes_its_time) as (one, did_one), endpoint(say=takes_its_time) as (two, did_two):
        done = webdancer(*sample(one, "--base-url", two, "--base-url", dead, "-j", "4"))
    assert done.returncode == 0, done.stderr
    assert len(lines(tmp_path / "out.jsonl")) == QUESTIONS
    assert len(did_one) + len(did_two) == 2 * QUESTIONS
    assert min(len(did_one), len(did_two)) > QUESTIONS / 2


@pytest.mark.parametrize("command", ["crawlqa", "e2hqa", "eval"])
def test_a_budget_stops_every_stage_that_calls_a_model(webdancer: Webdancer, tmp_path: Path, command: str) -> None:
    text = "Velmora is a town. Its mayor is Dolvek. " + "It rains a lot there. " * 20
    pages = [{"url": f"http://a.test/{number}", "title": f"Velmora {number}", "text": text} for number in range(9)]
    (tmp_path / "many.jsonl").write_text("".join(json.dumps(page) + "\n" for page in pages))
    source = ["many.jsonl", "--pages", "unused"] if command == "crawlqa" else ["--data", "qa.jsonl"]
    with endpoint() as (url, did):
        done = webdancer(command, *source, "--model", "teacher", "--base-url", url, "-j", "2", "--max-tokens", "4000")
    assert done.returncode == 1
    assert "stopped: --max-tokens 4000 are spent" in done.stderr
    assert not any(word in done.stderr for word in ("Traceback", "never retrieved", "bug"))
    assert 4 <= len(did) <= 5  # 4 calls take 4400 tokens; one more may have been under way
