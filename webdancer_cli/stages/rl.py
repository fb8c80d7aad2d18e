"""``webdancer rl``: questions in, a Hugging Face checkpoint out, by DAPO."""

import hashlib
import math
from dataclasses import dataclass
from itertools import islice

import msgspec

from webdancer_cli import jsonl
from webdancer_cli.agent.own_tools import load_tools
from webdancer_cli.agent.tools import Tools
from webdancer_cli.config import Rl
from webdancer_cli.errors import UsageError
from webdancer_cli.flow import Progress, Tally
from webdancer_cli.grading.answers import METHOD, Judge
from webdancer_cli.prompts import load_for
from webdancer_cli.questions import read_questions
from webdancer_cli.records import QA, Rejected, to_object
from webdancer_cli.training import checkpoint
from webdancer_cli.training.distributed import World, joined
from webdancer_cli.training.models import load_model, load_tokenizer
from webdancer_cli.training.policies import TokenPolicy
from webdancer_cli.training.renderer import Renderer
from webdancer_cli.training.rl import train
from webdancer_cli.training.rollouts import Arena
from webdancer_cli.training.transformers_engine import TransformersEngine
from webdancer_cli.web.corpus import Corpus
from webdancer_cli.web.source import Web


@dataclass(frozen=True)
class Questions:
    """What to practise on; ``sha256`` is over the records as read, ``tally`` says what was left out and why."""

    items: list[QA]
    sha256: str
    tally: Tally


def run(options: Rl, progress: Progress | None = None, *, web: Web | None = None, judge: Judge | None = None) -> Tally:
    """Train ``options.model`` on the questions of ``options.data`` in the web of ``options.web``; under torchrun too.

    Every rank has a ``judge`` for its own episodes; without one, answers are matched by rule.

    Raises UsageError before any work for a missing or tokenizer-less checkpoint, an ``out`` that cannot be written, an
    empty corpus, and data without a question that has an answer.
    """
    _check(options)
    with joined() as world:
        out = world.from_main(lambda: checkpoint.claim(options.out))
        tokenizer = load_tokenizer(options.model)
        renderer = Renderer(tokenizer)
        tokenizer.chat_template = renderer.template.jinja  # of the checkpoint: it is served as it was trained
        prompts, own_tools = load_for(options), load_tools(options.tool)
        web = web or Corpus.load(options.web, snippet_chars=prompts.caps.snippet_chars)
        tools = Tools(web, prompts, own_tools)
        questions = world.from_main(lambda: read(options))
        about = checkpoint.provenance("rl", options, questions.sha256)
        about |= {"records": {**questions.tally.counts, **questions.tally.reasons}}
        about |= {"prompts": prompts.id, "web": tools.web.name, "judge": judge.name if judge else METHOD}
        model = load_model(options.model, options.dtype, world.device)
        engine = TransformersEngine(model, tokenizer, max_length=options.max_context_tokens, rows=_rows(options, world))
        policy = TokenPolicy(
            options.model,
            engine,
            renderer,
            max_context_tokens=options.max_context_tokens,
            max_turn_tokens=options.max_turn_tokens,
            temperature=options.temperature,
            seed=options.seed,
        )
        arena = Arena(policy, tools, prompts, options, judge)
        questions.tally.stopped = train(
            options, questions.items, arena, engine, tokenizer, about, out, world, progress if world.is_main else None
        )
    return questions.tally


def read(options: Rl) -> Questions:
    """The questions of ``options.data``. Left out and counted: unreadable lines, and questions without an answer."""
    tally = Tally()

    def broken(rejected: Rejected) -> None:
        tally.failed += 1
        tally.reasons[rejected.reason] += 1

    items: list[QA] = []
    digest = hashlib.sha256()
    for qa in islice(read_questions(options.data, broken), options.limit):
        tally.counts["in"] += 1
        digest.update(msgspec.json.encode(to_object(qa)))
        if qa.answer.strip():
            items.append(qa)
        else:
            tally.reasons["no_answer"] += 1
    tally.counts["trained on"] = len(items)
    if not items:
        named = "stdin" if options.data == jsonl.STDIN else options.data
        raise UsageError(f"{named}: nothing to practise on: {tally.line()}: give questions with answers")
    return Questions(items, digest.hexdigest(), tally)


def _rows(options: Rl, world: World) -> int:
    """One for every episode that a rank plays in a round."""
    return math.ceil(options.questions / world.size) * options.group


def _check(options: Rl) -> None:
    if options.group < 2:
        raise UsageError(f"--group {options.group}: a group needs at least 2 rollouts to compare")
    if options.overlong_tokens >= options.max_context_tokens:
        raise UsageError(
            f"--overlong-tokens {options.overlong_tokens}: must be less than --max-context-tokens "
            f"({options.max_context_tokens})"
        )
