"""What an endpoint takes of a request: learnt from what it refuses, once, and kept to from then on.

Servers and models differ in the parameters that they know, in their names, and in how long a reply they write. What one
refuses by name is left out, or sent under the name that it offers; a schema gives way to plain JSON mode, and that to
nothing. What a refusal does not name is not ours to guess.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from webdancer_cli.services.failures import Failure, name_positions

FEWEST_TOKENS = 512
"""A reply is not asked to be shorter than this to make it fit."""
NEEDED = frozenset(["model", "messages", "input"])
"""What no request can do without."""
LENGTHS = ("max_tokens", "max_completion_tokens", "max_new_tokens", "max_output_tokens")
"""The names under which servers take the length of a reply."""

_REFUSES = re.compile(
    r"unsupported|not supported|n[o']t support|unknown|unrecogni[sz]ed|unexpected|not (?:permitted|allowed"
    r"|available|valid|known"
    r"|recogni[sz]ed|compatible)|extra (?:inputs?|fields?|keys?)|forbidden|invalid|cannot|can't|must|should|only"
    r"|deprecated"
    r"|incompatible|unavailable|removed|conflict|mutually|instead|does not exist|no such|additional propert"
    r"|out of range"
    r"|greater than|less than|不支持|无效|错误|未知"
)
"""A message that names a parameter may do so in passing; these words say that it has something against one."""
_NOT_KNOWN = re.compile(
    r"unsupported|not supported|n[o']t support|unknown|unrecogni[sz]ed|unexpected|not (?:permitted|allowed|known"
    r"|recogni[sz]ed)"
    r"|extra (?:inputs?|fields?|keys?)|deprecated|instead|additional propert|no such|不支持|未知"
)
_OFFERS = re.compile(r"(?:use|try|mean|by|with|to|is now|rename[ds]? to|replace[ds]? (?:by|with))\W{1,4}(\w+)")
_EITHER = re.compile(
    r"\bboth\b|together|only one|simultaneous|mutually|at the same time|either|conflict|incompatible|combin"
)
_LISTS_KNOWN = re.compile(
    r"(?:supported|valid|allowed|accepted|known|permitted) (?:\w+ )?(?:parameters?|arguments?|fields?|values?)\b.*"
)
_FORMAT = re.compile(
    r"response_?format|json_?schema|json_?object|structured[ _]outputs?|guided|grammar|json mode"
    r"|input should be '?text"
)
_THINGS = r"parameters?|arguments?|fields?|propert\w+|keyword|key|name|supported|unknown"
_PREDICATES = "is|are|was|must|should|cannot|can|may|and|or|does|not|to"
_NUMBER = re.compile(r"\d[\d,]*")


class AcceptedParameters:
    """What one model at one endpoint takes. Calls under way at once may each learn the same thing."""

    def __init__(self) -> None:
        self.left_out: set[str] = set()
        self.renamed: dict[str, str] = {}
        self.most_tokens: int | None = None
        self._formats = ["json_schema", "json_object"]
        """The structured outputs that have not been refused, the best first."""

    def adapted(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The request in the form that the endpoint takes."""
        sent: dict[str, Any] = {}
        for name, value in request.items():
            if name == "response_format":
                value = self._format(value)
            if name in LENGTHS and self.most_tokens is not None:
                value = min(value, self.most_tokens)
            if name not in self.left_out and value is not None:
                sent[self.renamed.get(name, name)] = value
        return sent

    def _format(self, asked: Mapping[str, Any]) -> Mapping[str, Any] | None:
        kinds = self._formats if asked.get("type") == "json_schema" else self._formats[-1:]
        if not kinds:
            return None
        return asked if kinds[0] == asked.get("type") else {"type": kinds[0]}

    def learn(self, failure: Failure, sent: Mapping[str, Any]) -> str | None:
        """What is done from now on, in words; "" if that was known, None if nothing that was sent is refused."""
        if failure.kind in ("key", "account", "content", "busy"):
            return None
        if "response_format" in sent and _is_about_format(failure):
            return self._without_format(sent["response_format"]["type"], failure)
        name = _refused(failure, sent)
        if name is not None and not (name in LENGTHS and _is_about_length(failure)):
            return self._without(name, _offered(failure, name, sent))
        if failure.kind in ("request", "too_long") and (length := _length_in(sent)) and _bounds_reply(failure):
            return self._shorter(failure, sent[length])
        return None

    def _without_format(self, kind: str, failure: Failure) -> str:
        if kind not in self._formats:
            return ""
        knows_some = re.search(r"json|type|value|text", failure.words.replace("response_format", ""))
        self._formats = [each for each in self._formats if each not in (kind, "json_schema")] if knows_some else []
        instead = self._formats[0] if self._formats else "JSON in words alone"
        return f"it takes no response_format {kind}: asked for {instead}"

    def _without(self, name: str, offered: str | None) -> str:
        own = next((ours for ours, theirs in self.renamed.items() if theirs == name), name)
        if offered and own not in self.renamed:
            self.renamed[own] = offered
            return f"it takes no {name}: sent as {offered}"
        if own in self.left_out or name in self.renamed:
            return ""
        self.renamed.pop(own, None)
        self.left_out.add(own)
        return f"it takes no {name}, or not this value: left out"

    def _shorter(self, failure: Failure, asked: int) -> str | None:
        """Ask for no more than it says that it writes, or for a quarter."""
        if self.most_tokens is not None and self.most_tokens < asked:
            return ""
        numbers = [int(found.replace(",", "")) for found in _NUMBER.findall(failure.words)]
        fitting = [number for number in numbers if FEWEST_TOKENS <= number < asked]
        if not fitting and asked <= FEWEST_TOKENS:
            return None
        self.most_tokens = max(fitting, default=max(FEWEST_TOKENS, asked // 4))
        return f"it writes no {asked} tokens: asked for {self.most_tokens} at most"


def _is_about_format(failure: Failure) -> bool:
    if failure.kind == "too_long" or failure.status not in (0, 400, 404, 415, 422, 500, 501):
        return False
    return "response_format" in failure.names or bool(_FORMAT.search(failure.words))


def _length_in(sent: Mapping[str, Any]) -> str | None:
    return next((name for name in LENGTHS if name in sent), None)


def _is_about_length(failure: Failure) -> bool:
    """Whether it has something against how long a reply is asked for, rather than against the parameter."""
    return not _NOT_KNOWN.search(failure.words) and bool(_NUMBER.search(failure.words))


def _bounds_reply(failure: Failure) -> bool:
    """Whether it is the reply alone that is asked too long, however short the messages are."""
    if not any(True for _ in name_positions(failure.words, LENGTHS)) or not _is_about_length(failure):
        return False
    return not re.search(r"context|model_len|prompt|inputs?\b|seq_len|total|messages", failure.words)


def _refused(failure: Failure, sent: Mapping[str, Any]) -> str | None:
    """The parameter that a refusal names; the first of several, the last of those that exclude each other."""
    ours = [name for name in sent if name not in NEEDED and name != "response_format"]
    if named := [name for name in failure.names if name in ours]:
        return named[0]
    if failure.status not in (400, 422) and not re.search(r"unexpected keyword|extra_forbidden", failure.words):
        return None
    if failure.kind == "too_long" or not _REFUSES.search(failure.words):
        return None
    for words in (_LISTS_KNOWN.sub(" ", failure.words), failure.words):
        if found := sorted(_clearly_named(words, ours)):
            return found[-1][1] if len(found) > 1 and _EITHER.search(words) else found[0][1]
    return None


def _clearly_named(words: str, names: Iterable[str]) -> list[tuple[int, str]]:
    """Names that are also ordinary words count where they are marked, or where the message is about them."""
    found = []
    for at, name in name_positions(words, names):
        before, after = words[max(0, at - 30) : at], words[at + len(name) : at + len(name) + 30]
        is_marked = bool(re.search(r"[`'\"“‘.:\[({]\s*$", before)) or bool(re.match(r"\s*[`'\"”’:=\])}]", after))
        is_subject = bool(
            re.search(r"(?:parameters?|arguments?|fields?|propert\w+|keyword|key|name|supported|unknown)\W*$", before)
        )
        is_subject = is_subject or bool(re.match(rf"\W*(?:{_PREDICATES})\b", after))
        if "_" in name or is_marked or is_subject or at == 0:
            found.append((at, name))
    return found


def _offered(failure: Failure, name: str, sent: Mapping[str, Any]) -> str | None:
    """The name that a refusal offers in the place of another."""
    if name in LENGTHS and failure.kind != "too_long":
        for other in LENGTHS:
            if other not in sent and any(True for _ in name_positions(failure.words, [other])):
                return other
    for match in _OFFERS.finditer(failure.words):
        other = match[1]
        if "_" in other and other not in sent and other.split("_")[0] == name.split("_")[0]:
            return other
    return None
