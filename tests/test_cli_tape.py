"""A run that was recorded is replayed without the network, byte for byte; and no key is left anywhere."""

import json
import re
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from email.message import Message
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from loopback import answering

pytestmark = pytest.mark.slow

Done = subprocess.CompletedProcess[str]
Webdancer = Callable[..., Done]
Served = Callable[[Path], AbstractContextManager[str]]

CANARY = "sk-canary-0123456789abcdef"
SENTENCE = "Velmora is the town where the glass festival began in 1820."
FILLER = "The rest of the page speaks of the weather, of fairs, and of a bridge that was never finished. " * 3
SITE = {
    "robots.txt": "User-agent: *\nDisallow: /private\n",
    "picture.png": "PNG",
    "login.html": "<title>Sign in</title><form>Password: <input type=password></form>",
    "index.html": f'<title>Glass festival</title><p>{SENTENCE} <a href="velmora.html">Velmora</a>. {FILLER}'
    '<a href="gone.html">Gone</a>. <a href="private.html">Private</a>. <a href="login.html">Sign in</a>.</p>',
    "velmora.html": f"<title>Velmora</title><p>Velmora is a town. Its mayor is Dolvek. {FILLER}</p>",
}


def author(prompt: str, number: int) -> str:
    page = 1 if "[Page 1] Velmora" in prompt else 2
    evidence = [{"page": page, "quote": "Its mayor is Dolvek."}]
    question = f"Who is the mayor of Velmora, asked for the {number}th time?"
    written = {"question": question, "answer": "Dolvek", "type": "single_hop", "evidence": evidence}
    return json.dumps({"questions": [written]})


def rewriter(prompt: str, number: int) -> str:
    if "[Page 1]" not in prompt:
        sound = dict.fromkeys(["one_question", "grammatical", "same_answer", "description_fits"], True)
        return json.dumps({"entity": "Velmora", "query": "Velmora glass festival", **sound})
    description = "the town where the glass festival began"
    question = f"Who is the mayor of {description}, asked for the {number}th time?"
    return json.dumps({"page": 1, "sentence": SENTENCE, "description": description, "question": question})


def player(prompt: str, number: int) -> str:
    if "<tool_response>" in prompt:
        return f"<think>\nFound in call {number}.\n</think>\n<answer>\nDolvek\n</answer>"
    call = '{"name": "search", "arguments": {"query": ["mayor of Velmora"]}}'
    return f"<think>\nCall {number}.\n</think>\n<tool_call>\n{call}\n</tool_call>"


ROLES = {"crawlqa": author, "e2hqa": rewriter, "sample": player, "eval": player}


def judge(prompt: str, number: int) -> str:
    verdict = "good" if "<record>" in prompt else "wrong" if "Rome" in prompt else "correct"
    return json.dumps({"reason": f"Call {number} settles it.", "verdict": verdict})


OTHERS = ["picture.png", "login.html", "file:///etc/passwd"]


def surfer(prompt: str, number: int) -> str:
    """Searches, visits what can be read and what cannot, and answers; it also sums the pages up."""
    if "rational" in prompt:
        return json.dumps(
            {"rational": "It names him.", "evidence": f"Its mayor is Dolvek. ({number})", "summary": "D."}
        )
    if not prompt.startswith("<tool_response>"):  # the task, which has an example of one
        return player("", number)
    root = re.search(r"http://127\.0\.0\.1:\d+/", prompt)
    names = [] if "passwd" in prompt else OTHERS if "gone" in prompt else ["velmora.html", "gone.html", "private.html"]
    if root and names:
        call = json.dumps({"name": "visit", "arguments": {"url": [urljoin(root.group(), name) for name in names]}})
        return f"<think>\nCall {number}.\n</think>\n<tool_call>\n{call}\n</tool_call>"
    return f"<think>\nFound in call {number}.\n</think>\n<answer>\nDolvek\n</answer>"


def endpoint(say: Callable[[str, int], str]) -> AbstractContextManager[str]:
    """A chat endpoint that never says the same twice, and quotes the key that it was given."""
    numbers = count(1)

    def reply(request: Any, headers: Message) -> tuple[int, object]:
        choice = {"message": {"content": say(request["messages"][-1]["content"], next(numbers))}}
        usage = {"prompt_tokens": 9, "completion_tokens": 5}
        return 200, {"id": f"call-{key_of(headers)}", "choices": [choice], "usage": usage}

    return answering(reply)


