"""The vectors of an index: made by an endpoint, gone on with after whatever stopped it, searched beside the words."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from embedding_server import Embed, EmbeddingServer, embedding, static_model, word_vectors

from webdancer_cli import cli
from webdancer_cli.data import jsonl
from webdancer_cli.data.records import Page, Trajectory
from webdancer_cli.errors import Outage, ServiceRefused, ToolError, UsageError
from webdancer_cli.llm.embeddings import EmbeddingClient
from webdancer_cli.llm.endpoints import EMBEDDINGS, EndpointPool
from webdancer_cli.services.retry import RetryPolicy
from webdancer_cli.web.open_pages import open_pages
from webdancer_cli.web.page_index.ranked_index import RankedIndex, fuse, open_ranked
from webdancer_cli.web.page_index.vectors import ABOUT, MATRIX, ROWS, PassageVectors, VectorCount, vectors_in

WORDS = ["river", "mill", "sail", "bread", "clock", "stone", "violin", "harbour", "orchard", "lantern"]
QUICK = RetryPolicy(attempts=2, attempt_seconds=20, total_seconds=60, first_pause_seconds=0.01)


def write(path: Path, first: int, last: int) -> str:
    """Pages that share words, some of several passages; each has one word that only it has."""
    made = []
    for number in range(first, last):
        draw = random.Random(number)
        text = " ".join([*draw.choices(WORDS, k=draw.choice([5, 40, 700])), f"only{number}"])
        made.append(Page(url=f"http://e.org/{number}", title=f"Page {number}", text=text))
    jsonl.write_records(str(path), made)
    return str(path)


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with embedding(EmbeddingServer(word_vectors())) as served:
        yield served


def index(server: EmbeddingServer, folder: Path, *paths: str, model: str = "m", **more: str) -> int:
    given = [word for name, value in more.items() for word in (f"--embed-{name.replace('_', '-')}", value)]
    command = ["index", "--pages", *paths, "--out", str(folder), "--embed", server.url, "--embed-model", model, *given]
    return cli.run_command(command)


def opened(server: EmbeddingServer, folder: Path, rank: Any = "auto") -> RankedIndex:
    client = EmbeddingClient(EndpointPool([server.url], 4, path=EMBEDDINGS, flag="--embed"), "m", retry=QUICK)
    return open_ranked(str(folder), client, rank)


def held(folder: Path) -> tuple[VectorCount | None, bytes, bytes]:
    return vectors_in(folder), (folder / MATRIX).read_bytes(), (folder / ROWS).read_bytes()


def test_ranks_are_fused_by_the_sum_of_their_reciprocals() -> None:
    """1: 1/61 + 1/62 = 0.03252; 2: 1/62 + 1/61, the same; 3: 1/63; 4: 1/63, and a higher number."""
    assert fuse([[1, 2, 3], [2, 1, 4]]) == [1, 2, 3, 4]
    assert fuse([[9, 1], [1]]) == [1, 9]  # 1/62 + 1/61 > 1/61
    assert fuse([[], []]) == []


def test_every_passage_has_its_vector_and_each_page_is_found_by_its_best(
    tmp_path: Path, server: EmbeddingServer
) -> None:
    folder = tmp_path / "i"
    assert index(server, folder, write(tmp_path / "1", 0, 60)) == 0
    pages = open_pages(str(folder))
    vectors = PassageVectors(folder, pages.passages)
    assert vectors.about.passages == pages.passages > 60
    # Whoever asks for the words of a page as they stand finds it: the cosine with its own passage is 1.
    for row in range(60):
        text = next(text for text in server.texts if text.startswith(f"Page {row}\n"))
        query = word_vectors()([text])[0]
        assert vectors.best((query / np.linalg.norm(query)).astype(np.float32), 3)[0] == row
    assert vectors.best(np.zeros(vectors.about.dimension, np.float32), 5) == []


async def test_dense_and_hybrid_are_told_by_name_and_a_query_is_asked_for_once(
    tmp_path: Path, server: EmbeddingServer
) -> None:
    folder = tmp_path / "i"
    await asyncio.to_thread(index, server, folder, write(tmp_path / "1", 0, 40))
    words = open_pages(str(folder))
    query = next(text for text in server.texts if text.startswith("Page 7\n"))
    for rank in ("dense", "hybrid"):
        web = opened(server, folder, rank)
        assert web.name == f"{words.name}+{rank}:m"
        server.asked.clear()
        first, again = [await web.search(query, 5) for _ in range(2)]
        assert first == again and first[0].title == "Page 7" and server.texts == [query]
        assert (await web.read(first[0].url)).text.endswith("only7")
        await web.aclose()
    assert opened(server, folder).name.endswith("+hybrid:m")


async def test_a_model_that_is_down_is_an_outage_and_another_one_ends_the_run(
    tmp_path: Path, server: EmbeddingServer
) -> None:
    folder = tmp_path / "i"
    await asyncio.to_thread(index, server, folder, write(tmp_path / "1", 0, 5))
    web = opened(server, folder)
    server.spoil = lambda request: (503, {"error": {"message": "overloaded"}})
    with pytest.raises(Outage, match=r"\+hybrid:m: .*overloaded \(2 attempts\)"):
        await web.search("river", 3)
    server.spoil = lambda request: None
    server.embed = word_vectors(32)
    with pytest.raises(ServiceRefused, match="gives vectors of 32 numbers, the index has 64"):
        await web.search("mill", 3)
    await web.aclose()


async def test_a_query_that_the_model_does_not_take_is_told_to_who_asked(
    tmp_path: Path, server: EmbeddingServer
) -> None:
    folder = tmp_path / "i"
    await asyncio.to_thread(index, server, folder, write(tmp_path / "1", 0, 5))
    web = opened(server, folder)
    said = "This model's maximum context length is 512 tokens. However, you requested 2000 tokens."
    server.spoil = lambda request: (400, {"error": {"message": said, "code": "context_length_exceeded"}})
    with pytest.raises(ToolError, match="maximum context length is 512 tokens") as told:
        await web.search("river " * 2000, 3)
    assert told.value.lasts
    await web.aclose()


def test_what_is_new_gets_its_vectors_and_what_was_there_is_not_asked_for_again(
    tmp_path: Path, server: EmbeddingServer, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, folder, whole = (
        write(tmp_path / "1", 0, 30),
        write(tmp_path / "2", 20, 50),
        tmp_path / "i",
        tmp_path / "w",
    )
    assert cli.run_command(["index", "--pages", one, "--out", str(folder)]) == 0  # by words alone at first
    assert index(server, folder, one) == 0
    server.asked.clear()
    assert index(server, folder, one, two) == 0
    assert "30 already done, 20 pages, 10 repeated" in capsys.readouterr().err
    assert {text.split("\n")[0] for text in server.texts[1:]} == {f"Page {number}" for number in range(30, 50)}
    index(server, whole, one, two)
    assert held(folder) == held(whole)
    assert cli.run_command(["index", "--pages", one, "--out", str(folder)]) == 2
    assert "its passages have vectors: give the new ones theirs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"model": "other"}, "has vectors with --embed-model 'm', not 'other'"),
        ({"query_prefix": "query: "}, "has vectors with --embed-query-prefix '', not 'query: '"),
        ({"passage_prefix": "p: "}, "has vectors with --embed-passage-prefix '', not 'p: '"),
    ],
)
def test_an_index_keeps_to_its_model_and_prefixes(
    tmp_path: Path, server: EmbeddingServer, capsys: pytest.CaptureFixture[str], asked: dict[str, str], said: str
) -> None:
    one, folder = write(tmp_path / "1", 0, 5), tmp_path / "i"
    index(server, folder, one)
    server.asked.clear()
    assert index(server, folder, one, write(tmp_path / "2", 5, 9), **asked) == 2
    assert said in capsys.readouterr().err and not server.asked


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (word_vectors(32), "m gave vectors of 64 numbers, and gives 32 now"),
        (lambda texts: word_vectors()([text[::-1] for text in texts]), "is another model than before"),
    ],
    ids=["another dimension", "another model by the same name"],
)
def test_a_model_that_only_has_the_same_name_is_refused_before_a_page_is_read(
    tmp_path: Path, server: EmbeddingServer, capsys: pytest.CaptureFixture[str], other: Embed, said: str
) -> None:
    one, two, folder = write(tmp_path / "1", 0, 5), write(tmp_path / "2", 5, 9), tmp_path / "i"
    index(server, folder, one)
    server.embed = other
    assert index(server, folder, one, two) == 2
    assert said in capsys.readouterr().err and len(open_pages(str(folder))) == 5
    assert cli.run_command(["doctor", "index", "--pages", two, "--out", str(folder), *_named(server)]) == 1
    assert said in capsys.readouterr().out


def _named(server: EmbeddingServer) -> list[str]:
    return ["--embed", server.url, "--embed-model", "m"]


def test_prefixes_stand_before_passages_and_queries_and_stay_with_the_index(
    tmp_path: Path, server: EmbeddingServer
) -> None:
    folder = tmp_path / "i"
    index(server, folder, write(tmp_path / "1", 0, 4), query_prefix="query: ", passage_prefix="passage: ")
    assert all(text.startswith("passage: ") for text in server.texts)
    question = tmp_path / "q.jsonl"
    question.write_text('{"question": "Which page has only3?", "answer": "Page 3"}\n')
    server.asked.clear()
    asked = ["eval", "--agent", "rag", "--data", str(question), "--web", str(folder), "--embed", server.url]
    asked += ["--model", "x", "--base-url", "http://127.0.0.1:9/v1", "--turn-seconds", "1", "--out", "/dev/null"]
    cli.run_command(asked)  # nobody answers the question, but the pages for it are searched
    assert server.texts == ["query: Which page has only3?"]


def test_a_passage_without_a_vector_is_told_and_found_by_its_words(
    tmp_path: Path, server: EmbeddingServer, capsys: pytest.CaptureFixture[str]
) -> None:
    def spoil(request: Any) -> tuple[int, Any] | None:
        if any("only3" in text for text in request["input"]):
            return 400, {"error": {"message": "flagged by the content filter"}}
        return None

    server.spoil = spoil
    folder, rejects = tmp_path / "i", tmp_path / "rejects"
    command = ["index", "--pages", write(tmp_path / "1", 0, 6), "--out", str(folder), *_named(server)]
    assert cli.run_command([*command, "--rejects", str(rejects)]) == 1
    assert "1 rejected, 6 pages, 0 repeated" in capsys.readouterr().err
    told = msgspec.json.decode(rejects.read_bytes())
    assert (told["reason"], told["id"]) == ("no_vector", "http://e.org/3")
    assert open_pages(str(folder)).search_now("only3", 1)[0].title == "Page 3"
    assert cli.run_command(command) == 0  # nothing is new


def test_a_budget_stops_the_vectors_and_the_same_command_goes_on(
    tmp_path: Path, server: EmbeddingServer, capsys: pytest.CaptureFixture[str]
) -> None:
    one, folder, whole = write(tmp_path / "1", 0, 60), tmp_path / "i", tmp_path / "w"
    command = ["index", "--pages", one, "--out", str(folder), *_named(server), "--embed-batch", "4", "--jobs", "1"]
    assert cli.run_command([*command, "--max-tokens", "1000"]) == 1
    said = capsys.readouterr().err
    assert "--max-tokens 1000 are spent" in said and "the same command goes on from there" in said
    assert "--resume" not in said
    about = vectors_in(folder)
    assert about and 0 < about.pages < 60
    assert cli.run_command(["sample", "--data", one, "--web", str(folder), "--embed", server.url]) == 2
    assert "has vectors of " in capsys.readouterr().err
    assert cli.run_command(command) == 0
    index(server, whole, one)
    assert held(folder) == held(whole)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "has vectors of m: name its endpoint with --embed URL, or take --rank bm25"),
        (["--rank", "bm25", "--embed", "http://127.0.0.1:9/v1"], "leave one of them out"),
    ],
)
def test_vectors_are_never_left_aside_in_silence(
    tmp_path: Path, server: EmbeddingServer, capsys: pytest.CaptureFixture[str], given: list[str], said: str
) -> None:
    folder, one = tmp_path / "i", write(tmp_path / "1", 0, 5)
    index(server, folder, one)
    assert cli.run_command(["sample", "--data", one, "--web", str(folder), *given]) == 2
    assert said in capsys.readouterr().err
    for web, more in [(one, ["--rank", "hybrid"]), (one, ["--embed", "http://127.0.0.1:9/v1"])]:
        assert cli.run_command(["sample", "--data", one, "--web", web, *more]) == 2
        assert "has no vectors" in capsys.readouterr().err
    with pytest.raises(UsageError, match="has no vectors"):
        (folder / ABOUT).unlink()
        open_pages(str(folder), rank="dense")


def test_a_replay_asks_no_model_and_gives_the_same_episodes(tmp_path: Path, server: EmbeddingServer) -> None:
    folder, question = tmp_path / "i", tmp_path / "q.jsonl"
    index(server, folder, write(tmp_path / "1", 0, 9))
    qa = {"question": "Which page has only3?", "answer": "Page 3", "type": "single_hop", "level": 1}
    qa |= {"evidence": [{"url": "http://e.org/3", "quote": "only3", "title": "Page 3"}]}
    question.write_bytes(msgspec.json.encode(qa) + b"\n")
    command = ["sample", "--data", str(question), "--web", str(folder), "--embed", server.url]
    command += ["--tape", str(tmp_path / "tape"), "--seed", "1"]
    assert cli.run_command([*command, "--out", str(tmp_path / "1.jsonl")]) == 0
    asked = len(server.asked)
    assert cli.run_command([*command, "--tape-mode", "replay", "--out", str(tmp_path / "2.jsonl")]) == 0
    assert len(server.asked) == asked
    first, second = ((tmp_path / f"{number}.jsonl").read_bytes() for number in (1, 2))
    assert first == second
    assert msgspec.json.decode(first, type=Trajectory).web.endswith("+hybrid:m")


BUILD = """
import sys
from webdancer_cli.web.page_index import embedding
embedding.COMMIT_SECONDS = 0.05
from webdancer_cli.cli import run_command
sys.exit(run_command(["index", "--embed-batch", "4", *sys.argv[1:]]))
"""


@pytest.mark.slow
def test_a_run_that_is_killed_while_it_embeds_has_the_vectors_of_one_that_was_not(
    tmp_path: Path, server: EmbeddingServer
) -> None:
    """Each life is killed when vectors were just written, committed or not."""
    one, folder, whole = write(tmp_path / "1", 0, 600), tmp_path / "i", tmp_path / "w"
    index(server, whole, one)
    command = [sys.executable, "-c", BUILD, "--pages", one, "--out", str(folder), *_named(server)]
    begun = []
    for life in range(3):
        watched = folder / (ABOUT if life % 2 else MATRIX)
        before, process = _state(watched), subprocess.Popen(command, env=os.environ)
        while process.poll() is None and _state(watched) == before:
            time.sleep(0.002)
        time.sleep(random.Random(life).random() / 20)
        process.send_signal(signal.SIGKILL)
        begun.append(process.wait())
    assert begun == [-signal.SIGKILL] * 3
    assert index(server, folder, one) == 0
    assert held(folder) == held(whole)


def _state(path: Path) -> tuple[int, int]:
    return (path.stat().st_ino, path.stat().st_size) if path.exists() else (0, 0)


PARAPHRASES = {
    "The physician cured patients in the clinic.": "doctor healing sick people at a hospital",
    "A vessel carried grain across the ocean.": "ship transporting wheat over the sea",
    "The monarch was crowned in the cathedral.": "king coronation church ceremony",
    "Children learn arithmetic from their teacher.": "pupils studying mathematics at school",
    "The guitarist recorded an album of songs.": "musician making a music record",
}


@pytest.mark.slow
async def test_a_real_model_finds_pages_that_share_no_word_with_the_question(tmp_path: Path) -> None:
    model = static_model()
    if model is None:
        pytest.skip("needs the packages wordllama, tokenizers and safetensors")
    pages = [Page(url=f"http://e.org/{at}", title="", text=text) for at, text in enumerate(PARAPHRASES)]
    jsonl.write_records(str(tmp_path / "1"), pages)
    with embedding(EmbeddingServer(model)) as served:
        assert await asyncio.to_thread(index, served, tmp_path / "i", str(tmp_path / "1")) == 0
        web = opened(served, tmp_path / "i")
        found = [(await web.search(query, 1))[0].url for query in PARAPHRASES.values()]
        words = [open_pages(str(tmp_path / "i")).search_now(query, 1) for query in PARAPHRASES.values()]
        await web.aclose()
    assert found == [page.url for page in pages]
    assert sum(bool(hits) for hits in words) < len(words)  # which BM25 cannot
