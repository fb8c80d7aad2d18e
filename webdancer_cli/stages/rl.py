"""``webdancer rl``: questions in, a Hugging Face checkpoint out, by DAPO."""

import hashlib
import os
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from itertools import islice

import msgspec

from webdancer_cli.agent.toolbox import open_tools
from webdancer_cli.data import jsonl
from webdancer_cli.data.pipeline import Progress, RunStats, Say, say_nothing
from webdancer_cli.data.questions import read_questions
from webdancer_cli.data.records import QA, Rejected, to_object
from webdancer_cli.data.sealed import terms_of
from webdancer_cli.errors import UsageError
from webdancer_cli.grading.exact_match import METHOD, Judge, is_placeholder
from webdancer_cli.grading.pass_rates import PassCount, read_pass_counts
from webdancer_cli.grading.predictions import Questions
from webdancer_cli.options.config import RlOptions
from webdancer_cli.training import checkpoint
from webdancer_cli.training.distributed import process_group
from webdancer_cli.training.engines import open_rollout_engine, rollout_engine_bytes
from webdancer_cli.training.memory import plans
from webdancer_cli.training.models import outline
from webdancer_cli.training.question_stream import QuestionStream
from webdancer_cli.training.rl import train_rl
from webdancer_cli.training.rollouts import OwnReward, RolloutCollector
from webdancer_cli.training.same_run import identity, is_done
from webdancer_cli.training.setup import set_up
from webdancer_cli.training.token_policy import TokenPolicy
from webdancer_cli.web.corpus import report_rejected
from webdancer_cli.web.protocols import Web


@dataclass(frozen=True)
class QuestionSet:
    """What to practise on; ``sha256`` is over the records as read, ``stats`` says what was left out and why."""

    items: list[QA]
    sha256: str
    stats: RunStats
    measured: dict[str, PassCount] | None = None
    """Of a curriculum: how often each question was answered rightly before."""
    held_out: tuple[QA, ...] = ()
    """Questions that are not trained on, and tell how far the policy is."""
    remarks: tuple[str, ...] = ()

    @property
    def measured_sha256(self) -> str:
        """Of what the curriculum goes by; "" without one."""
        if self.measured is None:
            return ""
        return hashlib.sha256(msgspec.json.encode(sorted(self.measured.items()))).hexdigest()

    @property
    def held_out_sha256(self) -> str:
        return hashlib.sha256(b"".join(msgspec.json.encode(to_object(qa)) for qa in self.held_out)).hexdigest()

    def reject_line(self, rejected: Rejected) -> None:
        """A line of the corpus that cannot be taken is counted like one of the questions."""
        _count(self.stats, rejected)


def run(
    options: RlOptions,
    *,
    progress: Progress | None = None,
    say: Say = say_nothing,
    web: Web | None = None,
    judge: Judge | None = None,
) -> RunStats:
    """Train ``options.model`` on the questions of ``options.data`` in the web of ``options.web``; under torchrun too.

    Every rank has a ``judge`` for its own episodes; without one, answers are matched by rule.

    Raises UsageError before any work for a missing or tokenizer-less checkpoint, an ``out`` that cannot be written, an
    empty corpus, and data without a question that has an answer.
    """
    with process_group() as world:
        setup = set_up(options, world, say, progress)
        prompts, tools = open_tools(options, web)
        own_reward = OwnReward(options.reward) if options.reward else None
        questions = world.from_main(lambda: read_question_set(options))
        report_rejected(tools.web, questions.reject_line)
        about = checkpoint.provenance("rl", options, questions.sha256)
        about |= {"records": {**questions.stats.counts, **questions.stats.reasons}}
        about |= {"curriculum": questions.measured_sha256}
        about |= {"prompts": prompts.id, "web": tools.web.name, "judge": judge.name if judge else METHOD}
        if questions.held_out and options.keep_best:
            about["eval_data_sha256"] = questions.held_out_sha256
        about["run"] = identity(options, about, setup.plain)
        if is_done(setup, about["run"]):
            return questions.stats
        engine = open_rollout_engine(options, setup)
        policy = TokenPolicy(
            options.model,
            engine,
            setup.renderer,
            max_context_tokens=options.max_context_tokens,
            max_turn_tokens=options.max_turn_tokens,
            temperature=options.temperature,
            seed=options.seed,
        )
        collector = RolloutCollector(policy, tools, prompts, options, judge, own_reward)
        stream = QuestionStream(
            questions.items, options.seed, least=options.questions, rest=options.rest, measured=questions.measured
        )
        for line in questions.remarks:
            setup.say(line)
        held_out = questions.held_out
        questions.stats.stopped = train_rl(options, stream, collector, engine, setup, about, held_out)
    return questions.stats


