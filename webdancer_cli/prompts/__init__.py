"""Every prompt as a text file, in sets: ``default``, ``compact`` (very small models that were trained on it), ``small``
(small models that were not), or the user's own folder.

A set overrides single files of ``default``, and single keys of its ``settings.toml``. Placeholders are ``{names}``;
what is filled in is never read for placeholders again, so a question or a page may hold any braces.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date as calendar_date
from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from webdancer_cli.data.context import APPEND
from webdancer_cli.data.records import Message
from webdancer_cli.errors import UsageError
from webdancer_cli.options.config import EpisodeOptions
from webdancer_cli.text.encoding import decode_file

SETTINGS = "settings.toml"
CONTEXT = "context.toml"
BUILT_IN = ("default", "compact", "small")
ACTIONS_ONLY = "user_actions.md"
"""The first user message for a reasoning model, which thinks before it writes and is to write actions only."""
EPISODE = ("system.md", "user.md", ACTIONS_ONLY, "summariser.md")
"""The files that word an episode."""

Number = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Phrasings = Annotated[list[str], msgspec.Meta(min_length=1)]


class ObservationCaps(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much an observation shows: results per query, characters, queries or pages per call, and tokens in all."""

    search_results: Positive
    snippet_chars: Number
    page_chars: Positive
    queries: Positive
    search_tokens: Positive
    visit_tokens: Positive
    tool_tokens: Positive


