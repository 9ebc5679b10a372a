"""A good order of the variables by best relocations, in the style of BOSS, on a covariance.

An order gives a graph: each node's parents are what growing and shrinking choose among
those before it. Nodes are taken in turn and put where the sum of scores is best, until no
move helps (Andrews and others 2023, "Fast scalable and accurate discovery of DAGs using the
best order score search"; without its final step on equivalence classes).

What makes it quick: the *path* of each node, the sequence of parents that growing picked.
A node that comes into reach changes nothing unless it would have won one of the picks or
would be picked next, and one that goes out of reach changes nothing unless it was picked.
Both are known without growing again, and exactly.

Lagged columns are always in reach and stand in no order.

Nodes and rows are 64 bits wide in all calls, and no argument is a literal at first: a kernel
is compiled anew for every type that it is called with, and this one takes seconds.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from cellhive.causal.scores import Score
from cellhive.core.compiled import Scalar, compiled
from cellhive.core.types import Bools, Floats, Ints

MOST_PICKS = 24
"""Parents that growing picks at most."""
_SINGULAR = 1e-9
_BETTER = 1e-7


class Search(NamedTuple):
    """What the search knows and never changes; n nodes, D columns."""

    matrix: Floats
    """Correlations, or a scatter with its prior, (D, D)."""
    half: float
    """Half the weight of the logarithm of the residual variance."""
    bonus: Floats
    """What a further parent adds to the score besides, by the number there are, (D,)."""
    allowed: Bools
    """Whether a column may be a parent of a node, (D, n)."""
    required: Bools
    """Whether a column must be, (D, n)."""
    low: Ints
    """First place that a node may take, (n,)."""
    high: Ints
    """Last place that a node may take, (n,)."""


class Paths(NamedTuple):
    """How each node's parents were grown; two rows more than nodes, for trials."""

    picks: Ints
    """Columns in the sequence they were picked, (n + 2, P)."""
    sizes: Ints
    """How many, (n + 2,)."""
    forced: Ints
    """How many of them were required, (n + 2,)."""
    factor: Floats
    """Cholesky factor of their matrix, (n + 2, P, P)."""
    along: Floats
    """Its inverse times their covariance with the node, (n + 2, P)."""
    left: Floats
    """Residual variance after all picks, (n + 2,)."""
    parents: Bools
    """Which picks shrinking left, (n + 2, P)."""
    value: Floats
    """Score of what it left, (n + 2,)."""


def search_of(
    score: Score, nodes: int, *, allowed: Bools, required: Bools, tiers: Ints
) -> Search:  # fmt: skip
    """Return a search over orders of the first columns.

    Args:
        score: The score; of its dependence on the parents' determinant nothing is kept.
        nodes: Columns that have causes to be found; those behind may only be causes.
        allowed: Whether a column may be a parent of a node, (D, n).
        required: Whether a column must be a parent of a node, (D, n).
        tiers: Tier of each node: those of earlier ones stand before those of later ones, (n,).
    """
    placed = np.sort(tiers)
    low = np.searchsorted(placed, tiers, "left").astype(np.int32)
    high = (np.searchsorted(placed, tiers, "right") - 1).astype(np.int32)
    half = 0.5 * float(score.residual_weight[0])
    bonus = np.append(np.diff(score.constant), -math.inf)
    if score.parents_weight:  # its expectation for uncorrelated parents
        bonus = bonus - 0.5 * math.log(float(score.matrix[0, 0]))
    return Search(score.matrix, half, bonus, allowed, required, low, high)


def grown_orders(
    search: Search, starts: int, generator: np.random.Generator, *, begin: Ints | None = None
) -> tuple[Floats, Ints, Bools]:
    """Return the orders that several searches end with, best first.

    Args:
        search: What to search.
        starts: Number of random orders to start from.
        generator: Where random orders come from.
        begin: Orders to start from besides, (B, n).

    Returns:
        Score of each, (S,), order of each, (S, n), and graph of each, (S, D, n).
    """
    nodes, columns = len(search.low), len(search.matrix)
    given = 0 if begin is None else len(begin)
    values, orders = np.zeros(given + starts), np.zeros((given + starts, nodes), np.int32)
    graphs = np.zeros((given + starts, columns, nodes), np.bool_)
    paths = _empty_paths(nodes)
    for start in range(given + starts):
        if begin is not None and start < given:
            order = begin[start].astype(np.int32)
        else:
            order = random_order(search, generator)
        turns = generator.permuted(np.tile(np.arange(nodes, dtype=np.int32), (60, 1)), axis=1)
        values[start] = _improve(search, paths, order, turns)
        orders[start] = order
        for node in range(nodes):
            kept = paths.parents[node, : paths.sizes[node]]
            graphs[start, paths.picks[node, : paths.sizes[node]][kept], node] = True
    best = np.argsort(-values, kind="stable")
    return values[best], orders[best], graphs[best]


