"""What the commands for inputs beyond one machine can be told: an index on disk, parts, a stage over parts."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from webdancer_cli.options.option_checks import Options, named_files, option, same_file
from webdancer_cli.options.shared_options import BudgetOptions, Fraction, PositiveInt

Place = Annotated[
    str,
    Meta(pattern=r"^(local|part:\d{1,9}|ray(://.+)?)$", description="choose from local, part:NUMBER, ray, ray://HOST"),
]


@dataclass(kw_only=True)
class IndexOptions(BudgetOptions):
    """Make an index on disk over files of pages."""

    pages: list[str] = field(default_factory=list)
    """Files of pages, as ``crawlqa --pages`` writes them; also compressed, in gzip or zstd."""
    files: list[str] = field(default_factory=list)
    """More files of pages, so that a pattern of the shell may follow --pages."""
    out: str = "web.index"
    """Folder of the index. One that is there already is gone on with: what is new in the files is added."""
    to: str | None = None
    """Load the pages into OpenSearch or Elasticsearch instead: the URL of an index, as http://127.0.0.1:9200/pages."""
    rejects: str | None = None
    """File to add the lines to that are no pages, each with a reason code."""
    embed: list[str] = field(default_factory=list)
    """Also give every passage a vector, by the model at this OpenAI-compatible endpoint, e.g. http://127.0.0.1:8000/v1;
    several are used side by side. The key comes from OPENAI_API_KEY."""
    embed_model: str | None = None
    """Name of the embedding model. An index keeps to it."""
    embed_query_prefix: str = ""
    """What the model needs before a query, such as "query: " for E5. An index keeps to it."""
    embed_passage_prefix: str = ""
    """What the model needs before a passage, such as "passage: " for E5. An index keeps to it."""
    embed_batch: PositiveInt = 32
    """Passages in one call at most."""
    jobs: PositiveInt = 8
    """Calls to the endpoint at once."""

    def outputs(self) -> list[str]:
        return named_files(self.rejects)

    def output_folders(self) -> list[str]:
        return [] if self.to else [self.out]

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        yield from same_file(*self.pages, *self.files, *self.outputs())
        if "-" in (*self.pages, *self.files):
            yield "--pages -: the index refers to the pages where they lie; name a file"
        if self.embed and not self.embed_model:
            yield f"--embed {self.embed[0]}: which of its models? Name it with --embed-model"
        about = ("embed_model", "embed_query_prefix", "embed_passage_prefix")
        if (given := next((name for name in about if getattr(self, name)), "")) and not self.embed:
            yield f"{option(given)} {getattr(self, given)}: at which endpoint? Name it with --embed URL"
        if self.embed and self.to:
            yield f"--to {self.to}: a search engine makes vectors of its own; leave out --embed"


@dataclass(kw_only=True)
class SplitOptions(Options):
    """Split a file of records into parts."""

    data: str = "-"
    """File of JSON lines to read, or "-" for stdin."""
    by: Literal["id", "host", "question", "wording", "answer", "place"] = "id"
    """What stands in one part together. "id": nothing but a record. "question": all trajectories of a question.
    "host": all pages and roots of a site. "wording": questions in the same words. "answer": questions with the same
    answer, so near-duplicates, too. "place": lines that follow one another; needs a file."""
    parts: PositiveInt = 8
    """Number of parts."""
    similarity: Fraction | None = None
    """Leave out pages whose text was there before: from this share of common runs of three words on, as in
    ``crawlqa``; 1 leaves out equal texts only."""
    out: str = "parts"
    """Folder for the parts; new or empty."""

    def output_folders(self) -> list[str]:
        return [self.out]

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        if self.by == "place" and self.data == "-":
            yield "--by place: needs the size of the whole; name a file with --data"


@dataclass(kw_only=True)
class MapOptions(Options):
    """Run a stage over every part of a folder."""

    command: list[str] = field(default_factory=list)
    """The stage with its options, after "--". "{part}" in them is the name of the part, "{input}" the path of its
    input, which goes to --data if it is not named."""
    source: str = "parts"
    """Folder of the parts: each file is one."""
    out: str = "done"
    """Folder for the outputs, one file for each part. Rejects, manifests and logs stand in .map inside."""
    on: Place = "local"
    """Where. "local": all parts, here. "part:K": the part K alone, counted from 0, for array jobs of a scheduler.
    "ray": on the Ray cluster that RAY_ADDRESS names, or else one that is started here; "ray://HOST:PORT": on that."""
    resume: bool = False
    """Go on with what is in ``out``: parts that are done stay."""
    jobs: PositiveInt = 2
    """Parts worked on at once; they share the --jobs and the budgets of the stage."""

    @property
    def part(self) -> int | None:
        """The one part that is asked for."""
        return int(self.on.removeprefix("part:")) if self.on.startswith("part:") else None

    def output_folders(self) -> list[str]:
        """A part alone locks itself: others work beside it."""
        return [self.out] if self.part is None else []
