"""Mechanisms that may bend and interact, and what they lead to expect under a change.

For every drawn graph each variable is a sum of one curve for each parent, products of parents
where those help, and what is left. Three forms are fitted to the same rows: straight lines,
curves, curves and products; the one that predicts left-out rows best is taken (leave-one-out,
in closed form; Hastie, Tibshirani and Friedman 2009, equation 7.64). How much curves may bend is
set by the evidence (MacKay 1992, "Bayesian interpolation", section 4.2), and coefficients are
drawn given it.

What is left keeps the rows' own values (abduction), so nothing is assumed of its
distribution, and its spread may differ from row to row; ``uneven_noise`` says where it does.
Effects are means over observed rows of what would have been under one setting less under the
other, so "among rows where Z lies in a range" is the mean over those rows.

Axis letters: ``M`` drawn models, ``N`` rows, ``D`` columns, ``V`` variables, ``E`` edges of all
models, ``G`` points of a curve, ``S`` settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from cellhive.causal.effects import sort_graphs
from cellhive.causal.posterior import Posterior
from cellhive.causal.queries.curves import CURVES, Basis
from cellhive.core.types import Floats, Ints

POINTS = 65
REACH_SD = 4.0
"""Curves are tabulated to this many standard deviations, and go on straight beyond."""
_MOST_PRODUCTS = 3
_CLEARLY = 2.0
"""Gain of the leave-one-out log score above which the richer form is taken."""
_STEPS = 25
_STIFF = 1e6
_FREE = 1e-6
_ROWS_PER_FEATURE = 5.0


@dataclass(frozen=True)
class Form:
    """One variable's mechanism given its parents: a regression on features of them."""

    parents: tuple[int, ...]
    """Columns."""
    curved: bool
    products: tuple[tuple[int, int], ...]
    """Pairs of places among the parents."""
    mean: Floats
    """Constant, lines, curves, products."""
    root: Floats
    """Lower factor of the covariance over the noise variance."""
    squares: float
    freedom: float
    score: float
    """Leave-one-out log score of all rows together, less what all forms share."""


@dataclass(frozen=True)
class BentMechanisms:
    """Mechanisms drawn for graphs of a posterior, on standardised columns."""

    posterior: Posterior
    basis: Basis
    order: Ints
    """Variables with causes before effects, (M, V)."""
    first: Ints
    """First edge of each variable, and the end, (M, V + 1)."""
    column: Ints
    """Parent of each edge, (E,)."""
    curve: Floats
    """What it adds, at points from -REACH_SD to REACH_SD, (E, G)."""
    pairs: Ints
    """Columns of each product, -1 where there is none, (M, V, 3, 2)."""
    product: Floats
    """Their coefficients, (M, V, 3)."""
    forms: dict[tuple[int, int], Form]
    """By variable and set of candidates."""

    @property
    def draws(self) -> int:
        """How many models were drawn."""
        return len(self.order)


def bent_mechanisms(
    posterior: Posterior,
    basis: Basis,
    generator: np.random.Generator,
    *,
    draws: int = 300,
) -> BentMechanisms:
    """Return mechanisms for graphs of a posterior, drawn given graph and rows.

    Args:
        posterior: Over graphs.
        basis: Rows and features of the same variables.
        generator: Where chance comes from.
        draws: Graphs to take, evenly among those of the posterior.
    """
    which = np.linspace(0, len(posterior.chosen) - 1, min(draws, len(posterior.chosen)))
    chosen = posterior.chosen[which.round().astype(int)]
    size = chosen.shape[1]
    forms: dict[tuple[int, int], Form] = {}
    grid = np.linspace(-REACH_SD, REACH_SD, POINTS)
    shapes = _shapes(basis, grid)
    first = np.zeros((len(chosen), size + 1), np.int32)
    columns: list[int] = []
    curves: list[Floats] = []
    pairs = np.full((len(chosen), size, _MOST_PRODUCTS, 2), -1, np.int32)
    product = np.zeros((len(chosen), size, _MOST_PRODUCTS))
    for draw, graph in enumerate(chosen):
        for node in range(size):
            key = (node, int(graph[node]))
            if key not in forms:
                held = [int(c) for k, c in enumerate(posterior.candidates[node])
                        if (key[1] >> k) & 1]  # fmt: skip
                forms[key] = fitted_form(basis, node, tuple(held))
            form = forms[key]
            values = _drawn(form, generator)
            first[draw, node] = len(columns)
            columns += form.parents
            curves += _bent(form, values, shapes, grid)
            for k, (a, b) in enumerate(form.products):
                pairs[draw, node, k] = form.parents[a], form.parents[b]
                product[draw, node, k] = values[len(values) - len(form.products) + k]
        first[draw, size] = len(columns)
    order = np.empty(chosen.shape, np.int32)
    sort_graphs(posterior.candidates, np.ascontiguousarray(chosen), order)
    table = np.array(curves).reshape(len(curves), POINTS)
    return BentMechanisms(
        posterior, basis, order, first, np.array(columns, np.int32), table, pairs, product, forms
    )  # fmt: skip


