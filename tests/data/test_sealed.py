"""Encrypted evaluation sets: told by looking, opened in memory, sealed in every record that is written."""

import base64
import csv
import hashlib
import io
import json
import subprocess
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import msgspec
import pytest

from webdancer_cli.data import jsonl, sealed
from webdancer_cli.data.pipeline import RecordWriter
from webdancer_cli.data.questions import read_questions
from webdancer_cli.data.records import (
    QA,
    Attempt,
    Message,
    Opinion,
    Rejected,
    Trajectory,
    Verdict,
    from_object,
    to_object,
)
from webdancer_cli.data.sealed import SealTerms
from webdancer_cli.errors import Reject, UsageError

Webdancer = Callable[..., "subprocess.CompletedProcess[str]"]

SENTENCE = "A canary of our own, which appears in no corpus"
QUESTION, ANSWER = "Who founded the Veldt Museum in Orrin in the year 1931?", "Ida Kröll"
SCHEMES = ["sha256", "plain"]


def encrypted(text: str, canary: str, scheme: str) -> str:
    """As the sets' own loaders undo it."""
    key = hashlib.sha256(canary.encode()).digest() if scheme == "sha256" else canary.encode()
    return base64.b64encode(bytes(a ^ b for a, b in zip(text.encode(), cycle(key), strict=False))).decode()


def row(scheme: str, canary: str = SENTENCE, **more: Any) -> dict[str, Any]:
    texts = {"problem": QUESTION, "answer": ANSWER, "steps": "First find the museum, then its founder."}
    return {name: encrypted(text, canary, scheme) for name, text in texts.items()} | {"canary": canary} | more


def write(folder: Path, *rows: dict[str, Any], form: str = "jsonl") -> str:
    path = folder / f"set.{form}"
    if form == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        path.write_text(text.getvalue())
    elif form == "json":
        path.write_text(json.dumps({"data": list(rows)}, indent=1))
    else:
        path.write_text("".join(json.dumps(value) + "\n" for value in rows))
    return str(path)


def opened_qa(scheme: str = "sha256") -> QA:
    seal = sealed.Seal(SENTENCE, scheme)
    return QA(question=QUESTION, answer=ANSWER, aliases=["Kröll"], extra={**seal.mark(), "topic": "Art"})


def is_clear(text: str | bytes) -> bool:
    text = text.decode() if isinstance(text, bytes) else text
    return any(word in text for word in ("Veldt", "Orrin", "Kröll", "Kr\\u00f6ll", "founde", "museum"))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("form", ["csv", "jsonl", "json"])
def test_rows_are_opened_by_their_canary(scheme: str, form: str, tmp_path: Path) -> None:
    rows = [row(scheme, f"canary {number}", problem_topic="Other", id=f"{number}") for number in range(3)]
    found = list(read_questions(write(tmp_path, *rows, form=form)))
    assert [(qa.question, qa.answer, qa.id) for qa in found] == [(QUESTION, ANSWER, str(number)) for number in range(3)]
    assert [qa.extra["canary"] for qa in found] == [f"canary {number}" for number in range(3)]
    assert found[0].extra["steps"].startswith("First find") and found[0].extra["problem_topic"] == "Other"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_was_read_is_written_as_it_came(scheme: str, tmp_path: Path) -> None:
    (qa,) = read_questions(write(tmp_path, row(scheme)))
    line = to_object(qa)
    assert not is_clear(json.dumps(line))
    assert [line[name] for name in ("question", "answer", "steps")] == list(row(scheme).values())[:3]
    (again,) = read_questions(write(tmp_path, line))
    assert again == qa


def test_a_list_of_answers_inside_the_cipher_is_one(tmp_path: Path) -> None:
    answers = encrypted('["Ida", "Kröll"]', SENTENCE, "sha256")
    (qa,) = read_questions(write(tmp_path, row("sha256", answer=answers)))
    assert (qa.answer, qa.aliases) == ("Ida", ["Kröll"])


def test_a_file_with_a_canary_in_the_clear_is_read_and_written_in_the_clear(tmp_path: Path) -> None:
    (qa,) = read_questions(write(tmp_path, {"problem": QUESTION, "answer": ANSWER, "canary": SENTENCE}))
    assert to_object(qa) == {"question": QUESTION, "answer": ANSWER, "canary": SENTENCE, "id": qa.id}


def test_a_canary_that_no_column_has_is_named(tmp_path: Path) -> None:
    bare = row("sha256")
    del bare["canary"]
    path = write(tmp_path, bare)
    with pytest.raises(UsageError, match=r"set\.jsonl:1: the questions are encrypted.*--canary"):
        list(read_questions(path, lambda _: None))
    (qa,) = read_questions(path, terms=SealTerms(canary=SENTENCE))
    assert qa.question == QUESTION and not is_clear(json.dumps(to_object(qa)))


def test_a_row_that_its_canary_does_not_open_is_refused_alone(tmp_path: Path) -> None:
    bad: list[Rejected] = []
    path = write(tmp_path, row("sha256"), row("sha256") | {"canary": "another"})
    assert len(list(read_questions(path, bad.append))) == 1
    assert [(told.reason, told.detail.partition(": ")[0]) for told in bad] == [("encrypted", f"{path}:2")]


