"""All periods of a run so far, as sums over any group of cells.

KPIs of a group are recomputed from its summed counters, as the watch does it; what was set is
the mean over the group. Both are had for many groups at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cellhive.core import schema
from cellhive.core.types import Bools, Floats, KpiFrame, Network, Parameters, Plan
from cellhive.flows.watch import MEASURED
from cellhive.ran import kpi

COUNTERS = (
    "RRU.PrbUsedDl", "RRU.PrbAvailDl", "x.ElasticVolume", "x.ElasticTime",
    "DRB.PdcpSduVolumeDL", "x.OfferedVolumeDl", "MM.HoExeInterSucc", "MM.HoExeInterFail",
    "HO.IntraSys.TooLate", "x.RadioLinkFailure", "x.ConnectedTime", "x.WeakTime",
    "x.MeasuredTime",
)  # fmt: skip
"""Counters behind the KPIs that the watch reports."""

FUNCTIONS = ("MRO", "MLB", "ES", "CCO")
"""Functions whose changes are counted apart; all others together."""

LEVERS = (
    "electrical_tilt_deg", "tx_power_dbm", "a3_db", "time_to_trigger", "asleep",
    "cio_out_db", "cio_in_db", *FUNCTIONS, "others",
)  # fmt: skip
"""What is set in a cell: its parameters, offsets from it and to it, changes by function.

What a function changes is meant to help wherever it does so, in whatever direction: how many of
its changes are in force tells more than their sum."""

_FUNCTION = LEVERS.index(FUNCTIONS[0])


def settings_of(network: Network, parameters: Parameters) -> Floats:
    """Return what is set in each cell, without the changes by function, (C, L)."""
    out_db, in_db = np.zeros(network.cells), np.zeros(network.cells)
    np.add.at(out_db, network.relation_source, parameters.cio_db)
    np.add.at(in_db, network.relation_target, parameters.cio_db)
    settings = np.zeros((network.cells, len(LEVERS)))
    settings[:, :_FUNCTION] = np.stack(
        [
            parameters.electrical_tilt_deg,
            parameters.tx_power_dbm,
            parameters.a3_offset_db + parameters.hysteresis_db,
            np.log2(np.maximum(parameters.time_to_trigger_s, 0.02)),
            parameters.asleep.astype(float),
            out_db,
            in_db,
        ],
        axis=1,
    )
    return settings


def changes_of(plan: Plan, network: Network, function: str = "") -> Floats:
    """Return the changes of a plan counted by cell and function, (C, L).

    A change of a relation counts in both its cells.

    Args:
        plan: The plan.
        network: The network.
        function: Whose they count as; empty means the plan's own.
    """
    name = function or plan.function
    column = LEVERS.index(name) if name in FUNCTIONS else len(LEVERS) - 1
    counted = np.zeros((network.cells, len(LEVERS)))
    for change in plan.changes:
        for cell in (change.cell, change.target):
            if cell in network.cell_index:
                counted[network.cell_index[cell], column] += 1.0
    return counted


@dataclass
class History:
    """What was counted and set in every cell, period by period."""

    network: Network
    _counters: list[Floats] = field(default_factory=list)
    _settings: list[Floats] = field(default_factory=list)
    observed_s: list[float] = field(default_factory=list)

    @property
    def periods(self) -> int:
        """Periods so far."""
        return len(self._counters)

    def take(self, frame: KpiFrame, settings: Floats) -> None:
        """Take in a period and what was set in it, (C, L)."""
        column_of = {name: index for index, name in enumerate(frame.columns)}
        counted = np.zeros((frame.values.shape[0], len(COUNTERS)))
        for place, name in enumerate(COUNTERS):
            index = column_of.get(name)
            if index is None:
                counted[:, place] = np.nan  # a sum with it is not known
            else:
                counted[:, place] = np.where(frame.valid[:, index], frame.values[:, index], 0.0)
        self._counters.append(counted)
        self._settings.append(settings)
        self.observed_s.append(frame.observed_s)

    def kpis(self, groups: Bools) -> dict[str, Floats]:
        """Return the KPIs of groups of cells in every period, each (T, G).

        Args:
            groups: Members of each group, (G, C).
        """
        sums = groups.astype(float) @ np.stack(self._counters)
        nothing = np.zeros(sums.shape[:2])
        counters = dict.fromkeys(_ALL, nothing)
        counters |= {name: sums[..., place] for place, name in enumerate(COUNTERS)}
        found = kpi.kpis_from_counters(counters, 1.0)
        return {name: found[name] for name in MEASURED}

    def settings(self, groups: Bools) -> Floats:
        """Return the mean of what was set in groups of cells, (T, G, L)."""
        size = np.maximum(groups.sum(axis=1), 1)
        means: Floats = groups.astype(float) @ np.stack(self._settings) / size[:, None]
        return means


_ALL = (*(q.name for q in schema.COUNTERS), *kpi.MEASURED_COLUMNS, *kpi.HISTOGRAM_COLUMNS)


def before_after(values: Floats, before: int, after: int) -> tuple[Floats, Floats]:
    """Return the means of what is known before and after every moment.

    Moment ``t`` lies between periods ``t`` and ``t + 1``: before it are periods up to ``t``, as
    many as there are but at most ``before``; after it the next ``after``.

    Args:
        values: (T, ...); NaN is not known.
        before: Most periods before.
        after: Periods after; where fewer are seen, the mean is NaN.
    """
    known = np.isfinite(values)
    sums = _from_zero(np.where(known, values, 0.0))
    counts = _from_zero(known.astype(float))
    periods = len(values)
    end = np.arange(1, periods + 1)
    start = np.maximum(end - before, 0)
    earlier = _ratio(sums[end] - sums[start], counts[end] - counts[start])
    last = np.minimum(end + after, periods)
    later = _ratio(sums[last] - sums[end], counts[last] - counts[end])
    later[end + after > periods] = np.nan
    return earlier, later


def _from_zero(values: Floats) -> Floats:
    return np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])


def _ratio(part: Floats, whole: Floats) -> Floats:
    ratio: Floats = np.full(part.shape, np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0.5)  # noqa: PLR2004  # a count
    return ratio


def groups_of(areas: Sequence[frozenset[int]], cells: int) -> Bools:
    """Return groups of cells as members, (G, C)."""
    members = np.zeros((len(areas), cells), bool)
    for place, area in enumerate(areas):
        members[place, sorted(area)] = True
    return members
