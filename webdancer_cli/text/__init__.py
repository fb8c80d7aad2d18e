"""Text without any of the project's own types: the ground floor, which imports nothing of ours but its neighbours."""
