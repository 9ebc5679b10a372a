"""What is derived from a log so that it can be searched: vectors, metadata, the newest records."""
