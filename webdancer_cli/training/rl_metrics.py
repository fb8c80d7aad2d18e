"""What a step of RL tells of itself: means over its episodes, what its updates did, and the two logs."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webdancer_cli.data.pipeline import Say
from webdancer_cli.data.records import Anatomy
from webdancer_cli.grading.anatomy import dissect
from webdancer_cli.grading.quality import NGRAM_WORDS
from webdancer_cli.grading.repetition import max_repeats, policy_words
from webdancer_cli.options.config import FilterOptions
from webdancer_cli.training.alarms import alarms
from webdancer_cli.training.dapo import LossSums
from webdancer_cli.training.layout import Plan
from webdancer_cli.training.rollout_batches import RolloutBatch
from webdancer_cli.training.rollouts import Rollout, rollout_record
from webdancer_cli.training.run_log import METRICS, ROLLOUTS, open_log
from webdancer_cli.transcript.contexts import without_summaries

SHOWN = 4
"""How many rollouts of a step are kept for reading."""

Metrics = dict[str, Any]


@dataclass(frozen=True)
class PolicyUpdate:
    """What one optimizer step did, over all ranks: its mean loss, the gradient's norm before clipping."""

    loss: float
    grad_norm: float
    sums: LossSums
    plan: Plan


def rollout_metrics(collected: RolloutBatch) -> Metrics:
    """Means over all episodes of a step, kept groups or not. None where there is nothing to average."""
    rollouts = [rollout for group in collected.groups for rollout in group]
    judged = [rollout for rollout in rollouts if rollout.correct is not None]
    right = [logprob for rollout in judged if rollout.correct for logprob in rollout.logprobs]
    anatomies = [(rollout, _anatomy(rollout)) for rollout in rollouts]
    contexts = [len(rollout.samples) for rollout in rollouts if rollout.trajectory.context]
    return {
        "reward": mean([rollout.reward for rollout in judged if rollout.reward is not None]),
        "accuracy": mean([bool(rollout.correct) for rollout in judged]),
        "format": mean([rollout.format_ok for rollout in judged]),
        "rounds": collected.rounds,
        "groups": len(collected.groups),
        "kept": len(collected.kept),
        "kept_share": len(collected.kept) / len(collected.groups) if collected.groups else None,
        "epoch": collected.epoch,
        "resting": collected.resting,
        "rollouts": len(rollouts),
        "unjudged": len(rollouts) - len(judged),
        "length": mean([rollout.length for rollout in rollouts]),
        "sampled": mean([len(rollout.logprobs) for rollout in rollouts]),
        **({"samples": mean(contexts)} if contexts else {}),
        "calls": mean([rollout.trajectory.usage.calls for rollout in rollouts]),
        "tool_calls": mean([sum(rollout.trajectory.tools.values()) for rollout in rollouts]),
        "pages": mean([anatomy.pages for _, anatomy in anatomies]),
        "right_unseen": mean([_is_unseen(anatomy) for rollout, anatomy in anatomies if rollout.correct]),
        "right_logprob": mean(right),
        "repeating": mean([_repeats(rollout) for rollout in rollouts]),
        "accuracy_by_level": accuracy_by_level(judged),
        "short_of_tokens": mean([rollout.trajectory.last_call == "token_limit" for rollout in rollouts]),
        "endings": dict(Counter(rollout.trajectory.ending for rollout in rollouts).most_common()),
    }


def _anatomy(rollout: Rollout) -> Anatomy:
    played, qa = rollout.trajectory, rollout.trajectory.qa
    messages = without_summaries(played)
    return dissect(messages, played.ending, qa.question, [qa.answer, *qa.aliases], qa.evidence, is_wrong=False)


def _is_unseen(anatomy: Anatomy) -> bool:
    """Whether nothing that proves the answer was shown."""
    return not (anatomy.shown if anatomy.gold else anatomy.pages or anatomy.searches)


def _repeats(rollout: Rollout) -> bool:
    """Whether it would not pass the filter for saying one thing over and over."""
    most = FilterOptions.max_ngram_repeats
    return max_repeats(policy_words(without_summaries(rollout.trajectory)), NGRAM_WORDS, least=most + 1) > most


def accuracy_by_level(judged: Sequence[Rollout]) -> dict[str, float]:
    """The accuracy of the questions over one page, over two, and so on, where that is known."""
    levels: dict[int, list[bool]] = {}
    for rollout in (rollout for rollout in judged if rollout.trajectory.qa.level):
        levels.setdefault(rollout.trajectory.qa.level, []).append(bool(rollout.correct))
    return {str(level): sum(right) / len(right) for level, right in sorted(levels.items())}


