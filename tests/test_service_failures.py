"""No path leads from a failure of a service into a record: every adapter and every role, through every kind of failure.

Each run of a stage meets one failure that carries a word of its own. The word may stand on stderr and in the
rejects' details; it may stand in nothing that is training data or a score, nor on the tape.
"""

import json
import sqlite3
import zlib
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from loopback import Handler, listening

from webdancer_cli.agent.chat_policy import ChatPolicy
from webdancer_cli.agent.summariser import Summariser
from webdancer_cli.data.pipeline import RunStats
from webdancer_cli.errors import ServiceRefused
from webdancer_cli.grading.critic import Critic
from webdancer_cli.grading.model_judge import ModelJudge
from webdancer_cli.llm.client import ChatClient
from webdancer_cli.options import config
from webdancer_cli.prompts import load
from webdancer_cli.services.retry import RetryPolicy
from webdancer_cli.stages import crawlqa, e2hqa, sample
from webdancer_cli.stages import eval as eval_stage
from webdancer_cli.stages import filter as filter_stage
from webdancer_cli.synthesis.chat.author import ChatAuthor
from webdancer_cli.synthesis.chat.rewriter import ChatRewriter
from webdancer_cli.synthesis.chat.sentence_author import SentenceAuthor
from webdancer_cli.tape import Tape
from webdancer_cli.web import live
from webdancer_cli.web.live.jina_reader import JinaReader
from webdancer_cli.web.live.live_web import LiveWeb
from webdancer_cli.web.live.opensearch_reader import OpenSearchReader
from webdancer_cli.web.live.recorded_web import RecordedWeb
from webdancer_cli.web.search.backends import CHOICES
from webdancer_cli.web.search.brave import Brave
from webdancer_cli.web.search.opensearch import OpenSearch
from webdancer_cli.web.search.searxng import Searxng
from webdancer_cli.web.search.serper import Serper
from webdancer_cli.web.search.tavily import Tavily

pytestmark = pytest.mark.slow

POISON = "poisonous-upstream-word"
JSON = {"Content-Type": "application/json"}
PAGE = "http://127.0.0.1:9/velmora"
TOLD = "The mayor of the town of Velmora is Dolvek, whom its council elected in 1999."
TEXT = "Velmora is a town. Its mayor is Dolvek. It was founded in 1234, and lies by the sea. " * 3 + TOLD
QUESTION = {"id": "q1", "question": "Who is the mayor of Velmora?", "answer": "Dolvek"}
SEARCH = (
    '<think>\nI look.\n</think>\n<tool_call>\n{"name": "search", "arguments": {"query": ["Velmora"]}}\n</tool_call>'
)
VISIT = SEARCH.replace("search", "visit").replace('"query": ["Velmora"]', f'"url": ["{PAGE}"], "goal": "mayor"')
ANSWER = "<think>\nI know.\n</think>\n<answer>\nIt is Dolvek.\n</answer>"
WRITTEN = {
    "question": "Who is the mayor of Velmora?",
    "answer": "Dolvek",
    "type": "single_hop",
    "evidence": [{"page": 1, "quote": "Its mayor is Dolvek."}],
}


def said(text: str | None, finish: str = "stop") -> dict[str, Any]:
    return {"choices": [{"message": {"content": text}, "finish_reason": finish}]}


def error(**fields: Any) -> dict[str, Any]:
    return {"error": {"message": POISON, **fields}}


