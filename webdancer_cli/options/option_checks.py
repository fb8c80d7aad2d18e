"""What an option is called, which values it takes, and what is said of one that it does not take.

Options ask this whenever they are made, ``options/settings.py`` for what stands in flags, variables and files.
"""

import os
import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from webdancer_cli.errors import UsageError

LONGER = {"n": "rollouts", "source": "in"}
"""Fields whose flag has another name; both are known in ``webdancer.toml`` and in the environment."""


def option(name: str) -> str:
    """The long flag of a field: ``max_pages`` is ``--max-pages``, and ``n`` is ``--rollouts``."""
    return "--" + LONGER.get(name, name).replace("_", "-")


def choices(kind: Any) -> list[str]:
    """The words an option takes, if it takes only some."""
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    if hasattr(kind, "__metadata__"):
        return choices(kind.__origin__)
    return choices(get_args(kind)[0]) if get_origin(kind) is list else []


def plain_type(kind: Any) -> type:
    """``str``, ``int``, ``float``, ``bool`` or ``list``, out of e.g. ``Annotated[int, Meta(ge=1)] | None``."""
    if get_origin(kind) in (Union, types.UnionType):
        return plain_type(get_args(kind)[0])
    if get_origin(kind) is Literal:
        return str
    return get_origin(kind) or kind if not hasattr(kind, "__metadata__") else plain_type(kind.__origin__)


def kinds_of(options: type) -> dict[str, Any]:
    """The annotation of each field, bounds included."""
    return get_type_hints(options, include_extras=True)


def checked(kind: Any, given: Any, where: str, *, strict: bool) -> Any:
    """The value as its type, within its bounds; text is read as that type unless ``strict``.

    Raises UsageError that names ``where`` the value was given, the value, and what is taken there.
    """
    try:
        return msgspec.convert(os.fspath(given) if isinstance(given, os.PathLike) else given, kind, strict=strict)
    except msgspec.ValidationError as error:
        remedy = _wanted(kind) or str(error).lower().replace("`", "")
        raise UsageError(f"{where}: {_quoted(given)}: {remedy}") from None


def _wanted(kind: Any) -> str:
    """What an option takes, in words; "" if msgspec says it well enough."""
    if choices(kind):
        return f"choose from {', '.join(choices(kind))}"
    described = (meta.description for meta in getattr(kind, "__metadata__", ()) if getattr(meta, "description", None))
    return next(described, None) or next(filter(None, map(_wanted, get_args(kind))), "")


def _quoted(given: Any) -> str:
    return repr(given) if not isinstance(given, list) else repr(", ".join(map(str, given)))


class Options:
    """A dataclass whose fields are checked whenever it is made, by ``dataclasses.replace`` too.

    Each field by its annotation; then all together by ``contradictions``. What depends on a file, on the network or on
    what else a stage is handed, is not known here.
    """

    def __post_init__(self) -> None:
        for name, kind in kinds_of(type(self)).items():
            setattr(self, name, checked(kind, getattr(self, name), option(name), strict=True))
        for said in self.contradictions():
            raise UsageError(said)

    def contradictions(self) -> Iterator[str]:
        """What cannot hold together, in words that name the flags and the remedy; a class adds to those it extends."""
        return iter(())

    def outputs(self) -> list[str]:
        """The files that the run writes from its beginning to its end, "-" for stdout: nobody else may write them.

        A tape is none of them: it is written call by call, by many.
        """
        return []

    def output_folders(self) -> list[str]:
        """The folders that the run writes: nobody else may."""
        return []


# ---- contradictions that several commands share ---------------------------------------------------------------------


def named_files(*paths: str | None) -> list[str]:
    """Those that are files, neither missing nor "-"."""
    return [path for path in paths if path and path != "-"]


def same_file(*paths: str | None) -> Iterator[str]:
    """Nothing may be lost: no two of what is read and written are the same file."""
    files = [os.path.realpath(path) for path in named_files(*paths)]
    twice = next((path for path in files if files.count(path) > 1), None)
    if twice:
        yield f"{twice}: named twice among the files to read and to write; name different files"


def unnamed_model(flag: str, model: str | None, base_urls: list[str]) -> Iterator[str]:
    """``flag`` is the one that names the model at these endpoints."""
    if base_urls and model is None:
        yield f"{flag.replace('model', 'base-url')} {base_urls[0]}: which of its models? Name it with {flag}"


def second_model(flag: str, model: str | None, own_urls: list[str], main_urls: list[str]) -> Iterator[str]:
    """A model beside the main one, at an endpoint of its own or at the same."""
    yield from unnamed_model(flag, model, own_urls)
    if model and not (own_urls or main_urls):
        yield f"{flag} {model}: at which endpoint? Name it with {flag.replace('model', 'base-url')}"
