"""Commands about the simulated network."""