def search(root: str) -> AbstractContextManager[str]:
    """A search service that finds one page, and quotes the key that it was given."""
    numbers = count(1)

    def found(request: Any, headers: Message) -> tuple[int, object]:
        snippet = f"A town, {next(numbers)}, for {key_of(headers)}."
        return 200, {"organic": [{"title": "Velmora", "link": f"{root}velmora.html", "snippet": snippet}]}

    return answering(found, "/")


def key_of(headers: Message) -> str:
    return headers["X-API-KEY"] or headers["Authorization"].removeprefix("Bearer ")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    for name, html in SITE.items():
        (folder / name).write_text(f"<html><body>{html}</body></html>" if name.endswith("html") else html)
    return folder


@pytest.fixture(autouse=True)
def corpus(tmp_path: Path) -> None:
    pages = [
        {"url": "http://a.test/glass", "title": "Glass festival", "text": f"A festival of glass. {SENTENCE} {FILLER}"},
        {
            "url": "http://a.test/velmora",
            "title": "Velmora",
            "text": f"Velmora is a town. Its mayor is Dolvek. {FILLER}",
        },
    ]
    (tmp_path / "pages.jsonl").write_text("".join(json.dumps(page) + "\n" for page in pages))
    question = {"question": "Who is the mayor of Velmora?", "answer": "Dolvek", "type": "single_hop", "level": 1}
    (tmp_path / "qa.jsonl").write_text(json.dumps(question) + "\n")


def arguments(command: str, root: str, out: str) -> list[str]:
    """A run of a command, with a file for its records."""
    common = ["--model", "teacher", "--tape", "run.tape", "--out", out, "--rejects", f"{out}.rejects"]
    if command == "crawlqa":
        return [command, root, "--allow-private", "--pages", f"{out}.pages", *common]
    rollouts = {"sample": ["-n", "3"], "eval": ["--runs", "3"]}.get(command, [])
    prompts = ["--prompts", "compact"] if rollouts else []
    return [command, "--data", "qa.jsonl", *rollouts, *prompts, *common]


@pytest.mark.parametrize("command", ROLES)
def test_a_recorded_run_is_replayed_byte_for_byte_without_the_network(
    webdancer: Webdancer, served: Served, site: Path, tmp_path: Path, offline: dict[str, str], command: str
) -> None:
    with served(site) as root, endpoint(ROLES[command]) as url:
        live = webdancer(*arguments(command, root, "live"), "--base-url", url, OPENAI_API_KEY=CANARY)
    assert live.returncode == 0, live.stderr
    replay = arguments(command, root, "replayed")
    replayed = webdancer(*replay, "--base-url", url, "--tape-mode", "replay", OPENAI_API_KEY=CANARY, **offline)
    assert replayed.returncode == 0, replayed.stderr
    assert (tmp_path / "live").read_bytes() == (tmp_path / "replayed").read_bytes() != b""
    if command == "crawlqa":
        assert (tmp_path / "live.pages").read_bytes() == (tmp_path / "replayed.pages").read_bytes() != b""
    assert "0 recorded, 0 missed" in replayed.stderr and "run.tape: 0 replayed" in live.stderr
    assert_no_canary(tmp_path, live, replayed)


@pytest.mark.parametrize("command", ["filter", "eval"])
def test_what_a_judge_said_is_replayed_byte_for_byte(
    webdancer: Webdancer, tmp_path: Path, offline: dict[str, str], command: str
) -> None:
    """The answer is right, but no rule sees it."""
    qa = json.loads((tmp_path / "qa.jsonl").read_text()) | {"answer": "the man whom they call Dolvek"}
    (tmp_path / "qa.jsonl").write_text(json.dumps(qa) + "\n")
    with endpoint(player) as teacher, endpoint(judge) as critic:
        play = ["--data", "qa.jsonl", "--prompts", "compact", "--model", "teacher", "--base-url", teacher]
        judged = ["--judge-model", "judge", "--judge-base-url", critic, "--tape", "run.tape"]
        if command == "filter":
            assert webdancer("sample", *play, "-n", "3", "--out", "t.jsonl", OPENAI_API_KEY=CANARY).returncode == 0
            run = ["filter", "--data", "t.jsonl", "--stages", "validity,correctness,quality,model", *judged]
        else:
            run = ["eval", *play, "--runs", "3", *judged]
        live = webdancer(*run, "--out", "live", "--rejects", "r", OPENAI_API_KEY=CANARY)
    replayed = webdancer(*run, "--out", "again", "--rejects", "r", "--tape-mode", "replay", **offline)
    assert (live.returncode, replayed.returncode) == (0, 0), live.stderr + replayed.stderr
    assert (tmp_path / "live").read_bytes() == (tmp_path / "again").read_bytes() != b""
    assert "settles it" in (tmp_path / "live").read_text()
    assert "0 recorded, 0 missed" in replayed.stderr
    assert_no_canary(tmp_path, live, replayed)


