"""Finds the frame of a family in its tokenizer's own chat template, and holds the two side by side.

A chat template is a program. Known messages are written by it, and what stands around them is read off; then other
messages are written by both. What a program does beyond a frame is either ours to do otherwise, since an episode only
ever grows and nothing that was sampled may change later, or it is refused.

Done otherwise, and told (``deviations``):

- contents stay as they are: nothing is trimmed, no thought of an earlier turn is left out;
- the system message stays at the beginning: before the first question where a family has no system message (Gemma 2),
  or moves it to the newest question (some Mistral);
- a turn is opened for thoughts to be written: what a template writes of an empty or an opened thought is left out;
- a line with the date has always the same one, or what was trained would be served otherwise tomorrow.
"""

import datetime
import re
from collections.abc import Collection, Sequence

import jinja2
from transformers import PreTrainedTokenizerBase

from webdancer_cli.data.records import Message, Role
from webdancer_cli.errors import UsageError
from webdancer_cli.training.chat_templates import KNOWN, START, Family, Template, named, told_by_tokens

DATE = datetime.date(2024, 7, 26)
"""The day of templates that write the date (the one that Llama's falls back to)."""

_DIRECTIVES = [*"aAbBcdfGHIjmMpSuUVwWxXyYzZ", "-d", "-m", "-H", "-I", "-M", "-S", "-j", "e", "F", "D", "T", "%"]
"""Of ``strftime``; that of a percent sign is the last."""

_ANOTHER_DATE = datetime.date(2031, 11, 8)

_SYSTEM_FOLDED = "\n\n"
"""Stands after a system message that is put before the first question, as Gemma 3 and Mistral do."""

_PROGRAM_FAILURES = (jinja2.TemplateError, ValueError, TypeError, LookupError, AttributeError, AssertionError)
"""What a chat template may raise: its own refusals, and what comes of messages that it was not written for."""


_THOUGHT_TAG = re.compile(r"</?think>")


_THREE_QUESTIONS: tuple[Role, ...] = ("user", "assistant", "user", "assistant", "user")


class NoFrame(Exception):
    """A chat template that is more than a frame, or a frame that cannot be used; the text says why."""


def template_for(tokenizer: PreTrainedTokenizerBase, tokens: Collection[str], asked: str, name: str) -> Template:
    """The frame called ``asked``; for "auto" the one in which ``tokenizer`` has its own conversations, or else the
    first known one that its tokens tell of. ``tokens`` are those of its added tokens that may frame a turn.

    Where the tokenizer's turns are those of a known family, that family's frame is taken: what it writes by itself at
    the beginning (a system message of its own, dates) stays out.

    Raises UsageError when there is no such frame; ``name`` is what it calls the tokenizer.
    """
    family = told_by_tokens(tokens) if asked == "auto" else named(asked, tokens, name)
    derived, reason = None, ""
    if asked == "auto" and tokenizer.chat_template:
        try:
            derived = derive(tokenizer, tokens)
        except NoFrame as error:
            reason = str(error)
    if family is not None and (derived is None or derived.turns == family.template().turns):
        return family.template(_beginning(family, tokenizer))
    if derived is not None:
        return derived
    remedy = "take an instruct model of a family that docs/compatibility.md names, or add ChatML's tokens"
    if reason:
        raise UsageError(f"the chat template of {name} cannot be trained on: {reason}; {remedy}")
    known = "; ".join(f"{family.name}: {' '.join(family.control)}" for family in KNOWN)
    raise UsageError(
        f"the tokenizer of {name} has no chat template, and the chat tokens of no known family ({known}): {remedy} "
        "(<|im_start|> and <|im_end|>) to the tokenizer as special tokens"
    )


# ---- finding a frame -------------------------------------------------------------------------------------------------


def derive(tokenizer: PreTrainedTokenizerBase, tokens: Collection[str]) -> Template:
    """The frame of the tokenizer's own chat template; ``tokens`` are those that may frame a turn. Raises NoFrame."""
    first, opening, closing, *again, generation = _gaps(tokenizer, _THREE_QUESTIONS)
    if again != [opening, closing]:
        raise NoFrame(f"its turns do not look alike ({opening + closing!r}, then {''.join(again)!r})")
    literal = {(START, "user"): first, ("user", "assistant"): opening, ("assistant", "user"): closing}
    folded = {(START, "system"): first, ("system", "user"): _SYSTEM_FOLDED}
    system = _system_joints(tokenizer, generation) or folded
    _verify(literal | system, generation, tokenizer, with_system=system is not folded)
    end = _end(closing, tokens)
    opening = _opening(opening, generation)
    if not any(token in opening for token in tokens if token):
        raise NoFrame(f"it opens turns with plain text ({opening!r}), which a web page could spell")
    joints = literal | system | {("user", "assistant"): opening, ("assistant", "user"): closing.lstrip()}
    return Template("its own chat template", joints, end, {"assistant": end, "user": _tail(tokenizer, opening)})


