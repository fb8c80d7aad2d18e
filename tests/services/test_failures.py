"""What services and gateways say when they fail, each in its own form, and what is made of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from webdancer_cli.services.failures import classify_failure, find_error


def openai(message: str, code: str | None = None, kind: str = "invalid_request_error", param: str | None = None) -> Any:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def said(message: str) -> Any:
    return {"error": {"message": message}}


TOLD = [json.loads(line) for line in Path(__file__).with_name("failures.jsonl").read_text("utf-8").splitlines()]
LLAMA_CPP_PYTHON = "[{'type': 'literal_error', 'loc': ('body', 'response_format', 'type'), 'msg': 'Input should be …'}]"


@pytest.mark.parametrize("case", TOLD, ids=str)
def test_status_and_words_together_tell_what_a_failure_means(case: dict[str, Any]) -> None:
    kind, status, body = case["kind"], case["status"], case["body"]
    text = body if isinstance(body, str) else json.dumps(body)
    assert classify_failure(status, text).kind == kind
    for wrapped in (text, f"\ufeff{text}", f"data: {text}\n\ndata: [DONE]\n"):
        assert classify_failure(status, wrapped.encode()).kind == kind


@pytest.mark.parametrize("body", [case["body"] for case in TOLD if case["status"] == 200], ids=str)
def test_an_error_under_http_200_is_seen(body: Any) -> None:
    assert find_error(body) == find_error([body]) == body


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [{"message": {"content": "hi"}}], "error": None},
        {"choices": [], "error": {}},
        {"choices": [], "error": {"code": 0, "message": ""}},
        {"organic": [], "credits": 1},
        {"code": 200, "status": 20000, "data": {"content": "x", "warning": "error 404"}},
        {"type": "search", "query": {"original": "error"}},
        {"results": [], "message": "ok", "status": "ok"},
        {"results": [{"title": "Error 404", "message": "Not enough credits"}]},
        [],
        "error",
        None,
    ],
)
def test_an_answer_is_no_error(body: Any) -> None:
    assert find_error(body) is None


def test_the_fields_that_an_error_points_at_are_named() -> None:
    assert classify_failure(400, json.dumps(openai("x", param="top_p"))).names == ("top_p",)
    assert classify_failure(422, json.dumps({"detail": [{"loc": ["body", "seed"], "msg": "no"}]})).names == ("seed",)
    assert "response_format" in classify_failure(500, json.dumps(said(LLAMA_CPP_PYTHON))).names


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Please try again in 6.3s", 6.3),
        ("retry after 24 seconds", 24),
        ("try again in 250ms", 0.25),
        ("retry in 2 minutes", 120),
        ("HTTP 429", 0),
        ("try again later", 0),
    ],
)
def test_a_pause_that_is_asked_for_in_words_is_known(message: str, seconds: float) -> None:
    assert classify_failure(429, json.dumps(said(message))).wait_seconds == pytest.approx(seconds)


def test_what_is_said_is_one_line_and_no_page_of_html() -> None:
    assert classify_failure(500, json.dumps(said("a\nb"))).said == "a b"
    assert classify_failure(500, "<html><p>busy</p></html>").said == ""
    assert classify_failure(400, "plain\nwords").said == "plain words"
