"""What a page says, before it is HTML: runs of text, some of them links, in sentences, sections and tables."""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TextRun:
    """A piece of text; ``target`` is the path of the page it links to, from the root of the site."""

    text: str
    target: str | None = None


@dataclass(frozen=True)
class Sentence:
    runs: tuple[TextRun, ...]

    @property
    def text(self) -> str:
        return "".join(run.text for run in self.runs)

    @property
    def links(self) -> list[tuple[str, str]]:
        """(anchor text, slug of the page behind it): its path without folders and ``.html``."""
        return [(run.text, slug(run.target)) for run in self.runs if run.target is not None]


@dataclass(frozen=True)
class Section:
    """A heading (None: the lead), paragraphs of sentences, and a list whose items are sentences without a full stop."""

    heading: str | None
    paragraphs: list[list[Sentence]] = field(default_factory=list)
    items: list[Sentence] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.paragraphs or self.items)


@dataclass(frozen=True)
class Article:
    """A page of the site. ``table`` holds (label, value) rows; without ``heading`` the text alone is the page."""

    title: str
    path: str
    sections: list[Section]
    table: list[tuple[str, Sentence]] = field(default_factory=list)
    heading: bool = True


def slug(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".html")


def sentence(*runs: str | TextRun) -> Sentence:
    return Sentence(tuple(TextRun(run) if isinstance(run, str) else run for run in runs))


def paragraph_text(sentences: Iterable[Sentence]) -> str:
    """A paragraph, as a main text extraction shows it."""
    return " ".join(sentence.text for sentence in sentences)
