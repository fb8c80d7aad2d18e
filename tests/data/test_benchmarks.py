"""Evaluation sets in their published form, made here and encrypted as they are: read right, or refused in one line."""

import base64
import csv
import hashlib
import importlib
import io
import json
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from webdancer_cli.data.benchmarks import BENCHMARKS, Loader, is_set_answer, told_by
from webdancer_cli.data.questions import read_questions
from webdancer_cli.data.records import QA, Rejected, to_object
from webdancer_cli.data.sealed import SealTerms
from webdancer_cli.data.table_questions import table_rules
from webdancer_cli.errors import Reject, UsageError
from webdancer_cli.grading.groups import groups_of

CANARY = "A canary of our own, which appears in no corpus at all"
ASKED = ["Who founded the Veldt Museum?", "Which town has the oldest bridge of Orrin?", "谁创立了博物馆?"]
ANSWERS = ["Ida Kröll", "Velmora", "伊达"]

Row = dict[str, Any]


def ciphered(value: Any, key: bytes) -> Any:
    if isinstance(value, str):
        data = bytes(a ^ b for a, b in zip(value.encode(), cycle(key), strict=False))
        return base64.b64encode(data).decode()
    if isinstance(value, list):
        return [ciphered(part, key) for part in value]
    if isinstance(value, dict):
        return {name: ciphered(part, key) for name, part in value.items()}
    return value


def hashed(canary: str) -> bytes:
    return hashlib.sha256(canary.encode()).digest()


def delimited(rows: list[Row], delimiter: str = ",", encoding: str = "utf-8") -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode(encoding)


