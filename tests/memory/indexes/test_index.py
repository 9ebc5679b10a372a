"""The index of vectors: right whatever was added, replaced, deleted, saved and taken back."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from derived_in_memory import FloatFile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nearest import NearestVectors as Model
from nearest import clusters

from cellhive.core.records import Changes, Metric, Namespace, Rows, Storage
from cellhive.core.types import Bools, Floats32
from cellhive.memory.indexes import codes
from cellhive.memory.indexes.index import IndexSettings, VectorIndex

SMALL = IndexSettings(exact_below=300, fresh=40, few=30, recall=0.97)
"""Cells from 300 vectors, so that a test sees every way of searching."""
STORAGES = list(Storage)


def change(
    rows: Sequence[int] | Rows, vectors: Floats32, last: int, deleted: Bools | None = None
) -> Changes:
    """Return a page of changes of records that all have vectors."""
    gone = np.zeros(len(rows), np.bool_) if deleted is None else deleted
    return Changes(np.array(rows, np.int64), gone, vectors, np.ones(len(rows), np.bool_), last)


def agreement(found: Rows, true: Sequence[Sequence[int]]) -> float:
    """Return the recall."""
    wanted = sum(len(rows) for rows in true)
    return sum(len(set(a.tolist()) & set(b)) for a, b in zip(found, true, strict=True)) / wanted


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("storage", STORAGES)
def test_finds_the_nearest_after_adding_replacing_and_deleting(
    storage: Storage, metric: Metric
) -> None:
    """Every storage and metric: recall stays high, k come back, and nothing deleted does."""
    space = Namespace("s", 24, metric, storage)
    index, model = VectorIndex(space, FloatFile(24), SMALL), Model(space)
    rng = np.random.default_rng(3)
    vectors = clusters(1000, 24, seed=1)
    told = 0
    for step in range(5):
        rows = np.concatenate([np.arange(200) + 200 * step, rng.integers(0, 200 * step + 1, 20)])
        rows = np.unique(rows)
        gone = rng.random(len(rows)) < 0.2
        fresh = vectors[rng.permutation(1000)[: len(rows)]]
        told += len(rows)
        index.apply(change(rows, fresh, told, gone))
        index.settle()
        for row, vector, dead in zip(rows, fresh, gone, strict=True):
            model.vectors.pop(int(row), None)
            if not dead:
                model.vectors[int(row)] = vector
        queries = clusters(20, 24, seed=100 + step)
        found, scores = index.search(queries, 10)
        assert len(index) == len(model.vectors)
        assert set(found.ravel().tolist()) <= model.vectors.keys()
        assert (np.diff(scores, axis=1) <= 0).all()
        floor = 0.8 if storage is Storage.INT8 or metric is Metric.INNER_PRODUCT else 0.9
        assert agreement(found, [model.nearest(query, 10) for query in queries]) >= floor
    assert index.codes is not None
    assert index.last == told


@pytest.mark.parametrize("share", [0.3, 0.05, 0.005])
@pytest.mark.parametrize("storage", [Storage.FLOAT32, Storage.BINARY])
def test_a_filter_keeps_the_recall(storage: Storage, share: float) -> None:
    """However few rows a filter leaves, the right k come back, and only rows it leaves."""
    space = Namespace("s", 24, Metric.COSINE, storage)
    index, model = VectorIndex(space, FloatFile(24), SMALL), Model(space)
    vectors = clusters(4000, 24, seed=5)
    model.vectors = dict(enumerate(vectors))
    index.apply(change(range(4000), vectors, 4000))
    index.settle()
    mask = np.random.default_rng(2).random(4000) < share
    queries = clusters(40, 24, seed=6)
    found, _ = index.search(queries, 10, mask)
    assert mask[found[found >= 0]].all()
    assert (found >= 0).sum() == 40 * min(10, int(mask.sum()))
    assert agreement(found, [model.nearest(query, 10, mask) for query in queries]) >= 0.98


@pytest.mark.parametrize("share", [0.5, 0.3, 0.1, 0.05, 0.005, 1e-4])
@pytest.mark.parametrize("clustered", [True, False])
def test_filters_by_the_settings_people_have_are_right(clustered: bool, share: float) -> None:
    """30 000 rows, nothing set: every row that matches is compared, so the right k come back."""
    index, model = _thirty_thousand(clustered)
    mask = np.zeros(30_000, np.bool_)
    mask[np.random.default_rng(2).permutation(30_000)[: max(3, int(30_000 * share))]] = True
    queries = clusters(5, 16, seed=6)
    found, _ = index.search(queries, 10, mask)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    near = -np.sort(-(queries @ model[mask].T))
    assert (found >= 0).sum() == 5 * min(10, int(mask.sum()))
    for row, query, best in zip(found, queries, near, strict=True):
        scores = model[row[row >= 0]] @ query
        assert scores == pytest.approx(best[: len(scores)], abs=1e-5)


@functools.cache
def _thirty_thousand(clustered: bool) -> tuple[VectorIndex, Floats32]:
    rng = np.random.default_rng(5)
    made = clusters(30_000, 16, seed=5) if clustered else rng.standard_normal((30_000, 16))
    vectors = made.astype(np.float32)
    index = VectorIndex(Namespace("s", 16))
    index.apply(change(range(30_000), vectors, 30_000))
    index.settle()
    assert index.codes is not None
    return index, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("storage", [Storage.FLOAT32, Storage.BINARY])
def test_without_faiss_all_are_compared_and_that_is_said(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its import hidden: exact answers, a warning, and a saved index that needs it is refused."""
    space, file = Namespace("s", 24, Metric.COSINE, storage), FloatFile(24)
    vectors, queries = clusters(1000, 24, seed=1), clusters(20, 24, seed=2)
    first = VectorIndex(space, file, SMALL)
    first.apply(change(range(1000), vectors, 1000))
    first.settle()
    saved = first.snapshot()
    assert not first.without_library
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setattr(codes, "_MODULE", "a_module_that_is_not_there")
    index, model = VectorIndex(space, file, SMALL), Model(space)
    model.vectors = dict(enumerate(vectors))
    index.apply(change(range(1000), vectors, 1000))
    with pytest.warns(UserWarning, match="faiss is not installed"):
        index.settle()
    assert index.codes is None
    assert index.without_library
    found, _ = index.search(queries, 10)
    assert found.tolist() == [model.nearest(query, 10) for query in queries]
    assert not VectorIndex(space, file, SMALL).restore(saved, 1000)


