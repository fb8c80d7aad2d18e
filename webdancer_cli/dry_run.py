"""``--dry-run``: what a run would ask of its models, and an estimate of what that takes, before anything is spent.

Input is counted, not guessed. How much an episode asks is known only afterwards: with ``--resume`` the mean of the
records that are in ``out`` already, else the means of the authors' released trajectories (paper, section 2).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from webdancer_cli import prompts
from webdancer_cli.agent.baselines import PROMPTS
from webdancer_cli.data import jsonl
from webdancer_cli.data.questions import read_questions
from webdancer_cli.data.records import Usage
from webdancer_cli.data.sealed import SealTerms
from webdancer_cli.data.shards import take_shard
from webdancer_cli.grading.critic import CRITERIA
from webdancer_cli.grading.judge_view import RECORD_CHARS
from webdancer_cli.grading.predictions import read_predictions
from webdancer_cli.llm.budget import BYTES_PER_TOKEN
from webdancer_cli.llm.chat_pool import ChatPool
from webdancer_cli.llm.client import ChatClient
from webdancer_cli.options import config
from webdancer_cli.synthesis.chat.page_groups import GROUP_TOKENS
from webdancer_cli.synthesis.chat.sentence_author import SENTENCES_A_QUESTION
from webdancer_cli.synthesis.protocols import question_types

REWRITING = ("entity", "query", "rewriter", "check_rewrite")
"""How the files begin that word one rewrite: a call each."""
SHORT_CALLS, LONG_CALLS = 5.56, 3.31
"""Model calls of an episode: 4.56 actions with short, 2.31 with long chains of thought, and the answer."""
SHORT_THOUGHT_TOKENS, LONG_THOUGHT_TOKENS = 510, 1599
"""Tokens of all thoughts of an episode."""
ACTION_TOKENS = 50
"""Tokens of a tool call or an answer."""
OBSERVATION_TOKENS = 2030
"""Tokens of an observation: 8,124 characters on the mean of released trajectories; the set's caps may allow less."""
VISITS = 0.5
"""Pages visited per call of the policy."""
QUESTION_TOKENS = 60
"""Tokens of a question with its answer."""
VERDICT_TOKENS = 60
"""Tokens of a verdict with its reason."""
WRITTEN_TOKENS = 150
"""Tokens of a question that is written, with its quotes."""
PAGES_TOKENS = 2000
"""Tokens of what a search found, as one rewrite is shown it."""
PAGE_TOKENS, NOTE_TOKENS = 4000, 300
"""Tokens of a page and of the summariser's note on it."""


class RoleWork(NamedTuple):
    """What one role has to do: calls, and tokens of one call."""

    role: str
    calls: float
    tokens_in: float
    tokens_out: float


@dataclass(frozen=True)
class RunPlan:
    """What a run would do. ``basis`` says what the estimate rests on."""

    records: int
    unit: str
    works: list[RoleWork]
    basis: str

    def table(self, chat_pool: ChatPool) -> str:
        """For reading: a row for each model that is asked."""
        head = f"{'role':<12}{'model':<28}{'calls':>10}{'tokens in':>14}{'tokens out':>14}{'cost':>12}"
        asking = [_together(self.works, role) for role in chat_pool.chats]
        rows = [_row(work, chat_pool.chats[work.role]) for work in asking if work.calls]
        asked = [head, *rows] if rows else ["no model at an endpoint is asked: nothing is spent on models"]
        return "\n".join([f"{self.records} {self.unit}; {self.basis}", *asked])


def _together(works: list[RoleWork], role: str) -> RoleWork:
    """All that a role does, as one."""
    own = [work for work in works if work.role == role]
    calls = sum(work.calls for work in own)
    tokens_in = sum(work.calls * work.tokens_in for work in own)
    tokens_out = sum(work.calls * work.tokens_out for work in own)
    return RoleWork(role, calls, tokens_in / calls, tokens_out / calls) if calls else RoleWork(role, 0, 0, 0)


def _row(work: RoleWork, chat: ChatClient) -> str:
    tokens_in, tokens_out = work.calls * work.tokens_in, work.calls * work.tokens_out
    price = chat.ledger.price
    cost = price.cost(Usage(input_tokens=round(tokens_in), output_tokens=round(tokens_out))) if price else None
    shown = "no price" if cost is None else f"${cost:,.2f}"
    return f"{work.role:<12}{chat.model:<28}{work.calls:>10,.0f}{tokens_in:>14,.0f}{tokens_out:>14,.0f}{shown:>12}"


def plan_run(options: config.CallOptions) -> RunPlan:
    """The plan of one of the commands that ask models. Reads ``data``; raises UsageError if that cannot be read."""
    if isinstance(options, config.CrawlqaOptions):
        return _of_crawlqa(options)
    if isinstance(options, config.E2hqaOptions):
        return _of_e2hqa(options)
    if isinstance(options, config.FilterOptions):
        return _of_filter(options)
    if isinstance(options, config.RlOptions):
        return _of_rl(options)
    assert isinstance(options, config.SampleOptions | config.EvalOptions)
    return _of_episodes(options)


