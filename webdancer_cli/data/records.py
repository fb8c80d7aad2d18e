"""The lines that travel between stages.

Every record is one JSON object on one line. Fields that a record does not know are kept in ``extra`` and written back,
so that a user's own columns survive the whole pipeline. Ids are content hashes: the same input gives the same id on
every machine and in every run, which is what ``--resume`` and deduplication stand on.
"""

import hashlib
from functools import cache
from typing import Any, Literal, TypeVar

import msgspec

from webdancer_cli.data import sealed
from webdancer_cli.data.context import APPEND, Context
from webdancer_cli.errors import WebdancerError

Role = Literal["system", "user", "assistant"]
Outcome = Literal["correct", "wrong", "unjudged"]
Ending = Literal[
    "answered", "no_answer", "call_limit", "token_limit", "time_limit", "format_error", "tool_abort", "model_error"
]


def content_id(*parts: object) -> str:
    """A stable 16-digit hexadecimal id of the parts, in order."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]


def text_sha256(text: str) -> str:
    """The digest of a page's text, hexadecimal; halves of surrogate pairs count as they are."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Record(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Base of the lines. ``extra`` holds unknown fields and is written back flat."""

    extra: dict[str, Any] = {}


class Link(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A hyperlink as found on a page: where it points, its anchor text, and the sentence that holds it."""

    url: str
    text: str
    sentence: str = ""


class Page(Record, kw_only=True):
    """One page of a corpus. ``text`` is the main text; ``sha256`` is its digest in hexadecimal."""

    url: str
    title: str
    text: str
    links: list[Link] = []
    sha256: str = ""
    fetched_at: str = ""
    depth: int = 0


class Evidence(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A page that proves part of an answer, with the verbatim quote that does. Order = order of reading."""

    url: str
    quote: str
    title: str = ""
    sha256: str = ""
    fetched_at: str = ""
    facts: dict[str, str] = {}  # where they are known: all of the page, by their names, in its order

    @classmethod
    def of(cls, page: Page, quote: str) -> "Evidence":
        return cls(url=page.url, quote=quote, title=page.title, sha256=page.sha256, fetched_at=page.fetched_at)


class Rewrite(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One E2HQA round (paper, section 2): entity E_n gives way to R_n = pi(S(C_n)), the description that was found."""

    entity: str
    query: str
    url: str
    sentence: str
    description: str
    before: str
    after: str


class Usage(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a record cost: model calls and tokens (as counted by the policy's own tokenizer or endpoint).

    ``cost`` is in US dollars, None when the model's price is not known.
    """

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost: float | None = None


class QA(Record, kw_only=True):
    """A question with its gold answer.

    ``evidence`` names the pages to read, in order, with the quotes that prove the answer. ``level`` counts the pages
    that have to be read (1 = one page); a rewrite adds one. ``parent`` is the id of the QA that this one was made from.
    ``prompts`` is the prompt set of a model that wrote it, and ``usage`` what that took. ``plan`` says in a few words
    what each page of the evidence is read for ("captain"; "" where it only names the next), if its writer knows it.
    """

    question: str
    answer: str
    id: str = ""
    type: str = ""
    level: int = 0
    aliases: list[str] = []
    evidence: list[Evidence] = []
    chain: list[Rewrite] = []
    plan: list[str] = []
    author: str = ""
    prompts: str = ""
    usage: Usage | None = None
    parent: str = ""
    tag: str = ""

    def __post_init__(self) -> None:
        if not self.id:
            self.id = content_id(self.question, self.answer)


class Message(msgspec.Struct):
    """One chat message. A tool response is a *user* message that holds ``<tool_response>``."""

    role: Role
    content: str


class Verdict(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A judge's word. ``unjudged`` is neither right nor wrong: it enters no accuracy, no SFT set and no advantage.

    ``f1`` over its items is there for an answer that is a set or a table, ``row_f1`` for a table, and ``confidence``,
    from 0 to 1, where the judge read one.
    """

    outcome: Outcome
    method: str
    detail: str = ""
    usage: Usage | None = None
    f1: float | None = None
    row_f1: float | None = None
    confidence: float | None = None


class Opinion(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a model says about one criterion of a trajectory's quality, with a short reason."""

    criterion: str
    good: bool
    reason: str = ""
    method: str = ""
    usage: Usage | None = None


class ModelCall(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One model call of an episode, and the ``tool`` that it called, if any.

    ``trace`` is the endpoint's own id of the call, by which its logs can be searched. The seconds are wall-clock time,
    and there only when timings were asked for: a replay must give the same bytes.
    """

    tool: str = ""
    finish: Literal["stop", "length"] = "stop"
    trace: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    seconds: float | None = None
    tool_seconds: float | None = None


class Trajectory(Record, kw_only=True):
    """One episode, exactly as the policy saw it.

    ``messages`` is the linear history from the system prompt to the last turn; of it the policy saw at each turn what
    ``context`` says, and all if that is None. ``answer`` is the policy's final answer (None if it gave none);
    ``repairs`` names what the tolerant parser had to mend. The gold answer is ``qa.answer``.
    ``cot`` is "long" when the policy was shown its own earlier turns without their thoughts. ``last_call`` names the
    budget that was nearly spent when the policy was told to answer with what it had. ``prompts``, ``web`` and
    ``summariser`` name what it was played with: each of them can move a score.
    """

    qa: QA
    messages: list[Message]
    ending: Ending
    answer: str | None = None
    id: str = ""
    rollout: int = 0
    model: str = ""
    prompts: str = ""
    web: str = ""
    summariser: str = ""
    repairs: list[str] = []
    tools: dict[str, int] = {}
    usage: Usage = msgspec.field(default_factory=Usage)
    calls: list[ModelCall] = []
    context: Context | None = None
    cot: Literal["short", "long"] = "short"
    last_call: Ending | None = None
    verdict: Verdict | None = None
    opinions: list[Opinion] = []

    def __post_init__(self) -> None:
        if not self.id:
            rule = self.context.rule if self.context else APPEND
            self.id = trajectory_id(self.qa.id, self.rollout, self.model, self.prompts, rule)


def trajectory_id(qa_id: str, rollout: int, model: str, prompts: str, context: str = APPEND) -> str:
    """The id of a rollout, known before it is played: ``--resume`` skips by it. ``context`` is the context policy."""
    return content_id(qa_id, rollout, model, prompts, *([] if context == APPEND else [context]))


Failure = Literal["never_surfaced", "not_opened", "not_shown", "not_used", "answered_wrong", "no_answer", "cut_off"]
"""Why a wrong episode is wrong: the gold page was in no search result; it was, and was not opened; it was opened, and
the passage not shown; it was shown, not used; it was used, and the answer is wrong; none came, or none could."""


class SearchCall(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How many gold pages a search call listed, and the rank of the best of them (0 for none)."""

    found: int = 0
    rank: int = 0


class Anatomy(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How far an episode came towards its gold pages, and if its answer is wrong, where it went wrong.

    ``basis`` says what that was told from: the question's "evidence", or only from where its gold "answer" was seen.
    ``failure`` is None for what is not wrong, and where an answer such as "yes" tells nothing.
    ``surfaced``, ``opened`` and ``shown`` count gold pages, out of ``gold``; by the answer alone, ``gold`` is 0.
    ``pages`` counts the different addresses that were visited.
    """

    basis: Literal["evidence", "answer"]
    failure: Failure | None = None
    gold: int = 0
    surfaced: int = 0
    opened: int = 0
    shown: int = 0
    pages: int = 0
    searches: list[SearchCall] = []


class Attempt(Record, kw_only=True):
    """One graded run of one question, as ``eval`` writes it.

    ``evidence`` is the question's, ``groups`` names those of its own columns that scores are broken down by, and
    ``agent`` is what played: the whole "react" agent, or a baseline of one call. ``verdicts`` are those of further
    judges, which count for their agreement alone. ``confidence``, from 0 to 1, is the policy's own, if it gave one.
    ``leaks`` has the addresses that the leak guard kept back, and "canary" if a tool showed a set's canary.
    """

    id: str
    qa_id: str
    run: int
    model: str
    question: str
    gold: str
    answer: str | None
    verdict: Verdict
    format_ok: bool
    ending: Ending
    level: int = 0
    type: str = ""
    prompts: str = ""
    web: str = ""
    summariser: str = ""
    tools: dict[str, int] = {}
    usage: Usage = msgspec.field(default_factory=Usage)
    calls: list[ModelCall] = []
    last_call: Ending | None = None
    messages: list[Message] = []
    context: Context | None = None
    agent: str = "react"
    aliases: list[str] = []
    groups: dict[str, str] = {}
    verdicts: list[Verdict] = []
    evidence: list[Evidence] = []
    confidence: float | None = None
    leaks: list[str] = []
    anatomy: Anatomy | None = None


class Rejected(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A line of ``--rejects``: the record that did not make it, and why."""

    reason: str
    detail: str = ""
    id: str = ""
    stage: str = ""
    record: Any = None


class WrongShape(WebdancerError):
    """A JSON object that is not the record that was asked for."""


AnyRecord = TypeVar("AnyRecord", bound=Record)


@cache
def _field_names(kind: type[Record]) -> frozenset[str]:
    return frozenset(kind.__struct_fields__) - {"extra"}


@cache
def _record_fields(kind: type[Record]) -> dict[str, type[Record]]:
    """The fields that are records themselves, with unknown fields of their own (the QA of a trajectory)."""
    types = {field.name: field.type for field in msgspec.structs.fields(kind)}
    return {name: type_ for name, type_ in types.items() if isinstance(type_, type) and issubclass(type_, Record)}


def fits(value: object, kind: Any) -> bool:
    """Whether a decoded value is of a type."""
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def from_object(kind: type[AnyRecord], value: object, *, is_open: bool = False) -> AnyRecord:
    """Validate a decoded JSON value as a record of ``kind``; unknown fields go to ``extra``, at both levels.

    So do the fields of a question that share a name with ours and are something else (``level: "hard"``). What is
    sealed is opened, unless it ``is_open``. Raises WrongShape, naming the field, its type and what was expected.
    """
    if not isinstance(value, dict):
        raise WrongShape(f"expected a JSON object, got {type(value).__name__}")
    try:
        fields, extra = _split(kind, value if is_open else sealed.unseal_object(value))
    except sealed.CannotOpen as error:
        raise WrongShape(f"sealed, and {error}") from None
    inner_extras = {}
    for name, inner_kind in _record_fields(kind).items():
        if isinstance(fields.get(name), dict):
            fields[name], inner_extras[name] = _split(inner_kind, fields[name])
    try:
        record = _converted(kind, fields, extra, inner_extras.get("qa", {}))
    except msgspec.ValidationError as error:
        raise WrongShape(str(error)) from None
    record.extra = extra
    for name, inner_extra in inner_extras.items():
        getattr(record, name).extra = inner_extra
    return record


def _converted(
    kind: type[AnyRecord], fields: dict[str, Any], extra: dict[str, Any], qa_extra: dict[str, Any]
) -> AnyRecord:
    """Raises ValidationError, once the user's own fields of a question have gone to its unknown ones."""
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError:
        if kind is QA:
            _move_misfits(fields, extra)
        elif isinstance(fields.get("qa"), dict):
            _move_misfits(fields["qa"], qa_extra)
    return msgspec.convert(fields, kind)


def _move_misfits(fields: dict[str, Any], extra: dict[str, Any]) -> None:
    for field in msgspec.structs.fields(QA):
        if not field.required and field.name != "id" and field.name in fields:
            try:
                msgspec.convert(fields[field.name], field.type)
            except msgspec.ValidationError:
                extra[field.name] = fields.pop(field.name)


def _split(kind: type[Record], value: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields that ``kind`` knows, and the others."""
    known = _field_names(kind)
    fields = {name: item for name, item in value.items() if name in known}
    return fields, {name: item for name, item in value.items() if name not in known}


def to_object(record: msgspec.Struct) -> dict[str, Any]:
    """The JSON object of a record, with the unknown fields it came with; what is ``sealed`` is encrypted."""
    value: dict[str, Any] = msgspec.to_builtins(record)
    if isinstance(record, Record):
        for name in _record_fields(type(record)):
            value[name] = _flat(value[name])
    return sealed.seal_object(_flat(value))


def _flat(value: dict[str, Any]) -> dict[str, Any]:
    extra = value.pop("extra", {})
    return {**value, **extra}
