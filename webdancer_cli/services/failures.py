"""Classifies the failures of services by HTTP status and error text together.

Services disagree about statuses: an empty account is a 400, a 402, a 403, a 429 or a 200 with an error inside. So the
words decide where they are clear, and the status where they are not. Chat endpoints, search services and readers are
all judged here; what a caller makes of a kind of failure is the caller's.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from webdancer_cli.services.failure_words import Kind, kind_of_failure, wait_seconds
from webdancer_cli.text.surrogates import mend_surrogates

SHOWN_CHARS = 300


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """One answer that is none. ``status`` is the body's own where HTTP said 200; 0 if it names none.

    ``said`` is what it says, on one line; ``words`` is all of its text and codes, in lower case, without addresses;
    ``names`` are the fields of the request that it points at; ``wait_seconds`` is the pause that it asks for in words.
    """

    kind: Kind
    status: int
    said: str
    words: str
    names: tuple[str, ...] = ()
    wait_seconds: float = 0.0

    @property
    def is_final(self) -> bool:
        """Whether no further call can succeed."""
        return self.kind in ("key", "account")


def classify_failure(status: int, content: bytes | str, echoes: Iterable[str] = ()) -> Failure:
    """What a body under an HTTP status means.

    ``echoes`` are texts of the request, such as a query: where the body repeats one, it says nothing by that.
    """
    text = content if isinstance(content, str) else content.decode("utf-8-sig", "replace")
    said = _ErrorText()
    for value in json_values(text):
        said.hear(value)
    if not said.texts and not said.is_structured:
        said.texts = [] if _is_html(text) else [text]
    own_status = said.status if status == 200 else status
    texts, codes = (_plain(" ".join(parts), echoes) for parts in (said.texts, said.codes))
    words = f"{texts} {codes}".strip()
    wait = wait_seconds(words)
    return Failure(
        kind="account" if said.quota_is_spent else kind_of_failure(own_status, words, texts or codes, wait),
        status=own_status,
        said=mend_surrogates(" ".join(" ".join(said.texts or said.codes).split())[:SHOWN_CHARS]),
        words=words,
        names=tuple(dict.fromkeys(said.names)),
        wait_seconds=wait,
    )


def _plain(text: str, echoes: Iterable[str]) -> str:
    text = _URL.sub(" ", text).casefold()
    for echo in echoes:
        text = text.replace(echo.casefold(), " ")
    return text


def find_error(value: Any) -> Any:
    """The error inside a body that came under HTTP 200, in whatever form; None in one that holds none."""
    if isinstance(value, list) and len(value) == 1:
        return find_error(value[0])
    if not isinstance(value, dict):
        return None
    for key in ("error", "errors", "fault", "Error"):
        if _is_error(value.get(key)):
            return value
    choices = value.get("choices")
    if isinstance(choices, list) and any(
        isinstance(each, dict) and _is_error(each.get("error")) for each in choices[:1]
    ):
        return value
    status = _status_of(value)
    speaks = any(isinstance(value.get(key), str) and value[key] for key in (*_TEXT_KEYS, "detail"))
    if status >= 400 and speaks:
        return value
    if value.get("object") == "error" or value.get("success") is False or value.get("status") in ("error", "failed"):
        return value
    base = value.get("base_resp")
    if isinstance(base, dict) and base.get("status_code") not in (0, None):
        return value
    return None


def _is_error(error: Any) -> bool:
    if isinstance(error, dict):
        codes = [error[key] for key in _CODE_KEYS if key in error]
        says = any(isinstance(error.get(key), str | dict | list) and error[key] for key in (*_TEXT_KEYS, "detail"))
        return bool(error) and (
            says or any(code not in (0, 200, "0", "200", None, "", "ok", "success") for code in codes)
        )
    return bool(error) and error is not False


def json_values(text: str) -> Iterator[Any]:
    """The JSON values of a body: one, or those of a stream of events or of lines."""
    text = text.lstrip("\ufeff \t\r\n")
    try:
        yield json.loads(text)
        return
    except (ValueError, RecursionError):
        pass
    for line in text.splitlines():
        line = line.strip().removeprefix("data:").strip()
        if line.startswith(("{", "[{")):
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                continue


# ---- what a body says ----------------------------------------------------------------------------------------------

_TEXT_KEYS: tuple[str, ...] = (
    "message",
    "msg",
    "error_description",
    "reason",
    "readableMessage",
    "status_msg",
    "error_msg",
    "raw",
)
_TEXT_KEYS += ("errorMessage", "error_message", "faultstring", "title", "description", "detail")
_CODE_KEYS = ("code", "type", "status", "statusCode", "status_code", "error_code", "errorCode", "http_status", "name")
_NAME_KEYS = ("param", "parameter", "property", "field")
_INSIDE: tuple[str, ...] = (
    "error",
    "errors",
    "detail",
    "details",
    "message",
    "metadata",
    "fault",
    "body",
    "data",
    "base_resp",
    "meta",
)
_INSIDE += ("raw", "inner_error", "innererror", "cause", "fieldViolations", "choices", "response")

_STATUSES = {
    "invalid_argument": 400,
    "invalid_request_error": 400,
    "invalid_request": 400,
    "badrequest": 400,
    "badrequesterror": 400,
    "failed_precondition": 400,
    "unauthenticated": 401,
    "authentication_error": 401,
    "authenticationerror": 401,
    "unauthorized": 401,
    "permission_denied": 403,
    "permission_error": 403,
    "not_found": 404,
    "not_found_error": 404,
    "notfounderror": 404,
    "request_too_large": 413,
    "resource_exhausted": 429,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "ratelimiterror": 429,
    "too_many_requests": 429,
    "internal": 500,
    "api_error": 500,
    "server_error": 500,
    "internal_error": 500,
    "internal_server_error": 500,
    "internalservererror": 500,
    "unavailable": 503,
    "overloaded_error": 503,
    "service_unavailable": 503,
    "serviceunavailableerror": 503,
    "deadline_exceeded": 504,
    "timeout": 504,
}
"""The statuses that codes in words stand for."""


class _ErrorText:
    """Collects texts, codes and parameter names from the forms in which services and gateways write errors."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.codes: list[str] = []
        self.names: list[str] = []
        self.status = 0
        self.is_structured = False
        self.quota_is_spent = False

    def hear(self, value: Any, depth: int = 0) -> None:
        if depth > 8:
            return
        if isinstance(value, str):
            self._text(value, depth)
        elif isinstance(value, list):
            for item in value[:20]:
                self.hear(item, depth + 1)
        elif isinstance(value, dict):
            self.is_structured = True
            self._object(value, depth)

    def _object(self, value: Mapping[str, Any], depth: int) -> None:
        self.status = self.status or _status_of(value)
        for key in _CODE_KEYS:
            if isinstance(code := value.get(key), str | int) and not isinstance(code, bool):
                self.codes.append(str(code))
        for key in _NAME_KEYS:
            if isinstance(name := value.get(key), str):
                self.names.append(name)
        location = value.get("loc")
        if isinstance(location, list | tuple) and location:
            self.names.extend(str(part) for part in location if str(part) != "body")
        quota, used = value.get("quota_limit"), value.get("quota_current")
        if isinstance(quota, int) and isinstance(used, int) and used >= quota > 0:
            self.quota_is_spent = True
        for key in dict.fromkeys(("error", *_TEXT_KEYS, *_INSIDE)):
            if key in value:
                self.hear(value[key], depth + 1)

    def _text(self, text: str, depth: int) -> None:
        """Gateways put the body of the service behind them into a text."""
        inside = text.lstrip()
        if inside.startswith(("{", "[{")):
            try:
                self.hear(json.loads(inside), depth + 1)
                return
            except (ValueError, RecursionError):
                pass
        if text.strip() and text.strip() not in self.texts:
            self.texts.append(text.strip())
        self.names.extend(name for found in _LOCATION.findall(text) for name in re.findall(r"\w+", found))


_LOCATION = re.compile(r"""['"]loc['"]:\s*[(\[]([^)\]]*)[)\]]""")


def _status_of(value: Mapping[str, Any]) -> int:
    """The HTTP status that an object names, itself or in the error inside it; 0 if none."""
    inner = value.get("error")
    for holder in (value, inner if isinstance(inner, dict) else {}):
        for key in _CODE_KEYS:
            code = holder.get(key)
            if isinstance(code, str) and code.isdigit():
                code = int(code)
            if isinstance(code, int) and 400 <= code <= 599:
                return code
        for key in _CODE_KEYS:
            code = holder.get(key)
            if isinstance(code, str) and (status := _STATUSES.get(code.casefold())):
                return status
    return 0


def _is_html(text: str) -> bool:
    return bool(re.match(r"\s*(?:<!doctype|<html|<head|<\?xml|<center|<h1)", text, re.IGNORECASE))


_URL = re.compile(r"https?://\S+")


def name_positions(words: str, names: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Where each name stands in words as a word of its own, in its own spelling or in camelCase."""
    for name in names:
        spelled = re.escape(name.casefold()).replace("_", "_?")
        if match := re.search(rf"(?<![\w])(?:{spelled})(?![\w])", words):
            yield match.start(), name
