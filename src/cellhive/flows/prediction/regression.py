"""A linear forecast with a Bayesian effect of what is set, and intervals from what it missed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from cellhive.core.types import Floats


@dataclass(frozen=True)
class Rows:
    """Past comparisons to learn from, and the one that is asked about; N rows.

    What was seen before (``seen``) is held: rules change what they set by what they see, and what
    is far from its mean comes back by itself. What was set (``set_to``) acts on top of it.
    """

    change: Floats
    """What the comparison gave, (N,)."""
    seen: Floats
    """What was known before, (N, P)."""
    set_to: Floats
    """By how much was set more after than before, (N, L)."""
    spread: Floats
    """Size of the steps between periods before, relative to other rows, (N,)."""
    weight: Floats
    """How much each row counts, (N,)."""
    independent: float
    """How many rows that do not overlap these are worth."""


@dataclass(frozen=True)
class Asked:
    """What is asked about."""

    seen: Floats
    """(P,)."""
    set_to: Floats
    """By how much the plan sets more, (L,)."""
    spread: float


@dataclass(frozen=True)
class Forecast:
    """The answer."""

    change: float
    reach_50: float
    """Half the width of the 50 % interval of the change."""
    reach_90: float
    effect: float
    effect_error: float
    freedom: float


@dataclass(frozen=True)
class ForecastSettings:
    """How forecasts are made."""

    effect_scale: float = 0.15
    """Expected size of an effect before anything is known, in steps of chance."""
    seen_scale: float = 0.3
    """The same of what was seen before."""


def forecast(
    rows: Rows, asked: Asked, settings: ForecastSettings, widen: tuple[float, float] = (1.0, 1.0)
) -> Forecast:
    """Return the change to expect, its intervals, and the part that the plan brings.

    Ridge regression in units of each row's own noise, which is a normal posterior with the prior
    scales of the settings. As rows overlap, they count as so many as are independent. The
    intervals are weighted quantiles of what the line missed in the rows (as in locally scaled
    conformal prediction, Lei et al. 2018), widened by Student's t and, in quadrature, by the
    uncertainty of the line.

    Args:
        rows: The past.
        asked: The question.
        settings: How.
        widen: Factors on the widths of the 50 % and the 90 % interval.
    """
    design = np.column_stack([np.ones(len(rows.change)), rows.seen, rows.set_to])
    point = np.concatenate([[1.0], asked.seen, asked.set_to])
    held = 1 + rows.seen.shape[1]
    scale = _sizes(design, point)
    design, point = design / scale, point / scale
    prior = np.full(point.size, settings.seen_scale)
    prior[held:] = settings.effect_scale
    # In units of the noise of each row.
    weight = rows.weight / rows.weight.sum() * rows.independent
    known = np.sqrt(weight) / rows.spread
    sigma = _sigma(rows)
    coefficients, inner = np.zeros(point.size), np.eye(point.size)
    for _ in range(2):  # the noise is first taken from the rows, then from what was missed
        precision = (design * known[:, None]).T @ (design * known[:, None]) / sigma**2
        penalty = 1.0 / (prior * sigma) ** 2
        penalty[0] = 1e-6 / sigma**2
        inner = np.linalg.inv(precision + np.diag(penalty))
        coefficients = inner @ (design.T @ (known**2 * rows.change)) / sigma**2
        missed = np.abs(rows.change - design @ coefficients) / rows.spread
        sigma = max(float(np.sqrt(np.sum(rows.weight * missed**2) / rows.weight.sum())), 1e-12)
    freedom = max(rows.independent - 1.0, 2.0)
    effect_point = np.where(np.arange(point.size) >= held, point, 0.0)
    line_error = float(np.sqrt(point @ inner @ point))
    reach = [
        factor * float(np.hypot(
            asked.spread * _quantile(missed, rows.weight, level)
            * stdtrit(freedom, 0.5 + level / 2) / stdtrit(np.inf, 0.5 + level / 2),
            line_error * stdtrit(freedom, 0.5 + level / 2),
        ))
        for level, factor in zip((0.5, 0.9), widen, strict=True)
    ]  # fmt: skip
    return Forecast(
        change=float(point @ coefficients),
        reach_50=reach[0],
        reach_90=max(reach),
        effect=float(effect_point @ coefficients),
        effect_error=float(np.sqrt(effect_point @ inner @ effect_point)),
        freedom=freedom,
    )


def _sizes(design: Floats, point: Floats) -> Floats:
    """Return the size that each column has where it is not zero; 1 where it always is."""
    every = np.concatenate([design, point[None, :]])
    there = np.abs(every) > 1e-12  # noqa: PLR2004  # not zero
    squares = np.sum(every**2, axis=0) / np.maximum(there.sum(axis=0), 1)
    return np.where(squares > 0, np.sqrt(squares), 1.0)


def _sigma(rows: Rows) -> float:
    mean = np.average(rows.change, weights=rows.weight)
    scaled = ((rows.change - mean) / rows.spread) ** 2
    return max(float(np.sqrt(np.average(scaled, weights=rows.weight))), 1e-12)


def _quantile(values: Floats, weight: Floats, level: float) -> float:
    """Return the weighted quantile of values."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order])
    place = int(np.searchsorted(reached, level * reached[-1]))
    return float(values[order[min(place, len(values) - 1)]])
