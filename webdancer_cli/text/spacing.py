"""Texts in the form in which they are compared."""


def squeeze(text: str) -> str:
    """Single spaces, as quotes are compared."""
    return " ".join(text.split())


def fold(text: str) -> str:
    """Lower case, single spaces."""
    return " ".join(text.casefold().split())