@pytest.mark.parametrize(
    "question",
    ["Who", "What?", "Pneumonoultramicroscopicsilicovolcanoconiosis?", "a" * 41, "谁创立了博物馆" * 8, "x = 3 + 4"],
)
def test_a_question_in_the_clear_is_not_taken_for_cipher(question: str, tmp_path: Path) -> None:
    (qa,) = read_questions(write(tmp_path, {"question": question, "answer": "x", "canary": SENTENCE}))
    assert qa.question == question and "sealed" not in qa.extra


def records() -> list[msgspec.Struct]:
    qa = opened_qa()
    messages = [Message("system", "You answer."), Message("user", QUESTION), Message("assistant", f"It is {ANSWER}.")]
    verdict = Verdict(outcome="correct", method="model:m", detail=f"{ANSWER} is right")
    opinions = [Opinion(criterion="sound", good=True, reason="It names Ida")]
    trajectory = Trajectory(
        qa=qa, messages=messages, ending="answered", answer=ANSWER, verdict=verdict, opinions=opinions
    )
    attempt = Attempt(
        id="a", qa_id=qa.id, run=0, model="m", question=QUESTION, gold=ANSWER, answer=ANSWER, verdict=verdict,
        format_ok=True, ending="answered", messages=messages, extra=sealed.seal_marks(qa.extra),
    )  # fmt: skip
    return [qa, trajectory, attempt]


@pytest.mark.parametrize("record", records(), ids=lambda record: type(record).__name__)
def test_every_record_is_sealed_on_disk_and_open_in_memory(record: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "records.jsonl")
    jsonl.write_records(path, [record])
    assert not is_clear(Path(path).read_bytes())
    assert list(jsonl.read_records(path, type(record))) == [record]
    value = json.loads(Path(path).read_bytes())
    assert value.get("verdict", {}).get("outcome", "correct") == "correct"


def test_rejects_are_sealed_with_their_detail(tmp_path: Path) -> None:
    class Task(msgspec.Struct):
        qa: QA

    with RecordWriter("lint", str(tmp_path / "out"), str(tmp_path / "rejects")) as output:
        for record in (opened_qa(), Task(opened_qa()), records()[1]):
            output.reject(Reject("wrong", f"the question is {QUESTION}"), record)
    rejects = (tmp_path / "rejects").read_bytes()
    assert rejects.count(b"\n") == 3 and not is_clear(rejects)
    assert QUESTION in output.stats.last_failure


def test_revealed_questions_are_written_in_the_clear_with_their_canary(tmp_path: Path) -> None:
    path = write(tmp_path, row("sha256"))
    (qa,) = read_questions(path, terms=SealTerms(reveal=True))
    line = to_object(qa)
    assert (line["question"], line["answer"], line["canary"]) == (QUESTION, ANSWER, SENTENCE)
    sealed_line = to_object(next(read_questions(path)))
    (again,) = read_questions(write(tmp_path, sealed_line), terms=SealTerms(reveal=True))
    assert to_object(again) == line


def test_a_tape_would_record_in_the_clear(tmp_path: Path) -> None:
    path = write(tmp_path, row("sha256"))
    with pytest.raises(UsageError, match=r"--tape.*--reveal"):
        list(read_questions(path, terms=SealTerms(taped=True)))
    assert len(list(read_questions(path, terms=SealTerms(taped=True, reveal=True)))) == 1


def test_a_sealed_line_that_was_tampered_with_is_refused() -> None:
    line = to_object(opened_qa()) | {"question": "in the clear"}
    with pytest.raises(Exception, match="is not what its canary encrypts"):
        from_object(QA, line)


@pytest.mark.slow
def test_nothing_of_an_encrypted_set_is_written_in_the_clear(webdancer: Webdancer, tmp_path: Path) -> None:
    (tmp_path / "pages.jsonl").write_text('{"url": "http://a.test/", "title": "A", "text": "A page of nothing."}\n')
    write(tmp_path, row("sha256"), row("plain"))
    files = ("--data", "set.jsonl", "--rejects", "rejects")
    done = webdancer("eval", *files, "--out", "attempts")
    assert done.returncode == 0, done.stderr
    webdancer("sample", *files, "--out", "episodes")
    webdancer("filter", "--data", "episodes", "--stages", "correctness", "--out", "kept", "--rejects", "dropped",
              "--unused-qa", "unused")  # fmt: skip
    webdancer("lint", *files, "--out", "good", "--report", "report")
    written = [path for path in tmp_path.iterdir() if path.name not in ("set.jsonl", "pages.jsonl") and path.is_file()]
    assert {"attempts", "episodes", "dropped", "unused"} <= {path.name for path in written if path.stat().st_size}
    assert not [path.name for path in written if is_clear(path.read_bytes())]
    assert webdancer("eval", *files, "--out", "attempts", "--resume").returncode == 0
    webdancer("eval", *files, "--out", "clear", "--reveal")
    assert is_clear((tmp_path / "clear").read_bytes())
    done = webdancer("filter", "--data", "episodes", "--stages", "quality", "--format", "webdancer")
    assert not is_clear(done.stdout)
