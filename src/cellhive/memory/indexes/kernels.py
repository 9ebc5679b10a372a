"""The inner loops of a search among cells, compiled.

Axis letters: ``N`` coded vectors, ``L`` lists, ``G`` districts, ``B`` bits or rotated
components, ``W`` words of 64 bits, ``M`` parts of a product code, ``C`` candidates.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from cellhive.core.compiled import compiled

LEVELS_BITS = 4
"""Bits a component of a query is rounded to; more does not raise the recall."""
_BINS = 512
_NOMINATED = 4
"""Lists whose distance is computed, for each that is looked into."""
_SIGN_SHARE = np.float32(0.7978846)
"""Mean of |component| of a random direction, times the root of how many there are: √(2/π)."""


@intrinsic
def _count_ones(context: Any, word: Any) -> Any:
    """Count the ones of a word: one instruction."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        counter = builder.module.declare_intrinsic("llvm.ctpop", [ir.IntType(64)])
        return builder.call(counter, arguments)

    return types.uint64(types.uint64), emit


_ones: Any = _count_ones


@compiled
def encode_signs(residuals: Any, codes: Any) -> None:
    """Write the signs of residuals, (N, B), as bits, (N, W)."""
    for i in range(residuals.shape[0]):
        for w in range(codes.shape[1]):
            word = np.uint64(0)
            for j in range(64):
                if residuals[i, w * 64 + j] > 0:
                    word |= np.uint64(1) << np.uint64(j)
            codes[i, w] = word


@compiled
def pick_best(scores: Any, count: Any, wanted: Any, picked: Any) -> Any:
    """Write the places of the ``wanted`` highest of ``count`` scores; return how many.

    By a histogram: in no order, and among near ties of the last bin whichever comes first.
    """
    if count <= wanted:
        for i in range(count):
            picked[i] = i
        return count
    high, low = scores[0], scores[0]
    for i in range(count):
        high, low = max(high, scores[i]), min(low, scores[i])
    scale = np.float32(_BINS - 1) / max(high - low, np.float32(1e-30))
    bins = np.zeros(_BINS, np.int64)
    for i in range(count):
        bins[min(_BINS - 1, int((high - scores[i]) * scale))] += 1
    last, above = 0, 0
    while above + bins[last] < wanted:
        above += bins[last]
        last += 1
    ties, n = wanted - above, 0
    for i in range(count):
        place = min(_BINS - 1, int((high - scores[i]) * scale))
        if place < last or (place == last and ties > 0):
            if place == last:
                ties -= 1
            picked[n] = i
            n += 1
    return n


@compiled
def _dot(one: Any, rows: Any, row: Any) -> Any:
    total = np.float32(0.0)
    for j in range(one.shape[0]):
        total += one[j] * rows[row, j]
    return total


