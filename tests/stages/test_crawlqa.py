"""crawlqa over a site on loopback: pages and questions, failures with reasons, and going on after a stop."""

import asyncio
import json
import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from webdancer_cli import prompts
from webdancer_cli.data import jsonl
from webdancer_cli.data.pipeline import RunStats
from webdancer_cli.data.records import QA, Message, Page, Usage
from webdancer_cli.errors import BudgetSpent, ModelError, Reject, UsageError
from webdancer_cli.llm.client import Reply
from webdancer_cli.options import config
from webdancer_cli.stages import crawlqa, world
from webdancer_cli.synthesis.builtin.author import BuiltinAuthor
from webdancer_cli.synthesis.chat.author import ChatAuthor
from webdancer_cli.synthesis.protocols import QuestionGroup, QuestionWriter, RefusedQuestion
from webdancer_cli.synthesis.resume import Earlier

PAGES = 50


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The URL of a plain world, and its folder."""
    root = tmp_path_factory.mktemp("world")
    world.run(config.WorldOptions(out=str(root), pages=PAGES, seed=3, style="plain"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root / "site")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", root / "site"
    server.shutdown()
    server.server_close()


def options(folder: Path, *roots: str, **more: object) -> config.CrawlqaOptions:
    given = {"pages": str(folder / "pages.jsonl"), "out": str(folder / "qa.jsonl"), "allow_private": True, **more}
    return config.CrawlqaOptions(roots=list(roots), rejects=str(folder / "rejects.jsonl"), **given)


def run(options: config.CrawlqaOptions, author: QuestionWriter | None = None) -> RunStats:
    return asyncio.run(crawlqa.run(options, author or BuiltinAuthor(options)))


def questions(folder: Path) -> list[QA]:
    return list(jsonl.read_records(str(folder / "qa.jsonl"), QA))


@pytest.fixture(scope="module")
def whole(site: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunStats]:
    """An uninterrupted run over the whole site."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, run(options(folder, site[0]))


def test_every_page_is_kept_and_every_question_stands_on_kept_pages(whole: tuple[Path, RunStats]) -> None:
    folder, stats = whole
    pages = {page.url: page for page in jsonl.read_records(str(folder / "pages.jsonl"), Page)}
    found = questions(folder)
    assert len(pages) >= PAGES and stats.counts["pages"] == len(pages)
    assert stats.counts["out"] == len(found) > PAGES and stats.exit_code == 0
    for proof in (proof for qa in found for proof in qa.evidence):
        page = pages[proof.url]
        assert (proof.sha256, proof.fetched_at, proof.title) == (page.sha256, page.fetched_at, page.title)
        assert proof.quote in page.text


def test_pages_that_ask_not_to_be_kept_lead_to_all_others_and_are_counted(
    site: tuple[str, Path], whole: tuple[Path, RunStats]
) -> None:
    folder, stats = whole
    every = {path.relative_to(site[1]).as_posix(): path.read_text() for path in site[1].rglob("*.html")}
    listed = {path for path, html in every.items() if 'content="noindex' in html}
    kept = {
        page.url.removeprefix(site[0]) or "index.html" for page in jsonl.read_records(str(folder / "pages.jsonl"), Page)
    }
    assert kept == every.keys() - listed and stats.reasons["noindex"] >= len(listed) > 0


def test_a_root_that_fails_is_rejected_and_the_others_go_on(site: tuple[str, Path], tmp_path: Path) -> None:
    stats = run(options(tmp_path, site[0], site[0] + "nowhere.html", types=["single_hop"]))
    (rejected,) = [line.value for line in jsonl.read_values(str(tmp_path / "rejects.jsonl"))]
    assert rejected["record"] == {"url": site[0] + "nowhere.html"} and "404" in rejected["detail"]
    assert stats.exit_code == 1 and len(questions(tmp_path)) == stats.counts["out"] > 0


def test_roots_come_as_lines_too(site: tuple[str, Path], tmp_path: Path) -> None:
    roots = tmp_path / "roots.jsonl"
    roots.write_text(f'{{"url": "{site[0]}"}}\n{{"address": "no url"}}\n')
    stats = run(options(tmp_path, data=str(roots), max_pages=3))
    assert stats.counts["pages"] == 3 and stats.counts["rejected"] == stats.reasons["wrong_shape"] == 1


