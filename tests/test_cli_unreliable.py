"""A model that fails in a third of its replies, behind real commands: none of these comes out, each has its reason."""

import json
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from loopback import answering

pytestmark = pytest.mark.slow

Done = subprocess.CompletedProcess[str]
Webdancer = Callable[..., Done]
Say = Callable[[str], str]

TOWNS = 24
FILLER = "The rest of the page speaks of the weather, of fairs, and of a bridge that was never finished. " * 3


@contextmanager
def endpoint(say: Say) -> Iterator[tuple[str, list[str]]]:
    """A chat endpoint on loopback: its base URL, and the first message of every request."""
    prompts: list[str] = []

    def reply(request: Any, _: object) -> tuple[int, object]:
        prompts.append(request["messages"][0]["content"])
        choice = {"message": {"role": "assistant", "content": say(prompts[-1])}, "finish_reason": "stop"}
        return 200, {"choices": [choice], "usage": {"prompt_tokens": 90, "completion_tokens": 7}}

    with answering(reply) as url:
        yield url, prompts


def fact(town: int) -> str:
    return f"Town{town} is the place where the fair of Saint{town} began."


def question(town: int) -> dict[str, Any]:
    return {"question": f"Who is the mayor of Town{town}?", "answer": f"Mayor{town}", "type": "single_hop"}


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    """A page on each town and one on its fair; a question about each town."""
    pages = [
        {
            "url": f"http://a.test/{name}",
            "title": name,
            "text": f"{text} {FILLER}",
            "links": [{"url": f"http://a.test/Town{town}", "text": f"Town{town}", "sentence": text}],
        }
        for town in range(1, TOWNS + 1)
        for name, text in (
            (f"Town{town}", f"Town{town} is a town. The mayor of Town{town} is Mayor{town}."),
            (f"Fair of Saint{town}", fact(town)),
        )
    ]
    (tmp_path / "pages.jsonl").write_text("".join(json.dumps(page) + "\n" for page in pages))
    (tmp_path / "qa.jsonl").write_text("".join(json.dumps(question(town)) + "\n" for town in range(1, TOWNS + 1)))


