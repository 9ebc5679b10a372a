"""Which mechanism changed: how far each variable is from what its causes lead to expect.

A drop of throughput that load explains is no change of the mechanism of throughput: the
node to look at is the one whose own causes do not explain it. So each variable is compared
with its usual value *given its parents*, over the graphs and coefficients of a posterior.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cellhive.causal.effects import Mechanisms
from cellhive.core.errors import BadInput
from cellhive.core.types import Floats

_POOLED_PERIODS = 10.0
"""Periods that the spread over all cells is worth beside a cell's own."""
_MOST_RHO = 0.8


@dataclass(frozen=True)
class Departures:
    """What changed in a window, per cell and variable; C cells, V variables."""

    names: tuple[str, ...]
    marginal: Floats
    """Change against the cell's usual value, in the variable's unit, (C, V); NaN: not known."""
    unexplained: Floats
    """What the causes leave of it, in the variable's unit, (C, V)."""
    marginal_sigmas: Floats
    """Change in standard errors of a window, (C, V)."""
    sigmas: Floats
    """What the causes leave, in standard errors, (C, V); 0 where not known."""


@dataclass(frozen=True)
class Usual:
    """What a sound network does, and the mechanisms that it follows."""

    names: tuple[str, ...]
    """Of the variables; those that no mechanism speaks of have no causes and no effects."""
    mechanisms: Mechanisms
    mean: Floats
    """Usual value of each cell [unit of the variable], (C, V)."""
    spread: Floats
    """Standard deviation of a period from it, (C, V)."""
    rest: Floats
    """Standard deviation of what the causes leave, (C, V)."""
    stretch: Floats
    """By how much autocorrelation widens the error of a mean of changes and of rests, (2, V)."""
    periods: int
    """Periods behind it."""
    floor: Floats
    """Smallest change that means something [unit of the variable], (V,)."""


def usual_of(mechanisms: Mechanisms, names: Sequence[str], panel: Floats, floor: Floats) -> Usual:
    """Return what is usual in a network.

    Args:
        mechanisms: Drawn from a posterior without lags, over variables of the panel; those
            that never varied while all was sound can have none.
        names: Of the variables of the panel, length V.
        panel: Sound periods, (T, C, V); NaN where not known.
        floor: Smallest change of each variable that means something, (V,).
    """
    posterior = mechanisms.posterior
    if posterior.statistics.lags:
        raise BadInput(
            expected="mechanisms within a period", found=f"{posterior.statistics.lags} lags",
            remedy="discover without lags for windows of several periods",
        )  # fmt: skip
    if panel.ndim != 3 or panel.shape[2] != len(names):  # noqa: PLR2004
        raise BadInput(
            expected=f"periods, cells and {len(names)} variables", found=f"shape {panel.shape}"
        )
    absent = sorted(set(posterior.names) - set(names))
    if absent:
        raise BadInput(
            expected="a panel with all variables of the mechanisms",
            found=f"none of {', '.join(absent[:6])}",
        )
    mean = _known_mean(panel)
    change = np.nan_to_num(panel - mean)
    weights = direct_weights(mechanisms, names).mean(axis=0)
    rest = change - change @ weights
    stretch = np.stack([_stretch(change), _stretch(rest)])
    return Usual(
        tuple(names), mechanisms, mean, _spreads(change, floor), _spreads(rest, floor), stretch,
        len(panel), floor,
    )  # fmt: skip


def _known_mean(panel: Floats) -> Floats:
    """Return the mean over periods of what is known; NaN where nothing ever is."""
    known = np.isfinite(panel)
    count = known.sum(axis=0)
    total = np.where(known, panel, 0.0).sum(axis=0)
    mean: Floats = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean


def _spreads(change: Floats, floor: Floats) -> Floats:
    """Return each cell's standard deviation, drawn towards that of all, (C, V)."""
    periods = len(change)
    own = (change**2).sum(axis=0)
    freedom = max(periods - 1.0, 1.0)
    pooled = own.mean(axis=0) / freedom
    variance = (own + _POOLED_PERIODS * pooled) / (freedom + _POOLED_PERIODS)
    spread: Floats = np.sqrt(variance + floor**2)
    return spread


def _stretch(change: Floats) -> Floats:
    """Return the factor on a mean's error from autocorrelation, (V,)."""
    before, after = change[:-1], change[1:]
    power = np.maximum((before**2).sum(axis=(0, 1)), 1e-12)
    rho = np.clip((before * after).sum(axis=(0, 1)) / power, 0.0, _MOST_RHO)
    stretch: Floats = np.sqrt((1.0 + rho) / (1.0 - rho))
    return stretch


def direct_weights(mechanisms: Mechanisms, names: Sequence[str]) -> Floats:
    """Return the direct effects of every drawn model, [draw, cause, effect], in units.

    Args:
        mechanisms: Drawn models, without lags.
        names: Of the variables to return them for, those of the models among them.
    """
    posterior = mechanisms.posterior
    draws, size = posterior.chosen.shape
    weights = np.zeros((draws, size, size))
    for slot in range(posterior.candidates.shape[1]):
        real = np.flatnonzero(posterior.candidates[:, slot] >= 0)
        weights[:, posterior.candidates[real, slot], real] += mechanisms.coefficients[:, real, slot]
    scale = posterior.statistics.deviation[:size]
    weights *= scale[None, None, :] / scale[None, :, None]
    place = np.array([list(names).index(name) for name in posterior.names])
    full = np.zeros((draws, len(names), len(names)))
    full[:, place[:, None], place[None, :]] = weights
    return full


def departures(usual: Usual, window: Floats) -> Departures:
    """Return what changed in a window of periods, and what the causes leave of it.

    The error of the expectation holds the noise of the window, that of the usual mean, and
    how much the drawn models differ about it.

    Args:
        usual: Of the same network while sound.
        window: Periods of the incident, (W, C, V); NaN where not known.
    """
    mean = _known_mean(window)
    change = mean - usual.mean
    known = np.isfinite(change)
    filled = np.where(known, change, 0.0)
    draws = direct_weights(usual.mechanisms, usual.names)
    expected = filled @ draws  # [draw, cell, effect]
    unexplained = filled - expected.mean(axis=0)
    doubt = expected.var(axis=0)
    share = 1.0 / len(window) + 1.0 / usual.periods
    floor = usual.floor**2
    plain_error = np.sqrt((usual.spread * usual.stretch[0]) ** 2 * share + floor)
    error = np.sqrt((usual.rest * usual.stretch[1]) ** 2 * share + doubt + floor)
    return Departures(
        usual.names,
        np.where(known, change, np.nan),
        np.where(known, unexplained, np.nan),
        np.where(known, filled / plain_error, 0.0),
        np.where(known, unexplained / error, 0.0),
    )