def random_order(search: Search, generator: np.random.Generator) -> Ints:
    """Return a random order in which tiers and required parents come first, (n,)."""
    nodes = len(search.low)
    drawn = generator.permutation(nodes)
    drawn = drawn[np.argsort(search.low[drawn], kind="stable")]
    needed = search.required[:nodes]
    if not needed.any():
        return drawn.astype(np.int32)
    left, order = list(drawn), []
    while left:
        ready = (v for v in left if not any(needed[u, v] for u in left))
        node = next(ready)
        left.remove(node)
        order.append(node)
    return np.array(order, np.int32)


def _empty_paths(nodes: int) -> Paths:
    rows, most = nodes + 2, MOST_PICKS
    return Paths(
        np.zeros((rows, most), np.int32), np.zeros(rows, np.int32), np.zeros(rows, np.int32),
        np.zeros((rows, most, most)), np.zeros((rows, most)), np.zeros(rows),
        np.zeros((rows, most), np.bool_), np.zeros(rows),
    )  # fmt: skip


# ------------------------------------------------------------------ growing and shrinking


@compiled
def _grow(search: Search, paths: Paths, row: int, node: int, reach: Ints, count: int) -> None:
    """Write the path of a node whose parents may be ``reach[:count]``."""
    matrix = search.matrix
    variance, cross = np.empty(count), np.empty(count)
    rows, taken = np.empty((count, MOST_PICKS)), np.zeros(count, np.bool_)
    waiting = 0
    for a in range(count):
        column = reach[a]
        variance[a], cross[a] = matrix[column, column], matrix[column, node]
        taken[a] = not search.allowed[column, node]
        waiting += int(search.required[column, node])
    paths.left[row], paths.sizes[row], paths.forced[row] = matrix[node, node], 0, waiting
    while paths.sizes[row] < MOST_PICKS:
        best, most = _best_pick(search, node, reach, variance, cross, taken, waiting)
        left = paths.left[row] - most
        if best < 0 or left <= _SINGULAR * matrix[node, node]:
            break
        if not waiting and not _worth(search, paths.sizes[row], left / paths.left[row]):
            break
        waiting = max(waiting - 1, 0)
        taken[best] = True
        _pick(search, paths, row, reach, best, variance, cross, rows)
        paths.left[row] = left


@compiled
def _best_pick(
    search: Search, node: int, reach: Ints, variance: Floats, cross: Floats, taken: Bools,
    waiting: int,
) -> tuple[int, float]:  # fmt: skip
    """Return what explains most and how much; only required ones while some are waiting."""
    best, most = -1, 0.0
    for a in range(variance.size):
        column = reach[a]
        if taken[a] or variance[a] <= _SINGULAR * search.matrix[column, column]:
            continue
        if waiting and not search.required[column, node]:
            continue
        gain = cross[a] * cross[a] / variance[a]
        if gain > most or (waiting and best < 0):
            best, most = a, gain
    return best, most


@compiled
def _pick(
    search: Search, paths: Paths, row: int, reach: Ints, best: int, variance: Floats,
    cross: Floats, rows: Floats,
) -> None:  # fmt: skip
    """Take what a pick explains off all others, and add it to the path."""
    size = paths.sizes[row]
    pivot = math.sqrt(variance[best])
    along = cross[best] / pivot
    for a in range(variance.size):
        value = search.matrix[reach[a], reach[best]]
        for b in range(size):
            value -= rows[a, b] * rows[best, b]
        rows[a, size] = value / pivot
        variance[a] -= rows[a, size] * rows[a, size]
        cross[a] -= rows[a, size] * along
    for b in range(size):
        paths.factor[row, size, b] = rows[best, b]
    paths.factor[row, size, size], paths.along[row, size] = pivot, along
    paths.picks[row, size] = reach[best]
    paths.sizes[row] = size + 1


@compiled
def _worth(search: Search, size: int, ratio: float) -> bool:
    """Return whether a further parent is worth it that leaves this share of the residual."""
    better: bool = search.bonus[size] - search.half * math.log(ratio) > 0.0
    return better


