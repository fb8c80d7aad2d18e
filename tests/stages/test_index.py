"""The command that makes an index of pages: whatever it was interrupted by, and however the files grow."""

import gzip
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import zstandard

from webdancer_cli import cli
from webdancer_cli.data import jsonl
from webdancer_cli.data.pipeline import RunStats
from webdancer_cli.data.records import Page, Rejected
from webdancer_cli.errors import UsageError
from webdancer_cli.options import config
from webdancer_cli.stages import index as stage
from webdancer_cli.web.corpus import Corpus
from webdancer_cli.web.fixed_pages import FixedPages
from webdancer_cli.web.open_pages import open_pages
from webdancer_cli.web.page_index import layout

WORDS = ["river", "mill", "sail", "bread", "clock", "stone", "violin", "harbour", "orchard", "lantern"]


def pages(first: int, last: int) -> list[Page]:
    """Pages that share words, some long; each has one that only it has."""
    made = []
    for number in range(first, last):
        draw = random.Random(number)
        words = draw.choices(WORDS, k=draw.choice([5, 40, 700]))
        made.append(
            Page(url=f"http://e.org/{number}", title=f"Page {number}", text=" ".join([*words, f"only{number}"]))
        )
    return made


def write(path: Path, first: int, last: int) -> str:
    jsonl.write_records(str(path), pages(first, last))
    return str(path)


def build(folder: Path, *paths: str) -> RunStats:
    return stage.run(config.IndexOptions(pages=list(paths), out=str(folder)))


def results(web: FixedPages) -> list[list[str]]:
    """What is found by queries of one to three words."""
    queries = [" ".join(random.Random(number).sample(WORDS, 1 + number % 3)) for number in range(30)]
    return [[hit.url for hit in web.search_now(query, 10)] for query in queries]


def test_an_index_of_several_files_is_a_web_of_all_their_pages(tmp_path: Path) -> None:
    one, two = write(tmp_path / "1", 0, 30), write(tmp_path / "2", 30, 60)
    assert build(tmp_path / "i", one, two).summary() == "0 already done, 60 pages, 0 repeated"
    web = open_pages(str(tmp_path / "i"))
    assert list(web) == pages(0, 60)
    assert all(web.search_now(f"only{number}", 3)[0].title == f"Page {number}" for number in range(60))


def test_an_index_of_one_file_names_its_pages_as_the_file_itself_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "1", 0, 5)
    build(tmp_path / "i", path)
    assert open_pages(str(tmp_path / "i")).name.removeprefix("index:") == Corpus.load(path).name.removeprefix("corpus:")


def test_what_is_new_in_a_file_or_among_the_files_is_added(tmp_path: Path) -> None:
    one, folder = write(tmp_path / "1", 0, 30), tmp_path / "i"
    build(folder, one)
    before = open_pages(str(folder))
    with jsonl.LineWriter(one, append=True) as writer:
        for page in pages(25, 40):
            writer.write(page)
    two = write(tmp_path / "2", 35, 60)
    assert build(folder, one, two).summary() == "30 already done, 30 pages, 10 repeated"
    assert build(folder, two).summary() == "60 already done, 0 pages, 0 repeated"
    build(tmp_path / "at once", one, two)
    grown, whole = open_pages(str(folder)), open_pages(str(tmp_path / "at once"))
    assert (list(grown), grown.name, results(grown)) == (pages(0, 60), whole.name, results(whole))
    assert list(before) == pages(0, 30) and not before.search_now("only31", 1)


def as_gzip(text: bytes) -> bytes:
    return gzip.compress(text[:5000]) + gzip.compress(text[5000:])


def as_zstd(text: bytes) -> bytes:
    return zstandard.compress(text[:5000]) + zstandard.compress(text[5000:])


def as_utf16(text: bytes) -> bytes:
    return text.decode().encode("utf-16")