class SearchWording(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    header: str
    entry: str
    none: str
    between: str = "\n"
    date: str = ""
    snippet: str = ""


class VisitWording(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    page: str
    part: str
    onward: str
    beyond: str


class FindWording(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    header: str
    entry: str
    between: str
    none: str


class EpisodeWording(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    between: str
    unanswered: str
    late: str
    cut: str
    reminder: str
    last_call: str


class DemonstratorWording(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Lists hold phrasings of one thought, of which the demonstrator takes one."""

    goal: str
    start: Phrasings
    next: Phrasings
    again: Phrasings
    visit: Phrasings
    onward: Phrasings
    reread: Phrasings
    answer: Phrasings
    give_up: Phrasings


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The shape of ``settings.toml``."""

    caps: ObservationCaps
    search: SearchWording
    visit: VisitWording
    find: FindWording
    episode: EpisodeWording
    demonstrator: DemonstratorWording


class ContextWording(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The shape of ``context.toml``: what a policy reads, and the demonstrator writes, where contexts are rewritten."""

    left_out: str
    request: str
    summary: str


class PromptSet:
    """The wording of all that is asked of models. ``sha256`` covers what words an episode, caps set by hand too; and
    ``context.toml`` where contexts are rewritten, since elsewhere no policy sees it."""

    def __init__(
        self,
        name: str,
        files: Mapping[str, str],
        settings: Settings,
        context: ContextWording,
        *,
        rewrites: bool = False,
    ):
        self.name = name
        self.files = dict(files)
        self.settings = settings
        self.context = context
        self._rewrites = rewrites
        shown = {CONTEXT: msgspec.to_builtins(context)} if rewrites else {}
        self.sha256 = _digest({**self._some(EPISODE), SETTINGS: msgspec.to_builtins(settings), **shown})

    @property
    def caps(self) -> ObservationCaps:
        return self.settings.caps

    @property
    def id(self) -> str:
        """Provenance of an episode, as trajectories name it: ``default:0123456789abcdef``."""
        return f"{self.name}:{self.sha256[:16]}"

    def id_of(self, *names: str) -> str:
        """Provenance of what was asked with these files, in the same form."""
        return f"{self.name}:{_digest(self._some(names))[:16]}"

    def _some(self, names: Iterable[str]) -> dict[str, str]:
        return {name: self.files[name] for name in names}

    @property
    def shows_tools(self) -> bool:
        return any(place in self.files["user.md"] for place in ("{tools}", "{tools_in_lines}"))

    def system(self, date: str = "") -> str:
        """The system message, "" for none. ``date`` is YYYY-MM-DD; today if empty."""
        return fill(self.files["system.md"], date=date or calendar_date.today().isoformat())

    def user(self, question: str, tools: Sequence[Mapping[str, Any]], *, file: str = "user.md") -> str:
        """The first user message; ``tools`` are the JSON schemas of the tools.

        ``{tools_in_lines}`` has one on each line, the form that Qwen, Hermes and many small models were trained on.
        """
        shown = ",\n".join(json.dumps(schema, indent=2, ensure_ascii=False) for schema in tools)
        lines = "\n".join(json.dumps(schema, ensure_ascii=False) for schema in tools)
        return fill(self.files[file], question=question, tools=shown, tools_in_lines=lines)

    def capped(self, **caps: int | None) -> "PromptSet":
        """The same wording with other caps; None keeps the set's own. Raises UsageError for one that shows nothing."""
        changed = {name: value for name, value in caps.items() if value is not None}
        try:
            own = msgspec.convert({**msgspec.to_builtins(self.caps), **changed}, ObservationCaps)
        except msgspec.ValidationError as error:
            raise UsageError(f"observation caps {changed}: {error}") from None
        settings = msgspec.structs.replace(self.settings, caps=own)
        return PromptSet(self.name, self.files, settings, self.context, rewrites=self._rewrites)

    def for_context(self, rule: str) -> "PromptSet":
        """The same set under a context policy."""
        return PromptSet(self.name, self.files, self.settings, self.context, rewrites=rule != APPEND)


def opening_messages(
    prompts: PromptSet, question: str, tools: Sequence[Mapping[str, Any]], date: str = ""
) -> list[Message]:
    """The messages before the first assistant turn: the system message, if the set has one, and the user's."""
    system = prompts.system(date)
    first = [Message("system", system)] if system else []
    return [*first, Message("user", prompts.user(question, tools))]


def fill(template: str, **values: object) -> str:
    """Replace ``{name}`` by its value, in one pass; names that are not given stay as they are.

    A value cannot leave the tags that the template puts around it, nor open them again: in the tags that the template
    itself uses, however they are spaced, ``<`` becomes ``‹``. Everything else stays, since quotes are copied from it.
    """
    tags = _tags(template)

    def value(found: re.Match[str]) -> str:
        if found[1] not in values:
            return found[0]
        text = str(values[found[1]])
        return tags.sub("‹", text) if tags else text

    return re.sub(r"\{(\w+)\}", value, template)


@lru_cache
def _tags(template: str) -> re.Pattern[str] | None:
    """The ``<`` of any tag that the template uses, also of one that is never closed."""
    names = "|".join(sorted(set(re.findall(r"</?(\w+)>", template))))
    if not names:
        return None
    return re.compile(rf"<(?=\s*+/?+\s*+(?:{names})(?![\w-])(?:[^<>]*+>|\s*+\Z))", re.IGNORECASE)


def load_for(options: EpisodeOptions) -> PromptSet:
    """The prompt set of an episode, with the caps that were set by hand, under its context policy."""
    own = {name: getattr(options, name, None) for name in ObservationCaps.__struct_fields__}
    return load(options.prompts).capped(**own).for_context(options.context)


def load(name_or_dir: str) -> PromptSet:
    """Open a prompt set. Raises UsageError for an unknown name, an unknown file, or settings that cannot be read."""
    files, tables = _read_set("default", built_in_folder("default"))
    context = read_tables("default", built_in_folder("default") / CONTEXT)
    if name_or_dir != "default":
        own_files, own_tables = _read_set(name_or_dir, prompt_folder(name_or_dir))
        _refuse_unknown(name_or_dir, "prompt", own_files, files)
        _refuse_unknown(name_or_dir, f"table of {SETTINGS}", own_tables, tables)
        files |= own_files
        tables = {table: merged(values, own_tables.get(table, {})) for table, values in tables.items()}
        context |= read_tables(name_or_dir, prompt_folder(name_or_dir) / CONTEXT)
    settings = _shaped(name_or_dir, SETTINGS, tables, Settings)
    wording = _shaped(name_or_dir, CONTEXT, context, ContextWording)
    return PromptSet(Path(name_or_dir).resolve().name, files, settings, wording)


Shape = TypeVar("Shape", Settings, ContextWording)


def _shaped(name: str, file: str, tables: Mapping[str, Any], shape: type[Shape]) -> Shape:
    try:
        return msgspec.convert(tables, shape)
    except msgspec.ValidationError as error:
        raise UsageError(f"--prompts {name}: {file}: {error}") from None


def merged(values: dict[str, Any], own: Any) -> Any:
    """A table with what another set says otherwise; whatever is no table is for who reads it to refuse."""
    return {**values, **own} if isinstance(own, dict) else own


def prompt_folder(name_or_dir: str) -> Traversable:
    if name_or_dir in BUILT_IN:
        return built_in_folder(name_or_dir)
    if not Path(name_or_dir).is_dir():
        raise UsageError(f"--prompts {name_or_dir}: neither a folder nor one of {', '.join(BUILT_IN)}")
    return Path(name_or_dir)


def built_in_folder(name: str) -> Traversable:
    return resources.files("webdancer_cli.prompts") / name


def _read_set(name: str, folder: Traversable) -> tuple[dict[str, str], dict[str, Any]]:
    """The prompts of a folder by file name, and the tables of its settings."""
    files = {entry.name: entry for entry in folder.iterdir() if entry.name.endswith(".md") and entry.is_file()}
    try:
        texts = {name: _text(entry) for name, entry in files.items()}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--prompts {name}: {error}") from None
    return texts, read_tables(name, folder / SETTINGS)


def read_tables(name: str, file: Traversable) -> dict[str, Any]:
    """The tables of a TOML file of a set; none where there is no such file."""
    try:
        return tomllib.loads(decode_file(file.read_bytes())) if file.is_file() else {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"--prompts {name}: {error}") from None


def _text(entry: Traversable) -> str:
    """An editor's last newline is no part of a prompt."""
    return decode_file(entry.read_bytes()).removesuffix("\n")


def _refuse_unknown(name: str, what: str, own: Iterable[str], known: Iterable[str]) -> None:
    if unknown := sorted(set(own) - set(known)):
        raise UsageError(f"--prompts {name}: {unknown[0]} is no {what}: choose from {', '.join(sorted(known))}")


def _digest(parts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
