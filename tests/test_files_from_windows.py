"""Byte-order marks, UTF-16 and CRLF in everything that is read: the same text is the same, however it was saved."""

import io
import json
import os
import sys
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from webdancer_cli import prompts
from webdancer_cli.data import jsonl
from webdancer_cli.data.questions import read_questions
from webdancer_cli.data.records import Page
from webdancer_cli.errors import UsageError
from webdancer_cli.llm.budget import Price, find_price
from webdancer_cli.options import settings
from webdancer_cli.transcript.released_format import read_trajectories
from webdancer_cli.web.corpus import Corpus

Save = Callable[[Path, str], str]


def saved(encoding: str, end: str) -> Save:
    def save(path: Path, text: str) -> str:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.replace("\n", end).encode(encoding))
        return str(path)

    return save


@pytest.fixture(params=["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def save(request: pytest.FixtureRequest) -> Save:
    mark = "\ufeff" if request.param in ("utf-16-le", "utf-16-be") else ""
    save_bare = saved(request.param, "\r\n")
    return lambda path, text: save_bare(path, mark + text)


def lines(*values: object) -> str:
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)


QUESTIONS = [{"question": "Wer gründete 東京?", "answer": "Ida"}, {"question": "Who?", "answer": "Tom"}]
PAGES = [
    {"url": "http://a.test/1", "title": "Zürich", "text": "A city of bankers."},
    {"url": "http://a.test/2", "title": "東京", "text": "A city of temples."},
]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("q.jsonl", lines(*QUESTIONS)),
        ("q.json", json.dumps(QUESTIONS, indent=1, ensure_ascii=False)),
        ("q.csv", "question,answer\nWer gründete 東京?,Ida\nWho?,Tom\n"),
        ("q.tsv", "question\tanswer\nWer gründete 東京?\tIda\nWho?\tTom\n"),
    ],
)
def test_questions_are_read(name: str, text: str, save: Save, tmp_path: Path) -> None:
    assert [qa.question for qa in read_questions(save(tmp_path / name, text))] == ["Wer gründete 東京?", "Who?"]


def test_questions_on_stdin_are_read(save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = Path(save(tmp_path / "q", lines(*QUESTIONS))).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert [qa.answer for qa in read_questions("-")] == ["Ida", "Tom"]


def test_pages_and_trajectories_are_read(save: Save, tmp_path: Path) -> None:
    assert [page.title for page in jsonl.read_records(save(tmp_path / "p.jsonl", lines(*PAGES)), Page)] == [
        "Zürich",
        "東京",
    ]
    episode = {"qa": QUESTIONS[0], "messages": [], "ending": "no_answer"}
    (trajectory,) = read_trajectories(save(tmp_path / "t.jsonl", lines(episode)))
    assert trajectory.qa.question == QUESTIONS[0]["question"]


def test_a_corpus_is_searched_and_read(save: Save, tmp_path: Path) -> None:
    corpus = Corpus.load(save(tmp_path / "p.jsonl", lines(*PAGES)))
    assert [hit.title for hit in corpus.search_now("temples", 5)] == ["東京"]
    page = corpus.page("http://a.test/1")
    assert page and (page.title, page.text) == ("Zürich", "A city of bankers.")


def test_settings_are_read(save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "webdancer.toml", '# größe\njobs = 2\n[sample]\nmodel = "modèle"\n')
    found = settings.resolve("sample", {})
    assert (found["jobs"].value, found["model"].value) == (2, "modèle")


def test_prices_are_read(save: Save, tmp_path: Path) -> None:
    assert find_price("modèle", save(tmp_path / "prices.toml", '["modèle"]\ninput = 1\noutput = 2\n')) == Price(
        input=1, output=2
    )


def test_a_folder_of_prompts_is_the_same_set(save: Save, tmp_path: Path) -> None:
    files = {"judge.md": "Größe?\n{{question}} {{gold}} {{answer}}\n", "settings.toml": "[caps]\nsearch_results = 3\n"}
    for name, text in files.items():
        save(tmp_path / "mine" / name, text)
        saved("utf-8", "\n")(tmp_path / "plain" / name, text)
    mine, plain = prompts.load(str(tmp_path / "mine")), prompts.load(str(tmp_path / "plain"))
    assert (mine.sha256, mine.files, mine.caps) == (plain.sha256, plain.files, plain.caps)


def test_settings_in_no_known_encoding_are_not_guessed_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "webdancer.toml").write_bytes('model = "modèle"\n'.encode("latin-1"))
    with pytest.raises(UsageError, match="not valid TOML: 'utf-8' codec"):
        settings.resolve("sample", {})


def test_a_file_that_ends_inside_a_character_loses_its_last_line(tmp_path: Path) -> None:
    (tmp_path / "q").write_bytes(lines(*QUESTIONS).encode("utf-16")[:-5])
    bad: list[object] = []
    assert [qa.answer for qa in read_questions(str(tmp_path / "q"), bad.append)] == ["Ida"]
    assert len(bad) == 1


def test_nothing_is_appended_to_a_file_in_utf_16(tmp_path: Path) -> None:
    path = saved("utf-16", "\r\n")(tmp_path / "out.jsonl", lines({"id": "a"}))
    before = Path(path).read_bytes()
    with pytest.raises(UsageError, match="UTF-16"):
        jsonl.prepare_resume(path)
    assert Path(path).read_bytes() == before


def test_behind_a_mark_the_last_item_is_cut_off_at_its_start(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"id": "a"}\n{"id": "b"}\n')
    jsonl.prepare_resume(str(path), key=lambda value: str(value["id"]))
    assert path.read_bytes() == b'\xef\xbb\xbf{"id": "a"}\n'


def test_a_short_first_line_is_not_waited_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    inner, outer = os.pipe()
    goes_on = threading.Event()

    def feed() -> None:
        with os.fdopen(outer, "wb", buffering=0) as pipe:
            pipe.write(b"{}\n")
            goes_on.wait(5)

    thread = threading.Thread(target=feed)
    with os.fdopen(inner, "r") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        thread.start()
        assert next(jsonl.read_values("-")).value == {}
        assert not goes_on.is_set()
        goes_on.set()
        thread.join()


def test_memory_does_not_grow_with_a_file_in_utf_16(tmp_path: Path) -> None:
    path = saved("utf-16", "\n")(tmp_path / "q.jsonl", lines(QUESTIONS[1]) * 20_000)
    tracemalloc.start()
    count = sum(1 for _ in read_questions(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 20_000 and peak < 700_000  # the file has 1,600,000 bytes