FAILURES: dict[str, tuple[int, Any]] = {
    "400": (400, error()),
    "400, no credit": (400, {"message": f"Not enough credits, {POISON}", "statusCode": 400}),
    "400, try later": (400, {"message": f"temporarily unavailable, {POISON}"}),
    "401": (401, error(code="invalid_api_key")),
    "402": (402, error()),
    "403": (403, error()),
    "404": (404, error()),
    "405 in HTML": (405, f"<html><body>{POISON}</body></html>"),
    "422, no key": (422, error(code="SUBSCRIPTION_TOKEN_INVALID")),
    "429": (429, error()),
    "429, no quota": (429, error(code="insufficient_quota")),
    "432": (432, {"detail": {"error": f"This exceeds your plan's usage limit, {POISON}"}}),
    "500": (500, error()),
    "503 as text": (503, POISON),
    "200 with an error": (200, error()),
    "200 with an error beside results": (200, {**error(code=500), **said(POISON), "organic": [], "results": []}),
    "200 with an error as text": (200, {"error": POISON}),
    "200 with a message": (200, {"message": f"Not enough credits, {POISON}"}),
    "200 with a detail": (200, {"detail": POISON, "status_code": 502}),
    "200 with an error in a stream": (200, f"data: {json.dumps(error())}\n\ndata: [DONE]\n\n"),
    "200 with half a stream": (200, f"data: {json.dumps({'choices': [{'delta': {'content': POISON}}]})}\n\n"),
    "200 in HTML": (200, f"<html><body>{POISON}</body></html>"),
    "200, another shape": (
        200,
        {"choices": POISON, "web": POISON, "organic": POISON, "results": POISON, "data": POISON},
    ),
    "200, nothing": (200, {}),
    "200, a broken end": (200, said(POISON, "error")),
    "200, filtered": (200, said(POISON, "content_filter")),
    "cut": (0, f'{{"choices": [{{"message": {{"content": "{POISON}'),
}


class World:
    """Everything a run asks for, at one address; what is under ``broken`` fails as ``failure`` says."""

    def __init__(self) -> None:
        self.broken = ""
        self.failure: tuple[int, Any] = (500, "")
        self.url = ""
        self.asked: list[str] = []


