"""BM25 over a large fictional web: time to build, time per query, memory.

    python tests/bench/bm25.py                                  # 100,000 pages of the rich style
    python tests/bench/bm25.py --pages 10000 --style plain
    python tests/bench/bm25.py --corpus pages.jsonl             # a corpus of your own

The pages come straight from the world's articles, without HTML and a crawl between. A query asks for a page by its name
and some words of one of its sentences. Must hold at 100,000 pages: build under 90 s, median query under 10 ms (else the
exit code is 1).
"""

import argparse
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import Page
from webdancer_cli.text.words import sentences
from webdancer_cli.web.corpus import Corpus
from webdancer_cli.world import PlainWorld
from webdancer_cli.world.almanac import Almanac
from webdancer_cli.world.atlas import Atlas
from webdancer_cli.world.document import Article, paragraph_text
from webdancer_cli.world.plain_pages import PlainPages
from webdancer_cli.world.rich_pages import RichPages
from webdancer_cli.world.site import WorldPages

MOST_BUILD_SECONDS = 90.0
MOST_QUERY_MS = 10.0
SITE = "http://127.0.0.1:8000/"


def main() -> int:
    arguments = parsed()
    if arguments.corpus:
        return report(arguments.corpus, arguments.queries)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "pages.jsonl")
        start = time.perf_counter()
        count = jsonl.write_records(path, world(arguments.pages, arguments.style))
        print(f"{count:,} pages of the {arguments.style} style written in {time.perf_counter() - start:.0f} s")
        return report(path, arguments.queries)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=100_000)
    parser.add_argument("--style", choices=["rich", "plain"], default="rich")
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--corpus")
    return parser.parse_args()


def world(size: int, style: str, skip: int = 0) -> Iterator[Page]:
    """The pages of a world, without the first ones: each is computed by itself."""
    pages: WorldPages = (
        PlainPages(PlainWorld(size, 0, "train")) if style == "plain" else RichPages(Almanac(Atlas(size, 0, "train")))
    )
    indices = (index for kind in pages.plurals for index in pages.indices(kind))
    for index in islice(indices, skip, None):
        article = pages.article(index)
        yield Page(url=SITE + article.path, title=article.title, text=text(article))


def text(article: Article) -> str:
    rows = [f"| {label} | {value.text} |" for label, value in article.table]
    paragraphs = [paragraph_text(paragraph) for section in article.sections for paragraph in section.paragraphs]
    items = [f"- {item.text}" for section in article.sections for item in section.items]
    return "\n".join([article.title, *rows, *paragraphs, *items])


def report(path: str, queries: int) -> int:
    start = time.perf_counter()
    corpus = Corpus.load(path)
    build = time.perf_counter() - start
    timed = sorted(ask(corpus, queries))
    median = statistics.median(seconds for seconds, _ in timed) * 1000
    first = sum(hit for _, hit in timed)
    size = Path(path).stat().st_size / 2**20
    print(f"{len(corpus):,} pages, {size:,.0f} MB; build {build:.1f} s, peak memory {peak():,.0f} MB")
    print(f"{queries} queries: median {median:.1f} ms, 95 % under {timed[int(0.95 * queries)][0] * 1000:.1f} ms")
    print(f"the page asked for came first in {first} of {queries}")
    return int(build > MOST_BUILD_SECONDS or median > MOST_QUERY_MS)


def ask(corpus: Corpus, queries: int) -> Iterator[tuple[float, bool]]:
    """Seconds of each query, and whether its page came first."""
    draw = random.Random(0)
    rows = {draw.randrange(len(corpus)) for _ in range(queries)}
    pages = [page for row, page in enumerate(corpus) if row in rows]
    for page in draw.choices(pages, k=queries):
        words = draw.choice(sentences(page.text)).split()[:8]
        start = time.perf_counter()
        hits = corpus.search_now(f"{page.title} {' '.join(words)}", 10)
        yield time.perf_counter() - start, bool(hits) and hits[0].url == page.url


def peak() -> float:
    """The most memory that this process has had, in MB (Linux counts in KB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
