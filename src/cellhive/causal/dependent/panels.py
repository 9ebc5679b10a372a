"""Coefficients of each cell: one graph for all cells, and cells that help each other.

A cell's coefficients are drawn from a normal distribution over cells, whose mean and covariance
are estimated from all of them (empirical Bayes; Rubin 1980). So a cell with little data, or
whose causes hardly moved, takes after the others, and one with much keeps its own. The mean is
that of generalised least squares, the covariance that of restricted maximum likelihood by EM
(Laird and Ware 1982) kept from zero by a prior that only few cells feel (Chung and others
2015: the sum is divided by C - 1); the noise of each cell is drawn towards that of all (Smyth
2004).

Each cell's means are taken off, so lasting differences between cells explain nothing. Rows in
which the variable or one of its parents is missing are left out.

Axis letters: ``T`` periods, ``C`` cells, ``V`` variables, ``L`` lags, ``P`` parents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from cellhive.causal.effects import Mechanisms
from cellhive.causal.posterior import Posterior
from cellhive.causal.statistics import checked_panel
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.types import Bools, Floats, Ints

_REPEATS = 200
_SETTLED = 1e-3
_LEAST = 1e-8
"""Variance between cells, of coefficients on a standardised scale, that counts as none."""
_MOST_FREEDOM = 1e6
_FEW_CELLS = 3


@dataclass(frozen=True)
class CellCoefficients:
    """Regressions of one variable on the same parents in every cell, in the data's units."""

    parents: Ints
    """Columns, (P,)."""
    common: Floats
    """Mean over cells, (P,)."""
    common_covariance: Floats
    """How uncertain that is, (P, P)."""
    between: Floats
    """Covariance of coefficients between cells, (P, P)."""
    mean: Floats
    """Of each cell, (C, P)."""
    covariance: Floats
    """How uncertain each cell's are, (C, P, P)."""
    noise: Floats
    """Standard deviation of what the parents leave, (C,)."""
    freedom: Floats
    """Degrees of freedom that the noise was estimated with, (C,)."""

    def interval(self, *, level: float = 0.9) -> tuple[Floats, Floats]:
        """Return the ends of an interval of each coefficient of each cell, both (C, P).

        Args:
            level: Probability that it holds.
        """
        if not 0.0 < level < 1.0:
            raise BadInput(expected="a level between 0 and 1", found=f"{level:g}")
        spread = np.sqrt(np.diagonal(self.covariance, axis1=1, axis2=2))
        half = special.stdtrit(self.tail_freedom(), 0.5 + 0.5 * level)[:, None] * spread
        return self.mean - half, self.mean + half

    def tail_freedom(self) -> Floats:
        """Return degrees of freedom of each cell's uncertainty, (C,).

        Those of the noise or, if fewer, of the spread between cells.
        """
        return np.minimum(self.freedom, max(len(self.freedom) - 1.0, 1.0))


@dataclass(frozen=True)
class CellMechanisms:
    """Regressions of every set of parents that a posterior holds possible, in every cell."""

    posterior: Posterior
    fits: Mapping[tuple[int, int], CellCoefficients]
    """By variable and set of its candidates."""

    def drawn(self, cell: int, generator: np.random.Generator) -> Mechanisms:
        """Return mechanisms of one cell, drawn for every graph: for effects in that cell.

        Args:
            cell: Index of the cell.
            generator: Where chance comes from.
        """
        chosen = self.posterior.chosen
        cells = len(next(iter(self.fits.values())).noise)
        if not 0 <= cell < cells:
            message = f"expected a cell of 0 to {cells - 1}, found {cell}"
            raise NotFound(message)
        draws, size = chosen.shape
        most = self.posterior.candidates.shape[1]
        scale = self.posterior.statistics.deviation
        coefficients, noise = np.zeros((draws, size, most)), np.zeros((draws, size))
        for (node, members), fit in sorted(self.fits.items()):
            rows = np.flatnonzero(chosen[:, node] == members)
            own, tails = fit.freedom[cell], fit.tail_freedom()[cell]
            noise[rows, node] = fit.noise[cell] / scale[node]
            noise[rows, node] *= np.sqrt(own / generator.chisquare(own, len(rows)))
            if not members:
                continue
            widths = np.sqrt(tails / generator.chisquare(tails, len(rows)))
            normal = generator.standard_normal((len(rows), len(fit.parents)))
            off = widths[:, None] * (normal @ _root(fit.covariance[cell]).T)
            drawn = fit.mean[cell] + off
            slots = [slot for slot in range(most) if (members >> slot) & 1]
            unit = scale[fit.parents] / scale[node]
            coefficients[np.ix_(rows, np.array([node]), np.array(slots))] = (drawn * unit)[
                :, None, :
            ]
        return Mechanisms(self.posterior, coefficients, noise)