def _of_crawlqa(options: config.CrawlqaOptions) -> RunPlan:
    """How many pages will be kept, only the crawl knows."""
    files = [path for path in options.roots if Path(path).is_file()]
    pages = sum(_count(path) for path in files) if files and len(files) == len(options.roots) else options.max_pages
    types = len(question_types(options.types))
    written = pages * options.per_page * types if options.limit is None else options.limit
    if options.ask == "sentences":
        works, basis = [_of_sentences(options, pages)], "at most: two calls for each sentence that may be tried"
    else:
        works, basis = (
            [_of_groups(options, pages, types)],
            "at most: a call for each page, which writes all that it may",
        )
    for prompt, wanted in (("closed_book", options.closed_book), ("verify", options.verify)):
        if wanted:
            tokens = _tokens_of(options.prompts, prompt) + WRITTEN_TOKENS
            works.append(RoleWork("judge", written, tokens, VERDICT_TOKENS))
    return RunPlan(pages, "pages at most", works, basis)


def _of_groups(options: config.CrawlqaOptions, pages: int, types: int) -> RoleWork:
    words = _tokens_of(options.prompts, "author")
    return RoleWork("author", pages, words + GROUP_TOKENS, options.per_page * types * WRITTEN_TOKENS)


def _of_sentences(options: config.CrawlqaOptions, pages: int) -> RoleWork:
    """Two calls for each sentence that is tried."""
    words = _tokens_of(options.prompts, "sentence", "read_back") / 2 + QUESTION_TOKENS
    return RoleWork("author", 2 * pages * options.per_page * SENTENCES_A_QUESTION, words, QUESTION_TOKENS)


def _of_e2hqa(options: config.E2hqaOptions) -> RunPlan:
    """One attempt a round: as many calls as it has prompts, of which the judge has the last."""
    questions = _to_do(options)
    attempts, steps = questions * options.rounds, len(REWRITING) - 1
    asked = (_tokens_of(options.prompts, *REWRITING[:-1]) + PAGES_TOKENS) / steps
    works = [
        RoleWork("rewriter", steps * attempts, asked, QUESTION_TOKENS),
        RoleWork("judge", attempts, _tokens_of(options.prompts, "check_rewrite") + 4 * QUESTION_TOKENS, VERDICT_TOKENS),
    ]
    return RunPlan(questions, "questions to do", works, "every rewrite as if its first attempt held")


def _of_predictions(options: config.EvalOptions) -> RunPlan:
    """Every prediction is counted as if the rules could not tell whether it is right."""
    predictions = read_predictions(options.data, None, jsonl.skip_line, SealTerms(canary=options.canary))
    part = take_shard(predictions, options.shard, options.limit, lambda prediction: prediction.qa.id)
    count = max(0, sum(1 for _ in part) - _earlier(options))
    tokens = _tokens_of(options.prompts, "judge.md") + 2 * QUESTION_TOKENS
    works = [RoleWork(role, count, tokens, VERDICT_TOKENS) for role in _judges(options)]
    return RunPlan(count, "predictions to grade", works, "at most: as if no rule could tell")


def _of_episodes(options: config.SampleOptions | config.EvalOptions) -> RunPlan:
    if isinstance(options, config.EvalOptions) and options.grade_only:
        return _of_predictions(options)
    rollouts = options.n if isinstance(options, config.SampleOptions) else options.runs
    episodes = max(0, _input(options) * rollouts - _earlier(options))
    calls, tokens_in, tokens_out, basis = _of_one_episode(options)
    has_tools = isinstance(options, config.SampleOptions) or options.agent not in PROMPTS
    visits = episodes * calls * VISITS if has_tools else 0
    works = [
        RoleWork("teacher", episodes * calls, tokens_in / calls, tokens_out / calls),
        RoleWork("summariser", visits, _tokens_of(options.prompts, "summariser") + PAGE_TOKENS, NOTE_TOKENS),
    ]
    tokens = _tokens_of(options.prompts, "judge.md") + 2 * QUESTION_TOKENS
    works += [RoleWork(role, episodes, tokens, VERDICT_TOKENS) for role in _judges(options)]
    return RunPlan(episodes, "episodes to play", works, basis)


def _judges(options: config.SampleOptions | config.EvalOptions) -> list[str]:
    """The roles of the judges: the one that counts, and those beside it."""
    others = options.also_judge if isinstance(options, config.EvalOptions) else []
    return ["judge", *(f"judge {number}" for number, _ in enumerate(others, 2))]


