"""JSON lines: whatever the bytes are, a line is read, or told by file and line; what is written is whole."""

import io
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import QA, Page, Rejected
from webdancer_cli.errors import ClosedPipe, UsageError, WebdancerError

LINE = b'{"question": "What?", "answer": "42"}'


def written_to(folder: Path, data: bytes) -> str:
    path = folder / "in.jsonl"
    path.write_bytes(data)
    return str(path)


def read_all(path: str) -> tuple[list[QA], list[Rejected]]:
    bad: list[Rejected] = []
    return list(jsonl.read_records(path, QA, bad.append)), bad


# ---- reading


@pytest.mark.parametrize(
    "data",
    [
        LINE,
        LINE + b"\n",
        LINE + b"\r\n",
        b"\xef\xbb\xbf" + LINE + b"\n",
        b"\n\n  \r\n" + LINE + b"\n\n",
        b"  " + LINE + b"  \t\n",
    ],
    ids=["no line break", "line break", "CRLF", "byte order mark", "empty lines", "spaces"],
)
def test_a_line_is_read_whatever_surrounds_it(tmp_path: Path, data: bytes) -> None:
    assert read_all(written_to(tmp_path, data)) == ([QA(question="What?", answer="42")], [])


def test_a_line_separator_of_unicode_does_not_end_a_line(tmp_path: Path) -> None:
    path = written_to(tmp_path, '{"question": "a\u2028b\x85c", "answer": "42"}\n'.encode())
    assert read_all(path)[0][0].question == "a\u2028b\x85c"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"question": "What?"', "truncated"),
        (b"\x00\x00\x00", "invalid character"),
        (b'{"question": "a\x00b", "answer": "42"}', "invalid character"),
        (b'{"question": "\xff", "answer": "42"}', "can't decode byte 0xff"),
        (b"nonsense", "invalid character"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"question": "\\ud83d", "answer": "42"}', "JSON"),
        (LINE + LINE, "trailing"),
        (LINE.decode().encode("utf-16"), "can't decode byte"),
    ],
)
def test_a_broken_line_in_the_middle_is_told_with_file_and_line(tmp_path: Path, line: bytes, said: str) -> None:
    path = written_to(tmp_path, LINE + b"\n" + line.replace(b"\n", b"") + b"\n" + LINE + b"\n")
    records, (bad,) = read_all(path)
    assert len(records) == 2
    assert bad.reason == "broken_line" and bad.detail.startswith(f"{path}:2: not valid JSON: ") and said in bad.detail
    assert isinstance(bad.record, str) and len(bad.record) > 0


@pytest.mark.parametrize(
    "line", [b"5", b"null", b"[]", b'"text"', b'{"answer": "42"}', b'{"question": 1, "answer": ""}']
)
def test_another_shape_is_told_with_its_value(tmp_path: Path, line: bytes) -> None:
    path = written_to(tmp_path, LINE + b"\n" + line + b"\n")
    records, (bad,) = read_all(path)
    assert len(records) == 1
    assert bad.reason == "wrong_shape" and bad.detail.startswith(f"{path}:2: ")


def test_without_a_listener_the_first_bad_line_ends_reading(tmp_path: Path) -> None:
    path = written_to(tmp_path, LINE + b"\n{\n")
    with pytest.raises(UsageError, match=f"{path}:2: not valid JSON"):
        list(jsonl.read_records(path, QA))


def test_a_line_too_long_to_be_a_record_is_skipped_without_being_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "MAX_LINE_BYTES", 4096)
    path = written_to(tmp_path, LINE + b"\n" + b"x" * 20_000 + b"\n" + LINE + b"\n" + b"y" * 9_000)
    records, bad = read_all(path)
    assert len(records) == 2
    assert [line.detail for line in bad] == [
        f"{path}:{number}: not valid JSON: a line of more than 4096 bytes" for number in (2, 4)
    ]
    assert bad[0].record == "x" * 1000