@pytest.mark.parametrize("packed", [as_gzip, as_zstd, as_utf16])
def test_a_file_that_cannot_be_read_at_any_place_is_kept_by_the_index(
    tmp_path: Path, packed: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webdancer_cli.web.page_index.sources.FRAME_BYTES", 3000)
    plain, other, folder = write(tmp_path / "1", 0, 40), tmp_path / "2", tmp_path / "i"
    other.write_bytes(packed(Path(plain).read_bytes()))
    more = write(tmp_path / "3", 40, 50)
    build(folder, str(other), more)
    other.unlink()
    build(tmp_path / "plain", plain, more)
    web, same = open_pages(str(folder)), open_pages(str(tmp_path / "plain"))
    assert (list(web), web.name, results(web)) == (pages(0, 50), same.name, results(same))


@pytest.mark.parametrize("packed", [gzip.compress, zstandard.compress])
def test_a_compressed_file_that_is_cut_off_is_refused_and_what_came_before_it_stays(
    tmp_path: Path, packed: Callable[[bytes], bytes]
) -> None:
    good, cut = write(tmp_path / "1", 0, 5), tmp_path / "2.packed"
    cut.write_bytes(packed(Path(write(tmp_path / "2", 5, 50)).read_bytes())[:-200])
    with pytest.raises(UsageError, match=r"2\.packed: .*damaged, or not whole yet"):
        build(tmp_path / "i", good, str(cut))
    assert list(open_pages(str(tmp_path / "i")))[:5] == pages(0, 5)


@pytest.mark.parametrize("packed", [gzip.compress, zstandard.compress])
def test_a_compressed_file_that_is_damaged_is_refused(tmp_path: Path, packed: Callable[[bytes], bytes]) -> None:
    path, damaged = tmp_path / "1.packed", bytearray(packed(Path(write(tmp_path / "1", 0, 50)).read_bytes()))
    damaged[200:220] = bytes(20)
    path.write_bytes(damaged)
    with pytest.raises(UsageError, match=r"1\.packed: .*damaged, or not whole yet"):
        build(tmp_path / "i", str(path))


@pytest.mark.parametrize("name", ["pages.table", "pages.zst"])
def test_an_index_of_which_a_part_is_lost_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "1").write_bytes(gzip.compress(Path(write(tmp_path / "plain", 0, 50)).read_bytes()))
    build(tmp_path / "i", str(tmp_path / "1"))
    part = tmp_path / "i" / name
    whole = part.read_bytes()
    part.write_bytes(whole + b"what a killed run left")
    assert len(list(open_pages(str(tmp_path / "i")))) == 50
    part.write_bytes(whole[:-1])
    with pytest.raises(UsageError, match=f"{name}: gone, or shorter than its index says"):
        open_pages(str(tmp_path / "i"))
    part.unlink()
    with pytest.raises(UsageError, match=f"{name}: gone"):
        open_pages(str(tmp_path / "i"))


def test_index_and_pages_may_be_moved_together(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    build(tmp_path / "a" / "i", write(tmp_path / "a" / "1", 0, 5))
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert list(open_pages(str(tmp_path / "b" / "i"))) == pages(0, 5)
    write(tmp_path / "b" / "1", 0, 7)
    assert build(tmp_path / "b" / "i", str(tmp_path / "b" / "1")).summary() == "5 already done, 2 pages, 0 repeated"
    shutil.move(tmp_path / "b" / "1", tmp_path / "1")
    with pytest.raises(UsageError, match="its pages are not there"):
        open_pages(str(tmp_path / "b" / "i"))


def test_pages_that_were_changed_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "1", 0, 20)
    build(tmp_path / "i", path)
    text = Path(path).read_bytes()
    Path(path).write_bytes(text.replace(b"only3", b"lone3") + text)
    with pytest.raises(UsageError, match="is not what was indexed"):
        build(tmp_path / "i", path)
    Path(path).write_bytes(text[:100])
    with pytest.raises(UsageError, match="shorter than when it was indexed"):
        open_pages(str(tmp_path / "i"))


def test_a_last_line_that_is_still_being_written_is_taken_when_it_is_whole(tmp_path: Path) -> None:
    path = Path(write(tmp_path / "1", 0, 5))
    text = path.read_bytes()
    for cut, there in [(-30, 4), (-1, 5), (len(text), 5)]:
        path.write_bytes(text[:cut])
        build(tmp_path / "i", str(path))
        assert len(open_pages(str(tmp_path / "i"))) == there
    assert list(open_pages(str(tmp_path / "i"))) == pages(0, 5)


