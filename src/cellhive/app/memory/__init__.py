"""Opens memories, and does with them what commands ask for."""
