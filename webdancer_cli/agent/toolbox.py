"""What an episode is played with, opened as the options name it: the prompts, the web, and the tools over both."""

from webdancer_cli.agent.custom_tools import load_tools
from webdancer_cli.agent.summariser import Summariser
from webdancer_cli.agent.tools import Tools
from webdancer_cli.options import config
from webdancer_cli.prompts import PromptSet, load_for
from webdancer_cli.web.open_pages import open_pages
from webdancer_cli.web.protocols import Web


def open_tools(
    options: config.EpisodeOptions, web: Web | None = None, summariser: Summariser | None = None
) -> tuple[PromptSet, Tools]:
    """``web`` is the live one, or an index that is searched by vectors; without it, ``options.web`` names pages.

    Raises UsageError for prompts, tools and a corpus that cannot work.
    """
    prompts, own_tools = load_for(options), load_tools(options.tool)
    web = web or open_pages(options.web, snippet_chars=prompts.caps.snippet_chars, rank=options.rank)
    return prompts, Tools(web, prompts, own_tools, summariser, options.page_tools)
