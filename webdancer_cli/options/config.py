"""What each command can be told: one dataclass per command, each field documented under itself, defaults only here.

The flags of ``cli.py`` take their defaults from these classes, so this file must stay importable in milliseconds: no
torch, no httpx. (Plain dataclasses without slots: a field's default can then be read from the class.) Options check
themselves when they are made, whoever makes them: the bounds in the annotations, and what cannot hold together
(``option_checks``). What is wrong is a UsageError that names the flag, the value and the remedy.
"""

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
Place = Annotated[
    str,
    Meta(pattern=r"^(local|part:\d{1,9}|ray(://.+)?)$", description="choose from local, part:NUMBER, ray, ray://HOST"),
]
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
class CallOptions(Options):
    """What the calls of a run may cost, all its models together, and where they are recorded."""

    dry_run: bool = False
    """Print how much there is to do and what it would take, about; ask and write nothing."""
    max_cost: PositiveFloat | None = None
    """Stop this run when its calls have cost so many US dollars; what is finished is kept, ``resume`` does the rest."""
    max_tokens: PositiveInt | None = None
    """Stop this run when its calls have taken so many tokens, in and out together; ``resume`` does the rest."""
    prices: str | None = None
    """TOML table of prices in US dollars per million tokens: ["MODEL"] with input, output, cached."""
    tape: str | None = None
    """File that records what models and the web said, so that a run can be replayed."""
    tape_mode: Literal["auto", "record", "replay"] = "auto"
    """"auto": what is on the tape comes from it, the rest is recorded. "record": everything is asked anew. "replay":
    nothing is asked, and what is missing is an error."""


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
class WriterOptions(ModelOptions, JudgeOptions):
    """Who writes questions in ``crawlqa`` and ``e2hqa``."""

    prompts: str = "default"
    """Prompt set of the model: "default", or a folder that overrides single files of it."""
    judge_model: str | None = None
    """Model that checks what was written; if not given, the one that writes. Rules check in any case."""


@dataclass(kw_only=True)
class PlayerOptions(ModelOptions, JudgeOptions):
    """Who plays in ``sample`` and ``eval``."""

    cot: Literal["auto", "short", "long"] = "auto"
    """"short": the model is shown all that it wrote. "long", for reasoning models: an action-only prompt, and earlier
    thoughts are left out of the model's input and kept in the record. "auto": long as soon as the endpoint returns
    reasoning apart from the text. Endpoints only."""
    summariser_model: str | None = None
    """Model that tells the policy what a visited page says about its goal; if not given, the page's own sentences that
    matter are shown. An endpoint's model: see ``summariser_base_url``."""
    summariser_base_url: list[str] = field(default_factory=list)
    """Endpoint of ``summariser_model``; ``base_url`` if not given."""
    repetition_penalty: PositiveFloat = 1.0
    """Sent to an endpoint if it is not 1 (paper: 1.1 for reasoning models); vLLM knows it, not every server does."""

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        yield from second_model(
            "--summariser-model", self.summariser_model, self.summariser_base_url, self.main_base_url
        )


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
    """The two evaluations, as ``eval --out`` wrote them: what is compared with, then what is compared."""
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
    style: Literal["rich", "plain"] = "rich"
    """"rich": pages that read like pages. "plain": short pages in simple sentences, for very small models."""
    names: Literal["train", "eval"] = "train"
    """"train" or "eval": two disjoint pools of names. ``nano`` was pretrained on names of the first only."""
    site_url: str = "http://127.0.0.1:8000"
    """Where the site will be served: sitemaps need absolute URLs. The pages' own links are relative."""

    def output_folders(self) -> list[str]:
        return [self.out]


