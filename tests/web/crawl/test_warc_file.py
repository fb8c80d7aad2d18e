"""What a crawl fetched, kept as WARC: it is what was sent, nothing personal, and gives the same pages again."""

import gzip
from contextlib import aclosing
from pathlib import Path

import pytest
from warcio.archiveiterator import ArchiveIterator
from warcio.checker import Checker

from webdancer_cli.data import jsonl
from webdancer_cli.data.pipeline import RecordWriter
from webdancer_cli.data.records import Page
from webdancer_cli.errors import UsageError
from webdancer_cli.options import config
from webdancer_cli.web.crawl import warc_file
from webdancer_cli.web.crawl.roots import RootPages
from webdancer_cli.web.crawl.warc_file import warc_files


def html(name: str, *links: str) -> str:
    anchors = " ".join(f'<a href="{link}">{link}</a>' for link in links)
    text = f"{name} is a place by the sea. It has streets and houses. {anchors}"
    return f"<html><title>{name}</title><main><p>{text}</p></main></html>"


async def gathered(folder: Path, *roots: str, most: int = 200, resume: bool = False, **more: object) -> list[Page]:
    files = {"pages": str(folder / "pages.jsonl"), "out": str(folder / "qa.jsonl")}
    options = config.CrawlqaOptions(
        roots=list(roots), allow_private=True, max_pages=most, resume=resume, **files | more
    )
    with RecordWriter("crawlqa", options.out, resume=resume) as output:
        async with aclosing(RootPages(options, output, None, None).stream()) as pages:
            async for _ in pages:
                pass
    return list(jsonl.read_records(options.pages, Page))


def records(path: Path) -> list[tuple[str, str, str]]:
    """Kind, address and status of each record."""
    with path.open("rb") as stream:
        return [
            (
                record.rec_type,
                record.rec_headers.get_header("WARC-Target-URI") or "",
                record.http_headers.get_statuscode() if record.rec_type == "response" else "",
            )
            for record in ArchiveIterator(stream)
        ]


class Checked:
    """What ``warcio check`` takes for its options."""

    verbose = False

    def __init__(self, path: Path):
        self.inputs = [str(path)]


def is_sound(path: Path) -> bool:
    checker = Checker(Checked(path))
    checker.process_all()
    return checker.exit_value == 0


def said(pages: list[Page]) -> list[tuple[str, str, str]]:
    return [(page.url, page.title, page.text) for page in pages]


@pytest.fixture
async def site(serve, answer):
    packed = answer(gzip.compress(html("B", "/c").encode()), headers={"Content-Encoding": "gzip", "X-Odd": "caf\xe9"})
    return await serve(
        {
            "/robots.txt": "User-agent: *\nDisallow: /private",
            "/": answer(html("Home", "/a", "/b", "/private", "/gone"), headers={"Set-Cookie": "session=secret-1234"}),
            "/a": answer(status=302, headers={"Location": "/moved?x=1"}),
            "/moved?x=1": html("Moved", "/d"),
            "/b": packed,
            "/c": html("C"),
            "/d": html("D"),
        }
    )


async def test_what_was_fetched_is_kept_and_gives_the_same_pages(site, tmp_path: Path) -> None:
    archive = tmp_path / "crawl.warc.gz"
    pages = await gathered(tmp_path, f"{site.url}/", warc=str(archive))
    found = records(archive)
    assert [record[0] for record in found] == ["warcinfo", *["response", "request"] * 8] and is_sound(archive)
    paths = [(url.removeprefix(site.url), status) for kind, url, status in found if kind == "response"]
    assert paths == [
        ("/robots.txt", "200"),
        ("/", "200"),
        ("/a", "302"),
        ("/moved?x=1", "200"),
        ("/b", "200"),
        ("/gone", "404"),
        ("/d", "200"),
        ("/c", "200"),
    ]
    (tmp_path / "again").mkdir()
    again = await gathered(tmp_path / "again", str(archive))
    assert len(pages) == 5 and said(again) == said(pages)
    whole = gzip.decompress(archive.read_bytes())
    assert b"secret" not in whole and b"ookie" not in whole and b"User-Agent: webdancer/" in whole
    assert b"WARC-IP-Address: 127.0.0.1" in whole and b"Content-Encoding: gzip" in whole


@pytest.mark.parametrize("torn", [False, True])
async def test_an_archive_is_gone_on_with_and_each_page_stands_in_it_once(
    site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torn: bool
) -> None:
    monkeypatch.setattr(warc_file, "FULL_BYTES", 2500)
    archive = tmp_path / "crawl.warc.gz"
    for most in (1, 2, 3, 200):
        if torn and archive.exists():
            with warc_files(str(archive))[-1].open("ab") as stream:
                stream.write(b"\x1f\x8b\x08 what a kill left")
        pages = await gathered(tmp_path, f"{site.url}/", most=most, resume=most > 1, warc=str(archive))
    files = warc_files(str(archive))
    assert [file.name for file in files[:2]] == ["crawl.warc.gz", "crawl-00001.warc.gz"]
    assert all(map(is_sound, files)) and all(records(file)[0][0] == "warcinfo" for file in files)
    kept = [url for file in files for kind, url, status in records(file) if kind == "response" and status == "200"]
    documents = [url for url in kept if not url.endswith("robots.txt")]
    assert sorted(documents) == sorted({page.url for page in pages}) and len(pages) == 5
    (tmp_path / "again").mkdir()
    assert said(await gathered(tmp_path / "again", *map(str, files))) == said(pages)


async def test_an_archive_that_is_shorter_than_it_was_is_left_as_it_is(site, tmp_path: Path) -> None:
    archive = tmp_path / "crawl.warc.gz"
    await gathered(tmp_path, f"{site.url}/", most=2, warc=str(archive))
    short = archive.read_bytes()[:-1]
    archive.write_bytes(short)
    await gathered(tmp_path, f"{site.url}/", resume=True, warc=str(archive))
    assert archive.read_bytes() == short and is_sound(tmp_path / "crawl-00001.warc.gz")


async def test_a_new_crawl_takes_the_place_of_an_old_archive_when_it_has_something(site, tmp_path: Path) -> None:
    archive, second = tmp_path / "crawl.warc.gz", tmp_path / "crawl-00001.warc.gz"
    for file in (archive, second):
        file.write_bytes(b"old")
    await gathered(tmp_path, "http://nowhere.invalid/", warc=str(archive))
    assert archive.read_bytes() == b"old" and second.exists()
    await gathered(tmp_path, f"{site.url}/", most=1, warc=str(archive))
    assert is_sound(archive) and not second.exists()
    (tmp_path / "pages.jsonl.crawl").unlink()
    await gathered(tmp_path, f"{site.url}/", resume=True, warc=str(archive))
    assert is_sound(archive) and is_sound(second)


@pytest.mark.parametrize(
    ("more", "why"),
    [({"warc": "x.warc"}, "ends in .warc.gz"), ({"warc": "x.warc.gz", "tape": "t.tape"}, "is not fetched")],
)
def test_an_archive_that_cannot_be_is_refused(more: dict[str, str], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        config.CrawlqaOptions(**more)


async def test_files_are_not_fetched(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not fetched"):
        await gathered(tmp_path, str(tmp_path), warc=str(tmp_path / "x.warc.gz"))
