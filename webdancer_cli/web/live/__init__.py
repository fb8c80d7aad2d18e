"""``--web live``: search and reading for the tools, while an episode runs."""