def lines(rows: list[Row]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def excel(rows: list[Row]) -> bytes:
    book = pytest.importorskip("openpyxl").Workbook()
    book.active.append(list(rows[0]))
    for row in rows:
        book.active.append(list(row.values()))
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def parquet(rows: list[Row]) -> bytes:
    pytest.importorskip("pyarrow")
    arrow, file = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    content = io.BytesIO()
    file.write_table(arrow.Table.from_pylist(rows), content)
    return content.getvalue()


def pairs() -> list[tuple[str, str]]:
    return list(zip(ASKED, ANSWERS, strict=True))


def browsecomp() -> bytes:
    key = hashed(CANARY)
    rows = [{"problem": ciphered(q, key), "answer": ciphered(a, key), "problem_topic": "Art"} for q, a in pairs()]
    return delimited([row | {"canary": CANARY} for row in rows])


def browsecomp_zh() -> bytes:
    rows = []
    for number, (question, answer) in enumerate(pairs()):
        canary = f"{CANARY} {number}"
        plain = {"Topic": "A topic that is secret, too", "Question": question, "Answer": answer}
        rows.append(ciphered(plain, hashed(canary)) | {"canary": canary})
    return excel(rows)


def browsecomp_plus() -> bytes:
    rows = []
    for number, (question, answer) in enumerate(pairs()):
        page = {"docid": "7", "url": f"http://127.0.0.1/{number}", "text": "The museum was founded by Ida."}
        plain = {"query": question, "answer": answer, "gold_docs": [page], "evidence_docs": [page], "negative_docs": []}
        rows.append({"query_id": str(number)} | ciphered(plain, hashed(CANARY)))
    return parquet(rows)


def xbench() -> bytes:
    rows = []
    for number, (question, answer) in enumerate(pairs()):
        plain = {"prompt": question, "answer": answer, "reference_steps": "First the museum, then its founder."}
        rows.append({"id": number} | ciphered(plain, CANARY.encode()) | {"canary": CANARY})
    return delimited(rows, encoding="utf-8-sig")


def hle() -> bytes:
    more = {"answer_type": "exactMatch", "rationale": "So.", "raw_subject": "Art", "category": "Humanities"}
    rows = [{"id": f"h{n}", "question": q, "image": "", "answer": a, **more} for n, (q, a) in enumerate(pairs())]
    return parquet(
        [*rows, rows[0] | {"id": "h9", "question": "What does it show?", "image": "data:image/png;base64,AA"}]
    )


def gaia() -> bytes:
    rows = [
        {
            "task_id": f"t{n}",
            "Question": q,
            "Level": 1 + n,
            "Final answer": a,
            "file_name": "",
            "Annotator Metadata": {},
        }
        for n, (q, a) in enumerate(pairs())
    ]
    return lines([*rows, rows[0] | {"task_id": "t9", "Question": "What is in the file?", "file_name": "a.xlsx"}])


def webwalker() -> bytes:
    info = {"type": "multi_source", "difficulty_level": "hard", "lang": "en", "domain": "game"}
    rows = [{"question": q, "answer": a, "root_url": "http://127.0.0.1/", "info": info} for q, a in pairs()]
    return json.dumps(rows, ensure_ascii=False, indent=1).encode()


def frames() -> bytes:
    links = {f"wikipedia_link_{number}": "" for number in range(1, 11)} | {"wikipedia_link_11+": ""}
    more = {"reasoning_types": "Numerical reasoning | Tabular", "wiki_links": "['http://127.0.0.1/a']"}
    return delimited([{"": n, "Prompt": q, "Answer": a} | links | more for n, (q, a) in enumerate(pairs())], "\t")


def simpleqa() -> bytes:
    about = "{'topic': 'Art', 'answer_type': 'Person', 'urls': ['http://127.0.0.1/a']}"
    return delimited([{"metadata": about, "problem": q, "answer": a} for q, a in pairs()])


def simpleqa_verified() -> bytes:
    more = {"topic": "Art", "answer_type": "Person", "multi_step": "False", "requires_reasoning": "False", "urls": "u"}
    return delimited([{"original_index": n, "problem": q, "answer": a, **more} for n, (q, a) in enumerate(pairs())])


def webshaper() -> bytes:
    more = {"formalization": [["X", "founded", "Y"]], "urls": ["http://127.0.0.1/a"]}
    return lines([{"id": f"w{n}", "question": q, "answer": a, **more} for n, (q, a) in enumerate(pairs())])


def deepsearchqa() -> bytes:
    more = {"problem_category": "Art", "answer_type": "Set Answer"}
    return delimited([{"problem": q, "answer": a, **more} for q, a in pairs()])


def hotpotqa() -> bytes:
    more = {"type": "bridge", "level": "hard", "supporting_facts": [["A", 0]], "context": [["A", ["It."]]]}
    return json.dumps(
        [{"_id": f"x{n}", "question": q, "answer": a, **more} for n, (q, a) in enumerate(pairs())]
    ).encode()


class Case(NamedTuple):
    name: str
    file: str
    made: Callable[[], bytes]
    groups: dict[str, str]
    left_out: int = 0
    told: bool = True


CASES = [
    Case("browsecomp", "b.csv", browsecomp, {"topic": "Art"}),
    Case("browsecomp-zh", "z.xlsx", browsecomp_zh, {}),  # its topic is encrypted, and names no group
    Case("browsecomp-plus", "p.parquet", browsecomp_plus, {}),
    Case("xbench-deepsearch", "x.csv", xbench, {}),
    Case("hle", "h.parquet", hle, {"category": "Humanities", "answer_type": "exactMatch"}, left_out=1),
    Case("gaia", "metadata.jsonl", gaia, {"level": "1"}, left_out=1),
    Case("webwalkerqa", "w.json", webwalker,
         {"level": "hard", "type": "multi_source", "language": "en", "domain": "game"}),
    Case("frames", "f.tsv", frames, {"reasoning": "Numerical reasoning | Tabular"}),
    Case("simpleqa", "s.csv", simpleqa, {"topic": "Art", "answer_type": "Person"}),
    Case("simpleqa-verified", "v.csv", simpleqa_verified, {"topic": "Art", "answer_type": "Person"}),
    Case("webshaperqa", "ws.jsonl", webshaper, {}),
    Case("deepsearchqa", "d.csv", deepsearchqa, {"topic": "Art", "answer_type": "Set Answer"}),
    Case("hotpotqa", "hp.json", hotpotqa, {"level": "hard"}),
    Case("seal", "seal.jsonl", lambda: lines([{"question": q, "answer": a} for q, a in pairs()]), {}, told=False),
]  # fmt: skip
each = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
TERMS = SealTerms(canary=None)


def terms_of(case: Case) -> SealTerms:
    return SealTerms(canary=CANARY if case.name == "browsecomp-plus" else None)


def load(path: Path, case: Case, name: str | None = None) -> tuple[list[QA], list[str], Loader]:
    loader, left_out = Loader(name), list[str]()
    read = read_questions(str(path), terms=terms_of(case))
    found = list(loader.questions(read, lambda reject, qa, id: left_out.append(reject.reason)))
    return found, left_out, loader


@each
def test_the_published_form_is_read_and_the_set_is_told(case: Case, tmp_path: Path) -> None:
    path = tmp_path / case.file
    path.write_bytes(case.made())
    found, left_out, loader = load(path, case)
    assert [(qa.question, qa.answer) for qa in found] == pairs()
    assert left_out == ["not_text_only"] * case.left_out
    assert loader.benchmark == (BENCHMARKS[case.name] if case.told else None)
    assert groups_of(found[0]) == case.groups
    named, _, _ = load(path, case, case.name)
    assert named == found


@pytest.mark.parametrize("case", [case for case in CASES if case.name.startswith(("browsecomp", "xbench"))],
                         ids=lambda case: case.name)  # fmt: skip
def test_nothing_that_was_encrypted_is_written_in_the_clear(case: Case, tmp_path: Path) -> None:
    path = tmp_path / case.file
    path.write_bytes(case.made())
    for qa in load(path, case)[0]:
        written = json.dumps(to_object(qa), ensure_ascii=False)
        assert "canary" in written
        assert not [
            word for word in ("Veldt", "Orrin", "Kröll", "博物馆", "founder", "secret", "founded") if word in written
        ]


def told_of(path: Path, terms: SealTerms) -> list[str]:
    """What a user is told of a file, a line for each; the questions that could be read count for nothing."""
    bad: list[Rejected] = []
    try:
        list(read_questions(str(path), bad.append, terms))
    except UsageError as error:
        return [str(error)]
    return [rejected.detail for rejected in bad]


@each
def test_a_file_that_was_cut_is_told_in_one_line(case: Case, tmp_path: Path) -> None:
    path = tmp_path / case.file
    content = case.made()
    path.write_bytes(content[: len(content) * 2 // 3 - 7])
    (line,) = told_of(path, terms_of(case))
    assert line.startswith(str(path)) and "\n" not in line


@pytest.mark.parametrize("case", [case for case in CASES if case.file.endswith((".csv", ".tsv", ".jsonl", ".json"))],
                         ids=lambda case: case.name)  # fmt: skip
def test_a_file_in_utf_16_is_read_and_one_in_another_encoding_is_told(case: Case, tmp_path: Path) -> None:
    path, text = tmp_path / case.file, case.made().decode("utf-8-sig")
    path.write_bytes(text.encode("utf-16"))
    assert [qa.question for qa in read_questions(str(path), terms=terms_of(case))][:3] == ASKED
    if "\u00f6" not in text:
        return  # it is ASCII in any encoding
    path.write_bytes(text.encode("gb18030"))
    told = told_of(path, terms_of(case))
    assert told and all(line.startswith(str(path)) and "\n" not in line for line in told)


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
@pytest.mark.parametrize("case", [case for case in CASES if case.file.endswith((".csv", ".tsv"))],
                         ids=lambda case: case.name)  # fmt: skip
def test_a_table_is_read_whichever_way_its_lines_end(case: Case, end: str, tmp_path: Path) -> None:
    path, text = tmp_path / case.file, case.made().decode("utf-8-sig")
    path.write_bytes(text.replace("\r\n", end).encode())
    assert [qa.question for qa in read_questions(str(path), terms=terms_of(case))] == ASKED


@pytest.mark.parametrize("case", [case for case in CASES if case.name.startswith(("browsecomp", "xbench"))],
                         ids=lambda case: case.name)  # fmt: skip
def test_a_wrong_canary_is_told_in_one_line(case: Case, tmp_path: Path) -> None:
    path = tmp_path / case.file
    path.write_bytes(case.made())
    (line,) = told_of(path, SealTerms(canary="another"))
    assert "encrypted" in line and "--canary" in line and "\n" not in line


def test_gold_pages_become_evidence_and_stay_secret(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    path.write_bytes(browsecomp_plus())
    found, _, _ = load(path, CASES[2])
    assert [part.url for part in found[1].evidence] == ["http://127.0.0.1/1"]
    assert "127.0.0.1" not in json.dumps(to_object(found[1]))


def test_answers_that_were_kept_back_are_refused() -> None:
    hidden = QA(question="Who?", answer="?", extra={"task_id": "t", "Level": 1, "file_name": ""})
    with pytest.raises(UsageError, match="test split"):
        list(Loader().questions([hidden]))


# ---- WideSearch: gold tables in a folder beside the file -------------------------------------------------------------

RULES = {
    "required": ["town", "people"],
    "unique_columns": ["town"],
    "eval_pipeline": {"people": {"preprocess": ["extract_number"], "metric": ["number_near"], "criterion": 0.1}},
}
TABLE = b'Town,People,Remark\r\nVelmora,"1,000",x\r\n"Kemlo | Orrin",250,y\r\n'


def widesearch(folder: Path, rules: Any = RULES, table: bytes = TABLE, kind: str = "jsonl") -> Path:
    """The set as it is published: the rules are JSON in a text."""
    rows = [
        {"instance_id": f"ws_{at}", "query": question, "evaluation": json.dumps(rules), "language": language}
        for at, (question, language) in enumerate(zip(ASKED, ["en", "en", "zh"], strict=True))
    ]
    (folder / "widesearch_gold").mkdir()
    for row in rows:
        (folder / "widesearch_gold" / f"{row['instance_id']}.csv").write_bytes(table)
    path = folder / f"widesearch.{kind}"
    path.write_bytes({"jsonl": lines, "csv": delimited, "parquet": parquet}[kind](rows))
    return path


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16"])
def test_gold_tables_beside_the_file_are_the_answers(kind: str, codec: str, tmp_path: Path) -> None:
    path = widesearch(tmp_path, table=TABLE.decode().encode(codec), kind=kind)
    found, left_out, loader = load(path, CASES[0], "widesearch")
    assert [qa.question for qa in found] == ASKED and not left_out and loader.benchmark == told_by(found[0])
    assert found[0].answer == "| Town | People |\n| --- | --- |\n| Velmora | 1,000 |\n| Kemlo \\| Orrin | 250 |"
    assert [groups_of(qa)["language"] for qa in found] == ["en", "en", "zh"]
    rules = table_rules(found[0])
    assert rules and rules.of("people").tolerance == 0.1


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"table": TABLE[:-20]}, "row 3 has not the 3 cells of its header"),
        ({"table": b"Town,Remark\nVelmora,x\n"}, "lacks the columns people"),
        ({"table": "Town,People\nKröll,1\n".encode("latin-1")}, "its gold table cannot be read"),
        ({"table": b""}, "lacks the columns people, town"),
        ({"rules": {**RULES, "unique_columns": ["site"]}}, "required lacks site"),
        ({"rules": {**RULES, "unique_columns": []}}, "unique_columns is empty"),
        ({"rules": {**RULES, "eval_pipeline": {"people": {"metric": ["about"]}}}}, "names about, which is none of"),
        ({"rules": {"required": "town"}}, "evaluation: "),
    ],
)
def test_a_gold_table_or_a_rule_that_is_broken_is_told_in_a_line_for_each_question(
    broken: dict[str, Any], said: str, tmp_path: Path
) -> None:
    path = widesearch(tmp_path, **broken)
    told = told_of(path, TERMS)
    assert len(told) == 3 and all(line.startswith(str(path)) and said in line and "\n" not in line for line in told)