def plan_memory(options: RlOptions) -> str:
    """What ``--dry-run`` tells of memory. Raises UsageError for a model that cannot be opened."""
    plain = outline(options.model)
    tokens = max(options.micro_tokens, options.max_context_tokens)
    ranks = int(os.environ.get("WORLD_SIZE", 1))
    return plans(plain, options, tokens, ranks, rollout_engine_bytes(options, plain, ranks, "cpu"))


def read_question_set(options: RlOptions) -> QuestionSet:
    """The questions of ``options.data``, each once. Left out and counted: unreadable lines, and questions without an
    answer or that came before."""
    stats = RunStats()

    items: dict[str, QA] = {}
    digest = hashlib.sha256()
    for qa in islice(read_questions(options.data, partial(_count, stats), terms_of(options)), options.limit):
        stats.counts["in"] += 1
        digest.update(msgspec.json.encode(to_object(qa)))
        if is_placeholder(qa.answer):
            stats.reasons["no_answer"] += 1
        elif qa.id in items:
            stats.reasons["duplicate"] += 1
        else:
            items[qa.id] = qa
    stats.counts["trained on"] = len(items)
    if not items:
        named = "stdin" if options.data == jsonl.STDIN else options.data
        raise UsageError(f"{named}: nothing to practise on: {stats.summary()}: give questions with answers")
    questions = list(items.values())
    measured = measured_before(options, questions, stats)
    held_out, remarks = read_held_out_questions(options, items)
    return QuestionSet(questions, digest.hexdigest(), stats, measured, held_out, remarks)


def read_held_out_questions(options: RlOptions, trained: Collection[str]) -> tuple[tuple[QA, ...], tuple[str, ...]]:
    """The questions of ``options.eval_data`` that are not among those that are ``trained`` on, and what is to be said.

    Raises UsageError when there is none with an answer.
    """
    if options.eval_data is None:
        return (), ()
    read = {qa.id: qa for qa in read_questions(options.eval_data, None, terms_of(options))}
    found = tuple(qa for qa in read.values() if not is_placeholder(qa.answer) and qa.id not in trained)
    if not found:
        raise UsageError(f"--eval-data {options.eval_data}: holds no question with an answer that --data does not hold")
    left = f"{len(read) - len(found)} of {len(read)} questions are left out: trained on, too, or without an answer"
    return found, () if len(found) == len(read) else (f"--eval-data {options.eval_data}: {left}",)


def measured_before(options: RlOptions, questions: list[QA], stats: RunStats) -> dict[str, PassCount] | None:
    """The pass rates that ``options.curriculum`` tells, if it is given; ``stats`` says of how many questions.

    Raises UsageError for a file that tells of none of them.
    """
    if options.curriculum is None:
        return None
    asked = Questions(options.data, questions)
    counts, left_out = read_pass_counts(options.curriculum, asked, terms_of(options))
    if not counts:
        why = ", ".join(f"{reason} {count}" for reason, count in left_out.most_common()) or "it is empty"
        raise UsageError(
            f"--curriculum {options.curriculum}: holds no judged attempt at a question of --data ({why}): "
            "play them first: webdancer sample -n 8 --temperature 1"
        )
    stats.counts["with a pass rate"] = len(counts)
    return counts


def _count(stats: RunStats, rejected: Rejected) -> None:
    stats.failed += 1
    stats.reasons[rejected.reason] += 1
    stats.last_failure = f"{rejected.reason}: {rejected.detail}"