def _shapes(basis: Basis, grid: Floats) -> Floats:
    """Return the curved features of every column on the grid, (D, G, 6)."""
    columns = basis.rows.shape[1]
    return np.array([basis.curves(column, grid) for column in range(columns)])


def _drawn(form: Form, generator: np.random.Generator) -> Floats:
    """Return coefficients drawn given the form."""
    deviation = np.sqrt(form.squares / generator.chisquare(form.freedom))
    drawn: Floats = form.mean + deviation * (form.root @ generator.standard_normal(len(form.mean)))
    return drawn


def _bent(form: Form, values: Floats, shapes: Floats, grid: Floats) -> list[Floats]:
    """Return the curve of each parent on the grid."""
    count = len(form.parents)
    made = []
    for k, parent in enumerate(form.parents):
        curve = values[1 + k] * grid
        if form.curved:
            at = 1 + count + CURVES * k
            curve = curve + shapes[parent] @ values[at : at + CURVES]
        made.append(curve)
    return made


# ------------------------------------------------------------------ fitting one variable


def fitted_form(basis: Basis, node: int, parents: tuple[int, ...]) -> Form:
    """Return the form of one variable's mechanism that predicts left-out rows best.

    Args:
        basis: Rows and features.
        node: Variable.
        parents: Columns.
    """
    plain = _regression(basis, node, parents, curved=False, products=())
    bends = sum(bool(basis.places(parent)) for parent in parents)
    if not bends or len(basis.rows) < _ROWS_PER_FEATURE * (1 + len(parents) + CURVES * bends):
        return plain
    best = plain
    bent = _regression(basis, node, parents, curved=True, products=())
    if bent.score > plain.score + _CLEARLY:
        best = bent
    products = _promising(basis, node, best)
    if products:
        richer = _regression(basis, node, parents, curved=best.curved, products=products)
        if richer.score > best.score + _CLEARLY:
            best = richer
    return best


def _design(
    basis: Basis, parents: tuple[int, ...], products: Sequence[tuple[int, int]], *, curved: bool
) -> tuple[Floats, Ints]:
    """Return features of the rows, and the group of each: 0 is free, others are shrunk."""
    rows = basis.rows
    parts = [np.ones((len(rows), 1)), rows[:, list(parents)]]
    groups = [0] * (1 + len(parents))
    if curved:
        for k, parent in enumerate(parents):
            first = rows.shape[1] + CURVES * parent
            parts.append(basis.features[:, first : first + CURVES])
            groups += [1 + k] * CURVES
    for k, (a, b) in enumerate(products):
        parts.append((rows[:, parents[a]] * rows[:, parents[b]])[:, None])
        groups.append(1 + len(parents) + k)
    return np.concatenate(parts, axis=1), np.array(groups, np.int32)


