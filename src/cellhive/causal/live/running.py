"""Statistics that run along: one period of all cells at a time, forgetting exponentially.

Each cell's level is a forgetting mean of its own. What a new value adds to the scatter is its
deviation from the level so far times that from the level now (Welford 1962; with forgetting
West 1979), so the scatter within cells is exactly the weighted one, however often it is asked
for. Lasting differences between cells, such as their size or surroundings, never enter it.

What is missing moves a level by what the other values of its row lead to expect. A level of
what was measured alone would be too high where low values are missing, which shifts the cell
against what explains it, and such a shift looks like a memory of the past.

Axis letters: ``C`` cells, ``V`` variables, ``L`` lags, ``D = V (L + 1)`` columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cellhive.causal.statistics import MOST_LAGS, Statistics, refuse_huge
from cellhive.core.compiled import compiled
from cellhive.core.errors import BadInput
from cellhive.core.types import Bools, Floats

Places = npt.NDArray[np.int64]

_FEW = 24
"""Missing columns of a row, up to which it is worth no search for others that lack the same."""


@dataclass(frozen=True)
class Running:
    """Statistics up to a period, and what the next one needs; nothing grows with time."""

    statistics: Statistics
    """Pooled over cells; the weight counts what cells' levels have not used up."""
    within_cells: bool
    """Whether each cell deviates from its own level, or all from the common mean."""
    level: Floats
    """Forgetting mean of each column in each cell, (C, D); one row if cells share it."""
    weight: Floats
    """Periods that each level is worth, (C, D)."""
    square: Floats
    """Sum of squared weights of its periods, (C, D)."""
    recent: Floats
    """Values of the periods before, latest first, NaN where missing, (L, C, V)."""

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.recent.shape[1] if self.recent.size else len(self.level)

    def forgotten(self, keep: float) -> Running:
        """Return the statistics with all weights reduced.

        Args:
            keep: Share of the weight that is left, 0 to 1.
        """
        statistics = self.statistics.forgotten(keep)
        return replace(
            self, statistics=statistics, weight=keep * self.weight,
            square=keep**2 * self.square,
        )  # fmt: skip


@dataclass(frozen=True)
class Deviations:
    """How one period differs from what was before it."""

    values: Floats
    """Deviation of each column from its level before, scaled so that its variance is that of
    a value around its true level; what was missing is filled in by its expectation, (N, D)."""
    seen: Bools
    """What was not filled in, (N, D)."""


def empty_running(
    names: Sequence[str], cells: int, *, lags: int = 0, within_cells: bool = True
) -> Running:
    """Return statistics of nothing yet.

    Args:
        names: Of the variables, length V.
        cells: Number of cells; their order is the same in every period.
        lags: Earlier periods to put beside each, 0 to 3.
        within_cells: Whether each cell deviates from its own level.
    """
    if len(set(names)) != len(names) or not names:
        raise BadInput(expected="different names of variables", found=", ".join(names) or "none")
    if cells < 1:
        raise BadInput(expected="at least 1 cell", found=str(cells))
    if not 0 <= lags <= MOST_LAGS:
        raise BadInput(expected=f"0 to {MOST_LAGS} lags", found=f"{lags}")
    columns = len(names) * (lags + 1)
    nothing = Statistics(tuple(names), lags, 0.0, np.zeros(columns), np.zeros((columns, columns)))
    level = np.zeros((cells if within_cells else 1, columns))
    recent = np.full((lags, cells, len(names)), np.nan)
    return Running(nothing, within_cells, level, level.copy(), level.copy(), recent)


def advanced(
    running: Running, values: Floats, *, keep: float = 1.0
) -> tuple[Running, Deviations]:  # fmt: skip
    """Return the statistics with one more period, and how that period differed.

    What is missing in a cell is filled in by what its observed columns lead to expect, with
    the uncertainty of that: a step of EM as it comes (Cappe and Moulines 2009), with the
    estimate so far. A cell of which nothing was observed adds nothing; neither do rows before
    there are as many periods as lags. The added weight is the mean, over pairs of columns, of
    the rows in which both were observed.

    Args:
        running: Up to the period before.
        values: Of this period [unit of the variable], NaN where missing, (C, V).
        keep: Share of all weight that is left of what was before, 0 to 1.
    """
    now = _checked(running, values)
    before = running.forgotten(keep)
    rows = np.concatenate([now, *before.recent], axis=1)
    recent = np.concatenate([now[None], before.recent])[: len(before.recent)]
    usable = _usable(before, rows)
    seen = np.isfinite(rows) & usable[:, None]
    moved = replace(before, recent=recent)
    if not usable.any():
        return moved, Deviations(np.zeros((0, rows.shape[1])), np.zeros((0, rows.shape[1]), bool))
    after, scaled, known, worth = _levels(moved, rows, seen)
    after, filled = _added(before, after, rows, scaled, known, worth)
    return after, Deviations(filled, known[known.any(axis=1)])