def _of_one_episode(options: config.SampleOptions | config.EvalOptions) -> tuple[float, float, float, str]:
    """Calls, tokens in and tokens out of an episode, all its calls together, and what that rests on."""
    if known := _mean_usage(options):
        return known
    if isinstance(options, config.EvalOptions) and options.agent in PROMPTS:
        shown = QUESTION_TOKENS + (PAGES_TOKENS if options.agent == "rag" else 0)
        tokens_in = _tokens_of(options.prompts, PROMPTS[options.agent]) + shown
        return 1, tokens_in, ACTION_TOKENS + SHORT_THOUGHT_TOKENS / SHORT_CALLS, "one call each"
    calls, thoughts = (
        (LONG_CALLS, LONG_THOUGHT_TOKENS) if options.cot == "long" else (SHORT_CALLS, SHORT_THOUGHT_TOKENS)
    )
    set_ = prompts.load_for(options)
    shown = min(OBSERVATION_TOKENS, set_.caps.search_tokens)
    turn = thoughts / calls + ACTION_TOKENS
    kept = ACTION_TOKENS if options.cot == "long" else turn  # of its own turns, what the model is shown again
    opening = _tokens_of(options.prompts, "system.md", "user.md") + QUESTION_TOKENS
    # Every call is sent the whole history: the opening, and what the calls before it added.
    tokens_in = calls * opening + calls * (calls - 1) / 2 * (kept + shown)
    kind = "long" if options.cot == "long" else "short"
    basis = f"{calls:g} calls an episode, the mean of the released trajectories with {kind} chains of thought"
    return calls, tokens_in, calls * turn, basis


def _mean_usage(options: config.SampleOptions | config.EvalOptions) -> tuple[float, float, float, str] | None:
    used = list(_usages(options.out)) if options.resume and Path(options.out).is_file() else []
    calls = sum(usage.calls for usage in used)
    if not calls:
        return None
    tokens_in, tokens_out = sum(usage.input_tokens for usage in used), sum(usage.output_tokens for usage in used)
    count = len(used)
    return calls / count, tokens_in / count, tokens_out / count, f"the mean of {count} episodes in {options.out}"


def _usages(path: str) -> Iterator[Usage]:
    for line in jsonl.read_values(path, lambda _: None):
        if isinstance(line.value, dict) and isinstance(line.value.get("usage"), dict):
            yield msgspec.convert(line.value["usage"], Usage)


def _of_filter(options: config.FilterOptions) -> RunPlan:
    """Every trajectory is counted as if the rules let it through and could not tell whether it is right."""
    sizes = [_shown_tokens(line.value) for line in _part(jsonl.read_values(options.data, jsonl.skip_line), options)]
    works = []
    if "correctness" in options.stages:
        tokens = _tokens_of(options.prompts, "judge.md") + 2 * QUESTION_TOKENS
        works.append(RoleWork("judge", len(sizes), tokens, VERDICT_TOKENS))
    if "model" in options.stages:
        mean = sum(sizes) / max(1, len(sizes))
        tokens = _tokens_of(options.prompts, "critic") / len(CRITERIA) + mean
        works.append(RoleWork("judge", len(CRITERIA) * len(sizes), tokens, VERDICT_TOKENS))
    return RunPlan(len(sizes), "trajectories", works, "at most: as if the rules let all through")


def _shown_tokens(trajectory: object) -> float:
    messages = trajectory.get("messages") if isinstance(trajectory, dict) else None
    return min(len(msgspec.json.encode(messages)), RECORD_CHARS) / BYTES_PER_TOKEN


def _of_rl(options: config.RlOptions) -> RunPlan:
    episodes = options.steps * options.questions * options.group
    tokens_in = _tokens_of(options.prompts, "judge.md") + 2 * QUESTION_TOKENS
    basis = f"one round of questions a step, of {options.max_rounds} at most"
    return RunPlan(episodes, "episodes to play", [RoleWork("judge", episodes, tokens_in, VERDICT_TOKENS)], basis)


def _to_do(options: config.E2hqaOptions) -> int:
    return max(0, _input(options) - _earlier(options))


def _input(options: config.E2hqaOptions | config.SampleOptions | config.EvalOptions) -> int:
    questions = read_questions(options.data, jsonl.skip_line, SealTerms(canary=options.canary))
    return sum(1 for _ in take_shard(questions, options.shard, options.limit, lambda qa: qa.id))


def _earlier(options: config.DataOptions) -> int:
    return _count(options.out) if options.resume and Path(options.out).is_file() else 0


def _part(lines: Iterator[jsonl.Line], options: config.FilterOptions) -> Iterator[jsonl.Line]:
    """A part of the trajectories: their questions would tell which, their lines tell about how many."""
    return take_shard(lines, options.shard, options.limit, lambda line: line.name)


def _count(path: str) -> int:
    return sum(1 for _ in jsonl.read_values(path, jsonl.skip_line))


def _tokens_of(set_: str, *beginnings: str) -> float:
    """The tokens of all prompts of a set whose file names begin so."""
    texts = prompts.load(set_).files
    return sum(len(text.encode()) for name, text in texts.items() if name.startswith(beginnings)) / BYTES_PER_TOKEN