def _regression(
    basis: Basis, node: int, parents: tuple[int, ...], *, curved: bool,
    products: tuple[tuple[int, int], ...],
) -> Form:  # fmt: skip
    """Return a regression with the stiffness of its groups set by the evidence."""
    design, groups = _design(basis, parents, products, curved=curved)
    target = basis.rows[:, node]
    count = len(target)
    inner, cross = design.T @ design, design.T @ target
    total = float(target @ target)
    stiffness = np.where(groups == 0, _FREE, 1.0)
    shrunk = [np.flatnonzero(groups == group) for group in range(1, int(groups.max()) + 1)]
    for _ in range(_STEPS if shrunk else 1):
        inverse = np.linalg.inv(inner + np.diag(stiffness))
        mean = inverse @ cross
        used = len(mean) - float((np.diag(inverse) * stiffness).sum())
        squares = max(total - float(mean @ (2.0 * cross - inner @ mean)), 1e-12 * count)
        variance = squares / max(count - used, 1.0)
        before = stiffness.copy()
        for members in shrunk:
            if len(members):
                known = len(members) - float((np.diag(inverse)[members] * stiffness[members]).sum())
                size = float((mean[members] ** 2).sum())
                stiff = max(known, 1e-3) * variance / max(size, 1e-12)
                stiffness[members] = np.clip(stiff, 1e-3, _STIFF)
        if (np.abs(np.log(stiffness / before)) < 0.05).all():  # noqa: PLR2004
            break
    inverse = np.linalg.inv(inner + np.diag(stiffness))
    mean = inverse @ cross
    left = target - design @ mean
    leverage = np.minimum(np.einsum("nf,fg,ng->n", design, inverse, design, optimize=True), 0.99)
    loo = left / (1.0 - leverage)
    used = float(leverage.sum())
    return Form(
        parents, curved, products, mean, np.linalg.cholesky(inverse), float(left @ left),
        max(count - used, 1.0), -0.5 * count * float(np.log((loo**2).mean())),
    )  # fmt: skip


def _promising(basis: Basis, node: int, form: Form) -> tuple[tuple[int, int], ...]:
    """Return the pairs of parents whose product explains most of what is left, if any does."""
    count, rows = len(form.parents), basis.rows
    design, _ = _design(basis, form.parents, form.products, curved=form.curved)
    left = basis.rows[:, node] - design @ form.mean
    pairs = [(a, b) for a in range(count) for b in range(a + 1, count)]
    if not pairs:
        return ()
    both = np.stack([rows[:, form.parents[a]] * rows[:, form.parents[b]] for a, b in pairs], axis=1)
    spanned = np.linalg.qr(design)[0]
    both -= spanned @ (spanned.T @ both)
    size = np.maximum((both**2).sum(axis=0), 1e-12) * float(left @ left)
    share = (left @ both) ** 2 / size
    found = [k for k in np.argsort(-share, kind="stable")[:_MOST_PRODUCTS]
             if len(rows) * share[k] > np.log(len(rows))]  # fmt: skip
    return tuple(pairs[int(k)] for k in found)


# ------------------------------------------------------------------ is noise as even as said?


@dataclass(frozen=True)
class Unevenness:
    """Whether what a mechanism leaves spreads more in some rows than in others."""

    name: str
    statistic: float
    """Rows times the share of the squares of what is left that parents explain."""
    p: float
    """Probability of so large a statistic if noise were even."""

    def __str__(self) -> str:
        """Say it in a sentence."""
        return (
            f"What {self.name}'s causes leave of it spreads more in some rows than in others "
            f"(p = {self.p:.1g}): its intervals are an average over rows."
        )


def uneven_noise(mechanisms: BentMechanisms, *, level: float = 0.01) -> tuple[Unevenness, ...]:
    """Return the variables whose noise is not even, by the test of Koenker 1981.

    Args:
        mechanisms: Drawn models; each variable's most drawn form is judged.
        level: Probability of a false alarm over all variables together.
    """
    posterior, basis = mechanisms.posterior, mechanisms.basis
    found = []
    for node, name in enumerate(posterior.names):
        sets, counts = np.unique(posterior.chosen[:, node], return_counts=True)
        ranked = [int(one) for one in sets[np.argsort(-counts)]]
        form = next((mechanisms.forms[node, one] for one in ranked
                     if (node, one) in mechanisms.forms), None)  # fmt: skip
        if form is None or not form.parents:
            continue
        design, _ = _design(basis, form.parents, form.products, curved=form.curved)
        squares = (basis.rows[:, node] - design @ form.mean) ** 2
        values = basis.rows[:, list(form.parents)]
        by = np.column_stack([np.ones(len(values)), values, values**2])
        fitted = by @ np.linalg.lstsq(by, squares, rcond=None)[0]
        spread = float(squares.var())
        statistic = len(values) * float(fitted.var()) / spread if spread > 0.0 else 0.0
        p = float(stats.chi2(by.shape[1] - 1).sf(statistic))
        if p < level / len(posterior.names):
            found.append(Unevenness(name, statistic, p))
    return tuple(found)