def test_a_folder_or_a_file_of_pages_gives_the_same_questions_as_the_site(
    site: tuple[str, Path], whole: tuple[Path, RunStats], tmp_path: Path
) -> None:
    expected = {qa.id for qa in questions(whole[0])}
    run(options(tmp_path, str(whole[0] / "pages.jsonl")))
    assert {qa.id for qa in questions(tmp_path)} == expected
    assert not (tmp_path / "pages.jsonl").exists()  # they are a corpus already
    run(options(tmp_path, str(site[1])))
    assert {qa.id for qa in questions(tmp_path)} == expected
    assert sum(1 for _ in jsonl.read_records(str(tmp_path / "pages.jsonl"), Page)) >= PAGES


def test_a_line_of_a_file_of_pages_that_is_none_is_one_reject(whole: tuple[Path, RunStats], tmp_path: Path) -> None:
    lines = (whole[0] / "pages.jsonl").read_bytes().splitlines(keepends=True)[:6]
    (tmp_path / "some.jsonl").write_bytes(b"".join([lines[0], b"{torn\n", *lines[1:]]))
    stats = run(options(tmp_path, str(tmp_path / "some.jsonl")))
    assert (stats.counts["pages"], stats.reasons["broken_line"], stats.exit_code) == (6, 1, 1)


def test_a_stopped_run_goes_on_to_the_same_questions(
    site: tuple[str, Path], whole: tuple[Path, RunStats], tmp_path: Path
) -> None:
    run(options(tmp_path, site[0], max_pages=30))
    with open(tmp_path / "qa.jsonl", "ab") as torn, open(tmp_path / "pages.jsonl", "ab") as torn_page:
        torn.write(b'{"question": "Who is th')
        torn_page.write(b'{"url": "http:')
    early = questions_before_tear = (tmp_path / "qa.jsonl").read_bytes().count(b"\n")
    assert 0 < early == questions_before_tear
    run(options(tmp_path, site[0], resume=True))
    ids = [qa.id for qa in questions(tmp_path)]
    assert len(ids) == len(set(ids)) and set(ids) >= {qa.id for qa in questions(whole[0])}
    urls = [page.url for page in jsonl.read_records(str(tmp_path / "pages.jsonl"), Page)]
    assert sorted(urls) == sorted(page.url for page in jsonl.read_records(str(whole[0] / "pages.jsonl"), Page))


def test_limit_counts_questions(site: tuple[str, Path], tmp_path: Path) -> None:
    assert run(options(tmp_path, site[0], limit=4)).counts["out"] == 4
    assert len(questions(tmp_path)) == 4


def test_what_the_author_refuses_is_told_with_its_reason(whole: tuple[Path, RunStats], tmp_path: Path) -> None:
    class Refusing:
        name = "refusing"

        async def write(self, pages, earlier):  # type: ignore[no-untyped-def]
            async for page in pages:
                reject = Reject("answer_unsupported", "Dolvek", failed=False)
                yield QuestionGroup([RefusedQuestion(reject, QA(question=page.title, answer="x"))])

    stats = run(options(tmp_path, str(whole[0] / "pages.jsonl")), Refusing())
    assert stats.reasons["answer_unsupported"] == stats.counts["pages"] and stats.exit_code == 0
    first = next(jsonl.read_values(str(tmp_path / "rejects.jsonl"))).value
    assert (first["reason"], first["stage"], first["record"]["answer"]) == ("answer_unsupported", "crawlqa", "x")


class OnePageAtATime:
    """Asks about each page before it takes the next, as a model does."""

    name = "one page at a time"

    async def write(self, pages: AsyncIterator[Page], earlier: Earlier) -> AsyncGenerator[QuestionGroup, None]:
        number = 0
        async for _ in pages:
            number += 1
            yield QuestionGroup([asked(number)])


