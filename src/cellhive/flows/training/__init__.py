"""Training: experience, gates and the way of a model into the registry."""
