"""Scoring candidates exactly: where they lie, and taken out, in the same order."""

from __future__ import annotations

import numpy as np
import pytest
from derived_in_memory import FloatFile

from cellhive.core.records import Metric
from cellhive.memory.indexes.quantize import FloatVectors, MappedVectors
from cellhive.memory.indexes.rescore import rescored

NONE = -1


@pytest.mark.parametrize("metric", list(Metric))
def test_both_ways_order_alike(metric: Metric) -> None:
    """Equal vectors by their slots, and nothing behind the last candidate."""
    rng = np.random.default_rng(4)
    vectors = rng.integers(-2, 3, (50, 6)).astype(np.float32)
    vectors[[3, 30, 41]] = vectors[17]
    held, mapped = FloatVectors(6), MappedVectors(6, FloatFile(6))
    for place in (held, mapped):
        place.put(np.arange(50), vectors)
    nominated = np.stack([rng.permutation(50)[:20] for _ in range(8)])
    nominated[0, :4] = 41, 3, 30, 17
    nominated[1, 5:] = NONE
    nominated[2] = NONE
    queries = np.concatenate([vectors[17:18], rng.integers(-2, 3, (7, 6)).astype(np.float32)])
    rows, scores = rescored(held, queries, nominated, 20, metric)
    assert rows[0, :4].tolist() == [3, 17, 30, 41] or metric is Metric.INNER_PRODUCT
    assert (rows[1, 5:] == NONE).all()
    assert (scores[2] == -np.inf).all()
    beside = rescored(mapped, queries, nominated, 20, metric)
    assert rows.tolist() == beside[0].tolist()
    assert scores == pytest.approx(beside[1])
