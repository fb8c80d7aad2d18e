"""crawlqa over a site on loopback: pages and questions, failures with reasons, and going on after a stop."""

import asyncio
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from webdancer_cli import config, jsonl
from webdancer_cli.errors import Reject, UsageError
from webdancer_cli.flow import Tally
from webdancer_cli.records import QA, Page
from webdancer_cli.stages import crawlqa, world
from webdancer_cli.synthesis.author import Author
from webdancer_cli.synthesis.roles import QuestionWriter, Refused

PAGES = 50


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The URL of a plain world, and its folder."""
    root = tmp_path_factory.mktemp("world")
    world.run(config.World(out=str(root), pages=PAGES, seed=3, style="plain"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root / "site")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", root / "site"
    server.shutdown()
    server.server_close()


def options(folder: Path, *roots: str, **more: object) -> config.Crawlqa:
    given = {"pages": str(folder / "pages.jsonl"), "out": str(folder / "qa.jsonl"), "allow_private": True, **more}
    return config.Crawlqa(roots=list(roots), rejects=str(folder / "rejects.jsonl"), **given)


def run(options: config.Crawlqa, author: QuestionWriter | None = None) -> Tally:
    return asyncio.run(crawlqa.run(options, author or Author(options)))


def questions(folder: Path) -> list[QA]:
    return list(jsonl.read(str(folder / "qa.jsonl"), QA))


@pytest.fixture(scope="module")
def whole(site: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tally]:
    """An uninterrupted run over the whole site."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, run(options(folder, site[0]))


def test_every_page_is_kept_and_every_question_stands_on_kept_pages(whole: tuple[Path, Tally]) -> None:
    folder, tally = whole
    pages = {page.url: page for page in jsonl.read(str(folder / "pages.jsonl"), Page)}
    found = questions(folder)
    assert len(pages) >= PAGES and tally.counts["pages"] == len(pages)
    assert tally.counts["out"] == len(found) > PAGES and tally.exit_code == 0
    for proof in (proof for qa in found for proof in qa.evidence):
        page = pages[proof.url]
        assert (proof.sha256, proof.fetched_at, proof.title) == (page.sha256, page.fetched_at, page.title)
        assert proof.quote in page.text


def test_pages_that_ask_not_to_be_kept_lead_to_all_others_and_are_counted(
    site: tuple[str, Path], whole: tuple[Path, Tally]
) -> None:
    folder, tally = whole
    every = {path.relative_to(site[1]).as_posix(): path.read_text() for path in site[1].rglob("*.html")}
    listed = {path for path, html in every.items() if 'content="noindex' in html}
    kept = {page.url.removeprefix(site[0]) or "index.html" for page in jsonl.read(str(folder / "pages.jsonl"), Page)}
    assert kept == every.keys() - listed and tally.reasons["noindex"] >= len(listed) > 0


def test_a_root_that_fails_is_rejected_and_the_others_go_on(site: tuple[str, Path], tmp_path: Path) -> None:
    tally = run(options(tmp_path, site[0], site[0] + "nowhere.html", types=["single_hop"]))
    (rejected,) = [line.value for line in jsonl.values(str(tmp_path / "rejects.jsonl"))]
    assert rejected["record"] == {"url": site[0] + "nowhere.html"} and "404" in rejected["detail"]
    assert tally.exit_code == 1 and len(questions(tmp_path)) == tally.counts["out"] > 0


def test_roots_come_as_lines_too(site: tuple[str, Path], tmp_path: Path) -> None:
    roots = tmp_path / "roots.jsonl"
    roots.write_text(f'{{"url": "{site[0]}"}}\n{{"address": "no url"}}\n')
    tally = run(options(tmp_path, data=str(roots), max_pages=3))
    assert tally.counts["pages"] == 3 and tally.counts["rejected"] == tally.reasons["wrong_shape"] == 1


def test_a_folder_or_a_file_of_pages_gives_the_same_questions_as_the_site(
    site: tuple[str, Path], whole: tuple[Path, Tally], tmp_path: Path
) -> None:
    expected = {qa.id for qa in questions(whole[0])}
    run(options(tmp_path, str(whole[0] / "pages.jsonl")))
    assert {qa.id for qa in questions(tmp_path)} == expected
    assert not (tmp_path / "pages.jsonl").exists()  # they are a corpus already
    run(options(tmp_path, str(site[1])))
    assert {qa.id for qa in questions(tmp_path)} == expected
    assert sum(1 for _ in jsonl.read(str(tmp_path / "pages.jsonl"), Page)) >= PAGES


def test_a_stopped_run_goes_on_to_the_same_questions(
    site: tuple[str, Path], whole: tuple[Path, Tally], tmp_path: Path
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
    urls = [page.url for page in jsonl.read(str(tmp_path / "pages.jsonl"), Page)]
    assert sorted(urls) == sorted(page.url for page in jsonl.read(str(whole[0] / "pages.jsonl"), Page))


def test_limit_counts_questions(site: tuple[str, Path], tmp_path: Path) -> None:
    assert run(options(tmp_path, site[0], limit=4)).counts["out"] == 4
    assert len(questions(tmp_path)) == 4


def test_what_the_author_refuses_is_told_with_its_reason(whole: tuple[Path, Tally], tmp_path: Path) -> None:
    class Refusing:
        name = "refusing"

        async def write(self, pages):  # type: ignore[no-untyped-def]
            async for page in pages:
                yield Refused(Reject("answer_unsupported", "Dolvek", failed=False), QA(question=page.title, answer="x"))

    tally = run(options(tmp_path, str(whole[0] / "pages.jsonl")), Refusing())
    assert tally.reasons["answer_unsupported"] == tally.counts["pages"] and tally.exit_code == 0
    first = next(jsonl.values(str(tmp_path / "rejects.jsonl"))).value
    assert (first["reason"], first["stage"], first["record"]["answer"]) == ("answer_unsupported", "crawlqa", "x")


def test_what_cannot_work_is_said_before_any_request(site: tuple[str, Path], tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(UsageError, match="no roots"):
        run(options(tmp_path, data=str(tmp_path / "empty.jsonl")))
    with pytest.raises(UsageError, match="no such file or folder"):
        run(options(tmp_path, site[0], str(tmp_path)))
    with pytest.raises(UsageError, match="--pages"):
        run(options(tmp_path, site[0], pages=str(tmp_path / "qa.jsonl")))
