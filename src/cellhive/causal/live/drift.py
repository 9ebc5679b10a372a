"""Whether a mechanism is no longer what it was, and which one: a watch over residuals.

Each period, what a variable's causes leave of it is summed over cells into three numbers:
its level, its spread, and how it goes along with the causes, which it must not. Each is set
against its own past by a self-starting chart (Hawkins 1987, with the transform of Quesenberry
1991): shocks that strike all cells at once, such as weather, widen what counts as usual, so no
independence of cells is assumed, only that periods follow one another without a memory that
the lags do not hold. A cumulative sum (Page 1954) of what exceeds the usual raises the alarm.

What an effect in the graph inherits from a cause that changed is explained by the cause, so
the changed mechanism is named and not everything behind it; as far as the graph is right.

Axis letters: ``C`` cells, ``D`` columns, ``V`` variables, ``S`` signs: level up and down,
spread up and down, slopes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from cellhive.causal.posterior import Posterior
from cellhive.causal.statistics import Statistics
from cellhive.core.types import Bools, Floats, Ints

SIGNS = ("level up", "level down", "spread up", "spread down", "slopes")
_MEASURE = np.array([0, 0, 1, 1, 2])
_DIRECTION = np.array([1.0, -1.0, 1.0, -1.0, 1.0])[:, None]
_SLACK = 0.5
"""Half the change, in standard deviations of a period's measure, to be found soonest."""
_MOST = 4.0
"""A single period counts for no more, however odd: a storm of one period is no drift."""
_FEWEST = 10.0
"""Periods before a chart knows what is usual."""
_MEMORY = 200.0
"""Periods that what is usual is taken from."""
_FEW_ROWS = 8
_POSSIBLE = 0.05
"""Probability of a set of parents below which it is no longer watched."""
_FLAT = 1e-150


@dataclass(frozen=True)
class Mechanism:
    """Regression of every variable on its parents in a graph, in the data's units."""

    coefficients: Floats
    """Of each column, 0 where it is no parent, (D, V)."""


@dataclass(frozen=True)
class Watch:
    """Charts of all variables; three measures (level, spread, slopes) and five sums."""

    sums: Floats
    """How far each cumulative sum stands, (S, V)."""
    since: Ints
    """Periods since each sum last left zero, (S, V)."""
    mean: Floats
    """Usual value of each measure, (3, V)."""
    square: Floats
    """Sum of squared deviations from it, (3, V)."""
    count: Floats
    """Periods it was taken from, (3, V)."""
    joined: Bools
    """Which columns each variable is regressed on, (D, V)."""
    pause: int
    """Periods that are not looked at."""


@dataclass(frozen=True)
class Drift:
    """A mechanism that is no longer what it was."""

    variable: str
    sign: str
    """What is new of it: one of ``SIGNS``."""
    strength: float
    """Its cumulative sum over the threshold, 1 or more."""
    since_periods: int
    """Periods since the sum began to rise: when the change may have begun."""

    def __str__(self) -> str:
        """Say it in a line."""
        return (
            f"{self.variable}: {self.sign} for about {self.since_periods} periods "
            f"({self.strength:.1f} times what an alarm needs)"
        )


def mechanism_of(statistics: Statistics, joined: Bools) -> Mechanism:
    """Return the regressions on given columns.

    Args:
        statistics: Of the variables and their lags.
        joined: Which columns each variable is regressed on, (D, V).
    """
    size, columns = statistics.variables, statistics.columns
    scale = np.maximum(statistics.deviation, _FLAT)
    matrix = statistics.scatter / (max(statistics.weight, 1.0) * np.outer(scale, scale))
    matrix[np.diag_indices(columns)] += 1e-9
    coefficients = np.zeros((columns, size))
    for node in range(size):
        parents = np.flatnonzero(joined[:, node])
        cross = matrix[parents, node]
        slopes = np.linalg.solve(matrix[np.ix_(parents, parents)], cross)
        coefficients[parents, node] = slopes * scale[node] / scale[parents]
    return Mechanism(coefficients)


