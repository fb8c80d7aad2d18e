"""A tool of your own: ``webdancer sample --tool examples/tools/dates.py:days_between …``"""

from datetime import date


def days_between(first: date, second: date, inclusive: bool = False) -> str:
    """Count the days from one date to another. Use it instead of reckoning dates in your head.

    Args:
        first: The earlier date, as YYYY-MM-DD.
        second: The later date, as YYYY-MM-DD.
        inclusive: Whether the first day counts, too.
    """
    days = (second - first).days + inclusive
    return f"{days} days from {first} to {second}"