def speak(request: dict[str, Any]) -> str:
    """An honest teacher, author, rewriter, judge, critic and summariser."""
    prompt, turns = request["messages"][-1]["content"], len(request["messages"])
    if request["model"] == "teacher":
        return [SEARCH, VISIT, ANSWER][min(2, (turns - 2) // 2)]
    if request["model"] == "summariser":
        return json.dumps({"rational": "r", "evidence": "Its mayor is Dolvek.", "summary": "Dolvek."})
    if request["model"] == "author":
        return json.dumps({"questions": [WRITTEN]})
    if request["model"] == "sentences":
        return json.dumps({"question": "Who is the mayor of Velmora?", "answer": "Dolvek"})
    if request["model"] == "verify":
        return json.dumps({"proved": True, "only_answer": True, "clear": True, "reason": ""})
    if request["model"] == "closed-book":
        return json.dumps({"answer": ""})
    if request["model"] == "examinee":
        return ANSWER
    if request["model"] == "rewriter":
        return json.dumps({"entity": ""})
    return json.dumps({"reason": "r", "verdict": "good" if "criterion" in prompt.lower() else "correct"})


def found(name: str) -> Any:
    hit = {
        "title": "Velmora",
        "url": PAGE,
        "link": PAGE,
        "snippet": "A town.",
        "description": "A town.",
        "content": "x",
    }
    document = {"_source": {"url": PAGE, "title": "Velmora", "text": TEXT}}
    return {
        "opensearch": {"hits": {"hits": [document]}},
        "brave": {"type": "search", "web": {"results": [hit]}},
        "serper": {"organic": [hit]},
    }.get(name, {"results": [hit]})


@pytest.fixture
def world() -> Iterator[World]:
    served = World()

    class Serving(Handler):
        def do_POST(self) -> None:
            self.reply(self.posted())

        def do_GET(self) -> None:
            self.reply({})

        def reply(self, request: Any) -> None:
            name = urlsplit(self.path).path.split("/")[1]
            served.asked.append(name)
            if name == served.broken:
                self.fail(*served.failure)
            elif name == "jina":
                self.answer(
                    200, json.dumps({"data": {"title": "Velmora", "url": PAGE, "content": TEXT}}).encode(), **JSON
                )
            elif name in ("serper", "brave", "tavily", "searxng", "opensearch", "opensearch-reader"):
                self.answer(200, json.dumps(found(name.removesuffix("-reader"))).encode(), **JSON)
            else:
                self.answer(200, json.dumps(said(speak(request))).encode(), **JSON)

        def fail(self, status: int, body: Any) -> None:
            content = (body if isinstance(body, str) else json.dumps(body)).encode()
            kind = {"Content-Type": "text/html"} if content.startswith(b"<") else JSON
            if status:
                self.answer(status, content, **kind)
                return
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + content)
            self.close_connection = True

    with listening(Serving) as root:
        served.url = root
        yield served


QUICK = RetryPolicy(attempts=2, attempt_seconds=60, total_seconds=120, first_pause_seconds=0.001)
BRIEF = RetryPolicy(attempts=2, attempt_seconds=60, total_seconds=120, first_pause_seconds=0.001)
SEARCHES: dict[str, Callable[[str], Any]] = {
    "serper": lambda url: Serper("a-key", f"{url}/serper", BRIEF),
    "brave": lambda url: Brave("a-key", f"{url}/brave", BRIEF),
    "tavily": lambda url: Tavily("a-key", f"{url}/tavily", BRIEF),
    "searxng": lambda url: Searxng(f"{url}/searxng", BRIEF),
    "opensearch": lambda url: OpenSearch(f"{url}/opensearch/pages", BRIEF),
}
READERS: dict[str, Callable[[str], Any]] = {
    "jina": lambda url: JinaReader(f"{url}/jina", allow_private=True, retry=BRIEF),
    "opensearch-reader": lambda url: OpenSearchReader(f"{url}/opensearch-reader/pages", BRIEF),
}
Stage = Callable[[World, Tape, Path], Coroutine[Any, Any, RunStats]]


def chat(world: World, role: str, tape: Tape) -> ChatClient:
    return ChatClient(f"{world.url}/{role}/v1", role, max_tokens=600, retry=QUICK, tape=tape)


def outputs(folder: Path) -> dict[str, str]:
    return {"out": str(folder / "out.jsonl"), "rejects": str(folder / "r.jsonl")}


async def playing(world: World, tape: Tape, folder: Path, search: str = "serper", reader: str = "jina") -> RunStats:
    options = config.SampleOptions(data=str(folder / "qa.jsonl"), model="teacher", date="2026-01-01", **outputs(folder))
    prompts = load(options.prompts)
    live = LiveWeb(SEARCHES[search](world.url), READERS[reader](world.url), allow_private=True)
    web = RecordedWeb(live, tape)
    chats = {role: chat(world, role, tape) for role in ("teacher", "summariser", "judge")}
    try:
        return await sample.run(
            options,
            ChatPolicy(options, chats["teacher"]),
            web=web,
            summariser=Summariser(chats["summariser"], prompts, 5.0),
            judge=ModelJudge(chats["judge"], prompts),
        )
    finally:
        await web.aclose()
        for each in chats.values():
            await each.aclose()


async def writing(world: World, tape: Tape, folder: Path, check: str = "", role: str = "author") -> RunStats:
    pages = str(folder / "pages.jsonl")
    checked = {"verify": check == "verify", "closed_book": check == "closed-book"}
    options = config.CrawlqaOptions(
        roots=[pages], pages=str(folder / "kept.jsonl"), model=role, **checked, **outputs(folder)
    )
    author, judge = chat(world, role, tape), chat(world, check or "nobody", tape)
    writer = (SentenceAuthor if role == "sentences" else ChatAuthor)(options, author, load("default"))
    try:
        return await crawlqa.run(options, writer, judge=judge)
    finally:
        await author.aclose()
        await judge.aclose()


async def examining(world: World, tape: Tape, folder: Path) -> RunStats:
    options = config.EvalOptions(
        data=str(folder / "qa.jsonl"), model="examinee", agent="none", web="", judge_check=False, **outputs(folder)
    )
    examinee, examiner = chat(world, "examinee", tape), chat(world, "examiner", tape)
    try:
        judge = ModelJudge(examiner, load("default"))
        return await eval_stage.run(options, ChatPolicy(options, examinee), judge=judge)
    finally:
        await examinee.aclose()
        await examiner.aclose()


async def hardening(world: World, tape: Tape, folder: Path) -> RunStats:
    pages = str(folder / "pages.jsonl")
    options = config.E2hqaOptions(data=str(folder / "qa.jsonl"), web=pages, model="rewriter", **outputs(folder))
    rewriter = chat(world, "rewriter", tape)
    try:
        return await e2hqa.run(options, ChatRewriter(options, rewriter, load("default"), rewriter))
    finally:
        await rewriter.aclose()


async def criticising(world: World, tape: Tape, folder: Path) -> RunStats:
    options = config.FilterOptions(data=str(folder / "t.jsonl"), stages=["model"], **outputs(folder))
    critic = chat(world, "critic", tape)
    try:
        return await filter_stage.run(options, critic=Critic(critic, load("default")))
    finally:
        await critic.aclose()


STAGES: dict[str, Stage] = {
    **{name: partial(playing, search=name) for name in SEARCHES},
    **{name: partial(playing, reader=name) for name in READERS},
    **dict.fromkeys(["teacher", "summariser", "judge"], playing),
    **dict.fromkeys(["examinee", "examiner"], examining),
    "author": writing,
    "sentences": partial(writing, role="sentences"),
    **{name: partial(writing, check=name) for name in ("verify", "closed-book")},
    "rewriter": hardening,
    "critic": criticising,
}


@pytest.fixture(autouse=True)
def inputs(tmp_path: Path) -> None:
    contents = [QUESTION["question"], SEARCH, "<tool_response>\nIts mayor is Dolvek.\n</tool_response>", ANSWER]
    messages = [{"role": role, "content": text} for role, text in zip(("user", "assistant") * 2, contents, strict=True)]
    played = {"id": "t1", "qa": QUESTION, "messages": messages, "ending": "answered", "answer": "It is Dolvek."}
    page = {"url": PAGE, "title": "Velmora", "text": TEXT}
    for name, line in (("qa", QUESTION), ("t", played), ("pages", page)):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(line) + "\n")