@dataclass(kw_only=True)
class CrawlqaOptions(DataOptions, WriterOptions):
    """Crawl from roots and write questions from what was read."""

    roots: list[str] = field(default_factory=list)
    """URLs to start from, or files of pages, folders of HTML and WARC files; if none, JSON lines {"url": …} are read
    from ``data``."""
    pages: str = "pages.jsonl"
    """Where the crawled pages go: the corpus that ``--web`` reads."""
    max_pages: PositiveInt = 200
    """Stop crawling after this many pages were kept."""
    max_depth: NonNegativeInt = 20
    """Links followed from a root at most."""
    per_host: PositiveInt = 4
    """Requests under way to one host at a time."""
    delay_seconds: NonNegativeFloat = 0.0
    """Least time between two requests to one host; a longer Crawl-delay in robots.txt wins."""
    timeout_seconds: PositiveFloat = 20.0
    """Longest time for one request."""
    allow_private: bool = False
    """Allow loopback and private addresses (tests, intranets)."""
    contact: str | None = None
    """URL or mail address that the User-Agent names."""
    allow: list[str] = field(default_factory=list)
    """Follow only links whose URL fits one of these patterns, such as "*/docs/*"; the roots are read in any case."""
    deny: list[str] = field(default_factory=list)
    """Follow no link whose URL fits one of these patterns, such as "*/tag/*,*?print=*"."""
    sitemap: bool = False
    """Start from the addresses in the sites' sitemaps, too."""
    similarity: Fraction = 0.9
    """From this share of common runs of three words on, a page is nearly the same as an earlier one and not kept;
    1 keeps all but equal texts."""
    min_chars: NonNegativeInt = 50
    """Characters of text that a page must have to be kept."""
    lang: list[Language] = field(default_factory=list)
    """Languages of the pages to keep, as ISO 639-1 codes such as en,de; none means all. Told by letter statistics."""
    types: list[str] = field(default_factory=list)
    """Question types to write: single_hop, multi_hop, count, intersection, comparison, temporal; none means all."""
    mix: list[str] = field(default_factory=list)
    """Shares of the types, as "single_hop=2,multi_hop=1"; what would exceed its share is left out. None takes what
    comes."""
    allow_boolean: bool = False
    """Let yes/no questions pass."""
    verify: bool = False
    """Ask the judge whether the quotes alone prove the answer, and leave out what they do not prove."""
    closed_book: bool = False
    """Ask the judge each question without any page, and leave out what it answers: that needs no search."""
    per_page: PositiveInt = 3
    """Questions written from one page at most, per type."""
    ask: Literal["pages", "sentences"] = "pages"
    """What a model is asked. "pages": to find in linked pages what is worth asking, and to quote it. "sentences", for
    small models (up to about 3B): to ask about one sentence that rules chose; writes single_hop only."""
    limit: PositiveInt | None = None
    """Stop after this many questions."""

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        if self.pages in (self.out, self.rejects, self.data):
            yield f"--pages {self.pages}: already used for something else; name another file"
        if self.pages in self.roots and len(self.roots) > 1:
            yield f"--pages {self.pages}: is one of several roots, and would be overwritten; name another file"
        if self.judge_model and not (self.closed_book or self.verify):
            yield (
                f"--judge-model {self.judge_model}: is asked nothing; say what about with --closed-book or --verify, "
                "or leave it out"
            )


@dataclass(kw_only=True)
class IndexOptions(Options):
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

    def outputs(self) -> list[str]:
        return named_files(self.rejects)

    def output_folders(self) -> list[str]:
        return [] if self.to else [self.out]

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        yield from same_file(*self.pages, *self.files, *self.outputs())
        if "-" in (*self.pages, *self.files):
            yield "--pages -: the index refers to the pages where they lie; name a file"


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


@dataclass(kw_only=True)
class LintOptions(DataOptions, EncryptedOptions):
    """Check questions, whoever wrote them."""

    allow_boolean: bool = False
    """Let yes/no questions pass."""
    similarity: Fraction = 0.7
    """From this share of common word pairs on, two questions with the same names and answer are nearly the same."""
    against: list[str] = field(default_factory=list)
    """Files of evaluation questions; a question that shares ``ngram_words`` words in a row with one is refused."""
    ngram_words: PositiveInt = 10
    """Words in a row that tell that a question was copied."""
    report: str | None = None
    """File for the report as JSON."""

    def outputs(self) -> list[str]:
        return [*super().outputs(), *named_files(self.report)]

    def contradictions(self) -> Iterator[str]:
        if "-" in self.against and self.data == "-":
            yield "--against -: stdin holds the questions already; name a file"
        if self.report and self.report in (self.data, self.out, self.rejects, *self.against):
            yield f"--report {self.report}: already used for something else; name another file"
        yield from super().contradictions()


@dataclass(kw_only=True)
class E2hqaOptions(DataOptions, WriterOptions, EncryptedOptions):
    """Make questions harder: an entity gives way to a description found through search."""

    web: str = "pages.jsonl"
    """The corpus to search: a file of pages, as ``crawlqa --pages`` writes it, or what ``index`` made of many."""
    rounds: PositiveInt = 1
    """Rewrites per question at most; each adds one page to read."""
    keep_chain: bool = False
    """Write every intermediate question too."""

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        if self.web == self.out:
            yield f"--out {self.out}: that is the corpus; name another file"
        if self.judge_model and not self.base_url:
            yield (
                f"--judge-model {self.judge_model}: the built-in rewriter asks no judge; name the model that rewrites, "
                "with --model and --base-url, or leave it out"
            )


