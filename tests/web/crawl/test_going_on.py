"""A crawl that has grown stands on disk: what a kill leaves at any moment is enough to go on, and nothing is lost."""

import asyncio
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.data import jsonl
from webdancer_cli.data.pipeline import RecordWriter
from webdancer_cli.data.records import Page
from webdancer_cli.errors import Reject
from webdancer_cli.options import config
from webdancer_cli.synthesis.page_blocks import InBlocks, NoQuestions
from webdancer_cli.synthesis.protocols import QuestionGroup
from webdancer_cli.synthesis.resume import Earlier
from webdancer_cli.web.crawl import crawl_database
from webdancer_cli.web.crawl.near_duplicates import PERMUTATIONS, KeptTexts, minhash_signature
from webdancer_cli.web.crawl.roots import RootPages
from webdancer_cli.web.extract.page_extractor import PageExtractor
from webdancer_cli.web.extract.page_filter import FilteredPage, PageCriteria
from webdancer_cli.web.fetch.fetcher import FetchedDocument


def html(name: str, *links: str) -> str:
    anchors = " ".join(f'<a href="{link}">{link}</a>' for link in links)
    text = f"{name} is a place of its own. It has streets and houses."
    return f"<html><title>{name}</title><main><p>{text}</p><p>Near it: {anchors}.</p></main></html>"


def tree(size: int) -> dict[str, str]:
    """A site in which page n links to three others, of which the last ones are missing."""
    return {"/": html("Home", "/none", "/0")} | {
        f"/{n}": html(f"P{n}", *(f"/{3 * n + k}" for k in (1, 2, 3))) for n in range(size)
    }


