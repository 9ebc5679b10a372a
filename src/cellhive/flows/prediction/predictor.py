"""Foretells what the watch over a plan will measure, from the periods of the run so far.

The comparison that the watch will make (its cells before and after, less cells left alone) is
made on the past instead: over the same cells, and over groups of cells like them, at every
moment so far. A line through these comparisons holds what was seen before and learns what
settings bring; what it missed is what chance does.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cellhive.core.types import (
    Bools,
    Floats,
    KpiFrame,
    Network,
    Outcome,
    Parameters,
    Plan,
    Prediction,
)
from cellhive.flows.prediction.history import (
    History,
    before_after,
    changes_of,
    groups_of,
    settings_of,
)
from cellhive.flows.prediction.regression import Asked, ForecastSettings, Rows, forecast
from cellhive.flows.watch import MEASURED, Area, WatchRules, area_of, control_cells
from cellhive.ran.guard.state import ROLLBACK
from cellhive.ran.parameters import apply_changes


@dataclass(frozen=True)
class PredictorSettings:
    """How plans are foretold."""

    watch: WatchRules = field(default_factory=WatchRules)
    """How the comparison is made that is foretold."""
    groups: int = 24
    """Groups of cells like those of a plan that are looked at beside them."""
    least_moments: int = 4
    """Moments with a whole comparison that must have been seen."""
    own_weight: float = 3.0
    """How much the plan's own cells count against a group like them."""
    memory: float = 48.0
    """Periods after which what was seen counts 1/e."""
    widen: float = 1.1
    """Factor on the widths of intervals at first: rows are looked at by a line fitted to them."""
    pace: float = 0.1
    """How fast that factor follows what intervals miss; 0 leaves it as it is."""
    forecast: ForecastSettings = field(default_factory=ForecastSettings)