def empty_watch(variables: int, columns: int, *, pause: int) -> Watch:
    """Return charts that have seen nothing.

    Args:
        variables: How many.
        columns: Variables and lagged variables.
        pause: Periods not to look at, while mechanisms are still being learnt.
    """
    signs, measures = np.zeros((len(SIGNS), variables)), np.zeros((3, variables))
    return Watch(
        signs, signs.astype(np.int32), measures, measures.copy(), measures.copy(),
        np.zeros((columns, variables), np.bool_), pause,
    )  # fmt: skip


def rewatched(watch: Watch, posterior: Posterior) -> Watch:
    """Return the charts with the parents of a new posterior.

    Graphs that data cannot tell apart take turns at being the best, and each turn would look
    like a change. So a variable keeps the parents it is watched with as long as the posterior
    finds them possible; else it takes those of the best graph, and its charts start anew.

    Args:
        watch: With parents of before.
        posterior: As it is now.
    """
    candidates = posterior.candidates
    size, most = candidates.shape
    columns = np.where(candidates >= 0, candidates, 0)
    held = watch.joined[columns, np.arange(size)[:, None]] & (candidates >= 0)
    bits = (held << np.arange(most)).sum(axis=1)
    share = (posterior.chosen == bits).mean(axis=0)
    known = held.sum(axis=1) == watch.joined.sum(axis=0)
    lost = np.flatnonzero(~known | (share < _POSSIBLE))
    joined = watch.joined.copy()
    joined[:, lost] = posterior.best_graph().reshape(-1, size)[:, lost]
    changed = lost[(joined != watch.joined).any(axis=0)[lost]]
    return replace(_forgetful(watch, changed.tolist()), joined=joined)


def threshold(variables: int, false_alarm_periods: float) -> float:
    """Return the cumulative sum that is an alarm.

    By the run length of a sum without change (Siegmund 1985, equation 2.57, with his
    correction for discrete time), shared among all sums of all variables.

    Args:
        variables: How many are watched.
        false_alarm_periods: Mean number of periods until any of them alarms without cause.
    """
    wanted = max(false_alarm_periods, 2.0) * variables * len(SIGNS) * 2.0 * _SLACK**2
    rise = 1.0
    for _ in range(50):  # exp(rise) - rise - 1 = wanted
        rise = math.log(wanted + rise + 1.0)
    return max(rise / (2.0 * _SLACK) - 1.166, _MOST)


def measures_of(values: Floats, seen: Bools, mechanism: Mechanism) -> Floats:
    """Return what residuals of a period were like: (level, spread, slopes), each by variable.

    The level is their mean in standard errors, the spread the logarithm of their variance,
    the slopes the score test of coefficients, as a standard normal value. None needs to know
    how much noise is usual: that is learnt by the charts.

    Args:
        values: Deviations of a period's columns from their levels, (C, D).
        seen: Which of them were observed, (C, D).
        mechanism: What is expected.

    Returns:
        NaN where fewer than eight cells were seen, or a variable has no parents, (3, V).
    """
    size = mechanism.coefficients.shape[1]
    result = np.full((3, size), np.nan)
    residuals = values[:, :size] - values @ mechanism.coefficients
    for node in range(size):
        rows = seen[:, node]
        count = int(rows.sum())
        if count < _FEW_ROWS:
            continue
        residual = residuals[rows, node]
        mean = float(residual.mean())
        centred = residual - mean
        spread = max(float(centred @ centred) / (count - 1), _FLAT)
        result[0, node] = mean * math.sqrt(count / spread)
        result[1, node] = math.log(spread)
        parents = np.flatnonzero(mechanism.coefficients[:, node])
        if len(parents) and count > 2 * len(parents):
            result[2, node] = _slopes(values[np.ix_(rows, parents)], centred)
    return result


