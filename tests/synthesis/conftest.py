"""A small world of each style as pages, and oracles that answer their questions from the worlds' facts alone."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import QA, Page
from webdancer_cli.options import config
from webdancer_cli.stages import world
from webdancer_cli.web.extract.html_page import extract_page

SITE = "http://127.0.0.1:8000"
PAGES = 80


Oracle = runpy.run_path(str(Path(__file__).with_name("oracle.py")))["Oracle"]


@pytest.fixture(scope="session")
def plain_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``site/`` and ``facts.jsonl``."""
    root = tmp_path_factory.mktemp("plain")
    world.run(config.WorldOptions(out=str(root), pages=PAGES, seed=5, style="plain"))
    return root


def pages_of(root: Path) -> list[Page]:
    files = sorted((root / "site").rglob("*.html"))
    pages = [extract_page(file.read_text(), f"{SITE}/{file.relative_to(root / 'site').as_posix()}") for file in files]
    return [page for page in pages if page.text]


@pytest.fixture(scope="session")
def plain_pages(plain_world: Path) -> list[Page]:
    return pages_of(plain_world)


@pytest.fixture(scope="session")
def rich_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("rich")
    world.run(config.WorldOptions(out=str(root), pages=PAGES, seed=5, style="rich"))
    return root


@pytest.fixture(scope="session")
def rich_pages(rich_world: Path) -> list[Page]:
    return pages_of(rich_world)


@pytest.fixture(scope="session")
def oracle(plain_world: Path) -> Any:
    return Oracle(plain_world / "facts.jsonl")


@pytest.fixture(scope="session")
def rich_oracle(rich_world: Path) -> Any:
    return Oracle(rich_world / "facts.jsonl")


@pytest.fixture(scope="session")
def plain_corpus(plain_pages: list[Page], tmp_path_factory: pytest.TempPathFactory) -> str:
    return corpus_of(plain_pages, tmp_path_factory)


@pytest.fixture(scope="session")
def rich_corpus(rich_pages: list[Page], tmp_path_factory: pytest.TempPathFactory) -> str:
    return corpus_of(rich_pages, tmp_path_factory)


def corpus_of(pages: list[Page], folders: pytest.TempPathFactory) -> str:
    path = str(folders.mktemp("corpus") / "pages.jsonl")
    jsonl.write_records(path, pages)
    return path


@pytest.fixture
def names_in_order() -> Callable[[QA], list[str]]:
    """The titles of a question's evidence, each page once."""
    return lambda qa: list(dict.fromkeys(proof.title for proof in qa.evidence))
