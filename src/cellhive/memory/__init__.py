"""The memory that agents share: records, similarity search, patterns and replication."""
