"""The tools that a policy may call, as JSON Schemas (draft 2020-12), and what is wrong with a call of one of them.

The agent refuses a call, and grading calls an episode malformed, by ``call_fault`` alone: what the one says of a call,
the other says, too. Formats such as ``date`` are annotations, as the standard has it by default.
"""

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match
from referencing import Registry
from referencing.exceptions import Unresolvable

from webdancer_cli.text.spacing import squeeze
from webdancer_cli.text.surrogates import mend_surrogates
from webdancer_cli.transcript.tool_calls import ToolCall

Schema = dict[str, Any]

SEARCH_SCHEMA: Schema = {
    "name": "search",
    "description": "Search the web. All queries of the array are answered in one call, each with its best results.",
    "parameters": {
        "type": "object",
        "properties": {
            "query": {
                "type": "array",
                "items": {"type": "string"},
                "description": "The queries. Several that complement each other may stand in one call.",
            }
        },
        "required": ["query"],
    },
}

VISIT_SCHEMA: Schema = {
    "name": "visit",
    "description": "Read one or more web pages and return what they say about a goal.",
    "parameters": {
        "type": "object",
        "properties": {
            "url": {
                "type": "array",
                "items": {"type": "string"},
                "description": "The address of the page, or an array of addresses.",
            },
            "goal": {"type": "string", "description": "What is to be found out from the pages."},
        },
        "required": ["url", "goal"],
    },
}

PAGED_VISIT_SCHEMA: Schema = {
    "name": "visit",
    "description": (
        "Read one or more web pages and return what they say about a goal; or, with start, read on in their text from "
        "there, as it stands."
    ),
    "parameters": {
        "type": "object",
        "properties": {
            **VISIT_SCHEMA["parameters"]["properties"],
            "start": {
                "type": "integer",
                "minimum": 0,
                "description": "The character to read from: 0 for the beginning, or what an earlier call gave.",
            },
        },
        "required": ["url", "goal"],
    },
}
"""``visit`` where pages can be read part by part."""

FIND_SCHEMA: Schema = {
    "name": "find",
    "description": "Find words in a web page: the sentences that hold them in a row, and where each of them starts.",
    "parameters": {
        "type": "object",
        "properties": {
            "url": {"type": "string", "description": "The address of the page."},
            "text": {
                "type": "array",
                "items": {"type": "string"},
                "description": "What to find: a word, or several in a row. Several things may stand in one call.",
            },
        },
        "required": ["url", "text"],
    },
}

STANDARD_TOOLS: list[Schema] = [SEARCH_SCHEMA, VISIT_SCHEMA]
"""The paper's two tools: what a call is checked against when the episode's prompt declares none."""

ASKED = {"search": "query", "visit": "url", "find": "text"}
"""What these tools are asked: a list of texts, of which one must not be blank. One text may stand for a list of it
(paper: ``url: str | [str]``)."""

DETAIL_CHARS = 300


class CallFault(NamedTuple):
    """Why a call cannot be run: a code that can be counted, and a detail for reading."""

    reason: Literal["unknown_tool", "invalid_arguments"]
    detail: str


def call_fault(call: ToolCall, tools: Iterable[Schema]) -> CallFault | None:
    """What is wrong with a call before anything runs, by the schemas of the tools; None if nothing is."""
    parameters = {tool["name"]: tool.get("parameters", {}) for tool in tools}
    if call.name not in parameters:
        return CallFault("unknown_tool", f"{call.name!r}: there are {', '.join(parameters)}")
    asked = ASKED.get(call.name)
    if asked and _is_blank(call.arguments.get(asked)):
        return CallFault("invalid_arguments", f"{call.name}: {asked!r} is missing or empty")
    detail = _schema_fault(_with_list(call.arguments, asked), parameters[call.name])
    return CallFault("invalid_arguments", f"{call.name}: {detail}") if detail else None


def _is_blank(value: object) -> bool:
    if isinstance(value, list):
        return all(_is_blank(item) for item in value)
    return value is None or (isinstance(value, str) and not value.strip())


def _with_list(arguments: dict[str, Any], asked: str | None) -> dict[str, Any]:
    if asked and isinstance(arguments.get(asked), str):
        return {**arguments, asked: [arguments[asked]]}
    return arguments


def _schema_fault(arguments: dict[str, Any], parameters: object) -> str:
    try:
        error = best_match(_validator(json.dumps(parameters)).iter_errors(arguments))
    except Unresolvable:  # a reference into nowhere, or to another document: who made the tool is to blame for that
        return ""
    except RecursionError:
        return "its arguments are nested too deeply"
    if error is None:
        return ""
    where = ".".join(str(step) for step in error.absolute_path)
    detail = f"{where}: {error.message}" if where else error.message
    return mend_surrogates(squeeze(detail))[:DETAIL_CHARS]


@lru_cache(maxsize=256)
def _validator(parameters: str) -> Draft202012Validator:
    """A registry of its own: a reference to another document fetches nothing."""
    return Draft202012Validator(_valid_part(json.loads(parameters)), registry=Registry())


def _valid_part(schema: object) -> Schema:
    """A schema without the keywords and properties that are no JSON Schema: those check nothing.

    The schemas of foreign prompts are what somebody wrote for a model to read.
    """
    if not isinstance(schema, dict):
        return {}
    if _is_valid(schema):
        return schema
    kept = {keyword: value for keyword, value in schema.items() if _is_valid({keyword: value})}
    if isinstance(schema.get("properties"), dict):
        kept["properties"] = {name: value for name, value in schema["properties"].items() if _is_valid(value)}
    return kept


def _is_valid(schema: object) -> bool:
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError:
        return False
    return True
