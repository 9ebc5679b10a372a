"""What runs on Ray: the environment as RLlib wants it."""
