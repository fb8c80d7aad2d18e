"""``docs/records.md`` names every field of every record: in order, with its type and whether it may be missing."""

import re
import types
from pathlib import Path
from typing import Literal, Union, get_args, get_origin

import msgspec
import pytest

from webdancer_cli.data import records

PAGE = (Path(__file__).parent.parent.parent / "docs" / "records.md").read_text("utf-8")
NAMED = {records.Role: "Role", records.Ending: "Ending", records.Outcome: "Outcome"}
STRUCTS = [
    kind
    for kind in vars(records).values()
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind is not records.Record
]


def shown(kind: object) -> str:
    """A type as the page writes it."""
    if kind in NAMED:
        return NAMED[kind]
    if get_origin(kind) is Literal:
        return " or ".join(f'"{value}"' for value in get_args(kind))
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(map(shown, get_args(kind)))
    if get_args(kind):
        return f"{get_origin(kind).__name__}[{', '.join(map(shown, get_args(kind)))}]"
    return "None" if kind is type(None) else getattr(kind, "__name__", str(kind))


def rows(name: str) -> list[tuple[str, str, bool]]:
    """The field, type and obligation of each row of the table under a heading."""
    section = re.search(rf"^## `{name}`.*?(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert section, f"no section on {name}"
    cells = re.findall(r"^\| `(\w+)` \| `(.*?)`(, required)? \| .{8,} \|$", section.group(), re.MULTILINE)
    return [(field, kind, bool(required)) for field, kind, required in cells]


@pytest.mark.parametrize("kind", STRUCTS, ids=lambda kind: kind.__name__)
def test_the_reference_lists_the_fields_of_a_record(kind: type[msgspec.Struct]) -> None:
    fields = [field for field in msgspec.structs.fields(kind) if field.name != "extra"]
    assert rows(kind.__name__) == [(field.name, shown(field.type), field.required) for field in fields]


def test_the_reference_lists_every_value_of_the_closed_sets() -> None:
    for closed, name in NAMED.items():
        line = re.search(rf"^- `{name}`: (.*)$", PAGE, re.MULTILINE)
        assert line and re.findall(r'"(\w+)"', line.group(1)) == list(get_args(closed))