@pytest.mark.parametrize("command", ["sample", "eval"])
@pytest.mark.parametrize("private", [True, False])
def test_a_run_on_the_live_web_is_replayed_byte_for_byte_with_what_could_not_be_read(
    webdancer: Webdancer,
    served: Served,
    site: Path,
    tmp_path: Path,
    offline: dict[str, str],
    command: str,
    private: bool,
) -> None:
    """With a search service, a teacher and a summariser; without --allow-private the guard refuses every page."""
    rollouts = ["-n", "3"] if command == "sample" else ["--runs", "3"]
    run = [
        command,
        "--data",
        "qa.jsonl",
        *rollouts,
        "--web",
        "live",
        "--model",
        "teacher",
        "--summariser-model",
        "small",
    ]
    run += ["--tape", "run.tape", *(["--allow-private"] if private else [])]
    keys = {"OPENAI_API_KEY": CANARY, "SERPER_API_KEY": CANARY}
    with served(site) as root, endpoint(surfer) as url, search(root) as engine:
        run += ["--base-url", url, "--search", f"serper={engine}"]
        live = webdancer(*run, "--out", "live", "--rejects", "live.rejects", **keys)
    assert live.returncode == 0, live.stderr
    replayed = webdancer(*run, "--out", "again", "--rejects", "r", "--tape-mode", "replay", **keys, **offline)
    assert replayed.returncode == 0, replayed.stderr
    shown = (tmp_path / "live").read_text()
    assert (tmp_path / "again").read_text() == shown != ""
    refusals = ["404", "robots.txt", "image/png", "login", "file:///etc/passwd: not an http"]
    assert all(said in shown for said in (refusals if private else ["--allow-private"]))
    assert ("Its mayor is Dolvek. (" in shown) is private
    assert "0 recorded, 0 missed" in replayed.stderr
    assert_no_canary(tmp_path, live, replayed)


def assert_no_canary(folder: Path, *runs: Done) -> None:
    for run in runs:
        assert CANARY not in run.stdout + run.stderr
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert [path.name for path in files if path.name == "run.tape"]
    assert not [path for path in files if CANARY.encode() in path.read_bytes()]


@pytest.mark.parametrize("command", ["e2hqa", "sample", "eval"])
def test_what_is_not_on_the_tape_is_a_failure_with_a_reason(
    webdancer: Webdancer, tmp_path: Path, offline: dict[str, str], command: str
) -> None:
    (tmp_path / "run.tape").touch()
    replay = [*arguments(command, "", "out"), "--base-url", "http://127.0.0.1:9/v1", "--tape-mode", "replay"]
    done = webdancer(*replay, **offline)
    assert done.returncode == 1, done.stderr
    assert (tmp_path / "out").read_text() == ""
    rejects = [json.loads(line) for line in (tmp_path / "out.rejects").read_text().splitlines()]
    assert {reject["reason"] for reject in rejects} == {"model_error"}
    assert all("not on the tape" in reject["detail"] for reject in rejects)
    missed = 1 if command == "e2hqa" else 3  # one call of the rewriter; one of each rollout
    assert f"0 replayed, 0 recorded, {missed} missed" in done.stderr


def test_the_offline_guard_of_these_tests_works(webdancer: Webdancer, offline: dict[str, str]) -> None:
    done = webdancer("crawlqa", "http://127.0.0.1:9/", "--allow-private", "--pages", "p", **offline)
    assert "the network was used" in done.stderr


def test_no_key_is_left_anywhere_when_an_endpoint_refuses_it(webdancer: Webdancer, tmp_path: Path) -> None:
    def refuse(_: object, headers: Message) -> tuple[int, object]:
        return 401, {"error": {"message": f"Incorrect key {headers['Authorization']}"}}

    keys = {"OPENAI_API_KEY": CANARY, "SERPER_API_KEY": CANARY, "WEBDANCER_DEBUG": "1"}
    with answering(refuse) as url:
        run = [*arguments("sample", "", "out"), "--base-url", url]
        done = webdancer(*run, **keys)
        shown = webdancer(*run, "--show-config", **keys)
        listed = webdancer("tape", "run.tape", **keys)
    assert (done.returncode, shown.returncode, listed.returncode) == (1, 0, 0)
    assert "HTTP 401" in done.stderr
    assert_no_canary(tmp_path, done, shown, listed)
