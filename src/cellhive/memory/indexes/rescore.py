"""The exact order of nominated vectors.

Axis letters: ``B`` queries, ``C`` candidates, ``D`` components.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cellhive.core.records import Metric, Rows
from cellhive.core.types import Floats32

from .codes import library
from .quantize import FloatVectors, Vectors
from .scan import best, nearest_of


def rescored(
    vectors: Vectors, queries: Floats32, nominated: npt.NDArray[np.int64], k: int, metric: Metric
) -> tuple[Rows, Floats32]:
    """Return the k nearest of each query's candidates, best first, (B, k), -1 where fewer.

    Args:
        vectors: Where they are.
        queries: As stored vectors are, (B, D).
        nominated: Slots there are vectors of, (B, C), -1 behind the last.
        k: How many.
        metric: What near means.
    """
    if isinstance(vectors, FloatVectors):
        return _in_place(vectors.floats, queries, nominated, k, metric)
    rows = np.full((len(queries), k), -1, np.int64)
    scores = np.full((len(queries), k), -np.inf, np.float32)
    for b, (query, named) in enumerate(zip(queries, nominated, strict=True)):
        slots = named[named >= 0]
        found, near = best(slots, nearest_of(query, vectors.take(slots), metric), k)
        rows[b, : len(found)], scores[b, : len(found)] = found, near
    return rows, scores


def _in_place(
    floats: Floats32, queries: Floats32, nominated: npt.NDArray[np.int64], k: int, metric: Metric
) -> tuple[Rows, Floats32]:
    """Compare without copying vectors out: faiss goes from one candidate to the next itself."""
    faiss = library()
    queries, nominated = np.ascontiguousarray(queries), np.ascontiguousarray(nominated)
    rows = np.empty((len(queries), k), np.int64)
    scores = np.empty((len(queries), k), np.float32)
    compare = faiss.knn_inner_products_by_idx
    if metric is Metric.L2:
        compare = faiss.knn_L2sqr_by_idx
    compare(
        faiss.swig_ptr(queries), faiss.swig_ptr(floats), faiss.swig_ptr(nominated),
        floats.shape[1], len(queries), len(floats), nominated.shape[1], k,
        faiss.swig_ptr(scores), faiss.swig_ptr(rows), nominated.shape[1],
    )  # fmt: skip
    if metric is Metric.L2:
        np.negative(scores, out=scores)
    lacking = rows < 0
    if lacking.any():
        scores[lacking] = -np.inf
    if (scores[:, 1:] == scores[:, :-1]).any():  # of equal scores the lower slot is first
        order = np.lexsort((rows, -scores), axis=1)
        rows, scores = np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1)
    return rows, scores
