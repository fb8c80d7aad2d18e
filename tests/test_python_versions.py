"""What some versions of Python that the project runs on do wrong, and so is not used."""

import re
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).parent.parent / "webdancer_cli").rglob("*.py"))
POSSESSIVE_GROUP = re.compile(r"(?<!\()\)(?:[*+?]|\{{1,2}\d*,?\d*\}{1,2})\+")  # no "()": characters of URLs


@pytest.mark.parametrize("pattern", ["(?:ab)*+", "(a|b)++", "(?:a)?+", "(?:a){1,40}+", "(?:a){{2}}+"])
def test_a_possessive_group_is_found(pattern: str) -> None:
    assert POSSESSIVE_GROUP.search(pattern)
    assert not POSSESSIVE_GROUP.search(f"(?>{pattern[:-1]})")


def test_no_group_is_repeated_possessively() -> None:
    """Python before 3.11.5 may match one wrongly where what is repeated can be matched in several ways (gh-106052), as
    in Debian 12: sentences were cut wrongly there, and no question was written. An atomic group, ``(?>(?:…)*)``, says
    the same."""
    assert not [f"{path}: {found[0]}" for path in FILES for found in POSSESSIVE_GROUP.finditer(path.read_text("utf-8"))]
