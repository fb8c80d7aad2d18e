"""``webdancer doctor``: what would go wrong is told in a line with its remedy, before the run that it would end."""

import asyncio
import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from loopback import answering

from webdancer_cli import cli
from webdancer_cli.doctor import machine, versions
from webdancer_cli.doctor.findings import Check, Finding, good, run_checks
from webdancer_cli.options import config
from webdancer_cli.prompts import load
from webdancer_cli.tape import Tape

PAGE = {"url": "http://a.test/", "title": "A", "text": "The tower stands in Velmora."}
QUESTION = {"question": "Where does the tower stand?", "answer": "Velmora"}
KEY = "sk-a-key-that-is-right"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data that can be read, and an environment with a key."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("SERPER_API_KEY", "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    Path("pages.jsonl").write_text(json.dumps(PAGE) + "\n")
    Path("qa.jsonl").write_text(json.dumps(QUESTION) + "\n")
    return tmp_path


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A chat endpoint that knows one model and one key."""

    def reply(request: Any, headers: Message) -> tuple[int, object]:
        if headers["Authorization"] != f"Bearer {KEY}":
            return 401, {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}
        if request["model"] not in ("qwen", "prose"):
            return 404, {"error": {"message": f"The model {request['model']} does not exist"}}
        asked = request["messages"][-1]["content"]
        verdict = json.dumps({"reason": "", "verdict": "wrong" if "It is Rome." in asked else "correct"})
        said = verdict if request["model"] == "qwen" and "given_answer" in asked else "What a good question!"
        choice = {"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        return 200, {"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 1}}

    with answering(reply) as url:
        yield url


@pytest.fixture(scope="module")
def search() -> Iterator[str]:
    """A gateway to a search service, with a key of its own."""

    def reply(request: Any, headers: Message) -> tuple[int, object]:
        if headers["X-API-KEY"] != KEY:
            return 403, {"message": "Unauthorized."}
        return 200, {"organic": [{"title": "A", "link": "http://a.test/", "snippet": ""}]}

    with answering(reply, path="/search") as url:
        yield url


def closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def told(capsys: pytest.CaptureFixture[str], line: str) -> tuple[int, list[str], list[str]]:
    """The exit code of ``webdancer doctor LINE``, its lines, and of these what is wrong."""
    code = cli.run_command(["doctor", "--seconds", "120", *line.split()])
    lines = capsys.readouterr().out.splitlines()
    return code, lines, [found.removeprefix("WRONG ") for found in lines if found.startswith("WRONG")]


EVAL = "eval --data qa.jsonl --web pages.jsonl --out a.jsonl"
LIVE = "eval --data qa.jsonl --web live --model builtin --out a.jsonl"
SOUND = [
    "crawlqa pages.jsonl --out qa-2.jsonl",
    f"{EVAL} --model qwen --base-url ENDPOINT --judge-model qwen",
    f"{LIVE} --search serper=SEARCH",
    "lint --data qa.jsonl --out good.jsonl",
    "view qa.jsonl",
    "filter --out sft.jsonl",
]


@pytest.mark.parametrize("line", SOUND)
def test_nothing_is_wrong_with_what_would_run(
    line: str, endpoint: str, search: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERPER_API_KEY", KEY)
    before = sorted(Path().iterdir())
    code, lines, wrong = told(capsys, line.replace("ENDPOINT", endpoint).replace("SEARCH", search))
    assert (code, wrong) == (0, []), lines
    assert sorted(Path().iterdir()) == before, "it only looks"


def wrong_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another")


def wrong_search_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERPER_API_KEY", "another")


def empty_folder(_: pytest.MonkeyPatch) -> None:
    Path("none.jsonl").mkdir()


def half_a_corpus(_: pytest.MonkeyPatch) -> None:
    Path("pages.jsonl").write_text(json.dumps(PAGE) + '\n{"url": "http://a.test/b", "te\n')


def corpus_of_questions(_: pytest.MonkeyPatch) -> None:
    Path("pages.jsonl").write_text(json.dumps(QUESTION) + "\n")


def read_only(_: pytest.MonkeyPatch) -> None:
    Path("a.jsonl").mkdir()


def bad_settings(_: pytest.MonkeyPatch) -> None:
    Path("webdancer.toml").write_text("jbos = 3\n")


def saved_page(_: pytest.MonkeyPatch) -> None:
    Path("pages.jsonl").write_text("<!doctype html>\n")
    Path("p.jsonl").write_text(json.dumps({**QUESTION, "prediction": "Velmora"}) + "\n")


def damaged_index(_: pytest.MonkeyPatch) -> None:
    assert cli.run_command(["index", "--pages", "pages.jsonl", "--out", "web.index", "--quiet"]) == 0
    next(Path("web.index").rglob("meta.json")).write_text("{")


def tape_of_another_model(_: pytest.MonkeyPatch) -> None:
    with Tape("t.tape") as tape:
        asyncio.run(tape.record_or_replay("llm", ["?"], "llama", str, said_once))


async def said_once() -> str:
    return "ready"


def ranks_without_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1000000")


def own_judge_prompt(_: pytest.MonkeyPatch) -> None:
    """One that the endpoint cannot answer."""
    Path("mine").mkdir()
    own = load("default").files["judge.md"].replace("given_answer", "other_answer")
    Path("mine/judge.md").write_text(own)


def untouched(_: pytest.MonkeyPatch) -> None:
    pass


BROKEN: list[tuple[str, Callable[[pytest.MonkeyPatch], None], str, str]] = [
    (f"{EVAL} --model qwen --base-url ENDPOINT", wrong_key, "endpoint", "set OPENAI_API_KEY to a key that is valid"),
    (f"{EVAL} --model qwen --base-url CLOSED/v1", untouched, "endpoint", "is the server up, and is this its address?"),
    (f"{EVAL} --model qwne --base-url ENDPOINT", untouched, "endpoint", "is the model's name right"),
    (f"{EVAL} --judge-model llama --judge-base-url ENDPOINT", untouched, "endpoint", "judge llama: "),
    (f"{LIVE} --search serper", untouched, "search", "set SERPER_API_KEY in the environment"),
    (f"{LIVE} --search serper=SEARCH", wrong_search_key, "search", "set SERPER_API_KEY to a key that is valid"),
    (f"{LIVE} --search searxng=CLOSED", untouched, "search", "is the service up, and is this its address?"),
    (EVAL, half_a_corpus, "web", "1 of the first 2 lines cannot be read, the first because pages.jsonl:2"),
    (EVAL, corpus_of_questions, "web", "pages.jsonl:1"),
    (EVAL.replace("pages.jsonl", "none.jsonl"), untouched, "web", "webdancer crawlqa URL --pages none.jsonl"),
    (EVAL.replace("pages.jsonl", "none.jsonl"), empty_folder, "web", "none.jsonl"),
    (EVAL, read_only, "disk", "a.jsonl: is a folder"),
    ("sample --data none.jsonl --web pages.jsonl", untouched, "data", "none.jsonl: no such file"),
    ("filter --data qa.jsonl", untouched, "data", "qa.jsonl:1"),
    (f"{EVAL} --prompts mine", untouched, "prompts", "neither a folder nor one of"),
    (f"{EVAL} --tool tools.py:find", untouched, "prompts", "tools.py"),
    (f"{EVAL} --tape t.tape --tape-mode replay", untouched, "tape", "no such tape"),
    (f"{EVAL} --card card.json".replace(" --out a.jsonl", ""), untouched, "options", "needs --out FILE"),
    (f"{EVAL} --judge-model prose --judge-base-url ENDPOINT", untouched, "judge", "cannot judge: asked"),
    (
        f"{EVAL} --prompts mine --judge-model qwen --judge-base-url ENDPOINT",
        own_judge_prompt,
        "judge",
        "cannot judge: asked",
    ),
    (f"{EVAL} --benchmark gaia", untouched, "data", "the file lacks its columns level, task_id"),
    (EVAL, saved_page, "web", "it is HTML or XML; `webdancer crawlqa` reads saved pages"),
    (EVAL.replace("pages.jsonl", "web.index"), damaged_index, "web", "web.index: Data corrupted"),
    (
        f"{EVAL} --model qwen --base-url ENDPOINT --tape t.tape --tape-mode replay",
        tape_of_another_model,
        "tape",
        "no call of qwen, but of llama",
    ),
    (EVAL, ranks_without_memory, "shared", "a larger --shm-size"),
    ("eval --grade-only --data p.jsonl --gold pages.jsonl --out a.jsonl", saved_page, "files", "it is HTML"),
    ("crawlqa http://127.0.0.1:9/", untouched, "root", "--allow-private opens it"),
    ("crawlqa CLOSED --allow-private", untouched, "root", "is the site served, and is this its address?"),
    ("", bad_settings, "settings", "did you mean 'jobs'?"),
]


@pytest.mark.parametrize(("line", "broken", "about", "remedy"), BROKEN)
def test_what_is_wrong_is_named_in_one_line_with_its_remedy(
    line: str,
    broken: Callable[[pytest.MonkeyPatch], None],
    about: str,
    remedy: str,
    endpoint: str,
    search: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken(monkeypatch)
    line = line.replace("ENDPOINT", endpoint).replace("SEARCH", search).replace("CLOSED", closed_port())
    code, _, wrong = told(capsys, line)
    assert code == 1
    (found,) = wrong
    assert found.startswith(f"{about} ") and remedy in found
    assert KEY not in found


# ---- models ---------------------------------------------------------------------------------------------------------

GIANT = {
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 16384, "intermediate_size": 65536,
    "num_hidden_layers": 300, "num_attention_heads": 128, "num_key_value_heads": 8, "head_dim": 128,
    "vocab_size": 150000,
}  # fmt: skip
SFT = "sft --data t.jsonl --out checkpoint"


@pytest.fixture
def trajectories() -> None:
    messages = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "<answer>\nA\n</answer>"}]
    Path("t.jsonl").write_text(json.dumps({"qa": QUESTION, "messages": messages, "ending": "answered"}) + "\n")


def test_the_small_base_can_be_trained_here(trajectories: None, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, wrong = told(capsys, f"{SFT} --model nano")
    assert (code, wrong) == (0, []), lines
    assert {"model", "room", "tokenizer", "weights"} <= {line[6:].split()[0] for line in lines}
    assert not Path("checkpoint").exists()


def test_a_model_that_is_too_large_is_told_before_anything_is_read(
    trajectories: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """16384·(2·16384 + 2·1024 + 3·65536)·300 is a trillion parameters: neither memory nor a disk has room for it."""
    Path("giant").mkdir()
    Path("giant/config.json").write_text(json.dumps(GIANT))
    code, _, wrong = told(capsys, f"{SFT} --model giant")
    assert code == 1
    by_name = {line.split()[0]: line for line in wrong}
    assert "GB needed in each process" in by_name["room"] and "--lora-rank" in by_name["room"]
    assert "GB free, about" in by_name["disk"] and "free some, or write elsewhere" in by_name["disk"]


def test_rollouts_by_servers_take_no_memory_of_the_trainer() -> None:
    pytest.importorskip("torch")
    from webdancer_cli.doctor.model import needed_bytes
    from webdancer_cli.training.models import describe

    plain = describe("nano")
    own, servers = (
        needed_bytes(config.RlOptions(model="nano", out="out", lora_rank=8, **engine), plain, "cpu")
        for engine in ({}, {"engine": "vllm", "vllm_url": ["http://127.0.0.1:9"]})
    )
    assert servers < own


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        (f"{SFT} --model ./none", "./none: no such checkpoint: name a folder"),
        (f"{SFT} --model empty", "no config.json, so this is not a checkpoint"),
        (f"{SFT} --model nano --max-length 2049", "positions"),
        (f"{SFT.replace('checkpoint', 'full')} --model nano", "holds the weights of another model"),
        (f"{EVAL} --model ./none", "no such checkpoint"),
        (f"{SFT} --model nobody/nothing", "cannot be reached"),
    ],
)
def test_a_model_that_cannot_be_opened_is_told(
    line: str,
    remedy: str,
    trajectories: None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", closed_port())
    Path("empty").mkdir()
    Path("full").mkdir()
    Path("full/model.safetensors").touch()
    code, _, wrong = told(capsys, line)
    assert code == 1
    assert len(wrong) == 1 and remedy in wrong[0]


# ---- versions, machine, time ----------------------------------------------------------------------------------------


def distribution(folder: Path, name: str, version: str, *wanted: str) -> None:
    """What an installer leaves of a distribution for others to read."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Python: >=3.11", *wanted]
    (info / "METADATA").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("version", "found"),
    [
        (
            "5.99.0",
            "transformers 5.99.0 is outside of the tested range <5.25,>=5.16: pip install 'transformers<5.25,>=5.16'",
        ),
        ("5.2.0", "transformers 5.2.0 is outside of the tested range"),
        ("5.24.1", ""),
    ],
)
def test_a_version_outside_of_the_tested_range_is_told(
    version: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    wanted = 'Requires-Dist: transformers<5.25,>=5.16; extra == "train"'
    distribution(site, "webdancer", "0.9", "Provides-Extra: train", wanted)
    distribution(site, "transformers", version)
    monkeypatch.syspath_prepend(site)
    wrong = [finding.said for finding in versions.versions(frozenset()) if finding.state == "wrong"]
    assert len(wrong) == bool(found) and "".join(wrong).startswith(found)


def test_what_an_option_needs_has_to_be_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    distribution(site, "webdancer", "0.9", "Provides-Extra: train", 'Requires-Dist: no-such-thing>=1; extra == "train"')
    monkeypatch.syspath_prepend(site)
    assert [f.said for f in versions.versions(frozenset({"train"})) if f.state == "wrong"] == [
        "no-such-thing is not installed: pip install 'no-such-thing>=1'"
    ]
    assert "train" in next(f.said for f in versions.versions(frozenset()) if f.about == "extras")


def test_too_little_room_is_told(tmp_path: Path) -> None:
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    assert machine.room(str(tmp_path / "a" / "out.jsonl"), free / 2).state == "ok"
    assert machine.room(str(tmp_path / "a" / "out.jsonl"), 2 * free + 1).state == "wrong"


def test_a_small_file_system_is_found_full(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounting = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], capture_output=True)
    if mounting.returncode:
        pytest.skip("no file system may be mounted here")
    try:
        _, _, wrong = told(capsys, "lint --data qa.jsonl --out small/good.jsonl")
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert len(wrong) == 1 and "small/good.jsonl: 0.00 GB free, about 0.20 GB needed" in wrong[0]


def test_a_check_that_takes_too_long_is_unknown_and_holds_nobody_up() -> None:
    never = Event()

    def waits() -> list[Finding]:
        never.wait()
        return []

    found = list(run_checks([Check("slow", waits), Check("quick", lambda: [good("quick", "done")])], 0.2))
    assert [finding.state for finding in found] == ["unknown", "ok"]
    never.set()


def test_only_what_is_wrong_is_told_if_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run_command(["doctor", "--seconds", "120", "--quiet", "lint", "--data", "none.jsonl"]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize("line", [["doctor", "sampel"], ["doctor", "sample", "--wbe", "x"], ["doctor", "--jobs", "3"]])
def test_a_mistyped_command_or_flag_is_a_usage_error(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run_command(line) in (1, 2)
    out, err = capsys.readouterr()
    assert len((out + err).splitlines()) == 1
