"""The report of a configuration audit."""
