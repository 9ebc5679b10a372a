"""Sufficient statistics of a panel: weight, mean and scatter of every variable at every lag.

All that a linear-Gaussian model can learn from counters is in these three. They are pooled
over cells, forget exponentially, and merge by addition, so a posterior never needs the
history itself.

Axis letters: ``T`` periods, ``C`` cells, ``V`` variables, ``L`` lags, ``D = V (L + 1)``
columns: the variables now, then those one period ago, and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cellhive.core.errors import BadInput
from cellhive.core.types import Bools, Floats

MOST_LAGS = 3
MOST_SIZE = 1e140
"""Values above it overflow in products; deviations below its reciprocal vanish in them."""
_DUST = 1e-12
"""Share of a variable's size that may be rounding."""
_REPEATS = 300
_SETTLED = 1e-6
_LEVELLED = 1e-4
_NEARLY_ALL = 1.0 - 1e-8
"""Share of a variable's spread that others may explain before it counts as their copy."""
_FEW = 2.0
_BLOCK_ROWS = 8192


@dataclass(frozen=True)
class Statistics:
    """What was seen of variables, now and at lags, as weight, mean and scatter."""

    names: tuple[str, ...]
    """Name of each variable, length V."""
    lags: int
    """How many earlier periods stand beside the present one."""
    weight: float
    """Samples that the scatter is worth: forgotten and incomplete ones count in part."""
    mean: Floats
    """Mean of each column, in the variable's unit, (D,)."""
    scatter: Floats
    """Sum of products of deviations from the mean, (D, D)."""

    @property
    def variables(self) -> int:
        """Number of variables, without their lags."""
        return len(self.names)

    @property
    def columns(self) -> int:
        """Number of variables and lagged variables."""
        return len(self.names) * (self.lags + 1)

    @property
    def deviation(self) -> Floats:
        """Standard deviation of each column, in the variable's unit, (D,); constants have 0."""
        spread: Floats = np.sqrt(np.maximum(np.diag(self.scatter), 0.0) / max(self.weight, 1.0))
        return spread

    @property
    def flat(self) -> Bools:
        """Whether a column does not vary beyond rounding, (D,)."""
        still: Bools = self.deviation <= np.maximum(_DUST * np.abs(self.mean), 1.0 / MOST_SIZE)
        return still

    def label(self, column: int) -> str:
        """Return the name of a column, for example "load" or "load 2 periods ago"."""
        lag, variable = divmod(column, self.variables)
        name = self.names[variable]
        return name if not lag else f"{name} {lag} period{'s' if lag > 1 else ''} ago"

    def forgotten(self, keep: float) -> Statistics:
        """Return the statistics with their weight reduced.

        Args:
            keep: Share of the weight that is left, 0 to 1.
        """
        if not 0.0 <= keep <= 1.0:
            raise BadInput(expected="a share to keep between 0 and 1", found=f"{keep}")
        return replace(self, weight=keep * self.weight, scatter=keep * self.scatter)

    def merged(self, other: Statistics) -> Statistics:
        """Return the statistics of both together (Chan, Golub and LeVeque 1979, eq. 2.1)."""
        if (self.names, self.lags) != (other.names, other.lags):
            raise BadInput(
                expected=f"statistics of {len(self.names)} variables at {self.lags} lags",
                found=f"{len(other.names)} variables at {other.lags} lags, or other names",
                remedy="merge statistics of the same variables only",
            )
        weight = self.weight + other.weight
        share = other.weight / weight if weight > 0.0 else 0.0
        apart = other.mean - self.mean
        return replace(
            self,
            weight=weight,
            mean=self.mean + share * apart,
            scatter=self.scatter + other.scatter + self.weight * share * np.outer(apart, apart),
        )

    def correlation(self) -> Floats:
        """Return the correlations of the columns, (D, D).

        Raises:
            BadInput: If a column does not vary, or others determine it: no data could then
                tell causes apart.
        """
        if self.weight <= _FEW:
            raise BadInput(
                expected="more than two samples", found=f"a weight of {self.weight:.3g}",
                remedy="collect more periods or more cells",
            )  # fmt: skip
        scale = self.deviation
        flat = self.flat
        if flat.any():
            what = "columns that vary"
            raise self._refused(what, "do not vary", flat)
        matrix: Floats = self.scatter / (self.weight * np.outer(scale, scale))
        np.fill_diagonal(matrix, 1.0)
        copies = self._determined(matrix)
        if copies.any():
            what = "columns that others do not determine"
            raise self._refused(what, "follow from others", copies)
        return matrix

    @property
    def determined(self) -> Bools:
        """Return which columns follow from the others, (D,); none may be constant."""
        scale = self.deviation
        return self._determined(self.scatter / (self.weight * np.outer(scale, scale)))

    def _determined(self, matrix: Floats) -> Bools:
        if self.weight <= self.columns:
            return np.zeros(self.columns, np.bool_)
        copies: Bools = _unexplained(matrix) < 1.0 - _NEARLY_ALL
        return copies

    def _refused(self, expected: str, what: str, which: Bools) -> BadInput:
        named = ", ".join(self.label(int(column)) for column in np.flatnonzero(which)[:6])
        more = f" and {int(which.sum()) - 6} more" if which.sum() > 6 else ""  # noqa: PLR2004
        return BadInput(
            expected=expected, found=f"{int(which.sum())} that {what}: {named}{more}",
            remedy="leave them out of the variables",
        )  # fmt: skip


