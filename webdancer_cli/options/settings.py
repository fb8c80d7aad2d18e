"""Where a value comes from: the flag, else a WEBDANCER_* variable, else webdancer.toml, else the default in config.py.

``WEBDANCER_SAMPLE_JOBS`` speaks to one command, ``WEBDANCER_JOBS`` to all that have the option; in ``webdancer.toml`` a
key at the top speaks to all, a key in the table ``[sample]`` to one. Names that no command knows are refused: a typo
must not pass as a default.
"""

import ast
import dataclasses
import difflib
import inspect
import os
import sys
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from webdancer_cli.errors import UsageError
from webdancer_cli.options import config
from webdancer_cli.options.option_checks import LONGER, checked, kinds_of, option, plain_type
from webdancer_cli.text.encoding import decode_file

FILE = "webdancer.toml"
PREFIX = "WEBDANCER_"
NOT_OPTIONS = frozenset({"WEBDANCER_DEBUG"})
COMMANDS: dict[str, type] = {
    "crawlqa": config.CrawlqaOptions,
    "index": config.IndexOptions,
    "e2hqa": config.E2hqaOptions,
    "lint": config.LintOptions,
    "sample": config.SampleOptions,
    "filter": config.FilterOptions,
    "sft": config.SftOptions,
    "rl": config.RlOptions,
    "eval": config.EvalOptions,
    "compare": config.CompareOptions,
    "verify": config.VerifyOptions,
    "world": config.WorldOptions,
    "split": config.SplitOptions,
    "map": config.MapOptions,
    "tape": config.TapeOptions,
    "view": config.ViewOptions,
}
"""The commands in pipeline order, and what each can be told."""

Options = TypeVar("Options")


@dataclasses.dataclass(frozen=True)
class OptionValue:
    """The value of one option, and who gave it: "--jobs", "WEBDANCER_JOBS", "webdancer.toml" or "default"."""

    value: Any
    source: str


def _field(name: str) -> str:
    """The field of a name in ``webdancer.toml`` or of a variable."""
    return next((field for field, longer in LONGER.items() if longer == name), name)


def resolve(command: str, flags: Mapping[str, Any], folder: str = ".") -> dict[str, OptionValue]:
    """Every option of ``command`` with its source. ``flags`` holds what the command line gave; None is "not given".

    Raises UsageError for a value of the wrong type or out of bounds, naming the option and who gave it.
    """
    kinds, fields = kinds_of(COMMANDS[command]), dataclasses.fields(COMMANDS[command])
    given = _from_file(command, folder) | _from_environment(command) | _from_flags(flags)
    values = {
        field.name: _checked(field.name, kinds[field.name], given[field.name])
        if field.name in given
        else OptionValue(_default(field), "default")
        for field in fields
    }
    return values | _dependent(COMMANDS[command], values)


