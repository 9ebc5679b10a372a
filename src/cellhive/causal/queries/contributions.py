"""Where a difference came from: "of the 2.1-point drop, 1.4 came through load".

Two periods of one cell differ in a target. In a linear model the difference splits exactly:

- by *origin*: each variable's own change, which nothing before it explains, times its total
  effect on the target; the sum is the difference;
- by *last step*: each direct cause's change times its coefficient, and the target's own
  change; the sum is the difference;
- by *path*: an origin's change times the coefficients along one way to the target; the paths
  listed and "other paths" sum to the difference;
- *through* a variable: all that passes it, its change times its total effect. What passes
  two variables is in both, so these do not sum to anything.

Every sum is exact in each drawn model and so in the means; intervals are over drawn models.

Axis letters: ``M`` drawn models, ``V`` variables, ``D`` columns: variables now, then earlier.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cellhive.causal.effects import LEVELS, Mechanisms, level_of, place_of
from cellhive.causal.queries.whatif import band, columns_of
from cellhive.core.compiled import compiled
from cellhive.core.types import Floats, Ints

_EXPANSIONS = 3000
_NEGLIGIBLE = 1e-3
"""Share of the largest part below which a path is not followed further."""


@dataclass(frozen=True)
class Parts:
    """Labelled parts of a difference, in the target's unit."""

    labels: tuple[str, ...]
    levels: tuple[float, ...]
    mean: Floats
    """(N,)."""
    low: Floats
    """Lower end of each interval, [level, part]."""
    high: Floats
    """Upper end, likewise."""

    def of(self, label: str, *, level: float = 0.9) -> tuple[float, float, float]:
        """Return low end, mean and high end of a part."""
        at, which = place_of(self.labels, label), level_of(self.levels, level)
        return float(self.low[which, at]), float(self.mean[at]), float(self.high[which, at])

    def largest(self, most: int) -> tuple[str, ...]:
        """Return the labels of the largest parts, largest first."""
        order = np.argsort(-np.abs(self.mean), kind="stable")[:most]
        return tuple(self.labels[int(k)] for k in order)


@dataclass(frozen=True)
class Contributions:
    """A difference of a target between two periods, split in four ways."""

    target: str
    difference: float
    """After less before, in the target's unit."""
    origins: Parts
    """By whose own change it was: a variable, or one of an earlier period."""
    last_steps: Parts
    """By the direct cause it came from last, and "target itself"."""
    through: Parts
    """All that passed each variable; overlapping."""
    paths: Parts
    """By origin and way, written "a -> b -> target", and "other paths"."""

    def words(self, most: int = 3) -> str:
        """Say it in a sentence or two."""
        if self.difference == 0.0:
            return f"{self.target} did not change."
        verb = "rise" if self.difference > 0 else "drop"
        through = [name for name in self.through.largest(most + 1) if name != self.target][:most]
        said = [f"{_signed(self.through.of(name))} through {name}" for name in through]
        began = [f"{_signed(self.origins.of(name))} began at {name}" for name in
                 self.origins.largest(most)]  # fmt: skip
        return (
            f"Of the {abs(self.difference):.3g} {verb} of {self.target}, "
            f"{', '.join(said) or 'nothing came through another variable'}; "
            f"{', '.join(began)} (in brackets 90 % intervals; what "
            "passes two variables counts in both)."
        )


def _signed(part: tuple[float, float, float]) -> str:
    low, mean, high = part
    return f"{mean + 0.0:+.3g} ({low + 0.0:+.3g} to {high + 0.0:+.3g})"


def contributions(
    mechanisms: Mechanisms,
    before: Floats,
    after: Floats,
    target: str,
    *,
    most_paths: int = 12,
    levels: Sequence[float] = LEVELS,
) -> Contributions:
    """Return where a difference between two periods of a cell came from.

    Args:
        mechanisms: Drawn models.
        before: Values in the first period and its earlier ones, oldest first, (L + 1, V).
        after: The same of the second.
        target: Variable whose difference is split.
        most_paths: Paths to list.
        levels: Probabilities of the intervals.

    Raises:
        BadInput: If a value is missing: a sum with a gap in it is not exact.
    """
    statistics = mechanisms.posterior.statistics
    names, size = statistics.names, statistics.variables
    at = place_of(names, target)
    scale = np.tile(statistics.deviation[:size], statistics.lags + 1)
    change = columns_of(after, names, statistics.lags) - columns_of(before, names, statistics.lags)
    change = change / scale
    influence, own = _split(mechanisms, change, at)
    unit = float(scale[at])
    labels = tuple(statistics.label(column) for column in range(len(change)))
    direct = _direct(mechanisms, at)
    last = np.concatenate([direct * change, own[:, at, None]], axis=1) * unit
    ways, carried = _paths(mechanisms, change, own, at, most_paths)
    return Contributions(
        target, float(change[at]) * unit,
        _parts(labels, influence * own * unit, levels),
        _parts((*labels, f"{target} itself"), last, levels),
        _parts(labels, influence * change * unit, levels),
        _parts(ways, carried * unit, levels),
    )  # fmt: skip


