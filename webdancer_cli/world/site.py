"""Writing a world as a static web site: pages, indexes, sitemap, robots.txt; and beside it the facts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from itertools import islice
from pathlib import Path
from typing import IO, Protocol
from urllib.parse import quote

import msgspec

from webdancer_cli.data.pipeline import Progress
from webdancer_cli.world.document import Article, Section, Sentence
from webdancer_cli.world.plain_world import Entity, WorldFact

SITE_NAME = "Almanac of Invented Things"
INDEX_ENTRIES = 250
SITEMAP_URLS = 50_000
"""The most that sitemaps.org allows in one file."""


class WorldPages(Protocol):
    """A world in one style: what there is, and each page of it."""

    @property
    def plurals(self) -> Mapping[str, str]:
        """Each kind of entity with the word for many of it, in the order of the indices."""
        ...

    def indices(self, kind: str) -> Sequence[int]: ...

    def entity(self, index: int) -> Entity: ...

    def path(self, index: int) -> str: ...

    def facts(self, index: int) -> list[WorldFact]: ...

    def article(self, index: int) -> Article: ...


def write_site(pages: WorldPages, root: Path, site_url: str, progress: Progress | None = None) -> int:
    """Fill ``root/site`` and ``root/facts.jsonl``; the number of entity pages written."""
    site = Folder(root / "site")
    written, total = 0, sum(len(pages.indices(kind)) for kind in pages.plurals)
    with open(root / "facts.jsonl", "wb") as facts:
        for kind in pages.plurals:
            for index in pages.indices(kind):
                article = pages.article(index)
                site.write(article.path, page_html(pages, article))
                _write_facts(pages, index, facts)
                written += 1
                if progress:
                    progress.step(written, total, article.title)
    _write_indexes(pages, site)
    _write_sitemaps(pages, site, site_url.rstrip("/"))
    return written


class Folder:
    """Writes text files below a root, making each folder once."""

    def __init__(self, root: Path):
        self._root = root
        self._made: set[str] = set()

    def write(self, path: str, text: str) -> None:
        with self.open(path) as stream:
            stream.write(text)

    def open(self, path: str) -> IO[str]:
        folder = path.rpartition("/")[0]
        if folder not in self._made:
            (self._root / folder).mkdir(parents=True, exist_ok=True)
            self._made.add(folder)
        return open(self._root / path, "w", encoding="utf-8", newline="\n")


def _write_facts(pages: WorldPages, index: int, stream: IO[bytes]) -> None:
    entity = pages.entity(index)
    for fact in pages.facts(index):
        line = {
            "subject": entity.name,
            "kind": entity.kind,
            "relation": fact.relation,
            "value": fact.value,
            "url_path": "/" + pages.path(index),
            "target_path": None if fact.target_index is None else "/" + pages.path(fact.target_index),
        }
        stream.write(msgspec.json.encode(line) + b"\n")


def page_html(pages: WorldPages, article: Article) -> str:
    """A whole HTML document. The table follows the lead: it repeats what the prose states."""
    up = "../" * article.path.count("/")
    heading = f"<h1>{escape(article.title)}</h1>\n" if article.heading else ""
    lead, *sections = [_section(section, up) for section in article.sections]
    body = heading + lead + _table(article, up) + "".join(sections)
    return _frame(pages, article.title, f"<main>\n{body}</main>", up)


def _frame(pages: WorldPages, title: str, main: str, up: str, head: str = "") -> str:
    links = "".join(
        f'<li><a href="{up}index/{plural}.html">{plural.capitalize()}</a></li>' for plural in pages.plurals.values()
    )
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n{head}'
        f"<title>{escape(title)}</title>\n</head>\n<body>\n"
        f'<header><nav><a href="{up}index.html">{SITE_NAME}</a><ul>{links}</ul></nav></header>\n'
        f"{main}\n"
        f"<footer><p>Everything in the {SITE_NAME} is invented.</p></footer>\n</body>\n</html>\n"
    )


def _table(article: Article, up: str) -> str:
    if not article.table:
        return ""
    rows = "".join(f"<tr><th>{escape(label)}</th><td>{_runs(value, up)}</td></tr>\n" for label, value in article.table)
    return f'<table class="infobox">\n{rows}</table>\n'


def _section(section: Section, up: str) -> str:
    heading = f"<h2>{escape(section.heading)}</h2>\n" if section.heading else ""
    paragraphs = "".join(f"<p>{' '.join(_runs(said, up) for said in block)}</p>\n" for block in section.paragraphs)
    items = "".join(f"<li>{_runs(item, up)}</li>\n" for item in section.items)
    return heading + paragraphs + (f"<ul>\n{items}</ul>\n" if items else "")


def _runs(said: Sentence, up: str) -> str:
    return "".join(
        escape(run.text) if run.target is None else f'<a href="{up}{run.target}">{escape(run.text)}</a>'
        for run in said.runs
    )


def _write_indexes(pages: WorldPages, site: Folder) -> None:
    """index.html names the kinds; a kind's index names its pages or, where they are many, the parts of the list."""
    entries = [(f"index/{plural}.html", plural.capitalize()) for plural in pages.plurals.values()]
    _write_index(pages, site, "index.html", SITE_NAME, entries)
    for kind, plural in pages.plurals.items():
        parts = list(_parts(pages.indices(kind)))
        if len(parts) == 1:
            _write_index(pages, site, f"index/{plural}.html", plural.capitalize(), _entries(pages, parts[0]))
            continue
        names = [(f"index/{plural}-{number}.html", f"{plural.capitalize()}, part {number}") for number in _count(parts)]
        _write_index(pages, site, f"index/{plural}.html", plural.capitalize(), names)
        for (path, title), part in zip(names, parts, strict=True):
            _write_index(pages, site, path, title, _entries(pages, part))