@pytest.fixture
def early(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crawl of three pages has grown enough."""
    monkeypatch.setattr(crawl_database, "SAVE_AFTER_PAGES", 3)


def options(folder: Path, *roots: str, **more: object) -> config.CrawlqaOptions:
    files = {"pages": str(folder / "pages.jsonl"), "out": str(folder / "qa.jsonl")}
    return config.CrawlqaOptions(roots=list(roots), allow_private=True, timeout_seconds=30.0, **files | more)


async def gathered(
    options: config.CrawlqaOptions, after_each: Callable[[int], None] = lambda count: None
) -> tuple[list[Page], Counter[str]]:
    """The pages that a run gives, and what it counts."""
    with RecordWriter("crawlqa", options.out, resume=options.resume) as output:
        pages = []
        async with aclosing(RootPages(options, output, None, None).stream()) as stream:
            async for page in stream:
                pages.append(page)
                after_each(len(pages))
    return pages, output.stats.reasons


def left_behind(folder: Path, there: Path) -> None:
    """Copy what would be on the disk if the process was killed now."""
    there.mkdir()
    for path in folder.glob("pages.jsonl*"):
        shutil.copy(path, there)


def urls_in(folder: Path) -> list[str]:
    return [page.url for page in jsonl.read_records(str(folder / "pages.jsonl"), Page)]


def asked_for(pages: list[str]) -> set[str]:
    return {"/" + page.rpartition("/")[2] for page in pages}


@pytest.mark.usefixtures("early")
async def test_whatever_a_kill_leaves_is_gone_on_with_and_nothing_is_asked_for_twice(serve, tmp_path: Path) -> None:
    site = await serve(tree(20))
    (tmp_path / "whole").mkdir()
    given = options(tmp_path / "whole", f"{site.url}/")
    whole, _ = await gathered(given, lambda count: left_behind(tmp_path / "whole", tmp_path / str(count)))
    assert len(whole) == 21 and "/none" in site.paths
    for count in (2, 3, 4, 11, 20):
        folder, have = tmp_path / str(count), len(urls_in(tmp_path / str(count)))
        with open(folder / "pages.jsonl", "ab") as torn:
            torn.write(b'{"url": "http:')
        site.requests.clear()
        again, _ = await gathered(options(folder, f"{site.url}/", resume=True))
        assert have == count and [page.url for page in again] == [page.url for page in whole] == urls_in(folder)
        assert not asked_for(urls_in(folder)[:count]) & set(site.paths)
        assert (folder / "pages.jsonl.crawl").exists()
        assert ("/none" in site.paths) == (count < 3)  # what was refused is not in the pages


@pytest.mark.usefixtures("early")
async def test_a_page_that_was_written_and_not_noted_is_fetched_again_and_stands_once(serve, tmp_path: Path) -> None:
    site = await serve(tree(8))
    await gathered(options(tmp_path, f"{site.url}/", max_pages=5))
    before = (tmp_path / "pages.jsonl").read_bytes()
    (tmp_path / "pages.jsonl").write_bytes(before + before.splitlines(keepends=True)[-1].replace(b'/2"', b'/3"'))
    await gathered(options(tmp_path, f"{site.url}/", resume=True))
    assert len(urls_in(tmp_path)) == len(set(urls_in(tmp_path))) == 9


@pytest.mark.usefixtures("early")
@pytest.mark.parametrize("change", ["other options", "other pages", "a broken database", "none"])
async def test_a_database_about_something_else_is_made_anew_from_the_pages(serve, tmp_path: Path, change: str) -> None:
    site = await serve(tree(8))
    await gathered(options(tmp_path, f"{site.url}/", max_pages=5))
    database, more = tmp_path / "pages.jsonl.crawl", {}
    if change == "other options":
        more["min_chars"] = 10
    elif change == "other pages":
        lines = (tmp_path / "pages.jsonl").read_bytes().splitlines(keepends=True)
        (tmp_path / "pages.jsonl").write_bytes(b"".join(lines[:4]))
    elif change == "a broken database":
        database.write_bytes(b"SQLite format 3\0" + b"?" * 4000)
    else:
        database.unlink()
    have = urls_in(tmp_path)
    site.requests.clear()
    await gathered(options(tmp_path, f"{site.url}/", resume=True, **more))
    assert urls_in(tmp_path)[: len(have)] == have and len(set(urls_in(tmp_path))) == len(urls_in(tmp_path)) == 9
    assert not asked_for(have) & set(site.paths)


@pytest.mark.usefixtures("early")
async def test_a_crawl_that_begins_anew_forgets_the_one_before(serve, tmp_path: Path) -> None:
    site = await serve(tree(8))
    await gathered(options(tmp_path, f"{site.url}/", max_pages=5))
    assert (tmp_path / "pages.jsonl.crawl").exists()
    await gathered(options(tmp_path, f"{site.url}/", max_pages=2))
    assert not (tmp_path / "pages.jsonl.crawl").exists() and len(urls_in(tmp_path)) == 2
    await gathered(options(tmp_path, f"{site.url}/", resume=True))
    assert len(set(urls_in(tmp_path))) == len(urls_in(tmp_path)) == 9


@pytest.mark.usefixtures("early")
async def test_pages_that_were_crawled_with_other_options_are_not_cut_off(
    serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = await serve(tree(8))
    await gathered(options(tmp_path, f"{site.url}/", max_pages=4))
    monkeypatch.setattr(crawl_database, "SAVE_AFTER_PAGES", 100)  # the next run does not come so far
    await gathered(options(tmp_path, f"{site.url}/", max_pages=6, resume=True, min_chars=10))
    have = urls_in(tmp_path)
    site.requests.clear()
    await gathered(options(tmp_path, f"{site.url}/", resume=True))
    assert len(have) == 6 and urls_in(tmp_path)[:6] == have and not asked_for(have) & set(site.paths)


@pytest.mark.usefixtures("early")
@pytest.mark.virtual_clock
async def test_a_crawl_that_goes_on_keeps_its_pace_and_to_what_it_may(serve, tmp_path: Path) -> None:
    site = await serve(tree(8) | {"/robots.txt": "User-agent: *\nCrawl-delay: 7\nDisallow: /6"})
    for most in (4, 200):
        site.requests.clear()
        await gathered(options(tmp_path, f"{site.url}/", max_pages=most, resume=most > 4))
        starts = [request.at for request in site.requests if request.path != "/robots.txt"]
        assert len(starts) >= 4 and min(after - before for before, after in pairwise(starts)) >= 7 - 1e-6
        assert site.paths[0] == "/robots.txt" and "/6" not in site.paths
    assert len(urls_in(tmp_path)) == 8


async def test_a_small_crawl_leaves_its_pages_alone(serve, tmp_path: Path) -> None:
    site = await serve(tree(8))
    await gathered(options(tmp_path, f"{site.url}/"))
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["pages.jsonl", "qa.jsonl"]


@pytest.mark.usefixtures("early")
async def test_what_may_pass_is_tried_again_by_the_next_run_and_a_refusal_is_not(serve, answer, tmp_path: Path) -> None:
    busy = answer("busy", 503, headers={"Retry-After": "120"})
    site = await serve(tree(8) | {"/1": busy, "/2": answer("gone", 410)})
    await gathered(options(tmp_path, f"{site.url}/"))
    assert not {f"{site.url}/1", f"{site.url}/4"} & set(urls_in(tmp_path))
    site.answers["/1"], site.answers["/2"] = answer(tree(8)["/1"]), answer(tree(8)["/2"])
    site.requests.clear()
    await gathered(options(tmp_path, f"{site.url}/", resume=True))
    assert {f"{site.url}/1", f"{site.url}/4"} <= set(urls_in(tmp_path)) and "/2" not in site.paths


@pytest.mark.usefixtures("early")
async def test_what_this_machine_was_too_busy_to_read_is_tried_again(
    serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, read = await serve(tree(8)), PageExtractor.read

    async def busy(extraction: PageExtractor, document: FetchedDocument, terms: PageCriteria) -> FilteredPage:
        if document.url.endswith("/1"):
            raise Reject("overloaded", f"{document.url}: not read within 260 seconds: this machine is too busy")
        return await read(extraction, document, terms)

    with monkeypatch.context() as patched:
        patched.setattr(PageExtractor, "read", busy)
        await gathered(options(tmp_path, f"{site.url}/"))
    assert f"{site.url}/1" not in urls_in(tmp_path)
    await gathered(options(tmp_path, f"{site.url}/", resume=True))
    assert f"{site.url}/1" in urls_in(tmp_path)


TOWN = " ".join(f"Street {n} of the town was laid out in {1700 + n} by a guild of masons." for n in range(40))


CHANGES = st.lists(st.lists(st.integers(0, 39), max_size=6), max_size=12)


@given(CHANGES, st.sampled_from([0.8, 0.9, 0.97]))
def test_a_text_is_new_if_none_of_the_kept_ones_is_so_similar_by_their_signatures(
    changes: list[list[int]], similarity: float
) -> None:
    """From 0.8 on not one is missed: 25, 12 and 3 of 128 values may differ, and there are 32, 16 and 8 bands."""
    texts, kept = KeptTexts(similarity), []
    for changed in changes:
        text = TOWN
        for street in changed:
            text = text.replace(f"Street {street} ", f"Road {street} ")
        signature = minhash_signature(text)
        is_new = all(alike(signature, other) < similarity for other in kept)
        assert texts.add_signature(signature) == is_new
        if is_new:
            kept.append(signature)


def alike(one: bytes, other: bytes) -> float:
    return sum(one[at : at + 4] == other[at : at + 4] for at in range(0, 4 * PERMUTATIONS, 4)) / PERMUTATIONS


class Reading:
    """Asks nothing, and remembers how many pages it was given."""

    name = "reading"

    def __init__(self, given: list[int]):
        self._given = given
        given.append(0)

    async def write(self, pages, earlier: Earlier):
        async for page in pages:
            self._given[-1] += 1
            yield QuestionGroup((), key=page)


@pytest.mark.parametrize(("pages", "blocks"), [(0, [0]), (2, [2]), (3, [3, 0]), (7, [3, 3, 1])])
async def test_each_block_of_pages_has_an_author_of_its_own(pages: int, blocks: list[int]) -> None:
    async def stream():
        for number in range(pages):
            yield str(number)

    given: list[int] = []
    author = InBlocks(lambda: Reading(given), pages=3)
    groups = [group async for group in author.write(stream(), Earlier())]
    assert given[1:] == blocks and [group.key for group in groups if group.key] == [str(n) for n in range(pages)]
    assert [group.pages_done for group in groups if group.pages_done] == [3 * n for n in range(1, len(blocks))]


@pytest.mark.usefixtures("early")
async def test_pages_that_were_asked_about_are_not_read_again(serve, tmp_path: Path) -> None:
    site = await serve(tree(8))
    given = options(tmp_path, f"{site.url}/", max_pages=6)
    for resume, new in ((False, 6), (True, 4)):  # of the nine that there are, 5 were told to be done
        given = options(tmp_path, f"{site.url}/", max_pages=6 if not resume else 200, resume=resume)
        with RecordWriter("crawlqa", given.out, resume=resume) as output:
            source, count = RootPages(given, output, None, None), 0
            async with aclosing(source.stream()) as stream:
                async for _ in NoQuestions().write(stream, Earlier()):
                    count += 1
                    if count == 5 and not resume:
                        source.note_asked(5)
        assert (count, output.stats.counts["pages"]) == (new, 6 if not resume else 9)
    await asyncio.sleep(0)