def _parts(labels: Sequence[str], draws: Floats, levels: Sequence[float]) -> Parts:
    """Return parts, those that are zero in every draw left out."""
    there = np.flatnonzero(np.abs(draws).max(axis=0) > 0.0)
    mean, low, high = band(draws[:, there], levels)
    return Parts(tuple(labels[int(k)] for k in there), tuple(levels), mean, low, high)


def _split(mechanisms: Mechanisms, change: Floats, target: int) -> tuple[Floats, Floats]:
    """Return total effects of columns on the target, and columns' own changes, (M, D) each."""
    posterior = mechanisms.posterior
    influence = np.zeros((len(posterior.chosen), len(change)))
    own = np.tile(change, (len(influence), 1))
    influence[:, target] = 1.0
    _gather(
        posterior.candidates, mechanisms.coefficients, mechanisms.order, change, influence, own
    )  # fmt: skip
    return influence, own


@compiled
def _gather(
    candidates: Ints, coefficients: Floats, order: Ints, change: Floats, influence: Floats,
    own: Floats,
) -> None:  # fmt: skip
    """Carry influence from effects to causes, and take off changes what causes explain."""
    size = candidates.shape[0]
    for draw in range(order.shape[0]):
        for k in range(size - 1, -1, -1):
            node = order[draw, k]
            for slot in range(candidates.shape[1]):
                weight = coefficients[draw, node, slot]
                if weight != 0.0:
                    column = candidates[node, slot]
                    influence[draw, column] += weight * influence[draw, node]
                    own[draw, node] -= weight * change[column]


def _direct(mechanisms: Mechanisms, node: int) -> Floats:
    """Return the coefficients of all columns in the mechanism of a variable, (M, D)."""
    candidates = mechanisms.posterior.candidates[node]
    direct = np.zeros((len(mechanisms.coefficients), mechanisms.posterior.statistics.columns))
    real = candidates >= 0
    direct[:, candidates[real]] = mechanisms.coefficients[:, node, real]
    return direct


def _paths(
    mechanisms: Mechanisms, change: Floats, own: Floats, target: int, most: int
) -> tuple[list[str], Floats]:
    """Return the paths that carry most and what they carry, found from the target backwards.

    What a path can carry is bounded by the change of the column where it stands, so the most
    promising is lengthened first, and none that could no longer matter.
    """
    statistics, size = mechanisms.posterior.statistics, mechanisms.posterior.statistics.variables
    arriving: dict[int, Floats] = {}
    ones = np.ones(len(own))
    found: list[tuple[float, tuple[int, ...], Floats]] = []
    waiting: list[tuple[float, tuple[int, ...], Floats]] = [(-np.inf, (target,), ones)]
    limit = _NEGLIGIBLE * max(float(np.abs(change).max()), 1e-12)
    for _ in range(_EXPANSIONS):
        if not waiting:
            break
        _, path, weight = heapq.heappop(waiting)
        carried = weight * own[:, path[0]]
        found.append((-abs(float(carried.mean())), path, carried))
        if path[0] >= size:
            continue
        if path[0] not in arriving:
            arriving[path[0]] = _direct(mechanisms, path[0])
        slopes = arriving[path[0]]
        for column in np.flatnonzero((slopes != 0.0).any(axis=0)):
            longer = weight * slopes[:, column]
            bound = float(np.abs(longer).mean()) * max(
                abs(float(change[column])), float(np.abs(own[:, column]).max())
            )
            if bound > limit:
                heapq.heappush(waiting, (-bound, (int(column), *path), longer))
    found.sort(key=lambda one: one[0])
    kept = [one for one in found[:most] if one[0] < 0.0]
    labels = [" -> ".join(statistics.label(column) for column in path) for _, path, _ in kept]
    draws = np.array([carried for _, _, carried in kept]).reshape(len(kept), len(own)).T
    rest = float(change[target]) - draws.sum(axis=1)
    return [*labels, "other paths"], np.column_stack([draws, rest])