@dataclass
class PlanPredictor:
    """Watches a run and foretells plans; no randomness but what the periods and plans give."""

    settings: PredictorSettings = field(default_factory=PredictorSettings)
    _history: History | None = None
    _counted: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    """Changes in force by cell and function, (C, L)."""
    _widen: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Factors on the widths of the 50 % and the 90 % interval of each KPI."""
    _applied: dict[str, Plan] = field(default_factory=dict)

    def take(self, frame: KpiFrame, network: Network, parameters: Parameters) -> None:
        """Take in a checked period and the parameters it was observed with."""
        if self._history is None:
            self._history = History(network)
            self._counted = 0.0 * settings_of(network, parameters)
        self._history.take(frame, settings_of(network, parameters) + self._counted)

    def applied(self, plan: Plan, network: Network) -> None:
        """Take note that a plan was applied."""
        if plan.function != ROLLBACK:
            self._applied[plan.plan_id] = plan
            self._counted = self._counted + changes_of(plan, network)
        elif plan.evidence and plan.evidence[0] in self._applied:
            undone = self._applied.pop(plan.evidence[0])
            self._counted = self._counted - changes_of(plan, network, undone.function)

    def learn(self, outcome: Outcome) -> None:
        """Take in what the watch over a plan measured: intervals that miss too much grow.

        Each interval grows by what it misses too much of, and shrinks by what too little
        (adaptive conformal inference, Gibbs and Candès 2021, on the logarithm of the width).
        """
        if outcome.verdict not in _WATCHED:
            return
        measured = {effect.kpi: effect.mean for effect in outcome.measured}
        for told in outcome.plan.predicted:
            if told.kpi in measured:
                off = abs(measured[told.kpi] - told.change)
                half_50, half_90 = self._factors(told.kpi)
                missed_50, missed_90 = (
                    off > told.high_50 - told.change,
                    off > told.high_90 - told.change,
                )
                pace = self.settings.pace
                self._widen[told.kpi] = (
                    half_50 * float(np.exp(pace * (missed_50 - 0.5))),
                    half_90 * float(np.exp(pace * (missed_90 - 0.1))),
                )

    def _factors(self, name: str) -> tuple[float, float]:
        return self._widen.get(name, (self.settings.widen, self.settings.widen))

    def predicted(
        self,
        plan: Plan,
        parameters: Parameters,
        others: Sequence[Area],
        usable: Collection[int],
    ) -> Plan:
        """Return a plan with what it will do, or with why that cannot be told.

        Args:
            plan: The changes that would be applied.
            parameters: What is set now.
            others: What other plans under watch reach.
            usable: Cells about which something is known.
        """
        history = self._history
        if history is None:
            return replace(plan, unpredicted="no period was seen yet")
        rules = self.settings.watch
        area = area_of(plan, history.network, rules.neighbours)
        watched = area.watched & frozenset(usable)
        control = control_cells(area, others, usable)
        moments = history.periods - rules.periods - 1
        if moments < self.settings.least_moments:
            least = self.settings.least_moments + rules.periods + 1
            return replace(
                plan, unpredicted=f"{history.periods} of the {least} periods needed were seen"
            )
        if not watched or not control:
            return replace(plan, unpredicted="too few cells are left alone to compare with")
        areas = [watched, *self._alike(area, frozenset(usable))]
        controls = [_beside(one, control, usable) for one in areas]
        past = _Past.of(history, areas, controls, rules)
        set_to = _set_to(plan, history, parameters, (watched, control))
        found = [
            prediction
            for name in MEASURED
            if (prediction := self._foretold(name, past, set_to)) is not None
        ]
        if not found:
            return replace(plan, unpredicted="the counters behind the KPIs are not reported")
        return replace(plan, predicted=tuple(found))

    def _alike(self, area: Area, usable: frozenset[int]) -> list[frozenset[int]]:
        """Return groups of as many cells with their neighbours, drawn from the whole network."""
        history = self._history
        assert history is not None  # noqa: S101  # the caller has looked
        pool = np.array(sorted(usable))
        generator = np.random.default_rng([history.periods, *sorted(area.changed)])
        count, groups = min(len(area.changed), len(pool)), []
        near = self.settings.watch.neighbours
        for _ in range(self.settings.groups):
            drawn = generator.choice(pool, count, replace=False).tolist()
            cells = frozenset(drawn).union(
                *(history.network.neighbours_of(cell)[:near] for cell in drawn)
            )
            groups.append(cells & usable)
        return groups

    def _foretold(self, name: str, past: _Past, set_to: Floats) -> Prediction | None:
        """Return the prediction of one KPI, or None where too little is known of it."""
        comparisons = past.of_kpi(name)
        if comparisons is None:
            return None
        rows, seen, spread = comparisons
        moments, groups = past.shape
        age = np.repeat(moments - 1 - np.arange(moments), groups)[rows]
        weight = np.exp(-age / self.settings.memory)
        weight[np.tile(np.arange(groups), moments)[rows] == 0] *= self.settings.own_weight
        apart = len(np.unique(age)) / (1.0 + 0.5 * self.settings.watch.periods)
        size, cells = past.sizes
        independent = min(float(len(age)), apart * max(1.0, cells / size))
        answer = forecast(
            Rows(
                change=past.change[name].ravel()[rows],
                seen=past.seen[name].reshape(-1, seen.size)[rows],
                set_to=past.set_more.reshape(-1, set_to.size)[rows],
                spread=past.spread[name].ravel()[rows],
                weight=weight,
                independent=independent,
            ),
            Asked(seen, set_to, spread),
            self.settings.forecast,
            self._factors(name),
        )
        return Prediction(
            kpi=name,
            change=answer.change,
            low_50=answer.change - answer.reach_50,
            high_50=answer.change + answer.reach_50,
            low_90=answer.change - answer.reach_90,
            high_90=answer.change + answer.reach_90,
            effect=answer.effect,
            effect_error=answer.effect_error,
            freedom=answer.freedom,
        )


_FEWEST_ROWS = 12
_WATCHED = ("kept", "rolled back")
"""Verdicts on plans that were watched to the end."""


@dataclass(frozen=True)
class _Past:
    """Comparisons at every moment M so far, over G groups; the first is the plan's own."""

    change: dict[str, Floats]
    """What each comparison gave, (M, G)."""
    seen: dict[str, Floats]
    """What was known before it, (M, G, P)."""
    spread: dict[str, Floats]
    """Size of steps between periods before it, relative, (M, G)."""
    set_more: Floats
    """By how much was set more after it, (M, G, L)."""
    sizes: tuple[int, int]
    """Cells of the first group, and of the network."""

    @property
    def shape(self) -> tuple[int, int]:
        """Moments and groups."""
        return self.set_more.shape[0], self.set_more.shape[1]

    @classmethod
    def of(
        cls,
        history: History,
        areas: Sequence[frozenset[int]],
        controls: Sequence[frozenset[int]],
        rules: WatchRules,
    ) -> _Past:
        """Return the comparisons of a history."""
        cells = history.network.cells
        inside, outside = groups_of(areas, cells), groups_of(controls, cells)
        there, beside = history.kpis(inside), history.kpis(outside)
        more = history.settings(inside) - history.settings(outside)
        set_before, set_after = before_after(more, rules.before, rules.periods)
        change, seen, spread = {}, {}, {}
        for name in there:
            gap = there[name] - beside[name]
            before, after = before_after(gap, rules.before, rules.periods)
            change[name] = after - before
            seen[name] = _seen(gap, before)
            spread[name] = _spread(gap)
        return cls(change, seen, spread, set_after - set_before, (len(areas[0]), cells))

    def of_kpi(self, name: str) -> tuple[Bools, Floats, float] | None:
        """Return the rows that are known, and what is known now of the plan's own cells."""
        change, seen = self.change[name], self.seen[name]
        known = np.isfinite(change) & np.isfinite(seen).all(axis=2)
        known &= np.isfinite(self.set_more).all(axis=2)
        known[0] = False  # one period before says nothing of what is usual
        now, spread = seen[-1, 0], float(self.spread[name][-1, 0])
        if known.sum() < _FEWEST_ROWS or not (np.isfinite(now).all() and np.isfinite(spread)):
            return None
        return known.ravel(), now, spread


