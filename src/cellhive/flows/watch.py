"""Did an applied plan do harm? Its cells before and after, beside cells left alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from scipy.special import stdtrit

from cellhive.core.schema import QUANTITIES
from cellhive.core.types import Effect, KpiFrame, Network, Plan
from cellhive.ran import kpi

Kpis = dict[str, float]

OBJECTIVE = "objective"
"""Name under which the weighted score stands among KPIs."""

FEWEST_CONTROLS = 3
"""Smallest group of cells that may serve as a comparison."""

FEWEST_FOR_NOISE = 3
"""Fewest values from which a scatter is estimated."""

_NINETY = 0.95
"""One-sided confidence of a 90 % interval."""

MEASURED = (
    "demand_satisfied_ratio",
    "handover_failure_ratio",
    "rlf_per_ue_min",
    "weak_coverage_ratio",
    "ue_throughput_mbps",
    "prb_utilisation_ratio",
)
"""KPIs of which the watch reports the change."""

PLACEBO_GROUPS = 6
"""Groups into which control cells are dealt to see what chance does."""


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

    Harm is a change of the watched cells, less the change of cells left alone in the
    same time, that is worse than a margin plus what chance may do.
    """

    periods: int = 2
    """Periods watched before a verdict."""
    before: int = 4
    """Periods before the plan that they are compared with, where there are so many."""
    patience: int = 2
    """Further periods to wait where the watched ones hold no data."""
    neighbours: int = 6
    """Neighbours of each changed cell that are watched with it, in the order of its relations."""
    confidence: float = 0.95
    """One-sided confidence with which a loss must exceed the margin to be called harm."""
    margin: float = 0.5
    """Loss of the objective that is never called harm [points]."""
    blind_margin: float = 5.0
    """The same where the scatter cannot be estimated."""
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
    measured: tuple[Effect, ...] = ()
    """Changes of the ``MEASURED`` KPIs, with what chance may do (90 %); unknown ones left out."""


@dataclass(frozen=True)
class Area:
    """The cells a plan reaches, by index."""

    changed: frozenset[int]
    """Cells of its changes, relation targets included."""
    watched: frozenset[int]
    """The changed cells and their neighbours, to or from."""


def area_of(plan: Plan, network: Network, neighbours: int) -> Area:
    """Return the cells that a plan changes and the neighbours it may be felt in.

    Of each changed cell the targets of its first relations are taken; the twin lists
    the most important first.
    """
    index = network.cell_index
    named = {change.cell for change in plan.changes}
    named |= {change.target for change in plan.changes if change.target is not None}
    changed = frozenset(index[cell] for cell in named if cell in index)
    near = (network.neighbours_of(cell)[:neighbours] for cell in changed)
    return Area(changed, changed.union(*near))


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


Rows = Sequence[Kpis]
"""KPIs of a group of cells, one row per period."""


@dataclass(frozen=True)
class Comparison:
    """KPIs of watched cells and of cells left alone, before and after a plan."""

    before: Rows
    after: Rows
    control_before: Rows = ()
    """Empty where there are no control cells."""
    control_after: Rows = ()
    placebos: Sequence[tuple[Rows, Rows]] = ()
    """The control cells in small groups, before and after: to them nothing was done."""
    placebo_share: float = 1.0
    """Size of such a group relative to the watched cells."""

    def change(self, name: str) -> float:
        """Return the change of a KPI, less that of the control cells; NaN if not known."""
        before = _known(_gap(name, self.before, self.control_before))
        after = _known(_gap(name, self.after, self.control_after))
        if not before or not after:
            return float("nan")
        return float(np.mean(after) - np.mean(before))

    def chance(self, name: str, confidence: float) -> float:
        """Return how far from zero chance alone may take the change; NaN if not known.

        The larger of two estimates: from the steps between successive periods before
        the plan, and from the changes of small groups of control cells, scaled by the
        square root of their size. Both with Student's t for the few values there are.
        """
        before = _known(_gap(name, self.before, self.control_before))
        limits = []
        if len(before) >= FEWEST_FOR_NOISE:
            steps = np.diff(before)
            error = np.sqrt(np.mean(steps**2) / 2 * (1 / len(before) + 1 / len(self.after)))
            limits.append(error * stdtrit(steps.size, confidence))
        changes = _known(
            [
                Comparison(*placebo, self.control_before, self.control_after).change(name)
                for placebo in self.placebos
            ]
        )
        if len(changes) >= FEWEST_FOR_NOISE:
            error = np.sqrt(np.mean(np.square(changes)) * self.placebo_share)
            limits.append(error * stdtrit(len(changes), confidence))
        return float(max(limits, default=np.nan))


def _gap(name: str, rows: Rows, control: Rows) -> list[float]:
    """Return a KPI less that of control cells, per period."""
    values = [row.get(name, float("nan")) for row in rows]
    if not control:
        return values
    beside = [row.get(name, float("nan")) for row in control]
    return [value - other for value, other in zip(values, beside, strict=True)]


def _known(values: Sequence[float]) -> list[float]:
    return [value for value in values if np.isfinite(value)]


def placebo_groups(control: Collection[int]) -> list[frozenset[int]]:
    """Return control cells dealt out into groups; none where there are too few cells."""
    cells = sorted(control)
    groups = min(PLACEBO_GROUPS, len(cells) // 2)
    if groups < FEWEST_FOR_NOISE:
        return []
    return [frozenset(cells[first::groups]) for first in range(groups)]


def judge(comparison: Comparison, rules: WatchRules) -> Finding:
    """Return whether a plan did harm, with the reason in words and figures."""
    before, after = mean_kpis(comparison.before), mean_kpis(comparison.after)
    change = comparison.change(OBJECTIVE)
    if not np.isfinite(change):
        reason = "the watched cells gave no data to judge by"
        return Finding(False, False, reason, before, after)
    beside = "against cells left alone" if comparison.control_before else "no cells to compare with"
    chance = comparison.chance(OBJECTIVE, rules.confidence)
    margin = rules.margin + chance if np.isfinite(chance) else rules.blind_margin
    measured = _measured(comparison)
    figures = f"objective {change:+.2f}, chance ±{chance:.2f} ({beside})"
    if change < -margin:
        return Finding(True, True, f"harm: {figures}", before, after, measured)
    for name, least in rules.red_lines.items():
        moved, scatter = comparison.change(name), comparison.chance(name, rules.confidence)
        worse = moved if QUANTITIES[name].better == "lower" else -moved
        if worse > least + scatter:
            label = QUANTITIES[name].label or name
            reason = f"harm: {label} {moved:+.3g}, chance ±{scatter:.2g} ({beside})"
            return Finding(True, True, reason, before, after, measured)
    return Finding(False, True, f"no harm: {figures}", before, after, measured)


def _measured(comparison: Comparison) -> tuple[Effect, ...]:
    """Return the changes of the KPIs that the watch reports."""
    found = []
    for name in MEASURED:
        change, chance = comparison.change(name), comparison.chance(name, _NINETY)
        if np.isfinite(change):
            found.append(Effect(name, change, change - chance, change + chance))
    return tuple(found)
