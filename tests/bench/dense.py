"""Search by words, by vectors and by both, over a fictional web: what is found, how fast, at which cost.

    python tests/bench/dense.py --things 8000 --folder big        # a Markdown table on stdout
    python tests/bench/dense.py --things 8000 --folder big --others 40000      # among pages that nobody asks about
    python tests/bench/dense.py --things 8000 --folder big --embed http://127.0.0.1:8000/v1 --model NAME

The world is one of `webdancer world --style varied`. A question counts as answered by a search if the page where its
chain begins is among the results: by the words that the world uses, and paraphrased, its common nouns and verbs put in
other words (names stay: they are invented, and have no synonyms). Without --embed, the static model of the package
wordllama is served on loopback (tests/embedding_server.py): it has never seen these names. Times of queries are told
with the call for the query's vector, and without it.
"""

import argparse
import asyncio
import json
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bm25 import world

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import QA
from webdancer_cli.llm.embeddings import EmbeddingClient
from webdancer_cli.llm.endpoints import EMBEDDINGS, EndpointPool
from webdancer_cli.web.open_pages import open_pages
from webdancer_cli.web.page_index.ranked_index import open_ranked
from webdancer_cli.world.varied.axes import Axes, held_out_values
from webdancer_cli.world.varied.varied_pages import VariedPages
from webdancer_cli.world.varied.varied_questions import VariedQuestions, world_pages
from webdancer_cli.world.varied.varied_world import VariedWorld

SITE = "http://127.0.0.1:8000"
RANKS = ("bm25", "dense", "hybrid")
AT = (1, 5, 10)
OTHER_WORDS = """
ship vessel, film movie, sequel follow-up, home residence, mentor tutor, capital seat-of-government,
estate manor, town municipality, agent representative, habitat natural-surroundings, province region,
director film-maker, harbour dock, birth being-born, mate officer, secretary clerk, debut first-appearance,
speaker chairperson, animal creature, mother mom, father dad, repealed abolished, act law, warden guardian,
river stream, sailor seaman, shipyard boatyard, wedding marriage, sponsor backer, assistant aide,
siblings brothers-and-sisters, street road, predecessor forerunner, neighbour adjoining-one, heir successor,
founder creator, patron benefactor, source spring, architect building-designer, port haven, predator hunter,
captain skipper, premiere first-showing, employer boss, teacher instructor, composer music-writer,
headquarters main-office, discoverer finder, emblem badge, mayor burgomaster, company firm, owner proprietor,
naturalist wildlife-scientist, twin partner, builder constructor, birthplace native-place,
spouse partner-in-marriage, children offspring, population number-of-people, inhabitants residents,
village hamlet, employees staff, profession occupation, weight heaviness, tributaries side-streams,
actor performer, prey quarry
"""
HEADER = "| pages | questions | search | " + " | ".join(f"recall@{at}" for at in AT) + " | median, ms | alone, ms |\n"
HEADER += "|---" * 8 + "|"


def main() -> int:
    given = parsed()
    if given.search:
        print(json.dumps(asyncio.run(search(given))))
        return 0
    folder = Path(given.folder)
    folder.mkdir(parents=True, exist_ok=True)
    pages, questions = (folder / f"{kind}-{given.things}.jsonl" for kind in ("pages", "questions"))
    others = folder / f"others-{given.others}.jsonl"
    if not questions.exists():
        made = VariedWorld(given.things, 0, "train", Axes(), held_out_values([]))
        varied = VariedPages(made)
        jsonl.write_records(str(pages), world_pages(varied, SITE))
        jsonl.write_records(str(questions), VariedQuestions(made, varied, SITE).write(given.questions))
    if given.others and not others.exists():
        jsonl.write_records(str(others), world(given.others, "rich"))
    with endpoint(given.embed) as url:
        return report(given, [pages, others] if given.others else [pages], questions, url)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--things", type=int, default=8000, help="of which the world has pages, and registers beside")
    parser.add_argument("--others", type=int, default=0, help="pages of the rich style beside")
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--folder", default="bench-dense")
    parser.add_argument("--embed", help="an endpoint of your own")
    parser.add_argument("--model", default="wordllama")
    parser.add_argument("--search", nargs=2, help="search this index in this way; used by the script itself")
    return parser.parse_args()


