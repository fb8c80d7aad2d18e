"""One reader for all files of questions: whatever a table or a line holds is read, and what is wrong has its place."""

import csv
import io
import json
import os
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.data.jsonl import write_records
from webdancer_cli.data.questions import as_question, read_questions
from webdancer_cli.data.records import QA, Evidence, Rejected, Trajectory, WrongShape, from_object, to_object
from webdancer_cli.errors import UsageError

SIMPLEQA = """\
metadata,problem,answer
"{'topic': 'Science and technology', 'answer_type': 'Person', 'urls': ['https://a.example/1', 'https://b.example']}",\
Who received the medal in 2010?,Ada Kemlo
"{'topic': 'Other', 'answer_type': 'Number'}","How many bridges
does ""Velmora"", the town, have?",3
"""


def read(folder: Path, text: str | bytes, name: str = "questions", **more: Any) -> list[QA]:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(read_questions(str(folder / name), **more))


def test_simpleqas_table_is_read(tmp_path: Path) -> None:
    first, second = read(tmp_path, SIMPLEQA)
    assert (first.question, first.answer) == ("Who received the medal in 2010?", "Ada Kemlo")
    assert first.extra["metadata"] == {
        "topic": "Science and technology",
        "answer_type": "Person",
        "urls": ["https://a.example/1", "https://b.example"],
    }
    assert (second.question, second.answer) == ('How many bridges\ndoes "Velmora", the town, have?', "3")


@pytest.mark.parametrize(
    ("line", "answer", "extra"),
    [
        ({"question": "Who?", "answer": "Kemlo", "tag": "e2hqa"}, "Kemlo", {}),  # the authors'
        ({"problem": "Who?", "answer": "K", "metadata": "{'topic': 'Art'}"}, "K", {"metadata": {"topic": "Art"}}),
        ({"problem": "Who?", "answer": "Kemlo", "metadata": "no dictionary"}, "Kemlo", {"metadata": "no dictionary"}),
        ({"task_id": "c6", "Question": "Who?", "Level": 1, "Final answer": "17"}, "17", {"task_id": "c6", "Level": 1}),
        ({"Question": "Who?", "answer": "K", "info": {"hop": 2}}, "K", {"info": {"hop": 2}}),
        ({"question": "Who?", "answer": 3}, "3", {}),
        ({"question": "Who?", "Answer": "a", "answer": "b"}, "b", {"Answer": "a"}),  # the exact name goes first
        ({"Prompt": "x", "question": "Who?", "final_answer": "b"}, "b", {"Prompt": "x"}),
    ],
)  # fmt: skip
def test_a_question_is_found_by_the_names_that_evaluation_sets_use(
    line: dict[str, Any], answer: str, extra: dict[str, Any], tmp_path: Path
) -> None:
    (qa,) = read(tmp_path, json.dumps(line))
    assert (qa.question, qa.answer, qa.extra) == ("Who?", answer, extra)


@pytest.mark.parametrize("answers", [["Eiffel", "Gustave Eiffel"], [["Eiffel", "Gustave Eiffel"]]])
def test_of_several_answers_the_others_join_the_aliases_that_are_there(answers: object) -> None:
    qa = as_question({"question": "Who?", "golden_answers": answers, "aliases": ["G. Eiffel"]})
    assert (qa.answer, qa.aliases) == ("Eiffel", ["Gustave Eiffel", "G. Eiffel"])


@pytest.mark.parametrize("answers", [["Eiffel", "Gustave Eiffel"], [["Eiffel", "Gustave Eiffel"]]])
def test_of_several_answers_the_others_are_aliases(answers: object) -> None:
    qa = as_question({"question": "Who?", "golden_answers": answers})
    assert (qa.answer, qa.aliases) == ("Eiffel", ["Gustave Eiffel"])