def _parts(indices: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, max(1, len(indices)), INDEX_ENTRIES):
        yield indices[start : start + INDEX_ENTRIES]


def _count(parts: Sequence[Sequence[int]]) -> range:
    return range(1, len(parts) + 1)


def _entries(pages: WorldPages, part: Sequence[int]) -> Iterator[tuple[str, str]]:
    return ((pages.path(index), pages.entity(index).name) for index in part)


def _write_index(pages: WorldPages, site: Folder, path: str, title: str, entries: Iterable[tuple[str, str]]) -> None:
    """A list of links. "noindex, follow" tells crawlers what it is: a way to pages, not a page to keep."""
    up = "../" * path.count("/")
    items = "".join(f'<li><a href="{up}{target}">{escape(text)}</a></li>\n' for target, text in entries)
    main = f"<main>\n<h1>{escape(title)}</h1>\n<ul>\n{items}</ul>\n</main>"
    site.write(path, _frame(pages, title, main, up, '<meta name="robots" content="noindex, follow">\n'))


def _write_sitemaps(pages: WorldPages, site: Folder, site_url: str) -> None:
    site.write("robots.txt", f"User-agent: *\nAllow: /\nSitemap: {site_url}/sitemap.xml\n")
    total = sum(len(pages.indices(kind)) for kind in pages.plurals) + 1
    urls = _urls(pages, site_url)
    if total <= SITEMAP_URLS:
        _write_sitemap(site, "sitemap.xml", "urlset", "url", urls)
        return
    numbers = range(1, -(-total // SITEMAP_URLS) + 1)
    for number in numbers:
        _write_sitemap(site, f"sitemap-{number}.xml", "urlset", "url", islice(urls, SITEMAP_URLS))
    parts = (f"{site_url}/sitemap-{number}.xml" for number in numbers)
    _write_sitemap(site, "sitemap.xml", "sitemapindex", "sitemap", parts)


def _urls(pages: WorldPages, site_url: str) -> Iterator[str]:
    yield f"{site_url}/"
    for kind in pages.plurals:
        for index in pages.indices(kind):
            yield page_url(site_url, pages.path(index))


def page_url(site_url: str, path: str) -> str:
    return f"{site_url.rstrip('/')}/{quote(path)}"


def _write_sitemap(site: Folder, path: str, root: str, entry: str, urls: Iterable[str]) -> None:
    with site.open(path) as stream:
        stream.write('<?xml version="1.0" encoding="UTF-8"?>\n')
        stream.write(f'<{root} xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n')
        stream.writelines(f"<{entry}><loc>{escape(url)}</loc></{entry}>\n" for url in urls)
        stream.write(f"</{root}>\n")
