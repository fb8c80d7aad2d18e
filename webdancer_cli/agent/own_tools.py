"""A user's own tools: a function with a typed signature and a docstring becomes a tool of the agent.

``--tool module:function`` or ``--tool file.py:function``. The signature becomes the JSON schema that the policy is
shown and by which its arguments are checked; the docstring describes the tool, and lines ``name: text`` under its
``Args:`` describe the parameters. The function may be ``async``; one that is not runs in a thread of its own.
"""

import asyncio
import importlib
import importlib.util
import inspect
import re
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from webdancer_cli.errors import ToolError, UsageError
from webdancer_cli.records import content_id

RESERVED = ("search", "visit")
REMEDY = 'name it as "module:function" or "file.py:function"'


class OwnTool:
    """One function as a tool. Raises UsageError for a function from which no schema can be made."""

    def __init__(self, name: str, function: Callable[..., Any]):
        self.name = name
        self._function = function
        self._arguments = _arguments(name, function)
        self.schema = _schema(name, function, self._arguments)

    def fault(self, arguments: dict[str, Any]) -> str | None:
        """What is wrong with the arguments of a call."""
        try:
            msgspec.convert(arguments, self._arguments, strict=False)
        except msgspec.ValidationError as error:
            return f"{self.name}: {error}"
        return None

    async def call(self, arguments: dict[str, Any]) -> str:
        """What the function returns, as text. Raises ToolError for whatever it raises: that is the policy's to read."""
        given = msgspec.structs.asdict(msgspec.convert(arguments, self._arguments, strict=False))
        if inspect.iscoroutinefunction(self._function):
            [result] = await asyncio.gather(self._function(**given), return_exceptions=True)
        else:
            result = await _in_thread(self._function, given)
        if isinstance(result, BaseException):
            raise ToolError(f"{self.name} failed: {_one_line(result)}") from result
        return _text(result)


def load_tools(names: Sequence[str]) -> list[OwnTool]:
    """The tools that ``--tool`` names. Raises UsageError, naming the tool, for one that cannot be used."""
    tools = [OwnTool(*_function(name)) for name in names]
    called = [*RESERVED, *(tool.name for tool in tools)]
    if twice := next((name for name in called if called.count(name) > 1), None):
        raise UsageError(f"--tool {','.join(names)}: two tools are called {twice}; rename yours")
    return tools


# ---- finding the function ------------------------------------------------------------------------------------------


def _function(named: str) -> tuple[str, Callable[..., Any]]:
    source, colon, name = named.rpartition(":")
    if not colon or not source or not name:
        raise UsageError(f"--tool {named}: {REMEDY}")
    function = getattr(_module(named, source), name, None)
    if not callable(function):
        raise UsageError(f"--tool {named}: {source} has no function {name}")
    return name, function


def _module(named: str, source: str) -> Any:
    try:
        return _from_file(source) if source.endswith(".py") else _from_here(source)
    except BaseException as error:  # whatever a user's module raises on import is the user's to read
        if not isinstance(error, Exception):
            raise
        raise UsageError(f"--tool {named}: {_one_line(error)}: {REMEDY}") from error


def _from_here(name: str) -> Any:
    """A module that is installed, or lies in the current folder."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    return importlib.import_module(name)


def _from_file(path: str) -> Any:
    name = f"webdancer_tool_{content_id(Path(path).resolve())}"
    spec = importlib.util.spec_from_file_location(name, path)
    if name in sys.modules or spec is None or spec.loader is None:
        return importlib.import_module(name)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


# ---- the schema ----------------------------------------------------------------------------------------------------


def _arguments(name: str, function: Callable[..., Any]) -> type[msgspec.Struct]:
    """The parameters as a type that decodes and checks the arguments of a call."""
    try:
        hints = get_type_hints(function, include_extras=True)
        fields = [_field(name, each, hints) for each in inspect.signature(function).parameters.values()]
        kind = msgspec.defstruct(f"{name}_arguments", fields, kw_only=True, forbid_unknown_fields=True)
        msgspec.json.schema(kind)
    except (TypeError, NameError, ValueError) as error:
        raise UsageError(f"--tool {name}: its signature gives no JSON schema: {_one_line(error)}") from None
    return kind


def _field(name: str, parameter: inspect.Parameter, hints: dict[str, Any]) -> tuple[str, Any] | tuple[str, Any, Any]:
    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        raise UsageError(f"--tool {name}: parameter {parameter} has no name of its own; write each one out")
    if parameter.name not in hints:
        raise UsageError(f"--tool {name}: parameter {parameter.name} has no type; write {parameter.name}: str, or so")
    if parameter.default is parameter.empty:
        return parameter.name, hints[parameter.name]
    return parameter.name, hints[parameter.name], _default(parameter.default)


def _default(value: Any) -> Any:
    """Lists and dicts as defaults are copied for each call."""
    return msgspec.field(default_factory=lambda: type(value)(value)) if isinstance(value, list | dict | set) else value


def _schema(name: str, function: Callable[..., Any], arguments: type[msgspec.Struct]) -> dict[str, Any]:
    text = inspect.getdoc(function) or ""
    if not text.strip():
        raise UsageError(f"--tool {name}: it has no docstring; the policy knows by it what the tool is for")
    about, _, parameters = text.partition("Args:")
    [_], kinds = msgspec.json.schema_components([arguments])
    own = kinds.pop(arguments.__name__)
    properties: dict[str, Any] = own.get("properties", {})
    for parameter, description in re.findall(r"^\s+(\w+)(?: \([^)]*\))?: (.+)$", parameters, re.MULTILINE):
        if parameter in properties:
            properties[parameter].setdefault("description", description.strip())
    schema = {"type": "object", "properties": properties, "required": own.get("required", [])}
    return {
        "name": name,
        "description": about.strip(),
        "parameters": {**schema, "$defs": kinds} if kinds else schema,
    }


# ---- running it ----------------------------------------------------------------------------------------------------


async def _in_thread(function: Callable[..., Any], given: dict[str, Any]) -> Any:
    """What the function returns or raises. A thread that hangs is left behind; a daemon cannot hold up the end."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Any] = loop.create_future()

    def deliver(value: Any) -> None:
        if not outcome.done():
            outcome.set_result(value)

    def run() -> None:
        try:
            value = function(**given)
        except BaseException as error:  # handed to the policy, which reads it as an observation
            value = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(deliver, value)

    threading.Thread(target=run, daemon=True).start()
    return await outcome


def _text(value: Any) -> str:
    """Text as it is, anything else as JSON, or as Python shows it."""
    if isinstance(value, str):
        return value
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError):
        return str(value)


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")
