"""``--web``: a file of pages, searched in memory, or an index of many on disk."""

from pathlib import Path

from webdancer_cli.web.corpus import Corpus
from webdancer_cli.web.fixed_pages import FixedPages
from webdancer_cli.web.page_index.ranked_index import Rank, refuse_without_model
from webdancer_cli.web.page_index.reader import PageIndex


def open_pages(path: str, *, snippet_chars: int = 160, rank: Rank = "bm25") -> FixedPages:
    """A folder is an index. Raises UsageError for what cannot be opened, or holds no page, and for a ``rank`` that
    needs a model to embed queries: that is ``open_ranked``'s.
    """
    refuse_without_model(path, rank)
    kind = PageIndex.open if Path(path).is_dir() else Corpus.load
    return kind(path, snippet_chars=snippet_chars)
