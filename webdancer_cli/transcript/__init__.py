"""Episodes as text: the grammar of a turn, the JSON of a tool call, the authors' released lines."""