def test_our_own_lines_are_read_as_they_are(tmp_path: Path) -> None:
    evidence = [Evidence(url="http://127.0.0.1/a", quote="Kemlo is a town.")]
    ours = QA(
        question="Who?", answer="Kemlo", aliases=["K"], evidence=evidence, level=2, extra={"problem": 1, "mine": []}
    )
    write_records(str(tmp_path / "qa.jsonl"), [ours])
    assert [to_object(qa) for qa in read_questions(str(tmp_path / "qa.jsonl"))] == [to_object(ours)]


def test_numbers_and_lists_in_a_table_are_written_as_json(tmp_path: Path) -> None:
    (qa,) = read(tmp_path, 'id,question,answer,level,aliases,chain\n7,Who?,Kemlo,2,"[""K""]",\n')
    assert (qa.id, qa.level, qa.aliases, qa.chain, qa.extra) == ("7", 2, ["K"], [], {})


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff", "\n\n"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_tables_of_several_dialects(delimiter: str, mark: str, end: str, tmp_path: Path) -> None:
    lines = ["Problem" + delimiter + "Final_Answer", "Who?" + delimiter + "Kemlo", "", "What?" + delimiter + "Tarsk"]
    found = read(tmp_path, mark + end.join(lines))
    assert [(qa.question, qa.answer) for qa in found] == [("Who?", "Kemlo"), ("What?", "Tarsk")]


TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r"))
FILLED = TEXT.filter(str.strip)
ASKED = TEXT.map(lambda text: f"Who{text}")


@given(st.lists(st.tuples(TEXT, ASKED, FILLED), min_size=1, max_size=5), st.sampled_from([",", ";", "\t"]))
def test_what_a_csv_writer_wrote_reads_back(rows: list[tuple[str, str, str]], delimiter: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerows([("note", "problem", "answer"), *rows])
    with piped(text.getvalue().encode()):
        found = [(qa.extra["note"], qa.question, qa.answer) for qa in read_questions("-")]
    assert found == rows


@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_whatsoever_raise_anything_but_a_word_to_the_user(junk: bytes, table: bool) -> None:
    bad: list[Rejected] = []
    with piped((b"question,answer\n" if table else b"") + junk):
        try:
            for qa in read_questions("-", bad.append):
                assert qa.question.strip()
        except UsageError as error:
            assert "stdin:" in str(error)
    assert all(told.detail.startswith("stdin:") for told in bad)


class piped:
    """Standard input holds these bytes."""

    def __init__(self, content: bytes):
        self._content = content

    def __enter__(self) -> None:
        self._before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(self._content))

    def __exit__(self, *_: object) -> None:
        sys.stdin = self._before


def test_each_bad_row_is_told_by_file_and_line_and_the_others_are_read(tmp_path: Path) -> None:
    text = (
        b"question,answer\n"
        b'"a\nb?",1\n'  # lines 2 and 3
        b",2\n"  # 4
        b"c?\n"  # 5
        b"d?,3,4\n"  # 6
        b'"e"?,5\n'  # 7
        b"\xff?,6\n"  # 8
        b"\n"
        b"f?,7,,\n"  # a spreadsheet's empty cells
    )
    bad: list[Rejected] = []
    found = read(tmp_path, text, "x.csv", on_bad=bad.append)
    assert [qa.question for qa in found] == ["a\nb?", '"e"?', "f?"]
    place = str(tmp_path / "x.csv")
    assert [(told.reason, told.detail.split(": ")[0], told.detail.split(": ")[1]) for told in bad] == [
        ("wrong_shape", f"{place}:4", "has no question"),
        ("wrong_shape", f"{place}:5", "has 1 cells, but the header names 2"),
        ("wrong_shape", f"{place}:6", "has 3 cells, but the header names 2"),
        ("broken_line", f"{place}:8", "not a row in UTF-8"),
    ]