def _root(covariance: Floats) -> Floats:
    values, vectors = np.linalg.eigh(covariance)
    root: Floats = vectors * np.sqrt(np.maximum(values, 0.0))
    return root


def cell_mechanisms(posterior: Posterior, panel: Floats) -> CellMechanisms:
    """Return the mechanisms of every cell along every graph of a posterior.

    Args:
        posterior: Over graphs that all cells share; best from statistics within cells.
        panel: Values of some periods [unit of the variable], NaN where missing, (T, C, V).
    """
    names, lags = posterior.names, posterior.statistics.lags
    fits = {}
    for node in range(len(names)):
        for members in np.unique(posterior.chosen[:, node]).tolist():
            slots = [k for k in range(posterior.candidates.shape[1]) if (members >> k) & 1]
            parents = posterior.candidates[node, slots]
            fits[node, members] = cell_coefficients(panel, names, node, parents, lags=lags)
    return CellMechanisms(posterior, fits)


def cell_coefficients(
    panel: Floats, names: Sequence[str], node: int, parents: Ints | Sequence[int], *, lags: int = 0
) -> CellCoefficients:
    """Return the regression of a variable on its parents in every cell.

    Args:
        panel: Values [unit of the variable], NaN where missing, (T, C, V).
        names: Of the variables, length V.
        node: Index of the variable.
        parents: Columns that cause it: ``lag * V + variable``.
        lags: Earlier periods among the columns, 0 to 3.

    Raises:
        BadInput: If fewer than three cells have more rows than parents.
    """
    values = checked_panel(panel, names, lags)
    columns = np.array([node, *parents], np.int32)
    if ((columns < 0) | (columns >= len(names) * (lags + 1))).any() or _repeated(columns):
        raise BadInput(
            expected=f"different parents among {len(names) * (lags + 1)} columns, none its own",
            found=", ".join(str(int(column)) for column in columns[1:]),
        )
    rows, count = _centred(values, columns, lags)
    enough = count > len(columns)
    if enough.sum() < _FEW_CELLS:
        raise BadInput(
            expected=f"at least {_FEW_CELLS} cells with more than {len(columns)} full rows",
            found=f"{int(enough.sum())}", remedy="give more periods or more cells",
            place=f"causes of {names[node]!r}",
        )  # fmt: skip
    products = np.einsum("tci,tcj->cij", rows, rows, optimize=True)
    total = products.sum(axis=0).diagonal() / max(float(count.sum()), 1.0)
    scale = np.sqrt(np.where(total > 0.0, total, 1.0))
    products /= np.outer(scale, scale)
    inner, cross = products[:, 1:, 1:], products[:, 1:, 0]
    noise, freedom = _noise(products, count)
    fit = _shrunk(inner / noise[:, None, None], cross / noise[:, None])
    unit = scale[0] / scale[1:]
    square = np.outer(unit, unit)
    return CellCoefficients(
        columns[1:], fit[0] * unit, fit[1] * square, fit[2] * square, fit[3] * unit,
        fit[4] * square, np.sqrt(noise) * scale[0], freedom,
    )  # fmt: skip


def _repeated(columns: Ints) -> bool:
    return len(np.unique(columns)) < len(columns)


