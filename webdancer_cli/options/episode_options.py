"""What the commands that play, keep and grade episodes can be told."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from webdancer_cli.options.option_checks import named_files, second_model
from webdancer_cli.options.shared_options import (
    LIVE,
    CallOptions,
    DataOptions,
    Day,
    EncryptedOptions,
    Fraction,
    FunnelStage,
    JudgeOptions,
    ModelOptions,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    RankOptions,
    RevealOptions,
)

ContextRule = Annotated[
    str,
    Meta(
        pattern=r"^(append|keep:[1-9]\d*|fold(:[1-9]\d*)?)$",
        description="give append, keep:K (the last K observations in full), fold, or fold:TOKENS",
    ),
]


@dataclass(kw_only=True)
class PlayerOptions(ModelOptions, JudgeOptions):
    """Who plays in ``sample`` and ``eval``."""

    cot: Literal["auto", "short", "long"] = "auto"
    """"short": the model is shown all that it wrote. "long", for reasoning models: an action-only prompt, and earlier
    thoughts are left out of the model's input and kept in the record. "auto": long as soon as the endpoint returns
    reasoning apart from the text. A checkpoint knows "short" only. For ``builtin``, how long its thoughts are."""
    style: Literal["planned", "plain"] = "planned"
    """How ``builtin`` thinks. "planned": the steps first, after each page what it gave and what is left. "plain": what
    was read and what comes next, in the words of the prompt set's demonstrator."""
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
class EpisodeOptions(RankOptions):
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
    context: ContextRule = "append"
    """What the policy sees of its own history. "append": all of it (the paper's). "keep:K": of all observations but the
    last K a line. "fold": before the context is full, it writes a summary of what it found and what is left, and goes
    on from the question and that; "fold:TOKENS" asks for one each time that so many have come in."""
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
        if self.web == LIVE and (self.embed or self.rank != "auto"):
            given = f"--embed {self.embed[0]}" if self.embed else f"--rank {self.rank}"
            yield f"{given}: the live web ranks its results itself; leave it out, or name an index with --web"


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
    recovery: Fraction = 0.15
    """Share of the episodes in which ``builtin`` takes a wrong turn first and comes back: a query that is too vague,
    another page, a view without the passage. Without effect on ``style`` plain."""

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
    track: Literal["none", "wandb", "tensorboard", "trackio"] = "none"
    """Also send the scores to a tracker, at the step of the checkpoint if its name tells one; tensorboard's files go
    into a folder named as ``out`` without its ending."""
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
        if self.agent != "react" and self.context != "append":
            yield f"--context {self.context}: rewrites a history; --agent {self.agent} has none, but a single call"
        if self.card and self.out == "-":
            yield f"--card {self.card}: needs --out FILE: the attempts are what it is verified by"
