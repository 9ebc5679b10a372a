"""A memory in files on this machine: SQLite holds the truth, indexes are derived beside it."""
