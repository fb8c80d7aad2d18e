"""``--web live`` from the command line to the trajectory, over servers on loopback."""

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import QA, Evidence, Page, Trajectory
from webdancer_cli.errors import UsageError
from webdancer_cli.options import config
from webdancer_cli.web.live.live_web import LiveWeb, open_live
from webdancer_cli.web.protocols import Hit

CANARY = "canary-90be17"
JSON = {"Content-Type": "application/json"}
QUOTE = "The founding year of Velmora is 1234."
HTML = (
    f"<title>Velmora</title><main><p>Velmora is a town by the river. {QUOTE} The mayor of Velmora is Dolvek.</p></main>"
)

Webdancer = Callable[..., "subprocess.CompletedProcess[str]"]


class Fixed:
    """A search that finds what it is told, and a reader that knows one page."""

    name = "fixed"

    def __init__(self, *hits: Hit):
        self.hits = list(hits)
        self.closed = False

    async def search(self, query: str, results: int) -> list[Hit]:
        return self.hits

    async def read(self, url: str) -> Page:
        return Page(url=url, title="t", text="x")

    async def aclose(self) -> None:
        self.closed = True


async def test_each_page_is_found_once_and_only_what_can_be_visited() -> None:
    urls = ["https://e.org/a", "https://E.org:443/a#top", "mailto:x@e.org", "", "https://e.org/b", "https://e.org/c"]
    back_end = Fixed(*(Hit(f"{at}", url) for at, url in enumerate(urls)))
    web = LiveWeb(back_end, back_end)
    assert web.name == "live:fixed+fixed"
    assert [hit.title for hit in await web.search("x", 2)] == ["0", "4"]
    assert [hit.title for hit in await web.search("x", 9)] == ["0", "4", "5"]
    assert (await web.read("https://e.org/a")).title == "t"
    await web.aclose()
    assert back_end.closed


@pytest.mark.parametrize("reader", ["", "https", "jina=", "corpus"])
def test_an_unknown_reader_is_refused(reader: str) -> None:
    with pytest.raises(UsageError, match="--reader"):
        open_live(config.SampleOptions(web="live", search="searxng=http://127.0.0.1:1", reader=reader))


@pytest.fixture
def question(tmp_path: Path) -> Callable[[str], QA]:
    """Writes ``qa.jsonl``: one question, about a page of the site at a URL."""

    def about(url: str) -> QA:
        evidence = [Evidence(url=f"{url}/velmora", quote=QUOTE, title="Velmora")]
        qa = QA(question="In which year was Velmora founded?", answer="1234", level=1, evidence=evidence)
        jsonl.write_records(str(tmp_path / "qa.jsonl"), [qa])
        return qa

    return about


def found(url: str) -> str:
    return json.dumps(
        {"organic": [{"title": "Velmora", "link": f"{url}/velmora", "snippet": "A town.", "position": 1}]}
    )