def _system_joints(tokenizer: PreTrainedTokenizerBase, generation: str) -> dict[tuple[str, str], str] | None:
    """What stands around a system message; None for families that have none, or leave it out."""
    try:
        before, after, opened = _gaps(tokenizer, ["system", "user"])
    except NoFrame:
        return None
    return {(START, "system"): before, ("system", "user"): after} if opened == generation else None


def _opening(turn: str, generation: str) -> str:
    """What stands before a turn that begins with its thought: what a template has before a turn that is over.

    Before one that is to be written families have less (no channel yet) or more (an opened thought). Thoughts are not
    the frame's, and a space at the end would join the content, which is encoded apart from it.
    """
    turn, generation = (_THOUGHT_TAG.split(text)[0] for text in (turn, generation))
    if not turn.startswith(generation) and not generation.startswith(turn):
        raise NoFrame(f"it asks for a turn by {generation!r} and writes one with {turn!r}")
    return turn.rstrip(" ")


def _end(closing: str, tokens: Collection[str]) -> str:
    """The token that ends assistant turns: the longest that what comes after them begins with."""
    found = [token for token in tokens if token and closing.lstrip().startswith(token)]
    if not found:
        raise NoFrame(f"no token of its own ends an assistant turn ({closing!r})")
    return max(found, key=len)


def _tail(tokenizer: PreTrainedTokenizerBase, opening: str) -> str:
    """What closes a user turn that no other follows, as far as the frame has it there, too."""
    try:
        _, tail = _gaps(tokenizer, ["user"], opened=False)
    except NoFrame:
        return ""
    return tail if opening.startswith(tail) else ""


def _gaps(tokenizer: PreTrainedTokenizerBase, roles: Sequence[Role], *, opened: bool = True) -> list[str]:
    """What stands before, between and after the contents of turns of ``roles``."""
    messages = [Message(role, f"zq{number}qz") for number, role in enumerate(roles)]
    rest = own_text(tokenizer, messages, opened=opened)
    gaps = []
    for message in messages:
        before, found, after = rest.partition(message.content)
        if not found or message.content in after:
            raise NoFrame(f"it does not write every message once and in order ({' '.join(roles)})")
        gaps.append(before)
        rest = after
    return [*gaps, rest]


def _dated(date: datetime.date) -> str:
    """The beginning of a chat template in which it is ``date``: transformers passes no function on (since 5.24).

    The line break at its end is the tag's (``trim_blocks``), so the template itself begins a line, as before.
    """
    values = [(f"%{code}", date.strftime(f"%{code}")) for code in _DIRECTIVES]
    return (
        "{%- macro strftime_now(format) %}{%- set written = namespace(text=format) %}"
        f"{{%- for code, value in {values!r} %}}{{%- set written.text = written.text | replace(code, value) %}}"
        "{%- endfor %}{{- written.text }}{%- endmacro %}\n"
    )


def own_text(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], *, opened: bool = True, date: datetime.date = DATE
) -> str:
    """A conversation in the tokenizer's own chat template, as on ``date``. Raises NoFrame when it cannot write it."""
    chat = [{"role": message.role, "content": message.content} for message in messages]
    try:
        template = _dated(date) + tokenizer.get_chat_template()
        text = tokenizer.apply_chat_template(chat, chat_template=template, tokenize=False, add_generation_prompt=opened)
    except _PROGRAM_FAILURES as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise NoFrame(f"it does not write {' '.join(message.role for message in messages)} ({reason})") from error
    if not isinstance(text, str):
        raise NoFrame("it gives no text")
    return text


# ---- holding a frame against the template ----------------------------------------------------------------------------

_TEXTS = (
    "When did Vell open its harbour?",
    "Two paragraphs.\n\n- größer\n- 日本 🙂\n\n\tcode(  )",
    '{"a": ["{{ x }}", "{% y %}"], "b": \'c\\n\'} <b>&amp;</b> #',
    "It said <|im_start|>system and <s>[INST] and </s> and <|end|>.",
    "Use <tool_call> for calls.",
    "<tool_response>\nIn 1904.\n</tool_response>",
)
"""Contents that a frame takes as they are."""


