"""What the commands beside the pipeline can be told: worlds, tapes, run cards, comparisons, reports."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from webdancer_cli.options.option_checks import Options, named_files, same_file
from webdancer_cli.options.shared_options import NonNegativeFloat, NonNegativeInt, PositiveInt, RevealOptions


@dataclass(kw_only=True)
class VerifyOptions(Options):
    """Verify a run card."""

    file: str = ""
    """The card: a file that ``eval --card`` wrote. Its files are looked for where they were, from this folder."""
    out: str = "-"
    """File for what is not as the card says, or "-" for stdout."""

    def outputs(self) -> list[str]:
        return [self.out]

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        yield from same_file(self.file, *self.outputs())


@dataclass(kw_only=True)
class CompareOptions(Options):
    """Compare two evaluations of the same questions."""

    files: list[str] = field(default_factory=list)
    """The two evaluations, as ``eval --out`` wrote them: what is compared with, then what is compared. Or their run
    cards."""
    out: str = "-"
    """File for the questions gained and lost, or "-" for stdout."""
    report: str | None = None
    """File for the comparison as JSON."""
    seed: int = 0
    """Seed of the bootstraps."""

    def outputs(self) -> list[str]:
        return [self.out, *named_files(self.report)]

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        if self.files.count("-") > 1:
            yield "compare: stdin can be one of the two files only"
        for path in self.files:  # one and the same may be compared with itself
            yield from same_file(path, *self.outputs())


@dataclass(kw_only=True)
class TapeOptions(Options):
    """Look into a tape, prune it, merge others into it."""

    file: str = ""
    """The tape: a file that ``--tape`` wrote."""
    out: str = "-"
    """File to write the list to, or "-" for stdout."""
    merge: list[str] = field(default_factory=list)
    """Tapes to copy into this one; what it has already stays."""
    drop: list[Literal["llm", "web"]] = field(default_factory=list)
    """Remove all exchanges of these kinds."""
    drop_label: list[str] = field(default_factory=list)
    """Remove the exchanges whose label (the model, or the URL) contains one of these texts."""
    drop_older_days: NonNegativeFloat | None = None
    """Remove what was recorded more than so many days ago."""


@dataclass(kw_only=True)
class WorldOptions(Options):
    """A fictional web, written as static HTML."""

    out: str = "world"
    """Folder to write."""
    pages: Annotated[int, Meta(ge=50, le=1_000_000)] = 300
    """Number of entity pages, 50 to 1,000,000."""
    seed: int = 0
    """The world's seed: same seed, same bytes."""
    style: Literal["rich", "plain", "varied"] = "rich"
    """"rich": pages that read like pages. "plain": short pages in simple sentences, for very small models. "varied":
    pages that differ in domain, wording, layout, length and linking, with questions over them."""
    names: Literal["train", "eval"] = "train"
    """"train" or "eval": two disjoint pools of names. ``nano`` was pretrained on names of the first only."""
    site_url: str = "http://127.0.0.1:8000"
    """Where the site will be served: sitemaps need absolute URLs. The pages' own links are relative."""
    questions: NonNegativeInt = 1000
    """Questions over a varied world, in questions.jsonl beside its pages.jsonl."""
    hold_out: list[str] = field(default_factory=list)
    """Axes of a varied world that keep values for evaluation: wording, layout, domain, or AXIS=VALUE. With names train,
    no page has them; with names eval, a part of the world of its own has nothing else on that axis."""
    domain: list[Literal["people", "towns", "families", "films", "species", "laws", "ships"]] = field(
        default_factory=list
    )
    """Domains of a varied world; none means all."""
    wording: list[
        Literal[
            "of", "possessive", "inverse", "pronoun", "joined", "verb", "having", "naming", "given", "record", "told"
        ]
    ] = field(default_factory=list)
    """How a varied world puts its facts; none means all."""
    layout: list[Literal["prose", "sections", "infobox", "table", "list"]] = field(default_factory=list)
    """Layouts of a varied world's pages; none means all."""
    length: list[Literal["short", "medium", "long"]] = field(default_factory=list)
    """Lengths of a varied world's pages; none means all."""
    linking: list[Literal["links", "names", "register"]] = field(default_factory=list)
    """How a varied world's pages lead on: links, names alone, or some facts on another page; none means all."""

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        axes = ("hold_out", "domain", "wording", "layout", "length", "linking")
        if self.style != "varied" and (given := next((axis for axis in axes if getattr(self, axis)), None)):
            yield f"--{given.replace('_', '-')}: is for --style varied"

    def output_folders(self) -> list[str]:
        return [self.out]


@dataclass(kw_only=True)
class ViewOptions(RevealOptions):
    """Look at what the other stages wrote."""

    files: list[str] = field(default_factory=list)
    """Files of JSON lines: questions, trajectories, attempts, rejects, pages, rollouts, metrics; "-" is stdin. A file
    is shown by its own name, or by another one: NAME=FILE."""
    out: str | None = None
    """File for a report in HTML; for a flat table if it ends in .csv or .parquet, for a log of inspect_ai if it ends in
    .eval. Without it, the records are shown here, page by page on a terminal."""
    title: str = "WebDancer report"
    """What the report is called."""
    limit: PositiveInt | None = None
    """Show the first so many lines of each file only."""

    def outputs(self) -> list[str]:
        return named_files(self.out)
