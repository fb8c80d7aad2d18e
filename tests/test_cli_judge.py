"""A model as judge and critic behind the real commands: asked, failing, stopped, resumed, replayed."""

import json
import re
import subprocess
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
FAILURES = ("429", "500", "cut", "silence", "junk", "empty")
SILENT_SECONDS = 1.0
SEARCH = '<think>\nSearch.\n</think>\n<tool_call>\n{"name": "search", "arguments": {"query": ["mayor"]}}\n</tool_call>'
SEEN = "<tool_response>\nIts mayor is Dolvek.\n</tool_response>"


def turn(answer: str) -> str:
    return f"<think>\nFound.\n</think>\n<answer>\n{answer}\n</answer>"


def speak(model: str, prompt: str, number: int) -> str:
    """A teacher that finds the mayor, and a judge and critic who never give the same reason twice."""
    if model == "teacher":
        asked = re.search(r"\d+", prompt.rpartition("User: ")[2])
        return turn(f"It is Dolvek, by page {asked[0] if asked else 0}.") if "<tool_response>" in prompt else SEARCH
    reason = f"In call {number}."
    if "The criterion" in prompt:
        bad = "Non-redundancy." in prompt and "I repeat myself" in prompt
        return json.dumps({"reason": reason, "verdict": "bad" if bad else "good"})
    answer = prompt.partition("<given_answer>")[2].partition("</given_answer>")[0]
    if "babble" in answer:
        return "It is correct, I should say."
    is_right = "not" not in answer and ("Dolvek" in answer or "Paris" in answer)
    verdict = "unsure" if "perhaps" in answer else "correct" if is_right else "wrong"
    return json.dumps({"reason": reason, "verdict": verdict})


class Endpoint:
    """What was asked of a chat server, and what it did to each call: "" for an honest reply."""

    def __init__(self) -> None:
        self.url = ""
        self.prompts: list[str] = []
        self.did: list[str] = []

    def about(self, text: str) -> int:
        return sum(text in prompt for prompt in self.prompts)


