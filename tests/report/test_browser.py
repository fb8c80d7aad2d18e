"""The report in a real browser: it opens, filters and switches, runs nothing that it shows, and asks for nothing."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from report_records import attempt, messages, question, trajectory

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")]

ATTACKS = [
    "<script>window.hacked = 1</script>",
    "</script><script>window.hacked = 2</script>",
    "<img src=http://127.0.0.1:9/x onerror=window.hacked=3>",
    "javascript:window.hacked=4",
    "\u2028window.hacked=5\u2029",
    "<!--<script>",
    "</style><style>@import 'http://127.0.0.1:9/';</style>",
    "'\"><svg onload=window.hacked=6>",
    "data:text/html,<script>window.hacked=7</script>",
    "${window.hacked=8}{{ 7 * 7 }}{% raw %}",
    "<iframe src=http://127.0.0.1:9/></iframe>",
]
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium: Any, tmp_path: Path) -> Iterator[Open]:
    """Make a report of lines and open it. At the end nothing was complained of, and nothing asked for but the file."""
    complaints: list[str] = []
    asked: list[str] = []

    def open_report(*lines: Any, **context: Any) -> Any:
        data = tmp_path / "data.jsonl"
        data.write_text("".join(json.dumps(line) + "\n" for line in lines))
        made(data, tmp_path / "report.html")
        page = chromium.new_context(**context).new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((tmp_path / "report.html").as_uri())
        return page

    yield open_report
    assert complaints == []
    assert {url.partition("#")[0] for url in asked if not url.startswith("data:")} == {
        (tmp_path / "report.html").as_uri()
    }


BENCHES = Path(__file__).parents[1] / "bench"
MEASURED = "import peak, runpy; runpy.run_module('webdancer_cli', run_name='__main__', alter_sys=True)"


def made(data: Path, out: Path, *arguments: str) -> int:
    """The report of ``data`` in ``out``; the most memory that it held, in kB."""
    told = out.with_suffix(".peak")
    path = os.pathsep.join([str(BENCHES), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-c", MEASURED, "view", str(data), "-o", str(out), *arguments]
    given = {**os.environ, "PYTHONPATH": path, "PEAK": str(told)}
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=given)
    assert done.returncode == 0, done.stderr
    return int(told.read_text())


def hostile(attack: str) -> list[dict[str, Any]]:
    """Every field that the web or a model writes says the same evil thing."""
    evidence = [{"url": attack, "title": attack, "quote": attack}]
    chain = [dict.fromkeys(["entity", "query", "url", "sentence", "description", "before", "after"], attack)]
    qa = question(question=attack, answer=attack, evidence=evidence, chain=chain, type=attack, id=attack, note=attack)
    played = messages(attack, observed=attack)
    played[0]["content"] = played[1]["content"] = attack
    call = json.dumps({"name": attack, "arguments": {attack: attack}})
    played[2]["content"] = f"<think>\n{attack}\n</think>\n<tool_call>\n{call}\n</tool_call>"
    episode = trajectory(attack, qa=qa, messages=played, model=attack, repairs=[attack])
    graded = attempt(1, "wrong", qa_id=attack, question=attack, gold=attack, model=attack, type=attack, messages=played)
    page = {"url": attack, "title": attack, "text": attack}
    rejected = {"reason": attack, "detail": attack, "stage": attack, "record": None}
    metrics = {"step": 1, "loss": 1.0, attack: 2.0, "alarms": [attack]}
    return [qa, episode, graded, page, rejected, metrics, metrics | {"step": 2}]


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_that_is_shown_runs(opened: Open, attack: str) -> None:
    page = opened(*hostile(attack))
    tabs = page.locator("#tabs a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert len(tabs) == 7
    for tab in tabs:
        page.evaluate("tab => { location.hash = tab }", tab)
        page.wait_for_timeout(60)
        if page.locator(".row").count():
            page.locator(".row").first.click()
            page.locator(".detail h2").wait_for()
        for fold in page.locator("main summary").all():
            fold.click()
    addresses = page.locator("a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert all(address.startswith("#") for address in addresses)
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img, main script, main iframe, main style, main svg[onload]").count() == 0


def test_filter_search_open_and_theme(opened: Open) -> None:
    wrong = [trajectory("Mary Shelley", "wrong", rollout=number) for number in range(2)]
    deep = trajectory(messages=messages("Jane Austen", "A needle in an observation."), rollout=9)
    page = opened(trajectory(), *wrong, deep, color_scheme="light")
    page.locator("#tabs a", has_text="Episodes").click()
    assert page.locator(".row").count() == 4
    page.locator("select[aria-label=verdict]").select_option("=wrong")
    assert page.locator(".total").inner_text() == "2 of 4 episodes"
    page.locator("select[aria-label=verdict]").select_option("")
    page.keyboard.press("Escape")
    page.locator("input[type=search]").fill("needle")
    assert page.locator(".row").count() == 0
    page.locator("input[type=search]").press("Enter")
    page.get_by_text("in all texts").wait_for()
    assert page.locator(".row").count() == 1
    page.locator(".row").click()
    page.locator(".step.tool").wait_for()
    assert "A needle in an observation." in page.locator(".step.tool").inner_text()
    page.keyboard.press("t")
    assert page.locator("html").get_attribute("data-theme") == "dark"


def test_keys_walk_the_list_and_the_evidence_is_marked(opened: Open) -> None:
    page = opened(*(trajectory(rollout=number) for number in range(3)))
    page.keyboard.press("2")
    page.locator(".list").focus()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.locator(".row[aria-selected=true]").wait_for()
    page.locator("mark.evidence").first.wait_for()
    assert page.url.endswith("#episodes/1")
    assert page.locator(".step.tool mark.evidence").inner_text() == "The author of Emma is Jane Austen."
    assert not page.locator("details.thought").first.evaluate("fold => fold.open")
    page.keyboard.press("l")
    assert page.locator(".show-loss .step[data-loss=yes]").count() == 2
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.type") == "search"
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.wait_for_url("**#episodes")


def test_failures_are_a_flow_from_all_runs_to_the_right_ones(opened: Open) -> None:
    """Of 10 judged runs 4 are right; 3 never saw the page, 2 were cut off, of one it is not told; one is unjudged."""
    failures = [None] * 4 + ["never_surfaced"] * 3 + ["cut_off"] * 2 + [None]
    anatomies = [{"basis": "evidence"} | ({"failure": failure} if failure else {}) for failure in failures]
    lines = [
        attempt(number, "correct" if number < 4 else "wrong", anatomy=anatomy)
        for number, anatomy in enumerate(anatomies)
    ]
    page = opened(*lines, attempt(10, "unjudged"))
    page.keyboard.press("2")
    said = page.locator("svg.flow").get_attribute("aria-label")
    assert said == "10 runs, 2 cut off, 3 never surfaced, 1 wrong, not told why, 4 correct"
    assert page.locator("svg.flow .leaves").count() == 3


def test_on_a_phone_nothing_is_wider_than_the_screen(opened: Open) -> None:
    page = opened(*(attempt(number, "correct") for number in range(4)), viewport={"width": 390, "height": 800})
    for tab in page.locator("#tabs a").all():
        tab.click()
        page.wait_for_timeout(60)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("scale", [-1.3e-12, 7.7e-13, 1.25, -12345.0, 3.4e9])
def test_the_numbers_beside_a_curve_are_within_its_picture(opened: Open, scale: float) -> None:
    page = opened(*({"step": step, "loss": 1.0, "kl": scale * (1 + step / 10)} for step in range(1, 12)))
    page.evaluate("location.hash = 'training'")
    ticks = page.locator("svg text.tick")
    ticks.first.wait_for()
    assert ticks.count() > 10
    assert min(ticks.evaluate_all("texts => texts.map(text => text.getBBox().x)")) >= 0


def test_ten_thousand_long_trajectories_open_at_once(chromium: Any, tmp_path: Path) -> None:
    """170 MB of text, five rollouts of each question, which read the same pages."""
    data, out = tmp_path / "many.jsonl", tmp_path / "many.html"
    assert write_many(data) > 170e6
    began = time.monotonic()
    assert made(data, out, "--quiet") < 1_000_000
    assert time.monotonic() - began < 300
    assert out.stat().st_size < 60e6
    page = chromium.new_page()
    began = time.monotonic()
    page.goto(out.as_uri() + "#episodes/9876")
    page.locator(".step.tool").first.wait_for()
    assert time.monotonic() - began < 30
    assert page.locator(".row").count() < 60
    began = time.monotonic()
    page.keyboard.press("j")
    page.locator("h2", has_text="novel 1975").wait_for()
    assert time.monotonic() - began < 10


def write_many(path: Path) -> int:
    """Texts of words as frequent as in English (Zipf); the bytes written."""
    draw = Random(0)
    words = ["".join(draw.choices("etaoinshrdlucmfw", k=draw.randint(2, 9))) for _ in range(20000)]
    weights = [1 / (rank + 3) for rank in range(len(words))]
    pool = draw.choices(words, weights, k=6_000_000)

    def text(size: int) -> str:
        at = draw.randrange(len(pool) - size)
        return " ".join(pool[at : at + size])

    with path.open("w") as stream:
        for number in range(2000):
            pages = [text(350) for _ in range(6)]
            for rollout in range(5):
                turns = messages(text(3))
                for page in pages:
                    called = {"name": "visit", "arguments": {"url": [page[:20]], "goal": text(3)}}
                    written = f"<think>\n{text(40)}\n</think>\n<tool_call>\n{json.dumps(called)}\n</tool_call>"
                    turns[-1:-1] = [
                        {"role": "assistant", "content": written},
                        {"role": "user", "content": f"<tool_response>\n{page}\n</tool_response>"},
                    ]
                qa = question(question=f"Who wrote novel {number}?", id=f"q{number}")
                stream.write(json.dumps(trajectory(qa=qa, messages=turns, rollout=rollout)) + "\n")
        return stream.tell()
