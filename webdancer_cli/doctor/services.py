"""Whether those answer who will be asked: each endpoint of each model, and the search. One cheap call each."""

import asyncio
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from webdancer_cli.data.benchmarks import benchmark_named
from webdancer_cli.data.records import Message
from webdancer_cli.doctor.findings import Finding, good, wrong
from webdancer_cli.errors import ModelError, Outage, Reject, RunStopped, ToolError, UsageError
from webdancer_cli.grading.model_judge import ModelJudge
from webdancer_cli.llm.chat_pool import ChatPool
from webdancer_cli.llm.client import ChatClient
from webdancer_cli.llm.embeddings import EmbeddingClient
from webdancer_cli.llm.endpoints import EMBEDDINGS, EndpointPool
from webdancer_cli.llm.model_client import ModelClient
from webdancer_cli.options import config
from webdancer_cli.prompts import PromptSet, load
from webdancer_cli.services.proxies import Proxies
from webdancer_cli.services.retry import RetryPolicy
from webdancer_cli.web.fetch.ssrf_guard import allowed_addresses
from webdancer_cli.web.live.live_web import LiveWeb, open_live
from webdancer_cli.web.page_index.embedding import probe_fault, probe_of
from webdancer_cli.web.page_index.ranked_index import known_vectors
from webdancer_cli.web.page_index.vectors import EmbeddingSpace, VectorCount, vectors_in
from webdancer_cli.web.urls import DEFAULT_PORTS

Answer = TypeVar("Answer")

Embedding = config.IndexOptions | config.EpisodeOptions | config.E2hqaOptions
"""Options that name who embeds."""
Judging = config.EpisodeOptions | config.FilterOptions
"""Options that may name who judges answers."""
ONE_CALL = RetryPolicy(attempts=1, attempt_seconds=6, total_seconds=7)
"""A server that takes longer for a few tokens, or for one page of results, is not ready."""
TWO_VERDICTS = RetryPolicy(attempts=1, attempt_seconds=30, total_seconds=30)
"""A judge that thinks first may take its time; ``doctor`` does not wait for it longer than it was told to."""
ASKED = [Message("user", "Answer with the word ready.")]
ASKED_TOKENS = 16
"""The fewest that all servers take."""
GOES_ON = "; --resume goes on from there"
"""What is said to those whose run was ended by a refusal."""


def models(chat_pool: ChatPool) -> list[Coroutine[Any, Any, Finding]]:
    """A call to each endpoint of each chat, the same one once, whoever asks it."""
    roles: dict[tuple[str, str], list[str]] = {}
    for role, chat in chat_pool.chats.items():
        for url in chat_pool.base_urls[role]:
            roles.setdefault((url, chat.model), []).append(role)
    return [_model(" and ".join(names), url, model) for (url, model), names in roles.items()]


async def _model(role: str, url: str, model: str) -> Finding:
    chat = ChatClient(url, model, temperature=0, max_tokens=ASKED_TOKENS, retry=ONE_CALL)
    reply = await _answer_of(chat, chat.complete(ASKED), role)
    return reply if isinstance(reply, Finding) else good("endpoint", f"{role}: {model} answers at {url}")


async def _answer_of(client: ModelClient[Any], call: Coroutine[Any, Any, Answer], role: str) -> Answer | Finding:
    """What the one call of a client brought, or why it brought nothing."""
    try:
        return await call
    except RunStopped as refusal:
        return wrong("endpoint", f"{role}: {str(refusal).removesuffix(GOES_ON)}")
    except ModelError as error:
        remedy = "" if str(error).endswith("?") else ": is the server up, and is this its address?"
        return wrong("endpoint", f"{role} {client.model}: {error}{remedy}")
    finally:
        await client.aclose()


def embedders(options: Embedding) -> list[Coroutine[Any, Any, Finding]]:
    """A call to each endpoint of the model that embeds, for an index to be made or one to be searched."""
    if isinstance(options, config.IndexOptions):
        space = EmbeddingSpace(options.embed_model or "", options.embed_query_prefix, options.embed_passage_prefix)
        return [_embedder(url, space, vectors_in(Path(options.out))) for url in options.embed]
    about = known_vectors(options.web)
    return [_embedder(url, about.space, about) for url in options.embed]