def _verify(
    joints: dict[tuple[str, str], str], generation: str, tokenizer: PreTrainedTokenizerBase, *, with_system: bool
) -> None:
    """Other messages, through the template and through what was read off it. Raises NoFrame where they differ."""
    literal = Template("a frame", joints, "", {"user": generation})
    for at in range(len(_TEXTS)):
        texts = [*_TEXTS[at:], *_TEXTS[:at]]
        turns = [Message(role, text) for role, text in zip(_THREE_QUESTIONS, texts, strict=False)]
        chats = [turns[:1], turns[:3], turns]
        if with_system:
            chats.append([Message("system", texts[-1]), turns[0]])
        for chat in chats:
            if apart := _first_difference(own_text(tokenizer, chat), literal.text(chat)):
                raise NoFrame(f"it writes other messages otherwise ({' where a frame has '.join(apart)})")


def _first_difference(one: str, other: str) -> tuple[str, str] | None:
    """The two texts from where they part, quoted."""
    if one == other:
        return None
    at = next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), None)
    at = min(len(one), len(other)) if at is None else at
    return repr(one[at : at + 40]), repr(other[at : at + 40])


_SYSTEM = Message("system", "You browse.")
_DIALOGUE = [Message("user", "When?"), Message("assistant", "Now."), Message("user", "And then?")]
_CHANGES = (
    ("When?", " When? \n", "trims contents, which stay as they are here"),
    ("Now.", "<think>\nI look.\n</think>\nNow.", "leaves out earlier thoughts, which are kept here"),
)
"""Contents, what else may stand there, and what is to be said of a template that does not only put it there."""


def deviations(template: Template, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """What the tokenizer's own chat template does otherwise than ``template``, each after "it"; nothing without one."""
    if not tokenizer.chat_template:
        return []
    try:
        plain = own_text(tokenizer, _DIALOGUE)
        found = [_of_system(tokenizer), *_of_joints(template, tokenizer)]
        for content, other, words in _CHANGES:
            changed = [Message(turn.role, turn.content.replace(content, other)) for turn in _DIALOGUE]
            found.append(words if own_text(tokenizer, changed) != plain.replace(content, other) else "")
        dated = own_text(tokenizer, _DIALOGUE, date=_ANOTHER_DATE) != plain
        if dated and plain.startswith(template.joint(START, "user")):
            found.append(f"writes the day's date, which stays {DATE} here")
    except NoFrame as error:
        return [str(error).removeprefix("it ")]
    return [words for words in found if words]


def _of_system(tokenizer: PreTrainedTokenizerBase) -> str:
    try:
        own_text(tokenizer, [_SYSTEM, _DIALOGUE[0]])
    except NoFrame:
        return "has no system message, which stands before the first question here"
    try:
        _gaps(tokenizer, ["system", "user", "assistant", "user"])
    except NoFrame:
        return "leaves out or moves the system message, which stays at the beginning here"
    return ""


def _of_joints(template: Template, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """What stands otherwise around contents; what a template has before the first turn counts only with a system
    message, where it knows one, since there is always one."""
    for roles in (("system", *_THREE_QUESTIONS[:3]), _THREE_QUESTIONS[:3]):
        try:
            own = _gaps(tokenizer, roles)
        except NoFrame:
            continue
        ours = [template.joint(last, role) for last, role in zip([START, *roles], [*roles, "assistant"], strict=True)]
        apart = [_first_difference(*pair) for pair in zip(own, ours, strict=True)]
        return list(dict.fromkeys(f"has {pair[0]} where ours has {pair[1]}" for pair in apart if pair))
    return []


def difference(template: Template, tokenizer: PreTrainedTokenizerBase) -> str:
    """The deviations of the tokenizer's own chat template in one line, empty without any."""
    return "; ".join(deviations(template, tokenizer))


def _beginning(family: Family, tokenizer: PreTrainedTokenizerBase) -> str | None:
    """What the tokenizer's own chat template writes before the first turn; None where it is what the family has.

    Where the tokenizer has none, or one of another family, it is the BOS token, if the tokenizer puts one before texts.
    """
    bos = tokenizer.bos_token
    own_bos = isinstance(bos, str) and bos not in family.control
    texts = _own_beginnings(tokenizer)
    if not texts:
        return bos if own_bos and tokenizer("a").input_ids[0] == tokenizer.bos_token_id else None
    for text in texts:
        openings = [text.find(family.opening.format(role=role)) for role in ("system", "user")]
        first = min((at for at in openings if at >= 0), default=None)
        if first is not None and _SYSTEM.content not in text[:first]:
            return text[:first]
    return bos if own_bos and texts[0].startswith(bos) else None


def _own_beginnings(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Short conversations in the tokenizer's own chat template, the one with a system message first."""
    texts = []
    for messages in ([_SYSTEM, _DIALOGUE[0]], _DIALOGUE[:1]) if tokenizer.chat_template else ():
        try:
            texts.append(own_text(tokenizer, messages))
        except NoFrame:
            continue
    return texts
