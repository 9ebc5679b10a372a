"""A good order of the variables by best relocations, in the style of BOSS, on a covariance.

An order gives a graph: each node's parents are what growing and shrinking choose among
those before it. Nodes are taken in turn and put where the sum of scores is best, until no
move helps (Andrews and others 2023, "Fast scalable and accurate discovery of DAGs using the
best order score search and grow-shrink trees"; without its final step on equivalence classes).

What makes it quick: growing leaves trees behind (``growing``), which all searches on the same
data share; and of a node in an order is known which others it heeds, so that when another
comes into reach or leaves it, nothing has to be looked at again, exactly.

Lagged columns are always in reach and stand in no order.

Nodes and rows are 64 bits wide in all calls, and no argument is a literal at first: a kernel
is compiled anew for every type that it is called with, and this one takes seconds.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from cellhive.causal.growing import (
    MOST_PICKS,
    Forest,
    Search,
    bare_forest,
    make_room,
    walk,
)
from cellhive.core.compiled import Scalar, compiled
from cellhive.core.types import Bools, Floats, Ints

_BETTER = 1e-7


class Found(NamedTuple):
    """Parents of each node in an order, and what they hang on."""

    parents: Ints
    """Columns, (n, P)."""
    number: Ints
    """How many, (n,)."""
    value: Floats
    """Score, (n,)."""
    heeds: Bools
    """Which nodes growing picked, or would have, had they been in reach: if any other comes
    into reach or leaves it, nothing changes. One row more for trials, (n + 1, n)."""
    stale: Bools
    """Whether all this must be found anew, (n,)."""


class Trial(NamedTuple):
    """One node's places in an order, with scores."""

    order: Ints
    """All nodes, (n,)."""
    others: Ints
    """All but the one, in the same order, (n,)."""
    place: Ints
    """Twice the place of each among these, so that there is one between for the node, (n,)."""
    own: Floats
    """Score of the node at each place, (n,)."""
    without: Floats
    """Score of each of the others with the node out of reach, (n,)."""
    within: Floats
    """And with it in reach, (n,)."""


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
    forest = bare_forest(search)
    found = Found(
        np.zeros((nodes, MOST_PICKS), np.int32), np.zeros(nodes, np.int32), np.zeros(nodes),
        np.zeros((nodes + 1, nodes), np.bool_), np.zeros(nodes, np.bool_),
    )  # fmt: skip
    order, others, place = (np.zeros(nodes, np.int32) for _ in range(3))
    trial = Trial(order, others, place, np.zeros(nodes), np.zeros(nodes), np.zeros(nodes))
    for start in range(given + starts):
        if begin is not None and start < given:
            trial.order[:] = begin[start]
        else:
            trial.order[:] = random_order(search, generator)
        turns = generator.permuted(np.tile(np.arange(nodes, dtype=np.int32), (60, 1)), axis=1)
        _improve(search, forest, found, trial, turns)
        values[start], orders[start] = found.value.sum(), trial.order
        for node in range(nodes):
            graphs[start, found.parents[node, : found.number[node]], node] = True
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


# ------------------------------------------------------------------ relocations


@compiled
def _trials(
    search: Search, forest: Forest, found: Found, trial: Trial, at: int,
    first: int, last: int,
) -> None:  # fmt: skip
    """Write scores for every place of a node: its own, and others' without and with it in reach.

    What is stale is found first. Walking stands here once, for all kinds of turns: everything
    is inlined, and each copy is slow to compile.
    """
    node: Scalar = np.int64(trial.order[at])
    kind, k = 0, 0
    while kind < 3:  # what is stale, the node, what heeds it
        target, row, limit = _next_walk(found, trial, node, at, kind, k)
        end, k = k, k + 1
        if row >= 0:
            fork, deepest = walk(
                search, forest, target, trial.place, limit, found.heeds[row]
            )  # fmt: skip
            if kind == 0:
                _note(forest, found, target, fork)
            elif kind == 1:
                k = deepest // 2  # without what stands behind it is the same
                trial.own[max(k + 1, first) : end + 1] = forest.value[fork]
            else:
                (trial.within if end < at else trial.without)[end] = forest.value[fork]
        if kind == 0 and k == trial.order.size:
            kind, k = 1, last
        elif kind == 1 and k < first:
            kind, k = 2, first
        if kind == 2 and k >= last:
            kind = 3