def update_metrics(updates: Sequence[PolicyUpdate]) -> Metrics:
    """``tokens`` were trained on; ``kl`` and ``entropy`` are estimates per token, in nats. Empty without an update."""
    sums = sum((update.sums for update in updates), LossSums())
    if not updates:
        return {"updates": 0}
    return {
        "updates": len(updates),
        "loss": mean([update.loss for update in updates]),
        "grad_norm": mean([update.grad_norm for update in updates]),
        "tokens": int(sums.tokens),
        "shared_prefix_tokens": sum(update.plan.shared_prefix_tokens for update in updates),
        "padding": sum(update.plan.padding for update in updates),
        "clip_fraction": sums.clipped / sums.tokens,
        "clip_low_fraction": sums.clipped_low / sums.tokens,
        "clip_high_fraction": sums.clipped_high / sums.tokens,
        "ratio_mean": sums.ratio / sums.tokens,
        "ratio_max": sums.ratio_max,
        "kl": sums.kl / sums.tokens,
        "entropy": sums.neg_logprob / sums.tokens,
        "reference_kl": sums.reference_kl / sums.tokens,
        "sampler_gap": sums.gap / sums.tokens,
        "truncated_fraction": sums.truncated / sums.tokens,
    }


def speed_metrics(metrics: Metrics, *, waited: float, trained: float, elapsed: float, sync: float) -> Metrics:
    """Where the ``elapsed`` seconds of a step went: ``waited`` for rollouts, ``trained``, ``sync`` of weights; what is
    left went into held-out questions. Tokens that were trained on are counted over all of them, those that the policy
    wrote over the wait, most of which a batch that is played ahead hides.
    """
    seconds = {"rollout": waited, "train": trained, "sync": sync}
    drawn = (metrics["sampled"] or 0) * metrics["rollouts"]
    return {
        "seconds_rollout": round(waited, 3),
        "seconds_train": round(trained, 3),
        "seconds_share": {name: round(part / elapsed, 4) for name, part in seconds.items()},
        "tokens_per_second": round(metrics.get("tokens", 0) / elapsed, 1),
        "drawn_per_second": round(drawn / max(waited, 1e-3), 1),
    }


def mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def note(metrics: Metrics) -> str:
    """A step in a few words."""
    shares = [f"{name} {metrics[name]:.2f}" for name in ("reward", "accuracy", "format") if metrics[name] is not None]
    return ", ".join([*shares, f"{metrics['kept']} of {metrics['groups']} groups kept"])


def worth_reading(collected: RolloutBatch) -> list[Rollout]:
    """The best and the worst rollout of groups that are learned from, side by side; else one of others."""
    kept = [[rollout for rollout in group if rollout.reward is not None] for group in collected.kept]
    pairs = [choose(group, key=_reward) for group in kept for choose in (max, min)]
    known = {rollout.trajectory.qa.id for rollout in pairs}
    others = [group[0] for group in collected.groups if group[0].trajectory.qa.id not in known]
    return [*pairs, *others][:SHOWN]


def _reward(rollout: Rollout) -> float:
    return rollout.reward or 0.0


class Log:
    """``metrics.jsonl`` and ``rollouts.jsonl``, written step by step by rank 0."""

    def __init__(self, out: Path, step: int, say: Say, *, same_questions: bool = True):
        """``same_questions``: whether no option chooses them by how hard they are."""
        self._same_questions = same_questions
        self._metrics = open_log(out / METRICS, step)
        lines = (out / METRICS).read_text(encoding="utf-8").splitlines() if step else []
        self._steps: list[Metrics] = [json.loads(line) for line in lines]
        self._say = say
        self._rollouts = open_log(out / ROLLOUTS, step)

    def write(self, metrics: Metrics, collected: RolloutBatch) -> None:
        self._steps.append(metrics)
        metrics["alarms"] = found = alarms(self._steps, same_questions=self._same_questions)
        before = self._steps[-2].get("alarms", []) if len(self._steps) > 1 else []
        known = {line.partition(":")[0] for line in before}
        for line in found:
            if line.partition(":")[0] not in known:  # said when it begins, not at every step
                self._say(f"step {metrics['step']}: {line}")
        self._metrics.write(metrics)
        for rollout in worth_reading(collected):
            self._rollouts.write(rollout_record(rollout, metrics["step"]))

    def close(self) -> None:
        self._metrics.close()
        self._rollouts.close()
