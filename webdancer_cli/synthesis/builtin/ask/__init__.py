"""Questions by type, made of what was read."""