def test_lines_that_are_no_pages_are_told_by_file_and_number(tmp_path: Path) -> None:
    path, rejects = Path(write(tmp_path / "1", 0, 2)), tmp_path / "rejects"
    path.write_bytes(path.read_bytes() + b'{\n\n{"question": "q", "answer": "a"}\n')
    given = ["index", "--pages", str(path), "--out", str(tmp_path / "i"), "--rejects", str(rejects)]
    assert cli.run_command(given) == 1
    told = [msgspec.json.decode(line, type=Rejected) for line in rejects.read_bytes().splitlines()]
    assert [(each.stage, each.reason) for each in told] == [("index", "broken_line"), ("index", "wrong_shape")]
    assert [each.detail.split(": ")[0] for each in told] == [f"{path}:3", f"{path}:5"]
    assert cli.run_command(given) == 0  # nothing is new


def test_what_cannot_be_an_index_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "1", 0, 2)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("x")
    with pytest.raises(UsageError, match="holds something else"):
        build(tmp_path / "mine", path)
    assert [entry.name for entry in (tmp_path / "mine").iterdir()] == ["notes"]
    with pytest.raises(UsageError, match="which pages"):
        build(tmp_path / "none")
    with pytest.raises(UsageError, match="is no index"):
        open_pages(str(tmp_path / "mine"))
    with pytest.raises(UsageError, match="holds no pages"):
        build(tmp_path / "i", str(write(tmp_path / "empty", 0, 0)))
        open_pages(str(tmp_path / "i"))
    build(tmp_path / "old", path)
    log = tmp_path / "old" / layout.COMMITS
    log.write_bytes(log.read_bytes().replace(b'"format":1', b'"format":99'))
    with pytest.raises(UsageError, match="format 99, not 1: build it anew"):
        open_pages(str(tmp_path / "old"))


def test_files_after_the_first_may_stand_without_a_flag(tmp_path: Path) -> None:
    paths = [write(tmp_path / str(number), number, number + 1) for number in range(3)]
    assert cli.run_command(["index", "--pages", *paths, "--out", str(tmp_path / "i")]) == 0
    assert len(open_pages(str(tmp_path / "i"))) == 3


BUILD = """
import sys
from webdancer_cli.web.page_index import writer
writer.COMMIT_PAGES = 20
from webdancer_cli.cli import run_command
sys.exit(run_command(["index", "--pages", sys.argv[1], sys.argv[2], "--out", sys.argv[3]]))
"""


def state(path: Path) -> tuple[int, int]:
    return (path.stat().st_ino, path.stat().st_size) if path.exists() else (0, 0)


@pytest.mark.slow
def test_a_build_that_is_killed_ten_times_finds_the_same_as_one_that_was_not(tmp_path: Path) -> None:
    """Each life is killed when the commits, or the table, were just written: in the middle of the work."""
    one, two, folder = write(tmp_path / "1", 0, 2000), tmp_path / "2.gz", tmp_path / "i"
    two.write_bytes(gzip.compress(Path(write(tmp_path / "2", 1500, 4000)).read_bytes()))
    build(tmp_path / "whole", one, str(two))
    whole, begun = open_pages(str(tmp_path / "whole")), []
    for life in range(10):
        watched = folder / (layout.COMMITS if life % 2 else layout.TABLE)
        process = subprocess.Popen([sys.executable, "-c", BUILD, one, str(two), str(folder)])
        before = state(watched)
        while process.poll() is None and state(watched) == before:
            time.sleep(0.002)
        time.sleep(random.Random(life).random() / 20)
        process.send_signal(signal.SIGKILL)
        begun.append(process.wait())
    assert begun == [-signal.SIGKILL] * 10
    build(folder, one, str(two))
    web = open_pages(str(folder))
    assert (len(web), web.name, results(web)) == (4000, whole.name, results(whole))
    assert list(web) == list(whole)


SEARCH = """
import sys
sys.path.insert(0, sys.argv[1])
from test_index import open_pages, results
web = open_pages(sys.argv[2])
assert len(web) in (500, 3000) and results(web) == results(web)
"""


@pytest.mark.slow
def test_eight_processes_search_while_one_adds(tmp_path: Path) -> None:
    path, folder = write(tmp_path / "1", 0, 500), tmp_path / "i"
    build(folder, path)
    expected = results(open_pages(str(folder)))
    more = write(tmp_path / "2", 500, 3000)
    command = [sys.executable, "-c", SEARCH, str(Path(__file__).parent), str(folder)]
    readers = [subprocess.Popen(command) for _ in range(8)]
    web = open_pages(str(folder))
    build(folder, more)
    assert results(web) == expected
    assert [process.wait() for process in readers] == [0] * 8
