"""Shares of the types hold at every moment, in bounded memory, and what does not fit is told."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.data.records import QA
from webdancer_cli.errors import UsageError
from webdancer_cli.options import config
from webdancer_cli.synthesis import mix
from webdancer_cli.synthesis.mix import Mix, parse, quotas, shares_of

TWO_TO_ONE = parse(["single_hop=2", "multi_hop=1"])


def qa(kind: str, number: int = 0) -> QA:
    return QA(question=f"Which {kind}, {number}?", answer="x", type=kind)


def passed(mixed: Mix, kinds: str) -> str:
    """What goes out for a row of questions, all by the first letters of their types; "!" is a surplus."""
    names = {"s": "single_hop", "m": "multi_hop", "c": "count"}
    out = ""
    for number, letter in enumerate(kinds):
        asked = qa(names[letter], number)
        if surplus := mixed.surplus(asked):
            assert (surplus.reason, surplus.failed) == ("over_share", False)
            out += "!"
        else:
            out += "".join(ready.type[0] for ready in mixed.pass_on(asked))
    return out


def test_what_would_exceed_its_share_waits_for_the_others() -> None:
    # With n out, a type may go on while it has less than its share of n + 1. Single, share 2/3: 0 < 2/3 goes, 1 < 4/3
    # goes, 2 < 2 waits; then multi: 0 < 1 goes, and with 3 out the waiting ones: 2 < 8/3 goes, 3 < 10/3 goes, 4 waits.
    assert passed(Mix(TWO_TO_ONE), "sssss") == "ss"
    assert passed(Mix(TWO_TO_ONE), "sssssm") == "ssmss"
    assert passed(Mix(TWO_TO_ONE), "sssssmm") == "ssmssms"


def test_a_type_without_a_share_is_surplus_and_without_shares_everything_passes() -> None:
    assert passed(Mix(TWO_TO_ONE), "c") == "!"
    assert passed(Mix({}), "sscm") == "sscm"


def test_what_an_earlier_run_wrote_counts() -> None:
    assert passed(Mix(TWO_TO_ONE, {"single_hop": 4, "multi_hop": 0, "count": 9}), "sm") == "m"


def test_waiting_is_bounded_and_what_waits_at_the_end_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mix, "MOST_WAITING", 2)
    mixed = Mix(TWO_TO_ONE)
    assert passed(mixed, "mmmm") == "m!" and [each.question for each, _ in mixed.finish()] == [
        "Which multi_hop, 1?",
        "Which multi_hop, 2?",
    ]
    assert list(mixed.finish()) == []


@given(st.lists(st.sampled_from("smc"), max_size=120), st.lists(st.integers(1, 5), min_size=3, max_size=3))
def test_at_every_moment_each_type_is_less_than_one_question_ahead_of_its_share(
    kinds: list[str], weights: list[int]
) -> None:
    shares = parse(
        [f"{name}={weight}" for name, weight in zip(("single_hop", "multi_hop", "count"), weights, strict=True)]
    )
    mixed, out, waiting = Mix(shares), Counter[str](), Counter[str]()
    names = {name[0]: name for name in shares}
    for number, letter in enumerate(kinds):
        waiting[names[letter]] += 1
        for ready in mixed.pass_on(qa(names[letter], number)):
            out[ready.type] += 1
            waiting[ready.type] -= 1
            assert all(out[name] < share * out.total() + 1 for name, share in shares.items())
        # Nothing waits that could go: each waiting type has reached its share of one question more.
        assert all(out[name] >= shares[name] * (out.total() + 1) for name, left in waiting.items() if left)
    assert Counter(each.type for each, _ in mixed.finish()) == +waiting


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["riddle=1"], "riddle=1: no such type"),
        (["single_hop"], "needs the form TYPE=NUMBER"),
        (["single_hop=many"], "needs the form TYPE=NUMBER"),
        (["single_hop=-1"], "needs the form TYPE=NUMBER"),
        (["single_hop=1/0"], "needs the form TYPE=NUMBER"),
        (["single_hop=nan"], "needs the form TYPE=NUMBER"),
        (["single_hop=1", "single_hop=2"], "has a share already"),
        (["single_hop=0", "multi_hop=0"], "all shares are 0"),
    ],
)
def test_a_mix_that_cannot_be_is_refused(given: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        parse(given)


def test_a_share_for_a_type_that_is_not_written_is_refused() -> None:
    with pytest.raises(UsageError, match="not among --types count"):
        shares_of(config.CrawlqaOptions(types=["count"], mix=["single_hop=1"]))


def test_more_is_asked_for_of_a_type_with_a_larger_share() -> None:
    # 3 of the largest, of the others 3 · 1/4 and 3 · 2/4, rounded up.
    wanted = config.CrawlqaOptions(per_page=3, mix=["single_hop=4", "count=1", "multi_hop=2.0", "temporal=0"])
    assert quotas(wanted) == {"single_hop": 3, "count": 1, "multi_hop": 2}
    assert quotas(config.CrawlqaOptions(types=["count"], per_page=2)) == {"count": 2}
