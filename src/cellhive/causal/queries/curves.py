"""Curves where the data ask for them: splines of columns, and graphs scored with them.

A column's curve is spanned by itself and the natural cubic splines on eight of its quantiles
(Hastie, Tibshirani and Friedman 2009, equations 5.4 and 5.5), made orthogonal to the straight
line, so that they say only what a line does not. Beyond the outer knots they go on straight.

For each variable and each candidate parent a test decides whether a curve could be worth its
columns; each set of parents is then scored with those of its curves that raise the score
(causal additive models: Bühlmann, Peters and Ernest 2014), under the same unit-information
prior as straight lines. Where no pair asks for a curve the scores are those of straight lines.

Axis letters: ``N`` rows, ``D`` columns, ``V`` variables, ``K`` candidates, ``F`` features: one
for each column, then the curved ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cellhive.causal.graph import Knowledge
from cellhive.causal.posterior import Posterior, Settings, discover
from cellhive.causal.scores import NEVER, Prior, Score
from cellhive.causal.statistics import Statistics
from cellhive.core.compiled import compiled
from cellhive.core.errors import BadInput
from cellhive.core.types import Bools, Floats, Ints

CURVES = 6
"""Curved features of a column, the smoothest first."""
SCORED = 3
"""How many of them a graph is scored with: each costs as much as a further parent."""
MOST_ROWS = 5000
_QUANTILES = (0.005, 0.1, 0.25, 0.42, 0.58, 0.75, 0.9, 0.995)
_ROWS_PER_FEATURE = 5.0
_ALMOST_SINGULAR = 1e-9


@dataclass(frozen=True)
class Basis:
    """Rows, standardised, and the features of their columns."""

    statistics: Statistics
    rows: Floats
    """Standardised complete rows, (N, D)."""
    knots: Floats
    """Of each column; NaN where it has too few different values to bend, (D, 8)."""
    straight: Floats
    """What to take off each raw spline: its own line, (D, 2, 6)."""
    mixing: Floats
    """Makes what is left orthonormal, (D, 6, 6)."""
    features: Floats
    """Of all rows: columns, then six curves of each (zero where there are none), (N, 7 D)."""
    gram: Floats
    """Mean products of features, (7 D, 7 D)."""

    def curves(self, column: int, values: Floats) -> Floats:
        """Return the curved features of values of a column, (..., 6).

        Args:
            column: Which.
            values: Standardised, any shape.
        """
        if np.isnan(self.knots[column, 0]):
            return np.zeros((*values.shape, CURVES))
        raw = _splines(values, self.knots[column])
        line = self.straight[column, 0] + values[..., None] * self.straight[column, 1]
        return np.asarray((raw - line) @ self.mixing[column])

    def places(self, column: int) -> list[int]:
        """Return the places of the features a graph is scored with; none if a column is stiff."""
        if np.isnan(self.knots[column, 0]):
            return []
        first = len(self.knots) + CURVES * column
        return list(range(first, first + SCORED))


def _splines(values: Floats, knots: Floats) -> Floats:
    """Return the natural cubic splines that are not straight, (..., 6)."""
    cubes = np.maximum(values[..., None] - knots, 0.0) ** 3
    parts = (cubes[..., :-1] - cubes[..., -1:]) / (knots[-1] - knots[:-1])
    return np.asarray(parts[..., :-1] - parts[..., -1:])


def basis_of(panel: Floats, statistics: Statistics, *, within_cells: bool = False) -> Basis:
    """Return the features of a panel's rows.

    Args:
        panel: Values, NaN where missing, periods in turn, (T, C, V), or (T, V) of one cell.
        statistics: Of the same variables and lags.
        within_cells: Whether each cell's own mean was taken off first, as in the statistics.

    Raises:
        BadInput: If the panel has other variables, or too few complete rows.
    """
    values = np.asarray(panel, np.float64)
    values = values[:, None, :] if values.ndim == 2 else values
    if values.ndim != 3 or values.shape[2] != statistics.variables:
        raise BadInput(
            expected=f"periods, cells and {statistics.variables} variables",
            found=f"shape {np.shape(panel)}", remedy="give the panel of the statistics",
        )  # fmt: skip
    if within_cells:
        values = values - np.nanmean(values, axis=0)
    last, lags = len(values), statistics.lags
    parts = [values[lags - lag : last - lag] for lag in range(lags + 1)]
    rows = np.concatenate(parts, axis=2).reshape(-1, statistics.columns)
    rows = rows[np.isfinite(rows).all(axis=1)]
    if len(rows) <= statistics.columns + 2:
        raise BadInput(
            expected=f"more than {statistics.columns + 2} rows without gaps", found=f"{len(rows)}",
            remedy="collect more, or leave variables with many gaps out",
        )  # fmt: skip
    rows = rows[:: max(len(rows) // MOST_ROWS, 1)][:MOST_ROWS]
    rows = rows - rows.mean(axis=0) if within_cells else rows - statistics.mean
    rows = rows / statistics.deviation
    return _featured(statistics, rows)


def _featured(statistics: Statistics, rows: Floats) -> Basis:
    columns = rows.shape[1]
    knots = np.full((columns, len(_QUANTILES)), np.nan)
    straight, mixing = np.zeros((columns, 2, CURVES)), np.zeros((columns, CURVES, CURVES))
    features = np.zeros((len(rows), (1 + CURVES) * columns))
    features[:, :columns] = rows
    for column in range(columns):
        values = rows[:, column]
        at = np.quantile(values, _QUANTILES)
        if np.diff(at).min() <= 1e-6:
            at = _spaced(values)
        if np.diff(at).min() <= 1e-6:
            continue
        raw = _splines(values, at)
        line = np.column_stack([np.ones(len(values)), values])
        slope = np.linalg.lstsq(line, raw, rcond=None)[0]
        left = raw - line @ slope
        size, vectors = np.linalg.eigh(left.T @ left / len(values))
        if size[0] <= 1e-10 * size[-1] or size[-1] <= 1e-12:
            continue
        knots[column], straight[column] = at, slope
        mixing[column] = vectors[:, ::-1] / np.sqrt(size[::-1])
        first = columns + CURVES * column
        features[:, first : first + CURVES] = left @ mixing[column]
    return Basis(
        statistics, rows, knots, straight, mixing, features, features.T @ features / len(rows)
    )  # fmt: skip


def _spaced(values: Floats) -> Floats:
    """Return knots among the different values, for columns that take few; equal if too few."""
    different = np.unique(values)
    if len(different) <= len(_QUANTILES):
        return np.zeros(len(_QUANTILES))
    return np.asarray(np.quantile(different, _QUANTILES))


# ------------------------------------------------------------------ where curves are worth it


def curved_pairs(basis: Basis, candidates: Ints) -> Bools:
    """Return for which candidates of each variable a curve is worth its columns, (V, K).

    Judged alone and beside all other candidates, by the Bayesian information criterion: what
    bends in either case may bend.

    Args:
        basis: Rows and features.
        candidates: Column of each candidate, -1 behind the last, (V, K).
    """
    curved = np.zeros(candidates.shape, np.bool_)
    for node in range(len(candidates)):
        real = np.flatnonzero(candidates[node] >= 0)
        able = [int(k) for k in real if basis.places(int(candidates[node, k]))]
        columns = [int(candidates[node, k]) for k in real]
        bends = [basis.places(int(candidates[node, k])) for k in able]
        if not able:
            continue
        together = _worth(basis, node, columns, bends)
        for k, places, beside in zip(able, bends, together, strict=True):
            alone = _worth(basis, node, [int(candidates[node, k])], [places])[0]
            curved[node, k] = alone or beside
    return curved


def _worth(
    basis: Basis, node: int, columns: Sequence[int], bends: Sequence[Sequence[int]]
) -> list[bool]:
    """Return which bends lower the criterion of a regression on all columns and bends."""
    count = len(basis.rows)
    places = np.array([*columns, *(place for bend in bends for place in bend)])
    if count < _ROWS_PER_FEATURE * len(places):
        return [False] * len(bends)
    inner = basis.gram[np.ix_(places, places)] + 1e-9 * np.eye(len(places))
    inverse = np.linalg.inv(inner)
    slopes = inverse @ basis.gram[places, node]
    left = float(basis.gram[node, node] - basis.gram[places, node] @ slopes)
    worth = []
    for number in range(len(bends)):
        at = len(columns) + SCORED * number + np.arange(SCORED)
        lost = float(slopes[at] @ np.linalg.solve(inverse[np.ix_(at, at)], slopes[at]))
        worth.append(count * math.log1p(lost / max(left, 1e-12)) > SCORED * math.log(count))
    return worth


# ------------------------------------------------------------------ scores of sets of parents


def curved_set_scores(
    basis: Basis, score: Score, candidates: Ints, curved: Bools, preference: Floats
) -> Floats:
    """Return the score of every set of candidates with its curves, (V, 2^K).

    Args:
        basis: Rows and features.
        score: Of straight lines, under the prior ``UNIT``; sets without curves have its values.
        candidates: Column of each candidate, -1 behind the last, (V, K).
        curved: Whether a candidate may bring its curve, where that raises the score, (V, K).
        preference: Log prior weight of each candidate, (V, K).
    """
    nodes, most = candidates.shape
    table = np.full((nodes, 1 << most), NEVER)
    matrix = basis.gram.copy()
    columns = basis.statistics.columns
    matrix[:columns, :columns] = score.matrix
    penalty = _penalty(score.samples, (1 + SCORED) * most + 1)
    counts = np.arange(most + 1)
    fair = score.constant[np.minimum(counts, len(score.constant) - 1)] - penalty[counts]
    for node in range(nodes):
        places = np.full((most, 1 + SCORED), -1, np.int32)
        places[:, 0] = candidates[node]
        for k in np.flatnonzero(curved[node]):
            places[k, 1:] = basis.places(int(candidates[node, k]))
        _fill_curved(table[node], node, matrix, places, preference[node], penalty, fair,
                     score.samples)  # fmt: skip
    return table


def _penalty(samples: float, most: int) -> Floats:
    """Return what regressors cost under the prior ``UNIT``, by how many there are."""
    common = -0.5 * samples * math.log(math.pi) - 0.5 * math.log(1.0 + samples)
    return np.array(
        [
            common + math.lgamma(0.5 * (samples + count + 3.0)) - math.lgamma(0.5 * (count + 3.0))
            - 0.5 * (samples + 2.0 * count + 3.0) * math.log1p(samples)
            for count in range(most)
        ]
    )  # fmt: skip


def discover_curved(
    basis: Basis,
    generator: np.random.Generator,
    *,
    knowledge: Knowledge | None = None,
    settings: Settings | None = None,
) -> Posterior:
    """Return the posterior over graphs whose mechanisms may bend.

    Args:
        basis: Rows and features.
        generator: Where chance comes from.
        knowledge: What is known beforehand.
        settings: How hard to look; the prior must be ``UNIT``.

    Raises:
        BadInput: If there are too few rows for the prior under which curves have scores.
    """
    asked = replace(settings or Settings(), prior=Prior.UNIT)

    def tabulate(score: Score, candidates: Ints, preference: Floats) -> Floats:
        curved = curved_pairs(basis, candidates)
        return curved_set_scores(basis, score, candidates, curved, preference)

    return discover(
        basis.statistics, generator, knowledge=knowledge, settings=asked, tabulate=tabulate
    )  # fmt: skip


@compiled
def _fill_curved(
    row: Floats, node: int, matrix: Floats, places: Ints, preference: Floats, penalty: Floats,
    fair: Floats, samples: float,
) -> None:  # fmt: skip
    """Write the score of every set, depth first, growing a Cholesky factor of its lines."""
    most = 0
    while most < places.shape[0] and places[most, 0] >= 0:
        most += 1
    wide = most * places.shape[1] + 1
    factor, along = np.zeros((wide, wide)), np.zeros(wide)
    held = np.zeros(wide, np.int32)
    residual, liked = np.zeros(most + 1), np.zeros(most + 1)
    upcoming, chosen = np.zeros(most + 1, np.int32), np.zeros(most + 1, np.int32)
    residual[0] = matrix[node, node]
    row[0] = penalty[0] + fair[0] - 0.5 * samples * math.log(residual[0])
    depth, members = 0, 0
    while depth >= 0:
        k = upcoming[depth]
        if k >= most:
            depth -= 1
            if depth >= 0:
                members ^= 1 << chosen[depth]
            continue
        upcoming[depth] = k + 1
        size = _pushed(matrix, node, places[k, :1], depth, held, factor, along)
        left = residual[depth] - along[depth] * along[depth]
        if size == depth or left <= _ALMOST_SINGULAR * matrix[node, node]:
            continue
        chosen[depth] = k
        members |= 1 << k
        depth += 1
        liked[depth] = liked[depth - 1] + preference[k]
        residual[depth], upcoming[depth] = left, k + 1
        for a in range(depth):
            begin = size
            size = _pushed(matrix, node, places[chosen[a], 1:], begin, held, factor, along)
            less = left
            for b in range(begin, size):
                less -= along[b] * along[b]
            less = max(less, _ALMOST_SINGULAR * matrix[node, node])
            gain = penalty[size] - penalty[begin] - 0.5 * samples * math.log(less / left)
            if gain > 0.0:
                left = less
            else:
                size = begin
        row[members] = (
            penalty[size] + fair[depth] + liked[depth] - 0.5 * samples * math.log(left)
        )  # fmt: skip


@compiled
def _pushed(
    matrix: Floats, node: int, group: Ints, size: int, held: Ints, factor: Floats, along: Floats
) -> int:  # fmt: skip
    """Add features to a factor; return how many rows it has then, as before if singular."""
    begin = size
    for part in range(group.size):
        column = group[part]
        if column < 0:
            break
        variance, cross = matrix[column, column], matrix[column, node]
        for a in range(size):
            value = matrix[column, held[a]]
            for b in range(a):
                value -= factor[size, b] * factor[a, b]
            value /= factor[a, a]
            factor[size, a] = value
            variance -= value * value
            cross -= value * along[a]
        if variance > _ALMOST_SINGULAR * matrix[column, column]:
            factor[size, size] = math.sqrt(variance)
            along[size] = cross / factor[size, size]
            held[size] = column
            size += 1
        elif part == 0:
            return begin
    return size
