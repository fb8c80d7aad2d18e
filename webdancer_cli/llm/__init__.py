"""Chat models behind OpenAI-compatible endpoints: one client, its replies, its cost, and all models of a run."""