@compiled
def _shrink(search: Search, paths: Paths, row: int) -> None:
    """Take away parents whose loss the score does not feel, and write what is left."""
    size, forced = paths.sizes[row], paths.forced[row]
    inverse, slope = np.zeros((size, size)), np.zeros(size)
    _invert(paths, row, inverse, slope)
    left, count = paths.left[row], size
    while count > forced:
        worst, least = slope.size, math.inf
        for a in range(forced, size):
            if paths.parents[row, a] and slope[a] * slope[a] < least * inverse[a, a]:
                worst, least = a, slope[a] * slope[a] / inverse[a, a]
        if worst == slope.size or _worth(search, count - 1, left / (left + least)):
            break
        paths.parents[row, worst] = False
        left += least
        count -= 1
        _downdate(inverse, slope, worst)
    total = 0.0
    for k in range(count):
        total += search.bonus[k]
    paths.value[row] = total - search.half * math.log(left)


@compiled
def _invert(paths: Paths, row: int, inverse: Floats, slope: Floats) -> None:
    """Write the inverse of the matrix of all picks, and the slopes on them; all are parents."""
    size = slope.size
    lower = np.zeros((size, size))
    for b in range(size):
        paths.parents[row, b] = True
        lower[b, b] = 1.0 / paths.factor[row, b, b]
        for a in range(b + 1, size):
            for c in range(b, a):
                lower[a, b] -= paths.factor[row, a, c] * lower[c, b]
            lower[a, b] /= paths.factor[row, a, a]
    for c in range(size):
        for a in range(c + 1):
            slope[a] += lower[c, a] * paths.along[row, c]
            for b in range(c + 1):
                inverse[a, b] += lower[c, a] * lower[c, b]


@compiled
def _downdate(inverse: Floats, slope: Floats, out: int) -> None:
    """Take a parent out of the inverse of a matrix, and out of the slopes."""
    size, pivot, mine = slope.size, inverse[out, out], slope[out]
    for a in range(size):
        if a == out:
            continue
        share = inverse[a, out] / pivot
        slope[a] -= share * mine
        for b in range(size):
            if b != out:
                inverse[a, b] -= share * inverse[out, b]


@compiled
def _renew(search: Search, paths: Paths, row: int, node: int, reach: Ints, count: int) -> None:
    _grow(search, paths, row, node, reach, count)
    _shrink(search, paths, row)


@compiled
def _heeds(search: Search, paths: Paths, row: int, node: int, column: int) -> bool:
    """Return whether a column that comes into reach changes the path of a node."""
    if not search.allowed[column, node]:
        return False
    if search.required[column, node]:
        return True
    matrix = search.matrix
    variance, cross = matrix[column, column], matrix[column, node]
    values = np.empty(MOST_PICKS)
    for k in range(paths.sizes[row]):
        if variance <= _SINGULAR * matrix[column, column]:
            return False
        along = paths.along[row, k]
        if k >= paths.forced[row] and cross * cross / variance > along * along:
            return True
        value = matrix[column, paths.picks[row, k]]
        for b in range(k):
            value -= values[b] * paths.factor[row, k, b]
        values[k] = value / paths.factor[row, k, k]
        variance -= values[k] * values[k]
        cross -= values[k] * along
    size = paths.sizes[row]
    if size == MOST_PICKS or variance <= _SINGULAR * matrix[column, column]:
        return False
    left = paths.left[row] - cross * cross / variance
    possible = left > _SINGULAR * matrix[node, node]
    return possible and _worth(search, size, left / paths.left[row])


@compiled
def _picked(paths: Paths, row: int, column: int) -> bool:
    """Return whether growing picked a column."""
    found = False
    for k in range(paths.sizes[row]):
        found = found or paths.picks[row, k] == column
    return found


# ------------------------------------------------------------------ relocations


