"""Coverage and capacity: antenna tilt by trial, one cell of a neighbourhood at a time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from cellhive.core.types import Change, Floats, Outcome
from cellhive.ran.parameters import TOLERANCE, snap
from cellhive.ran.son.view import Lessons, Proposal, View


@dataclass(frozen=True)
class CoverageSettings:
    """Thresholds of coverage and capacity optimisation: design choices.

    The form of the rule is the usual baseline for learned tilt control: up where too
    many users have weak coverage, down where there is coverage to spare and too many are
    interfered with, or where the cell is full, one degree at a time.
    """

    weak_ratio: float = 0.10
    """Share of a cell's UE time with weak coverage from which its tilt goes up."""
    spare_ratio: float = 0.02
    """The same share, up to which a cell has coverage to spare."""
    interfered_ratio: float = 0.10
    """Share of UE time around a cell with interference from which its tilt goes down."""
    overload: float = 0.80
    """PRB utilisation of any cell around from which interference is left to load balancing."""
    full_ratio: float = 0.9
    """PRB utilisation from which a cell is full: its tilt goes down, and never up."""
    lighter_ratio: float = 0.05
    """How much lighter the cells around must be loaded for a full cell to yield users."""
    step_deg: float = 1.0
    """Step of the tilt [deg]."""
    outlier_deg: float = 3.0
    """Distance from the median tilt of the cells around at which a tilt stands out [deg]."""
    outlier_step_deg: float = 2.0
    """Step of a tilt that stands out [deg]."""
    deviation_deg: float = 6.0
    """Largest distance of a tilt from its base [deg]."""
    around: int = 6
    """Neighbours of a cell that count as the cells around it."""
    periods: int = 2
    """Periods before and after a step that are compared."""
    symptom_periods: int = 4
    """Periods over which symptoms are averaged; fewer make the rule restless."""
    harm: float = 1.5
    """Rise of the cost around a cell, beyond that elsewhere, at which a step is taken back."""
    cells: int = 8
    """Most cells that are tried at the same time."""
    lesson_s: float = 14400.0
    """How long a direction that did harm is not tried again [s]."""


class _Symptom(NamedTuple):
    """Why the tilt of a cell should change, and how much that matters."""

    weight: float
    step_deg: float
    reason: str


@dataclass(frozen=True)
class _Trial:
    """A step that was proposed."""

    cell: int
    before_deg: float
    after_deg: float
    area: tuple[int, ...]
    """The cell and those around it when it was proposed."""
    costs: tuple[float, ...] = ()
    """Cost of the area less that of all other cells, in each period before the step."""
    later: tuple[float, ...] = ()
    """The same in each period since."""


