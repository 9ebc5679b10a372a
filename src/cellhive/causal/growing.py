"""Parents of a node among those in reach, by growing and shrinking; what has grown is kept.

Growing picks the column that explains most of what the picks before leave, as long as the
score gains; shrinking takes picks away whose loss the score does not feel. What would be
picked next depends on the picks so far alone, but for what is in reach. So each node has a
tree whose forks list what would be picked, best first, and growing again is a walk along the
first that is in reach (the grow-shrink trees of Andrews and others 2023, "Fast scalable and
accurate discovery of DAGs using the best order score search and grow-shrink trees").

Axis letters: ``n`` nodes, ``D`` columns, ``P`` picks.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cellhive.causal.scores import Score
from cellhive.core.compiled import Scalar, compiled
from cellhive.core.types import Bools, Floats, Ints

MOST_PICKS = 24
"""Parents that growing picks at most."""
_SINGULAR = 1e-9
_COLUMN = (1 << 16) - 1
"""Bits of a float that make place for a column beside it."""
_WIDTH = 32
_SPARE_FORKS, _SPARE_OPTIONS = 60_000, 1_200_000
"""What to remember besides what the next trials may need; beyond that growing begins anew."""


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


class Growth(NamedTuple):
    """A node's picks on one way through its tree, and what they explain; as far as computed.

    Rows of columns are filled up to W, a multiple of what a processor adds at once.
    """

    matrix: Floats
    """That of the search, (D, W)."""
    spread: Floats
    """Its diagonal, (W,)."""
    picks: Ints
    """Columns, (P + 1,)."""
    rows: Floats
    """What each pick explains of every column: rows of a Cholesky factor, (P, W)."""
    along: Floats
    """What each explains of the node, (P,)."""
    left: Floats
    """Residual variance of the node after so many picks, (P + 1,)."""
    variance: Floats
    """What all of them leave of every column, (W,)."""
    cross: Floats
    """Its covariance with the node, (W,)."""
    gains: Floats
    """What each column would explain next, (W,)."""
    keys: npt.NDArray[np.int64]
    """The largest of them with their columns, to be sorted, (n,)."""


class Forest(NamedTuple):
    """What growing has found so far: for each node a tree of picks; F forks, E options."""

    root: Ints
    """Fork of each node before any pick; 0: not made, (n,)."""
    first: Ints
    """Where the options of a fork begin: what would be picked next, (F,)."""
    options: Ints
    """Column, and the fork it leads to (0: not made, -1: it is not to be picked and growing
    ends); the best first, as far as anything could be in reach, -1 behind the last, (E, 2)."""
    pick: Ints
    """Column whose pick led to each fork, (F,)."""
    before: Ints
    """Fork before it, (F,)."""
    depth: Ints
    """Picks so far, (F,)."""
    kept: Ints
    """Picks that shrinking leaves, as a set of their numbers; -1: not known, (F,)."""
    value: Floats
    """Score of what it leaves, (F,)."""
    used: Ints
    """Forks and options in use; the first fork stands for none, (2,)."""
    among: Bools
    """Columns that may be parents of a node, (n, W)."""
    forced: Ints
    """How many must be, (n,)."""
    growth: Growth
    """Room to grow in."""


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


def bare_forest(search: Search) -> Forest:
    """Return trees of which nothing has grown yet.

    Args:
        search: What they are for.
    """
    nodes, columns = len(search.low), len(search.matrix)
    most = most_forks(nodes)
    room = most + _SPARE_FORKS
    first, pick, before, depth, kept = (np.empty(room, np.int32) for _ in range(5))
    options = np.empty((most * (nodes + 2) + _SPARE_OPTIONS, 2), np.int32)
    width = -(-columns // _WIDTH) * _WIDTH
    matrix, spread = np.zeros((columns, width)), np.ones(width)
    matrix[:, :columns], spread[:columns] = search.matrix, np.diag(search.matrix)
    among = np.zeros((nodes, width), np.bool_)
    among[:, :columns] = search.allowed.T
    growth = Growth(
        matrix, spread, np.empty(MOST_PICKS + 1, np.int32), np.empty((MOST_PICKS, width)),
        np.empty(MOST_PICKS), np.empty(MOST_PICKS + 1), np.empty(width), np.empty(width),
        np.empty(width), np.empty(nodes, np.int64),
    )  # fmt: skip
    return Forest(
        np.zeros(nodes, np.int32), first, options, pick, before, depth, kept, np.empty(room),
        np.array([1, 0], np.int32), among, search.required.sum(axis=0).astype(np.int32), growth,
    )  # fmt: skip


@compiled
def most_forks(nodes: int) -> int:
    """Return more forks than the trials of a node can make: each is a walk of so many picks.

    Args:
        nodes: How many.
    """
    return 3 * (nodes + 1) * (MOST_PICKS + 1)


@compiled
def walk(
    search: Search, forest: Forest, node: int, place: Ints, limit: int, heeds: Bools
) -> tuple[int, int]:  # fmt: skip
    """Return the fork at which growing ends, and the last place of what it depends on.

    Columns are in reach whose place is before a limit, and lagged ones. What stands behind the
    place returned could be out of reach as well, and the fork would be the same.

    Args:
        search: What is known.
        forest: What has grown, added to.
        node: Whose parents are grown.
        place: Of each node, (n,).
        limit: Place that columns in reach are before.
        heeds: Set for nodes that were picked, or would have been, had they been in reach, (n,).
    """
    growth, size, deepest, depth = forest.growth, search.low.size, -2, 0
    grown: Scalar = -1
    before: Scalar = -1
    slot: Scalar = 0
    onward: Scalar = np.int64(forest.root[node])
    while True:
        ends = False
        if onward > 0:
            before, slot = onward, np.int64(forest.first[onward])
            column: Scalar = np.int64(forest.options[slot, 0])
            while 0 <= column < size and place[column] >= limit:
                heeds[column] = True
                slot += 1
                column = np.int64(forest.options[slot, 0])
            if 0 <= column < size:
                heeds[column] = True
                deepest = max(deepest, int(place[column]))
            onward = np.int64(forest.options[slot, 1])
            ends = onward < 0
            if not ends:
                growth.picks[depth] = column
                depth += 1
            elif forest.kept[before] >= 0:
                break
            if onward > 0:
                continue
        grown = _grow(growth, node, grown, depth)
        if ends:
            _shrink(search, forest, growth, node, before)
            break
        onward = _fork(search, forest, growth, node, before, depth)
        if before < 0:
            forest.root[node] = onward
        else:
            forest.options[slot, 1] = onward
    return before, deepest


@compiled
def _grow(growth: Growth, node: int, grown: int, depth: int) -> int:
    """Compute what picks explain, from where it was computed before; return how far it is."""
    matrix, rows, variance, cross = growth.matrix, growth.rows, growth.variance, growth.cross
    columns = variance.size
    if grown < 0:
        growth.left[0] = growth.spread[node]
        for a in range(columns):
            variance[a], cross[a] = growth.spread[a], matrix[node, a]
    for at in range(max(grown, 0), depth):
        pick: Scalar = np.int64(growth.picks[at])
        row = rows[at]
        for a in range(columns):
            row[a] = matrix[pick, a]
        for b in range(at):
            weight, other = rows[b, pick], rows[b]
            for a in range(columns):
                row[a] -= weight * other[a]
        scale = 1.0 / math.sqrt(variance[pick])
        along = cross[pick] * scale
        for a in range(columns):
            value = scale * row[a]
            row[a] = value
            variance[a] -= value * value
            cross[a] -= along * value
        growth.along[at], growth.left[at + 1] = along, growth.left[at] - along * along
    return depth


@compiled
def _fork(
    search: Search, forest: Forest, growth: Growth, node: int, before: int, depth: int
) -> int:  # fmt: skip
    """Add a fork and what would be picked next, down to what is in reach in any order.

    While required columns are left, which orders always have in reach, it is the best of them.
    """
    fork: Scalar = np.int64(forest.used[0])
    start: Scalar = np.int64(forest.used[1])
    forest.used[0] += 1
    forest.first[fork], forest.before[fork], forest.depth[fork] = start, before, depth
    forest.pick[fork], forest.kept[fork] = growth.picks[max(depth - 1, 0)], -1
    options, gains, columns = forest.options, growth.gains, search.matrix.shape[0]
    size, waiting = search.low.size, depth < forest.forced[node]
    among = forest.among[node]
    for a in range(gains.size):
        variance, cross = growth.variance[a], growth.cross[a]
        possible = among[a] & (variance > _SINGULAR * growth.spread[a])
        gains[a] = cross * cross / variance if possible else -1.0
    left = growth.left[depth]
    least = left - _SINGULAR * growth.spread[node]
    floor, always = -0.5, -1
    if not waiting:  # of what is worth a further parent, see ``_worth``
        floor = max(-left * math.expm1(search.bonus[depth] / search.half), 0.0)
    for a in range(0 if waiting else size, columns):
        if gains[a] > floor and (not waiting or search.required[a, node]):
            floor, always = gains[a], a
    count, keys, bits = 0, growth.keys, gains.view(np.int64)
    for a in range(0 if waiting or depth >= MOST_PICKS else size):
        if gains[a] > floor:  # positive floats are in the sequence of their bits
            slot, key = count, (bits[a] & ~_COLUMN) | a
            while slot > 0 and keys[slot - 1] < key:
                keys[slot] = keys[slot - 1]
                slot -= 1
            keys[slot] = key
            count += 1
    end = start + count
    for k in range(count):
        column: Scalar = np.int64(keys[k] & _COLUMN)
        options[start + k, 0], options[start + k, 1] = column, -int(gains[column] >= least)
    if always >= 0 and depth < MOST_PICKS:
        options[end, 0], options[end, 1] = always, -int(floor >= least)
        end += 1
    options[end, 0], options[end, 1] = -1, -1
    forest.used[1] = end + 1
    return int(fork)


@compiled
def _worth(search: Search, size: int, ratio: float) -> bool:
    """Return whether a further parent is worth it that leaves this share of the residual."""
    better: bool = search.bonus[size] - search.half * math.log(ratio) > 0.0
    return better


@compiled
def _shrink(search: Search, forest: Forest, growth: Growth, node: int, fork: int) -> None:
    """Take away picks whose loss the score does not feel, and write what is left."""
    size, forced = forest.depth[fork], forest.forced[node]
    inverse, slope = np.zeros((size, size)), np.zeros(size)
    _invert(growth, inverse, slope)
    left, count, kept = growth.left[size], size, (1 << size) - 1
    while count > forced:
        worst, least = slope.size, math.inf
        for a in range(forced, size):
            if (kept >> a) & 1 and slope[a] * slope[a] < least * inverse[a, a]:
                worst, least = a, slope[a] * slope[a] / inverse[a, a]
        if worst == slope.size or _worth(search, count - 1, left / (left + least)):
            break
        kept ^= 1 << worst
        left += least
        count -= 1
        _downdate(inverse, slope, worst)
    total = 0.0
    for k in range(count):
        total += search.bonus[k]
    forest.kept[fork], forest.value[fork] = kept, total - search.half * math.log(left)


@compiled
def _invert(growth: Growth, inverse: Floats, slope: Floats) -> None:
    """Write the inverse of the matrix of all picks, and the slopes on them."""
    size, rows, picks = slope.size, growth.rows, growth.picks
    lower = np.zeros((size, size))
    for b in range(size):
        lower[b, b] = 1.0 / rows[b, picks[b]]
        for a in range(b + 1, size):
            for c in range(b, a):
                lower[a, b] -= rows[c, picks[a]] * lower[c, b]
            lower[a, b] /= rows[a, picks[a]]
    for c in range(size):
        for a in range(c + 1):
            slope[a] += lower[c, a] * growth.along[c]
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
def make_room(forest: Forest) -> None:
    """Forget all that has grown if the trials of a node might not find room.

    Args:
        forest: Emptied or not.
    """
    size = forest.root.size
    most: Scalar = most_forks(size)
    forks, options = forest.used[0] + most, forest.used[1] + most * (size + 2)
    if forks > forest.pick.size or options > forest.options.shape[0]:
        forest.root[:] = 0
        forest.used[0], forest.used[1] = 1, 0
