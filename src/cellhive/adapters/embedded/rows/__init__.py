"""Records as rows of the SQLite log, and back: values, checksums, whole batches."""