def _unexplained(matrix: Floats) -> Floats:
    """Return the share of each column's variance that the others leave, (D,)."""
    values, vectors = np.linalg.eigh(matrix)
    safe = np.maximum(values, 1e-14)
    share: Floats = 1.0 / ((vectors**2) / safe).sum(axis=1)
    return share


def statistics_of(
    panel: Floats,
    names: Sequence[str],
    *,
    lags: int = 0,
    within_cells: bool = False,
    before: Statistics | None = None,
) -> Statistics:
    """Return the statistics of a panel, pooled over its cells.

    What is missing is replaced by what the observed columns of the same row lead to expect,
    with the uncertainty of that (the E step of EM for a multivariate normal; Little and
    Rubin 2019, section 11.2), until the estimate settles; with statistics from before, a
    single step with their estimate. The weight is then the mean, over pairs of columns, of
    the number of rows in which both were observed.

    Args:
        panel: Values [unit of the variable], NaN where missing: (T, C, V), or (T, V) of one cell.
        names: Of the variables, length V.
        lags: Earlier periods to put beside each, 0 to 3.
        within_cells: Whether to take each cell's own mean off first, so that lasting differences
            between cells (their size, their surroundings) are not taken for effects.
        before: Statistics of earlier periods, from which to expect what is missing.
    """
    values = checked_panel(panel, names, lags)
    if within_cells:
        values = _within(values)
    rows = panel_rows(values, lags)
    seen = np.isfinite(rows)
    keep = seen.any(axis=1)
    rows, seen = rows[keep], seen[keep]
    counted = seen.astype(np.float64)
    if len(rows) and not seen.any(axis=0).all():
        blank = Statistics(tuple(names), lags, 0.0, np.zeros(0), np.zeros((0, 0)))
        gone = [blank.label(int(column)) for column in np.flatnonzero(~seen.any(axis=0))]
        raise BadInput(
            expected="at least one value of every variable at every lag",
            found=f"none of {', '.join(gone[:8])}",
            remedy="leave variables that were never measured out",
        )  # fmt: skip
    if seen.all():
        weight = float(len(rows))
        mean = rows.mean(axis=0) if len(rows) else np.zeros(rows.shape[1])
        centred = rows - mean
        scatter = centred.T @ centred
    else:
        weight = float((counted.T @ counted).mean())
        mean, covariance = _expected(rows, seen, before)
        scatter = weight * covariance
    if within_cells and len(values):  # a mean for each cell has been used up
        left = max(len(rows) - values.shape[1], 1) / max(len(rows), 1)
        weight, scatter = weight * left, scatter * left
    return Statistics(tuple(names), lags, weight, mean, scatter)


