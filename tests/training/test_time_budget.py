from itertools import pairwise

from webdancer_cli.training.distributed import ProcessGroup
from webdancer_cli.training.optimizer import COSINE_FLOOR, lr_factor
from webdancer_cli.training.time_budget import out_of_time, steps_in_time


def test_a_run_is_out_of_time_once_its_minutes_are_used_up() -> None:
    assert [out_of_time(2, seconds, ProcessGroup()) for seconds in (0, 119.9, 120, 500)] == [False, False, True, True]
    assert not out_of_time(None, 1e9, ProcessGroup())


def test_as_many_steps_are_expected_as_fit_in_at_the_pace_so_far() -> None:
    def expected(minutes: float | None, done: int, seconds: float) -> int:
        return steps_in_time(100, minutes, done, seconds, ProcessGroup())

    # 10 minutes are 600 s: at 3 s a step 200 steps fit in, at 12 s 50, and 49 at 12.1 s.
    assert expected(10, 10, 30) == 100
    assert expected(10, 10, 120) == 50
    assert expected(10, 10, 121) == 49
    assert expected(None, 10, 120) == 100
    assert expected(10, 0, 0) == 100
    assert expected(1, 10, 600) == 11  # time was over long ago: this step is the last one


def test_the_learning_rate_reaches_its_end_with_the_time_though_steps_become_slower() -> None:
    seconds, rates = 0.0, []
    while not out_of_time(10, seconds, ProcessGroup()):
        step = len(rates) + 1
        expected = steps_in_time(1000, 10, step - 1, seconds, ProcessGroup())
        rates.append(lr_factor(step, expected, 2, COSINE_FLOOR))
        seconds += 8 + 0.1 * step
    # 8 n + 0.05 n (n + 1) passes 600 at the 56th step: 8 * 55 + 154 = 594.
    assert len(rates) == 56
    assert all(later <= before for before, later in pairwise(rates[2:]))
    assert rates[-1] < COSINE_FLOOR + 0.01