@contextmanager
def endpoint(url: str | None) -> Iterator[str]:
    if url:
        yield url
        return
    served = Path(__file__).parent.parent / "embedding_server.py"
    process = subprocess.Popen([sys.executable, str(served)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()


def report(given: argparse.Namespace, pages: list[Path], questions: Path, url: str) -> int:
    index = Path(given.folder) / f"web.index-{given.things}-{given.others}"
    built = [build(pages, index), build(pages, index, "--embed", url, "--embed-model", given.model)]
    vectors = (index / "vectors.f32").stat().st_size / 1e6
    command = [sys.executable, __file__, "--embed", url, "--model", given.model, "--folder", str(questions)]
    print(HEADER)
    for rank in RANKS:
        found = json.loads(subprocess.check_output([*command, "--search", str(index), rank]))
        for words, figures in found["sets"].items():
            shown = [f"{figures['asked']} {words}", rank, *(f"{figures[f'at{at}']:.3f}" for at in AT)]
            shown += [f"{figures['median_ms']:.1f}", f"{figures['alone_ms']:.1f}"]
            print(f"| {found['pages']:,} | {' | '.join(shown)} |")
        print(f"{rank}: opened in {found['open_ms']:.0f} ms, {found['megabytes']:.0f} MB resident", file=sys.stderr)
    print(f"words {built[0]:.0f} s, vectors {built[1]:.0f} s, {vectors:.0f} MB of them", file=sys.stderr)
    return 0


def build(pages: list[Path], index: Path, *more: str) -> float:
    """Seconds; what an earlier run made is made no more."""
    start = time.monotonic()
    if more or not index.exists():
        command = [
            sys.executable,
            "-m",
            "webdancer_cli",
            "index",
            "--pages",
            *map(str, pages),
            "--out",
            str(index),
            *more,
        ]
        subprocess.run(command, check=True)
    return time.monotonic() - start


async def search(given: argparse.Namespace) -> dict[str, object]:
    index, rank = given.search
    start = time.perf_counter()
    client = EmbeddingClient(EndpointPool([given.embed], 8, path=EMBEDDINGS, flag="--embed"), given.model)
    web = open_pages(index) if rank == "bm25" else open_ranked(index, client, rank)
    open_ms = (time.perf_counter() - start) * 1000
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    asked = [(qa.question, qa.evidence[0].url) for qa in jsonl.read_records(given.folder, QA)]
    sets = {"as asked": asked, "paraphrased": [(in_other_words(words), url) for words, url in asked]}
    found = {name: await figures(web, pairs) for name, pairs in sets.items()}
    await client.aclose()
    return {"pages": len(web), "open_ms": open_ms, "megabytes": megabytes, "sets": found}


async def figures(web: object, asked: list[tuple[str, str]]) -> dict[str, float]:
    """Twice: the second time a query's vector is known."""
    ranks, seconds = [], [[], []]  # type: ignore[var-annotated]
    for times in seconds:
        for words, url in asked:
            start = time.perf_counter()
            hits = await web.search(words, max(AT))  # type: ignore[attr-defined]
            times.append(time.perf_counter() - start)
            if times is seconds[0]:
                urls = [hit.url for hit in hits]
                ranks.append(urls.index(url) + 1 if url in urls else max(AT) + 1)
    told = {f"at{at}": sum(rank <= at for rank in ranks) / len(ranks) for at in AT}
    first, again = (statistics.median(times) * 1000 for times in seconds)
    return {"asked": len(asked), "median_ms": first, "alone_ms": again, **told}


def in_other_words(question: str) -> str:
    """A question whose words are those of the table; plurals as well."""
    other = dict(pair.split() for pair in OTHER_WORDS.replace("\n", " ").split(",") if pair.strip())

    def put(match: re.Match[str]) -> str:
        word = match[0]
        found = other.get(word) or (f"{other[word[:-1]]}s" if word[:-1] in other and word[-1] == "s" else word)
        return found.replace("-", " ")

    return re.sub(r"\b[a-z]+\b", put, question)


if __name__ == "__main__":
    sys.exit(main())
