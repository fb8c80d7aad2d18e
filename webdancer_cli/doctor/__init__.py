"""What would go wrong: looked at before a run, within seconds, and told in a line each."""
