"""What a user sees beside the records: progress on stderr, and exit codes."""