@dataclass(kw_only=True)
class EpisodeOptions(Options):
    """Limits and wording of a ReAct episode: the same in ``sample``, ``rl`` and ``eval``."""

    web: str = "pages.jsonl"
    """What search and visit work on: a file of pages, what ``index`` made of many, or "live" for the web itself."""
    search: str | None = None
    """Who searches the live web: serper, brave, tavily (keys from SERPER_API_KEY, BRAVE_API_KEY, TAVILY_API_KEY; add
    "=URL" for a gateway), searxng=URL, opensearch=URL/INDEX, or your own "module:function"."""
    reader: str = "http"
    """Who reads the pages of the live web: "http" fetches them from here, "jina" is a service (key from JINA_API_KEY),
    jina=URL a server of your own; opensearch=URL/INDEX gives the pages that ``index`` loaded there."""
    allow_private: bool = False
    """Allow visits to loopback and private addresses on the live web (tests, intranets)."""
    contact: str | None = None
    """URL or mail address that the User-Agent names on the live web."""
    prompts: str = "default"
    """Prompt set: "default", "compact" (very small models trained on it), "small" (other small models), or a folder."""
    date: Day | None = None
    """The "current date" of the system prompt, YYYY-MM-DD; today if not given."""
    max_calls: PositiveInt = 50
    """Model calls in one episode at most (paper: 50); before the last one the policy is told to answer."""
    max_context_tokens: PositiveInt = 32768
    """Tokens of one episode at most, prompt and observations included (paper: 32 K); before they are spent, the policy
    is told to answer. Counted by a checkpoint's tokenizer, else by what the endpoint reports, else estimated."""
    max_turn_tokens: PositiveInt = 2048
    """Tokens that the policy may write in one turn."""
    tool: list[str] = field(default_factory=list)
    """Tools of your own beside search and visit, as "module:function" or "file.py:function"."""
    page_tools: list[Literal["find", "start"]] = field(default_factory=list)
    """More ways to read a page. "find": a tool that finds words in it. "start": visit can be given a character, and
    shows the text from there on as it stands. None: the paper's two tools."""
    tool_seconds: PositiveFloat = 30.0
    """Longest time for one query, one page, or one call of an own tool."""
    turn_seconds: PositiveFloat = 900.0
    """Longest time for one turn of the policy."""
    episode_seconds: PositiveFloat = 1800.0
    """Longest time for one episode; in the last tenth of it the policy is told to answer with what it has."""
    search_results: PositiveInt | None = None
    """Search results shown per query; the prompt set decides if not given (default set: 10)."""
    snippet_chars: PositiveInt | None = None
    """Characters of a search snippet; the prompt set decides if not given."""
    page_chars: PositiveInt | None = None
    """Characters of evidence that a visit shows; the prompt set decides if not given."""
    search_tokens: PositiveInt | None = None
    """Tokens of one search's observation at most, cut after a result; the prompt set decides if not given."""
    visit_tokens: PositiveInt | None = None
    """Tokens of one visit's observation at most, cut after a sentence; the prompt set decides if not given."""
    tool_tokens: PositiveInt | None = None
    """Tokens of one observation of an own tool at most; the prompt set decides if not given."""

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        if self.search and self.web != LIVE:
            yield f"--search {self.search}: searches the live web; add --web live"


@dataclass(kw_only=True)
class SampleOptions(DataOptions, PlayerOptions, EpisodeOptions, EncryptedOptions):
    """Play ReAct episodes over questions."""

    n: PositiveInt = 1
    """Rollouts per question (paper: up to 5)."""
    until_correct: bool = False
    """Stop a question at its first correct rollout (rejection sampling), by rule or by ``judge_model``."""
    skip_solved: str | None = None
    """File of trajectories: questions that have a correct one in it are skipped."""
    timings: bool = False
    """Keep the wall-clock seconds of every model and tool call in the record. Replays are then not the same bytes."""

    def also_named(self) -> list[str | None]:
        return [*super().also_named(), self.skip_solved]


