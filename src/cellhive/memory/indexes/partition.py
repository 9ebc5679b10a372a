"""Dividing vectors into lists: k-means, by matrix products.

Axis letters: ``N`` vectors, ``D`` components, ``L`` lists.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cellhive.core.types import Floats32

_BLOCK = 16_384
_ROUNDS, _LAST_ROUNDS = 8, 3
_SAMPLE_PER_LIST, _FEWEST = 20, 256


def lists_for(count: int) -> int:
    """Return into how many lists so many vectors are divided: four times the root."""
    return max(1, int(4 * np.sqrt(count)))


def sample_of(count: int, lists: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return which of so many vectors centres are learned from, rising."""
    return np.sort(rng.permutation(count)[: max(_FEWEST, lists * _SAMPLE_PER_LIST)])


def divided(sample: Floats32, lists: int, rng: np.random.Generator) -> Floats32:
    """Return centres of lists, (L, D): k-means within the cells of k-means, then all together."""
    districts = _centers(sample, max(1, int(np.sqrt(lists))), rng)
    belongs = nearest(sample, districts)
    parts: list[Floats32] = []
    for district in range(len(districts)):
        members = sample[belongs == district]
        if len(members):
            parts.append(_centers(members, max(1, round(lists * len(members) / len(sample))), rng))
    return _moved(sample, np.concatenate(parts), _LAST_ROUNDS, rng)


def nearest(points: Floats32, centers: Floats32) -> npt.NDArray[np.int64]:
    """Return the nearest centre of each point, (N,)."""
    half = (centers**2).sum(axis=1) / 2
    found = np.empty(len(points), np.int64)
    for begin in range(0, len(points), _BLOCK):
        scores = points[begin : begin + _BLOCK] @ centers.T
        scores -= half
        found[begin : begin + _BLOCK] = scores.argmax(axis=1)
    return found


def _centers(points: Floats32, count: int, rng: np.random.Generator) -> Floats32:
    """Return k-means centres (Lloyd 1982), (≤ count, D), begun from points drawn at random."""
    begun = points[rng.permutation(len(points))[: min(count, len(points))]]
    return _moved(points, begun, _ROUNDS, rng)


def _moved(points: Floats32, begun: Floats32, rounds: int, rng: np.random.Generator) -> Floats32:
    """Return centres after some rounds; one that lost all its points begins at another."""
    centers = begun.copy()
    for _ in range(rounds):
        belongs = nearest(points, centers)
        sizes = np.bincount(belongs, minlength=len(centers))
        by_center = np.argsort(belongs, kind="stable")
        begins = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        filled = sizes > 0
        sums = np.add.reduceat(points[by_center], begins[filled], axis=0, dtype=np.float32)
        centers[filled] = sums / sizes[filled, None]
        lost = int((~filled).sum())
        if lost:
            centers[~filled] = points[rng.integers(0, len(points), lost)]
    return centers