def _slopes(causes: Floats, residual: Floats) -> float:
    """Return how far residuals go along with causes: a chi-square made normal.

    The score test of the coefficients; the cube root is that of Wilson and Hilferty 1931.
    """
    centred = causes - causes.mean(axis=0)
    inner = centred.T @ centred
    inner[np.diag_indices_from(inner)] *= 1.0 + 1e-9
    inner[np.diag_indices_from(inner)] += 1e-300
    score = centred.T @ residual
    spread = float(residual @ residual) / len(residual)
    count = causes.shape[1]
    square = float(score @ np.linalg.solve(inner, score)) / max(spread, 1e-300)
    part = 2.0 / (9.0 * count)
    root = (max(square, 0.0) / count) ** (1.0 / 3.0)
    return float((root - 1.0 + part) / math.sqrt(part))


def watched(
    watch: Watch, measures: Floats, names: tuple[str, ...], alarm: float, *, pause: int
) -> tuple[Watch, tuple[Drift, ...]]:
    """Return the charts after a period, and the mechanisms found to have changed.

    Args:
        watch: Before the period.
        measures: As ``measures_of`` gives them, (3, V).
        names: Of the variables.
        alarm: Threshold.
        pause: Periods not to look at after an alarm, while mechanisms are learnt anew.
    """
    if watch.pause:
        return replace(watch, pause=watch.pause - 1), ()
    score = _against_past(watch, measures)
    rise = _DIRECTION * score[_MEASURE] - _SLACK
    unknown = np.isnan(rise)
    sums = np.where(unknown, watch.sums, np.maximum(watch.sums + np.where(unknown, 0.0, rise), 0.0))
    since = np.where(sums > 0.0, watch.since + 1, 0).astype(np.int32)
    found = [
        Drift(names[node], SIGNS[sign], float(sums[sign, node] / alarm), int(since[sign, node]))
        for node in np.flatnonzero((sums >= alarm).any(axis=0)).tolist()
        for sign in [int(np.argmax(sums[:, node]))]
    ]
    found.sort(key=lambda drift: -drift.strength)
    after = replace(_learnt(watch, measures), sums=sums, since=since)
    if found:
        after = _forgetful(after, [names.index(drift.variable) for drift in found])
        empty = np.zeros_like(sums)
        after = replace(after, sums=empty, since=empty.astype(np.int32), pause=pause)
    return after, tuple(found)


def _forgetful(watch: Watch, changed: Sequence[int]) -> Watch:
    """Return charts that know nothing of variables that have changed."""
    kept = np.ones(watch.sums.shape[1], np.bool_)
    kept[changed] = False
    return replace(
        watch, sums=watch.sums * kept, since=watch.since * kept, square=watch.square * kept,
        count=watch.count * kept,
    )  # fmt: skip


def _against_past(watch: Watch, measures: Floats) -> Floats:
    """Return measures as standard normal values, given those before; NaN where unknown, (3, V)."""
    count = watch.count
    ready = (count >= _FEWEST) & np.isfinite(measures) & (watch.square > 0.0)
    safe = np.where(ready, count, _FEWEST)
    spread = np.sqrt(np.where(ready, watch.square, 1.0) / (safe - 1.0) * (1.0 + 1.0 / safe))
    distance = np.where(ready, measures - watch.mean, 0.0) / spread
    normal = special.ndtri(special.stdtr(safe - 1.0, -np.abs(distance)))
    score: Floats = np.where(ready, np.copysign(np.minimum(-normal, _MOST), distance), np.nan)
    return score


def _learnt(watch: Watch, measures: Floats) -> Watch:
    """Return the charts with what is usual renewed.

    Suspicious periods too: were they left out, a first idea of the usual that is a little off
    could never be mended, and would end in an alarm.
    """
    new = np.isfinite(measures)
    keep = np.where(new & (watch.count >= _MEMORY), 1.0 - 1.0 / _MEMORY, 1.0)
    count, square = keep * watch.count, keep * watch.square
    gap = np.where(new, measures - watch.mean, 0.0)
    return replace(
        watch,
        mean=watch.mean + gap / (count + 1.0),
        square=square + gap**2 * count / (count + 1.0),
        count=count + new,
    )
