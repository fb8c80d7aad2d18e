"""The tape: what was recorded is replayed, what failed is not recorded, and secrets stay out."""

import asyncio
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from webdancer_cli.data.records import Usage
from webdancer_cli.errors import ModelError, UsageError, WebdancerError
from webdancer_cli.llm.client import Reply
from webdancer_cli.tape import Tape, TapeMiss, exchange_key, mask_url

CANARY = "sk-canary-0123456789"


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "run.tape")


class Live:
    """Gives the texts in turn, or raises, and counts how often it is asked."""

    def __init__(self, *texts: str | Exception):
        self.texts = list(texts)
        self.asked = 0

    async def __call__(self) -> Reply:
        text = self.texts[min(self.asked, len(self.texts) - 1)]
        self.asked += 1
        if isinstance(text, Exception):
            raise text
        return Reply(text=text, trace="t1", usage=Usage(calls=1, input_tokens=3))


async def say(tape: Tape, live: Live, *asked: object, label: str = "m") -> str:
    return (await tape.record_or_replay("llm", asked, label, Reply, live)).text


async def test_what_is_recorded_comes_back_whole_and_nobody_is_asked(path: str) -> None:
    with Tape(path) as tape:
        first = await tape.record_or_replay("llm", ["q", 0], "m", Reply, Live("héllo"))
    silent = Live("other")
    with Tape(path, "replay") as tape:
        again = await tape.record_or_replay("llm", ["q", 0], "m", Reply, silent)
        assert (again, silent.asked) == (first, 0)
        assert tape.summary() == "1 replayed, 0 recorded, 0 missed"


async def test_the_rollout_tells_equal_requests_apart(path: str) -> None:
    with Tape(path) as tape:
        assert [await say(tape, Live(f"r{rollout}"), "q", rollout) for rollout in range(3)] == ["r0", "r1", "r2"]
    with Tape(path, "replay") as tape:
        assert [await say(tape, Live("x"), "q", rollout) for rollout in range(3)] == ["r0", "r1", "r2"]


async def test_a_miss_is_an_error_and_is_counted(path: str) -> None:
    Tape(path).close()
    live = Live("x")
    with Tape(path, "replay") as tape:
        with pytest.raises(TapeMiss, match="not on the tape"):
            await say(tape, live, "q")
        assert (tape.counts["missed"], live.asked) == (1, 0)


async def test_failures_are_not_recorded(path: str) -> None:
    with Tape(path) as tape:
        with pytest.raises(ModelError):
            await say(tape, Live(ModelError("HTTP 500")), "q")
        assert list(tape.exchanges()) == []
        assert await say(tape, Live("good"), "q") == "good"


async def test_recording_anew_asks_once_more_and_replaces(path: str) -> None:
    with Tape(path) as tape:
        await say(tape, Live("old"), "q")
    live = Live("new", "newer")
    with Tape(path, "record") as tape:
        assert [await say(tape, live, "q"), await say(tape, live, "q")] == ["new", "new"]
    assert live.asked == 1
    with Tape(path, "replay") as tape:
        assert await say(tape, Live("x"), "q") == "new"


@pytest.mark.virtual_clock
@pytest.mark.parametrize("mode", ["auto", "record"])
async def test_what_is_asked_twice_at_once_has_one_answer(path: str, mode: str) -> None:
    """Otherwise the replay could not repeat both."""

    async def slow(text: str, seconds: float) -> Reply:
        await asyncio.sleep(seconds)
        return Reply(text=text)

    with Tape(path, mode) as tape:
        both = (
            tape.record_or_replay("llm", ["q"], "m", Reply, lambda n=n: slow(f"r{n}", 0.01 * (3 - n))) for n in range(3)
        )
        texts = {reply.text for reply in await asyncio.gather(*both)}
    assert texts == {"r2"}


async def test_the_date_is_that_of_the_recording(path: str) -> None:
    with Tape(path) as tape:
        assert tape.date == datetime.now().date().isoformat()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE facts SET value = '2020-02-02'")
    with Tape(path, "replay") as tape:
        assert tape.date == "2020-02-02"


