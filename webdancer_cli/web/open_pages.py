"""``--web``: a file of pages, searched in memory, or an index of many on disk."""

from pathlib import Path

from webdancer_cli.errors import UsageError
from webdancer_cli.web.corpus import Corpus
from webdancer_cli.web.fixed_pages import FixedPages
from webdancer_cli.web.page_index.ranked_index import Rank, refuse_without_model
from webdancer_cli.web.page_index.reader import PageIndex


def open_pages(path: str, *, snippet_chars: int = 160, rank: Rank = "bm25") -> FixedPages:
    """A folder is an index. Raises UsageError for what cannot be opened, or holds no page, and for a ``rank`` that
    needs a model to embed queries: that is ``open_ranked``'s.
    """
    refuse_without_model(path, rank)
    if not Path(path).is_dir():
        return Corpus.load(path, snippet_chars=snippet_chars)
    try:
        return PageIndex.open(path, snippet_chars=snippet_chars)
    except (OSError, ValueError) as error:  # tantivy tells of files that it cannot read by a ValueError
        raise UsageError(
            f"--web {path}: cannot be opened: {error}: have its permissions changed, or index anew"
        ) from None
