"""The months, against the calendar of the standard library."""

import calendar
import re

from webdancer_cli.text.months import ANY_MONTH, MONTH, MONTHS


def test_there_are_twelve_in_their_order_and_each_is_found() -> None:
    assert list(MONTHS) == [name for name in calendar.month_name if name]
    assert all(re.fullmatch(MONTH, name) and re.fullmatch(ANY_MONTH, name) for name in MONTHS)
    assert re.fullmatch(ANY_MONTH, "août") and not re.fullmatch(ANY_MONTH, "may")
