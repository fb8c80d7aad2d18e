"""What the words of a failure mean, and what its status means where they are not clear.

The tables below are read against a body's texts and codes, in lower case and on one line, with addresses and echoes of
the request taken out (``failures.classify_failure``). What services say
stands as cases in ``tests/services/failures.jsonl``; the order in which the tables are asked, in ``kind_of_failure``.
"""

import re
from typing import Literal

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


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns))


# At most four words between two that matter: "invalid [Brave Search] API key".
_FEW = r"(?:[\w'’-]+\W+){0,4}"
_KEYS = r"(?:api|access|subscription|secret|security|auth\w*|bearer|license|x-api)[ _-]*(?:key|token|credential)s?"
_KEYS += r"|credentials"
_CREDIT = r"(?:credits?|balance|funds|quota|money|allocation|allowance|free tier)"

# "Invalid API key", "API key not found", invalid_api_key, "authentication failed", "country not supported": nothing
# that a later call could change. A word for what is wrong, near a word for a key, in either order.
_KEY = _any(
    rf"(?:invalid|incorrect|wrong|missing|expired|revoked|unknown|bad|malformed|no|not a valid"
    rf"|unrecognized)\W+{_FEW}(?:{_KEYS})",
    rf"(?:{_KEYS})\W+{_FEW}(?:invalid|incorrect|missing|required|expired|revoked|disabled|inactive|unauthori|wrong"
    r"|not (?:valid|found|provided|active|recogni|set|authori))",
    r"security token\W+(?:\w+\W+){0,6}(?:invalid|expired)",
    r"invalid_(?:api_)?key|api_?key_?invalid|(?:subscription_)?token_invalid|invalid_(?:access_)?token"
    r"|account_not_found",
    r"authentication(?:[ _]?(?:error|failed|required|failure)|failederror)|unauthenticated|\bunauthori[sz]ed\b",
    r"(?:country|region|territory|location)\W+(?:[\w,]+\W+){0,4}not supported|unsupported_country",
    r"无效的?.{0,6}(?:密钥|令牌|key)|(?:密钥|令牌|身份|鉴权|认证).{0,6}(?:无效|错误|失败|过期)",
)
# "Your account has been deactivated", "insufficient balance", "payment required": clear under whatever status.
_ENDED = _any(
    rf"\b(?:account|organi[sz]ation|subscription|project|workspace|trial|plan)\W+{_FEW}(?:has|have|was|were|is|are"
    rf"|been)"
    r"\W+(?:been\W+|currently\W+)?(?:deactivated|suspended|disabled|terminated|expired|inactive|ended|banned|blocked"
    r"|cancell?ed|not active|closed|frozen|locked|past due|overdue|in arrears)"
    r"|overdue (?:balance|payment|bill|invoice)|accountoverdue",
    r"(?:account|subscription|trial|plan)[ _](?:deactivated|suspended|disabled|terminated|expired|inactive|ended)",
    r"insufficient[ _-]?(?:user[ _-]?)?(?:quota|credits?|balance|funds)|billing_(?:hard_)?(?:limit|not_active)"
    r"|arrear",
    r"payment[ _]required|exceededbudget|budget_exceeded|quota_?exhausted|quota_limited|usage_limit_exceeded",
    r"余额不足|欠费|额度.{0,6}(?:不足|用尽|用完|超)|配额.{0,6}(?:不足|用尽|用完)|充值|账[号户].{0,6}(?:停用|禁用|冻结)",
)
# "out of credits", "quota exceeded", "monthly limit reached": the account, too, but less clear than _ENDED: a rate is
# often called a quota, so that _RATE is asked before, and a server's own failure (5xx) is never read as this.
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
    r"pay-as-you-go limit|trial (?:api )?key\W+(?:\w+\W+){0,4}limited to",
    r"free tier\W+(?:\w+\W+){0,6}exhausted|upgrade to (?:a |the )?paid",
    r"budget\W+(?:\w+\W+){0,3}exceeded|requires? more credits|more credits are required|(?:add|buy"
    r"|purchase) (?:\w+ )?credits?",
    r"check your plan and billing|(?:renew|upgrade) your (?:subscription|plan|account)|recharge|top[ -]?up",
    r"(?:subscription|trial|plan)\W+(?:\w+\W+){0,3}(?:expired|ended|inactive|not active|lapsed)"
    r"|no active (?:subscription|plan)",
)
# "flagged by the content filter", "violates our usage policies": this request will always be refused, others will not.
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
# "rate limit reached", "5 requests per 10s", "slow down": the same request may pass later.
_RATE = _any(
    r"rate[ _-]?limit|too[ _]many[ _]requests|requests? per|tokens? per|per (?:min|sec|hour|day)|\b(?:rpm|tpm|rps"
    r"|qps|rpd)\b",
    r"slow down|throttl|concurren\w+ (?:request|limit)|try again in \d|retry (?:in|after) \d|excessive requests|速率"
    r"|频率|频繁|并发",
)
# "overloaded", "bad gateway", "model is loading": the service is out of order, and not full.
_PASSING = _any(
    r"overload|temporar|unavailable|time[ds]?[ -]?out|try again|bad gateway|internal (?:server )?error"
    r"|server (?:error|is busy)",
    r"upstream|no healthy|maintenance|capacity|connection (?:error|reset|refused|closed)|provider returned error"
    r"|network error",
    r"out of memory|engine (?:is )?dead|model is (?:currently )?loading|service is busy|繁忙|稍后|请重试|超时",
)
# "maximum context length is 32768", "prompt is too long", "reduce the length of the messages". Most patterns need a
# text and a bound, since "max_tokens must be at least 1" is about a parameter.
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
# Used for 403 only: with these words the key lacks rights; without them a 403 may mean anything.
_FORBIDS = _any(
    r"permission|(?:not|n['’]t) (?:allowed|permitted|entitled|have access)|access denied|forbid|does not have access"
    r"|no access|plan\b"
)


def kind_of_failure(status: int, words: str, texts: str, wait: float) -> Kind:
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


# Each with the seconds of its unit: milliseconds, minutes; a number without a unit is seconds.
_WAITS = (
    (re.compile(r"(?:try again|retry|wait)\D{0,20}(\d+(?:\.\d+)?) ?ms\b"), 0.001),
    (re.compile(r"(?:try again|retry|wait|retry ?delay)\D{0,20}(\d+(?:\.\d+)?) ?m(?:in\w*)?\b"), 60.0),
    (re.compile(r"(?:try again|retry|wait|retry ?delay)\D{0,20}(\d+(?:\.\d+)?) ?s?(?:ec\w*)?\b"), 1.0),
)


def wait_seconds(words: str) -> float:
    """The seconds that a message asks to wait; 0 if it asks for none."""
    return next((float(match[1]) * unit for pattern, unit in _WAITS if (match := pattern.search(words))), 0.0)
