"""Linear models whose graphs are known, and samples of them."""

from __future__ import annotations

import numpy as np

from cellhive.core.types import Floats


def random_model(
    nodes: int, degree: float, generator: np.random.Generator, low: float = 0.3
) -> Floats:
    """Return coefficients [cause, effect] of a random acyclic model."""
    order = generator.permutation(nodes)
    there = np.triu(generator.random((nodes, nodes)) < degree / (nodes - 1), 1)
    size = generator.uniform(low, 1.0, (nodes, nodes))
    sign = generator.choice([-1.0, 1.0], (nodes, nodes))
    coefficients = np.zeros((nodes, nodes))
    coefficients[np.ix_(order, order)] = there * size * sign
    return coefficients


def samples_of(coefficients: Floats, count: int, generator: np.random.Generator) -> Floats:
    """Return samples of a linear model with unit noise, (count, nodes)."""
    nodes = len(coefficients)
    noise = generator.standard_normal((count, nodes))
    mixed: Floats = noise @ np.linalg.inv(np.eye(nodes) - coefficients)
    return mixed


def names_of(nodes: int) -> list[str]:
    """Return names for variables."""
    return [f"x{k}" for k in range(nodes)]
