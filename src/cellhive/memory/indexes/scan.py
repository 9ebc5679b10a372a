"""Comparing a query with every vector, or with some: exact, with the matrix product."""

from __future__ import annotations

import numpy as np

from cellhive.core.records import Metric, Rows
from cellhive.core.types import Bools, Floats32

from .quantize import Vectors

_BLOCK = 32_768
_SPARSE = 0.5
"""Share of a block that may be found below which that share is copied out of it."""
_FEW = 64
_SPARE = 16
"""More than k that a block keeps, because scores of a matrix product are rounded."""


def scanned(
    vectors: Vectors, queries: Floats32, k: int, allowed: Bools | int, metric: Metric
) -> tuple[Rows, Floats32]:
    """Return the k nearest of all vectors to each query, (B, k), -1 where there are fewer.

    Args:
        vectors: Where they are.
        queries: (B, D).
        k: How many.
        allowed: By slot, which may be found; or how many slots, if all of them may.
        metric: What near means.
    """
    size = allowed if isinstance(allowed, int) else len(allowed)
    rows = np.full((len(queries), k), -1, np.int64)
    near = np.full((len(queries), k), -np.inf, np.float32)
    kept: list[list[Rows]] = [[] for _ in queries]
    scored: list[list[Floats32]] = [[] for _ in queries]
    for begin in range(0, size, _BLOCK):
        end = min(begin + _BLOCK, size)
        inside = None if isinstance(allowed, int) else np.flatnonzero(allowed[begin:end])
        if inside is not None and len(inside) == 0:
            continue
        block = vectors.span(begin, end)
        if inside is not None and len(inside) < _SPARSE * len(block):
            block, base = block[inside], inside + begin
            inside = None
        else:
            base = np.arange(begin, end)
        for b, places in enumerate(_nearest_in(queries, block, k + _SPARE, inside, metric)):
            kept[b].append(base[places])
            scored[b].append(nearest_of(queries[b], block[places], metric))
    for b in range(len(queries)):
        if kept[b]:
            found, scores = best(np.concatenate(kept[b]), np.concatenate(scored[b]), k)
            rows[b, : len(found)], near[b, : len(found)] = found, scores
    return rows, near


def _nearest_in(
    queries: Floats32, block: Floats32, count: int, inside: Rows | None, metric: Metric
) -> list[Rows]:
    """Return the places of the nearest in a block, or ``inside`` it, for each query."""
    if metric is Metric.L2:
        # about some middle of theirs: a product of far-away vectors rounds too much
        middle = (block[:_FEW] if inside is None else block[inside[:_FEW]]).mean(axis=0)
        block, queries = block - middle, queries - middle
        scores = queries @ block.T - np.einsum("nd,nd->n", block, block) / 2
    else:
        scores = queries @ block.T
    there = np.arange(len(block)) if inside is None else inside
    if len(there) <= count:
        return [there] * len(queries)
    if inside is not None and len(inside) < len(block):
        absent = np.ones(len(block), np.bool_)
        absent[inside] = False
        scores[:, absent] = -np.inf
    return list(np.argpartition(scores, -count, axis=1)[:, -count:])


def nearest_of(query: Floats32, vectors: Floats32, metric: Metric) -> Floats32:
    """Return how near each of some vectors is, (N,)."""
    if metric is Metric.L2:
        differences = vectors - query
        squares: Floats32 = np.einsum("nd,nd->n", differences, differences)
        return -squares
    products: Floats32 = vectors @ query
    return products


def best(slots: Rows, scores: Floats32, k: int) -> tuple[Rows, Floats32]:
    """Return the k best, best first; of equal scores the lower slot."""
    if len(scores) > 4 * k:
        floor = np.partition(scores, len(scores) - k)[len(scores) - k]
        kept = np.flatnonzero(scores >= floor)
        slots, scores = slots[kept], scores[kept]
    order = np.lexsort((slots, -scores))[:k]
    return slots[order], scores[order]