def test_bytes_that_faiss_cannot_read_are_refused() -> None:
    """Cut short, reversed, or anything: the index is made again, and nothing else happens."""
    index = VectorIndex(Namespace("s", 24), None, SMALL)
    index.apply(change(range(400), clusters(400, 24, seed=1), 400))
    index.settle()
    arrays = dict(index.snapshot())
    whole = arrays["codes.index"]
    for damaged in (whole[:50], whole[: len(whole) // 2], whole[::-1], whole[:0]):
        back = VectorIndex(Namespace("s", 24), None, SMALL)
        assert not back.restore({**arrays, "codes.index": damaged}, last_change=400)
        assert len(back) == 0


@pytest.mark.parametrize(("shape", "kind"), [((400, 4), np.uint8), ((400, 8), np.int16)])
def test_signs_of_another_size_are_refused(shape: tuple[int, int], kind: type) -> None:
    """Codes that are not of these vectors: made again."""
    space, file = Namespace("s", 24, Metric.COSINE, Storage.BINARY), FloatFile(24)
    index = VectorIndex(space, file, SMALL)
    index.apply(change(range(400), clusters(400, 24, seed=1), 400))
    index.settle()
    arrays = {**index.snapshot(), "codes.signs": np.zeros(shape, kind)}
    assert not VectorIndex(space, file, SMALL).restore(arrays, last_change=400)


@pytest.mark.parametrize("storage", [Storage.FLOAT32, Storage.PRODUCT, Storage.BINARY])
@pytest.mark.parametrize("metric", list(Metric))
def test_codes_look_at_a_part_only_and_find_what_was_never_stored(
    metric: Metric, storage: Storage
) -> None:
    """Other vectors than the stored as queries: the recall asked for, without comparing all."""
    index = VectorIndex(Namespace("s", 21, metric, storage), FloatFile(21), SMALL)
    vectors = clusters(3000, 21, seed=1)
    index.apply(change(range(3000), vectors, 3000))
    index.settle()
    assert index.codes is not None
    probes, wanted = index.effort
    if storage is not Storage.BINARY:
        assert 0 < probes < index.codes.lists
    if (storage, metric) != (Storage.BINARY, Metric.INNER_PRODUCT):  # signs know no lengths
        assert 0 < wanted < 1500
    queries = clusters(60, 21, seed=2)
    found, _ = index.search(queries, 10)
    near = queries.astype(np.float64) @ vectors.T
    if metric is Metric.COSINE:
        near /= np.linalg.norm(vectors, axis=1)
    elif metric is Metric.L2:
        near -= (vectors**2).sum(axis=1) / 2
    assert agreement(found, np.argsort(-near, axis=1)[:, :10].tolist()) >= 0.93


def test_a_filter_that_leaves_only_what_is_far_away_still_gives_k() -> None:
    """Rows of one cluster only, asked for from the other side: all searched, none missed."""
    space = Namespace("s", 24)
    index, model = VectorIndex(space, None, SMALL), Model(space)
    vectors = clusters(4000, 24, seed=5)
    model.vectors = dict(enumerate(vectors))
    index.apply(change(range(4000), vectors, 4000))
    index.settle()
    near_one = vectors @ vectors[0]
    mask = near_one > np.quantile(near_one, 0.95)
    found, _ = index.search(-vectors[:20], 10, mask)
    assert mask[found].all()
    assert agreement(found, [model.nearest(query, 10, mask) for query in -vectors[:20]]) >= 0.9


@pytest.mark.parametrize("count", [5, 400])
def test_room_to_spare_is_not_searched(count: int) -> None:
    """Every inner product is negative: the zeros beyond the last row would win."""
    index = VectorIndex(Namespace("s", 4, Metric.INNER_PRODUCT), None, SMALL)
    index.apply(change(range(count), np.ones((count, 4), np.float32), count))
    index.settle()
    found, scores = index.search(-np.ones((1, 4), np.float32), 8)
    assert (found[0, : min(count, 8)] < count).all()
    assert (scores[0, : min(count, 8)] == -4).all()


@given(
    metric=st.sampled_from(list(Metric)),
    storage=st.sampled_from([Storage.FLOAT32, Storage.BINARY]),
    steps=st.lists(
        st.lists(st.tuples(st.integers(1, 30), st.integers(0, 3), st.booleans()), min_size=1,
                 max_size=12, unique_by=lambda told: told[0]),
        min_size=1, max_size=5,
    ),
    k=st.integers(1, 12),
    allowed=st.lists(st.booleans(), min_size=40, max_size=40),
)  # fmt: skip
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_small_index_is_exact(
    metric: Metric,
    storage: Storage,
    steps: list[list[tuple[int, int, bool]]],
    k: int,
    allowed: list[bool],
) -> None:
    """Any sequence of adds, replacements and deletions, with and without a filter."""
    points = clusters(4, 6, seed=9)
    space = Namespace("s", 6, metric, storage)
    index, model = VectorIndex(space, FloatFile(6)), Model(space)
    for number, told in enumerate(steps):
        vectors = np.array([points[point] for _, point, _ in told])
        gone = np.array([dead for _, _, dead in told])
        index.apply(change([row for row, _, _ in told], vectors, number + 1, gone))
        index.settle()
        for row, point, dead in told:
            model.vectors.pop(row, None)
            if not dead:
                model.vectors[row] = points[point]
    for mask in (None, np.array(allowed)):
        found, scores = index.search(points[:1], k, mask)
        true = model.nearest(points[0], k, mask)
        expected = [model.score(points[0], model.vectors[row]) for row in true]
        assert scores[0, : len(true)] == pytest.approx(expected, abs=1e-5)
        assert len(set(found[0, : len(true)].tolist()) & model.vectors.keys()) == len(true)
        assert (found[0, len(true) :] == -1).all()


@pytest.mark.parametrize("storage", STORAGES)
def test_a_saved_index_goes_on_where_it_was(storage: Storage) -> None:
    """Taken back, it answers alike, and takes in what came after."""
    space, file = Namespace("s", 24, Metric.COSINE, storage), FloatFile(24)
    index = VectorIndex(space, file, SMALL)
    vectors = clusters(900, 24, seed=1)
    index.apply(change(range(1, 901), vectors, 900))
    index.settle()
    index.apply(change([5, 7], vectors[:2], 902, np.array([True, False])))
    index.settle()
    back = VectorIndex(space, file, SMALL)
    assert back.restore(index.snapshot(), last_change=902)
    assert back.last == 902
    queries = clusters(10, 24, seed=2)
    assert np.array_equal(back.search(queries, 10)[0], index.search(queries, 10)[0])
    for each in (index, back):
        each.apply(change([901], queries[:1], 903))
    assert back.search(queries[:1], 1)[0].tolist() == [[901]]
    assert np.array_equal(back.search(queries, 10)[0], index.search(queries, 10)[0])


def _without(arrays: Mapping[str, npt.NDArray[Any]], name: str) -> dict[str, npt.NDArray[Any]]:
    return {key: array for key, array in arrays.items() if key != name}


@pytest.mark.parametrize("damage", ["header", "alive", "floats", "codes.index", "newer", "other"])
def test_a_snapshot_that_does_not_fit_is_refused(damage: str) -> None:
    """Something missing, a change number from beyond the log, or another namespace."""
    space = Namespace("s", 24)
    index = VectorIndex(space, None, SMALL)
    index.apply(change(range(400), clusters(400, 24, seed=1), 400))
    index.settle()
    arrays = dict(index.snapshot())
    other = Namespace("s", 24, Metric.L2) if damage == "other" else space
    back = VectorIndex(other, None, SMALL)
    kept = _without(arrays, damage)
    assert not back.restore(kept, last_change=399 if damage == "newer" else 400)
    assert len(back) == 0
    assert back.last == 0


def test_many_deletions_make_the_cells_anew() -> None:
    """Stale codes are thrown out, and an index that has shrunk compares all again."""
    index = VectorIndex(Namespace("s", 24), None, SMALL)
    vectors = clusters(1000, 24, seed=1)
    index.apply(change(range(1000), vectors, 1000))
    index.settle()
    assert index.codes is not None
    assert index.codes.count == 1000
    index.apply(change(range(300), vectors[:300], 1300, np.ones(300, np.bool_)))
    assert index.settle()
    assert index.codes is not None
    assert index.codes.count == 700
    index.apply(change(range(300, 900), vectors[:600], 1900, np.ones(600, np.bool_)))
    assert index.settle()
    assert index.codes is None
    assert (index.search(vectors[:1], 10)[0] >= 900).all()


def test_equal_vectors_by_the_thousand_still_give_k() -> None:
    """A thousand times the same vector: k of them, no more work than that."""
    index = VectorIndex(Namespace("s", 8, Metric.L2), None, SMALL)
    index.apply(change(range(1000), np.ones((1000, 8), np.float32), 1000))
    index.settle()
    found, scores = index.search(np.ones((1, 8), np.float32), 20)
    assert len(set(found[0].tolist())) == 20
    assert (scores == 0).all()


def test_far_from_the_origin_distances_are_still_told_apart() -> None:
    """Vectors around a million: the product form of the distance would round them together."""
    rng = np.random.default_rng(0)
    vectors = (1e6 + 100 * rng.standard_normal((200, 8))).astype(np.float32)
    space = Namespace("s", 8, Metric.L2)
    index, model = VectorIndex(space), Model(space)
    index.apply(change(range(200), vectors, 200))
    model.vectors = dict(enumerate(vectors))
    found, _ = index.search(vectors[:5], 5)
    assert found.tolist() == [model.nearest(vector, 5) for vector in vectors[:5]]


@pytest.mark.parametrize("storage", [Storage.FLOAT32, Storage.BINARY])
def test_codes_of_slots_that_are_not_there_are_refused(storage: Storage) -> None:
    """A saved index of more vectors than it says would be looked up where none lie."""
    space, file = Namespace("s", 24, Metric.COSINE, storage), FloatFile(24)
    larger, smaller = VectorIndex(space, file, SMALL), VectorIndex(space, file, SMALL)
    for index, count in ((smaller, 400), (larger, 500)):
        index.apply(change(range(count), clusters(count, 24, seed=1), count))
        index.settle()
    codes_of_more = {name: array for name, array in larger.snapshot().items() if "codes." in name}
    mixed = {**smaller.snapshot(), **codes_of_more}
    assert not VectorIndex(space, file, SMALL).restore(mixed, last_change=400)
