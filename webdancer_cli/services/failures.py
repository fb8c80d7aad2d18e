"""What a service means that does not give what it was asked for: told by its status and its words together.

Services disagree about statuses: an empty account is a 400, a 402, a 403, a 429 or a 200 with an error inside. So the
words decide where they are clear, and the status where they are not. Chat endpoints, search services and readers are
all judged here; what a caller makes of a kind of failure is the caller's.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from webdancer_cli.text.surrogates import mend_surrogates

Kind = Literal["key", "account", "content", "too_long", "busy", "passing", "request", "other"]
"""Who can mend it, and how.

key        nobody but the user: the key is wrong, or does not cover this
account    nobody but the user: credit, quota, plan or account are at an end
content    nobody: the service will not answer this (a content filter)
too_long   the caller, by asking for less or saying less
busy       time: too many requests
passing    time: the service or one behind it is out of order
request    the caller: something in the request is wrong
other      not known: no such address, or words and a status that say nothing
"""

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
    said = _Said()
    for value in json_values(text):
        said.hear(value)
    if not said.texts and not said.is_structured:
        said.texts = [] if _is_html(text) else [text]
    own_status = said.status if status == 200 else status
    texts, codes = (_plain(" ".join(parts), echoes) for parts in (said.texts, said.codes))
    words = f"{texts} {codes}".strip()
    wait = _wait(words)
    return Failure(
        kind="account" if said.quota_is_spent else _kind(own_status, words, texts or codes, wait),
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


class _Said:
    """Collects texts, codes and names from the forms in which services and gateways write errors."""

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


# ---- what the words mean -------------------------------------------------------------------------------------------


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns))


_URL = re.compile(r"https?://\S+")
_FEW = r"(?:[\w'’-]+\W+){0,4}"
_KEYS = r"(?:api|access|subscription|secret|auth\w*|bearer|license|x-api)[ _-]*(?:key|token|credential)s?|credentials"
_CREDIT = r"(?:credits?|balance|funds|quota|money|allocation|allowance|free tier)"

_KEY = _any(
    rf"(?:invalid|incorrect|wrong|missing|expired|revoked|unknown|bad|malformed|no|not a valid"
    rf"|unrecognized)\W+{_FEW}(?:{_KEYS})",
    rf"(?:{_KEYS})\W+{_FEW}(?:invalid|incorrect|missing|required|expired|revoked|disabled|inactive|unauthori|wrong"
    r"|not (?:valid|found|provided|active|recogni|set|authori))",
    r"invalid_(?:api_)?key|api_?key_?invalid|(?:subscription_)?token_invalid|invalid_(?:access_)?token"
    r"|account_not_found",
    r"authentication(?:[ _]?(?:error|failed|required|failure)|failederror)|unauthenticated|\bunauthori[sz]ed\b",
    r"(?:country|region|territory)\W+(?:[\w,]+\W+){0,4}not supported|unsupported_country",
    r"无效的?.{0,6}(?:密钥|令牌|key)|(?:密钥|令牌|身份|鉴权|认证).{0,6}(?:无效|错误|失败|过期)",
)
_ENDED = _any(
    rf"\b(?:account|organi[sz]ation|subscription|project|workspace|trial|plan)\W+{_FEW}(?:has|have|was|were|is|are"
    rf"|been)"
    r"\W+(?:been\W+|currently\W+)?(?:deactivated|suspended|disabled|terminated|expired|inactive|ended|banned|blocked"
    r"|cancell?ed|not active|closed|frozen|locked|past due|overdue|in arrears)",
    r"(?:account|subscription|trial|plan)[ _](?:deactivated|suspended|disabled|terminated|expired|inactive|ended)",
    r"insufficient[ _-]?(?:user[ _-]?)?(?:quota|credits?|balance|funds)|billing_(?:hard_)?(?:limit|not_active)"
    r"|arrear",
    r"payment[ _]required|exceededbudget|budget_exceeded|quota_?exhausted|quota_limited|usage_limit_exceeded",
    r"余额不足|欠费|额度.{0,6}(?:不足|用尽|用完|超)|配额.{0,6}(?:不足|用尽|用完)|充值|账[号户].{0,6}(?:停用|禁用|冻结)",
)
_CREDIT_OUT = _any(
    rf"(?:not enough|not sufficient|no more|no remaining|out of|without|zero"
    rf"|\bno)\W+(?:[\w'’-]+\W+){{0,2}}{_CREDIT}\b",
    rf"{_CREDIT}\b\W+{_FEW}(?:exhausted|insufficient|too low|not (?:enough|sufficient)|depleted|used up|exceeded"
    rf"|reached"
    r"|(?:run|ran|runs) out|spent|expired|negative|empty|over\b)",
    rf"(?:exhausted|depleted|used(?: up)?|spent|exceeded?|exceeds|reached|hit|over)\W+(?:all\W+)?(?:of\W+)?(?:your"
    rf"|the|its|this)\W+"
    rf"{_FEW}(?:{_CREDIT}|(?:usage|spend\w*|plan|monthly|daily|search|billing|budget|trial)\W+(?:\w+\W+)?limits?\b"
    rf"|budget|allowance)",
    r"(?:usage|spend(?:ing)?|monthly|daily|billing|budget|hard|plan|free[ -]tier|trial)\W+(?:\w+\W+)?(?:limit|cap"
    r"|quota|budget)s?"
    r"\W+(?:\w+\W+){0,3}(?:reached|exceeded|hit|exhausted|used)",
    r"\b(?:key|credit|weekly|total) limits?\W+(?:\w+\W+){0,2}(?:exceeded|reached)|used (?:up )?all (?:of )?(?:your"
    r"|the|its)\b",
    r"free tier\W+(?:\w+\W+){0,6}exhausted|upgrade to (?:a |the )?paid",
    r"budget\W+(?:\w+\W+){0,3}exceeded|requires? more credits|more credits are required|(?:add|buy"
    r"|purchase) (?:\w+ )?credits?",
    r"check your plan and billing|(?:renew|upgrade) your (?:subscription|plan|account)|recharge|top[ -]?up",
    r"(?:subscription|trial|plan)\W+(?:\w+\W+){0,3}(?:expired|ended|inactive|not active|lapsed)"
    r"|no active (?:subscription|plan)",
)
_CONTENT = _any(
    r"content exists risk|risk control",
    r"content[ _-]?(?:filter|policy|management|moderation|safety|violation)|responsible ?ai|data_?inspection",
    r"moderation|prohibited_content|invalid_prompt|jailbreak|(?:inappropriate|harmful|sensitive|unsafe) (?:content"
    r"|words?|information)",
    rf"\b(?:prompt|input|request|response|output|content|messages?|completion|generation)\W+{_FEW}(?:was|were|been"
    rf"|is|are|be|being)?\W*"
    r"(?:flagged|censored|blocked (?:by|due|because|for)|violat\w+)",
    r"\bsafety\b\W+(?:system|settings?|filters?|reasons?|polic|check)|usage polic|敏感|违规|不合规|不安全|安全审核",
)
_RATE = _any(
    r"rate[ _-]?limit|too[ _]many[ _]requests|requests? per|tokens? per|per (?:min|sec|hour|day)|\b(?:rpm|tpm|rps"
    r"|qps|rpd)\b",
    r"slow down|throttl|concurren\w+ (?:request|limit)|try again in \d|retry (?:in|after) \d|excessive requests|速率"
    r"|频率|频繁|并发",
)
_PASSING = _any(
    r"overload|temporar|unavailable|time[ds]?[ -]?out|try again|bad gateway|internal (?:server )?error"
    r"|server (?:error|is busy)",
    r"upstream|no healthy|maintenance|capacity|connection (?:error|reset|refused|closed)|provider returned error"
    r"|network error",
    r"out of memory|engine (?:is )?dead|model is (?:currently )?loading|service is busy|繁忙|稍后|请重试|超时",
)
_TOO_LONG = _any(
    r"context[ _-]*(?:length|window|size|limit|len\b|shift)|\bn_ctx\b|contextwindow|context_length|exceed_context",
    r"max(?:imum)?[ _](?:model|seq\w*|input|prompt|total|num)[ _-]?(?:len\w*|tokens?)|session[ _]len|sequence length",
    r"\b(?:prompts?|inputs?|messages?|request|conversation|history)\b.{0,60}\btoo (?:long|large|big)\b",
    r"\b(?:prompts?|inputs?|messages?|request|conversation|tokens?|token count|length)\b.{0,80}\b(?:exceed\w*"
    r"|longer than|larger than"
    r"|greater than|must have less than|must be <=?|cannot exceed|above).{0,80}\b(?:tokens?|length|limit|maximum"
    r"|max\w*|\d{3,})",
    r"must (?:be <=?|have less than) ?\d+.{0,20}(?:given|token)|too many (?:input |prompt )?tokens|(?:input"
    r"|prompt) is too long",
    r"(?:reduce|decrease|shorten) (?:the |your )?(?:\w+ ){0,2}(?:length|size|prompt|messages?|input)"
    r"|tokens must be reduced",
    r"exceed\w* (?:the )?(?:model(?:'s)? )?(?:max\w* )?(?:token|context|sequence|input)[ _-]?(?:limit|length|size"
    r"|window)",
    r"range of input length|request too large|token limit exceeded|超长|过长|超出.{0,10}(?:长度|上下文|限制)",
)
_FORBIDS = _any(
    r"permission|not (?:allowed|permitted|entitled|have access)|access denied|forbid|does not have access|no access"
    r"|plan\b"
)


def _kind(status: int, words: str, texts: str, wait: float) -> Kind:
    """The words first, where they are clear; then the status. A code alone says of a quota that it is a rate, too."""
    if _ENDED.search(words):
        return "account"
    if _CONTENT.search(words) and status != 429 and not _KEY.search(words):
        return "content"
    if _is_too_long(status, words):
        return "too_long"
    if status in (401, 402):
        return "key" if status == 401 else "account"
    if _RATE.search(texts) or (status == 429 and wait):
        return "busy"
    if _CREDIT_OUT.search(words) and status < 500:
        return "account"
    if _KEY.search(words):
        return "key"
    return _by_status(status, words)


def _is_too_long(status: int, words: str) -> bool:
    if status == 429:
        return "request too large" in words or "tokens must be reduced" in words
    return status == 413 or (status in (0, 400, 422, 500) and bool(_TOO_LONG.search(words)))


def _by_status(status: int, words: str) -> Kind:
    if status in (429, 503, 529):
        return "busy"
    if status in (408, 409, 425) or status >= 500:
        return "passing"
    if status == 403 and _FORBIDS.search(words):
        return "key"
    if status in (0, 400, 403) and _PASSING.search(words):
        return "passing"
    if status in (400, 413, 414, 422, 451):
        return "request"
    return "other"


_WAITS = (
    (re.compile(r"(?:try again|retry|wait)\D{0,20}(\d+(?:\.\d+)?) ?ms\b"), 0.001),
    (re.compile(r"(?:try again|retry|wait|retry ?delay)\D{0,20}(\d+(?:\.\d+)?) ?m(?:in\w*)?\b"), 60.0),
    (re.compile(r"(?:try again|retry|wait|retry ?delay)\D{0,20}(\d+(?:\.\d+)?) ?s?(?:ec\w*)?\b"), 1.0),
)


def _wait(words: str) -> float:
    """The seconds that a message asks to wait; 0 if it asks for none."""
    return next((float(match[1]) * unit for pattern, unit in _WAITS if (match := pattern.search(words))), 0.0)


def name_positions(words: str, names: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Where each name stands in words as a word of its own, in its own spelling or in camelCase."""
    for name in names:
        spelled = re.escape(name.casefold()).replace("_", "_?")
        if match := re.search(rf"(?<![\w])(?:{spelled})(?![\w])", words):
            yield match.start(), name