@dataclass
class Coverage:
    """Coverage and capacity optimisation by tilt, as a coordinate search with a memory.

    A tilt that stands out from those around it is moved towards theirs. Otherwise weak
    coverage asks for less downtilt; interference asks for more where there is coverage to
    spare and nothing is crowded, and so does a load above that around the cell, which
    hands border users over. Of cells around one another only the one with the worst
    symptoms is tried; its step is judged by the cost around it (``cost_of``) beside that
    of all other cells. A step that did harm is taken back, and its direction not tried
    again for a while.
    """

    settings: CoverageSettings = field(default_factory=CoverageSettings)
    name: str = "CCO"
    _trials: dict[int, _Trial] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Start without lessons."""
        self._lessons = Lessons(self.settings.lesson_s, {})

    def learn(self, outcome: Outcome) -> None:
        """Do not repeat for a while what was rolled back."""
        self._lessons.learn(outcome)

    def propose(self, view: View) -> Proposal:
        """Take in the last period and return tilts to change."""
        areas = around(view, self.settings.around)
        changes = self._judge(view)
        free = self._untouched(areas, {change.cell for change in changes}, view)
        symptoms = [
            (symptom, cell) for cell in free if (symptom := self._symptom(view, cell, areas))
        ]
        symptoms.sort(key=lambda item: (-item[0].weight, item[1]))
        for symptom, cell in symptoms:
            change = self._step(view, cell, symptom)
            near = any(cell in trial.area or trial.cell in areas[cell]
                       for trial in self._trials.values())  # fmt: skip
            if near or change is None or len(self._trials) >= self.settings.cells:
                continue
            self._trials[cell] = _Trial(
                cell, change.before, change.after, areas[cell], self._history(view, areas[cell])
            )
            changes.append(change)
        return Proposal(tuple(changes))

    def _judge(self, view: View) -> list[Change]:
        """Take the last period into every trial; return the steps that are to be taken back."""
        changes: list[Change] = []
        for cell, trial in list(self._trials.items()):
            name = view.network.cell_ids[cell]
            tilt_deg = float(view.parameters.electrical_tilt_deg[cell])
            if abs(tilt_deg - trial.after_deg) > TOLERANCE:
                del self._trials[cell]
                continue
            later = (*trial.later, relative_cost(view, trial.area, -1))
            self._trials[cell] = replace(trial, later=later)
            if len(later) < self.settings.periods:
                continue
            del self._trials[cell]
            rise = _mean(later) - _mean(trial.costs)
            if rise > self.settings.harm:
                reason = (
                    f"Cost around {name} went up by {rise:.1f} points beyond that elsewhere "
                    f"after its tilt went from {trial.before_deg:g} to {trial.after_deg:g} deg."
                )
                address = (name, "electrical_tilt_deg", None)
                step = view.change(address, trial.before_deg, reason)
                self._lessons.note(step.reverted(""), view.now_s)
                changes.append(step)
        return changes

    def _untouched(self, areas: list[tuple[int, ...]], busy: set[str], view: View) -> list[int]:
        """Return the cells that may be tried: awake, known, and away from steps taken back."""
        names, load = view.network.cell_ids, view.latest("prb_utilisation_ratio")
        blocked = {cell for cell in range(len(areas)) if names[cell] in busy}
        return [
            cell
            for cell in range(len(areas))
            if not view.parameters.asleep[cell]
            and not view.network.protected[cell]
            and np.isfinite(load[cell])
            and not blocked & set(areas[cell])
        ]

    def _symptom(self, view: View, cell: int, areas: list[tuple[int, ...]]) -> _Symptom | None:
        """Return what is wrong with the tilt of a cell, or None."""
        s, area = self.settings, areas[cell]
        tilt_deg = view.parameters.electrical_tilt_deg
        usual_deg = float(np.median(tilt_deg[list(area[1:])])) if len(area) > 1 else tilt_deg[cell]
        apart_deg = float(tilt_deg[cell] - usual_deg)
        weak, own = self._shares(view, (cell,))
        around_weak, interfered = self._shares(view, area)
        # A tilt that was moved away from the others for a reason is not to be moved back.
        always = abs(view.base.electrical_tilt_deg[cell] - usual_deg) >= s.outlier_deg
        if always and abs(apart_deg) >= s.outlier_deg:
            reason = (
                f"Tilt {tilt_deg[cell]:g} deg stands out from {usual_deg:g} deg of the cells "
                f"around, where {around_weak:.1%} of UE time is weakly covered and "
                f"{interfered:.1%} interfered with."
            )
            step_deg = -np.sign(apart_deg) * min(s.outlier_step_deg, abs(apart_deg))
            return _Symptom(10.0 + abs(apart_deg), float(step_deg), reason)
        load = view.latest("prb_utilisation_ratio")
        full = load[cell] >= s.full_ratio
        lighter = load[cell] - np.nanmean(load[list(area)])
        if full and lighter >= s.lighter_ratio and max(weak, around_weak) <= s.spare_ratio:
            reason = (
                f"The cell is {load[cell]:.0%} full, {lighter:.0%} more than its area, and "
                f"{weak:.1%} of its UE time is weakly covered: it can be smaller."
            )
            return _Symptom(5.0 + float(load[cell]), s.step_deg, reason)
        if weak >= s.weak_ratio and weak > own and not full:
            reason = (
                f"{weak:.1%} of UE time in the cell is weakly covered, {own:.1%} interfered with."
            )
            return _Symptom(weak / s.weak_ratio, -s.step_deg, reason)
        crowded = np.nanmax(load[list(area)]) >= s.overload
        if weak <= s.spare_ratio and interfered >= s.interfered_ratio and not crowded:
            reason = (
                f"{interfered:.1%} of UE time around the cell is interfered with, and the cell "
                f"has coverage to spare ({weak:.1%} weak)."
            )
            return _Symptom(interfered / s.interfered_ratio, s.step_deg, reason)
        return None

    def _shares(self, view: View, cells: tuple[int, ...]) -> tuple[float, float]:
        """Return the shares of UE time with weak coverage and with interference, lately."""
        sums = np.zeros(3)
        for back in range(1, min(self.settings.symptom_periods, len(view.frames)) + 1):
            sums += _times(view, cells, -back)
        return float(sums[1] / max(sums[0], 1e-9)), float(sums[2] / max(sums[0], 1e-9))

    def _step(self, view: View, cell: int, symptom: _Symptom) -> Change | None:
        """Return the step that a symptom asks for, or None where there is no room or hope."""
        address = (view.network.cell_ids[cell], "electrical_tilt_deg", None)
        tilt_deg = float(view.parameters.electrical_tilt_deg[cell])
        after = snap("electrical_tilt_deg", tilt_deg + symptom.step_deg)
        change = view.change(address, after, symptom.reason)
        base_deg = float(view.base.electrical_tilt_deg[cell])
        far = abs(after - base_deg) > self.settings.deviation_deg + TOLERANCE
        still = abs(after - tilt_deg) <= TOLERANCE
        return None if far or still or self._lessons.forbid(change, view.now_s) else change

    def _history(self, view: View, area: tuple[int, ...]) -> tuple[float, ...]:
        """Return the cost of an area beside that elsewhere in the periods before a step."""
        periods = min(self.settings.periods, len(view.frames))
        return tuple(relative_cost(view, area, -back) for back in range(periods, 0, -1))


def around(view: View, most: int) -> list[tuple[int, ...]]:
    """Return each cell with its closest neighbours, the closest first.

    Closest are those with most users near both: border users and handovers of both
    directions, over all periods at hand.
    """
    network = view.network
    ties: Floats = np.zeros(network.relations)
    for frame in view.frames:
        for name in ("x.BorderUe.nCI", "MM.HoExeInterSucc.nCI"):
            if name in frame.relation_columns:
                ties += np.nan_to_num(frame.relation_column(name).astype(np.float64))
    areas = []
    for cell in range(network.cells):
        own = np.flatnonzero(network.relation_source == cell)
        weight = {int(network.relation_target[r]): float(ties[r]) for r in own}
        for other in weight:
            back = network.relation_index.get((other, cell))
            weight[other] += 0.0 if back is None else float(ties[back])
        closest = sorted(weight, key=lambda other, w=weight: (-w[other], other))  # type: ignore[misc]
        areas.append((cell, *closest[:most]))
    return areas


def _mean(costs: tuple[float, ...]) -> float:
    """Return the mean of the costs that are known, NaN where none is."""
    known = [cost for cost in costs if np.isfinite(cost)]
    return float(np.mean(known)) if known else float("nan")


def _times(view: View, cells: tuple[int, ...], period: int) -> Floats:
    """Return mean users, weakly covered and interfered ones, over some cells in a period, (3,)."""
    return np.asarray(view.users_by_coverage(period).take(cells, axis=1).sum(axis=1))


def cost_of(view: View, cells: tuple[int, ...], period: int) -> float:
    """Return the cost of some cells in a period [points], lower is better, NaN if unknown.

    Percent of UE time with weak coverage, half of that with interference, and percent of
    the demand that was not served.
    """
    members = list(cells)
    users, weak, interfered = _times(view, cells, period)
    offered = np.nan_to_num(view.column("x.OfferedVolumeDl", period)[members]).sum()
    served = np.nan_to_num(view.column("DRB.PdcpSduVolumeDL", period)[members]).sum()
    if users <= 0 or offered <= 0:
        return float("nan")
    return float(100 * (weak + 0.5 * interfered) / users + 100 * (1 - served / offered))


def relative_cost(view: View, area: tuple[int, ...], period: int) -> float:
    """Return the cost of an area less that of all other cells, so that rush hours cancel."""
    others = tuple(sorted(set(range(view.network.cells)) - set(area)))
    elsewhere = cost_of(view, others, period) if others else 0.0
    return cost_of(view, area, period) - (elsewhere if np.isfinite(elsewhere) else 0.0)
