"""What the KPIs of each object, and of all together, amount to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cellhive.core.types import Floats
from cellhive.diagnose.cycles import Panel, quantiles

WORST = 5
"""Objects named as the worst of a KPI."""
FOR_TREND = 12
"""Values needed before a trend is stated."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One KPI of one object over the whole time."""

    object: str
    values: int
    """Periods with a value."""
    mean: float
    median: float
    p5: float
    p95: float
    last: float
    """The most recent value."""
    trend: float
    """Median of the last third minus median of the first third; NaN with few values."""


@dataclass(frozen=True)
class Summary:
    """One KPI of all objects."""

    kpi: str
    unit: str
    better: str
    objects: tuple[Figures, ...]
    """By name."""
    network: Figures
    """All values of all objects as one sample: a plain mean, not weighted by traffic."""
    worst: tuple[str, ...]
    """Objects with the worst median, worst first; empty where no direction is good, and where
    so many share the worst median that naming some of them would say nothing."""


def summary_of(panel: Panel, better: Mapping[str, str]) -> Summary:
    """Return the summary of a panel.

    Args:
        panel: The panel.
        better: "higher" or "lower" by KPI, where one is.
    """
    good = better.get(panel.kpi, "")
    rows = _figures(panel.values, panel.objects)
    every = np.sort(panel.values, axis=None)[None, :]
    network = _figures(every, ("all",))[0]
    middle = np.nanmedian(panel.values, axis=0) if _any_column_full(panel.values) else None
    trend = _trends(middle[None, :])[0] if middle is not None else math.nan
    network = Figures(
        "all", network.values, network.mean, network.median, network.p5, network.p95,
        math.nan, float(trend),
    )  # fmt: skip
    known = [one for one in rows if one.values]
    order = sorted(known, key=lambda one: (one.median, one.mean), reverse=good == "lower")
    alike = sum(one.median == order[0].median for one in order) if order else 0
    told = bool(good) and alike <= WORST
    told = told and (len(order) == 1 or order[0].median != order[-1].median)
    worst = tuple(one.object for one in order[:WORST]) if told else ()
    return Summary(panel.kpi, panel.unit, good, rows, network, worst)


def _any_column_full(values: Floats) -> bool:
    return bool(values.size) and bool(np.all(np.any(~np.isnan(values), axis=0)))


def _figures(values: Floats, names: Sequence[str]) -> tuple[Figures, ...]:
    p5, p95 = quantiles(values, (0.05, 0.95))
    median = medians(values)
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    total = np.where(known, values, 0.0).sum(axis=1)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    at = values.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)
    last = values[np.arange(len(names)), at]
    trend = _trends(values)
    return tuple(
        Figures(name, int(count[i]), float(mean[i]), float(median[i]), float(p5[i]),
                float(p95[i]), float(last[i]), float(trend[i]))
        for i, name in enumerate(names)
    )  # fmt: skip


def medians(values: Floats) -> Floats:
    """Return the median of each row without its NaN, (N,); of even counts the middle's mean."""
    ordered = np.sort(values, axis=1)
    last = np.maximum(np.sum(~np.isnan(values), axis=1) - 1, 0)
    rows = np.arange(values.shape[0])
    return np.asarray((ordered[rows, last // 2] + ordered[rows, (last + 1) // 2]) / 2)


def _trends(values: Floats) -> Floats:
    """Return last-third median minus first-third median of each row, (N,)."""
    third = values.shape[1] // 3
    if third == 0:
        return np.full(values.shape[0], np.nan)
    head, tail = values[:, :third], values[:, -third:]
    change = quantiles(tail, (0.5,))[0] - quantiles(head, (0.5,))[0]
    few = np.sum(~np.isnan(values), axis=1) < FOR_TREND
    return np.asarray(np.where(few, np.nan, change))
