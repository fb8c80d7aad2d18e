import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from processor_time import processor_seconds

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import QA, Link, Page
from webdancer_cli.errors import ToolError, UsageError
from webdancer_cli.options import config
from webdancer_cli.stages import index
from webdancer_cli.web.corpus import Corpus
from webdancer_cli.web.fixed_pages import FixedPages
from webdancer_cli.web.open_pages import open_pages

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


Load = Callable[..., FixedPages]


def load_index(path: str, **options: int) -> FixedPages:
    """The same pages, through an index on disk."""
    index.run(config.IndexOptions(pages=[path], out=f"{path}.index"))
    return open_pages(f"{path}.index", **options)


@pytest.fixture(params=[Corpus.load, load_index], ids=["memory", "index"])
def load(request: pytest.FixtureRequest) -> Load:
    return request.param


@pytest.fixture
def path(tmp_path: Path) -> str:
    target = str(tmp_path / "pages.jsonl")
    jsonl.write_records(target, PAGES)
    return target


def titles(corpus: FixedPages, query: str, results: int = 10) -> list[str]:
    return [hit.title for hit in corpus.search_now(query, results)]


def test_pages_come_back_as_they_were_written(load: Load, path: str) -> None:
    corpus = load(path)
    assert len(corpus) == 4 and list(corpus) == PAGES
    assert corpus.name.partition(":")[2] == hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def test_pages_at_hand_make_the_corpus_that_their_file_makes(path: str) -> None:
    corpus = Corpus.of(PAGES)
    assert (list(corpus), corpus.name) == (PAGES, Corpus.load(path).name)
    with pytest.raises(UsageError, match="holds no pages"):
        Corpus.of([])


@pytest.mark.parametrize(
    "url",
    ["http://e.org/a/", "http://e.org/a", "https://e.org/a#top", "e.org/a", "http://e.org/a/index.html"],
)
def test_a_page_is_found_however_its_url_is_written(load: Load, path: str, url: str) -> None:
    page = load(path).page(url)
    assert page is not None and page.title == "Zürich" and page.links == PAGES[2].links


def test_a_redirected_page_is_found_by_both_urls(load: Load, path: str) -> None:
    corpus = load(path)
    assert corpus.page("http://e.org/old") == corpus.page("http://e.org/new") == PAGES[3]


@pytest.mark.parametrize("query", ["Ada Vane", "ada vane's life", "ADA-VANE", "http://e.org/Ada_Vane.html"])
def test_a_name_finds_its_own_page_first(load: Load, path: str, query: str) -> None:
    assert titles(load(path), query)[0] == "Ada Vane"


def test_accents_do_not_matter_and_strangers_find_nothing(load: Load, path: str) -> None:
    corpus = load(path)
    assert titles(corpus, "zurich") == ["Zürich"]
    assert titles(corpus, "xylophone") == titles(corpus, "") == titles(corpus, "?!") == titles(corpus, "Oll", 0) == []


def test_results_are_limited_and_ordered(load: Load, path: str) -> None:
    corpus = load(path)
    assert titles(corpus, "Oll", 1) == ["Oll"] and set(titles(corpus, "Oll", 9)) == {"Oll", "Ada Vane"}


def test_equal_scores_keep_the_order_of_the_file(load: Load, tmp_path: Path) -> None:
    target = str(tmp_path / "same.jsonl")
    jsonl.write_records(target, [Page(url=f"http://e.org/{n}", title="Twin", text="same text") for n in range(50)])
    hits = load(target).search_now("twin", 10)
    assert [hit.url for hit in hits] == [f"http://e.org/{n}" for n in range(10)]


def test_a_hit_shows_the_sentence_for_the_query_and_the_date(load: Load, path: str) -> None:
    corpus = load(path, snippet_chars=40)
    assert corpus.search_now("who was born", 1)[0].snippet == "She was born in Oll."
    assert corpus.search_now("moved", 1)[0].date == "2024-05-01"
    assert load(path, snippet_chars=0).search_now("moved", 1)[0].snippet == ""


async def test_it_is_a_web(load: Load, path: str) -> None:
    corpus = load(path)
    assert (await corpus.search("Oll", 1))[0].title == "Oll"
    assert (await corpus.read("http://e.org/Oll.html")).title == "Oll"
    with pytest.raises(ToolError, match=r"http://e.org/nowhere: no such page"):
        await corpus.read("http://e.org/nowhere")


def test_a_url_that_comes_twice_counts_once(load: Load, tmp_path: Path) -> None:
    target = str(tmp_path / "twice.jsonl")
    jsonl.write_records(target, [PAGES[0], PAGES[0], PAGES[1]])
    assert [page.title for page in load(target)] == ["Ada Vane", "Oll"]


def test_a_torn_last_line_is_left_out(load: Load, path: str) -> None:
    whole = Path(path).read_bytes()
    Path(path).write_bytes(whole[:-20])
    assert len(load(path)) == 3


