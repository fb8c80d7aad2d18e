"""The data of a report: pure functions of records, gathered line by line and packed as they come."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec

from webdancer_cli import __version__
from webdancer_cli.data.records import QA, Attempt, Page, Rejected, Trajectory, WrongShape
from webdancer_cli.report import episodes, questions
from webdancer_cli.report.chunks import Chunks
from webdancer_cli.report.episodes import EpisodeEntry, Thread
from webdancer_cli.report.evaluations import EvaluationTotals, EvaluationView, Pair, pairs
from webdancer_cli.report.questions import OtherEntry, PageEntry, QuestionEntry
from webdancer_cli.report.shapes import Shape, record_of, rejected_of, shape_of
from webdancer_cli.report.training_runs import RunCurves, RunView


class Source(msgspec.Struct, kw_only=True):
    """A file of the report: how it is called, and how many lines of which kind it has."""

    name: str
    lines: dict[str, int]


@dataclass
class Report:
    """All that the page needs. Entries are short and always there; the chunks hold the rest, packed."""

    title: str
    sources: list[Source]
    episodes: list[EpisodeEntry]
    questions: list[QuestionEntry]
    pages: list[PageEntry]
    others: list[OtherEntry]
    evaluations: list[EvaluationView]
    pairs: list[Pair]
    runs: list[RunView]
    chunk_kinds: list[str]
    chunks: list[bytes] = field(repr=False)

    def index(self) -> dict[str, Any]:
        """What the page knows from the start: tables as their field names and their rows."""
        return {
            "title": self.title,
            "version": __version__,
            "sources": self.sources,
            "episodes": _table(EpisodeEntry, self.episodes),
            "questions": _table(QuestionEntry, self.questions),
            "pages": _table(PageEntry, self.pages),
            "others": _table(OtherEntry, self.others),
            "evaluations": self.evaluations,
            "pairs": self.pairs,
            "runs": self.runs,
            "chunks": self.chunk_kinds,
        }


def _table(kind: type[msgspec.Struct], rows: list[Any]) -> dict[str, Any]:
    return {"fields": kind.__struct_fields__, "rows": rows}


class ReportBuilder:
    """Takes the lines of the files one by one. ``reveal``: what is sealed is shown in the clear."""

    def __init__(self, title: str, names: list[str], *, reveal: bool = False):
        self._title = title
        self._names = names
        self._reveal = reveal
        self._counts: list[Counter[str]] = [Counter() for _ in names]
        self._chunks = Chunks()
        self._episodes: list[EpisodeEntry] = []
        self._questions: list[QuestionEntry] = []
        self._pages: list[PageEntry] = []
        self._others: list[OtherEntry] = []
        self._evaluations: dict[tuple[int, str], EvaluationTotals] = {}
        self._runs: dict[int, RunCurves] = {}

    def add(self, source: int, value: Any) -> Shape:
        """Take a decoded line of the file number ``source``; what it was. Raises WrongShape."""
        shape = shape_of(value)
        if shape == "metrics":
            self._runs.setdefault(source, RunCurves()).add(value)
        elif shape == "rejected":
            self._add_rejected(source, value)
        elif shape != "other":
            self._add_record(shape, value, source)
        self._counts[source][shape] += 1
        return shape

    def report(self) -> Report:
        """The report on all that was taken."""
        models = Counter(source for source, _ in self._evaluations)
        evaluations = [
            totals.view(self._names[source] + (f" · {model}" if models[source] > 1 else ""), source, model)
            for (source, model), totals in self._evaluations.items()
        ]
        return Report(
            title=self._title,
            sources=[
                Source(name=name, lines=dict(lines)) for name, lines in zip(self._names, self._counts, strict=True)
            ],
            episodes=self._episodes,
            questions=self._questions,
            pages=self._pages,
            others=self._others,
            evaluations=evaluations,
            pairs=pairs(evaluations),
            runs=[run.view(self._names[source], source) for source, run in sorted(self._runs.items())],
            chunk_kinds=self._chunks.kinds,
            chunks=self._chunks.finish(),
        )

    def _add_record(self, shape: Shape, value: Any, source: int, rejected: Rejected | None = None) -> None:
        record = record_of(shape, value, reveal=self._reveal)
        if isinstance(record, Trajectory):
            self._add_episode(*episodes.of_trajectory(record, source, self._chunks.text), rejected)
        elif isinstance(record, Attempt):
            entry, thread = episodes.of_attempt(record, source, self._chunks.text)
            self._add_episode(entry, thread, rejected)
            if not rejected:
                totals = self._evaluations.setdefault((source, record.model), EvaluationTotals())
                totals.add(record, entry.failure)
        elif isinstance(record, QA):
            question, origin = questions.of_question(record, source, rejected)
            question.at = self._chunks.put(origin)
            self._questions.append(question)
        elif isinstance(record, Page):
            page, text = questions.of_page(record, source, self._chunks.text)
            page.at = self._chunks.put(text)
            self._pages.append(page)

    def _add_episode(self, entry: EpisodeEntry, thread: Thread, rejected: Rejected | None) -> None:
        if rejected:
            episodes.reject(entry, thread, rejected)
        entry.at = self._chunks.put(thread)
        self._episodes.append(entry)

    def _add_rejected(self, source: int, value: dict[str, Any]) -> None:
        """As the record that it holds, with the reason; one whose record cannot be read is listed by itself."""
        rejected = rejected_of(value)
        shape = shape_of(rejected.record)
        if shape in ("trajectory", "attempt", "question"):
            try:
                self._add_record(shape, rejected.record, source, rejected)
                return
            except WrongShape:
                pass
        other = OtherEntry(source=source, stage=rejected.stage, reason=rejected.reason, detail=rejected.detail)
        self._others.append(other)
