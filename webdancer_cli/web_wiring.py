"""Where a run finds and reads pages, opened from its options: the live web, an index by vectors, who embeds for it.

Imports stand inside the functions, as in ``wiring``.
"""

from typing import TYPE_CHECKING

from webdancer_cli.options import config

if TYPE_CHECKING:
    from webdancer_cli.data.pipeline import Say
    from webdancer_cli.llm.chat_pool import ChatPool
    from webdancer_cli.llm.embeddings import EmbeddingClient
    from webdancer_cli.web.live.live_web import LiveWeb
    from webdancer_cli.web.live.recorded_web import RecordedWeb
    from webdancer_cli.web.page_index.ranked_index import RankedIndex


def open_web(
    options: config.EpisodeOptions | config.E2hqaOptions, chat_pool: "ChatPool"
) -> "LiveWeb | RecordedWeb | RankedIndex | None":
    """The live web, or an index searched by vectors; or None: then the stage opens what ``--web`` names."""
    if isinstance(options, config.EpisodeOptions) and options.web == config.LIVE:
        from webdancer_cli.web.live.live_web import open_live
        from webdancer_cli.web.live.recorded_web import RecordedWeb

        tape = chat_pool.tape
        live = open_live(options, asks=tape is None or tape.mode != "replay")
        return RecordedWeb(live, tape) if tape else live
    embedder = open_embedder(options, chat_pool)
    if embedder is None:
        return None
    from webdancer_cli.prompts import load_for
    from webdancer_cli.web.page_index.ranked_index import open_ranked

    if isinstance(options, config.EpisodeOptions):
        return open_ranked(options.web, embedder, options.rank, snippet_chars=load_for(options).caps.snippet_chars)
    return open_ranked(options.web, embedder, options.rank)


def open_embedder(options: object, chat_pool: "ChatPool") -> "EmbeddingClient | None":
    """The model that gives the passages of an index their vectors, or the queries that are asked of it; None if
    ``--embed`` names none. A query's vector may take as long as a tool call."""
    if isinstance(options, config.IndexOptions) and options.embed:
        return chat_pool.open_embedder(options.embed_model or "", options.embed)
    if not isinstance(options, config.EpisodeOptions | config.E2hqaOptions) or not options.embed:
        return None
    from webdancer_cli.llm.model_client import RETRY, retry_within
    from webdancer_cli.web.page_index.ranked_index import known_vectors

    retry = retry_within(options.tool_seconds) if isinstance(options, config.EpisodeOptions) else RETRY
    return chat_pool.open_embedder(known_vectors(options.web).space.model, options.embed, retry=retry)


def open_index_embedder(options: config.IndexOptions, say: "Say") -> "tuple[ChatPool | None, EmbeddingClient | None]":
    """Who embeds for ``index``, and what counts it; None without ``--embed``."""
    if not options.embed:
        return None, None
    from webdancer_cli.llm.chat_pool import ChatPool

    chat_pool = ChatPool(options, options.jobs, tell=say)
    return chat_pool, open_embedder(options, chat_pool)
