"""Learning to run the network: environments over the twin, for one agent or one per cell."""