async def test_no_key_of_the_environment_is_on_the_tape(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", CANARY)
    label = f"http://user:pass@a.test/?q=1&api_key={CANARY}"
    with Tape(path) as tape:
        said = await say(tape, Live(f"your key is {CANARY}, I think"), "q", label=label)
        (exchange,) = tape.exchanges()
    assert said == f"your key is {'*' * len(CANARY)}, I think"
    assert exchange.label == "http://a.test/?q=1&api_key=***"
    assert all(CANARY.encode() not in file.read_bytes() for file in Path(path).parent.iterdir())


def test_masked_url() -> None:
    assert mask_url("qwen") == "qwen"
    assert mask_url("http://a.test/x?page=2#y") == "http://a.test/x?page=2#y"
    assert mask_url("http://u:p@a.test/x?Access_Token=1&b=2") == "http://a.test/x?Access_Token=***&b=2"


def test_a_key_depends_on_all_that_is_asked_and_on_nothing_else() -> None:
    assert exchange_key("llm", [{"a": 1, "b": 2}]) == exchange_key("llm", [{"b": 2, "a": 1}])
    keys = [exchange_key("llm", ["q"]), exchange_key("web", ["q"]), exchange_key("llm", ["q", 0])]
    assert len(set(keys)) == 3


def test_half_a_surrogate_pair_has_a_key() -> None:
    keys = [exchange_key("web", ["read", text, None]) for text in ("\ud83d", "\ud83e", "?")]
    assert len(set(keys)) == 3


@pytest.mark.parametrize(("mode", "kept"), [("auto", 0), ("record", 2)])
async def test_only_recording_anew_has_to_know_what_it_has_recorded(path: str, mode: str, kept: int) -> None:
    with Tape(path, mode) as tape:
        for question in "aba":
            await say(tape, Live("x"), question)
        assert (len(tape._fresh), tape.counts["recorded"]) == (kept, 2)


async def test_merging_adds_what_is_missing_and_keeps_what_is_there(path: str, tmp_path: Path) -> None:
    other = str(tmp_path / "other.tape")
    for name, answers in ((path, {"a": "mine", "b": "mine"}), (other, {"b": "theirs", "c": "theirs"})):
        with Tape(name) as tape:
            for question, answer in answers.items():
                await say(tape, Live(answer), question)
    with Tape(path) as tape:
        assert tape.merge(other) == 1
        assert [await say(tape, Live("x"), question) for question in "abc"] == ["mine", "mine", "theirs"]
        with pytest.raises(UsageError, match="the tape itself"):
            tape.merge(path)


async def test_pruning(path: str) -> None:
    with Tape(path) as tape:
        for number, label in enumerate(["qwen", "http://a.test/1", "http://b.test/1"]):
            kind = "web" if "://" in label else "llm"
            await tape.record_or_replay(kind, [number], label, Reply, Live("x"))
        now = datetime.now(UTC)
        assert tape.prune(before=now - timedelta(days=1)) == 0
        assert tape.prune(labels=["a.test"]) == 1
        assert tape.prune(kinds=["llm"]) == 1
        assert [exchange.label for exchange in tape.exchanges()] == ["http://b.test/1"]
        assert tape.prune(before=now + timedelta(days=1)) == 1


def test_files_that_are_no_tapes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pages.jsonl").write_text("{}\n" * 1000)
    with sqlite3.connect(tmp_path / "other.db") as database:
        database.execute("CREATE TABLE t (x)")
    for name, mode in (("pages.jsonl", "auto"), ("other.db", "auto"), ("missing", "replay"), (".", "auto")):
        with pytest.raises(UsageError, match="tape"):
            Tape(str(tmp_path / name), mode)


async def test_a_damaged_entry_is_an_error_with_a_remedy(path: str) -> None:
    with Tape(path) as tape:
        await say(tape, Live("x"), "q")
    with sqlite3.connect(path) as database:
        database.execute("UPDATE exchanges SET value = x'00'")
    with Tape(path) as tape:
        with pytest.raises(WebdancerError, match="record a new tape"):
            await say(tape, Live("x"), "q")


WRITE = """
import asyncio, sys
from webdancer_cli.llm.client import Reply
from webdancer_cli.tape import Tape

async def main(path, mine):
    with Tape(path) as tape:
        for number in range(60):
            async def live():
                return Reply(text=mine)
            reply = await tape.record_or_replay("llm", ["shared", number], "m", Reply, live)
            await tape.record_or_replay("llm", [mine, number], "m", Reply, live)
            print(reply.text)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_several_processes_record_at_once_and_see_the_same(path: str, environment: dict[str, str]) -> None:
    def start(name: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", WRITE, path, name]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)

    writers = [start(name) for name in "abc"]
    outputs = [writer.communicate(timeout=120) for writer in writers]
    assert [error for _, error in outputs] == [""] * 3
    assert outputs[0][0] == outputs[1][0] == outputs[2][0]
    with Tape(path) as tape:
        assert len(list(tape.exchanges())) == 60 + 3 * 60