def _checked(running: Running, values: Floats) -> Floats:
    now = np.asarray(values, np.float64)
    wanted = (running.cells, running.statistics.variables)
    if not len(running.recent) and not running.within_cells and now.ndim == 2:  # noqa: PLR2004
        wanted = (len(now), wanted[1])  # neither lags nor levels tie rows to cells
    if now.shape != wanted:
        raise BadInput(
            expected=f"values of {wanted[0]} cells and {wanted[1]} variables",
            found=f"shape {np.shape(values)}",
            remedy="give every cell in every period, NaN where nothing was measured",
        )  # fmt: skip
    refuse_huge(now)
    return now


def _usable(before: Running, rows: Floats) -> Bools:
    """Return which cells add a row: something observed now, and at some time in every lag."""
    size = before.statistics.variables
    blocks = np.isfinite(rows).reshape(len(rows), -1, size)
    usable: Bools = np.logical_and.reduce(blocks.any(axis=2), axis=1)
    return usable


def _levels(
    running: Running, rows: Floats, seen: Bools
) -> tuple[Running, Floats, Bools, Floats]:  # fmt: skip
    """Return levels moved by what was seen, scaled deviations, which are known, and rows' worth.

    A level of weight w from values of squared weights q is off by the variance q / w², so a
    deviation from it has the variance 1 + q / w²; of that, w / (w + 1) of a sample is new.
    """
    if not running.within_cells:
        ones = np.ones(len(rows))
        return running, np.where(seen, rows - running.statistics.mean, np.nan), seen, ones
    had = running.weight
    known = seen & (had > 0.0)
    safe = np.where(had > 0.0, had, 1.0)
    gap = np.where(seen, rows - running.level, 0.0)
    excess = 1.0 + running.square / safe**2
    scaled = np.where(known, gap / np.sqrt(excess), np.nan)
    each = np.where(known, excess * had / (had + 1.0), 0.0)
    worth = each.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    after = replace(
        running, level=running.level + gap / (had + 1.0), weight=had + seen,
        square=running.square + seen,
    )  # fmt: skip
    return after, scaled, known, worth


def _added(
    before: Running, after: Running, rows: Floats, scaled: Floats, known: Bools, worth: Floats
) -> tuple[Running, Floats]:  # fmt: skip
    """Return the statistics with the rows added, and the rows with what was missing filled in."""
    chosen: Bools = np.logical_or.reduce(known, axis=1)
    scaled, known, worth = scaled[chosen], known[chosen], worth[chosen]
    old = before.statistics
    if not len(scaled):  # a first look, which sets levels and no more
        mean = after.level.mean(axis=0) if after.within_cells else old.mean
        return replace(after, statistics=replace(old, mean=mean)), scaled
    if not after.within_cells and old.weight <= 0.0:  # there was no mean to deviate from
        start = _observed_means(rows[chosen], known)
        scaled = scaled + old.mean - start
        old = replace(old, mean=start)
    covariance = _covariance(old, scaled, known)
    filled, uncertain = completed(scaled, known, covariance, worth)
    counted = known.astype(np.float64)
    weight = float(((counted.T * worth) @ counted).mean())
    share = weight / float(worth.sum())
    if after.within_cells:
        scatter = share * ((filled.T * worth) @ filled + uncertain)
        if _is_learnt(old):
            after = _moved_by_expectation(after, rows, chosen, filled)
        statistics = replace(
            old, weight=old.weight + weight, mean=_blended(after), scatter=old.scatter + scatter
        )
        return replace(after, statistics=statistics), filled
    shift = filled.mean(axis=0)
    centred = filled - shift
    block = replace(
        old, weight=weight, mean=old.mean + shift, scatter=share * (centred.T @ centred + uncertain)
    )
    return replace(after, statistics=old.merged(block)), filled


def _moved_by_expectation(after: Running, rows: Floats, chosen: Bools, filled: Floats) -> Running:
    """Return levels moved by what was not seen, as far as the others of its row tell it.

    The step is that of a value that is seen, so that a level gets to where what was seen and what
    is expected balance as fast as one without gaps would.
    """
    lacking = ~np.isfinite(rows) & (after.weight > 0.0) & chosen[:, None]
    safe = np.where(lacking, after.weight, 1.0)
    expected = np.zeros(rows.shape)
    expected[chosen] = filled
    gap = np.where(lacking, expected * np.sqrt(1.0 + after.square / safe**2), 0.0)
    return replace(after, level=after.level + gap / (after.weight + 1.0))


def _blended(running: Running) -> Floats:
    """Return the mean level over cells, by how much each is worth, (D,)."""
    total = running.weight.sum(axis=0)
    mean: Floats = (running.weight * running.level).sum(axis=0) / np.where(total > 0.0, total, 1.0)
    return mean


