"""Files that are read as they lie: gzipped under any name, cut off, and of several members."""

import gzip
import json
from pathlib import Path

import pytest

from webdancer_cli.data import jsonl
from webdancer_cli.data.questions import read_questions
from webdancer_cli.data.records import Page
from webdancer_cli.errors import UsageError
from webdancer_cli.web.corpus import Corpus

LINES = [json.dumps({"url": f"http://a.org/{at}", "title": "Зоя", "text": f"Page {at} of Oll."}) for at in range(40)]


def pages(path: Path) -> list[str]:
    return [page.url for page in jsonl.read_records(str(path), Page)]


@pytest.mark.parametrize("name", ["pages.jsonl.gz", "pages.jsonl"])
def test_a_gzipped_file_is_known_by_its_first_bytes(tmp_path: Path, name: str) -> None:
    halves = ("\n".join(LINES[:20]) + "\n", "\n".join(LINES[20:]) + "\n")
    (tmp_path / name).write_bytes(b"".join(gzip.compress(half.encode()) for half in halves))
    assert pages(tmp_path / name) == [f"http://a.org/{at}" for at in range(40)]
    corpus = Corpus.load(str(tmp_path / name))
    found = corpus.page("http://a.org/39")
    assert len(corpus) == 40 and found is not None and found.text == "Page 39 of Oll."


def test_gzipped_text_may_be_in_utf_16_and_a_table(tmp_path: Path) -> None:
    (tmp_path / "qa.csv.gz").write_bytes(gzip.compress("question,answer\nWho?,Zoë\n".encode("utf-16")))
    (tmp_path / "qa.csv.gz").rename(tmp_path / "qa.csv")
    assert [(qa.question, qa.answer) for qa in read_questions(str(tmp_path / "qa.csv"))] == [("Who?", "Zoë")]


def test_a_damaged_gzip_file_is_told_and_is_no_end_of_the_lines(tmp_path: Path) -> None:
    whole = gzip.compress("\n".join(LINES).encode())
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match=r"cut\.jsonl\.gz: a damaged gzip file"):
        pages(tmp_path / "cut.jsonl.gz")
