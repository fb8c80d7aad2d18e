"""Commands with ``--base-url``, in real processes, against a local endpoint that says what it was told to say."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from loopback import answering

from webdancer_cli.wiring import run_stage

Webdancer = Callable[..., "subprocess.CompletedProcess[str]"]
Said = Callable[[str], str | None]
"""What the endpoint says to the last message of a request; None is an HTTP error."""

SENTENCE = "Velmora is the town where the glass festival began in 1820."
FILLER = "The rest of the page speaks of the weather, of fairs, and of a bridge that was never finished. " * 3
PAGES = [
    {"url": "http://a.test/glass", "title": "Glass festival", "text": f"A festival of glass. {SENTENCE} {FILLER}"},
    {"url": "http://a.test/velmora", "title": "Velmora", "text": f"Velmora is a town. Its mayor is Dolvek. {FILLER}"},
]
QUESTION = {"question": "Who is the mayor of Velmora?", "answer": "Dolvek", "type": "single_hop", "level": 1}
WRITTEN = {
    **{name: QUESTION[name] for name in ("question", "answer", "type")},
    "evidence": [{"page": 1, "quote": "Velmora is a town. Its mayor is Dolvek."}],
}
HARDER = {
    "page": 1,
    "sentence": SENTENCE,
    "description": "the town where the glass festival began",
    "question": "Who is the mayor of the town where the glass festival began?",
}
CHOSEN = {"entity": "Velmora", "query": "Velmora glass festival"}
SOUND = dict.fromkeys(["one_question", "grammatical", "same_answer", "description_fits"], True)
SEARCH = '<think>\nSearch.\n</think>\n<tool_call>\n{"name": "search", "arguments": {"query": ["mayor"]}}\n</tool_call>'
ANSWER = "<think>\nFound.\n</think>\n<answer>\nDolvek\n</answer>"


@contextmanager
def endpoint(say: Said) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An OpenAI-shaped chat endpoint on loopback: its base URL, and the requests it gets."""
    requests: list[dict[str, Any]] = []

    def reply(request: Any, _: object) -> tuple[int, object]:
        requests.append(request)
        text = say(request["messages"][-1]["content"])
        choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        body = {"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 5}}
        return 403 if text is None else 200, body

    with answering(reply) as url:
        yield url, requests


def at(url: str) -> list[str]:
    return ["--model", "teacher", "--base-url", url]


def text(*values: object) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


def records(done: "subprocess.CompletedProcess[str]", code: int = 0) -> list[dict[str, Any]]:
    assert done.returncode == code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(autouse=True)
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "pages.jsonl"
    path.write_text(text(*PAGES))
    return path


def test_a_chat_model_writes_questions_and_what_it_makes_up_is_refused(webdancer: Webdancer, tmp_path: Path) -> None:
    made_up = {**WRITTEN, "evidence": [{"page": 1, "quote": "Dolvek is a king."}]}

    def say(prompt: str) -> str:
        return json.dumps({"questions": [WRITTEN if "[Page 1] Velmora" in prompt else made_up]})

    with endpoint(say) as (url, requests):
        done = webdancer("crawlqa", "pages.jsonl", "--pages", "unused.jsonl", "--rejects", "rejects.jsonl", *at(url))
    written = records(done)
    assert [(qa["question"], qa["answer"], qa["author"]) for qa in written] == [
        (QUESTION["question"], "Dolvek", "teacher")
    ]
    assert [json.loads(line)["reason"] for line in (tmp_path / "rejects.jsonl").read_text().splitlines()] == [
        "quote_not_found"
    ]
    assert [(request["model"], request["temperature"]) for request in requests] == [("teacher", 0.6)] * 2
    assert "builtin" not in done.stderr


def test_a_chat_model_makes_a_question_harder(webdancer: Webdancer) -> None:
    def say(prompt: str) -> str:
        return json.dumps(HARDER if "[Page 1]" in prompt else CHOSEN | SOUND)

    with endpoint(say) as (url, _):
        (harder,) = records(webdancer("e2hqa", *at(url), stdin=text(QUESTION)))
    assert (harder["question"], harder["answer"], harder["level"]) == (HARDER["question"], "Dolvek", 2)
    assert harder["author"] == "teacher"


def test_a_chat_model_plays_and_is_graded(webdancer: Webdancer) -> None:
    def say(prompt: str) -> str:
        return ANSWER if "<tool_response>" in prompt else SEARCH

    with endpoint(say) as (url, _):
        (played,) = records(webdancer("sample", "--prompts", "compact", *at(url), stdin=text(QUESTION)))
        graded = webdancer("eval", "--prompts", "compact", *at(url), stdin=text(QUESTION))
    assert (played["ending"], played["answer"], played["model"]) == ("answered", "Dolvek", "teacher")
    assert [message["role"] for message in played["messages"]][-4:] == ["user", "assistant", "user", "assistant"]
    (attempt,) = records(graded)
    assert (attempt["verdict"]["outcome"], attempt["format_ok"]) == ("correct", True)
    assert "1/1" in graded.stderr


@pytest.mark.parametrize("command", ["crawlqa", "e2hqa", "sample", "eval"])
def test_an_endpoint_that_refuses_is_a_failure_and_never_a_record(
    webdancer: Webdancer, tmp_path: Path, command: str
) -> None:
    arguments = ["pages.jsonl", "--pages", "unused.jsonl"] if command == "crawlqa" else []
    with endpoint(lambda prompt: None) as (url, _):
        done = webdancer(command, *arguments, "--rejects", "rejects.jsonl", *at(url), stdin=text(QUESTION))
    assert records(done, code=1) == []
    rejected = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert {reject["reason"] for reject in rejected} == {"model_error"}
    assert all("403" in reject["detail"] for reject in rejected)


@pytest.mark.parametrize("error", [None, RuntimeError("broken")])
def test_a_player_is_closed_however_its_stage_ends(error: Exception | None) -> None:
    class Player:
        closed = 0

        async def aclose(self) -> None:
            self.closed += 1

    async def stage() -> int:
        if error:
            raise error
        return 7

    player = Player()
    try:
        assert run_stage(stage(), player) == 7
    except RuntimeError as raised:
        assert raised is error
    assert player.closed == 1
