from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.training.batches import Example, deal, micro_batches, shuffled
from webdancer_cli.training.renderer import Tokens


def test_similar_lengths_go_together() -> None:
    # 10 and 9 fill 20 padded tokens; then 3, 3 and 2 (three rows of 3) fill 9.
    assert micro_batches([3, 10, 2, 9, 3], range(5), 20) == [[1, 3], [0, 4, 2]]


def test_dealing_balances_tokens_not_rows() -> None:
    assert deal([8, 1, 3, 4], 2) == [[0], [3, 2, 1]]


def test_the_first_token_bears_no_loss() -> None:
    assert Example.of(Tokens([1, 2, 3], [True, False, True])).loss_tokens == 1


@given(count=st.integers(1, 20), batch_size=st.integers(1, 8), seed=st.integers(0, 5))
def test_every_pass_sees_everything_once(count: int, batch_size: int, seed: int) -> None:
    steps = 3 * count
    stream = [index for batch in shuffled(count, batch_size, steps, seed) for index in batch]
    assert len(stream) == steps * batch_size
    for start in range(0, len(stream) - count + 1, count):
        assert sorted(stream[start : start + count]) == list(range(count))


def test_the_order_depends_on_the_seed_alone() -> None:
    first, again, other = (list(islice(shuffled(50, 4, 10, seed), 10)) for seed in (1, 1, 2))
    assert first == again != other