@compiled
def _levels(residual: Any, planes: Any) -> Any:
    """Round a residual to levels, as bit planes; return offset, step and sum of what it became."""
    bits = residual.shape[0]
    low, high = residual[0], residual[0]
    for j in range(bits):
        low, high = min(low, residual[j]), max(high, residual[j])
    step = max(high - low, np.float32(1e-30)) / np.float32((1 << LEVELS_BITS) - 1)
    total = 0
    planes[:] = 0
    for w in range(bits // 64):
        for j in range(64):
            level = min((1 << LEVELS_BITS) - 1, int((residual[w * 64 + j] - low) / step + 0.5))
            total += level
            for p in range(LEVELS_BITS):
                planes[p, w] |= np.uint64((level >> p) & 1) << np.uint64(j)
    return low, step, low * np.float32(bits) + step * np.float32(total)


@compiled
def _scan_list(
    query: Any, centroid: Any, length: Any, codes: Any, inner: Any,
    order: Any, skip: Any, begin: Any, end: Any, scores: Any, slots: Any, found: Any,
) -> Any:  # fmt: skip
    """Estimate the scores of one list behind what was ``found`` already; return how many now.

    The signs of a residual x - c stand for it, scaled to the mean length in its list; its
    inner product with the query is estimated from them, the query rounded to 4 bits (after
    RaBitQ, Gao and Long 2024, without its numbers per vector).
    """
    bits, words = query.shape[0], codes.shape[1]
    planes = np.empty((LEVELS_BITS, words), np.uint64)
    residual = np.empty(bits, np.float32)
    square, along = np.float32(0.0), np.float32(0.0)
    for j in range(bits):
        along += query[j] * centroid[j]
        residual[j] = query[j] if inner else query[j] - centroid[j]
        square += residual[j] * residual[j]
    low, step, level_sum = _levels(residual, planes)
    scale = np.float32(2.0) * length / (np.float32(np.sqrt(bits)) * _SIGN_SHARE)
    base = along if inner else -(length * length + square) / np.float32(2.0)
    base -= scale * level_sum / np.float32(2.0)
    n = found
    for i in range(begin, end):
        slot = order[i]
        if skip.shape[0] > 0 and skip[slot] != 0:
            continue
        ones, weighted = np.uint64(0), np.uint64(0)
        for w in range(words):
            code = codes[i, w]
            ones += _ones(code)
            for b in range(LEVELS_BITS):
                weighted += _ones(code & planes[b, w]) << np.uint64(b)
        scores[n] = base + scale * (low * np.float32(ones) + step * np.float32(weighted))
        slots[n] = slot
        n += 1
    return n


@compiled
def near_lists(
    query: Any, centroids: Any, half: Any, signs: Any, middle: Any, spread: Any, inner: Any,
    probes: Any,
) -> Any:  # fmt: skip
    """Return the lists to look into, (P,) int32: nominated by the signs of their centroids.

    Args:
        query: Rotated, (B,).
        centroids: Centres of the lists, (L, B).
        half: Half their squared lengths, or zeros for inner products, (L,).
        signs: Signs of the centroids about their middle, (L, W).
        middle: Mean of the centroids, (B,).
        spread: Mean distance of the centroids from it, (1,).
        inner: Whether inner products are wanted and not distances.
        probes: How many lists to take.
    """
    count = centroids.shape[0]
    lists = np.arange(count).astype(np.int32)
    scores = np.empty(count, np.float32)
    nominated = _NOMINATED * probes + 32
    if nominated * 2 < count:
        everything = np.empty(0, np.uint8)
        slots = np.empty(count, np.int32)
        n = _scan_list(
            query, middle, spread[0], signs, inner, lists, everything, 0, count, scores, slots, 0
        )
        lists = _best_slots(scores, slots, n, nominated)
    for p in range(lists.shape[0]):
        scores[p] = _dot(query, centroids, lists[p]) - half[lists[p]]
    return _best_slots(scores, lists, lists.shape[0], probes)


@compiled
def scan_signs(
    query: Any, lists: Any, centroids: Any, radius: Any, offsets: Any, codes: Any, order: Any,
    skip: Any, inner: Any, wanted: Any,
) -> Any:  # fmt: skip
    """Return the slots whose codes promise most, (C,) int32, and how many were looked at.

    Args:
        query: Rotated, (B,).
        lists: Lists to look into, (P,).
        centroids: Of all lists, (L, B).
        radius: Mean length of the residuals of each list, (L,).
        offsets: Where in the codes each list begins, (L + 1,).
        codes: Sign codes, list after list, (N, W).
        order: Slot of each code, (N,).
        skip: Not zero for slots that may not be found, by slot; empty where all may.
        inner: Whether inner products are wanted and not distances.
        wanted: How many candidates to return.
    """
    total = 0
    for p in range(lists.shape[0]):
        total += offsets[lists[p] + 1] - offsets[lists[p]]
    scores, slots = np.empty(total, np.float32), np.empty(total, np.int32)
    n = 0
    for p in range(lists.shape[0]):
        cell = lists[p]
        begin, end = offsets[cell], offsets[cell + 1]
        if begin < end:
            n = _scan_list(
                query, centroids[cell], radius[cell], codes, inner,
                order, skip, begin, end, scores, slots, n,
            )  # fmt: skip
    return _best_slots(scores, slots, n, wanted), n


@compiled
def search_signs(
    query: Any, centroids: Any, half: Any, signs: Any, middle: Any, spread: Any, radius: Any,
    offsets: Any, codes: Any, order: Any, skip: Any, inner: Any, probes: Any, wanted: Any,
) -> Any:  # fmt: skip
    """Return what ``scan_signs`` finds in ``near_lists``: one call from Python."""
    lists = near_lists(query, centroids, half, signs, middle, spread, inner, probes)
    return scan_signs(query, lists, centroids, radius, offsets, codes, order, skip, inner, wanted)


@compiled
def scan_products(
    table: Any, lists: Any, offsets: Any, codes: Any, order: Any, skip: Any, wanted: Any,
) -> Any:  # fmt: skip
    """Return the slots whose codes promise most, (C,) int32, and how many were looked at.

    Args:
        table: What each code of each part adds to the score, (M, 256).
        lists: Lists to look into.
        offsets: Where in the codes each list begins, (L + 1,).
        codes: Product codes, list after list, (N, M).
        order: Slot of each code, (N,).
        skip: Not zero for slots that may not be found; empty where all may.
        wanted: How many candidates to return.
    """
    total = 0
    for p in range(lists.shape[0]):
        total += offsets[lists[p] + 1] - offsets[lists[p]]
    scores, slots = np.empty(total, np.float32), np.empty(total, np.int32)
    n = 0
    for p in range(lists.shape[0]):
        for i in range(offsets[lists[p]], offsets[lists[p] + 1]):
            if skip.shape[0] > 0 and skip[order[i]] != 0:
                continue
            score = np.float32(0.0)
            for m in range(table.shape[0]):
                score += table[m, codes[i, m]]
            scores[n], slots[n] = score, order[i]
            n += 1
    return _best_slots(scores, slots, n, wanted), n


@compiled
def _best_slots(scores: Any, slots: Any, count: Any, wanted: Any) -> Any:
    picked = np.empty(max(count, 1), np.int64)
    chosen = pick_best(scores, count, wanted, picked)
    for p in range(chosen):
        slots[p] = slots[picked[p]]  # picked rises, so nothing is overwritten before it is read
    return slots[:chosen].copy()


@compiled
def score_rows(query: Any, vectors: Any, rows: Any, squared: Any, scores: Any) -> None:
    """Write inner products, or minus squared distances, of a query with some rows, (C,)."""
    for i in range(rows.shape[0]):
        row, total = rows[i], np.float32(0.0)
        if squared:
            for j in range(query.shape[0]):
                difference = query[j] - vectors[row, j]
                total -= difference * difference
        else:
            for j in range(query.shape[0]):
                total += query[j] * vectors[row, j]
        scores[i] = total