def checked_panel(panel: Floats, names: Sequence[str], lags: int) -> Floats:
    """Return a panel as periods, cells and variables, or refuse what is none, (T, C, V).

    Args:
        panel: Values, NaN where missing: (T, C, V), or (T, V) of one cell.
        names: Of the variables.
        lags: Earlier periods to put beside each.
    """
    values = np.asarray(panel, np.float64)
    if values.ndim == 2:  # noqa: PLR2004  # one cell
        values = values[:, None, :]
    if values.ndim != 3 or values.shape[2] != len(names):  # noqa: PLR2004
        raise BadInput(
            expected=f"an array of periods, cells and {len(names)} variables",
            found=f"shape {np.shape(panel)}", remedy="give one name for each variable",
        )  # fmt: skip
    if not len(names) or not values.shape[1]:
        found = f"{values.shape[1]} cells and {len(names)} variables"
        raise BadInput(expected="at least one cell and one variable", found=found)
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if list(names).count(name) > 1})
        raise BadInput(expected="different names", found=f"{', '.join(twice)} more than once")
    if lags not in range(MOST_LAGS + 1):
        raise BadInput(expected=f"0 to {MOST_LAGS} lags", found=f"{lags}")
    refuse_huge(values)
    if len(values) <= lags:
        raise BadInput(expected=f"more than {lags} periods", found=f"{len(values)}")
    return values


def refuse_huge(values: Floats) -> None:
    """Refuse values that are infinite, or too large for products of them.

    Args:
        values: NaN where missing.

    Raises:
        BadInput: If there are such values.
    """
    huge = np.abs(values) > MOST_SIZE
    if huge.any():
        infinite = bool(np.isinf(values).any())
        raise BadInput(
            expected=f"numbers up to {MOST_SIZE:g} in size, and NaN where missing",
            found="infinite values" if infinite else f"{np.abs(values[huge]).max():.3g}",
            remedy="mark what was not measured as NaN",
        )  # fmt: skip


def cell_levels(panel: Floats) -> Floats:
    """Return the mean of each variable of each cell, (C, V), as if nothing were missing.

    What is missing counts with what the other variables lead to expect, deviations from the
    means being alike in all cells. The mean of what was measured would not do: where low values
    are missing it is too high, which shifts the cell against what explains it, and such a shift
    looks like a memory of the past.

    Args:
        panel: Values, NaN where missing, (T, C, V).
    """
    values = np.asarray(panel, np.float64)
    levels = _means(values.reshape(len(values), -1)).reshape(values.shape[1:])
    seen = np.isfinite(values).reshape(-1, values.shape[2])
    if seen.all() or not seen.any(axis=0).all():
        return levels
    patterns, which = np.unique(seen, axis=0, return_inverse=True)
    places = [np.flatnonzero(which.reshape(-1) == k) for k in range(len(patterns))]
    rows = (values - levels).reshape(seen.shape)
    scale = np.sqrt(np.where(seen, rows, 0.0).var(axis=0)) + 1e-300
    covariance, mean, count = np.diag(scale**2), np.zeros(len(scale)), values.shape[1]
    for _ in range(_REPEATS):
        rows = (values - levels).reshape(seen.shape)
        groups = [(one, rows[at]) for one, at in zip(patterns, places, strict=True)]
        mean, covariance = _step(groups, mean, covariance)
        ridge = 1e-9 * np.diag(covariance) + 1e-300
        full = np.empty(seen.shape)
        for (one, some), at in zip(groups, places, strict=True):
            full[at] = _filled(one, some - mean, covariance, ridge)[0]
        shift = (full + mean).reshape(len(values), count, -1).mean(axis=0)
        levels = levels + shift
        if (np.abs(shift) / scale).max() < _LEVELLED:
            break
    return levels