def _centred(values: Floats, columns: Ints, lags: int) -> tuple[Floats, Floats]:
    """Return full rows without each cell's means, 0 elsewhere, (T, C, 1 + P), and their number."""
    size, last = values.shape[2], len(values)
    parts = [values[lags - c // size : last - c // size, :, c % size] for c in columns.tolist()]
    rows = np.stack(parts, axis=2)
    full: Bools = np.logical_and.reduce(np.isfinite(rows), axis=2)
    rows = np.where(full[:, :, None], rows, 0.0)
    count = full.sum(axis=0).astype(np.float64)
    means = rows.sum(axis=0) / np.maximum(count, 1.0)[:, None]
    return np.where(full[:, :, None], rows - means, 0.0), count


def _noise(products: Floats, count: Floats) -> tuple[Floats, Floats]:
    """Return the noise variance of each cell, drawn towards all, and its degrees of freedom.

    Smyth 2004, section 6.2: variances are scaled inverse chi-squares, whose two parameters
    follow from mean and variance of their logarithms.
    """
    inner, cross = products[:, 1:, 1:], products[:, 1:, 0]
    inverse = np.linalg.pinv(inner, rcond=1e-9, hermitian=True)
    left = products[:, 0, 0] - np.einsum("ci,cij,cj->c", cross, inverse, cross)
    rank = np.einsum("cij,cji->c", inner, inverse).round()
    own = np.maximum(count - 1.0 - rank, 0.0)
    known = (own > 0.0) & (left > 1e-12 * products[:, 0, 0])
    if not known.any():
        return np.full(len(count), _LEAST), np.full(len(count), 1.0)
    half = 0.5 * own[known]
    logs = np.log(left[known] / own[known]) - special.digamma(half) + np.log(half)
    among = max(len(logs) - 1, 1)
    excess = float(((logs - logs.mean()) ** 2).sum()) / among
    excess -= float(special.polygamma(1, half).mean())
    shared = _inverse_trigamma(excess)
    typical = np.exp(logs.mean() + special.digamma(shared) - np.log(shared))
    freedom = np.where(known, own, 0.0) + 2.0 * shared
    variance = (np.where(known, left, 0.0) + 2.0 * shared * typical) / freedom
    return variance, freedom


def _inverse_trigamma(value: float) -> float:
    """Return x with trigamma(x) = value, by Newton's method on 1 / trigamma (Smyth 2004)."""
    if value <= 2.0 / _MOST_FREEDOM:
        return 0.5 * _MOST_FREEDOM
    x = 0.5 + 1.0 / value
    for _ in range(50):
        now = float(special.polygamma(1, x))
        step = now * (1.0 - now / value) / float(special.polygamma(2, x))
        x += step
        if abs(step) < 1e-10 * x:
            break
    return x


def _shrunk(
    precision: Floats, pull: Floats
) -> tuple[Floats, Floats, Floats, Floats, Floats]:  # fmt: skip
    """Return mean, its covariance, covariance between cells, and mean and covariance of each.

    Args:
        precision: Of each cell's own estimate; singular where it has none, (C, P, P).
        pull: That times the estimate, (C, P).
    """
    cells, size = pull.shape
    if not size:
        nothing = np.zeros((0, 0))
        return np.zeros(0), nothing, nothing, pull, precision
    between = _first_guess(precision, pull)
    for _ in range(_REPEATS):
        prior = np.linalg.inv(between)
        each = np.linalg.inv(prior + precision)
        # what the cell says of the mean: its precision with the spread between cells added
        says = precision - precision @ each @ precision
        told = pull - np.einsum("cij,cj->ci", precision @ each, pull)
        certain = np.linalg.inv(says.sum(axis=0) + 1e-12 * np.eye(size))
        common = certain @ told.sum(axis=0)
        mean = np.einsum("cij,cj->ci", each, prior @ common + pull)
        lean = each @ prior
        covariance = each + lean @ certain @ lean.transpose(0, 2, 1)
        apart = mean - common
        # of a mean that is estimated too, a cell's share is both in `mean` and in `common`
        loose = np.eye(size) - lean
        own = each + loose @ certain @ loose.transpose(0, 2, 1)
        renewed = (np.einsum("ci,cj->ij", apart, apart) + own.sum(axis=0)) / (cells - 1)
        renewed = 0.5 * (renewed + renewed.T) + _LEAST * np.eye(size)
        moved = np.abs(renewed - between) / np.sqrt(
            np.outer(renewed.diagonal(), renewed.diagonal())
        )
        between = renewed
        if moved.max() < _SETTLED:
            break
    return common, certain, between, mean, covariance


def _first_guess(precision: Floats, pull: Floats) -> Floats:
    """Return the spread of cells' own estimates beyond their errors, by moments, (P, P)."""
    size = pull.shape[1]
    values = np.linalg.eigvalsh(precision)
    clear = values[:, 0] > 1e-6 * np.maximum(values[:, -1], 1e-300)
    if clear.sum() <= size + 1:
        return np.eye(size)
    errors = np.linalg.inv(precision[clear])
    own = np.einsum("cij,cj->ci", errors, pull[clear])
    guess = np.atleast_2d(np.cov(own.T)) - errors.mean(axis=0)
    spread, vectors = np.linalg.eigh(guess)
    floor = max(0.05 * float(np.abs(spread).max()), _LEAST)
    found: Floats = (vectors * np.maximum(spread, floor)) @ vectors.T
    return found
