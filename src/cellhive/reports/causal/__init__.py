"""What causal models say, on paper: the graph as a picture, effects, and what follows."""
