"""Causal graphs over time, what is known of them beforehand, and how two of them compare.

Edges are arrays of truth values, ``[lag, cause, effect]``: the cause ``lag`` periods before
the effect. Within a period they have no cycles; edges from earlier periods cannot make any.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cellhive.core.errors import BadInput, NotFound
from cellhive.core.types import Bools, Floats, Ints


@dataclass(frozen=True)
class Edge:
    """A possible effect of one variable on another."""

    cause: str
    effect: str
    lag: int | None = None
    """Periods between them; None for every lag."""


@dataclass(frozen=True)
class Knowledge:
    """What is known about causes before any data."""

    tiers: Mapping[str, int] = field(default_factory=dict)
    """Variables of a later tier cause none of an earlier one within a period. Variables that
    are not named are in the tier 0 if none is named, else the last one."""
    forbidden: Sequence[Edge] = ()
    required: Sequence[Edge] = ()
    encouraged: Mapping[Edge, float] = field(default_factory=dict)
    """Log odds to add to an edge before data; negative ones discourage."""
    tiers_bind_lags: bool = False
    """Whether later tiers cause no earlier ones in later periods either. Functions that set
    parameters by what they saw are such causes, so the default leaves them possible."""


@dataclass(frozen=True)
class Constraints:
    """Knowledge as arrays; V variables, D columns: variables, then those one period ago, ..."""

    allowed: Bools
    """Whether a column may be a cause of a variable, (D, V)."""
    required: Bools
    """Whether it must be, (D, V)."""
    preference: Floats
    """Log odds added to each edge, (D, V)."""
    tiers: Ints
    """Tier of each variable, (V,)."""


def constraints_of(knowledge: Knowledge, names: Sequence[str], lags: int) -> Constraints:
    """Return knowledge as arrays.

    Args:
        knowledge: What is known.
        names: Of the variables.
        lags: How many earlier periods may hold causes.

    Raises:
        NotFound: If it speaks of a variable that there is not.
        BadInput: If it contradicts itself.
    """
    index = {name: k for k, name in enumerate(names)}
    _refuse_unknown(knowledge, names)
    size = len(names)
    last = max(knowledge.tiers.values(), default=0)
    tiers = np.array([knowledge.tiers.get(name, last) for name in names], np.int32)
    allowed = np.ones((size * (lags + 1), size), np.bool_)
    allowed[:size] &= ~np.eye(size, dtype=np.bool_)
    against = tiers[:, None] > tiers[None, :]
    bound = lags + 1 if knowledge.tiers_bind_lags else 1
    allowed[: bound * size] &= ~np.tile(against, (bound, 1))
    required, preference = np.zeros_like(allowed), np.zeros(allowed.shape)
    for edge in knowledge.forbidden:
        allowed[_places(edge, edge.lag, index, lags)] = False
    for edge in knowledge.required:
        required[_places(edge, edge.lag or 0, index, lags)] = True
    for edge, weight in knowledge.encouraged.items():
        if not math.isfinite(weight):
            raise BadInput(
                expected="finite log odds of encouraged edges", found=f"{weight:g}",
                place=f"edge {edge.cause!r} -> {edge.effect!r}", remedy="require or forbid it",
            )  # fmt: skip
        preference[_places(edge, edge.lag, index, lags)] += weight
    _refuse_contradictions(allowed, required, names)
    return Constraints(allowed, required, preference, tiers)


def _places(
    edge: Edge, lag: int | None, index: Mapping[str, int], lags: int
) -> tuple[list[int], int]:
    """Return the rows and the column of an edge, one row for each lag it is meant at."""
    if lag is not None and not 0 <= lag <= lags:
        wanted = f"a lag of 0 to {lags}"
        place = f"edge {edge.cause!r} -> {edge.effect!r}"
        raise BadInput(expected=wanted, found=str(lag), place=place)
    meant = range(lags + 1) if lag is None else [lag]
    return [at * len(index) + index[edge.cause] for at in meant], index[edge.effect]


def _refuse_unknown(knowledge: Knowledge, names: Sequence[str]) -> None:
    edges = (*knowledge.forbidden, *knowledge.required, *knowledge.encouraged)
    mentioned = {name for edge in edges for name in (edge.cause, edge.effect)}
    unknown = sorted((mentioned | set(knowledge.tiers)) - set(names))
    if unknown:
        known = ", ".join(list(names)[:8])
        message = (
            f"expected variables of the data ({known}, ...), found {', '.join(unknown)}; "
            "correct the names in what is known"
        )
        raise NotFound(message)


def _refuse_contradictions(allowed: Bools, required: Bools, names: Sequence[str]) -> None:
    size = len(names)
    clash = np.argwhere(required & ~allowed)
    if len(clash):
        cause, effect = names[clash[0, 0] % size], names[clash[0, 1]]
        raise BadInput(
            expected="required edges that nothing forbids",
            found=f"{cause!r} -> {effect!r}, which tiers or a forbidden edge rule out",
            remedy="take one of the two statements back",
        )  # fmt: skip
    if not is_acyclic(required[:size]):
        on_cycle = np.flatnonzero(np.diag(reached(required[:size])))
        raise BadInput(
            expected="required edges without a cycle within a period",
            found="a cycle through " + ", ".join(names[int(k)] for k in on_cycle[:8]),
            remedy="give one of them a lag, or take one out",
        )  # fmt: skip


# ------------------------------------------------------------------ graphs


def reached(edges: Bools) -> Bools:
    """Return whether a directed path leads from one node to another, (n, n)."""
    paths = edges.copy()
    while True:
        step = paths.astype(np.float32)
        longer = paths | (step @ step > 0)
        if (longer == paths).all():
            return paths
        paths = longer


def is_acyclic(edges: Bools) -> bool:
    """Return whether no directed path leads back to where it began; edges are (n, n)."""
    return not reached(edges).diagonal().any()


def topological_order(edges: Bools) -> Ints:
    """Return the nodes with every cause before its effects, (n,).

    Raises:
        BadInput: If there is a cycle.
    """
    waiting = edges.sum(axis=0)
    ready = [int(k) for k in np.flatnonzero(waiting == 0)]
    order = []
    while ready:
        node = ready.pop()
        order.append(node)
        waiting = waiting - edges[node]
        ready += [int(k) for k in np.flatnonzero(edges[node]) if waiting[k] == 0]
    if len(order) < len(edges):
        stuck = ", ".join(str(k) for k in np.flatnonzero(waiting > 0)[:8])
        raise BadInput(expected="a graph without cycles", found=f"a cycle that holds up {stuck}")
    return np.array(order, np.int32)


@dataclass(frozen=True)
class MixedGraph:
    """A class of graphs that no data of a linear-Gaussian kind can tell apart."""

    names: tuple[str, ...]
    directed: Bools
    """Edges that all graphs of the class have, [lag, cause, effect]."""
    undirected: Bools
    """Edges within a period whose direction differs within the class, symmetric, (V, V)."""


def equivalence_class(
    names: Sequence[str], edges: Bools, constraints: Constraints | None = None
) -> MixedGraph:
    """Return the graphs with the same independences that knowledge does not rule out.

    Skeleton and unshielded colliders fix the class (Verma and Pearl 1990); the rules of Meek
    1995 find every edge whose direction follows, from them and from knowledge. Whether
    columns of earlier periods cause each other is not part of the graph, so no collider is
    seen between two of them.

    Args:
        names: Of the variables.
        edges: [lag, cause, effect].
        constraints: What is known.
    """
    lags, size = edges.shape[0] - 1, edges.shape[1]
    columns = size * (lags + 1)
    full = np.zeros((columns, columns), np.bool_)
    full[:, :size] = edges.reshape(columns, size)
    joined = full | full.T
    near = joined.copy()
    near[size:, size:] = True
    np.fill_diagonal(near, True)
    known = np.zeros_like(full)
    known[size:] = full[size:]
    for node in range(size):
        parents = np.flatnonzero(full[:, node])
        apart = ~near[np.ix_(parents, parents)]
        known[parents[apart.any(axis=1)], node] = True
    if constraints is not None:
        ruled_out = np.zeros_like(full)
        ruled_out[:, :size] = ~constraints.allowed
        known |= full & ruled_out.T
        known[:, :size] |= full[:, :size] & constraints.required
    known = _meek(known, joined & ~(known | known.T), near)
    left = joined & ~(known | known.T)
    directed = known[:, :size].reshape(lags + 1, size, size)
    return MixedGraph(tuple(names), directed, left[:size, :size])


def _meek(directed: Bools, undirected: Bools, near: Bools) -> Bools:
    """Return all directed edges that follow by the four rules of Meek 1995."""
    directed, undirected = directed.copy(), undirected.copy()
    while True:
        arrows, far = directed.astype(np.float32), (~near).astype(np.float32)
        follows = undirected & ((arrows.T @ far > 0) | (arrows @ arrows > 0))
        for a, b in np.argwhere(undirected & ~follows):
            into = np.flatnonzero(undirected[a] & directed[:, b])
            follows[a, b] = bool((~near[np.ix_(into, into)]).any())
            if not follows[a, b]:  # a - c -> d -> b with c, b apart and a, d joined
                last = directed[:, b] & near[a]
                first = undirected[a] & ~near[:, b]
                follows[a, b] = bool((directed[np.ix_(first, last)]).any())
        if not follows.any():
            return directed
        directed |= follows & ~follows.T
        undirected &= ~(follows | follows.T)


def structural_distance(edges: Bools, truth: Bools) -> int:
    """Return how many pairs are joined differently (SHD; a reversed edge counts once).

    Args:
        edges: [lag, cause, effect].
        truth: The same of another graph.
    """
    wrong = edges != truth
    lagged = int(wrong[1:].sum())
    return lagged + int(np.triu(wrong[0] | wrong[0].T).sum())


def average_precision(probability: Floats, truth: Bools) -> float:
    """Return the area under precision over recall, as the mean precision at each true edge.

    Edges of equal probability share one threshold.

    Args:
        probability: Of each edge, any shape.
        truth: Whether it is there, the same shape.
    """
    flat, there = np.ravel(probability), np.ravel(truth)
    if not there.any():
        return 0.0
    order = np.argsort(-flat, kind="stable")
    found = np.cumsum(there[order])
    last = np.append(np.flatnonzero(np.diff(flat[order])), len(flat) - 1)
    precision = found[last] / (last + 1.0)
    gained = np.diff(np.append(0, found[last])) / found[-1]
    return float((precision * gained).sum())
