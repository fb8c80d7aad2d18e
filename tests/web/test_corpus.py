import hashlib
from pathlib import Path

import pytest

from webdancer_cli import jsonl
from webdancer_cli.errors import ToolError, UsageError
from webdancer_cli.records import QA, Link, Page
from webdancer_cli.web.corpus import Corpus

PAGES = [
    Page(url="http://e.org/Ada_Vane.html", title="Ada Vane", text="Ada Vane is a painter. She was born in Oll."),
    Page(
        url="http://e.org/Oll.html",
        title="Oll",
        text="Oll is a town. Ada Vane and the painters of Oll live there. Ada Vane.",
    ),
    Page(url="http://e.org/a/", title="Zürich", text="A city.", links=[Link(url="http://e.org/Oll.html", text="Oll")]),
    Page(
        url="http://e.org/new",
        title="Moved",
        text="Here now.",
        extra={"requested_url": "http://e.org/old", "date": "2024-05-01"},
    ),
]


@pytest.fixture
def path(tmp_path: Path) -> str:
    target = str(tmp_path / "pages.jsonl")
    jsonl.write_all(target, PAGES)
    return target


def titles(corpus: Corpus, query: str, results: int = 10) -> list[str]:
    return [hit.title for hit in corpus.search_now(query, results)]


def test_pages_come_back_as_they_were_written(path: str) -> None:
    corpus = Corpus.load(path)
    assert len(corpus) == 4 and list(corpus) == PAGES
    assert corpus.name == "corpus:" + hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


@pytest.mark.parametrize(
    "url",
    ["http://e.org/a/", "http://e.org/a", "https://e.org/a#top", "e.org/a", "http://e.org/a/index.html"],
)
def test_a_page_is_found_however_its_url_is_written(path: str, url: str) -> None:
    page = Corpus.load(path).page(url)
    assert page is not None and page.title == "Zürich" and page.links == PAGES[2].links


def test_a_redirected_page_is_found_by_both_urls(path: str) -> None:
    corpus = Corpus.load(path)
    assert corpus.page("http://e.org/old") == corpus.page("http://e.org/new") == PAGES[3]


@pytest.mark.parametrize("query", ["Ada Vane", "ada vane's life", "ADA-VANE", "http://e.org/Ada_Vane.html"])
def test_a_name_finds_its_own_page_first(path: str, query: str) -> None:
    assert titles(Corpus.load(path), query)[0] == "Ada Vane"


def test_accents_do_not_matter_and_strangers_find_nothing(path: str) -> None:
    corpus = Corpus.load(path)
    assert titles(corpus, "zurich") == ["Zürich"]
    assert titles(corpus, "xylophone") == titles(corpus, "") == titles(corpus, "?!") == titles(corpus, "Oll", 0) == []


def test_results_are_limited_and_ordered(path: str) -> None:
    corpus = Corpus.load(path)
    assert titles(corpus, "Oll", 1) == ["Oll"] and set(titles(corpus, "Oll", 9)) == {"Oll", "Ada Vane"}


def test_equal_scores_keep_the_order_of_the_file(tmp_path: Path) -> None:
    target = str(tmp_path / "same.jsonl")
    jsonl.write_all(target, [Page(url=f"http://e.org/{n}", title="Twin", text="same text") for n in range(50)])
    hits = Corpus.load(target).search_now("twin", 10)
    assert [hit.url for hit in hits] == [f"http://e.org/{n}" for n in range(10)]


def test_a_hit_shows_the_sentence_for_the_query_and_the_date(path: str) -> None:
    corpus = Corpus.load(path, snippet_chars=40)
    assert corpus.search_now("who was born", 1)[0].snippet == "She was born in Oll."
    assert corpus.search_now("moved", 1)[0].date == "2024-05-01"
    assert Corpus.load(path, snippet_chars=0).search_now("moved", 1)[0].snippet == ""


async def test_it_is_a_web(path: str) -> None:
    corpus = Corpus.load(path)
    assert (await corpus.search("Oll", 1))[0].title == "Oll"
    assert (await corpus.read("http://e.org/Oll.html")).title == "Oll"
    with pytest.raises(ToolError, match=r"http://e.org/nowhere: no such page"):
        await corpus.read("http://e.org/nowhere")


def test_a_url_that_comes_twice_counts_once(tmp_path: Path) -> None:
    target = str(tmp_path / "twice.jsonl")
    jsonl.write_all(target, [PAGES[0], PAGES[0], PAGES[1]])
    assert [page.title for page in Corpus.load(target)] == ["Ada Vane", "Oll"]


def test_a_torn_last_line_is_left_out(path: str) -> None:
    whole = Path(path).read_bytes()
    Path(path).write_bytes(whole[:-20])
    assert len(Corpus.load(path)) == 3


def test_wrong_files_are_refused_with_a_remedy(tmp_path: Path, path: str) -> None:
    missing, empty, other = str(tmp_path / "no.jsonl"), tmp_path / "empty.jsonl", str(tmp_path / "qa.jsonl")
    empty.write_text("\n")
    jsonl.write_all(other, [QA(question="q", answer="a")])
    Path(path).write_bytes(b"".join([*Path(path).read_bytes().splitlines(keepends=True)[:2], b'{"url": 3}\n']))
    for target, message in [
        (missing, "no.jsonl: No such file"),
        (str(tmp_path), "Is a directory"),
        (str(empty), "holds no pages: crawl some"),
        (other, "this is a question .* but the stage takes a page"),
        (path, "pages.jsonl:3: not a page"),
        ("-", "needs a file"),
    ]:
        with pytest.raises(UsageError, match=message):
            Corpus.load(target)


def test_pages_without_words_make_a_corpus_that_finds_nothing(tmp_path: Path) -> None:
    target = str(tmp_path / "blank.jsonl")
    jsonl.write_all(target, [Page(url="", title="", text="")])
    assert Corpus.load(target).search_now("x", 3) == []
