"""A plugin for pytest: how each test ended, as a JSON line at once, so that a run that is cut off is not lost.

python -m pytest -p outcomes --outcomes FILE …
"""

import json
from pathlib import Path
from typing import Any

import pytest

REASON_CHARS = 400


_config: Any = None


def pytest_configure(config: pytest.Config) -> None:
    """The workers of pytest-xdist tell the controller, which writes."""
    global _config
    _config = None if hasattr(config, "workerinput") else config


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--outcomes", type=Path, help="file for the outcome of each test")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.passed and report.when != "call":
        return
    file = _config.getoption("--outcomes") if _config else None
    if file:
        line = {"test": report.nodeid, "outcome": report.outcome, "seconds": round(report.duration, 2)}
        line |= {"reason": _reason(report)} if not report.passed else {}
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(line) + "\n")


def _reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2])[:REASON_CHARS]
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash else report.longrepr)[:REASON_CHARS]
