import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from webdancer_cli.errors import UsageError
from webdancer_cli.options import config
from webdancer_cli.stages import world


def options(out: Path, **changes: object) -> config.WorldOptions:
    return dataclasses.replace(config.WorldOptions(out=str(out), pages=50, seed=3), **changes)  # type: ignore[arg-type]


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("style", "digest"), [("plain", "afaac7a5d2fd022f"), ("rich", "8e86bca8e6e780cc")])
def test_the_plain_and_the_rich_world_are_what_they_always_were(tmp_path: Path, style: str, digest: str) -> None:
    """Byte for byte; the digests were taken when there was no other style."""
    world.run(options(tmp_path, style=style))
    whole = hashlib.sha256()
    for path in sorted(tmp_path.rglob("*")):
        if path.is_file():
            whole.update(str(path.relative_to(tmp_path)).encode() + b"\0" + path.read_bytes())
    assert whole.hexdigest()[:16] == digest


def test_a_varied_world_has_its_pages_and_questions_beside_the_site(tmp_path: Path) -> None:
    changes = {"style": "varied", "pages": 170, "questions": 40, "hold_out": ["layout=table"]}
    stats = world.run(options(tmp_path / "one", **changes))
    world.run(options(tmp_path / "two", **changes))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    pages = [json.loads(line) for line in (tmp_path / "one" / "pages.jsonl").read_text("utf-8").splitlines()]
    questions = [json.loads(line) for line in (tmp_path / "one" / "questions.jsonl").read_text("utf-8").splitlines()]
    assert stats.counts == {"pages": len(pages), "questions": len(questions)}
    assert {proof["url"] for qa in questions for proof in qa["evidence"]} <= {page["url"] for page in pages}
    assert {qa["split"] for qa in questions} == {"seen"} and "table" not in {qa["layout"] for qa in questions}


@pytest.mark.parametrize("style", ["plain", "rich"])
@pytest.mark.parametrize("names", ["train", "eval"])
def test_the_same_seed_gives_the_same_bytes_wherever_it_is_written(tmp_path: Path, style: str, names: str) -> None:
    assert world.run(options(tmp_path / "one", style=style, names=names)).counts["pages"] == 50
    assert world.run(options(tmp_path / "two", style=style, names=names)).counts["pages"] == 50
    one = contents(tmp_path / "one")
    assert one == contents(tmp_path / "two")
    assert {"site/index.html", "site/robots.txt", "site/sitemap.xml", "facts.jsonl", "world.json"} <= set(one)


def test_world_json_holds_the_options(tmp_path: Path) -> None:
    world.run(options(tmp_path, style="plain", names="eval"))
    assert json.loads((tmp_path / "world.json").read_text()) == {
        "pages": 50,
        "seed": 3,
        "style": "plain",
        "names": "eval",
        "site_url": "http://127.0.0.1:8000",
    }


def test_progress_is_told_of_every_page(tmp_path: Path) -> None:
    class Steps:
        def __init__(self) -> None:
            self.seen: list[tuple[int, int | None]] = []

        def step(self, done: int, total: int | None, note: str) -> None:
            self.seen.append((done, total))

    steps = Steps()
    world.run(options(tmp_path, style="plain"), progress=steps)
    assert steps.seen == [(done, 50) for done in range(1, 51)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pages": 49}, "--pages: 49: expected int >= 50"),
        ({"pages": 1_000_001}, "--pages: 1000001: expected int <= 1000000"),
        ({"style": "baroque"}, "--style: 'baroque': choose from rich, plain, varied"),
        ({"style": "plain", "hold_out": ["layout"]}, "--hold-out: is for --style varied"),
        ({"style": "varied", "layout": ["scroll"]}, "--layout: 'scroll': choose from prose"),
        ({"names": "test"}, "--names: 'test': choose from train, eval"),
    ],
)
def test_impossible_worlds_are_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        options(tmp_path / "out", **changes)


def test_an_out_that_cannot_be_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    with pytest.raises(UsageError, match=r"file: .*: name a folder that can be written"):
        world.run(options(tmp_path / "file"))
    with pytest.raises(UsageError, match="name a folder that can be written"):
        world.run(options(tmp_path / "file" / "below"))


def test_the_same_world_may_be_written_again_but_not_another_over_it(tmp_path: Path) -> None:
    world.run(options(tmp_path))
    before = contents(tmp_path)
    assert world.run(options(tmp_path)).counts["pages"] == 50
    with pytest.raises(UsageError, match="holds another site: remove it, or name another folder"):
        world.run(options(tmp_path, seed=4))
    assert contents(tmp_path) == before


def test_a_folder_with_a_site_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("mine")
    with pytest.raises(UsageError, match="holds another site"):
        world.run(options(tmp_path))
    assert contents(tmp_path) == {"site/index.html": b"mine"}
