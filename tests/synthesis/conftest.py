"""A small plain world as pages, and an oracle that answers its questions from the world's facts alone."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from webdancer_cli import config, jsonl
from webdancer_cli.records import QA, Page
from webdancer_cli.stages import world
from webdancer_cli.web.extract import extract

SITE = "http://127.0.0.1:8000"
PAGES = 80


class Oracle:
    """Facts of a plain world: (subject, relation) to value. Reads questions word by word, knowing no page."""

    def __init__(self, path: Path):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        self.values = {(row["subject"], row["relation"]): row["value"] for row in rows}
        self.kinds = {row["subject"]: row["kind"] for row in rows}

    def resolve(self, phrase: str) -> tuple[str, list[str]]:
        """What "the R of the S of X" is, and the pages to read for it, in order."""
        if not phrase.startswith("the "):
            return phrase, []
        relation, _, rest = phrase.removeprefix("the ").partition(" of ")
        inner, pages = self.resolve(rest)
        return self.values[inner, relation], [*pages, inner]

    def answers(self, question: str) -> tuple[set[str], list[str]]:
        """All right answers to a question, and the pages to read for the names that it describes."""
        if found := re.fullmatch(r"(?:Who|What|Which \w+) is (the (?!name ).+)\?", question):
            value, pages = self.resolve(found[1])
            return {value}, pages
        if found := re.fullmatch(
            r"What is the name of the \w+ whose (.+?) is (.+) and whose (.+?) is (.+)\?", question
        ):
            (one, first), (other, second) = (self.resolve(found[place]) for place in (2, 4))
            holders = self._holders(found[1], one) & self._holders(found[3], other)
            return holders, [*first, *second]
        found = re.fullmatch(r"How many (\w+) have (.+) as their (.+)\?", question)
        assert found, question
        value, pages = self.resolve(found[2])
        return {str(len(self._holders(found[3], value)))}, pages

    def _holders(self, relation: str, value: str) -> set[str]:
        return {subject for (subject, name), held in self.values.items() if (name, held) == (relation, value)}


@pytest.fixture(scope="session")
def plain_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``site/`` and ``facts.jsonl``."""
    root = tmp_path_factory.mktemp("plain")
    world.run(config.World(out=str(root), pages=PAGES, seed=5, style="plain"))
    return root


def pages_of(root: Path) -> list[Page]:
    files = sorted((root / "site").rglob("*.html"))
    pages = [extract(file.read_text(), f"{SITE}/{file.relative_to(root / 'site').as_posix()}") for file in files]
    return [page for page in pages if page.text]


@pytest.fixture(scope="session")
def plain_pages(plain_world: Path) -> list[Page]:
    return pages_of(plain_world)


@pytest.fixture(scope="session")
def rich_pages(tmp_path_factory: pytest.TempPathFactory) -> list[Page]:
    root = tmp_path_factory.mktemp("rich")
    world.run(config.World(out=str(root), pages=PAGES, seed=5, style="rich"))
    return pages_of(root)


@pytest.fixture(scope="session")
def oracle(plain_world: Path) -> Oracle:
    return Oracle(plain_world / "facts.jsonl")


@pytest.fixture(scope="session")
def plain_corpus(plain_pages: list[Page], tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("corpus") / "pages.jsonl")
    jsonl.write_all(path, plain_pages)
    return path


@pytest.fixture
def names_in_order() -> Callable[[QA], list[str]]:
    """The titles of a question's evidence, each page once."""
    return lambda qa: list(dict.fromkeys(proof.title for proof in qa.evidence))