@compiled
def _trials(
    search: Search, paths: Paths, node: int, at: int, reach: Ints, own: Floats, without: Floats,
    within: Floats, first: int, last: int,
) -> None:  # fmt: skip
    """Write scores for every place of a node: its own, and others' without and with it in reach.

    ``reach`` holds the lagged columns, then all other nodes in their order. Growing stands
    here once, for either kind of turn: everything is inlined, and each copy is slow to compile.
    """
    size = own.size
    lagged, trial, other_trial = search.matrix.shape[0] - size, size, size + 1
    for turn in range(2 * (last - first) + 1):
        k, others = first + turn // 2, turn % 2 == 1
        slot = lagged + k
        other: Scalar = np.int64(reach[slot] if others else reach[max(slot - 1, 0)])
        if not others:
            row, target, count = trial, node, slot
            stale = k == first or _heeds(search, paths, trial, node, other)
        elif k < at:
            row, target, count = other_trial, other, slot + 1
            stale = _heeds(search, paths, other, other, node)
        else:
            row, target, count = other_trial, other, slot
            stale = _picked(paths, other, node)
        if stale:
            if others:
                reach[slot] = node
            _renew(search, paths, row, target, reach, count)
            if others:
                reach[slot] = other
        if not others:
            own[k] = paths.value[trial]
            continue
        without[k] = within[k] = paths.value[other]
        if stale and k < at:
            within[k] = paths.value[other_trial]
        elif stale:
            without[k] = paths.value[other_trial]


@compiled
def _best_place(
    own: Floats, without: Floats, within: Floats, first: int, last: int, at: int
) -> int:  # fmt: skip
    """Return the place of the best sum; ``at`` if none is better."""
    total = 0.0
    for k in range(first, last):
        total += within[k]
    best, place, here = -math.inf, at, 0.0
    for k in range(first, last + 1):
        value = own[k] + total
        if value > best:
            best, place = value, k
        if k == at:
            here = value
        if k < last:
            total += without[k] - within[k]
    return place if best > here + _BETTER else at


@compiled
def _bounds(search: Search, order: Ints, at: int, lagged: int) -> tuple[int, int]:
    """Return the first and last place that tiers and required parents leave to a node."""
    node: Scalar = np.int64(order[at])
    first, last = at, at
    while first > search.low[node] and not search.required[order[first - 1], node]:
        first -= 1
    while last < search.high[node] and not search.required[node, order[last + 1]]:
        last += 1
    return first, last


@compiled
def _relocate(search: Search, paths: Paths, order: Ints, reach: Ints, at: int, to: int) -> None:
    """Move a node in the order and renew the paths that it changes.

    ``reach`` holds the lagged columns and then all nodes but this one, in order.
    """
    node: Scalar = np.int64(order[at])
    size = order.size
    lagged = search.matrix.shape[0] - size
    for k in range(min(at, to), max(at, to) + 1):
        slot = lagged + k
        itself = k == max(at, to)
        other: Scalar = node if itself else np.int64(reach[slot])
        count = slot + 1 if to < at else slot
        stale = True
        if itself:
            count = lagged + to
        elif to < at:
            stale = _heeds(search, paths, other, other, node)
            reach[slot] = node
        else:
            stale = _picked(paths, other, node)
        if stale:
            _renew(search, paths, other, other, reach, count)
        if not itself:
            reach[slot] = other
    for k in range(size - 1):
        order[k if k < to else k + 1] = reach[lagged + k]
    order[to] = node


@compiled
def _improve(search: Search, paths: Paths, order: Ints, turns: Ints) -> float:
    """Relocate nodes until none moves; return the score. Changes the order and the paths.

    Args:
        search: What is known.
        paths: Filled in for the final order.
        order: Start, and result, (n,).
        turns: Sequence of nodes in each sweep, (sweeps, n).
    """
    size = order.size
    lagged = search.matrix.shape[0] - size
    reach = np.empty(lagged + size, np.int32)
    own, without, within = np.empty(size), np.empty(size), np.empty(size)
    for k in range(lagged):
        reach[k] = size + k
    for k in range(size):
        first_node: Scalar = np.int64(order[k])
        _renew(search, paths, first_node, first_node, reach, lagged + k)
        reach[lagged + k] = first_node
    for sweep in range(turns.shape[0]):
        moved = False
        for turn in range(size):
            node: Scalar = np.int64(turns[sweep, turn])
            at, kept = size, 0
            for k in range(size):
                if order[k] == node:
                    at = k
                else:
                    reach[lagged + kept] = order[k]
                    kept += 1
            first, last = _bounds(search, order, at, lagged)
            _trials(search, paths, node, at, reach, own, without, within, first, last)
            to = _best_place(own, without, within, first, last, at)
            if to != at:
                _relocate(search, paths, order, reach, at, to)
                moved = True
        if not moved:
            break
    total = 0.0
    for k in range(size):
        total += paths.value[k]
    return total
