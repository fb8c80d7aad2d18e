"""JSON as models and data sets write it: almost JSON, read without guessing, every repair named.

One reader for all of it: tool calls, the replies of judges and writers, lists that stand in a cell as text. What is
JSON is read as JSON. Beyond it are read: other quotation marks, Python's and JavaScript's spelling, commas too many and
too few, line breaks and quotation marks inside a string, and escapes that JSON does not know. What was cut off is not
completed unless the caller knows that it ended there.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from webdancer_cli.text.surrogates import mend_surrogates

DEEPEST = 200
"""Brackets inside brackets; what is nested deeper is no message of a model."""


class NotJson(ValueError):
    """The text cannot be read as JSON, however leniently."""


class ParsedValue(NamedTuple):
    """A value in a text: from ``start`` up to ``end``. ``repairs`` names what was mended, in snake_case."""

    value: Any
    start: int
    end: int
    repairs: list[str]


def decode(text: str) -> tuple[Any, list[str]]:
    """The value that a text is, apart from a code fence around it, and the repairs. Raises NotJson."""
    body, fence = strip_fence(text.strip())
    try:
        found = value_at(body, 0)
        if body[found.end :].strip():
            raise NotJson(f"more text after it: {body[found.end :].strip()[:20]!r}")
    except NotJson:
        if not re.match(r'[\[{]\s*\\"', body):
            raise
        found = value_at(_whole_string(f'"{body}"'), 0)  # escaped as a string, without the string's own marks
        found.repairs.insert(0, "json_as_text")
    return found.value, [*fence, *found.repairs]


def parse_list(text: str) -> tuple[list[Any], list[str]] | None:
    """The list that a text holds, as JSON or as Python writes it, also as a string inside a string; None for any other
    text, such as one that merely begins with a bracket.
    """
    for _ in range(3):
        if not re.match(r"\s*(?:[\[(\"'“]|```)", text):
            return None
        try:
            value, repairs = decode(text)
        except NotJson:
            return None
        if isinstance(value, list):
            return value, repairs
        if not isinstance(value, str):
            return None
        text = value
    return None


def value_at(text: str, start: int, *, ended: bool = False) -> ParsedValue:
    """The value that begins at ``start``, whatever follows it. Raises NotJson.

    ``ended``: the text is known to be complete, so that brackets which are missing at its end may be added.
    """
    return _Reader(text).value_at(start, ended=ended)


def find_objects(text: str, opening: str = "{") -> Iterator[ParsedValue]:
    """The objects in a text, in order, none inside another; with ``opening`` "[{", lists as well."""
    reader, start_of = _Reader(text), re.compile(f"[{re.escape(opening)}]")
    at = 0
    while match := start_of.search(text, at):
        at = match.start() + 1
        if match.start() in reader.failed:
            continue
        try:
            found = reader.value_at(match.start())
        except _TooDeep as error:
            at = error.at
        except NotJson:
            pass
        else:
            yield found
            at = found.end


class _TooDeep(NotJson):
    def __init__(self, at: int):
        super().__init__("nested too deeply")
        self.at = at


def strip_fence(text: str) -> tuple[str, list[str]]:
    match = re.fullmatch(r"```\w*[ \t]*\n?(.*?)\s*```", text, re.DOTALL)
    return (match[1], ["fenced_json"]) if match else (text, [])


def _whole_string(text: str) -> str:
    try:
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError) as error:
        raise NotJson(str(error)) from None
    return str(value)


_SPACE = re.compile(r"(?:\s+|//[^\n]*|/\*.*?\*/|#[^\n]*)*", re.DOTALL)
_WHITE = re.compile(r"\s*")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_STRICT = json.JSONDecoder(parse_constant=_no_constant)

_COMMA, _COLON = ",，", ":："
_QUOTES = {'"': '"', "'": "'", "“": '”“"', "„": '“”"', "‘": "’", "’": "’", "”": "”"}
"""What opens a string, and what may close it then."""
_OPENS = "".join(_QUOTES)
_WORD = r"[^\W\d][\w$-]*"

_CLOSES = {
    "key": re.compile(rf"\s*[{_COLON}]"),
    "member": re.compile(
        rf"\s*(?:\}}|[{_COMMA}]\s*(?:[{_OPENS}\}}]|{_WORD}\s*[{_COLON}]|//|/\*)"
        rf"|[{_OPENS}]{_WORD}[{_OPENS}]\s*[{_COLON}]|//|/\*)"
    ),
    "item": re.compile(
        rf"\s*(?:[\])]|[{_COMMA}]\s*(?:u?[{_OPENS}]|[\[\](){{\d.+-]|(?:true|false|null|none|nan)\b|//|/\*)"
        rf"|[{_OPENS}]|//|/\*)",
        re.IGNORECASE,
    ),
}
"""What follows the mark that closes a string, by where it stands; a mark before anything else is part of the text."""
_ENDS = re.compile(r"\s*\Z")
MOST_INNER_QUOTES = 50
"""Quotation marks inside a string that are taken for text."""

_CONSTANTS: dict[str, Any] = {"true": True, "false": False, "null": None, "none": None}
_LITERAL = re.compile(r"(?:true|false|null|none)\b", re.IGNORECASE)
_NO_NUMBER = re.compile(r"[+-]?(?:nan|inf(?:inity)?)\b", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?=[\s,，}\])/#]|\Z)")
_STRICT_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_BARE_KEY = re.compile(rf"({_WORD})\s*(?=[{_COLON}])")
_BARE_TEXT = re.compile(rf"[^\W\d][^{_COMMA}{_COLON}{{}}\[\]()\"“”\n]*(?=[{_COMMA}}}\n])")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f]")
_KNOWN = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "/": "/", "\\": "\\", '"': '"'}


class _Reader:
    """Reads one text. What it learns of places where nothing can be read holds for all values that it is asked for, so
    that looking for objects everywhere takes linear time.
    """

    def __init__(self, text: str):
        self.failed: set[int] = set()
        """Where brackets open that cannot be read to their end."""
        self._text = text
        self._endless: dict[tuple[str, str], int] = {}
        """By mark and place of a string: from where on none ends."""
        self._repairs: list[str] = []
        self._open: list[int] = []
        self._ended = False

    def value_at(self, start: int, *, ended: bool = False) -> ParsedValue:
        try:
            value, end = _STRICT.raw_decode(self._text, start)
            encoded = json.dumps(value, ensure_ascii=False, allow_nan=False)
            if mend_surrogates(encoded) == encoded:
                return ParsedValue(value, start, end, [])
        except (ValueError, RecursionError):
            pass
        self._repairs, self._open, self._ended = [], [], ended
        try:
            value, end = self._value(start, "alone")
        except NotJson as error:
            if not isinstance(error, _TooDeep):
                self.failed.update(self._open)
            raise
        return ParsedValue(value, start, end, list(dict.fromkeys(self._repairs)))

    def _mend(self, name: str) -> None:
        self._repairs.append(name)

    def _skip(self, at: int) -> int:
        """Past white space and comments."""
        match = _WHITE.match(self._text, at)
        at = match.end() if match else at
        if self._text[at : at + 2] in ("//", "/*") or self._text[at : at + 1] == "#":
            match = _SPACE.match(self._text, at)
            if match and match.end() > at:
                self._mend("comment")
                return match.end()
        return at

    def _value(self, at: int, place: str) -> tuple[Any, int]:
        mark = self._text[at : at + 1]
        if mark == "{":
            return self._read_nested(at, self._object)
        if mark in ("[", "("):
            return self._read_nested(at, self._list)
        if mark == "u" and self._text[at + 1 : at + 2] in ("'", '"'):
            at, mark = at + 1, self._text[at + 1]
            self._mend("python_literal")
        if mark and mark in _OPENS:
            return self._string(at, place)
        return self._word(at, place)

    def _read_nested(self, at: int, read: Callable[[int], tuple[Any, int]]) -> tuple[Any, int]:
        if len(self._open) >= DEEPEST:
            raise _TooDeep(at)
        self._open.append(at)
        if at in self.failed:
            raise NotJson("brackets that do not close")
        value, end = read(at + 1)
        self._open.pop()
        return value, end

    def _object(self, at: int) -> tuple[dict[str, Any], int]:
        value: dict[str, Any] = {}
        at = self._skip(at)
        while not self._closes(at, "}"):
            key, at = self._key(at)
            at = self._skip(at)
            if self._text[at : at + 1] not in tuple(_COLON):
                raise NotJson("a key without a value")
            value[key], at = self._value(self._skip(at + 1), "member")
            at = self._skip_separator(at, "}")
        return value, at + 1

    def _list(self, at: int) -> tuple[list[Any], int]:
        closing = "]"
        if self._text[at - 1] == "(":
            closing = ")"
            self._mend("python_literal")
        items: list[Any] = []
        at = self._skip(at)
        while not self._closes(at, closing):
            item, at = self._value(at, "item")
            items.append(item)
            at = self._skip_separator(at, closing)
        return items, at + 1

    def _closes(self, at: int, closing: str) -> bool:
        if at < len(self._text):
            return self._text[at] == closing
        if not self._ended:
            raise NotJson("it was cut off")
        self._mend("unclosed_json")
        return True

    def _skip_separator(self, at: int, closing: str) -> int:
        """Past the comma after a member or an item; at the closing bracket."""
        at = self._skip(at)
        mark = self._text[at : at + 1]
        if not mark or mark == closing:
            return at
        if mark in _COMMA:
            if mark != ",":
                self._mend("curly_quotes")
            at = self._skip(at + 1)
            if self._text[at : at + 1] == closing:
                self._mend("trailing_comma")
            elif at >= len(self._text):
                raise NotJson("it was cut off")
        elif mark in _OPENS or (closing == "}" and _BARE_KEY.match(self._text, at)) or mark in "{[":
            self._mend("missing_comma")
        else:
            raise NotJson(f"{mark!r} where a comma was expected")
        return at

    def _key(self, at: int) -> tuple[str, int]:
        mark = self._text[at]
        if mark in _OPENS:
            return self._string(at, "key")
        if match := _BARE_KEY.match(self._text, at):
            self._mend("bare_words")
            return match[1], match.end()
        raise NotJson("a key that is no text")

    def _word(self, at: int, place: str) -> tuple[Any, int]:
        """A constant, a number, or as the value of a key a text without quotation marks."""
        if match := _LITERAL.match(self._text, at):
            if match[0] not in ("true", "false", "null"):
                self._mend("python_literal")
            return _CONSTANTS[match[0].lower()], match.end()
        if match := _NUMBER.match(self._text, at):
            return self._number(match[0]), match.end()
        if match := _NO_NUMBER.match(self._text, at):
            self._mend("not_a_number")
            return float("nan"), match.end()
        if place == "member" and (match := _BARE_TEXT.match(self._text, at)):
            self._mend("bare_words")
            return match[0].strip(), match.end()
        raise NotJson("no value" if at < len(self._text) else "it was cut off")

    def _number(self, text: str) -> int | float:
        if not _STRICT_NUMBER.fullmatch(text):
            self._mend("odd_number")
        text = text.replace("_", "")
        try:
            value = int(text) if text.lstrip("+-").isdigit() else float(text)
        except ValueError as error:  # more digits than Python converts
            raise NotJson(str(error)) from None
        if value in (float("inf"), float("-inf")):
            self._mend("not_a_number")
        return value

    def _string(self, at: int, place: str) -> tuple[str, int]:
        opening = self._text[at]
        if self._text.startswith(opening * 3, at) and opening in "\"'":
            return self._triple(at, opening * 3)
        if opening == "'":
            self._mend("python_literal")
        elif opening != '"':
            self._mend("curly_quotes")
        end = self._end_of_string(at, opening, place)
        return self._unescape(self._text[at + 1 : end], opening), end + 1

    def _triple(self, at: int, mark: str) -> tuple[str, int]:
        end = self._text.find(mark, at + 3)
        if end < 0:
            raise NotJson("it was cut off")
        self._mend("python_literal")
        return self._unescape(self._text[at + 3 : end], mark[0]), end + 3

    def _end_of_string(self, start: int, opening: str, place: str) -> int:
        """Where the closing mark stands: one that is followed by what can follow a string there."""
        if start >= self._endless.get((opening, place), len(self._text)):
            raise NotJson("a string without an end")
        marks = re.compile(rf"\\.|[{_QUOTES[opening]}]", re.DOTALL)
        inner = 0
        for match in marks.finditer(self._text, start + 1):
            if match[0][0] == "\\":
                continue
            if self._may_close(match.end(), place):
                if inner:
                    self._mend("inner_quotes")
                return match.start()
            inner += 1
            if place == "key" or inner > MOST_INNER_QUOTES:
                raise NotJson("a string without a clear end")
        self._endless[opening, place] = start
        raise NotJson("it was cut off inside a string")

    def _may_close(self, at: int, place: str) -> bool:
        if (closes := _CLOSES.get(place)) and closes.match(self._text, at):
            return True
        return (place == "alone" or self._ended) and bool(_ENDS.match(self._text, at))

    def _unescape(self, text: str, opening: str) -> str:
        if _CONTROL.search(text):
            self._mend("control_character")
        if "\\" in text:
            text = _ESCAPE.sub(lambda match: self._replace_escape(match, opening), text)
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")  # joins pairs
        written = mend_surrogates(text)
        if written != text:
            self._mend("lone_surrogate")
        return written

    def _replace_escape(self, match: re.Match[str], opening: str) -> str:
        """What an escape stands for. One that JSON does not know is text, backslash included, but for ``\\'``."""
        if match[1]:
            return chr(int(match[1], 16))
        mark = match[4]
        if mark in _KNOWN:
            return _KNOWN[mark]
        if mark != opening:
            self._mend("unknown_escape")
        if mark is None:
            code = int(match[2] or match[3], 16)
            return chr(code) if code < 0x110000 else match[0]
        return {"'": "'", "\n": ""}.get(mark, mark if mark == opening else match[0])