def test_gold_tables_that_are_not_there_are_told_in_one_line(tmp_path: Path) -> None:
    path = widesearch(tmp_path)
    (tmp_path / "widesearch_gold" / "ws_1.csv").unlink()
    (line,) = told_of(path, TERMS)
    assert "ws_1.csv" in line and "\n" not in line
    (tmp_path / "widesearch_gold").rename(tmp_path / "elsewhere")
    (line,) = told_of(path, TERMS)
    assert "widesearch_gold" in line and "\n" not in line


def test_the_file_of_another_set_is_refused_and_so_is_an_unknown_name() -> None:
    with pytest.raises(UsageError, match="--benchmark gaia: the file lacks its columns level, task_id"):
        list(Loader("gaia").questions([QA(question="Who?", answer="X")]))
    with pytest.raises(UsageError, match="choose from gaia"):
        Loader("giai")


def test_questions_can_be_chosen_by_id(tmp_path: Path) -> None:
    (tmp_path / "metadata.jsonl").write_bytes(gaia())
    (tmp_path / "ids").write_text("t2\n\nt0\n")
    read = read_questions(str(tmp_path / "metadata.jsonl"))
    found = list(Loader(None, str(tmp_path / "ids")).questions(read))
    assert [qa.extra["task_id"] for qa in found] == ["t0", "t2"]
    with pytest.raises(UsageError, match="--ids"):
        Loader(None, str(tmp_path / "none"))


def test_an_ordinary_question_is_of_no_set() -> None:
    assert told_by(QA(question="Who?", answer="X", extra={"topic": "Art", "mine": 1})) is None
    assert is_set_answer(QA(question="Which?", answer="a, b", extra={"answer_type": "Set Answer"}))
    assert not is_set_answer(QA(question="Who?", answer="a, b", extra={"answer_type": "Person"}))


def test_what_cannot_be_played_is_a_decision_and_no_failure() -> None:
    picture = QA(question="What?", answer="X", extra={"image": "data:", "answer_type": "x", "raw_subject": "y"})
    told: list[Reject] = []
    assert list(Loader().questions([picture], lambda reject, qa, id: told.append(reject))) == []
    assert [reject.failed for reject in told] == [False]