@contextmanager
def endpoint(fails: Callable[[int, str], str] = lambda number, prompt: "") -> Iterator[Endpoint]:
    served, numbers = Endpoint(), count()

    class Failing(Handler):
        def do_POST(self) -> None:
            request = self.posted()
            prompt, number = request["messages"][0]["content"] + request["messages"][-1]["content"], next(numbers)
            failure = fails(number, prompt)
            served.prompts.append(prompt)
            served.did.append(failure)
            if failure == "silence":
                time.sleep(SILENT_SECONDS)
                self.close_connection = True
            elif failure == "cut":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{" + POISON.encode())
                self.close_connection = True
            elif failure in ("400", "429", "500"):
                self.answer(int(failure), json.dumps({"error": {"message": POISON}}).encode())
            elif failure == "junk":
                self.answer(200, f"<html>{POISON}</html>".encode())
            else:
                text = "" if failure else speak(request["model"], prompt, number)
                usage = {"prompt_tokens": 900, "completion_tokens": 100}
                self.answer(200, json.dumps({"choices": [{"message": {"content": text}}], "usage": usage}).encode())

    with listening(Failing) as root:
        served.url = f"{root}/v1"
        yield served


def played(number: int, answer: str, thought: str = "Found.") -> dict[str, Any]:
    last = f"<think>\n{thought}\n</think>\n<answer>\n{answer}\n</answer>"
    texts = [f"{number}: who is the mayor?", SEARCH, SEEN, last]
    return {
        "id": f"t{number}",
        "qa": {"id": f"q{number}", "question": f"{number}: who is the mayor?", "answer": "Dolvek"},
        "messages": [
            {"role": role, "content": text} for role, text in zip(("user", "assistant") * 2, texts, strict=True)
        ],
        "ending": "answered",
        "answer": answer,
    }


def write(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(autouse=True)
def inputs(tmp_path: Path) -> None:
    write(tmp_path / "pages.jsonl", [{"url": "http://a.test/v", "title": "Velmora", "text": "Its mayor is Dolvek."}])
    questions = [{"id": f"q{n}", "question": f"{n}: who is the mayor?", "answer": "Dolvek"} for n in range(12)]
    write(tmp_path / "qa.jsonl", questions)
    said = ["Dolvek", "It is Dolvek.", "It is not Dolvek.", "perhaps Dolvek", "babble", "The mayor: Dolvek"]
    lines = [played(n, said[n % 6], "I repeat myself." if n % 6 == 5 else "Found.") for n in range(24)]
    write(tmp_path / "t.jsonl", lines)


def filtering(url: str, *more: str, out: str = "out") -> list[str]:
    files = ["--data", "t.jsonl", "--out", out, "--rejects", f"{out}.rejects"]
    judge = ["--judge-model", "judge", "--judge-base-url", url]
    return ["filter", *files, "--stages", "validity,correctness,quality,model", *judge, *more]


def evaluating(url: str, *more: str, out: str = "out") -> list[str]:
    files = ["--data", "qa.jsonl", "--out", out, "--rejects", f"{out}.rejects", "--prompts", "compact"]
    return ["eval", *files, "--model", "teacher", "--base-url", url, "--judge-model", "judge", *more]


def test_filter_asks_the_judge_and_the_critic(webdancer: Webdancer, tmp_path: Path) -> None:
    with endpoint() as served:
        done = webdancer(*filtering(served.url))
    kept, rejects = read(tmp_path / "out"), read(tmp_path / "out.rejects")
    assert [line["id"] for line in kept] == [f"t{n}" for n in range(24) if n % 6 in (0, 1)]
    assert {line["verdict"]["method"].split()[0] for line in kept} == {"match", "model:judge"}
    assert [opinion["criterion"] for opinion in kept[0]["opinions"]] == [
        "non_redundancy", "goal_alignment", "logical_reasoning", "accuracy",
    ]  # fmt: skip
    told = [(line["id"], line["reason"]) for line in rejects]
    reasons = {2: "wrong_answer", 3: "unjudged", 4: "unjudged", 5: "non_redundancy"}
    assert told == [(f"t{n}", reasons[n % 6]) for n in range(24) if n % 6 in reasons]
    # 20 answers are no match by rule, 4 of them are asked about twice; 8 good records have 4 opinions each, 4 have one
    assert (served.about("<given_answer>"), served.about("The criterion")) == (24, 36)
    assert done.returncode == 1  # 8 could not be judged
    table = done.stderr.splitlines()
    assert [line.split() for line in table if line.strip().startswith(("model", "unjudged"))][:2] == [
        ["unjudged", "-8", "33.3", "%"],
        ["model", "12", "8", "66.7", "%"],
    ]


@pytest.mark.slow
def test_a_third_of_failing_calls_leaves_no_trace_in_any_record(webdancer: Webdancer, tmp_path: Path) -> None:
    def fails(number: int, prompt: str) -> str:
        if "<question>\n7: who" in prompt:
            return "400"  # this one fails for good
        return FAILURES[number // 3 % len(FAILURES)] if number % 10 in (2, 5, 8) else ""

    with endpoint() as honest:
        webdancer(*filtering(honest.url, out="honest"))
    with endpoint(fails) as served:
        done = webdancer(*filtering(served.url, "-j", "4"))
    assert set(served.did) == {"", "400", *FAILURES}
    assert done.returncode == 1 and "Traceback" not in done.stderr
    good = read(tmp_path / "out")
    assert [line["id"] for line in good] == [line["id"] for line in read(tmp_path / "honest") if line["id"] != "t7"]
    reject = next(line for line in read(tmp_path / "out.rejects") if line["id"] == "t7")
    assert reject["reason"] == "unjudged" and reject["detail"].startswith("model_error")
    assert len(good) + len(read(tmp_path / "out.rejects")) == 24
    assert POISON not in (tmp_path / "out").read_text()


def test_eval_is_judged_by_the_model_and_says_so(webdancer: Webdancer, tmp_path: Path) -> None:
    def fails(number: int, prompt: str) -> str:
        return "400" if "<question>\n7: who" in prompt or "<question>\n9: who" in prompt else ""

    with endpoint(fails) as served:
        done = webdancer(*evaluating(served.url))
        attempts = read(tmp_path / "out")
        assert [line["verdict"]["outcome"] for line in attempts].count("correct") == 10
        assert [line["verdict"]["detail"] for line in attempts if line["verdict"]["outcome"] == "unjudged"] == [
            "model_error",
            "model_error",
        ]
        assert done.returncode == 1 and "2 unjudged" in done.stderr
        assert "10/10" in done.stderr and "judged by: model:judge judge compact:" in done.stderr
        assert POISON not in (tmp_path / "out").read_text()
        assert attempts[0]["calls"][0]["tool"] == "search"
    with endpoint() as served:
        again = webdancer(*evaluating(served.url, "--resume"))
    assert again.returncode == 0, again.stderr
    assert "12/12" in again.stderr
    assert sorted(line["qa_id"] for line in read(tmp_path / "out")) == sorted(f"q{n}" for n in range(12))
    assert served.about("<given_answer>") == 2 + 2  # what had failed, and the two answers by which a judge is tried out


@pytest.mark.parametrize("command", [filtering, evaluating])
def test_a_recorded_run_is_replayed_byte_for_byte_without_the_network(
    webdancer: Webdancer, tmp_path: Path, offline: dict[str, str], command: Callable[..., list[str]]
) -> None:
    key = "sk-canary-0123456789abcdef"
    with endpoint() as served:
        live = webdancer(*command(served.url, "--tape", "run.tape", out="live"), OPENAI_API_KEY=key)
    again = [*command(served.url, "--tape", "run.tape", "--tape-mode", "replay", out="again")]
    replayed = webdancer(*again, OPENAI_API_KEY=key, **offline)
    assert live.returncode == replayed.returncode, replayed.stderr
    for name in ("live", "live.rejects"):
        assert (tmp_path / name).read_bytes() == (tmp_path / name.replace("live", "again")).read_bytes()
    assert (tmp_path / "live").read_bytes()
    assert "0 recorded, 0 missed" in replayed.stderr
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and key.encode() in path.read_bytes()]


def test_a_judged_run_is_verified_from_its_card_and_its_tape_alone(
    webdancer: Webdancer, tmp_path: Path, offline: dict[str, str]
) -> None:
    with endpoint() as served:
        done = webdancer(*evaluating(served.url, "--tape", "run.tape", "--card", "card.json"))
    assert done.returncode in (0, 1), done.stderr
    verified = webdancer("verify", "card.json", **offline)
    assert (verified.returncode, verified.stdout) == (0, ""), verified.stdout + verified.stderr
    assert "12 verified, 0 faults" in verified.stderr and "as they stand" not in verified.stderr
    text = (tmp_path / "out").read_text()
    (tmp_path / "out").write_text(text.replace('"outcome":"correct"', '"outcome":"wrong"', 1))
    verified = webdancer("verify", "card.json", **offline)
    assert verified.returncode == 1 and "graded anew 'correct' by model:judge judge compact:" in verified.stdout


def test_a_budget_stops_the_judge_and_resume_asks_about_the_rest_only(webdancer: Webdancer, tmp_path: Path) -> None:
    write(tmp_path / "t.jsonl", [played(n, "It is Dolvek.") for n in range(8)])
    with endpoint() as served:
        stopped = webdancer(*filtering(served.url, "-j", "1", "--max-tokens", "12000", "--unused-qa", "rl.jsonl"))
        calls, kept = len(served.did), read(tmp_path / "out")
        finished = webdancer(*filtering(served.url, "-j", "1", "--resume", "--unused-qa", "rl.jsonl"))
    # a trajectory takes 5 calls of 1000 tokens: 2 are whole when 12 calls are spent
    assert (stopped.returncode, calls, len(kept)) == (1, 12, 2)
    assert "--max-tokens 12000 are spent" in stopped.stderr and "Traceback" not in stopped.stderr
    assert finished.returncode == 0, finished.stderr
    assert read(tmp_path / "out")[:2] == kept and len(read(tmp_path / "out")) == 8
    assert len(served.did) - calls == 6 * 5
    assert read(tmp_path / "rl.jsonl") == []


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--stages", "validity,model"], "--judge-model"),
        (["--judge-model", "judge"], "--judge-base-url"),
        (["--judge-base-url", "http://127.0.0.1:9/v1"], "--judge-model"),
    ],
)
def test_what_is_missing_is_named_before_any_work(webdancer: Webdancer, more: list[str], told: str) -> None:
    done = webdancer("filter", "--data", "t.jsonl", *more)
    assert done.returncode == 2 and told in done.stderr and len(done.stderr.splitlines()) == 1