def _within(values: Floats) -> Floats:
    """Return a panel less each cell's own means; what only rounding leaves is 0."""
    off = values - cell_levels(values)
    size = np.where(np.isfinite(values), np.abs(values), 0.0).max(axis=(0, 1))
    left = np.where(np.isfinite(off), np.abs(off), 0.0).max(axis=(0, 1))
    off[:, :, left <= _DUST * size] *= 0.0
    return off


def _means(columns: Floats) -> Floats:
    """Return the mean of what is observed in each column, 0 where nothing is."""
    seen = np.isfinite(columns)
    total = np.where(seen, columns, 0.0).sum(axis=0)
    mean: Floats = total / np.maximum(seen.sum(axis=0), 1)
    return mean


def panel_rows(values: Floats, lags: int) -> Floats:
    """Return one row per period and cell: the variables now, then at each lag, (rows, D)."""
    last = len(values)
    parts = [values[lags - lag : last - lag] for lag in range(lags + 1)]
    rows = np.concatenate(parts, axis=2)
    return rows.reshape(-1, rows.shape[2])


def _expected(rows: Floats, seen: Bools, before: Statistics | None) -> tuple[Floats, Floats]:
    """Return mean and covariance with missing values replaced by their expectation."""
    patterns, which = np.unique(seen, axis=0, return_inverse=True)
    groups = [(pattern, rows[which.reshape(-1) == k]) for k, pattern in enumerate(patterns)]
    if before is not None and before.weight > before.columns:
        start = before.mean, before.scatter / before.weight
        return _step(groups, *start)
    mean = _means(rows)
    spread = np.where(seen, rows - mean, 0.0)
    covariance = np.diag((spread**2).sum(axis=0) / seen.sum(axis=0))
    for _ in range(_REPEATS):
        scale = np.sqrt(np.diag(covariance)) + 1e-300
        mean, renewed = _step(groups, mean, covariance)
        moved = np.abs(renewed - covariance) / np.maximum(np.outer(scale, scale), 1e-300)
        covariance = renewed
        if moved.max() < _SETTLED:
            break
    return mean, covariance


def _step(
    groups: Sequence[tuple[Bools, Floats]], mean: Floats, covariance: Floats
) -> tuple[Floats, Floats]:
    """Return mean and covariance after one step of EM."""
    columns, count = len(mean), sum(len(rows) for _, rows in groups)
    total, products = np.zeros(columns), np.zeros((columns, columns))
    ridge = 1e-9 * np.diag(covariance) + 1e-300
    for pattern, rows in groups:
        full, unknown, left = _filled(pattern, rows - mean, covariance, ridge)
        products[np.ix_(unknown, unknown)] += len(rows) * left
        total += full.sum(axis=0)
        products += full.T @ full
    shift = total / count
    return mean + shift, products / count - np.outer(shift, shift)


def _filled(
    pattern: Bools, full: Floats, covariance: Floats, ridge: Floats
) -> tuple[Floats, npt.NDArray[np.signedinteger[Any]], Floats]:
    """Return deviations with what is missing as expected, where it was, and its covariance."""
    known, unknown = np.flatnonzero(pattern), np.flatnonzero(~pattern)
    if not len(unknown):
        return full, unknown, np.zeros((0, 0))
    inner = covariance[np.ix_(known, known)] + np.diag(ridge[known])
    cross = covariance[np.ix_(known, unknown)]
    slopes = np.linalg.solve(inner, cross)
    full[:, unknown] = full[:, known] @ slopes
    return full, unknown, covariance[np.ix_(unknown, unknown)] - cross.T @ slopes
