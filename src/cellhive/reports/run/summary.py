"""What a run amounts to in numbers: KPIs pooled over time, and the run against "do nothing"."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from cellhive.core.types import Bools, Floats, KpiFrame
from cellhive.flows.trial import RunRecord
from cellhive.ran import kpi
from cellhive.reports.numbers import direction

OBJECTIVE = "objective"
"""Name of the weighted score among KPIs."""

BLOCKS = 12
"""Most blocks of neighbouring periods that an interval is estimated from."""

SLIGHT_SHARE, SLIGHT_DB = 0.01, 0.1
"""Changes below this share of the value, or this many decibels, are called slight."""

_MEANS = ("PEE.AvgPower",)
"""Counters that are pooled over time as a mean instead of a sum."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A KPI of the run beside that of "do nothing" over the same periods."""

    kpi: str
    run: float
    baseline: float
    low: float
    """Lower end of the 95 % interval of the change."""
    high: float
    """Upper end of the 95 % interval of the change."""

    @property
    def change(self) -> float:
        """The run less "do nothing"."""
        return self.run - self.baseline

    @property
    def clear(self) -> bool:
        """Whether the interval of the change excludes zero."""
        return math.isfinite(self.low) and (self.low > 0 or self.high < 0)

    @property
    def slight(self) -> bool:
        """Whether the change is too small to matter: 1 % of the value, or 0.1 dB."""
        if self.kpi.endswith(("_db", "_dbm")):
            return abs(self.change) < SLIGHT_DB
        return abs(self.change) < SLIGHT_SHARE * abs(self.baseline)

    @property
    def tone(self) -> str:
        """ "better", "worse" or "" where the change is not clear or has no direction."""
        return direction(self.kpi, self.change) if self.clear else ""


def _counters(frames: Sequence[KpiFrame], members: Bools) -> dict[str, Floats]:
    """Return the pooled counters of each period, each (T,)."""
    rows = [kpi.pooled_counters(frame, members) for frame in frames]
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def _kpis_over(counters: dict[str, Floats], observed_s: Floats, keep: Bools) -> dict[str, float]:
    pooled = {
        name: np.asarray(values[keep].mean() if name in _MEANS else values[keep].sum())
        for name, values in counters.items()
    }
    kpis = kpi.kpis_from_counters(pooled, float(observed_s[keep].sum()))
    found = {name: float(value) for name, value in kpis.items()}
    found["power_w"] = float(pooled["PEE.AvgPower"])
    return found


def compare(run: Sequence[KpiFrame], baseline: Sequence[KpiFrame]) -> dict[str, Compared]:
    """Return every network KPI of a run beside "do nothing", by name.

    KPIs are recomputed from counters summed over all periods. Intervals are those of a
    jackknife over blocks of neighbouring periods (Efron and Tibshirani 1993, ch. 11),
    which respects that neighbouring periods resemble each other; with fewer than three
    blocks they are NaN. They hold for this run: other users, other seeds are not in them.

    Args:
        run: Periods of the run; not empty.
        baseline: The same periods of "do nothing".
    """
    members = np.ones(run[0].values.shape[0], bool)
    sides = []
    for frames in (run, baseline):
        observed = np.array([frame.observed_s for frame in frames])
        sides.append((_counters(frames, members), observed))
    cells = int(members.sum())

    def both(keep: Bools) -> tuple[dict[str, float], dict[str, float]]:
        found = []
        for counters, observed in sides:
            kpis = _kpis_over(counters, observed, keep)
            kpis[OBJECTIVE] = kpi.objective(kpis, cells)
            found.append(kpis)
        return found[0], found[1]

    periods = len(run)
    with_run, without = both(np.ones(periods, bool))
    blocks = np.array_split(np.arange(periods), min(BLOCKS, periods // 2) or 1)
    partial: list[tuple[dict[str, float], dict[str, float]]] = []
    if len(blocks) > 2:  # noqa: PLR2004  # two blocks have no spread worth the name
        for block in blocks:
            keep = np.ones(periods, bool)
            keep[block] = False
            partial.append(both(keep))
    compared = {}
    for name in with_run:
        gaps = np.array([mine[name] - other[name] for mine, other in partial])
        half = _half_width(gaps)
        change = with_run[name] - without[name]
        compared[name] = Compared(name, with_run[name], without[name], change - half, change + half)
    return compared


def _half_width(partial: Floats) -> float:
    """Return half the 95 % interval from the estimates that leave one block out."""
    known = partial[np.isfinite(partial)]
    count = known.size
    if count < partial.size or count < 3:  # noqa: PLR2004  # see compare
        return math.nan
    variance = (count - 1) / count * float(np.sum((known - known.mean()) ** 2))
    return float(stdtrit(count - 1, 0.975)) * math.sqrt(variance)


def pooled_kpis(frames: Sequence[KpiFrame]) -> dict[str, float]:
    """Return every network KPI over several periods, with the score; empty without periods."""
    if not frames:
        return {}
    members = np.ones(frames[0].values.shape[0], bool)
    observed = np.array([frame.observed_s for frame in frames])
    kpis = _kpis_over(_counters(frames, members), observed, np.ones(len(frames), bool))
    kpis[OBJECTIVE] = kpi.objective(kpis, members.size)
    return kpis


def cell_kpis(frames: Sequence[KpiFrame]) -> dict[str, Floats]:
    """Return every KPI of each cell over several periods, from summed counters, each (C,)."""
    first = frames[0]
    column_of = {name: index for index, name in enumerate(first.columns)}
    values = np.stack([np.where(f.valid, f.values, 0.0) for f in frames]).astype(np.float64)
    total = values.sum(axis=0)
    sums = {name: total[:, index] for name, index in column_of.items()}
    for name in _MEANS:
        sums[name] = sums[name] / len(frames)
    observed = float(sum(frame.observed_s for frame in frames))
    kpis = kpi.kpis_from_counters(sums, observed)
    kpis["power_w"] = sums["PEE.AvgPower"]
    known = np.stack([frame.valid.any(axis=1) for frame in frames]).any(axis=0)
    return {name: np.where(known, value, np.nan) for name, value in kpis.items()}


def network_series(frames: Sequence[KpiFrame]) -> dict[str, Floats]:
    """Return every network KPI of each period, each (T,)."""
    rows = [kpi.network_kpis(frame) for frame in frames]
    names = rows[0] if rows else {}
    return {name: np.array([row[name] for row in rows]) for name in names}


@dataclass(frozen=True)
class Window:
    """The periods in which the run could differ from "do nothing"."""

    first: int
    """Index of the first period after the first applied plan."""
    run: tuple[KpiFrame, ...]
    baseline: tuple[KpiFrame, ...]
    """Empty where there was none."""
    after: bool = True
    """False where no period came after the first plan; the last one before it is shown then."""


def effective_window(record: RunRecord) -> Window:
    """Return the periods since the first applied plan; all periods where none was applied."""
    if not record.applied or not record.frames:
        return Window(0, record.frames, record.baseline)
    started = min(plan.time_s for plan in record.applied)
    later = [i for i, frame in enumerate(record.frames) if frame.time_s >= started - 1e-6]
    first = later[0] if later else len(record.frames) - 1
    return Window(first, record.frames[first:], record.baseline[first:], bool(later))