async def play(webdancer: Webdancer, *options: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """``sample`` in a process of its own, while this one serves."""
    command = ["sample", "--data", "qa.jsonl", "--web", "live"]
    return await asyncio.to_thread(webdancer, *command, *options, **variables)


def leaks(done: "subprocess.CompletedProcess[str]", folder: Path) -> list[str]:
    files = [path.read_text("utf-8") for path in folder.iterdir() if path.is_file()]
    return [text for text in (done.stdout, done.stderr, *files) if CANARY in text]


async def test_an_episode_on_the_live_web(serve, answer, webdancer: Webdancer, question, tmp_path: Path) -> None:
    site = await serve({"/velmora": HTML})
    search = await serve({"/": answer(found(site.url), 200, JSON)})
    question(site.url)
    options = ["--search", f"serper={search.url}/", "--allow-private", "--contact", "me@e.org", "--out", "t.jsonl"]
    done = await play(webdancer, *options, SERPER_API_KEY=CANARY)
    assert done.returncode == 0, done.stderr
    [trajectory] = jsonl.read_records(str(tmp_path / "t.jsonl"), Trajectory)
    assert (trajectory.ending, trajectory.answer, trajectory.web) == ("answered", "1234", "live:serper+http")
    assert QUOTE in " ".join(message.content for message in trajectory.messages if message.role == "user")
    assert search.requests[0].headers["x-api-key"] == CANARY
    assert site.paths == ["/robots.txt", "/velmora"]
    assert "me@e.org" in site.requests[1].headers["user-agent"]
    assert leaks(done, tmp_path) == []


async def test_a_replay_asks_nobody_needs_no_key_and_gives_the_same_bytes(
    serve, answer, webdancer: Webdancer, question, tmp_path: Path
) -> None:
    site = await serve({"/velmora": HTML})
    search = await serve({"/": answer(found(site.url), 200, JSON)})
    question(site.url)
    options = ["--search", f"serper={search.url}/", "--allow-private", "--tape", "run.tape"]
    recorded = await play(webdancer, *options, SERPER_API_KEY=CANARY)
    asked = len(site.requests), len(search.requests)
    replayed = await play(webdancer, *options, "--tape-mode", "replay", SERPER_API_KEY="")
    assert (recorded.returncode, replayed.returncode) == (0, 0), replayed.stderr
    assert replayed.stdout == recorded.stdout != ""
    assert (len(site.requests), len(search.requests)) == asked
    assert not [path for path in tmp_path.iterdir() if CANARY.encode() in path.read_bytes()]


async def test_a_refused_key_ends_the_run_and_no_record_tells_of_it(
    serve, answer, webdancer: Webdancer, question, tmp_path: Path
) -> None:
    search = await serve({"/": answer(json.dumps({"message": f"bad key {CANARY}"}), 401, JSON)})
    question("http://127.0.0.1:1")
    options = ["--search", f"serper={search.url}/", "--out", "t.jsonl", "--rejects", "r.jsonl"]
    done = await play(webdancer, *options, SERPER_API_KEY=CANARY, WEBDANCER_DEBUG="1")
    assert done.returncode == 1
    assert "HTTP 401" in done.stderr and "SERPER_API_KEY" in done.stderr and "--resume" in done.stderr
    assert (tmp_path / "t.jsonl").read_text() == ""
    assert leaks(done, tmp_path) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--web live needs --search: choose from serper, brave, tavily, searxng=URL, opensearch=URL/INDEX"),
        (["--search", "serper"], "--search serper needs a key: set SERPER_API_KEY in the environment"),
        (["--search", "searxng=http://127.0.0.1:1", "--reader", "jina"], "set JINA_API_KEY"),
        (["--search", "serper", "--web", "pages.jsonl"], "add --web live"),
    ],
)
async def test_what_cannot_work_is_said_before_any_work(
    webdancer: Webdancer, question, options: list[str], said: str, tmp_path: Path
) -> None:
    question("http://127.0.0.1:1")
    unset = {"SERPER_API_KEY": "", "JINA_API_KEY": ""}
    done = await play(webdancer, *options, "--out", "t.jsonl", **unset)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr and done.stderr.count("\n") == 1 + done.stderr.count("demonstrator")
    assert not (tmp_path / "t.jsonl").exists()


def said(text: str) -> str:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]})


NOTE = json.dumps({"rational": "One line dates it.", "evidence": QUOTE, "summary": "Velmora dates from 1234."})


@pytest.mark.parametrize(
    ("reply", "shown", "counted"),
    [(NOTE, "Velmora dates from 1234.", False), ("out of order", "The mayor of Velmora is Dolvek.", True)],
)
async def test_a_visit_by_way_of_a_summariser(
    serve, answer, webdancer: Webdancer, question, tmp_path: Path, reply: str, shown: str, counted: bool
) -> None:
    site = await serve({"/velmora": HTML})
    search = await serve({"/": answer(found(site.url), 200, JSON)})
    model = await serve({"/v1/chat/completions": answer(said(reply), 200, JSON)})
    question(site.url)
    options = ["--search", f"tavily={search.url}/", "--allow-private", "--summariser-model", "m", "--out", "t.jsonl"]
    search.answers["/"].body = found(site.url).replace("organic", "results").replace('"link"', '"url"')
    done = await play(webdancer, *options, "--summariser-base-url", f"{model.url}/v1", TAVILY_API_KEY=CANARY)
    assert done.returncode == 0, done.stderr
    [trajectory] = jsonl.read_records(str(tmp_path / "t.jsonl"), Trajectory)
    text = " ".join(message.content for message in trajectory.messages if message.role == "user")
    assert shown in text and "out of order" not in text and trajectory.answer == "1234"
    assert trajectory.summariser.startswith("m default:")
    assert ("the summariser gave no readable note on 1 visits" in done.stderr) is counted
    assert site.url in json.loads(model.requests[0].body)["messages"][0]["content"]