def test_wrong_files_are_refused_with_a_remedy(tmp_path: Path, path: str) -> None:
    missing, empty, other = str(tmp_path / "no.jsonl"), tmp_path / "empty.jsonl", str(tmp_path / "qa.jsonl")
    empty.write_text("\n")
    jsonl.write_records(other, [QA(question="q", answer="a")])
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(b'{"url": 3, "text": ""}\n{"url": "u"}\n')
    for target, message in [
        (missing, "no.jsonl: No such file"),
        (str(tmp_path), "Is a directory"),
        (str(empty), "holds no pages: crawl some"),
        (other, "this is a question .* but the stage takes a page"),
        (str(bad), "bad.jsonl:1: not a page: .*no other line is a page"),
        ("-", "needs a file"),
    ]:
        with pytest.raises(UsageError, match=message):
            Corpus.load(target)


def test_pages_without_words_make_a_corpus_that_finds_nothing(tmp_path: Path) -> None:
    target = str(tmp_path / "blank.jsonl")
    jsonl.write_records(target, [Page(url="", title="", text="")])
    assert Corpus.load(target).search_now("x", 3) == []


GOOD = '{"url": "http://e.org/good", "title": "Good", "text": "A good page about Oll."}'


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "broken_line"),
        ("no JSON", "broken_line"),
        ("[" * 100_000, "broken_line"),
        ("\x00\x01", "broken_line"),
        ("7", "wrong_shape"),
        ("null", "wrong_shape"),
        ('["http://e.org/", "t"]', "wrong_shape"),
        ('{"url": 3, "title": "t", "text": "x"}', "wrong_shape"),
        ('{"url": "http://e.org/", "title": "t", "text": null}', "wrong_shape"),
        ('{"url": "http://e.org/", "title": "t"}', "wrong_shape"),
        ('{"question": "q", "answer": "a"}', "wrong_shape"),
    ],
)
def test_a_line_that_is_no_page_is_rejected_by_its_number_wherever_it_stands(
    tmp_path: Path, line: str, reason: str, place: int
) -> None:
    target = tmp_path / "pages.jsonl"
    lines = [GOOD, GOOD.replace("good", "other")]
    lines.insert(place, line)
    target.write_text("\n".join(lines) + "\n")
    corpus = Corpus.load(str(target))
    assert len(list(corpus)) == 2 and [rejected.reason for rejected in corpus.rejected] == [reason]
    assert corpus.rejected[0].detail.startswith(f"{target}:{place + 1}: ")


@pytest.mark.parametrize(
    ("line", "title", "text"),
    [
        (rb'{"url":"u","title":"t","text":"cut \ud83d"}', "t", "cut \ufffd"),
        (rb'{"url":"u","title":"t \udc00","text":"\ud83d\ude00 x"}', "t \ufffd", "\U0001f600 x"),
        (rb'{"url":"u","title":"t","text":"a \\ud83d b"}', "t", r"a \ud83d b"),
        (b'{"url":"u","title":"t","text":"a \xff b"}', "t", "a \ufffd b"),
        (b'{"url":"u","title":"t","text":"a\tb"}', "t", "a\tb"),
        (b'{"url":"u","title":null,"text":"x"}', "", "x"),
        (b'{"url":"u","text":"x"}', "", "x"),
        (b'{"url":"u","title":1984,"text":"x","score":NaN}', "1984", "x"),
        (b'{"url":"u","title":"t","text":"x","links":null,"depth":null,"sha256":null,"fetched_at":5}', "t", "x"),
        (b'{"url":"u","title":"t","text":"x","date":null,"requested_url":null}', "t", "x"),
        (b'{"url":"u","title":"t","text":"x","date":2024}', "t", "x"),
    ],
)
def test_what_can_be_mended_is(load: Load, tmp_path: Path, line: bytes, title: str, text: str) -> None:
    target = tmp_path / "pages.jsonl"
    target.write_bytes(line + b"\n" + GOOD.encode() + b"\n")
    corpus = load(str(target))
    page = corpus.page("u")
    assert page is not None and (page.title, page.text) == (title, text)
    assert jsonl.write_records(str(tmp_path / "again"), [page]) == 1
    assert [hit.url for hit in corpus.search_now(text, 1)] == ["u"]


def test_links_that_fit_are_kept(load: Load, tmp_path: Path) -> None:
    target = tmp_path / "pages.jsonl"
    links = '[{"url":"a","text":null},{"url":"b","text":"B"},"c",{"text":"D"}]'
    target.write_text(f'{{"url":"u","title":"t","text":"x","links":{links},"mine":1}}\n')
    page = load(str(target)).page("u")
    assert page is not None and page.extra == {"mine": 1}
    assert page.links == [Link(url="a", text=""), Link(url="b", text="B")]


def test_a_huge_page_costs_a_search_no_more_than_others(load: Load, tmp_path: Path) -> None:
    target = str(tmp_path / "pages.jsonl")
    jsonl.write_records(target, [Page(url="u", title="Oll", text="Rivers of Oll. " * 500_000)])
    corpus = load(target)
    assert processor_seconds(lambda: corpus.search_now("rivers", 5), tries=1) < 0.5
    assert corpus.search_now("rivers", 5)[0].snippet == "Rivers of Oll."


def test_a_corpus_leaves_jax_alone(tmp_path: Path) -> None:
    """JAX would take most of a GPU's memory as soon as it computes anything."""
    (tmp_path / "jax").mkdir()
    (tmp_path / "jax" / "__init__.py").write_text("print('started')")
    code = "import webdancer_cli.web.corpus; print('corpus'); import jax"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert run.stdout.split() == ["corpus", "started"], run.stderr
