"""The report as one HTML file: a template, a style and a script of our own, and the data, inert.

Nothing in the file is run but that one script, and nothing is asked of any network: the page's own policy (CSP) says so
to the browser. The data stand in script elements of types that no browser runs, where ``<`` is never written.
"""

import base64
import hashlib
from importlib.resources import files
from pathlib import Path

import jinja2

from webdancer_cli.data.jsonl import encode
from webdancer_cli.errors import WebdancerError
from webdancer_cli.report.model import Report

_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def write_html(report: Report, path: str) -> None:
    """Write the report. Raises WebdancerError where the file cannot be written."""
    style, script = _asset("report.css"), _asset("report.js")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    stream = environment.from_string(_asset("report.html.jinja")).stream(
        title=report.title,
        policy=policy(style, script),
        style=style,
        script=script,
        index=inert(encode(report.index())),
        chunks=(chunk.decode("ascii") for chunk in report.chunks),
    )
    try:
        with Path(path).open("wb") as file:
            stream.dump(file, encoding="utf-8")
    except OSError as error:
        raise WebdancerError(f"{path}: {error.strerror}: the report could not be written") from None


def policy(style: str, script: str) -> str:
    """A Content-Security-Policy that lets this style and this script in, each by its hash, and nothing else."""
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def inert(json: bytes) -> str:
    """JSON that can stand in a script element: it means the same, and holds no character of markup."""
    text = json.decode("utf-8")
    for char, escape in _ESCAPES.items():
        text = text.replace(char, escape)
    return text


def _asset(name: str) -> str:
    return (files("webdancer_cli.report") / name).read_text("utf-8")
