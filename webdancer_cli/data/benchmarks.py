"""Evaluation sets by name, or told by the columns that their published files have.

A set says which of its questions can be played (those of text alone), which pages are gold, and with which of the
judge's prompts an answer is graded. The questions themselves are read as any others are (``questions``).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from webdancer_cli.data.records import QA, Evidence
from webdancer_cli.data.table_questions import INSTANCE, RULES
from webdancer_cli.errors import Reject, UsageError
from webdancer_cli.text.encoding import decode_file

JUDGE, JUDGE_WITH_CONFIDENCE, JUDGE_CHINESE, JUDGE_SET = (
    "judge.md", "judge_confidence.md", "judge_chinese.md", "judge_set.md",
)  # fmt: skip
JUDGE_TABLE_CELLS, JUDGE_TABLE_NAMES = "judge_table_cells.md", "judge_table_names.md"
"""Prompts of the judge."""
NAME = "benchmark"
"""The field of an attempt that names its set."""


@dataclass(frozen=True)
class Benchmark:
    """A set, told by the ``columns`` that its questions have beside question and answer; without any, by name alone.

    ``files`` names a column that holds a picture or a file: a question with one cannot be played with text alone.
    ``gold_pages`` names the column of the pages that prove the answer, ``kept_back`` says what stands for an answer in
    a split whose answers are not published.
    """

    name: str
    columns: frozenset[str] = frozenset()
    judge: str = JUDGE
    files: str = ""
    gold_pages: str = ""
    kept_back: str = ""

    def prepared(self, qa: QA) -> QA:
        """The question with its gold pages. Raises Reject for one that text alone cannot answer, and UsageError for one
        whose answer was kept back."""
        if self.kept_back and qa.answer.strip() == self.kept_back:
            raise UsageError(
                f"{self.name}: the answers of this file are kept back (the test split): take the validation split"
            )
        if self.files and not _is_blank(qa.extra.get(self.files)):
            raise Reject("not_text_only", f"{self.name}: the question comes with a file or a picture", failed=False)
        if not self.gold_pages or qa.evidence:
            return qa
        return msgspec.structs.replace(qa, evidence=_pages(qa.extra.get(self.gold_pages)))


def _is_blank(value: object) -> bool:
    return value is None or not str(value).strip()


def _pages(value: Any) -> list[Evidence]:
    """Documents as BrowseComp-Plus lists them; their texts stay behind, what counts is the page."""
    documents = value if isinstance(value, list) else []
    urls = (document.get("url") for document in documents if isinstance(document, Mapping))
    return [Evidence(url=url, quote="") for url in urls if isinstance(url, str) and url]


def _set(name: str, *columns: str, **more: str) -> tuple[str, Benchmark]:
    return name, Benchmark(name, frozenset(columns), **more)


BENCHMARKS: dict[str, Benchmark] = dict(
    [
        _set("gaia", "task_id", "level", files="file_name", kept_back="?"),
        _set("webwalkerqa", "root_url", "info"),
        _set("browsecomp-zh", "topic", "canary", judge=JUDGE_WITH_CONFIDENCE),
        _set("browsecomp", "problem_topic", "canary", judge=JUDGE_WITH_CONFIDENCE),
        _set("browsecomp-plus", "query_id", "gold_docs", judge=JUDGE_WITH_CONFIDENCE, gold_pages="gold_docs"),
        _set("xbench-deepsearch", "reference_steps", "canary", judge=JUDGE_CHINESE),
        _set("simpleqa-verified", "original_index", "multi_step", "requires_reasoning"),
        _set("hle", "image", "answer_type", "raw_subject", judge=JUDGE_WITH_CONFIDENCE, files="image"),
        _set("frames", "reasoning_types", "wiki_links"),
        _set("webshaperqa", "formalization", "urls"),
        _set("deepsearchqa", "problem_category", "answer_type"),
        _set("hotpotqa", "supporting_facts", "context"),
        _set("simpleqa", "metadata"),
        _set("seal"),
        _set("widesearch", INSTANCE, RULES),
    ]
)
"""By name; where the columns of several fit, the first is meant."""


def benchmark_named(name: str | None) -> Benchmark | None:
    """Raises UsageError for a name that is none."""
    if name and name not in BENCHMARKS:
        raise UsageError(f"--benchmark {name}: choose from {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name] if name else None


def told_by(qa: QA) -> Benchmark | None:
    """The set that a question's columns tell, if they do, or that an attempt at it remembers."""
    if (name := qa.extra.get(NAME)) in BENCHMARKS:
        return BENCHMARKS[str(name)]
    columns = {name.casefold() for name in qa.extra}
    return next((found for found in BENCHMARKS.values() if found.columns and found.columns <= columns), None)


def is_set_answer(qa: QA) -> bool:
    """Whether the answer lists several things, all of which are asked for (DeepSearchQA)."""
    return str(qa.extra.get("answer_type", "")).strip().casefold() in ("set answer", "set")


class Loader:
    """Chooses and prepares the questions of one file, of a set that is named or that the first question tells.

    ``ids`` names a file with one id a line. Raises UsageError for a name or a file that is none.
    """

    def __init__(self, name: str | None = None, ids: str | None = None):
        self.benchmark = benchmark_named(name)
        self._is_named = self.benchmark is not None
        self._wanted = _ids_in(ids) if ids else None

    def questions(
        self, questions: Iterable[QA], reject: Callable[[Reject, QA, str], None] = lambda reject, qa, id: None
    ) -> Iterator[QA]:
        """Hands on what can be played, and tells ``reject`` of the rest. Raises UsageError for a file of another set
        than the one that is named, and for one whose answers were kept back."""
        first = True
        for qa in questions:
            if first:
                self._tell(qa)
            first = False
            if self._wanted is not None and not self._wanted & {qa.id, *_own_ids(qa)}:
                continue
            try:
                yield self.benchmark.prepared(qa) if self.benchmark else qa
            except Reject as decision:
                reject(decision, qa, qa.id)

    def _tell(self, first: QA) -> None:
        if not self._is_named:
            self.benchmark = told_by(first)
        elif self.benchmark and (lacking := self.benchmark.columns - {name.casefold() for name in first.extra}):
            missing = ", ".join(sorted(lacking))
            raise UsageError(f"--benchmark {self.benchmark.name}: the file lacks its columns {missing}")


def _ids_in(path: str) -> frozenset[str]:
    try:
        text = decode_file(Path(path).read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--ids {path}: {error}: name a file with one id a line") from None
    return frozenset(filter(None, map(str.strip, text.splitlines())))


def _own_ids(qa: QA) -> Iterator[str]:
    """The ids that the set itself gives its questions."""
    return (
        str(qa.extra[name]) for name in ("task_id", "query_id", "instance_id", "original_index") if name in qa.extra
    )
