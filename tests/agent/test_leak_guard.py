"""The leak guard: pages that give a question away are neither listed nor read, and all others are."""

import pytest

from webdancer_cli.agent.leak_guard import LeakGuard, is_data_set, saw_canary
from webdancer_cli.data.records import QA, Message, Page
from webdancer_cli.errors import ToolError
from webdancer_cli.transcript.grammar import render_response
from webdancer_cli.web.protocols import Hit

ASKED = "Who was the second mayor of the town of Velmora, and when?"
CANARY = "a canary of our own 1b2c"
QUESTION = QA(question=ASKED, answer="Dolvek", extra={"canary": CANARY})
TEXTS = {
    "http://127.0.0.1/town": "Velmora had many mayors. The second was Dolvek.",
    "http://127.0.0.1/copy": "Q: who was the second MAYOR of the town of Velmora and when?\nA: Dolvek",
    "http://127.0.0.1/canary": f"Data. {CANARY}. More.",
    "http://127.0.0.1/guid": "BENCHMARK DATA SHOULD NEVER APPEAR in training. canary GUID x",
    "https://huggingface.co/datasets/a/b": "A data set.",
    "https://huggingface.co/blog/mayors": "A blog.",
}


class Web:
    name = "web"

    async def search(self, query: str, results: int) -> list[Hit]:
        return [Hit("A page", url, text) for url, text in TEXTS.items()]

    async def read(self, url: str) -> Page:
        return Page(url=url, title="A page", text=TEXTS[url])


FINE = ["http://127.0.0.1/town", "https://huggingface.co/blog/mayors"]


async def test_pages_that_leak_are_not_listed_and_counted_once() -> None:
    guard = LeakGuard(Web(), QUESTION)
    for _ in range(2):
        assert [hit.url for hit in await guard.search("mayor", 10)] == FINE
    assert guard.kept_back == [url for url in TEXTS if url not in FINE]


@pytest.mark.parametrize("url", TEXTS)
async def test_pages_that_leak_cannot_be_read(url: str) -> None:
    guard = LeakGuard(Web(), QUESTION)
    if url in FINE:
        assert (await guard.read(url)).text == TEXTS[url] and guard.kept_back == []
        return
    with pytest.raises(ToolError, match="cannot be read") as told:
        await guard.read(url)
    assert told.value.lasts and guard.kept_back == [url]


async def test_a_short_question_stands_anywhere() -> None:
    guard = LeakGuard(Web(), QA(question="The second was Dolvek.", answer="x"))
    assert (await guard.read("http://127.0.0.1/town")).text


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://huggingface.co/datasets", True),
        ("http://www.kaggle.com/datasets/x", True),
        ("https://huggingface.co/datasetsx", False),
        ("https://nothuggingface.co/datasets/x", False),
        ("https://example.org/?u=huggingface.co/datasets/x", False),
        ("huggingface.co/datasets/x", True),
        ("", False),
    ],
)
def test_a_data_set_is_told_by_its_host_and_path(url: str, expected: bool) -> None:
    assert is_data_set(url) is expected


def test_a_canary_that_a_tool_showed_is_seen_and_one_in_the_question_is_not() -> None:
    task = Message("user", f"{ASKED} {CANARY}")
    assert not saw_canary([task], [CANARY])
    assert saw_canary([task, Message("user", render_response(f"It says {CANARY}."))], [CANARY])
    assert saw_canary([task, Message("user", render_response("canary GUID z"))], [])
