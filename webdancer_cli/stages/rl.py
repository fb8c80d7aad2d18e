"""``webdancer rl``: questions in, a Hugging Face checkpoint out, by DAPO."""

import hashlib
import math
from dataclasses import dataclass
from functools import partial
from itertools import islice

import msgspec

from webdancer_cli import jsonl
from webdancer_cli.agent.own_tools import load_tools
from webdancer_cli.agent.tools import Tools
from webdancer_cli.config import Rl
from webdancer_cli.errors import UsageError
from webdancer_cli.flow import Progress, Say, Tally, silent
from webdancer_cli.grading.answers import METHOD, Judge, is_placeholder
from webdancer_cli.prompts import load_for
from webdancer_cli.questions import read_questions
from webdancer_cli.records import QA, Rejected, to_object
from webdancer_cli.sealed import Terms
from webdancer_cli.training import checkpoint
from webdancer_cli.training.distributed import World, joined
from webdancer_cli.training.engine_check import check_engine
from webdancer_cli.training.models import load_policy_model
from webdancer_cli.training.policies import TokenPolicy
from webdancer_cli.training.rl import train
from webdancer_cli.training.rollouts import Arena
from webdancer_cli.training.setup import set_up
from webdancer_cli.training.transformers_engine import TransformersEngine
from webdancer_cli.web.corpus import Corpus, tell_rejected
from webdancer_cli.web.source import Web


@dataclass(frozen=True)
class Questions:
    """What to practise on; ``sha256`` is over the records as read, ``tally`` says what was left out and why."""

    items: list[QA]
    sha256: str
    tally: Tally

    def reject_line(self, rejected: Rejected) -> None:
        """A line of the corpus that cannot be taken is counted like one of the questions."""
        _count(self.tally, rejected)


def run(
    options: Rl,
    progress: Progress | None = None,
    *,
    web: Web | None = None,
    judge: Judge | None = None,
    say: Say = silent,
) -> Tally:
    """Train ``options.model`` on the questions of ``options.data`` in the web of ``options.web``; under torchrun too.

    Every rank has a ``judge`` for its own episodes; without one, answers are matched by rule.

    Raises UsageError before any work for a missing or tokenizer-less checkpoint, an ``out`` that cannot be written, an
    empty corpus, and data without a question that has an answer.
    """
    _check(options)
    with joined() as world:
        setup = set_up(options, world, say, progress)
        prompts, own_tools = load_for(options), load_tools(options.tool)
        web = web or Corpus.load(options.web, snippet_chars=prompts.caps.snippet_chars)
        tools = Tools(web, prompts, own_tools)
        questions = world.from_main(lambda: read(options))
        tell_rejected(web, questions.reject_line)
        about = checkpoint.provenance("rl", options, questions.sha256)
        about |= {"records": {**questions.tally.counts, **questions.tally.reasons}}
        about |= {"prompts": prompts.id, "web": tools.web.name, "judge": judge.name if judge else METHOD}
        engine = TransformersEngine(
            load_policy_model(setup.plain, options.dtype, options.lora_rank, world.device, options.seed),
            setup.tokenizer,
            max_length=options.max_context_tokens,
            rows=_rows(options, world),
        )
        say(check_engine(engine, options.model).line())
        policy = TokenPolicy(
            options.model,
            engine,
            setup.renderer,
            max_context_tokens=options.max_context_tokens,
            max_turn_tokens=options.max_turn_tokens,
            temperature=options.temperature,
            seed=options.seed,
        )
        arena = Arena(policy, tools, prompts, options, judge)
        questions.tally.stopped = train(options, questions.items, arena, engine, setup, about)
    return questions.tally


def read(options: Rl) -> Questions:
    """The questions of ``options.data``, each once. Left out and counted: unreadable lines, and questions without an
    answer or that came before."""
    tally = Tally()

    items: dict[str, QA] = {}
    digest = hashlib.sha256()
    terms = Terms(options.reveal, options.canary, bool(options.tape))
    for qa in islice(read_questions(options.data, partial(_count, tally), terms), options.limit):
        tally.counts["in"] += 1
        digest.update(msgspec.json.encode(to_object(qa)))
        if is_placeholder(qa.answer):
            tally.reasons["no_answer"] += 1
        elif qa.id in items:
            tally.reasons["duplicate"] += 1
        else:
            items[qa.id] = qa
    tally.counts["trained on"] = len(items)
    if not items:
        named = "stdin" if options.data == jsonl.STDIN else options.data
        raise UsageError(f"{named}: nothing to practise on: {tally.line()}: give questions with answers")
    return Questions(list(items.values()), digest.hexdigest(), tally)


def _count(tally: Tally, rejected: Rejected) -> None:
    tally.failed += 1
    tally.reasons[rejected.reason] += 1
    tally.last_failure = f"{rejected.reason}: {rejected.detail}"


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