@dataclass(kw_only=True)
class FilterOptions(DataOptions, JudgeOptions, CallOptions, RevealOptions):
    """Keep the good trajectories."""

    stages: Annotated[list[FunnelStage], Meta(min_length=1)] = field(
        default_factory=lambda: ["validity", "correctness", "quality"]
    )
    """Stages of the funnel, in order; "model" asks the judge's model about what the rules let through."""
    judge_base_url: list[str] = field(default_factory=list)
    """Endpoint of ``judge_model``; several are used side by side. The key comes from OPENAI_API_KEY."""
    prompts: str = "default"
    """Prompt set of the judge: "default", or a folder that overrides single files of it."""
    tool: list[str] = field(default_factory=list)
    """Tools of your own that the trajectories may call, as "module:function" or "file.py:function"; without them, the
    tools that the first user message declares are known."""
    format: Literal["record", "webdancer"] = "record"
    """"record": this toolkit's lines. "webdancer": the authors' ChatML lines."""
    unused_qa: str | None = None
    """File for the questions without a kept trajectory: the RL set, by the paper."""
    min_actions: NonNegativeInt = 1
    """Tool calls a trajectory must have at least."""
    max_actions: PositiveInt | None = None
    """Tool calls a trajectory may have at most."""
    max_ngram_repeats: NonNegativeInt = 4
    """How often one 10-gram of the policy's own words may occur (released data: 4); 0 allows any number."""
    min_thought_words: NonNegativeInt = 0
    """Words that every thought must have at least."""
    max_thought_words: PositiveInt | None = None
    """Words that a thought may have at most."""
    min_support: Fraction = 0.0
    """Share of the answer's words that must stand in one observation; 0 asks for none."""
    per_question: PositiveInt | None = None
    """Keep at most this many trajectories of one question: the shortest first, then those that differ most from it."""
    dedup: bool = False
    """Of trajectories of one question with the same calls and the same answer, keep the first."""

    def outputs(self) -> list[str]:
        return [*super().outputs(), *named_files(self.unused_qa)]

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        budget = "--max-cost" if self.max_cost else "--max-tokens" if self.max_tokens else ""
        if self.judge_model and self.per_question and budget and not self.tape:
            yield (
                f"--per-question {self.per_question} with {budget}: nothing is written before all is judged; "
                "give --tape FILE, from which --resume takes what was paid for"
            )
        if self.max_actions is not None and self.max_actions < self.min_actions:
            least = f"--min-actions {self.min_actions}"
            yield f"--max-actions {self.max_actions}: is less than {least}; nothing would be kept"
        if self.max_thought_words is not None and self.max_thought_words < self.min_thought_words:
            yield (
                f"--max-thought-words {self.max_thought_words}: is less than --min-thought-words "
                f"{self.min_thought_words}; nothing would be kept"
            )


