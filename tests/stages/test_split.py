"""The command that splits a file of records into parts."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import QA, Page
from webdancer_cli.data.shards import Shard
from webdancer_cli.errors import UsageError
from webdancer_cli.options import config
from webdancer_cli.stages import crawlqa
from webdancer_cli.stages import split as stage
from webdancer_cli.synthesis.page_blocks import NoQuestions


def split(data: Path, out: Path, by: str = "id", parts: int = 4) -> list[list[bytes]]:
    """The lines of each part."""
    stage.run(config.SplitOptions(data=str(data), out=str(out), by=by, parts=parts))  # type: ignore[arg-type]
    return [part.read_bytes().splitlines(keepends=True) for part in sorted(out.iterdir())]


def write(path: Path, *values: object) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path


@given(ids=st.lists(st.text(max_size=3)), by=st.sampled_from([*stage.KEYS, "place"]))
def test_every_line_goes_into_one_part_as_it_is_and_in_its_order(
    tmp_path_factory: pytest.TempPathFactory, ids: list[str], by: str
) -> None:
    folder = tmp_path_factory.mktemp("split")
    whole = write(folder / "data", *({"id": id, "n": n} for n, id in enumerate(ids))).read_bytes().splitlines(True)
    parts = split(folder / "data", folder / "parts", by)
    assert sorted(line for part in parts for line in part) == sorted(whole)
    assert all(part == [line for line in whole if line in part] for part in parts)


@pytest.mark.parametrize(
    ("by", "one", "same", "other"),
    [
        ("id", {"id": "a", "x": 1}, {"x": 2, "id": "a"}, {"id": "b"}),
        ("question", {"qa": {"id": "a"}, "id": "1"}, {"id": "2", "qa": {"id": "a"}}, {"qa": {"id": "c"}, "id": "1"}),
        ("question", {"id": "a"}, {"id": "9", "qa": {"id": "a"}}, {"id": "b"}),
        ("host", {"url": "http://e.org/1"}, {"url": "https://www.e.org/2"}, {"url": "http://f.org/1"}),
        (
            "wording",
            {"question": "Who is Ada?", "id": "1"},
            {"question": "who is ADA", "id": "2"},
            {"question": "Who?"},
        ),
        (
            "answer",
            {"question": "Who taught Ada?", "answer": "Bo", "level": 2},
            {"question": "Who sailed to Oll?", "answer": " bo"},
            {"question": "Who taught Ada?", "answer": "Cy", "level": 2},
        ),
    ],
)
def test_what_belongs_together_goes_into_one_part(
    tmp_path: Path, by: str, one: dict[str, Any], same: dict[str, Any], other: dict[str, Any]
) -> None:
    parts = split(write(tmp_path / "data", one, other, same), tmp_path / "parts", by, parts=1000)
    sizes = sorted(len(part) for part in parts if part)
    assert sizes == [1, 2]


def test_a_part_holds_what_the_shard_of_its_number_does(tmp_path: Path) -> None:
    questions = [QA(question=f"q{number}", answer="a") for number in range(50)]
    data = write(tmp_path / "data", *({"id": qa.id, "question": qa.question} for qa in questions))
    for number, part in enumerate(split(data, tmp_path / "parts", parts=3)):
        held = [qa.id for qa in questions if Shard(number + 1, 3).holds(qa.id)]
        assert [json.loads(line)["id"] for line in part] == held


def test_parts_by_place_follow_one_another(tmp_path: Path) -> None:
    data = write(tmp_path / "data", *range(100))
    parts = split(data, tmp_path / "parts", "place", parts=7)
    assert b"".join(line for part in parts for line in part) == data.read_bytes() and all(parts)
    with pytest.raises(UsageError, match="--by place: needs the size"):
        config.SplitOptions(by="place")


def test_more_parts_than_files_may_be_open_and_a_last_line_without_end(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b'\xef\xbb\xbf{"id":"a"}\n\n{"id":"b"}')
    parts = split(tmp_path / "data", tmp_path / "parts", parts=3000)
    assert len(parts) == 3000 and sorted(line for part in parts for line in part) == [b'{"id":"a"}\n', b'{"id":"b"}\n']


def test_a_folder_that_holds_something_is_refused_and_what_a_killed_split_left_goes(tmp_path: Path) -> None:
    data = write(tmp_path / "data", {"id": "a"})
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / ".part-0.jsonl").write_text("half")
    assert sum(map(len, split(data, tmp_path / "parts"))) == 1
    with pytest.raises(UsageError, match=r"holds part-0\.jsonl"):
        split(data, tmp_path / "parts")


TOWN = " ".join(f"Street {n} of the town was laid out in {1700 + n} by a guild of masons." for n in range(40))


def page(name: str, *roads: int) -> str:
    """The text of the town, some of whose streets have become roads; so few make it nearly the same."""
    text = f"{name}. {TOWN}"
    for road in roads:
        text = text.replace(f"Street {road} ", f"Road {road} ")
    return text


def test_pages_that_are_nearly_the_same_are_left_out_and_nothing_else(tmp_path: Path) -> None:
    texts = [page("A"), page("A"), page("A", 7), page("A", *range(40)), "", "short"]
    lines = [{"url": f"http://e.org/{n}", "text": text} for n, text in enumerate(texts)]
    data = write(tmp_path / "data", *lines, {"id": "no page"}, {"text": 5}, {"text": 5})
    options = config.SplitOptions(data=str(data), out=str(tmp_path / "parts"), parts=1, similarity=0.9)
    stats = stage.run(options)
    kept = [json.loads(line) for line in (tmp_path / "parts" / "part-0.jsonl").read_text().splitlines()]
    assert kept == [lines[0], *lines[3:], {"id": "no page"}, {"text": 5}, {"text": 5}]
    assert (stats.counts["left out"], stats.reasons) == (2, {"duplicate": 1, "near_duplicate": 1})
    assert (stats.counts["lines"], stats.exit_code) == (9, 0)


def crawled(out: Path, similarity: float, *folders: Path) -> list[str]:
    """The URLs of the pages of some folders, read by one process."""
    options = config.CrawlqaOptions(
        roots=[str(folder) for folder in folders], pages=str(out), out=f"{out}.qa", similarity=similarity, ask="nothing"
    )
    asyncio.run(crawlqa.run(options, NoQuestions()))
    return titles(out)


def titles(*files: Path) -> list[str]:
    return sorted(page.title for file in files for page in jsonl.read_records(str(file), Page))


def test_pages_of_parts_are_in_the_end_those_that_one_process_keeps(tmp_path: Path) -> None:
    chain = [(), (3,), (3, 9, 14, 20, 27, 31, 36), (9, 14, 20, 27, 31, 36), (5,), range(40)]
    folders = [tmp_path / name for name in "abc"]
    for number, roads in enumerate(chain):
        folder = folders[number % 3]
        folder.mkdir(exist_ok=True)
        text = f"<title>P{number}</title><main><p>{page('Town', *roads)}</p></main>"
        (folder / f"{number}.html").write_text(text)
    whole = crawled(tmp_path / "whole", 0.9, *folders)
    for folder in folders:
        crawled(tmp_path / f"{folder.name}.jsonl", 1.0, folder)
    together = b"".join((tmp_path / f"{folder.name}.jsonl").read_bytes() for folder in folders)
    (tmp_path / "together").write_bytes(together)
    options = config.SplitOptions(
        data=str(tmp_path / "together"), out=str(tmp_path / "parts"), by="host", parts=2, similarity=0.9
    )
    stage.run(options)
    assert titles(*(tmp_path / "parts").iterdir()) == whole and 1 < len(whole) < 6
