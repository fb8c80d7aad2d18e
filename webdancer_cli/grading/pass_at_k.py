"""Several runs of one question: what they are together.

The names, since papers disagree on them. With k runs of every question:
pass@k      the chance that at least one of k runs is correct (unbiased estimate from n >= k runs; arXiv 2107.03374)
avg@k       the mean share of correct runs; this is pass@1, and what the WebDancer paper's table calls "cons@3"
best-of-k   the share of questions that any of their k runs got right: pass@k, when there are exactly k runs
maj@k       the share of questions whose most frequent answer is correct; elsewhere this is called cons@k or majority@k
"""

import math
from collections import Counter
from collections.abc import Hashable, Sequence


def pass_at_k(n: int, c: int, k: int) -> float:
    """1 - C(n-c, k) / C(n, k): the chance that k of n runs, drawn without replacement, hold one of the c correct."""
    if not 0 <= c <= n or not 1 <= k <= n:
        raise ValueError(f"pass@k needs 0 <= c <= n and 1 <= k <= n, got n={n}, c={c}, k={k}")
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def majority_is_correct(answers: Sequence[tuple[Hashable, bool]]) -> bool:
    """maj@k of one question: whether its most frequent answer is correct, and of equally frequent ones the first.

    Each run has its answer, normalised, and whether that is correct; a judge may have called one answer both.
    """
    winner, _ = Counter(answer for answer, _ in answers).most_common(1)[0]
    return any(correct for answer, correct in answers if answer == winner)