def rejects(folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / "r.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["sample", "eval"])
@pytest.mark.parametrize("down", ["search", "summariser", "reader"])
async def test_an_outage_is_no_observation_but_a_failure_that_resume_tries_again(
    serve, answer, webdancer: Webdancer, question, tmp_path: Path, command: str, down: str
) -> None:
    site = await serve({"/velmora": HTML})
    page = json.dumps({"data": {"title": "Velmora", "url": f"{site.url}/velmora", "content": QUOTE}})
    well = {"search": found(site.url), "summariser": said(NOTE), "reader": page}
    paths = {"search": "/", "summariser": "/v1/chat/completions", "reader": "/"}
    services = {name: await serve({paths[name]: answer(body, 200, JSON)}) for name, body in well.items()}
    services[down].answers[paths[down]] = answer("out of order", 503, {"Content-Type": "text/plain"})
    question(site.url)
    options = [command, "--data", "qa.jsonl", "--out", "t.jsonl", "--web", "live", "--allow-private"]
    options += ["--search", f"serper={services['search'].url}/", "--reader", f"jina={services['reader'].url}"]
    options += ["--summariser-model", "m", "--summariser-base-url", f"{services['summariser'].url}/v1"]
    options += ["--rejects", "r.jsonl"]
    failed = await asyncio.to_thread(webdancer, *options, "--tool-seconds", "5", SERPER_API_KEY=CANARY)
    assert (failed.returncode, (tmp_path / "t.jsonl").read_text()) == (1, ""), failed.stderr
    [reject] = rejects(tmp_path)
    assert (reject["reason"], reject["stage"]) == ("tool_abort", command)
    name = {"search": "serper", "reader": "jina"}.get(down, down)
    assert reject["detail"].startswith(f"{name}: ")
    assert down == "summariser" or "HTTP 503: out of order" in reject["detail"]
    services[down].answers[paths[down]] = answer(well[down], 200, JSON)
    mended = await asyncio.to_thread(webdancer, *options, "--resume", SERPER_API_KEY=CANARY)
    assert mended.returncode == 0, mended.stderr
    assert "out of order" not in (tmp_path / "t.jsonl").read_text() != ""
    assert rejects(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("search_is_up", [True, False])
async def test_rl_on_the_live_web(
    serve, answer, webdancer: Webdancer, question, tmp_path: Path, search_is_up: bool
) -> None:
    """One step of a model that learned one demonstration by heart. An outage is nothing to learn from."""

    async def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        done = await asyncio.to_thread(webdancer, *arguments, SERPER_API_KEY=CANARY, OMP_NUM_THREADS="1")
        assert not any(word in done.stderr for word in ("Traceback", "never", "bug"))
        return done

    site = await serve({"/velmora": HTML})
    search = await serve({"/": answer(found(site.url), 200, JSON)})
    question(site.url)
    live = ["--web", "live", "--search", f"serper={search.url}/", "--allow-private", "--prompts", "compact"]
    assert (await run("sample", "--data", "qa.jsonl", "--out", "t.jsonl", *live)).returncode == 0
    learning = ["--steps", "40", "--batch-size", "1", "--lr", "0.003", "--out", "sft"]
    assert (await run("sft", "--data", "t.jsonl", "--model", "nano", *learning)).returncode == 0
    if not search_is_up:
        search.answers["/"] = answer("out of order", 503)
    asked = len(search.requests)
    limits = ["--steps", "1", "--questions", "1", "--group", "8", "--max-rounds", "1", "--max-context-tokens", "512"]
    limits += ["--tool-seconds", "30" if search_is_up else "1"]
    done = await run("rl", "--data", "qa.jsonl", "--model", "./sft", "--out", "rl", *live, *limits)
    assert len(search.requests) > asked and (tmp_path / "rl" / "config.json").exists(), done.stderr
    [metrics] = [json.loads(line) for line in (tmp_path / "rl" / "metrics.jsonl").read_text().splitlines()]
    aborted = metrics["endings"].get("tool_abort", 0)
    assert metrics["unjudged"] == aborted and (aborted == 0 if search_is_up else aborted >= 3)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]


async def test_a_dead_site_is_an_observation(serve, answer, webdancer: Webdancer, question, tmp_path: Path) -> None:
    """The web is like that; the demonstrator gives up honestly."""
    dead = "http://127.0.0.1:9"
    search = await serve({"/": answer(found(dead), 200, JSON)})
    question(dead)
    options = ["--search", f"serper={search.url}/", "--allow-private", "--out", "t.jsonl", "--rejects", "r.jsonl"]
    done = await play(webdancer, *options, SERPER_API_KEY=CANARY)
    assert (done.returncode, rejects(tmp_path)) == (0, []), done.stderr
    [trajectory] = jsonl.read_records(str(tmp_path / "t.jsonl"), Trajectory)
    assert trajectory.ending == "no_answer"
    assert f"{dead}/robots.txt: cannot connect" in trajectory.messages[-2].content


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (["--summariser-model", "m"], "Name it with --summariser-base-url"),
        (["--summariser-base-url", "http://127.0.0.1:1/v1"], "Name it with --summariser-model"),
    ],
)
async def test_half_a_summariser_is_refused(webdancer: Webdancer, question, options: list[str], remedy: str) -> None:
    question("http://127.0.0.1:1")
    done = await play(webdancer, "--search", "searxng=http://127.0.0.1:1", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert remedy in done.stderr