def _seen(gap: Floats, before: Floats) -> Floats:
    """Return what is known at each moment: the last period, and before, against the usual.

    (T, G, 2): the last period less the mean before, and the mean before less that of all
    periods so far.
    """
    usual, _ = before_after(gap, len(gap), 1)
    return np.stack([gap - before, before - usual], axis=2)


_SPREAD_PERIODS = 6
_PRIOR_STEPS = 4.0
_LEAST_STEPS = 0.05
"""Least square of steps lately, in means over the run."""


def _spread(gap: Floats) -> Floats:
    """Return the size of the steps between the last periods, drawn towards that of all, (T, G).

    Chance has its times of day and its places: the steps of a group are drawn towards those of
    all groups in the same periods.
    """
    steps = np.full(gap.shape, np.nan)
    steps[1:] = np.diff(gap, axis=0) ** 2
    known = np.isfinite(steps)
    if not known.any():
        return np.full(gap.shape, np.nan)
    usual = float(steps[known].mean())
    if usual <= 0.0:
        return np.ones(gap.shape)
    own, _ = before_after(steps, _SPREAD_PERIODS, 1)
    sums = np.where(known, steps, 0.0).sum(axis=1), known.sum(axis=1)
    lately, _ = before_after(
        np.where(sums[1] > 0, sums[0] / np.maximum(sums[1], 1), np.nan), _SPREAD_PERIODS, 1
    )
    lately = np.maximum(np.nan_to_num(lately), _LEAST_STEPS * usual)[:, None]
    count = np.minimum(np.cumsum(known, axis=0), _SPREAD_PERIODS)
    own = np.where(np.isfinite(own), own, 0.0)
    squares = (_PRIOR_STEPS * lately + count * own) / (_PRIOR_STEPS + count)
    spread: Floats = np.sqrt(squares / usual)
    return spread


def _beside(
    area: frozenset[int], control: frozenset[int], usable: Collection[int]
) -> frozenset[int]:
    """Return the cells that a group is compared with: those of the plan where they are enough."""
    free = control - area
    return free if len(free) * 2 >= len(control) else frozenset(usable) - area


def _set_to(
    plan: Plan,
    history: History,
    parameters: Parameters,
    cells: tuple[frozenset[int], frozenset[int]],
) -> Floats:
    """Return by how much a plan sets more in its cells than in those left alone, (L,)."""
    network = history.network
    after = apply_changes(parameters.copy(), network, plan.changes)
    more = settings_of(network, after) - settings_of(network, parameters)
    more += changes_of(plan, network)
    inside, outside = (more[sorted(one)].mean(axis=0) for one in cells)
    gap: Floats = inside - outside
    return gap
