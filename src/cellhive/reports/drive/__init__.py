"""How a replayed drive test is shown."""
