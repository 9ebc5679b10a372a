"""From a recipe to a policy that may serve: environments, training, gates."""
