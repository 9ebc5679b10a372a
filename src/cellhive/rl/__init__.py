"""Learning to run the network: the environment, its actions, observations and rewards."""
