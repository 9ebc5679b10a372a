"""Effects along graphs, and graphs drawn from the class of one: of peers and of ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[Any]
_GRAPHS = 50
_STEPS = 10
"""Tries to turn an edge between two graphs, per edge."""


def effects_of(edges: Floats, data: Floats) -> Floats:
    """Return total effects along a graph [cause, effect], coefficients by least squares."""
    size = len(edges)
    covariance = np.cov(data.T)
    weights = np.zeros((size, size))
    for node in range(size):
        parents = np.flatnonzero(edges[:, node])
        if len(parents):
            inner = covariance[np.ix_(parents, parents)]
            weights[parents, node] = np.linalg.solve(inner, covariance[parents, node])
    total: Floats = np.linalg.inv(np.eye(size) - weights) - np.eye(size)
    return total


def drawn_from_class(edges: Floats, rng: np.random.Generator) -> list[Floats]:
    """Return graphs of the class of one: a walk that turns covered edges (Chickering 1995)."""
    edges, drawn = edges.copy(), []
    pairs = np.argwhere(edges)
    for _ in range(_GRAPHS):
        for at in rng.integers(len(pairs), size=_STEPS * len(pairs)) if len(pairs) else ():
            cause, effect = pairs[at]
            if (edges[:, cause] != edges[:, effect]).sum() == 1:
                edges[cause, effect], edges[effect, cause] = False, True
                pairs[at] = effect, cause
        drawn.append(edges.copy())
    return drawn
