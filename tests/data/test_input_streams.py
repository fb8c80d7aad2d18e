"""Files that are read as they lie: compressed under any name, cut off, and of several members."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.data import jsonl
from webdancer_cli.data.questions import read_questions
from webdancer_cli.data.records import Page
from webdancer_cli.data.totals import count_lines
from webdancer_cli.errors import UsageError
from webdancer_cli.web.corpus import Corpus

LINES = [json.dumps({"url": f"http://a.org/{at}", "title": "Зоя", "text": f"Page {at} of Oll."}) for at in range(40)]


def pages(path: Path) -> list[str]:
    return [page.url for page in jsonl.read_records(str(path), Page)]


HALVES = ["\n".join(LINES[:20]).encode() + b"\n", "\n".join(LINES[20:]).encode()]
Compress = Callable[[bytes], bytes]
# RFC 8878, 3.1.2: the number, the length of what is skipped, and that: here the sizes that pzstd writes
SKIPPED = (0x184D2A50).to_bytes(4, "little") + (4).to_bytes(4, "little") + (1234).to_bytes(4, "little")


def skipped_and_zstd(text: bytes) -> bytes:
    return SKIPPED + zstandard.compress(text)


def streamed_zstd(text: bytes) -> bytes:
    """As a pipe is compressed: the size of the content is not known at its beginning."""
    engine = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    return engine.compress(text) + engine.flush()


@pytest.mark.parametrize("name", ["pages.jsonl.gz", "pages.jsonl"])
@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress, skipped_and_zstd, streamed_zstd])
def test_a_compressed_file_is_known_by_its_first_bytes(tmp_path: Path, name: str, compress: Compress) -> None:
    (tmp_path / name).write_bytes(b"".join(map(compress, HALVES)))
    assert count_lines(str(tmp_path / name)) == 40 and count_lines(str(tmp_path / name), most=7) == 7
    assert pages(tmp_path / name) == [f"http://a.org/{at}" for at in range(40)]
    corpus = Corpus.load(str(tmp_path / name))
    found = corpus.page("http://a.org/39")
    assert len(corpus) == 40 and found is not None and found.text == "Page 39 of Oll."


def test_gzipped_text_may_be_in_utf_16_and_a_table(tmp_path: Path) -> None:
    (tmp_path / "qa.csv.gz").write_bytes(gzip.compress("question,answer\nWho?,Zoë\n".encode("utf-16")))
    (tmp_path / "qa.csv.gz").rename(tmp_path / "qa.csv")
    assert [(qa.question, qa.answer) for qa in read_questions(str(tmp_path / "qa.csv"))] == [("Who?", "Zoë")]


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress, skipped_and_zstd, streamed_zstd])
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_that_is_cut_off_is_told_and_is_no_end_of_the_lines(
    tmp_path: Path, compress: Compress, share: float
) -> None:
    """Anywhere behind its first four bytes, by which it is known, but not just between two members."""
    members = [compress(half) for half in HALVES]
    whole = b"".join(members)
    at = 4 + int(share * (len(whole) - 4))
    if at in (len(SKIPPED), len(members[0]), len(members[0]) + len(SKIPPED)):
        return
    (tmp_path / "cut.jsonl").write_bytes(whole[:at])
    with pytest.raises(UsageError, match=r"cut\.jsonl: .*damaged, or not whole yet"):
        pages(tmp_path / "cut.jsonl")
    assert count_lines(str(tmp_path / "cut.jsonl")) is None


def test_a_large_compressed_file_is_not_read_to_be_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webdancer_cli.data.totals.MOST_PARSED_BYTES", 100)
    (tmp_path / "pages").write_bytes(gzip.compress(HALVES[0]))
    (tmp_path / "plain").write_bytes(HALVES[0])
    assert count_lines(str(tmp_path / "plain"), str(tmp_path / "pages")) is None
    assert count_lines(str(tmp_path / "plain")) == 20