def _observed_means(rows: Floats, known: Bools) -> Floats:
    mean: Floats = np.where(known, rows, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return mean


def _is_learnt(old: Statistics) -> bool:
    """Return whether the estimate so far says what to expect by more than spreads alone."""
    return old.weight > 2.0 * old.columns


def _covariance(old: Statistics, scaled: Floats, known: Bools) -> Floats:
    """Return what to expect missing values by: the estimate so far, or spreads alone."""
    if _is_learnt(old):
        return old.scatter / old.weight
    squares = np.where(known, scaled**2, 0.0).sum(axis=0) + np.diag(old.scatter)
    count = known.sum(axis=0) + old.weight
    return np.diag(squares / np.maximum(count, 1.0))


def completed(
    rows: Floats, known: Bools, covariance: Floats, worth: Floats
) -> tuple[Floats, Floats]:
    """Return rows with what is missing filled in, and the summed covariance of the filling.

    A row that lacks few columns is filled through the inverse of the covariance, of which
    only as many rows and columns as are missing must be solved for; one that lacks many
    through the covariance itself.

    Args:
        rows: Deviations with mean zero, (N, D).
        known: Which are observed; the others are not read, (N, D).
        covariance: Of the columns, (D, D).
        worth: How much each row counts in the sum, (N,).
    """
    filled = np.where(known, rows, 0.0)
    uncertain = np.zeros_like(covariance)
    lacking = np.flatnonzero(~known.all(axis=1))
    if not len(lacking):
        return filled, uncertain
    spread = np.diag(covariance)
    steady = covariance + np.diag(1e-9 * spread + 1e-300)
    root = np.sqrt(np.diag(steady))  # of a column without spread so small that its square is 0
    precision: Floats = np.linalg.inv(steady / np.outer(root, root))
    precision = precision / np.outer(root, root)
    few = (~known[lacking]).sum(axis=1) <= min(_FEW, known.shape[1] // 2)
    _fill_few(filled, known, lacking[few].astype(np.int64), precision, worth, uncertain)
    lacking = lacking[~few]
    if not len(lacking):
        return filled, uncertain
    patterns, which = np.unique(known[lacking], axis=0, return_inverse=True)
    sets = np.split(
        lacking[np.argsort(which.reshape(-1), kind="stable")],
        np.cumsum(np.bincount(which.reshape(-1)))[:-1],
    )
    for pattern, members in zip(patterns, sets, strict=True):
        there, gone = np.flatnonzero(pattern), np.flatnonzero(~pattern)
        if len(gone) <= len(there):
            left = np.linalg.inv(precision[np.ix_(gone, gone)])
            slopes = -left @ precision[np.ix_(gone, there)]
        else:
            cross = steady[np.ix_(there, gone)]
            slopes = np.asarray(np.linalg.solve(steady[np.ix_(there, there)], cross).T, np.float64)
            left = steady[np.ix_(gone, gone)] - slopes @ cross
        filled[np.ix_(members, gone)] = filled[np.ix_(members, there)] @ slopes.T
        uncertain[np.ix_(gone, gone)] += float(worth[members].sum()) * left
    return filled, uncertain


@compiled
def _fill_few(
    filled: Floats, known: Bools, lacking: Places, precision: Floats, worth: Floats,
    uncertain: Floats,
) -> None:  # fmt: skip
    """Fill rows that lack few columns in, and add the covariance of the filling."""
    columns, most = filled.shape[1], _FEW
    gone, value = np.empty(most, np.int64), np.empty(most)
    factor, inverse = np.empty((most, most)), np.empty((most, most))
    for row in lacking:
        count = 0
        for column in range(columns):
            if not known[row, column]:
                gone[count] = column
                count += 1
        for a in range(count):
            total = 0.0
            for column in range(columns):  # what is missing is 0 yet
                total -= precision[gone[a], column] * filled[row, column]
            value[a] = total
        _factorise(precision, gone, factor, count)
        _invert(factor, inverse, count)
        for a in range(count):
            expected = 0.0
            for b in range(count):
                left = 0.0
                for c in range(max(a, b), count):
                    left += inverse[c, a] * inverse[c, b]
                expected += left * value[b]
                uncertain[gone[a], gone[b]] += worth[row] * left
            filled[row, gone[a]] = expected


@compiled
def _factorise(matrix: Floats, among: Places, factor: Floats, size: int) -> None:
    """Write the Cholesky factor of some rows and columns of a matrix."""
    for a in range(size):
        for b in range(a + 1):
            left = matrix[among[a], among[b]]
            for c in range(b):
                left -= factor[a, c] * factor[b, c]
            factor[a, b] = math.sqrt(left) if a == b else left / factor[b, b]


@compiled
def _invert(factor: Floats, inverse: Floats, size: int) -> None:
    """Write the inverse of a lower triangle."""
    for b in range(size):
        inverse[b, b] = 1.0 / factor[b, b]
        for a in range(b + 1, size):
            total = 0.0
            for c in range(b, a):
                total -= factor[a, c] * inverse[c, b]
            inverse[a, b] = total / factor[a, a]