def writes(prompt: str) -> str:
    """A sound question about every page on a town; in every third, in turn, one of four kinds of trouble instead."""
    found = re.search(r"\[Page 1\] Town(\d+)\n", prompt)
    if not found:
        return '{"questions": []}'
    town = int(found[1])
    written = {**question(town), "evidence": [{"page": 1, "quote": f"The mayor of Town{town} is Mayor{town}."}]}
    bad = [
        {**written, "evidence": [{"page": 1, "quote": f"Mayor{town} has ruled Town{town} for years."}]},
        {**written, "answer": "Mayor of another town"},
        {**written, "question": f"What does Mayor{town} of Town{town} do?"},
    ]
    if town % 3:
        return json.dumps({"questions": [written]})
    return (
        json.dumps({"questions": [bad[town // 3 % 4]]}) if town // 3 % 4 < 3 else f'{{"questions": [{written["answer"]}'
    )


WRITTEN_REASONS = {"quote_not_found": 2, "answer_unsupported": 2, "answer_in_question": 2, "unreadable_reply": 2}
"""Towns 12 and 24; 3 and 15; 6 and 18; 9 and 21."""


def rewrites(prompt: str) -> str:
    """Makes every question harder; in every third, in turn, one of four kinds of trouble instead, and then gives up."""
    town = int(re.findall(r"Town(\d+)\?", prompt)[0]) if "Town" in prompt else 0
    trouble = town // 3 % 4 if town % 3 == 0 else None
    if "strict editor" in prompt:
        return json.dumps(dict.fromkeys(["one_question", "grammatical", "same_answer", "description_fits"], True))
    if "web search query" in prompt:
        return json.dumps({"query": f"Town{town} fair of Saint{town}"})
    if "<pages>" not in prompt:
        return json.dumps({"entity": "" if "Not again" in prompt else f"Town{town}"})
    page = re.search(rf"\[Page (\d)\] Fair of Saint{town}\n", prompt)
    assert page, prompt
    described = f"the place where the fair of Saint{town} began"
    sound = {
        "page": int(page[1]),
        "sentence": fact(town),
        "description": described,
        "question": f"Who is the mayor of {described}?",
    }
    bad: list[dict[str, Any]] = [
        {**sound, "sentence": f"The fair of Saint{town} began long ago in Town{town}."},
        {**sound, "question": f"Who founded {described}?"},
        {**sound, "question": f"Is Mayor{town} the mayor of {described}?"},
    ]
    return json.dumps(sound if trouble is None else bad[trouble]) if trouble != 3 else '{"page": 1, "sentence":'


ATTEMPT_REASONS = {"sentence_not_found": 2, "question_changed": 2, "answer_in_question": 2, "unreadable_reply": 2}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(webdancer: Webdancer, url: str, out: str, command: str, *more: str) -> Done:
    source = ["pages.jsonl", "--pages", "unused.jsonl"] if command == "crawlqa" else ["--data", "qa.jsonl"]
    model = ["--model", "teacher", "--base-url", url, "--tape", "run.tape"]
    return webdancer(command, *source, "--out", out, "--rejects", f"{out}.rejects", *model, *more)


def replayed(webdancer: Webdancer, tmp_path: Path, url: str, command: str) -> bool:
    """Whether the tape gives the same bytes, with nobody at the endpoint."""
    run(webdancer, url, "again", command, "--tape-mode", "replay")
    return all(
        (tmp_path / f"again{end}").read_bytes() == (tmp_path / f"live{end}").read_bytes() for end in ("", ".rejects")
    )


def test_what_an_author_makes_up_never_becomes_a_question(webdancer: Webdancer, tmp_path: Path) -> None:
    with endpoint(writes) as (url, prompts):
        done = run(webdancer, url, "live", "crawlqa")
    assert done.returncode == 1, done.stderr  # a reply that cannot be read is a failure, and tried again
    kept, rejected = lines(tmp_path / "live"), lines(tmp_path / "live.rejects")
    assert [qa["answer"] for qa in kept] == [f"Mayor{town}" for town in range(1, TOWNS + 1) if town % 3]
    assert Counter(line["reason"] for line in rejected) == WRITTEN_REASONS
    assert all(line["record"] and line["detail"] for line in rejected)
    assert {qa["usage"]["input_tokens"] for qa in kept} == {90} and {qa["prompts"][:8] for qa in kept} == {"default:"}
    assert not re.search(r"\{\w+\}", prompts[0])
    assert replayed(webdancer, tmp_path, url, "crawlqa")


def test_pages_whose_questions_are_there_are_not_paid_for_twice(webdancer: Webdancer, tmp_path: Path) -> None:
    with endpoint(writes) as (url, prompts):
        model = ["--model", "teacher", "--base-url", url]
        arguments = ["crawlqa", "pages.jsonl", "--pages", "unused.jsonl", "--out", "live", *model]
        webdancer(*arguments, "--limit", "10")
        assert len(lines(tmp_path / "live")) == 10
        asked = len(prompts)
        done = webdancer(*arguments, "--resume")
    assert len({qa["id"] for qa in lines(tmp_path / "live")}) == len(lines(tmp_path / "live")) == 16, done.stderr
    again = Counter(found[1] for prompt in prompts if (found := re.search(r"\[Page 1\] (Town\d+)\n", prompt)))
    assert asked < len(prompts)
    first_ten = [qa["answer"].replace("Mayor", "Town") for qa in lines(tmp_path / "live")[:10]]
    assert [again[name] for name in first_ten] == [1] * 10


def test_what_a_rewriter_makes_up_leaves_the_question_as_it_was(webdancer: Webdancer, tmp_path: Path) -> None:
    with endpoint(rewrites) as (url, _):
        done = run(webdancer, url, "live", "e2hqa")
    assert done.returncode == 0, done.stderr
    for town, qa in zip(range(1, TOWNS + 1), lines(tmp_path / "live"), strict=True):
        before = question(town)
        assert qa["answer"] == before["answer"]
        if town % 3:
            assert qa["question"] == f"Who is the mayor of the place where the fair of Saint{town} began?"
            assert (qa["chain"][0]["entity"], qa["chain"][0]["before"]) == (f"Town{town}", before["question"])
            assert qa["evidence"][0]["quote"] == fact(town) and qa["usage"]["calls"] == 4
        else:
            assert {name: qa[name] for name in qa if name != "id"} == before
    for reason, count in {**ATTEMPT_REASONS, "no_entity": 8}.items():
        assert f"{reason} {count}" in done.stderr
    assert "16 rewritten" in done.stderr and "8 unchanged" in done.stderr and "16 failed attempts" in done.stderr
    assert replayed(webdancer, tmp_path, url, "e2hqa")


def test_what_the_judge_knows_by_heart_is_dropped(webdancer: Webdancer, tmp_path: Path) -> None:
    def say(prompt: str) -> str:
        found = re.search(r"from memory.*mayor of Town(\d+)\?", prompt, re.DOTALL)
        if not found:
            return writes(prompt)
        return json.dumps({"answer": f"mayor{found[1]}." if found[1] in ("1", "2") else ""})

    with endpoint(say) as (url, _):
        run(webdancer, url, "live", "crawlqa", "--closed-book", "--judge-model", "judge")
    assert "Mayor1" not in [qa["answer"] for qa in lines(tmp_path / "live")] and len(lines(tmp_path / "live")) == 14
    dropped = [line for line in lines(tmp_path / "live.rejects") if line["reason"] == "closed_book"]
    assert [line["record"]["answer"] for line in dropped] == ["Mayor1", "Mayor2"]
