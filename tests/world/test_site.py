import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from webdancer_cli.world import PlainWorld, site
from webdancer_cli.world import plain_pages as plain
from webdancer_cli.world.almanac import Almanac
from webdancer_cli.world.atlas import Atlas
from webdancer_cli.world.plain_pages import PlainPages
from webdancer_cli.world.rich_pages import RichPages

NAMESPACE = "{http://www.sitemaps.org/schemas/sitemap/0.9}"


def plain_pages(pages: int = 60, seed: int = 1) -> PlainPages:
    return PlainPages(PlainWorld(pages, seed))


def rich_pages(pages: int = 60, seed: int = 1) -> RichPages:
    return RichPages(Almanac(Atlas(pages, seed)))


@pytest.fixture(params=[plain_pages, rich_pages], ids=["plain", "rich"])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    assert site.write_site(request.param(), tmp_path, "http://127.0.0.1:8000/") == 60
    return tmp_path


def targets(folder: Path, path: str) -> Iterator[str]:
    """The pages that a page links to, as paths from the root of the site."""
    for href in re.findall(r'href="([^"]*)"', (folder / path).read_text("utf-8")):
        yield str((folder / path).parent.joinpath(href).resolve().relative_to(folder.resolve()))


def reached(folder: Path) -> set[str]:
    seen, waiting = {"index.html"}, ["index.html"]
    while waiting:
        for path in targets(folder, waiting.pop()):
            if path not in seen:
                seen.add(path)
                waiting.append(path)
    return seen


def locations(path: Path) -> list[str]:
    return [str(node.text) for node in ElementTree.parse(path).iter(f"{NAMESPACE}loc")]


def main_text(path: Path) -> str:
    main = re.search(r"<main>(.*)</main>", path.read_text("utf-8"), re.DOTALL)
    assert main
    return re.sub(r"<[^>]*>", "", main[1]).strip()


def test_every_link_resolves_and_every_page_is_reached_from_the_index(written: Path) -> None:
    folder = written / "site"
    files = {str(path.relative_to(folder)) for path in folder.rglob("*.html")}
    assert reached(folder) == files


def test_the_sitemap_names_every_entity_page(written: Path) -> None:
    folder = written / "site"
    entities = {str(path.relative_to(folder)) for path in folder.rglob("*.html")}
    entities = {path for path in entities if not path.startswith("index")}
    assert len(entities) == 60
    assert {unquote(url) for url in locations(folder / "sitemap.xml")} == {
        "http://127.0.0.1:8000/" + path for path in [*entities, ""]
    }
    assert (folder / "robots.txt").read_text() == (
        "User-agent: *\nAllow: /\nSitemap: http://127.0.0.1:8000/sitemap.xml\n"
    )


def test_the_facts_agree_with_the_pages(written: Path) -> None:
    lines = [json.loads(line) for line in (written / "facts.jsonl").read_text("utf-8").splitlines()]
    assert len(lines) > 200
    for line in lines:
        assert set(line) == {"subject", "kind", "relation", "value", "url_path", "target_path"}
        page = written / "site" / line["url_path"].lstrip("/")
        assert line["subject"] in main_text(page) and line["value"] in main_text(page)
        if line["target_path"] is not None:
            assert line["target_path"].lstrip("/") in targets(written / "site", line["url_path"].lstrip("/"))
            assert f"<title>{line['value']}</title>" in (written / "site" / line["target_path"].lstrip("/")).read_text()


def test_lists_of_links_ask_not_to_be_kept_and_pages_do_not(written: Path) -> None:
    folder = written / "site"
    for path in folder.rglob("*.html"):
        listing = path == folder / "index.html" or path.parent == folder / "index"
        assert ('content="noindex, follow"' in path.read_text("utf-8")) == listing


def test_a_plain_page_is_one_paragraph_with_links_on_the_values(tmp_path: Path) -> None:
    pages = plain_pages()
    site.write_site(pages, tmp_path, "http://127.0.0.1:8000")
    for index in (0, 20, 59):
        page = plain.plain_page(PlainWorld(60, 1), index)
        html = (tmp_path / "site" / f"{page.slug}.html").read_text("utf-8")
        assert html.count("<p>") == 2 and "<h1>" not in html  # the paragraph and the footer's
        assert main_text(tmp_path / "site" / f"{page.slug}.html") == page.text
        for anchor, slug in (link for sentence in page.sentences for link in sentence.links):
            assert f'is <a href="{slug}.html">{anchor}</a>.' in html


def test_two_word_names_make_one_word_urls() -> None:
    entity = PlainWorld(20_000, 0).entity(0)
    assert re.fullmatch(r"[A-Z][a-z]+ [A-Z][a-z]+", entity.name)
    assert entity.slug == entity.name.replace(" ", "_")


def test_long_lists_are_divided_and_all_parts_are_reached(tmp_path: Path) -> None:
    site.write_site(plain_pages(pages=900), tmp_path, "http://127.0.0.1:8000")
    folder = tmp_path / "site"
    # 35 % of 900 are 315 people: parts of 250 and 65. 225 towns fit on one page.
    assert (folder / "index/people-2.html").read_text("utf-8").count("<li><a href") - 5 == 65
    assert not (folder / "index/towns-1.html").exists()
    assert len([path for path in reached(folder) if not path.startswith("index")]) == 900


def test_many_urls_make_several_sitemaps_and_an_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "SITEMAP_URLS", 25)
    site.write_site(plain_pages(), tmp_path, "http://example.org")
    folder = tmp_path / "site"
    assert locations(folder / "sitemap.xml") == [f"http://example.org/sitemap-{number}.xml" for number in (1, 2, 3)]
    # 60 pages and the root: 25 + 25 + 11.
    assert [len(locations(folder / f"sitemap-{number}.xml")) for number in (1, 2, 3)] == [25, 25, 11]


def test_text_is_escaped() -> None:
    from webdancer_cli.world.document import Article, Section, sentence

    article = Article("A & <B>", "a.html", [Section(None, [[sentence("1 < 2 & 3.")]])])
    html = site.page_html(plain_pages(), article)
    assert "<h1>A &amp; &lt;B&gt;</h1>" in html and "<p>1 &lt; 2 &amp; 3.</p>" in html