def _dependent(kind: type, values: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
    """Defaults that depend on the values of other options: what a dataclass made of a None when it was built."""
    settled = vars(build(kind, values))
    return {
        name: OptionValue(settled[name], "default")
        for name, value in values.items()
        if value.value is not settled[name]
    }


def build(kind: type[Options], values: Mapping[str, OptionValue]) -> Options:
    return kind(**{name: value.value for name, value in values.items()})


def show(command: str, values: Mapping[str, OptionValue]) -> str:
    """The values as a table of ``webdancer.toml``, each with its source; what is not set is a comment."""
    lines = [_shown(name, value) for name, value in values.items()]
    width = max(len(line) for line in lines)
    return "\n".join(
        [f"[{command}]"]
        + [f"{line:<{width}}  # {value.source}" for line, value in zip(lines, values.values(), strict=True)]
    )


def _shown(name: str, value: OptionValue) -> str:
    text = msgspec.json.encode(value.value).decode()
    return f"# {name} is not set" if value.value is None else f"{name} = {text}"


def documentation(kind: type) -> dict[str, str]:
    """What each option means: the string under its field in its class. Own fields come first, then shared ones."""
    texts: dict[str, str] = {}
    for base in filter(dataclasses.is_dataclass, kind.__mro__):
        for name, text in _field_texts(_classes(base.__module__)[base.__name__]):
            texts.setdefault(name, text)
    return texts


@cache
def _classes(module: str) -> dict[str, ast.ClassDef]:
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def _field_texts(node: ast.ClassDef) -> list[tuple[str, str]]:
    return [
        (field.target.id, str(text.value.value))
        for field, text in zip(node.body, node.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    ]


def default_text(kind: type, name: str) -> str:
    """The default as help shows it; empty when there is none."""
    value = _default(next(field for field in dataclasses.fields(kind) if field.name == name))
    if value is None or value is False or value == []:
        return ""
    return ",".join(value) if isinstance(value, list) else str(value)


def _default(field: "dataclasses.Field[Any]") -> Any:
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default


def _from_flags(flags: Mapping[str, Any]) -> dict[str, OptionValue]:
    return {name: OptionValue(_joined(name, value), option(name)) for name, value in flags.items() if value is not None}


def _joined(name: str, value: Any) -> Any:
    """A list may come in several flags, each of which may hold several values; URLs, files and words keep commas."""
    return ",".join(value) if isinstance(value, list) and name not in ("roots", "files", "command") else value


def _from_environment(command: str) -> dict[str, OptionValue]:
    """What the environment says to this command; the variable that names the command wins."""
    fields = set(kinds_of(COMMANDS[command]))
    found: dict[str, OptionValue] = {}
    for variable in sorted(os.environ, key=lambda name: name.startswith(f"{PREFIX}{command.upper()}_")):
        if variable.startswith(PREFIX) and variable not in NOT_OPTIONS:
            for_command, name = _split_variable(variable)
            if for_command in (None, command) and name in fields:
                found[name] = OptionValue(os.environ[variable], variable)
    return found


def _split_variable(variable: str) -> tuple[str | None, str]:
    rest = _field(variable.removeprefix(PREFIX).lower())
    first, _, name = rest.partition("_")
    if first in COMMANDS and _field(name) in kinds_of(COMMANDS[first]):
        return first, _field(name)
    if not any(rest in kinds_of(kind) for kind in COMMANDS.values()):
        raise UsageError(f"{variable}: no command has such an option; unset it, or see `webdancer COMMAND --help`")
    return None, rest


def _from_file(command: str, folder: str) -> dict[str, OptionValue]:
    table = _renamed(_read_file(Path(folder) / FILE))
    tables = {name: value for name, value in table.items() if isinstance(value, dict)}
    for name, value in tables.items():
        _refuse_unknown(f"{FILE}: [{name}]", [name], COMMANDS)
        _refuse_unknown(f"{FILE}: [{name}]", value, kinds_of(COMMANDS[name]))
    for_all = {name: value for name, value in table.items() if name not in tables}
    _refuse_unknown(FILE, for_all, {name for kind in COMMANDS.values() for name in kinds_of(kind)})
    mine = {name: value for name, value in for_all.items() if name in kinds_of(COMMANDS[command])}
    return {name: OptionValue(value, FILE) for name, value in (mine | tables.get(command, {})).items()}


def _read_file(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        return tomllib.loads(decode_file(path.read_bytes()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{FILE}: not valid TOML: {error}") from None
    except OSError as error:
        raise UsageError(f"{FILE}: {error.strerror}") from None


def _renamed(table: dict[str, Any]) -> dict[str, Any]:
    return {_field(name): _renamed(value) if isinstance(value, dict) else value for name, value in table.items()}


def _refuse_unknown(where: str, names: Any, known: Any) -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            remedy = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
            raise UsageError(f"{where}: unknown name {name!r}; {remedy}")


def _checked(name: str, kind: Any, value: OptionValue) -> OptionValue:
    """The value as its type, within its bounds. Text is read as that type; lists are split at commas."""
    given = value.value
    if plain_type(kind) is list and isinstance(given, str):
        given = [part.strip() for part in given.split(",") if part.strip()]
    where = f"{FILE}: {name}" if value.source == FILE else value.source
    return OptionValue(checked(kind, given, where, strict=False), value.source)
