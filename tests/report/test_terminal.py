"""Records in the terminal: readable, and without power over it."""

from io import StringIO
from typing import Any

import pytest
from report_records import QUOTE, attempt, question, trajectory

from webdancer_cli.report.terminal import Pager, printable


def shown(value: Any, *, colours: bool = False) -> str:
    stream = StringIO()
    Pager(stream, colours=colours).show("x.jsonl:1", value)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (trajectory("Mary", "wrong"), ["Who wrote Emma?", "Mary", "Jane Austen", 'search {"query": "Emma"}', QUOTE]),
        (attempt(1, "unjudged"), ["Who wrote novel 1?", "unjudged", "observation"]),
        (question(), ["Jane Austen", "http://example.org/emma", QUOTE]),
        (
            {"reason": "wrong", "detail": "why", "stage": "filter", "record": question()},
            ["filter: wrong", "why", QUOTE],
        ),
        ({"step": 7, "loss": 0.25}, ["step 7", "loss 0.25"]),
        ({"url": "http://example.org/", "title": "T", "text": "Body."}, ["T", "Body."]),
        ({"any": "thing"}, ['"any": "thing"']),
    ],
)
def test_each_kind_says_what_matters(value: Any, said: list[str]) -> None:
    text = shown(value)
    assert [words for words in said if words not in text] == []
    assert "\x1b" not in text


def test_a_terminal_gets_colours_and_broken_lines_and_a_pipe_gets_whole_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    page = {"url": "http://example.org/", "title": "T", "text": "word " * 100}
    text = shown(page, colours=True)
    assert "\x1b[" in text
    # 11 words of 5 characters and 4 of indentation fit into 60 columns: 100 words take 10 lines
    assert [line[:8] for line in text.splitlines() if "word" in line] == ["    word"] * 10
    assert "word " * 99 in shown(page)


def test_no_text_steers_the_terminal() -> None:
    evil = "\x1b]0;owned\x07 a\x9b31m b\u202e c\x08\rd"
    text = shown(question(question=evil, answer=evil))
    assert not set(text) & set("\x1b\x07\x9b\u202e\x08\r")
    assert printable("tab\tline\r\nnext") == "tab\tline\nnext"
