"""Can measurements be trusted? What is wrong with them, and what was done about it."""
