"""What there is in each domain of a varied world: kinds, relations, and relations that two others make."""

import tomllib
from functools import cache
from importlib import resources

import msgspec


class WorldRelation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """See ``domains.toml``. Exactly one of ``to``, ``date``, ``number`` and ``words`` says what the value is."""

    name: str = ""
    to: str = ""
    date: tuple[int, int] | None = None
    number: tuple[int, int] | None = None
    words: list[str] = []
    verb: str = ""
    many: tuple[int, int] | None = None
    plural: str = ""
    symmetric: bool = False
    earlier: bool = False
    pronoun: str = ""
    unit: str = ""
    greater: str = ""

    @property
    def label(self) -> str:
        """The relation as a noun, in the plural where it has several values."""
        return self.plural if self.many else self.name


class Kind(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``share`` weighs how many there are, ``human`` decides the pronoun."""

    plural: str
    share: int
    relations: dict[str, WorldRelation]
    human: bool = False


class DomainPlan(msgspec.Struct, frozen=True):
    """``derived``: a noun for two relations in a row, with the kind that it is said of."""

    kinds: dict[str, Kind]
    derived: dict[str, tuple[str, str, str]]


@cache
def domain_plan(name: str) -> DomainPlan:
    tables = tomllib.loads((resources.files(__package__) / "domains.toml").read_text("utf-8"))[name]
    derived = {noun: tuple(parts) for noun, parts in tables.pop("derived").items()}
    kinds = {kind: msgspec.convert(table, Kind) for kind, table in tables.items()}
    return DomainPlan(
        {kind: _named(own) for kind, own in kinds.items()}, msgspec.convert(derived, dict[str, tuple[str, str, str]])
    )


def _named(kind: Kind) -> Kind:
    named = {name: msgspec.structs.replace(own, name=name) for name, own in kind.relations.items()}
    return msgspec.structs.replace(kind, relations=named)
