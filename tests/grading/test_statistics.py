"""Statistics as in statsmodels, scipy, scikit-learn and published tables; bootstraps within their error."""

from itertools import product
from statistics import fmean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.grading.statistics import (
    brier,
    calibration_error,
    cluster_bootstrap,
    cohen_kappa,
    detectable_difference,
    interval_of_shares,
    krippendorff_alpha,
    mcnemar_exact,
    paired_bootstrap,
    power_of,
    questions_needed,
    wilson,
)

# ---- intervals


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),  # statsmodels 0.14: proportion_confint(k, n, method="wilson")
    [
        (53, 103, 0.41926957086238625, 0.608809416762022),  # GAIA, 51.5 %: [41.9, 60.9]
        (0, 10, 0.0, 0.27753279986288926),
        (10, 10, 0.7224672001371106, 1.0),
        (1, 2, 0.09453120573423068, 0.9054687942657693),
        (500, 1000, 0.4690696003681042, 0.5309303996318958),
        (7, 680, 0.0049952359926827145, 0.02109481542283438),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilsons_interval_is_that_of_statsmodels(k: int, n: int, low: float, high: float) -> None:
    assert wilson(k, n) == pytest.approx((low, high), abs=1e-6)


@given(st.integers(1, 500), st.data())
def test_wilsons_interval_holds_the_share(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    low, high = wilson(k, n)
    assert 0 <= low <= k / n + 1e-12 and k / n - 1e-12 <= high <= 1


def test_wilsons_interval_refuses_more_successes_than_tries() -> None:
    with pytest.raises(ValueError, match="0 <= k <= n"):
        wilson(3, 2)


def test_the_bootstrap_agrees_with_the_normal_interval_and_repeats_itself() -> None:
    # 200 questions, half of them 1/3 and half 2/3: the mean's standard error is (1/6)/√200 = 0.01179
    values = [1 / 3, 2 / 3] * 100
    low, high = cluster_bootstrap(values, seed=1)
    assert (low, high) == pytest.approx((0.5 - 1.96 * 0.01179, 0.5 + 1.96 * 0.01179), abs=0.003)
    assert cluster_bootstrap(values, seed=1) == (low, high) != cluster_bootstrap(values, seed=2)


def test_the_bootstrap_is_the_distribution_of_all_resamples() -> None:
    # Of 4 questions there are 4⁴ = 256 equally likely resamples; 2.5 % of them are 6.4.
    values = [0.0, 0.1, 0.5, 1.0]
    means = sorted(fmean(drawn) for drawn in product(values, repeat=4))
    low, high = cluster_bootstrap(values, resamples=20_000)
    assert means[4] - 1e-9 <= low <= means[9] + 1e-9 and means[-10] - 1e-9 <= high <= means[-5] + 1e-9


def test_the_order_of_questions_makes_no_difference() -> None:
    values = [0.0, 1 / 3, 1.0, 2 / 3, 0.0, 1.0]
    assert cluster_bootstrap(values, 3) == cluster_bootstrap(values[::-1], 3)


def test_where_all_questions_are_alike_the_interval_is_not_a_point() -> None:
    assert cluster_bootstrap([1.0] * 10) == wilson(10, 10)
    assert cluster_bootstrap([]) == (0.0, 1.0)


def test_with_one_run_the_interval_is_wilsons() -> None:
    assert interval_of_shares([1.0, 0.0, 0.0]) == wilson(1, 3)
    assert interval_of_shares([1.0, 0.5, 0.0]) == cluster_bootstrap([1.0, 0.5, 0.0])


# ---- two models


@pytest.mark.parametrize(
    ("gained", "lost", "p"),  # scipy 1.17: binomtest(gained, gained + lost).pvalue; the same in statsmodels' mcnemar
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (5, 0, 0.0625),
        (8, 2, 0.109375),
        (12, 25, 0.04703102743951604),
        (100, 130, 0.05561357778139238),
        (400, 460, 0.04416954819458914),
        (5000, 5000, 1.0),
    ],
)
def test_mcnemars_test_is_that_of_scipy_and_statsmodels(gained: int, lost: int, p: float) -> None:
    assert mcnemar_exact(gained, lost) == pytest.approx(p, abs=1e-9)
    assert mcnemar_exact(lost, gained) == mcnemar_exact(gained, lost)


def test_the_paired_bootstrap_agrees_with_the_normal_interval() -> None:
    # 300 questions: 60 gained, 30 lost. Mean 0.1, variance (90/300) - 0.1² = 0.29, standard error √(0.29/300) = 0.03109
    differences = [1.0] * 60 + [-1.0] * 30 + [0.0] * 210
    low, high = paired_bootstrap(differences)
    assert (low, high) == pytest.approx((0.1 - 1.96 * 0.03109, 0.1 + 1.96 * 0.03109), abs=0.007)


def test_where_no_question_differs_some_still_might() -> None:
    # Of 100 questions none changed: by Wilson up to z²/(n + z²) = 3.8415/103.8415 may.
    assert paired_bootstrap([0.0] * 100) == pytest.approx((-0.036993, 0.036993), abs=1e-6)
    assert paired_bootstrap([1.0] * 100) == pytest.approx((0.963007, 1.0), abs=1e-6)
    assert paired_bootstrap([]) == (-1.0, 1.0)


def test_questions_needed_by_hand() -> None:
    # (1.959964·√0.2 + 0.841621·√(0.2 - 0.01))² / 0.01 = (0.876523 + 0.366854)² / 0.01 = 154.6
    assert questions_needed(0.1, 0.2) == 155
    # (1.959964·√0.3 + 1.281552·√(0.3 - 0.0025))² / 0.0025 = (1.073516 + 0.698999)² / 0.0025 = 1256.7
    assert questions_needed(0.05, 0.3, power=0.9) == 1257
    assert questions_needed(-0.1, 0.2) == 155


@given(st.integers(20, 3000), st.floats(0.02, 1.0))
def test_what_can_be_detected_is_what_needs_so_many_questions(questions: int, spread: float) -> None:
    difference = detectable_difference(questions, spread)
    assert questions_needed(difference, spread) <= questions
    assert questions_needed(0.999 * difference, spread) >= questions * 0.99


def test_power_of_a_comparison() -> None:
    found = power_of([1.0] * 20 + [-1.0] * 10 + [0.0] * 70)
    assert found is not None and found.needed == questions_needed(0.1, 0.3) and 0.1 < found.detectable < 0.2
    assert power_of([0.0] * 50) is None and power_of([]) is None
    even = power_of([1.0, -1.0])
    assert even is not None and even.needed is None


# ---- confidence


def test_brier_is_that_of_scikit_learn() -> None:
    confidences, correct = [0.1, 0.4, 0.35, 0.8, 0.95, 0.6], [False, False, True, True, True, False]
    assert brier(confidences, correct) == pytest.approx(0.16583333333333336, abs=1e-9)


def test_calibration_error_by_hand() -> None:
    # Bins of width 0.5: (0.2, 0.4; 1 right): |0.6 - 1| = 0.4. (0.9, 0.7, 0.8; 3 right): |2.4 - 3| = 0.6. (0.4 + 0.6)/5
    assert calibration_error([0.2, 0.4, 0.9, 0.7, 0.8], [True, False, True, True, True], bins=2) == pytest.approx(0.2)
    assert calibration_error([0.0, 1.0, 1.0], [False, True, True]) == 0
    # On an edge: 0.1 belongs to the first of ten bins, with 0.05: |0.15 - 1| / 2
    assert calibration_error([0.1, 0.05], [True, False]) == pytest.approx(0.425)


# ---- judges


def test_cohens_kappa_is_that_of_statsmodels() -> None:
    first, second = [1, 1, 0, 1, 0, 0, 1, 1, 0, 2, 2, 1], [1, 0, 0, 1, 0, 1, 1, 1, 0, 2, 1, 1]
    assert cohen_kappa(first, second) == pytest.approx(0.5714285714285715, abs=1e-9)
    # The textbook table: both yes 20, first only 5, second only 10, both no 15: (0.7 - 0.5) / 0.5
    yes_yes = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    assert cohen_kappa(*zip(*yes_yes, strict=True)) == pytest.approx(0.4, abs=1e-9)
    assert cohen_kappa([1, 1], [1, 1]) is None and cohen_kappa([], []) is None


N = None
PUBLISHED = [  # Krippendorff (2011): four observers, twelve units
    [1, 2, 3, 3, 2, 1, 4, 1, 2, N, N, N],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, N, 3],
    [N, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, N],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, N],
]


def test_krippendorffs_alpha_is_the_published_one() -> None:
    units = [[word for word in unit if word is not None] for unit in zip(*PUBLISHED, strict=True)]
    assert krippendorff_alpha(units) == pytest.approx(0.743421052631579, abs=1e-9)  # printed as 0.743
    assert krippendorff_alpha([[1, 1], [1, 1]]) is None and krippendorff_alpha([[1], [2]]) is None
    # Two judges, always apart: D_o = 1, D_e = n_1·n_2·2/(n(n-1)) = 2·2·2/12: alpha = 1 - 3/2
    assert krippendorff_alpha([[1, 2], [2, 1]]) == pytest.approx(-0.5)


def test_the_bootstrap_of_many_questions_is_quick_and_tight() -> None:
    shares = [n % 4 / 3 for n in range(50_000)]
    low, high = cluster_bootstrap(shares)
    assert high - low == pytest.approx(2 * 1.96 * pstdev(shares) / 50_000**0.5, rel=0.1)
