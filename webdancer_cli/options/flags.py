"""The flags of a command, made from its dataclass in ``config.py``: names, types, help and defaults stand there."""

import inspect
from typing import Any

import typer

from webdancer_cli.options import settings
from webdancer_cli.options.option_checks import choices, kinds_of, option, plain_type

SHORT = {"model": "-m", "jobs": "-j", "limit": "-n", "n": "-n", "parts": "-n", "out": "-o"}
"""Short flags; one letter means the same everywhere, except that ``sample -n`` counts rollouts, ``split -n`` parts."""

ARGUMENTS = {"roots": "URL", "file": "FILE", "files": "FILE...", "command": "STAGE..."}
"""Options that stand on the command line without a flag."""

METAVARS = {int: "N", float: "X", str: "TEXT", list: "A,B,..."}


def parameters(command: str) -> list[inspect.Parameter]:
    """What Typer reads as the signature of ``command``. A flag not given is None, and ``settings.resolve`` fills it."""
    kind = settings.COMMANDS[command]
    kinds = kinds_of(kind)
    documented = [
        _parameter(kind, name, kinds[name], text, kinds) for name, text in settings.documentation(kind).items()
    ]
    return [*documented, *_always()]


def parsed(command: str, words: list[str]) -> dict[str, Any]:
    """What the words of a command line give to ``command``; None is "not given". Raises what Typer raises."""
    given: dict[str, Any] = {}
    app = typer.Typer(add_completion=False, rich_markup_mode=None)

    def take(**values: Any) -> None:
        given.update({name: value for name, value in values.items() if name not in ("quiet", "show_config")})

    take.__signature__ = inspect.Signature(parameters(command))  # type: ignore[attr-defined]
    take.__annotations__ = {}
    app.command()(take)
    app(words, prog_name=command, standalone_mode=False)
    return given


def _parameter(kind: type, name: str, annotation: Any, text: str, kinds: dict[str, Any]) -> inspect.Parameter:
    plain = plain_type(annotation)
    if name in ARGUMENTS:
        argument = typer.Argument(None, help=text, metavar=ARGUMENTS[name], show_default=False)
        return _keyword(name, (list[str] if plain is list else plain) | None, argument)
    names = _names(name, kinds)
    if plain is bool:
        return _keyword(name, bool | None, typer.Option(None, *names, help=text, show_default=False))
    metavar = "|".join(choices(annotation)) if plain is str else ""
    help = _with_default(text, settings.default_text(kind, name))
    given = typer.Option(None, *names, help=help, metavar=metavar or METAVARS[plain], show_default=False)
    return _keyword(name, (list[str] if plain is list else plain) | None, given)


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _names(name: str, kinds: dict[str, Any]) -> list[str]:
    long = option(name)
    if kinds[name] is bool:
        return [f"{long}/--no-{long[2:]}"]
    taken = name == "limit" and "n" in kinds
    return [long, SHORT[name]] if name in SHORT and not taken else [long]


def _with_default(text: str, default: str) -> str:
    return f"{text} [default: {default}]" if default else text


def _always() -> list[inspect.Parameter]:
    quiet = typer.Option(False, "--quiet", "-q", help="No progress and no summary on stderr; errors only.")
    show = typer.Option(False, "--show-config", help="Print every value and where it came from, and do nothing.")
    return [_keyword("quiet", bool, quiet), _keyword("show_config", bool, show)]
