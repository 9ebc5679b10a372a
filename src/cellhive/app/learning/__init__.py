"""Trained policies put together: as optimisers by name, and the trainings they come from."""
