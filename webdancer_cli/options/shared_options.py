"""What options of several commands have in common: bounds, special names, files, models, judges, encrypted sets."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from webdancer_cli.options.option_checks import Options, named_files, same_file, second_model, unnamed_model

PositiveInt = Annotated[int, Meta(ge=1)]
NonNegativeInt = Annotated[int, Meta(ge=0)]
PositiveFloat = Annotated[float, Meta(gt=0)]
NonNegativeFloat = Annotated[float, Meta(ge=0)]
Day = Annotated[
    str,
    Meta(pattern=r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$", description="give a date as YYYY-MM-DD"),
]
Language = Annotated[str, Meta(pattern="^[a-z]{2,3}$", description="give codes such as en,de")]
Fraction = Annotated[float, Meta(ge=0, le=1)]
FunnelStage = Literal["validity", "correctness", "quality", "model"]

LIVE = "live"
"""What ``web`` names when it is no file."""

BUILTIN = "builtin"
"""The model name that means the toolkit's own rule-based author, rewriter and demonstrator."""

NANO = "nano"
"""The model name that means the small pretrained base in the package."""


@dataclass(kw_only=True)
class DataOptions(Options):
    """What every stage that reads and writes JSON lines can be told."""

    data: str = "-"
    """File of JSON lines to read, or "-" for stdin."""
    out: str = "-"
    """File to write, or "-" for stdout."""
    rejects: str | None = None
    """File for the records that did not make it, each with a reason code."""
    summary: str | None = None
    """File for the summary of the run as JSON: counts, reasons, why it stopped."""
    resume: bool = False
    """Keep what an earlier run left in ``out`` and do only the rest."""
    limit: PositiveInt | None = None
    """Stop after this many input records."""
    shard: str | None = None
    """Do one part of the input only, as "2/8": the second of eight. The parts are disjoint and together the whole."""
    jobs: PositiveInt = 8
    """Items worked on at once."""
    seed: int = 0
    """Seed of everything that is drawn at random."""

    def outputs(self) -> list[str]:
        return [self.out, *named_files(self.rejects, self.summary)]

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        yield from same_file(self.data, *self.outputs(), *self.also_named())

    def also_named(self) -> list[str | None]:
        """The other files that a user may take for one of those by mistake."""
        return [self.tape] if isinstance(self, CallOptions) else []


@dataclass(kw_only=True)
class BudgetOptions(Options):
    """What the calls of a run may cost, all its models together."""

    max_cost: PositiveFloat | None = None
    """Stop this run when its calls have cost so many US dollars; what is finished is kept, ``resume`` does the rest."""
    max_tokens: PositiveInt | None = None
    """Stop this run when its calls have taken so many tokens, in and out together; ``resume`` does the rest."""
    prices: str | None = None
    """TOML table of prices in US dollars per million tokens: ["MODEL"] with input, output, cached."""


@dataclass(kw_only=True)
class CallOptions(BudgetOptions):
    """Also where the calls of a run are recorded, and whether any are made."""

    dry_run: bool = False
    """Print how much there is to do and what it would take, about; ask and write nothing."""
    tape: str | None = None
    """File that records what models and the web said, so that a run can be replayed."""
    tape_mode: Literal["auto", "record", "replay"] = "auto"
    """"auto": what is on the tape comes from it, the rest is recorded. "record": everything is asked anew. "replay":
    nothing is asked, and what is missing is an error."""


@dataclass(kw_only=True)
class RankOptions(Options):
    """How the pages of an index are ranked."""

    rank: Literal["auto", "bm25", "dense", "hybrid"] = "auto"
    """How an index is searched: "bm25" by words, "dense" by vectors, "hybrid" by both, fused by reciprocal rank.
    "auto": hybrid where the index has vectors, else bm25."""
    embed: list[str] = field(default_factory=list)
    """Endpoint of the model that made the vectors of ``web``, e.g. http://127.0.0.1:8000/v1; several are used side by
    side. The key comes from OPENAI_API_KEY."""

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        if self.embed and self.rank == "bm25":
            yield f"--embed {self.embed[0]}: --rank bm25 searches by words alone; leave one of them out"


@dataclass(kw_only=True)
class ModelOptions(CallOptions):
    """Which model answers, and where."""

    model: str = BUILTIN
    """"builtin", "nano", a checkpoint folder, or (with ``base_url``) the model name of an endpoint."""
    base_url: list[str] = field(default_factory=list)
    """OpenAI-compatible endpoint, e.g. http://127.0.0.1:8000/v1; several are used side by side. The key comes from
    OPENAI_API_KEY."""
    temperature: NonNegativeFloat = 0.6
    """Sampling temperature; 0 is greedy."""
    top_p: Fraction = 0.95
    """Nucleus mass for sampling; 1 switches it off."""

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        yield from unnamed_model("--model", None if self.model == BUILTIN else self.model, self.base_url)


@dataclass(kw_only=True)
class JudgeOptions(Options):
    """Who judges."""

    judge_model: str | None = None
    """Model that judges answers; if not given, rules do. An endpoint's model: see ``judge_base_url``."""
    judge_base_url: list[str] = field(default_factory=list)
    """Endpoint of ``judge_model``; ``base_url`` if not given."""

    @property
    def main_base_url(self) -> list[str]:
        """The endpoint of the main model: the judge's, too, if it has none of its own."""
        return self.base_url if isinstance(self, ModelOptions) else []

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        yield from second_model("--judge-model", self.judge_model, self.judge_base_url, self.main_base_url)


@dataclass(kw_only=True)
class RevealOptions(Options):
    """What records may say of encrypted evaluation sets."""

    reveal: bool = False
    """Write what was encrypted in the clear; without it, records hold questions and episodes of such a set encrypted
    as the set was."""


@dataclass(kw_only=True)
class EncryptedOptions(RevealOptions):
    """How encrypted evaluation sets are opened. They are known by their look, and opened in memory."""

    canary: str | None = None
    """Canary that opens an encrypted set which has none in a column of its own."""
