"""Did an applied plan do harm? Its cells before and after, beside cells left alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from cellhive.core.schema import QUANTITIES
from cellhive.core.types import KpiFrame, Network, Plan
from cellhive.ran import kpi

Kpis = dict[str, float]

OBJECTIVE = "objective"
"""Name under which the weighted score stands among KPIs."""

FEWEST_CONTROLS = 3
"""Smallest group of cells that may serve as a comparison."""

FEWEST_FOR_NOISE = 3
"""Fewest periods from which a scatter is estimated."""


@dataclass(frozen=True)
class Scoring:
    """How frames become KPIs and KPIs become one score."""

    cells: Callable[[KpiFrame, Sequence[int]], Kpis] = kpi.cells_kpis
    """KPIs over some cells of a frame, recomputed from counters."""
    objective: Callable[[Kpis, int], float] = kpi.objective
    """Weighted score of the KPIs of so many cells, higher is better."""

    def over(self, frame: KpiFrame, cells: Collection[int]) -> Kpis:
        """Return the KPIs over some cells together with their objective."""
        kpis = dict(self.cells(frame, sorted(cells)))
        kpis[OBJECTIVE] = float(self.objective(kpis, len(cells)))
        return kpis

    def network_objective(self, frame: KpiFrame) -> float:
        """Return the objective of the whole network."""
        return self.over(frame, range(frame.values.shape[0]))[OBJECTIVE]


@dataclass(frozen=True)
class WatchRules:
    """How long a plan is watched and what counts as harm.

    Harm is a change of the affected cells, less the change of the cells left
    alone in the same time, that is worse than a margin plus a multiple of the
    scatter seen before the plan.
    """

    periods: int = 2
    """Periods watched before a verdict."""
    before: int = 4
    """Periods before the plan that they are compared with, where there are so many."""
    patience: int = 2
    """Further periods to wait where the watched ones hold no data."""
    noise_factor: float = 2.0
    """Multiple of the standard error that a change must exceed besides the margin."""
    margin: float = 0.5
    """Loss of the objective that is never called harm [points]."""
    red_lines: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType(
            {
                "handover_failure_ratio": 0.02,
                "rlf_per_ue_min": 0.05,
                "demand_satisfied_ratio": 0.03,
            }
        )
    )
    """KPIs that are harm on their own, with the worsening that is never called harm."""


@dataclass(frozen=True)
class Finding:
    """What the watch over a plan has seen."""

    harmful: bool
    decidable: bool
    """False where the watched cells gave no data."""
    reason: str
    before: Kpis
    after: Kpis


@dataclass(frozen=True)
class Area:
    """The cells a plan reaches, by index."""

    changed: frozenset[int]
    """Cells of its changes, relation targets included."""
    watched: frozenset[int]
    """The changed cells and their neighbours, to or from."""


def area_of(plan: Plan, network: Network) -> Area:
    """Return the cells that a plan changes and the neighbours it may be felt in."""
    index = network.cell_index
    named = {change.cell for change in plan.changes}
    named |= {change.target for change in plan.changes if change.target is not None}
    changed = frozenset(index[cell] for cell in named if cell in index)
    source, target = network.relation_source, network.relation_target
    members = np.fromiter(changed, np.int32, len(changed))
    to = target[np.isin(source, members)].tolist()
    back = source[np.isin(target, members)].tolist()
    return Area(changed, changed.union(to, back))


def control_cells(area: Area, others: Collection[Area], usable: Collection[int]) -> frozenset[int]:
    """Return cells to compare an area with; empty where too few are left alone.

    Cells outside every watched area come first. Where those are too few, cells that
    no plan under watch changes will do, although they may feel some of it.
    """
    areas = [area, *others]
    free = frozenset(usable).difference(*(each.watched for each in areas))
    if len(free) >= FEWEST_CONTROLS:
        return free
    unchanged = frozenset(usable).difference(*(each.changed for each in areas))
    return unchanged if len(unchanged) >= FEWEST_CONTROLS else frozenset()


def mean_kpis(rows: Sequence[Kpis]) -> Kpis:
    """Return the mean of each KPI over periods, leaving out what is not known."""
    names = dict.fromkeys(name for row in rows for name in row)
    means = {}
    for name in names:
        known = [row[name] for row in rows if np.isfinite(row.get(name, np.nan))]
        means[name] = float(np.mean(known)) if known else float("nan")
    return means


@dataclass(frozen=True)
class Comparison:
    """KPIs of watched and of control cells, per period, before and after a plan."""

    before: Sequence[Kpis]
    after: Sequence[Kpis]
    control_before: Sequence[Kpis] = ()
    """Empty where there are no control cells."""
    control_after: Sequence[Kpis] = ()

    def change(self, name: str) -> tuple[float, float]:
        """Return the change of a KPI less that of the control cells, and its standard error.

        The error is estimated from the differences between successive periods
        before the plan, which a slow daily curve hardly touches; it is zero where
        there were too few of them.
        """
        before = self._gap(name, self.before, self.control_before)
        after = self._gap(name, self.after, self.control_after)
        if not before or not after:
            return float("nan"), 0.0
        change = float(np.mean(after) - np.mean(before))
        if len(before) < FEWEST_FOR_NOISE:
            return change, 0.0
        steps = [later - earlier for earlier, later in pairwise(before)]
        variance = float(np.mean(np.square(steps))) / 2
        return change, float(np.sqrt(variance * (1 / len(before) + 1 / len(after))))

    @staticmethod
    def _gap(name: str, rows: Sequence[Kpis], control: Sequence[Kpis]) -> list[float]:
        values = [row.get(name, float("nan")) for row in rows]
        if control:
            beside = [row.get(name, float("nan")) for row in control]
            gaps = [value - other for value, other in zip(values, beside, strict=True)]
            if np.isfinite(gaps).any():
                values = gaps
        return [value for value in values if np.isfinite(value)]


def judge(comparison: Comparison, rules: WatchRules) -> Finding:
    """Return whether a plan did harm, with the reason in words and figures."""
    before, after = mean_kpis(comparison.before), mean_kpis(comparison.after)
    change, error = comparison.change(OBJECTIVE)
    if not np.isfinite(change):
        reason = "the watched cells gave no data to judge by"
        return Finding(False, False, reason, before, after)
    beside = "against cells left alone" if comparison.control_before else "no cells to compare with"
    figures = f"objective {change:+.3g} ± {rules.noise_factor * error:.2g} ({beside})"
    if change < -(rules.margin + rules.noise_factor * error):
        return Finding(True, True, f"harm: {figures}", before, after)
    for name, margin in rules.red_lines.items():
        moved, scatter = comparison.change(name)
        worse = moved if QUANTITIES[name].better == "lower" else -moved
        if worse > margin + rules.noise_factor * scatter:
            label = QUANTITIES[name].label or name
            reason = f"harm: {label} {moved:+.3g} ± {rules.noise_factor * scatter:.2g} ({beside})"
            return Finding(True, True, reason, before, after)
    return Finding(False, True, f"no harm: {figures}", before, after)