def taped(path: Path) -> str:
    if not path.exists():
        return ""
    with sqlite3.connect(path) as tape:
        values = [value for (value,) in tape.execute("SELECT value FROM exchanges")]
    return "\n".join(_inflated(value) for value in values)


def _inflated(value: bytes) -> str:
    try:
        return zlib.decompress(value).decode("latin-1")
    except zlib.error:
        return value.decode("latin-1")


async def run(stage: Stage, world: World, folder: Path) -> tuple[bool, str, str]:
    """Whether all went well, what was written, and what the tape holds."""
    (folder / "run.tape").unlink(missing_ok=True)
    with Tape(str(folder / "run.tape")) as tape:
        try:
            went_well = (await stage(world, tape, folder)).exit_code == 0
        except ServiceRefused:
            went_well = False
    return went_well, (folder / "out.jsonl").read_text(), taped(folder / "run.tape")


@pytest.mark.parametrize("broken", STAGES)
async def test_no_failure_of_a_service_gets_into_a_record_or_on_a_tape(
    world: World, tmp_path: Path, broken: str
) -> None:
    went_well, written, tape = await run(STAGES[broken], world, tmp_path)
    assert went_well and written and tape and broken in world.asked
    world.broken = broken
    for name, failure in FAILURES.items():
        world.failure = failure
        went_well, written, tape = await run(STAGES[broken], world, tmp_path)
        assert POISON not in written + tape, name
        lines = [json.loads(line) for line in written.splitlines()]
        if broken in ("judge", "examiner"):
            assert all(line["verdict"]["outcome"] == "unjudged" for line in lines), name
        elif broken != "rewriter":
            assert not lines, name
        assert not went_well, name


@pytest.mark.parametrize("broken", STAGES)
async def test_after_one_refusal_nothing_more_is_asked(world: World, tmp_path: Path, broken: str) -> None:
    several = [
        {**QUESTION, "id": f"q{number}", "question": f"{QUESTION['question'][:-1]} {number}?"} for number in range(5)
    ]
    (tmp_path / "qa.jsonl").write_text("".join(json.dumps(question) + "\n" for question in several))
    world.broken, world.failure = broken, FAILURES["402"]
    stage = STAGES[broken]
    went_well, _, _ = await run(stage, world, tmp_path)
    assert not went_well
    assert world.asked.count(broken) <= config.SampleOptions().jobs  # those that were under way


def test_every_service_that_can_be_named_is_among_them() -> None:
    """Whoever adds a search service or a reader adds it here."""
    searches = {choice.partition("=")[0] for choice in CHOICES.partition(", or ")[0].split(", ")}
    readers = {path.stem.removesuffix("_reader") for path in Path(live.__file__ or "").parent.glob("*_reader.py")}
    assert searches == SEARCHES.keys()
    assert readers - {"http"} == {name.removesuffix("-reader") for name in READERS}