@dataclass(kw_only=True)
class TrainingOptions(Options):
    """What ``sft`` and ``rl`` share."""

    data: str = "-"
    """File of JSON lines, or "-" for stdin (rank 0 reads, and broadcasts)."""
    out: str = "checkpoint"
    """Folder for the Hugging Face checkpoint and ``metrics.jsonl``."""
    model: str = NANO
    """"nano", a checkpoint folder, or a hub name."""
    lr: PositiveFloat | None = None
    """Peak learning rate; by default 1e-5, and 2e-4 with LoRA."""
    weight_decay: NonNegativeFloat = 0.0
    """AdamW weight decay, on matrices only."""
    max_grad_norm: PositiveFloat = 1.0
    """Clip the global gradient norm to this."""
    lora_rank: NonNegativeInt = 0
    """Rank of LoRA adapters on all linear layers; 0 trains all weights."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Weights and arithmetic: "float32", "bfloat16", or "auto" (float32 on the CPU for small models and
    for processors without bfloat16 instructions, else bfloat16)."""
    checkpointing: Literal["auto", "none", "light", "selective", "full"] = "auto"
    """Activations that are computed again in the backward pass: "none", "full" (each layer keeps its input alone),
    "selective" (and what attention gave), "light" (and what all matrix products gave), "auto" (light from 50 million
    parameters on, full from half a billion on)."""
    replicas: PositiveInt = 1
    """Groups of ranks that hold all weights between them, e.g. one for each node (HSDP); 1 shards over all ranks."""
    cpu_offload: bool = False
    """Keep weights, gradients and optimiser in the CPU's memory; a GPU sees a layer at a time."""
    micro_tokens: PositiveInt = 16384
    """Tokens that go through the model at once; only memory and speed depend on it."""
    layout: Literal["auto", "tree", "packed", "padded"] = "auto"
    """How rows go through the model: "packed" without padding; as a "tree" in which a prefix that rows share is
    computed once; or "padded". "auto" is "tree" where the model gives the same numbers for it, else "padded"."""
    max_length: PositiveInt | None = None
    """Longest sequence in tokens; a longer trajectory is left out and counted. By default, what the model has."""
    save_every: NonNegativeInt = 0
    """Also save a checkpoint every so many steps, as ``out/step-N``, from which ``resume`` goes on; 0 saves at the end
    only."""
    keep: PositiveInt = 2
    """Checkpoints from which ``resume`` can go on, the last ones; older ones are left with their weights alone."""
    resume: bool = False
    """Go on exactly from the last checkpoint in ``out``, on any number of ranks; without one, from the start."""
    async_save: bool = False
    """Write the state that ``resume`` needs while the training goes on, from a copy of it in memory."""
    track: Literal["none", "wandb", "tensorboard", "trackio"] = "none"
    """Also send the numbers of ``metrics.jsonl`` to a tracker; tensorboard's files go into ``out``."""
    seed: int = 0
    """Seed of the data order and of everything sampled."""
    limit: PositiveInt | None = None
    """Use the first so many records only."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lr is None:
            self.lr = self.default_lr

    def output_folders(self) -> list[str]:
        return [self.out]

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        yield from same_file(self.data, self.out, self.tape if isinstance(self, CallOptions) else None)

    @property
    def default_lr(self) -> float:
        return 2e-4 if self.lora_rank else 1e-5

    @property
    def peak_lr(self) -> float:
        """``lr``, which is never None once the options are made."""
        return self.default_lr if self.lr is None else self.lr


@dataclass(kw_only=True)
class SftOptions(TrainingOptions):
    """Supervised fine-tuning on kept trajectories (paper, equation 2)."""

    epochs: PositiveFloat = 3.0
    """Passes over the data; ignored when ``steps`` is given."""
    steps: PositiveInt | None = None
    """Optimizer steps."""
    batch_size: PositiveInt = 16
    """Trajectories per optimizer step, over all ranks."""
    warmup: Fraction = 0.05
    """Share of the steps in which the learning rate rises linearly; it then falls by a cosine to a tenth."""
    train_on: Literal["all", "last", "answers"] = "all"
    """What bears loss: "all" turns of the policy, its "last" one, or its "answers" alone (their tags, and the end of
    that turn)."""
    overlong: Literal["drop", "truncate"] = "drop"
    """What becomes of a trajectory longer than ``max_length``: "drop" leaves it out, "truncate" cuts it after the last
    turn of the policy that fits. Both are counted."""
    show_masks: NonNegativeInt = 0
    """Show so many examples on stderr, what bears loss in them marked, and train nothing."""
    eval_data: str | None = None
    """File of trajectories that are not trained on: their loss goes into ``metrics.jsonl`` as ``held_out_loss``."""
    eval_every: NonNegativeInt = 0
    """Find the loss of ``eval_data`` every so many steps; 0 finds it at the end only."""
    keep_best: bool = False
    """The result is the checkpoint with the lowest held-out loss, not the last one; wants ``eval_data``."""
    dry_run: bool = False
    """Print how much memory each rank would need, about; read no data and write nothing."""

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        if self.keep_best and self.eval_data is None:
            yield "--keep-best: which trajectories tell the best? Name them by --eval-data"


@dataclass(kw_only=True)
class RlOptions(TrainingOptions, EpisodeOptions, JudgeOptions, CallOptions, EncryptedOptions):
    """DAPO on questions (paper, section 3.4; DAPO, arXiv 2503.14476)."""

    lr: PositiveFloat | None = None
    """Constant learning rate after ``warmup_steps``; by default 1e-6 (DAPO), and 2e-5 with LoRA."""
    warmup_steps: NonNegativeInt = 0
    """Steps of linear warm-up."""
    steps: PositiveInt = 100
    """Optimizer steps (one batch of questions each)."""
    questions: PositiveInt = 16
    """Questions with a learnable group per step, over all ranks."""
    group: Annotated[int, Meta(ge=2, description="give at least 2: a group compares its rollouts")] = 16
    """Rollouts per question (paper: 16)."""
    max_rounds: PositiveInt = 4
    """Dynamic sampling: rounds of fresh questions per step at most, until ``questions`` groups have both outcomes."""
    minibatches: PositiveInt = 1
    """Optimizer updates per batch of rollouts; with 1 the first ratio is exactly 1."""
    temperature: PositiveFloat = 1.0
    """Sampling temperature of the rollouts (paper: 1.0; top_p is 1.0, anything else would falsify the ratios)."""
    clip_low: PositiveFloat = 0.2
    """DAPO's epsilon_low."""
    clip_high: PositiveFloat = 0.28
    """DAPO's epsilon_high."""
    overlong_tokens: NonNegativeInt = 0
    """Length of the soft punishment zone before ``max_context_tokens`` (DAPO's L_cache); 0 switches it off."""
    minutes: PositiveFloat | None = None
    """Stop after this much time, with a checkpoint."""

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        if self.overlong_tokens >= self.max_context_tokens:
            yield (
                f"--overlong-tokens {self.overlong_tokens}: must be less than --max-context-tokens "
                f"({self.max_context_tokens})"
            )

    @property
    def default_lr(self) -> float:
        return 2e-5 if self.lora_rank else 1e-6