async def _embedder(url: str, space: EmbeddingSpace, about: VectorCount | None) -> Finding:
    """Whether it answers, and, for an index that has vectors, as the model that made them did."""
    pool = EndpointPool([url], 1, path=EMBEDDINGS, flag="--embed")
    client = EmbeddingClient(pool, space.model, retry=ONE_CALL)
    probe = await _answer_of(client, probe_of(client, space), "embedder")
    if isinstance(probe, Finding):
        return probe
    if about and (fault := probe_fault(about, probe)):
        return wrong("endpoint", f"embedder: {url}: {fault}: name the endpoint of the model that made the vectors")
    return good("endpoint", f"embedder: {space.model} answers at {url} with {len(probe)} numbers a vector")


def judges(options: Judging, chat_pool: ChatPool) -> list[Coroutine[Any, Any, Finding]]:
    """Whether each judge of answers tells a right one from a wrong one, as an evaluation tries before it plays: with
    the prompts of the run."""
    try:
        named = benchmark_named(options.benchmark) if isinstance(options, config.EvalOptions) else None
        prompts, prompt = load(options.prompts), named.judge if named else None
    except UsageError:  # whoever looks at the prompts and the data tells of it
        return []
    roles = [role for role in chat_pool.chats if role.startswith("judge")]
    return [_judge(role, chat_pool.base_urls[role][0], chat_pool.chats[role].model, prompts, prompt) for role in roles]


async def _judge(role: str, url: str, model: str, prompts: PromptSet, prompt: str | None) -> Finding:
    chat = ChatClient(url, model, temperature=0, retry=TWO_VERDICTS)
    judge = ModelJudge(chat, prompts, prompt)
    try:
        await judge.check()
    except UsageError as refusal:
        return wrong("judge", str(refusal))
    except RunStopped:
        return Finding("judge", "unknown", f"{role}: {model} could not be asked")
    finally:
        await chat.aclose()
    if judge.last_failure:
        return Finding("judge", "unknown", f"{role}: {model} could not be asked")
    return good("judge", f"{role}: {model} tells a right answer from a wrong one")


def searches(options: config.EpisodeOptions) -> list[Coroutine[Any, Any, Finding]]:
    """One search of the live web. Raises UsageError for a service that lacks its key, and for one that is unknown."""
    return [_search(open_live(options), options.search or "")]


async def _search(web: LiveWeb, name: str) -> Finding:
    try:
        async with asyncio.timeout(ONE_CALL.total_seconds):
            await web.search("web research", 1)
    except RunStopped as refusal:
        return wrong("search", f"--search {str(refusal).removesuffix(GOES_ON)}")
    except (Outage, ToolError) as error:
        return wrong("search", f"--search {error}: is the service up, and is this its address?")
    except TimeoutError:
        told = f"--search {name}: no answer within {ONE_CALL.total_seconds:g} seconds"
        return wrong("search", f"{told}: is the service up, and is this its address?")
    finally:
        await web.aclose()
    return good("search", f"{name} answers")


async def root(url: str, allow_private: bool) -> Finding:
    """Whether a site can be reached; nothing is asked of it. Where a proxy stands between, that is for it to know."""
    if proxy := Proxies.of_environment().of(url):
        return good("root", f"{url} is asked through {proxy.shown}")
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme, 80)
    try:
        async with asyncio.timeout(ONE_CALL.attempt_seconds):
            address = (await allowed_addresses(host, port, allow_private))[0]
            _, writer = await asyncio.open_connection(address, port)
            writer.close()
    except Reject as reject:
        return wrong("root", f"{url}: {reject.detail}")
    except OSError as error:  # a timeout is one
        said = error.strerror or "no connection in time"
        return wrong("root", f"{url}: {said}: is the site served, and is this its address?")
    return good("root", f"{url} can be reached")


def together(works: list[Coroutine[Any, Any, Finding]]) -> Iterator[Finding]:
    """What all of them find, side by side."""

    async def gathered() -> list[Finding]:
        return list(await asyncio.gather(*works))

    yield from asyncio.run(gathered())