@compiled
def _next_walk(
    found: Found, trial: Trial, node: int, at: int, kind: int, k: int
) -> tuple[int, int, int]:  # fmt: skip
    """Return whose parents to find, where to note what it heeds (-1: no need), and its reach."""
    size = trial.order.size
    target, row, limit = node, size, 2 * k
    if kind == 0:
        target = int(trial.order[k])
        trial.place[node] = 2 * at - 1
        row, limit = target if found.stale[target] else -1, int(trial.place[target])
    elif kind == 2:
        target = int(trial.others[k])
        trial.place[node] = 2 * k - int(k < at)  # the other way round than it is
        trial.within[k] = trial.without[k] = found.value[target]
        row = size if found.heeds[target, node] else -1
    return target, row, limit


@compiled
def _best_place(trial: Trial, first: int, last: int, at: int) -> int:
    """Return the place of the best sum; ``at`` if none is better."""
    own, without, within = trial.own, trial.without, trial.within
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
def _bounds(search: Search, order: Ints, at: int) -> tuple[int, int]:
    """Return the first and last place that tiers and required parents leave to a node."""
    node: Scalar = np.int64(order[at])
    first, last = at, at
    while first > search.low[node] and not search.required[order[first - 1], node]:
        first -= 1
    while last < search.high[node] and not search.required[node, order[last + 1]]:
        last += 1
    return first, last


@compiled
def _note(forest: Forest, found: Found, node: int, fork: int) -> None:
    """Write the parents of a node at the end of a walk."""
    count, back = 0, fork
    for k in range(forest.depth[fork] - 1, -1, -1):
        if (forest.kept[fork] >> k) & 1:
            found.parents[node, count] = forest.pick[back]
            count += 1
        back = forest.before[back]
    found.number[node], found.value[node] = count, forest.value[fork]
    found.stale[node] = False


@compiled
def _relocate(found: Found, trial: Trial, at: int, to: int) -> None:
    """Move a node in the order; what heeds it on the way becomes stale."""
    order, others = trial.order, trial.others
    node = order[at]
    for k in range(order.size - 1):
        order[k if k < to else k + 1] = others[k]
    order[to] = node
    for k in range(min(at, to), max(at, to)):
        _make_stale(found, others[k], found.heeds[others[k], node])
    _make_stale(found, node, True)


@compiled
def _make_stale(found: Found, node: int, really: bool) -> None:
    if really:
        found.stale[node] = True
        found.heeds[node, :] = False


@compiled
def _improve(
    search: Search, forest: Forest, found: Found, trial: Trial, turns: Ints
) -> None:  # fmt: skip
    """Relocate nodes until none moves.

    A node that was tried since the last move is not tried again: it would stay.

    Args:
        search: What is known.
        forest: What has grown so far, added to.
        found: Written for the final order.
        trial: With the order to start from, which changes to the final one.
        turns: Sequence of nodes in each sweep; the last sweep moves nothing, (sweeps, n).
    """
    order, size = trial.order, trial.order.size
    tried = np.zeros(size, np.bool_)
    found.stale[:], found.heeds[:] = True, False
    for sweep in range(turns.shape[0]):
        for turn in range(size):
            node: Scalar = np.int64(turns[sweep, turn])
            if tried[node]:
                continue
            make_room(forest)
            at = _set_apart(trial, node)
            first, last = _bounds(search, order, at)
            _trials(search, forest, found, trial, at, first, last)
            tried[node] = True
            to = _best_place(trial, first, last, at)
            if to != at and sweep < turns.shape[0] - 1:
                _relocate(found, trial, at, to)
                tried[:] = False
                tried[node] = True
        if tried.all():
            break


@compiled
def _set_apart(trial: Trial, node: int) -> int:
    """Write the order of the others, and return the place of a node."""
    at, count = 0, 0
    for k in range(trial.order.size):
        other = trial.order[k]
        if other == node:
            at = k
        else:
            trial.others[count], trial.place[other] = other, 2 * count
            count += 1
    return at