@pytest.mark.parametrize("in_a_pipe", [False, True])
def test_how_many_pages_are_left_is_known_from_the_last_one_on(
    in_a_pipe: bool, site: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a pipe the questions begin when the crawl has ended: they have a bar of their own."""
    monkeypatch.setattr(jsonl, "goes_to_a_pipe", lambda _: in_a_pipe)
    shown: list[tuple[int, int | None, str]] = []

    class Shown:
        def step(self, done: int, total: int | None, note: str) -> None:
            shown.append((done, total, note))

    given = options(tmp_path, site[0], max_pages=5)
    asyncio.run(crawlqa.run(given, OnePageAtATime(), progress=Shown()))
    crawling = [done for done, total, _ in shown if total is None]
    asking = [(done, note) for done, total, note in shown if total == 5]
    assert sorted(set(crawling)) == [1, 2, 3, 4, 5] and len(crawling) + len(asking) == len(shown)
    assert asking[-1] == (5, "5 kept")
    if in_a_pipe:
        assert [done for done, note in asking if note == f"{done} kept"] == [0, 1, 2, 3, 4, 5]


class Writing:
    """Writes the given questions, whatever the pages say."""

    name = "writing"

    def __init__(self, *outcomes: QA | RefusedQuestion | Exception):
        self.given = 0
        self._outcomes = outcomes

    async def write(self, pages: AsyncIterator[Page], earlier: Earlier) -> AsyncGenerator[QuestionGroup, None]:
        async for _ in pages:
            pass
        for outcome in self._outcomes:
            if isinstance(outcome, Exception):
                raise outcome
            self.given += 1
            yield QuestionGroup([outcome])


def asked(number: int, type: str = "single_hop") -> QA:
    return QA(question=f"Which is the town of number {number}?", answer=f"Town{number}", type=type)


@pytest.fixture
def corpus(whole: tuple[Path, RunStats]) -> str:
    return str(whole[0] / "pages.jsonl")


def test_a_question_that_comes_again_is_refused(corpus: str, tmp_path: Path) -> None:
    stats = run(options(tmp_path, corpus), Writing(asked(1), asked(2), asked(1)))
    assert questions(tmp_path) == [asked(1), asked(2)] and stats.reasons == {"duplicate": 1} and stats.exit_code == 0


def test_a_page_without_questions_is_named_so_that_it_can_be_crawled_again(corpus: str, tmp_path: Path) -> None:
    refused = RefusedQuestion(Reject("model_error", "HTTP 500"), url="http://a.test/")
    assert run(options(tmp_path, corpus), Writing(refused)).exit_code == 1
    assert next(jsonl.read_values(str(tmp_path / "rejects.jsonl"))).value["record"] == {"url": "http://a.test/"}


def test_the_limit_holds_for_a_run_and_its_resumptions_together(corpus: str, tmp_path: Path) -> None:
    every = [asked(number) for number in range(9)]
    run(options(tmp_path, corpus, limit=2), Writing(*every))
    author = Writing(*every)
    stats = run(options(tmp_path, corpus, limit=5, resume=True), author)
    assert questions(tmp_path) == every[:5] and author.given == 5
    assert (stats.counts["out"], stats.counts["already done"]) == (3, 2)
    idle = Writing(*every)
    run(options(tmp_path, corpus, limit=5, resume=True), idle)
    assert questions(tmp_path) == every[:5] and idle.given == 0


MIX = ["single_hop=1", "count=1"]


def test_shares_hold_in_the_output_and_the_surplus_is_told(corpus: str, tmp_path: Path) -> None:
    written = [asked(1), asked(2), asked(3), asked(4, "count"), asked(5, "temporal")]
    stats = run(options(tmp_path, corpus, mix=MIX), Writing(*written))
    # 0 < 1/2 · 1 goes; the second single waits for a count; the third has none to wait for; temporal has no share.
    assert [qa.answer for qa in questions(tmp_path)] == ["Town1", "Town4", "Town2"]
    assert stats.reasons == {"over_share": 2} and stats.exit_code == 0
    surplus = [line.value["record"]["answer"] for line in jsonl.read_values(str(tmp_path / "rejects.jsonl"))]
    assert surplus == ["Town5", "Town3"]


def test_a_resumed_mix_counts_what_is_there(corpus: str, tmp_path: Path) -> None:
    written = [asked(1), asked(2, "count"), asked(3), asked(4), asked(5, "count"), asked(6, "count")]
    run(options(tmp_path, corpus, mix=MIX, limit=3), Writing(*written))
    run(options(tmp_path, corpus, mix=MIX, resume=True), Writing(*written))
    resumed = questions(tmp_path)
    run(options(tmp_path, corpus, mix=MIX), Writing(*written))
    assert resumed == questions(tmp_path) and len(resumed) == 6


def test_the_built_in_author_keeps_to_the_shares(corpus: str, tmp_path: Path) -> None:
    stats = run(options(tmp_path, corpus, mix=["single_hop=3", "multi_hop=1"]))
    types = Counter(qa.type for qa in questions(tmp_path))
    assert set(types) == {"single_hop", "multi_hop"} and stats.reasons["over_share"] > 0
    assert abs(types["single_hop"] - 3 * types["multi_hop"]) <= 3 and types.total() > PAGES


class Knowing:
    """Answers from memory what it is told to know."""

    model = "knowing"

    def __init__(self, **known: str | Exception):
        self.asked: list[str] = []
        self._known = known

    async def complete(
        self, messages: Sequence[Message], *, rollout: int = 0, schema: Mapping[str, Any] | None = None
    ) -> Reply:
        self.asked.append(messages[0].content)
        number = re.search(r"number (\d+)\?", messages[0].content)
        known = self._known.get(f"q{number[1]}", "") if number else ""
        if isinstance(known, Exception):
            raise known
        return Reply(text=json.dumps({"answer": known}), usage=Usage(calls=1, input_tokens=8, output_tokens=2))


def run_closed(given: config.CrawlqaOptions, judge: Knowing, *outcomes: QA | RefusedQuestion | Exception) -> RunStats:
    return asyncio.run(crawlqa.run(given, Writing(*outcomes), judge=judge))


def test_what_a_model_knows_by_heart_is_left_out(corpus: str, tmp_path: Path) -> None:
    judge = Knowing(q1="the town1", q2="Another", q3=ModelError("HTTP 500"))
    refused = RefusedQuestion(Reject("yes_no", failed=False), asked(9))
    stats = run_closed(options(tmp_path, corpus, closed_book=True), judge, *map(asked, range(4)), refused)
    assert [qa.answer for qa in questions(tmp_path)] == ["Town0", "Town2"]
    assert stats.reasons == {"closed_book": 1, "model_error": 1, "yes_no": 1} and stats.failed == 1
    assert questions(tmp_path)[0].usage == Usage(calls=1, input_tokens=8, output_tokens=2)
    assert not any("Town" in prompt for prompt in judge.asked)  # neither page nor answer is shown


def again(qa: QA, level: int = 2) -> QA:
    """The same question in a record of its own."""
    return QA(question=qa.question.upper(), answer=qa.answer, type=qa.type, level=level)


def test_a_question_refused_for_an_outage_makes_no_later_one_a_duplicate(corpus: str, tmp_path: Path) -> None:
    class Once(Knowing):
        """Cannot be reached at first."""

        async def complete(self, messages: Sequence[Message], **more: Any) -> Reply:
            reply = await super().complete(messages, **more)
            if len(self.asked) == 1:
                raise ModelError("HTTP 500")
            return reply

    given = [asked(1), asked(2), again(asked(1)), again(asked(1), 3), again(asked(2))]
    judge = Once()
    stats = run_closed(options(tmp_path, corpus, closed_book=True, jobs=1), judge, *given)
    assert [(qa.answer, qa.level) for qa in questions(tmp_path)] == [("Town2", 0), ("Town1", 2)]
    assert stats.reasons == {"model_error": 1, "duplicate": 2} and stats.failed == 1
    assert len(judge.asked) == 3  # nothing is asked about what comes again, unless it is needed


def test_a_question_over_its_share_makes_no_later_one_a_duplicate(corpus: str, tmp_path: Path) -> None:
    written = [asked(1, "temporal"), QA(question=asked(1).question, answer="Town1", type="count"), asked(2)]
    stats = run(options(tmp_path, corpus, mix=MIX), Writing(*written))
    assert {qa.type for qa in questions(tmp_path)} == {"count", "single_hop"} and stats.reasons == {"over_share": 1}


class Shown:
    """A model that says of a page what it is told to say."""

    model = "shown"

    def __init__(self, said: Mapping[str, Sequence[dict[str, Any]]]):
        self.asked: list[str] = []
        self._said = said

    async def complete(
        self, messages: Sequence[Message], *, rollout: int = 0, schema: Mapping[str, Any] | None = None
    ) -> Reply:
        found = re.search(r"\[Page 1\] (\w+)\n", messages[0].content)
        assert found
        self.asked.append(found[1])
        return Reply(text=json.dumps({"questions": self._said[found[1]]}), usage=Usage(calls=1))


def harbour(name: str, founder: str) -> dict[str, Any]:
    return {
        "question": f"Who founded the harbour of {name}?",
        "answer": founder,
        "type": "single_hop",
        "evidence": [{"page": 1, "quote": f"The harbour of {name} was founded by {founder}."}],
    }


def test_a_group_with_a_duplicate_is_done_and_not_paid_for_again(tmp_path: Path) -> None:
    tirsk, elva, morv = harbour("Tirsk", "Anna Berg"), harbour("Elva", "Otto Lind"), harbour("Morv", "Ida Thorne")
    facts = " ".join(each["evidence"][0]["quote"] for each in (tirsk, elva, morv))
    pages = [
        Page(url=f"http://a.test/{name}", title=name, text=f"{name} has ships. {facts} {'It rains. ' * 20}")
        for name in ("First", "Second")
    ]
    jsonl.write_records(str(tmp_path / "corpus.jsonl"), pages)
    said = {"First": [tirsk], "Second": [tirsk, elva, morv]}
    given = {"types": ["single_hop"], "jobs": 1}
    root = str(tmp_path / "corpus.jsonl")
    for resume, expected in ((False, ["First", "Second"]), (True, [])):
        model, more = Shown(said), options(tmp_path, root, resume=resume, **given)
        run(more, ChatAuthor(more, model, prompts.load("default")))
        assert model.asked == expected
    assert [qa.answer for qa in questions(tmp_path)] == ["Anna Berg", "Otto Lind", "Ida Thorne"]
    assert [qa.extra["group"]["questions"] for qa in questions(tmp_path)] == [1, 2, 2]
    (tmp_path / "qa.jsonl").write_text("".join((tmp_path / "qa.jsonl").read_text().splitlines(keepends=True)[:2]))
    for expected in (["Second"], []):  # one of its two was missing; what the first page gave, too, is none of its own
        model, more = Shown(said), options(tmp_path, root, resume=True, **given)
        run(more, ChatAuthor(more, model, prompts.load("default")))
        assert model.asked == expected and len(questions(tmp_path)) == 3


def test_a_closed_book_failure_is_tried_again_and_only_that(corpus: str, tmp_path: Path) -> None:
    run_closed(options(tmp_path, corpus, closed_book=True), Knowing(q1=ModelError("HTTP 500")), asked(1), asked(2))
    judge = Knowing()
    stats = run_closed(options(tmp_path, corpus, closed_book=True, resume=True), judge, asked(1), asked(2))
    assert stats.exit_code == 0
    assert [qa.answer for qa in questions(tmp_path)] == ["Town2", "Town1"] and len(judge.asked) == 1


def test_a_budget_that_ends_in_the_closed_book_check_keeps_what_was_checked(corpus: str, tmp_path: Path) -> None:
    judge = Knowing(q2=BudgetSpent("--max-cost"))
    stats = run_closed(options(tmp_path, corpus, closed_book=True, jobs=1), judge, *map(asked, range(20)))
    assert "--max-cost" in stats.stopped and stats.exit_code == 1
    assert [qa.answer for qa in questions(tmp_path)][:2] == ["Town0", "Town1"]
    assert "Town2" not in [qa.answer for qa in questions(tmp_path)]


def test_closed_book_needs_a_model(corpus: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--closed-book.*--model.*--judge-model"):
        run(options(tmp_path, corpus, closed_book=True))


def test_a_judge_that_is_asked_nothing_is_refused(corpus: str, tmp_path: Path) -> None:
    judge = {"judge_model": "strict", "judge_base_url": ["http://127.0.0.1:9/v1"]}
    with pytest.raises(UsageError, match=r"--judge-model strict.*--closed-book"):
        options(tmp_path, corpus, **judge)
    run_closed(options(tmp_path, corpus, **judge, closed_book=True), Knowing(), asked(1))
    assert [qa.answer for qa in questions(tmp_path)] == ["Town1"]


@pytest.mark.parametrize("mix", [["riddle=1"], ["count"], ["count=0"]])
def test_a_mix_that_cannot_be_is_refused_before_any_request(mix: list[str], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--mix"):
        run(options(tmp_path, "http://127.0.0.1:9/", mix=mix), Writing())
    assert not (tmp_path / "pages.jsonl").exists()


def test_shards_of_roots_are_disjoint_and_together_the_whole(whole: tuple[Path, RunStats], tmp_path: Path) -> None:
    pages = list(jsonl.read_records(str(whole[0] / "pages.jsonl"), Page))
    roots = [str(tmp_path / f"part{number}.jsonl") for number in range(6)]
    for number, root in enumerate(roots):
        jsonl.write_records(root, pages[number::6])
    counts = [run(options(tmp_path, *roots, shard=f"{number}/3"), Writing()).counts["pages"] for number in (1, 2, 3)]
    assert sum(counts) == len(pages) and max(counts) < len(pages)


@pytest.mark.parametrize("in_a_pipe", [False, True])
def test_a_shard_without_roots_has_an_empty_corpus_and_no_questions(
    in_a_pipe: bool, site: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "goes_to_a_pipe", lambda _: in_a_pipe)
    stale = Page(url="http://a.test/", title="Another run’s", text="Ada is a town. The mayor of Ada is Borin.")
    for root in (site[0], str(site[1])):
        shards = []
        for number in (1, 2):
            jsonl.write_records(str(tmp_path / "pages.jsonl"), [stale])
            stats = run(options(tmp_path, root, shard=f"{number}/2", max_pages=3))
            shards.append((stats.counts["pages"] > 0, (tmp_path / "pages.jsonl").read_bytes() != b""))
            assert "Another" not in (tmp_path / "pages.jsonl").read_text() and stats.exit_code == 0
        assert sorted(shards) == [(False, False), (True, True)]


def test_a_shard_without_roots_needs_no_file_of_pages(
    site: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "goes_to_a_pipe", lambda _: True)
    for number in (1, 2):
        assert run(options(tmp_path, site[0], shard=f"{number}/2", max_pages=3), Writing()).exit_code == 0


def test_a_corpus_is_not_emptied_by_a_shard_that_has_no_part_of_it(
    whole: tuple[Path, RunStats], tmp_path: Path
) -> None:
    pages = list(jsonl.read_records(str(whole[0] / "pages.jsonl"), Page))[:5]
    jsonl.write_records(str(tmp_path / "pages.jsonl"), pages)
    root = str(tmp_path / "pages.jsonl")
    counts = [run(options(tmp_path, root, shard=f"{number}/2"), Writing()).counts["pages"] for number in (1, 2)]
    assert sorted(counts) == [0, 5] and list(jsonl.read_records(root, Page)) == pages


def test_what_cannot_work_is_said_before_any_request(site: tuple[str, Path], tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(UsageError, match="no roots"):
        run(options(tmp_path, data=str(tmp_path / "empty.jsonl")))
    with pytest.raises(UsageError, match="no such file or folder"):
        run(options(tmp_path, site[0], str(tmp_path)))
    with pytest.raises(UsageError, match="--pages"):
        run(options(tmp_path, site[0], pages=str(tmp_path / "qa.jsonl")))


def test_a_run_that_keeps_no_page_leaves_the_corpus_that_is_there(corpus: str, tmp_path: Path) -> None:
    before = Path(corpus).read_bytes()
    stats = run(config.CrawlqaOptions(roots=["http://127.0.0.1:9/"], pages=corpus, out=str(tmp_path / "o.jsonl")))
    assert stats.exit_code == 1 and Path(corpus).read_bytes() == before  # private addresses are not allowed here


def test_a_mistyped_file_is_no_url(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nosuch\.jsonl: no such file or folder; a URL begins with http"):
        run(
            config.CrawlqaOptions(
                roots=["nosuch.jsonl"], pages=str(tmp_path / "p.jsonl"), out=str(tmp_path / "o.jsonl")
            )
        )


def test_a_corpus_among_several_roots_is_not_overwritten(corpus: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="would be overwritten"):
        run(config.CrawlqaOptions(roots=[corpus, str(tmp_path)], pages=corpus, out=str(tmp_path / "o.jsonl")))


def prose_site(folder: Path, *texts: str) -> str:
    site = folder / "prose"
    site.mkdir()
    for at, text in enumerate(texts):
        body = f"<html><head><title>Essay {at}</title></head><body><main><p>{text}</p></main></body></html>"
        (site / f"{at}.html").write_text(body)
    return str(site)


MUSING = (
    "Nobody can say for certain why so much of this is as it is, and perhaps number {} will never be answered at all. "
)
LAKE = "Essay {0} is a lake. It is 3{0} metres deep. The lake was mapped in 18{0}4 by Ada Vell, who was new there."


def test_a_run_that_finds_little_says_so_and_names_the_remedy(tmp_path: Path) -> None:
    musings = [MUSING.format(at) * 2 + "word " * at for at in range(6)]
    stats = run(options(tmp_path, prose_site(tmp_path, *musings), similarity=1.0))
    assert stats.remark.startswith("only 0 questions from 6 pages: ") and "--model NAME --base-url URL" in stats.remark


class Saying:
    """A model that says one thing, or fails."""

    model = "m"

    def __init__(self, text: str | None):
        self._text = text

    async def complete(
        self, messages: Sequence[Message], *, rollout: int = 0, schema: Mapping[str, Any] | None = None
    ) -> Reply:
        if self._text is None:
            raise ModelError("HTTP 500")
        return Reply(text=self._text)


@pytest.mark.parametrize(
    ("said", "ask", "remark"),
    [
        ('{"questions": []}', "pages", "--ask sentences"),
        ("I write no JSON.", "pages", ""),  # a failure of each page, which is told as one
        (None, "pages", ""),
        ('{"questions": []}', "sentences", ""),
    ],
)
def test_a_model_that_finds_nothing_in_pages_may_be_asked_about_sentences(
    said: str | None, ask: str, remark: str, tmp_path: Path
) -> None:
    texts = [LAKE.format(at) + MUSING.format(at) * 2 for at in range(5)]
    more = options(tmp_path, prose_site(tmp_path, *texts), similarity=1.0, model="m", ask=ask)
    stats = run(more, ChatAuthor(more, Saying(said), prompts.load("default")))
    assert remark in stats.remark and bool(stats.remark) == bool(remark)


def test_a_run_that_finds_enough_has_nothing_to_remark(tmp_path: Path) -> None:
    stats = run(options(tmp_path, prose_site(tmp_path, *map(LAKE.format, range(3)))))
    assert (stats.remark, stats.counts["pages"]) == ("", 3) and stats.counts["out"] >= 3


AUDITED = """
import sys
from webdancer_cli.cli import run_command

def tell(event, given):
    if event == "open" and str(given[0]) == "out.jsonl" and given[1] == "r":
        print("read", file=sys.stderr)

sys.addaudithook(tell)
sys.exit(run_command(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "command",
    [
        ["crawlqa", "pages.jsonl", "--mix", "single_hop=1"],
        ["e2hqa", "--data", "qa.jsonl"],
        ["e2hqa", "--data", "qa.jsonl", "--keep-chain"],
        ["lint", "--data", "qa.jsonl"],
    ],
    ids=" ".join,
)
def test_what_an_earlier_run_wrote_is_read_once(
    command: list[str], whole: tuple[Path, RunStats], tmp_path: Path, environment: dict[str, str]
) -> None:
    shutil.copy(whole[0] / "pages.jsonl", tmp_path)
    for name in ("qa.jsonl", "out.jsonl"):
        jsonl.write_records(str(tmp_path / name), questions(whole[0])[:5])
    call = [sys.executable, "-c", AUDITED, *command, "--out", "out.jsonl", "--resume"]
    done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stderr.splitlines().count("read") == 1, done.stderr
