"""Dates, read in any of the ways in which people write them."""

from datetime import date, datetime

import dateparser

_SETTINGS = {
    "PREFER_DAY_OF_MONTH": "first",
    "PREFER_MONTH_OF_YEAR": "first",
    "RELATIVE_BASE": datetime(2000, 1, 1),  # what a date leaves open must not hang on the day on which it is read
}


def read_date(text: str) -> date | None:
    """The date that a text is, its first day if it names a month or a year alone; None if it is none."""
    found = dateparser.parse(text, settings=_SETTINGS) if text.strip() else None
    return found.date() if found else None
