"""The slow, obvious nearest-vector search, and vectors to try it on."""

from __future__ import annotations

import numpy as np

from cellhive.core.records import Metric, Namespace
from cellhive.core.types import Bools, Floats32


def clusters(count: int, dimension: int, seed: int) -> Floats32:
    """Return vectors about forty points, the same ones whatever the seed."""
    rng = np.random.default_rng(seed)
    middles = np.random.default_rng(0).standard_normal((40, dimension))
    noise = 0.3 * rng.standard_normal((count, dimension))
    return (middles[rng.integers(0, 40, count)] + noise).astype(np.float32)


class NearestVectors:
    """What the index should hold, and the slow, obvious search."""

    def __init__(self, space: Namespace) -> None:
        """Begin empty."""
        self.space, self.vectors = space, dict[int, Floats32]()

    def nearest(self, query: Floats32, k: int, allowed: Bools | None = None) -> list[int]:
        """Return the rows of the k nearest."""
        scores = {row: self.score(query, vector) for row, vector in self.vectors.items()
                  if allowed is None or (row < len(allowed) and allowed[row])}  # fmt: skip
        return sorted(scores, key=lambda row: (-scores[row], row))[:k]

    def score(self, query: Floats32, vector: Floats32) -> float:
        """Return how near two vectors are, in float64."""
        one, other = query.astype(np.float64), vector.astype(np.float64)
        match self.space.metric:
            case Metric.L2:
                return -float(((one - other) ** 2).sum())
            case Metric.COSINE:
                return float(one @ other / np.sqrt((one @ one) * (other @ other)))
            case Metric.INNER_PRODUCT:
                return float(one @ other)
