"""Lines of ``pages.jsonl``, whoever wrote them: mended where that is possible, else rejected by file and line.

A page needs a URL and a text. A title that is missing is empty, halves of surrogate pairs and broken UTF-8 become
U+FFFD, and whatever else does not fit is left out.
"""

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from webdancer_cli.data import jsonl
from webdancer_cli.data.input_streams import open_input
from webdancer_cli.data.jsonl import BadLine
from webdancer_cli.data.records import Link, Page, Rejected, WrongShape, fits, from_object
from webdancer_cli.text.surrogates import mend_surrogates

_OPTIONAL = {field.name: field.type for field in msgspec.structs.fields(Page) if not field.required}


def read_pages(path: str, on_bad: BadLine | None = None) -> Iterator[Page]:
    """The pages of a file. A line that is none goes to ``on_bad``, or raises UsageError without it.

    Also raises UsageError when the first line is another kind of record.
    """
    first = True
    with open_input(path) as (name, stream):
        for number, line in enumerate(iter(stream.readline, b""), 1):
            if not line.strip():
                continue
            page = parse_page(line, f"{name}:{number}")
            if isinstance(page, Page):
                yield page
            else:
                if first:
                    jsonl.refuse_other_kind(page.detail.partition(": ")[0], Page, page.record)
                jsonl.report_bad_line(on_bad, page)
            first = False


def parse_page(line: bytes, name: str) -> Page | Rejected:
    """The page that a line holds, or why it is none; ``name`` is the line's, for messages."""
    try:
        value = _decode_line(line)
    except (ValueError, RecursionError) as error:
        why = jsonl.why_not_json(_readable(line), error)
        return Rejected(reason="broken_line", detail=f"{name}: not valid JSON: {why}", record=_readable(line))
    try:
        return _page(value)
    except WrongShape as error:
        return Rejected(reason="wrong_shape", detail=f"{name}: not a page: {error}", record=value)


def _readable(line: bytes) -> str:
    """A line for a person to read."""
    return line.decode("utf-8", "replace").rstrip("\r\n")


def _decode_line(line: bytes) -> object:
    """The value of a line of JSON. Raises ValueError and RecursionError."""
    try:
        return msgspec.json.decode(line)
    except (ValueError, RecursionError):
        return _mended(json.loads(line.decode("utf-8", "replace"), strict=False, parse_constant=lambda _: None))


def _mended(value: Any) -> Any:
    """The value with every half of a surrogate pair replaced."""
    if isinstance(value, dict):
        return {mend_surrogates(name): _mended(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_mended(item) for item in value]
    return mend_surrogates(value) if isinstance(value, str) else value


def _page(value: object) -> Page:
    """The page of a decoded line. Raises WrongShape."""
    try:
        return from_object(Page, value)
    except WrongShape:
        return from_object(Page, _fitting(value) if isinstance(value, dict) else value)


def _fitting(value: dict[str, Any]) -> dict[str, Any]:
    """What fits of a page's fields; unknown ones stay as they are."""
    title = value.get("title")
    links = value.get("links")
    kept = {name: item for name, item in value.items() if name not in _OPTIONAL or fits(item, _OPTIONAL[name])}
    kept["title"] = "" if title is None or isinstance(title, dict | list) else str(title)
    if isinstance(links, list):
        kept["links"] = [link for link in map(_link, links) if fits(link, Link)]
    return kept


def _link(link: object) -> object:
    return (
        {"text": "", **{name: item for name, item in link.items() if item is not None}}
        if isinstance(link, dict)
        else link
    )
