"""The statistics of an evaluation: pure functions of counts and of one number per question.

What is drawn and tested is the *question*: runs of one question are not independent, so intervals resample whole
questions, and two models are compared question by question.
"""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

Interval = tuple[float, float]
Z95 = 1.959963984540054
"""The 97.5 % point of the normal distribution: two-sided 95 %."""
RESAMPLES = 2000
_DRAWN_AT_ONCE = 1 << 20
"""Multinomial counts that are held at once: 8 MiB."""


# ---- one model -----------------------------------------------------------------------------------------------------


def wilson(k: int, n: int, z: float = Z95) -> Interval:
    """Wilson's score interval for k successes of n; (0, 1) for no observations."""
    if not 0 <= k <= n:
        raise ValueError(f"an interval needs 0 <= k <= n, got k={k}, n={n}")
    if n == 0:
        return 0.0, 1.0
    share, weight = k / n, 1 + z * z / n
    centre = (share + z * z / (2 * n)) / weight
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / weight
    return max(0.0, centre - half), min(1.0, centre + half)


def cluster_bootstrap(values: Sequence[float], seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """95 % percentile interval of the mean of one number in [0, 1] per question: whole questions are drawn.

    Where all are equal, resampling would claim certainty; then it is Wilson's interval over the questions.
    """
    if len(set(values)) < 2:
        return wilson(round(sum(values)), len(values))
    return _percentiles(values, seed, resamples)


def _percentiles(values: Sequence[float], seed: int, resamples: int) -> Interval:
    """The mean of a resample depends only on how often each distinct value was drawn, and that is multinomial: 50,000
    questions with k runs each have k + 1 distinct values."""
    distinct, counts = np.unique(np.asarray(values, dtype=float), return_counts=True)
    total = int(counts.sum())
    draw = np.random.default_rng(seed)
    at_once = max(1, _DRAWN_AT_ONCE // len(distinct))
    means = np.empty(resamples)
    for start in range(0, resamples, at_once):
        drawn_RV = draw.multinomial(total, counts / total, size=min(at_once, resamples - start))
        means[start : start + len(drawn_RV)] = drawn_RV @ distinct / total
    means.sort()
    return float(means[int(0.025 * resamples)]), float(means[math.ceil(0.975 * resamples) - 1])


def interval_of_shares(shares: Sequence[float], seed: int = 0) -> Interval:
    """Wilson's where every question is right or wrong, as with one run; else a bootstrap over the questions."""
    if all(share in (0.0, 1.0) for share in shares):
        return wilson(round(sum(shares)), len(shares))
    return cluster_bootstrap(shares, seed)


# ---- two models on the same questions ------------------------------------------------------------------------------


def mcnemar_exact(gained: int, lost: int) -> float:
    """Two-sided exact McNemar test: the chance of so uneven a split of the questions that changed, if both were likely.

    With several runs per question, ``gained`` and ``lost`` count the questions whose share of correct runs rose and
    fell; then this is the sign test.
    """
    n, fewer = gained + lost, min(gained, lost)
    term, tail = 1, 0
    for i in range(fewer + 1):  # term is C(n, i), exact however large
        tail += term
        term = term * (n - i) // (i + 1)
    return min(1.0, 2 * tail / 2**n)


def paired_bootstrap(differences: Sequence[float], seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """95 % percentile interval of the mean difference, each in [-1, 1]: questions are drawn, with both their results.

    Where no question differs from another, resampling would claim certainty: then as many questions may differ as
    Wilson's interval allows for none that was seen.
    """
    if not differences:
        return -1.0, 1.0
    if len(set(differences)) > 1:
        return _percentiles(differences, seed, resamples)
    unseen = wilson(0, len(differences))[1]
    return max(-1.0, differences[0] - unseen), min(1.0, differences[0] + unseen)


def bootstrap_of_means(values: Sequence[float], seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """95 % percentile interval of the mean of numbers of any size; of equal ones it is a point."""
    return _percentiles(values, seed, resamples)


class Power(NamedTuple):
    """What a comparison of so many questions could have seen, at two-sided 5 %, four times of five.

    ``detectable`` is the smallest true difference; ``needed`` the questions for the difference that was found, None if
    none was found.
    """

    detectable: float
    needed: int | None


def questions_needed(difference: float, spread: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """How many questions a paired comparison needs to find a difference (Connor, Biometrics 43, 1987).

    ``spread`` is the mean squared difference per question; with one run each, the share of questions that change.
    """
    if not 0 < difference**2 <= spread * (1 + 1e-9):
        raise ValueError(f"needs 0 < difference² <= spread, got difference={difference}, spread={spread}")
    z_alpha, z_beta = NormalDist().inv_cdf(1 - alpha / 2), NormalDist().inv_cdf(power)
    root = z_alpha * math.sqrt(spread) + z_beta * math.sqrt(max(0.0, spread - difference**2))
    return math.ceil((root / difference) ** 2)


def detectable_difference(questions: int, spread: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest difference that so many questions would find; the root of the spread if even that is too small."""
    low, high = 0.0, math.sqrt(spread)
    if high == 0 or questions_needed(high, spread, alpha, power) > questions:
        return high
    for _ in range(60):  # halves the bracket to below the precision of a float
        middle = (low + high) / 2
        enough = middle > 0 and questions_needed(middle, spread, alpha, power) <= questions
        low, high = (low, middle) if enough else (middle, high)
    return high


def power_of(differences: Sequence[float]) -> Power | None:
    """The power of a paired comparison; None if no question differs, so that nothing tells how much they would."""
    spread = sum(difference**2 for difference in differences) / max(1, len(differences))
    if spread == 0:
        return None
    mean = math.fsum(differences) / len(differences)
    needed = questions_needed(mean, spread) if abs(mean) > 1e-12 else None
    return Power(detectable_difference(len(differences), spread), needed)


# ---- confidence ----------------------------------------------------------------------------------------------------


def brier(confidences: Sequence[float], correct: Sequence[bool]) -> float:
    """The mean squared distance between confidence, in [0, 1], and what came: 0 is perfect, 0.25 a coin's."""
    pairs = zip(confidences, correct, strict=True)
    return math.fsum((confidence - right) ** 2 for confidence, right in pairs) / len(confidences)


def calibration_error(confidences: Sequence[float], correct: Sequence[bool], bins: int = 10) -> float:
    """Expected calibration error (arXiv 1706.04599, equation 3): how far confidence and accuracy are apart on the mean
    over bins of equal width, each counted by what is in it. A confidence on an edge belongs to the bin below."""
    placed: dict[int, list[tuple[float, bool]]] = {}
    for confidence, right in zip(confidences, correct, strict=True):
        placed.setdefault(max(0, math.ceil(confidence * bins) - 1), []).append((confidence, right))
    gaps = (abs(math.fsum(confidence - right for confidence, right in members)) for members in placed.values())
    return math.fsum(gaps) / len(confidences)


# ---- several judges ------------------------------------------------------------------------------------------------


def cohen_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float | None:
    """Cohen's kappa of two judges over the same items; None if chance alone would make them agree on all."""
    n = len(first)
    agreed = sum(one == other for one, other in zip(first, second, strict=True))
    ours, theirs = Counter(first), Counter(second)
    by_chance = sum(ours[word] * theirs[word] for word in ours) / n if n else 0.0
    return None if n == 0 or by_chance == n else (agreed - by_chance) / (n - by_chance)


def krippendorff_alpha(units: Sequence[Sequence[Hashable]]) -> float | None:
    """Krippendorff's alpha for nominal data: each unit holds the words of those judges that judged it.

    1 - (n - 1) · Σ_u Σ_{c≠k} n_uc·n_uk / (m_u - 1) ÷ Σ_{c≠k} n_c·n_k, over units with at least two words
    (Krippendorff, Computing Krippendorff's alpha-reliability, 2011). None if only one word was ever said.
    """
    totals: Counter[Hashable] = Counter()
    observed = 0.0
    for unit in units:
        if len(unit) < 2:
            continue
        counts = Counter(unit)
        totals.update(counts)
        observed += (len(unit) ** 2 - sum(count**2 for count in counts.values())) / (len(unit) - 1)
    n = totals.total()
    expected = n**2 - sum(count**2 for count in totals.values())
    return 1 - (n - 1) * observed / expected if expected else None