def test_a_long_line_is_read(tmp_path: Path) -> None:
    path = written_to(tmp_path, b'{"question": "' + b"x" * 3_000_000 + b'", "answer": "42"}\n')
    assert len(read_all(path)[0][0].question) == 3_000_000


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_told(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = written_to(tmp_path_factory.mktemp("any"), LINE + b"\n" + data + b"\n" + LINE + b"\n")
    records, bad = read_all(path)
    told = [int(line.detail[len(path) + 1 :].partition(":")[0]) for line in bad]
    assert len(records) + len(bad) == sum(
        bool(line.strip()) for line in (LINE + b"\n" + data + b"\n" + LINE).split(b"\n")
    )
    assert told == sorted(told)


@pytest.mark.parametrize(
    ("line", "kind", "said"),
    [
        (b'{"question": "a", "answer": "b"}', Page, "this is a question .* but the stage takes a page"),
        (b'{"url": "u", "title": "t", "text": "x"}', QA, "this is a page .* but the stage takes a question"),
        (b'{"qa": {}, "messages": [], "ending": "answered"}', QA, "this is a trajectory"),
    ],
)
def test_the_wrong_file_is_told_at_once(tmp_path: Path, line: bytes, kind: type, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        list(jsonl.read_records(written_to(tmp_path, line), kind, lambda bad: None))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.jsonl: No such file"):
        list(jsonl.read_records(str(tmp_path / "nowhere.jsonl"), QA))
    with pytest.raises(UsageError, match="directory"):
        list(jsonl.read_records(str(tmp_path), QA))


def test_standard_input_is_read_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LINE + b"\n{\n")))
    with pytest.raises(UsageError, match="stdin:2"):
        list(jsonl.read_records("-", QA))


# ---- writing


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = str(tmp_path / "deep" / "out.jsonl")
    qas = [QA(question=f"é {n}\n\u2028", answer="42", extra={"mine": n}) for n in range(3)]
    assert jsonl.write_records(path, qas) == 3
    assert read_all(path) == (qas, [])
    assert Path(path).read_bytes().count(b"\n") == 3


def test_every_record_is_there_as_soon_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with jsonl.LineWriter(str(path)) as writer:
        for count in range(1, 4):
            writer.write({"n": count})
            assert path.read_bytes().count(b"\n") == count == writer.count


def test_half_a_surrogate_pair_does_not_stop_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    jsonl.write_records(str(path), [QA(question="a\ud83db", answer="42")])
    assert "a\ufffdb".encode() in path.read_bytes()


def test_an_encoded_line_keeps_its_bytes(tmp_path: Path) -> None:
    with jsonl.LineWriter(str(tmp_path / "out.jsonl")) as writer:
        writer.write_line(b'{"a":  1.50}')
    assert (tmp_path / "out.jsonl").read_bytes() == b'{"a":  1.50}\n'


def test_a_target_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"file/out\.jsonl"):
        jsonl.LineWriter(str(tmp_path / "file" / "out.jsonl"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_clear_error() -> None:
    with pytest.raises(WebdancerError, match="/dev/full: No space left"), jsonl.LineWriter("/dev/full") as writer:
        writer.write({"n": 1})


def test_a_reader_that_went_away_closes_the_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        with pytest.raises(ClosedPipe):
            jsonl.LineWriter().write({"n": 1})
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), writing)


# ---- resuming


@pytest.mark.parametrize(
    ("data", "mended"),
    [
        (b"", b""),
        (b'{"id": "a"}\n', b'{"id": "a"}\n'),
        (b'{"id": "a"}\n{"id": "b', b'{"id": "a"}\n'),
        (b'{"id": "a"}\n{"id": "b"}', b'{"id": "a"}\n'),
        (b'{"id": "a', b""),
        (b'{"id": "a"}\n' + b"\x00" * 200_000, b'{"id": "a"}\n'),
    ],
)
def test_a_torn_last_line_is_cut_off(tmp_path: Path, data: bytes, mended: bytes) -> None:
    path = written_to(tmp_path, data)
    jsonl.prepare_resume(path)
    done = jsonl.earlier_keys(path)
    assert len(done) == bool(mended)
    assert ("a" in done) == bool(mended)
    assert Path(path).read_bytes() == mended


def test_a_damaged_earlier_line_is_named_with_a_remedy(tmp_path: Path) -> None:
    path = written_to(tmp_path, b'{"id": "a"}\n{{\n{"id": "c"}\n')
    with pytest.raises(UsageError, match=f"{path}:2: .*remove this line, or run without --resume"):
        jsonl.earlier_keys(path)


def test_what_went_to_stdout_cannot_be_resumed() -> None:
    with pytest.raises(UsageError, match="--resume needs --out FILE"):
        jsonl.prepare_resume("-")


def test_with_a_key_the_records_of_the_last_item_are_cut_off(tmp_path: Path) -> None:
    data = b'{"id": 1, "page": "p"}\n{"id": 2, "page": "q"}\n{"id": 3, "page": "q"}\n'
    path = written_to(tmp_path, data)
    jsonl.prepare_resume(path, key=lambda value: value["page"])
    done = jsonl.earlier_keys(path, key=lambda value: value["page"])
    assert "p" in done and len(done) == 1
    assert Path(path).read_bytes() == data.splitlines(keepends=True)[0]