def test_each_bad_line_is_told_by_file_and_line(tmp_path: Path) -> None:
    lines = [
        '{"question": "a?", "answer": "1"}',
        "{",
        '{"question": 3, "answer": "1"}',
        '{"problem": " "}',
        "[1]",
        '{"problem": "b?"}',
    ]
    bad: list[Rejected] = []
    assert len(read(tmp_path, "\n".join(lines), on_bad=bad.append)) == 1
    place = str(tmp_path / "questions")
    assert [(told.reason, told.detail.removeprefix(place)[:18]) for told in bad] == [
        ("broken_line", ":2: not valid JSON"),
        ("wrong_shape", ":3: Expected `str`"),
        ("wrong_shape", ":4: has no questio"),
        ("wrong_shape", ":5: expected a JSO"),
        ("wrong_shape", ":6: has no answer:"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.csv", "id,text\n1,a\n", r"x\.csv:1: the header names no question: expected one of question, problem"),
        ("x.csv", "question,answer\na?,1\n,2\n", r"x\.csv:3: has no question"),
        ("x.jsonl", '{"messages": []}\n', r"x\.jsonl:1: this is a trajectory .*, but the stage takes a question"),
        ("x.jsonl", '{"text": "a"}\n', r"x\.jsonl:1: this is a page"),
        ("x.jsonl", "torn\n", r"x\.jsonl:1: not valid JSON"),
        ("x.csv", 'question,answer\n"a?\n', r"x\.csv:2: has 1 cells, but the header names 2"),
    ],
)
def test_without_anyone_to_tell_the_first_bad_line_ends_the_reading(
    name: str, text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        read(tmp_path, text, name)


def test_a_page_text_beside_a_question_is_a_column_like_any_other(tmp_path: Path) -> None:
    (qa,) = read(tmp_path, '{"problem": "a?", "answer": "1", "text": "t", "messages": []}')
    assert qa.extra == {"text": "t", "messages": []}


def test_where_no_answers_are_needed_a_question_is_enough(tmp_path: Path) -> None:
    assert [(qa.question, qa.answer) for qa in read(tmp_path, "question\na?\n", answered=False)] == [("a?", "")]
    with pytest.raises(WrongShape, match="has no answer"):
        as_question({"question": "a?"})


def test_an_empty_file_holds_no_question(tmp_path: Path) -> None:
    assert read(tmp_path, "") == read(tmp_path, "\n\n") == read(tmp_path, "question,answer\n") == []


def test_a_header_that_comes_in_pieces_is_known_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    from threading import Thread

    inner, outer = os.pipe()

    def feed() -> None:
        with os.fdopen(outer, "wb", buffering=0) as pipe:
            for piece in (b"ques", b"tion,ans", b"wer\n", b"a?,1\nb?", b",2\n"):
                pipe.write(piece)

    thread = Thread(target=feed)
    with os.fdopen(inner, "r") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        thread.start()
        assert [qa.answer for qa in read_questions("-")] == ["1", "2"]
    thread.join()


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl"])
def test_memory_does_not_grow_with_the_file(name: str, tmp_path: Path) -> None:
    row = "Who built it?,Kemlo\n" if name == "x.csv" else '{"problem": "Who built it?", "answer": "Kemlo"}\n'
    (tmp_path / name).write_text(("problem,answer\n" if name == "x.csv" else "") + row * 20_000)
    tracemalloc.start()
    count = sum(1 for _ in read_questions(str(tmp_path / name)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 20_000 and peak < 400_000  # the file itself has 400,000 bytes and more


GOLD_FORMS = [
    ({"golden_answers": "['Ida Kroll', 'Kroll']"}, ["Ida Kroll", "Kroll"]),
    ({"answer": '["Ida Kroll", "Kroll"]'}, ["Ida Kroll", "Kroll"]),
    ({"answers": "['Ida Kroll' 'Kroll']"}, ["Ida Kroll", "Kroll"]),  # as numpy writes it
    ({"answers": "array(['Ida Kroll', 'Kroll'], dtype=object)"}, ["Ida Kroll", "Kroll"]),
    ({"answers": "('Ida Kroll', 'Kroll')"}, ["Ida Kroll", "Kroll"]),
    ({"answers": "[1931, 1932]"}, ["1931", "1932"]),
    ({"answer": {"value": "Ida Kroll", "aliases": ["Kroll"], "type": "Entity"}}, ["Ida Kroll", "Kroll"]),
    ({"answers": {"text": ["Ida Kroll", "Kroll"], "answer_start": [3, 5]}}, ["Ida Kroll", "Kroll"]),
    ({"answers": [{"text": "Ida Kroll", "answer_start": 3}, {"text": "Kroll"}]}, ["Ida Kroll", "Kroll"]),
    ({"answer": "{'value': 'x'}"}, ["{'value': 'x'}"]),
    ({"answer": "Ida Kroll", "answer_aliases": ["I. Kroll"], "aliases": ["Kroll"]}, ["Ida Kroll", "I. Kroll", "Kroll"]),
    ({"answer": "Ida Kroll", "answer_aliases": "['Kroll']"}, ["Ida Kroll", "Kroll"]),
    ({"answer": "Ida Kroll", "aliases": "Kroll"}, ["Ida Kroll", "Kroll"]),
    ({"answer": "Ida Kroll", "answers": ["Ida Kroll", "Kroll"]}, ["Ida Kroll", "Kroll"]),
    ({"obj": "x", "possible_answers": '["Ida Kroll", "Kroll"]'}, ["Ida Kroll", "Kroll"]),
    ({"answer": "", "golden_answers": ["Ida Kroll"]}, ["Ida Kroll"]),
    ({"answer": "Ida Kroll", "aliases": None}, ["Ida Kroll"]),
    ({"answer": 1931.5}, ["1931.5"]),
    ({"answer": "[0, 1]"}, ["[0, 1]"]),
    ({"answer": "[1, 2)"}, ["[1, 2)"]),
    ({"answer": "[sic]"}, ["[sic]"]),
    ({"answer": "['Til Tuesday]"}, ["['Til Tuesday]"]),
    ({"answer": '["Weird Al" Yankovic]'}, ['["Weird Al" Yankovic]']),
    ({"answer": "(Sittin' On) The Dock of the Bay"}, ["(Sittin' On) The Dock of the Bay"]),
    ({"answer": "('Til I Hear It from You', 'x')"}, ["('Til I Hear It from You', 'x')"]),
    ({"answer": "A, B"}, ["A, B"]),
    ({"answer": "A|B"}, ["A|B"]),
]


@pytest.mark.parametrize(("columns", "golds"), GOLD_FORMS)
def test_golds_are_read_in_every_form_in_which_sets_are_published(
    columns: dict[str, Any], golds: list[str], tmp_path: Path
) -> None:
    (qa,) = read(tmp_path, json.dumps({"question": "Who?", **columns}))
    assert [qa.answer, *qa.aliases] == golds


def test_an_answer_that_is_an_object_without_a_text_is_wrong() -> None:
    with pytest.raises(WrongShape, match="an answer that is an object"):
        as_question({"question": "Who?", "answer": {"month": "May"}})


@pytest.mark.parametrize(
    "own",
    [
        {"level": "hard"},
        {"type": 3},
        {"evidence": [["Orrin", 0]]},
        {"evidence": "p. 3"},
        {"usage": "often", "chain": {"a": 1}, "tag": ["x"], "author": None},
        {"level": "hard", "aliases": ["K"], "type": "bridge"},
    ],
)
def test_a_column_that_shares_a_name_of_ours_is_kept_all_the_way(own: dict[str, Any], tmp_path: Path) -> None:
    (qa,) = read(tmp_path, json.dumps({"question": "Who?", "answer": "Ida", **own}))
    written = to_object(qa)
    assert own.items() <= written.items()
    assert to_object(next(read_questions(str(lines_in(tmp_path, written))))) == written
    episode = to_object(Trajectory(qa=qa, messages=[], ending="no_answer"))
    assert from_object(Trajectory, json.loads(json.dumps(episode))).qa == qa


def lines_in(folder: Path, *values: object) -> Path:
    path = folder / "again.jsonl"
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path


@pytest.mark.parametrize("id", [7, 7.5, ["a"], {"b": 1}, "x"])
def test_an_id_is_a_text(id: object) -> None:
    qa = as_question({"question": "Who?", "answer": "Ida", "id": id})
    assert qa.id == (id if isinstance(id, str) else json.dumps(id)) and to_object(qa)["id"] == qa.id


ROWS = [{"question": "Who?", "answer": "Ida"}, {"question": "What?", "answer": ["Ale", "Beer"], "n": 1}]


@pytest.mark.parametrize(
    "document",
    [
        ROWS,
        {"data": ROWS},
        {"version": "1", "questions": ROWS},
        {"meta": {"n": 2}, "split": {"test": ROWS}},
        {"data": [{"title": "t", "paragraphs": [{"context": "c", "qas": ROWS[:1]}, {"qas": ROWS[1:]}]}]},
        {"1": ROWS[0], "2": ROWS[1]},
        {"examples": {"1": ROWS[0], "2": ROWS[1]}},
        {"question": ["Who?", "What?"], "answer": ["Ida", ["Ale", "Beer"]]},
        {"question": {"0": "Who?", "1": "What?"}, "answer": {"0": "Ida", "1": ["Ale", "Beer"]}},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_whole_documents_are_read(document: object, indent: int | None, tmp_path: Path) -> None:
    found = read(tmp_path, "\n" + json.dumps(document, indent=indent))
    assert [(qa.question, qa.answer, qa.aliases) for qa in found] == [("Who?", "Ida", []), ("What?", "Ale", ["Beer"])]


def test_objects_over_several_lines_one_after_the_other_are_read(tmp_path: Path) -> None:
    assert [qa.answer for qa in read(tmp_path, "\n".join(json.dumps(row, indent=2) for row in ROWS))] == ["Ida", "Ale"]


def test_a_document_without_a_question_is_told_of_once(tmp_path: Path) -> None:
    bad: list[Rejected] = []
    assert read(tmp_path, json.dumps({"rows": [{"a": 1}], "n": 3}, indent=2), on_bad=bad.append) == []
    assert [told.reason for told in bad] == ["wrong_shape"]


def test_one_question_over_several_lines_is_read(tmp_path: Path) -> None:
    assert [qa.answer for qa in read(tmp_path, json.dumps(ROWS[0], indent=2))] == ["Ida"]


def test_items_of_a_document_that_are_no_questions_are_told_by_number(tmp_path: Path) -> None:
    bad: list[Rejected] = []
    assert len(read(tmp_path, json.dumps([ROWS[0], 3, {"question": "x?"}]), on_bad=bad.append)) == 1
    place = str(tmp_path / "questions")
    assert [told.detail.partition(" has")[0].partition(": expected")[0] for told in bad] == [
        f"{place}: item 2",
        f"{place}: item 3:",
    ]


def test_a_torn_document_is_told_in_one_line(tmp_path: Path) -> None:
    text = "[\n" + json.dumps(ROWS[0]) + ",\n" + json.dumps(ROWS[1])[:-5]
    with pytest.raises(UsageError, match="questions: not a whole JSON document"):
        read(tmp_path, text)


@pytest.mark.parametrize("question", ["", " ", "?", "N/A", "nan", "null", "question", "Question", None])
def test_a_row_without_a_question_is_none(question: str | None) -> None:
    with pytest.raises(WrongShape, match="has no question"):
        as_question({"question": question, "answer": "Ida"})


@pytest.mark.parametrize(("content", "module"), [(b"PK\x03\x04rest", "openpyxl"), (b"PAR1rest", "pyarrow")])
def test_a_file_that_needs_a_library_names_the_extra(
    content: bytes, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=rf"needs {module}: pip install 'webdancer\[benchmarks\]', or save .* as CSV"):
        read(tmp_path, content, "set")
