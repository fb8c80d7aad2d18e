"""A user's own tools: a function with a typed signature and a docstring becomes a tool of the agent.

``--tool module:function`` or ``--tool file.py:function``. The signature becomes the JSON schema that the policy is
shown and by which its arguments are checked; the docstring describes the tool, and lines ``name: text`` under its
``Args:`` describe the parameters. The function may be ``async``. It runs beside the event loop: one that hangs costs
its own episode only.
"""

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any, get_type_hints

import msgspec

from webdancer_cli.errors import ToolError, UsageError
from webdancer_cli.text.lenient_json import NotJson, decode
from webdancer_cli.text.surrogates import mend_surrogates
from webdancer_cli.transcript.grammar import ToolCall
from webdancer_cli.transcript.tool_schemas import call_fault
from webdancer_cli.user_functions import UserFunction, describe_error, load_function

RESERVED = ("search", "visit")


class CustomTool:
    """One function as a tool. Raises UsageError for a function from which no schema can be made."""

    def __init__(self, name: str, function: Callable[..., Any]):
        self.name = name
        self._function = UserFunction(function)
        self._arguments = _arguments(name, function)
        self.schema = _schema(name, function, self._arguments)

    def fault(self, arguments: dict[str, Any]) -> str | None:
        """What is wrong with the arguments of a call, by the schema or else by the types."""
        found = call_fault(ToolCall(self.name, arguments), [self.schema])
        return found.detail if found else self.conversion_fault(arguments)

    def conversion_fault(self, arguments: dict[str, Any]) -> str | None:
        """What no schema says: a date that is in no calendar, for example."""
        try:
            self._convert(arguments)
        except msgspec.ValidationError as error:
            return f"{self.name}: {error}"
        return None

    def repair(self, arguments: dict[str, Any], repairs: list[str]) -> dict[str, Any]:
        """The arguments as the schema wants them, where the signature tells what was meant; each mend is named.

        Lists and objects that arrived as text are read where only those are taken, and numbers likewise.
        """
        if self.fault(arguments) is None:
            return arguments
        read = {name: _decode_if_json(value) for name, value in arguments.items()}
        if self.fault(read) is None:
            repairs.append("list_as_text")
            return read
        for found, mends in ((arguments, ["value_as_text"]), (read, ["list_as_text", "value_as_text"])):
            if self.conversion_fault(found) is None and self.fault(typed := self._to_types(found)) is None:
                repairs += mends
                return typed
        return arguments

    def _convert(self, arguments: dict[str, Any]) -> msgspec.Struct:
        return msgspec.convert(arguments, self._arguments, strict=False)

    def _to_types(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """What was given, and not the defaults, each value as JSON has it."""
        values = msgspec.to_builtins(self._convert(arguments), str_keys=True)
        return {name: values[name] for name in arguments}

    async def call(self, arguments: dict[str, Any]) -> str:
        """What the function returns, as text. Raises ToolError for whatever it raises: that is the policy's to read."""
        given = msgspec.structs.asdict(self._convert(arguments))
        result = await self._function(**given)
        if isinstance(result, BaseException):
            raise ToolError(f"{self.name} failed: {describe_error(result)}") from result
        return _text(result)


def _decode_if_json(value: Any) -> Any:
    """The list or object that a text holds; anything else as it is."""
    if not (isinstance(value, str) and value.lstrip().startswith(("[", "(", "{"))):
        return value
    try:
        return decode(value)[0]
    except NotJson:
        return value


def load_tools(names: Sequence[str]) -> list[CustomTool]:
    """The tools that ``--tool`` names. Raises UsageError, naming the tool, for one that cannot be used."""
    tools = [CustomTool(*load_function("--tool", name)) for name in names]
    called = [*RESERVED, *(tool.name for tool in tools)]
    if twice := next((name for name in called if called.count(name) > 1), None):
        raise UsageError(f"--tool {','.join(names)}: two tools are called {twice}; rename yours")
    return tools


# ---- the schema ----------------------------------------------------------------------------------------------------


def _arguments(name: str, function: Callable[..., Any]) -> type[msgspec.Struct]:
    """The parameters as a type that decodes and checks the arguments of a call."""
    try:
        hints = get_type_hints(function, include_extras=True)
        fields = [_field(name, each, hints) for each in inspect.signature(function).parameters.values()]
        kind = msgspec.defstruct(f"{name}_arguments", fields, kw_only=True, forbid_unknown_fields=True)
        msgspec.json.schema(kind)
    except (TypeError, NameError, ValueError) as error:
        raise UsageError(f"--tool {name}: its signature gives no JSON schema: {describe_error(error)}") from None
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
    schema["additionalProperties"] = False
    return {
        "name": name,
        "description": about.strip(),
        "parameters": {**schema, "$defs": kinds} if kinds else schema,
    }


# ---- running it ----------------------------------------------------------------------------------------------------


def _text(value: Any) -> str:
    """Text as it is, anything else as JSON, or as Python shows it."""
    if isinstance(value, str):
        return mend_surrogates(value)
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError):
        return mend_surrogates(str(value))