@dataclass(kw_only=True)
class EvalOptions(DataOptions, PlayerOptions, EpisodeOptions, EncryptedOptions):
    """Play and grade: pass@1 and pass@k with intervals."""

    temperature: NonNegativeFloat = 0.0
    """0 is greedy: then one run says all."""
    runs: PositiveInt = 1
    """Runs per question."""
    agent: Literal["react", "rag", "none"] = "react"
    """"react": the whole agent. Baselines of one call: "none" answers from memory (closed book), "rag" from the pages
    that one search for the question lists."""
    grade_only: bool = False
    """Play nothing: ``data`` holds predictions, from ``eval``, ``sample`` or another harness, and they are graded."""
    gold: str | None = None
    """With ``grade_only``: file of the questions with their gold answers, found by id or by the question; those that
    no prediction answers are wrong. Without it, the predictions name their gold answers."""
    benchmark: str | None = None
    """The evaluation set that ``data`` is, e.g. gaia or browsecomp; if not given, its columns tell. It decides which
    questions can be played and with which prompt they are judged."""
    ids: str | None = None
    """File with one id a line: only these questions (an id of the set's own, such as a task_id, or ours)."""
    also_judge: list[str] = field(default_factory=list)
    """Further models that judge what ``judge_model`` is asked about, each as MODEL or MODEL=URL, at the judge's
    endpoint if no URL is given. Their agreement is told; the score is the first judge's."""
    leak_guard: bool = False
    """Keep pages from the policy that give the question away: where data sets are published, with a set's canary, or
    with the question itself. They are counted."""
    judge_check: bool = True
    """Ask each judge first about a right and a wrong answer to a question of our own, and refuse one that cannot tell
    them apart."""
    by: list[str] = field(default_factory=list)
    """Columns of the questions to break scores down by; by default language, topic and the like, where they are
    there. Level and type always are."""
    report: str | None = None
    """File for the scores as JSON."""
    card: str | None = None
    """File for the run card: what the scores were made with, and digests by which ``verify`` finds what was changed.
    Needs ``out``."""
    timings: bool = False
    """Keep the wall-clock seconds of every model and tool call in the record. Replays are then not the same bytes."""
    jobs: PositiveInt = 64
    """Episodes at once."""

    def outputs(self) -> list[str]:
        return [*super().outputs(), *named_files(self.report, self.card)]

    def also_named(self) -> list[str | None]:
        return [*super().also_named(), self.gold, self.ids]

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        if self.gold and not self.grade_only:
            yield f"--gold {self.gold}: has the gold answers of predictions; add --grade-only"
        if self.card and self.out == "-":
            yield f"--card {self.card}: needs --out FILE: the attempts are what it is verified by"


@dataclass(kw_only=True)
class ViewOptions(RevealOptions):
    """Look at what the other stages wrote."""

    files: list[str] = field(default_factory=list)
    """Files of JSON lines: questions, trajectories, attempts, rejects, pages, rollouts, metrics; "-" is stdin. A file
    is shown by its own name, or by another one: NAME=FILE."""
    out: str | None = None
    """File for a report in HTML. Without it, the records are shown here, page by page on a terminal."""
    title: str = "WebDancer report"
    """What the report is called."""
    limit: PositiveInt | None = None
    """Show the first so many lines of each file only."""

    def outputs(self) -> list[str]:
        return named_files(self.out)
