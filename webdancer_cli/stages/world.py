"""``webdancer world``: a fictional web as static HTML, with the facts beside it."""

from collections import Counter
from pathlib import Path

import msgspec

from webdancer_cli.data import jsonl
from webdancer_cli.data.pipeline import Progress, RunStats
from webdancer_cli.errors import UsageError
from webdancer_cli.options import config
from webdancer_cli.world import PlainWorld, site
from webdancer_cli.world.almanac import Almanac
from webdancer_cli.world.atlas import Atlas
from webdancer_cli.world.plain_pages import PlainPages
from webdancer_cli.world.rich_pages import RichPages
from webdancer_cli.world.varied.axes import VALUES, Axes, held_out_values
from webdancer_cli.world.varied.varied_pages import VariedPages
from webdancer_cli.world.varied.varied_questions import VariedQuestions, world_pages
from webdancer_cli.world.varied.varied_world import VariedWorld


def run(options: config.WorldOptions, *, progress: Progress | None = None) -> RunStats:
    """Write the world, and count its entity ``pages``. Raises UsageError before anything is written.

    The same world may be written again over itself; a folder that holds another one is refused, since pages of the old
    one would stay among the new.
    """
    world = _varied(options) if options.style == "varied" else None
    varied = VariedPages(world) if world else None
    pages = varied or _pages(options)
    root, described = Path(options.out), _described(options)
    try:
        _refuse_another_world(root, described)
        (root / "site").mkdir(parents=True, exist_ok=True)
        (root / "world.json").write_bytes(described)
    except OSError as error:
        raise UsageError(f"--out {options.out}: {error.strerror}: name a folder that can be written") from None
    stats = RunStats(Counter(pages=site.write_site(pages, root, options.site_url, progress)))
    if world and varied:
        jsonl.write_records(str(root / "pages.jsonl"), world_pages(varied, options.site_url))
        asked = list(VariedQuestions(world, varied, options.site_url).write(options.questions))
        jsonl.write_records(str(root / "questions.jsonl"), asked)
        stats.counts["questions"] = len(asked)
    return stats


def _varied(options: config.WorldOptions) -> VariedWorld:
    axes = Axes()
    for axis in VALUES:
        axes = axes.only(axis, getattr(options, axis) or VALUES[axis])
    return VariedWorld(options.pages, options.seed, options.names, axes, held_out_values(options.hold_out))


def _refuse_another_world(root: Path, described: bytes) -> None:
    label = root / "world.json"
    same = label.is_file() and label.read_bytes() == described
    if (root / "site").exists() and not same:
        raise UsageError(f"--out {root}: holds another site: remove it, or name another folder")


def _pages(options: config.WorldOptions) -> site.WorldPages:
    if options.style == "plain":
        return PlainPages(PlainWorld(options.pages, options.seed, options.names))
    return RichPages(Almanac(Atlas(options.pages, options.seed, options.names)))


def _described(options: config.WorldOptions) -> bytes:
    """The options that make the world what it is; not where it lies, so that equal worlds have equal bytes."""
    names = ["pages", "seed", "style", "names", "site_url"]
    if options.style == "varied":
        names += ["questions", "hold_out", *VALUES]
    kept = {name: getattr(options, name) for name in names}
    return msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n"
