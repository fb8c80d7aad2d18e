"""From web pages to a trained web-research agent, as composable Unix stages."""

__version__ = "0.1.0"
