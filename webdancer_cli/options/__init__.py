"""What each command can be told, and where a value comes from."""
