"""The log of a memory in PostgreSQL, for several machines that share one."""
