"""What the commands that write, harden and check questions can be told."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from webdancer_cli.options.option_checks import named_files
from webdancer_cli.options.shared_options import (
    DataOptions,
    EncryptedOptions,
    Fraction,
    JudgeOptions,
    Language,
    ModelOptions,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    RankOptions,
)


@dataclass(kw_only=True)
class WriterOptions(ModelOptions, JudgeOptions):
    """Who writes questions in ``crawlqa`` and ``e2hqa``."""

    prompts: str = "default"
    """Prompt set of the model: "default", or a folder that overrides single files of it."""
    judge_model: str | None = None
    """Model that checks what was written; if not given, the one that writes. Rules check in any case."""


@dataclass(kw_only=True)
class CrawlqaOptions(DataOptions, WriterOptions):
    """Crawl from roots and write questions from what was read."""

    roots: list[str] = field(default_factory=list)
    """URLs to start from, or files of pages, folders of HTML, WARC and WET files, here or at a URL, and lists of such
    files (``warc.paths.gz``); if none, JSON lines {"url": …} are read from ``data``."""
    base: str | None = None
    """Where the files stand that a list of paths names: a URL such as https://data.commoncrawl.org/, or a folder."""
    pages: str = "pages.jsonl"
    """Where the crawled pages go: the corpus that ``--web`` reads."""
    warc: str | None = None
    """File to keep what is fetched in: a WARC file, NAME.warc.gz; from 1 GB on NAME-00001.warc.gz and so on follow. It
    can be given as a root later. Cookies are left out."""
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
    ask: Literal["pages", "sentences", "nothing"] = "pages"
    """What a model is asked. "pages": to find in linked pages what is worth asking, and to quote it. "sentences", for
    small models (up to about 3B): to ask about one sentence that rules chose; writes single_hop only. "nothing": only
    pages are kept, no question is written, by rules neither."""
    limit: PositiveInt | None = None
    """Stop after this many questions."""

    def outputs(self) -> list[str]:
        return [*super().outputs(), *named_files(self.warc)]

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        if self.warc and not self.warc.endswith(".warc.gz"):
            yield f"--warc {self.warc}: name a file that ends in .warc.gz"
        if self.warc and self.tape:
            yield f"--warc {self.warc}: what comes from --tape is not fetched; leave one of them out"
        if self.pages in (self.out, self.rejects, self.data):
            yield f"--pages {self.pages}: already used for something else; name another file"
        if self.pages in self.roots and len(self.roots) > 1:
            yield f"--pages {self.pages}: is one of several roots, and would be overwritten; name another file"
        if self.ask == "nothing" and (self.base_url or self.closed_book or self.verify or self.mix or self.types):
            yield "--ask nothing: no question is written; leave out what is said about questions, and the model"
        if self.judge_model and not (self.closed_book or self.verify):
            yield (
                f"--judge-model {self.judge_model}: is asked nothing; say what about with --closed-book or --verify, "
                "or leave it out"
            )


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
class E2hqaOptions(DataOptions, WriterOptions, RankOptions, EncryptedOptions):
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
