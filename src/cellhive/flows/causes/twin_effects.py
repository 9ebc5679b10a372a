"""Effects estimated from what an operator sees, held against what clones of the network do.

The question is what a step of a lever in one cell does to that cell's KPIs within the
period, on average over all cells and periods watched; for demand, what more users in the
whole city do to the KPIs of a cell. The step goes up where the operator's limits leave
room and down where not (its effect is then taken the other way round). The truth is had by
taking the step in a clone, with the same users and the same chance, and nothing else.

The estimate sees the panels only. What it must get right, and how:

- cells differ for good: each variable is taken from the cell's own mean;
- rules change what they set by what they see: all that was seen the period before, and how
  everything was set then, is held;
- neighbours are set alike: means of their settings are held;
- mechanisms are bent: squares of the causes are held, centred so that their mean does not
  change when the step is made; what is left with the cause is the mean effect of the step;
- samples depend on each other: days of a city are drawn anew (``causal.dependent.bagging``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cellhive.causal.dependent.bagging import BaggedEffects, BagSettings, bagged_effects
from cellhive.causal.graph import Edge, Knowledge
from cellhive.causal.motifs import radio_knowledge
from cellhive.causal.statistics import Statistics, statistics_of
from cellhive.core.types import Bools, Floats, Ints
from cellhive.flows.causes.varied_city import (
    ALLOWED,
    DEMAND,
    KPIS,
    LEVERS,
    NEAR_LOAD,
    OFFSET,
    PANEL,
    POWER,
    TILT,
    TRIGGER,
    Habits,
    Season,
    VariedCity,
)
from cellhive.ran.scenarios import Scenario
from cellhive.ran.simulator import Simulator

CAUSES = (*LEVERS, DEMAND)
STEPS: dict[str, float] = {TILT: 1.0, POWER: -2.0, TRIGGER: 1.0, OFFSET: 2.0, DEMAND: 0.1}
"""What is asked about: a degree down, half the power, twice the time to trigger, 2 dB to all
neighbours, a tenth more users."""
WORDS: dict[str, str] = {
    TILT: "tilt 1 deg down", POWER: "power -2 dB", TRIGGER: "time to trigger x 2",
    OFFSET: "CIO +2 dB", DEMAND: "10 % more users",
}  # fmt: skip

_FIRST_KPI = PANEL.index(KPIS[0])
_KPI = slice(_FIRST_KPI, _FIRST_KPI + len(KPIS))
_CLEAR = 2.0
"""Standard errors from which on a truth differs from zero."""
_Z_90 = 1.6449


# ------------------------------------------------------------------ what is watched


@dataclass(frozen=True)
class TrialPlan:
    """When steps are tried out in clones."""

    every: int = 64
    """Periods between two times at which levers are tried."""
    cells: int = 6
    """Cells, drawn at random, in which each lever is tried at such a time, one by one."""
    demand_every: int = 16
    """Periods between two times at which more users are tried."""
    settle: int = 1
    """Periods that a clone runs with the step before the one that counts."""


@dataclass(frozen=True)
class Trials:
    """What cells did with and without a step; N cells and times."""

    cause: Ints
    """Index among ``CAUSES``, (N,)."""
    up: Floats
    """1 where the step was taken as asked, -1 where it was taken the other way, (N,)."""
    cluster: Ints
    """Equal for what was tried at the same time, (N,)."""
    without: Floats
    """Panel variables without the step, (N, V)."""
    with_step: Floats
    """And with it, (N, V)."""


@dataclass(frozen=True)
class CityRecord:
    """A city that was watched: what its operator saw, and what clones did beside it."""

    seed: int
    panel: Floats
    """(T, C, V)."""
    trials: Trials


@dataclass
class _Clone:
    """A clone in which a step is being tried."""

    simulator: Simulator
    cause: int
    cell: int
    up: float
    cluster: int
    age: int = 0


def watch_city(
    scenario: Scenario,
    seed: int,
    season: Season,
    *,
    plan: TrialPlan | None = None,
    habits: Habits | None = None,
) -> CityRecord:
    """Run a city under its operator, with clones beside it.

    Args:
        scenario: The recipe.
        seed: Draws everything.
        season: How long, and under which load.
        plan: When steps are tried out.
        habits: The operator's.
    """
    asked, city = plan or TrialPlan(), VariedCity(scenario, seed, season, habits)
    generator = np.random.default_rng([seed, 5])
    panel, clones = [], list[_Clone]()
    found: list[tuple[_Clone, Bools, Floats, Floats]] = []
    for period in range(season.periods):
        if period + asked.settle < season.periods:
            clones += _new_clones(city, asked, generator)
        tried = [_tried(city, clone) for clone in clones]
        seen = city.observe()
        panel.append(seen)
        for clone, values in zip(clones, tried, strict=True):
            if clone.age == asked.settle:
                members = np.arange(len(seen)) == clone.cell
                members |= clone.cell < 0
                found.append((clone, members, seen[members], values[members]))
            clone.age += 1
        clones = [clone for clone in clones if clone.age <= asked.settle]
    return CityRecord(seed, np.stack(panel), _gathered(found))


def _new_clones(city: VariedCity, plan: TrialPlan, generator: np.random.Generator) -> list[_Clone]:
    made, period = list[_Clone](), city.period
    if period % plan.every == plan.every // 2:
        for cell in generator.choice(len(city.levers), plan.cells, replace=False).tolist():
            for k, name in enumerate(LEVERS):
                up = float(_up(city.levers[cell, k], name))
                made.append(_Clone(city.simulator.clone(), k, cell, up, period))
    if period % plan.demand_every == plan.demand_every // 2:
        demand = CAUSES.index(DEMAND)
        made.append(_Clone(city.simulator.clone(), demand, -1, 1.0, period))
    return made


def _up(value: Floats | float, lever: str) -> Floats:
    """Return 1 where the step leaves the lever within what is allowed, else -1."""
    after = np.asarray(value, np.float64) + STEPS[lever]
    fits = (ALLOWED[lever].low <= after) & (after <= ALLOWED[lever].high)
    return np.where(fits, 1.0, -1.0)


def _tried(city: VariedCity, clone: _Clone) -> Floats:
    cause = CAUSES[clone.cause]
    if cause == DEMAND:
        return city.try_out(clone.simulator, load=1.0 + STEPS[DEMAND])
    levers = city.levers.copy()
    levers[clone.cell, clone.cause] += clone.up * STEPS[cause]
    return city.try_out(clone.simulator, levers)


def _gathered(found: Sequence[tuple[_Clone, Bools, Floats, Floats]]) -> Trials:
    counts = [len(without) for _, _, without, _ in found]

    def spread(values: Sequence[float]) -> Floats:
        return np.repeat(np.asarray(values, np.float64), counts)

    width = (0, len(PANEL))
    return Trials(
        spread([clone.cause for clone, *_ in found]).astype(np.int32),
        spread([clone.up for clone, *_ in found]),
        spread([clone.cluster for clone, *_ in found]).astype(np.int32),
        np.concatenate([np.empty(width), *(without for *_, without, _ in found)]),
        np.concatenate([np.empty(width), *(after for *_, after in found)]),
    )


# ------------------------------------------------------------------ the truth


@dataclass(frozen=True)
class TrueEffects:
    """Mean effects of the steps over cells and times, by clones."""

    mean: Floats
    """(causes, KPIs)."""
    error: Floats
    """Its standard error, (causes, KPIs)."""


def true_effects(records: Sequence[CityRecord]) -> TrueEffects:
    """Return what the steps truly do.

    More users are not exactly a tenth more, as they come by chance: their effect is scaled
    to a tenth. Errors count what is tried at the same time in a city as one.

    Args:
        records: Cities.
    """
    mean = np.full((len(CAUSES), len(KPIS)), np.nan)
    error = mean.copy()
    for k, cause in enumerate(CAUSES):
        parts, groups, users, more = list[Floats](), list[Ints](), list[Floats](), list[Floats]()
        for index, record in enumerate(records):
            one, mine = record.trials, record.trials.cause == k
            gap = one.with_step[mine] - one.without[mine]
            parts.append(gap[:, _KPI] * one.up[mine, None])
            groups.append(one.cluster[mine] + 1_000_000 * index)
            users.append(one.without[mine, 0])
            more.append(gap[:, 0])
        gaps, group = np.concatenate(parts), np.concatenate(groups)
        scale = 1.0
        if cause == DEMAND:
            scale = float(STEPS[DEMAND] * np.concatenate(users).sum() / np.concatenate(more).sum())
        mean[k], error[k] = _clustered(scale * gaps, group)
    return TrueEffects(mean, error)


def _clustered(values: Floats, group: Ints) -> tuple[Floats, Floats]:
    """Return means over what is known, and their standard errors over groups, (K,) each."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    mean = np.where(known, values, 0.0).sum(axis=0) / count
    off = np.where(known, values - mean, 0.0)
    _, which = np.unique(group, return_inverse=True)
    sums = np.zeros((int(which.max()) + 1, values.shape[1]))
    np.add.at(sums, which, off)
    groups = len(sums)
    error: Floats = np.sqrt((sums**2).sum(axis=0) * groups / max(groups - 1, 1)) / count
    return mean, error


# ------------------------------------------------------------------ the estimate


@dataclass(frozen=True)
class EstimateSettings:
    """How effects are estimated from panels."""

    day: int = 96
    """Periods of a block."""
    bags: BagSettings = field(default_factory=BagSettings)


def middles_of(records: Sequence[CityRecord]) -> Floats:
    """Return where steps lie: the mean over cells and times of the middle of a step, (L,)."""
    rows = np.concatenate([record.panel.reshape(-1, len(PANEL)) for record in records])
    places = []
    for name in LEVERS:
        value = rows[:, PANEL.index(name)]
        places.append(float((value + 0.5 * _up(value, name) * STEPS[name]).mean()))
    return np.array(places)


def _columns(panel: Floats, middles: Floats) -> tuple[Floats, tuple[str, ...]]:
    """Return a panel with squares of the causes, all from each cell's mean, and their names."""
    values = panel.copy()
    demand = values[:, :, 0] / values[:, :, 0].mean()
    values[:, :, 0] = demand
    bends = [(panel[:, :, PANEL.index(n)] - m) ** 2 for n, m in zip(LEVERS, middles, strict=True)]
    # The step multiplies: (1.1 d - c)² - (d - c)² has the mean 0 for this c.
    centre = (1.0 + 0.5 * STEPS[DEMAND]) * (demand**2).mean() / demand.mean()
    bends.append((demand - centre) ** 2)
    full = np.concatenate([values, np.stack(bends, axis=2)], axis=2)
    names = (*PANEL, *(f"{name} squared" for name in CAUSES))
    return full - np.nanmean(full, axis=0), names


def day_statistics(
    record: CityRecord, middles: Floats, day: int
) -> tuple[list[Statistics], tuple[str, ...]]:
    """Return the statistics of every day of a city, and the names of what is to be held.

    Args:
        record: The city.
        middles: Where steps lie.
        day: Periods of a day; what is left at the end joins the last one.
    """
    full, names = _columns(record.panel, middles)
    full = np.nan_to_num(full)  # a cell without users in a period: its mean says nothing
    rows = np.concatenate([full[1:], full[:-1]], axis=2)
    before = tuple(f"{name} before" for name in names)
    starts = list(range(0, max(len(rows) - day // 2, 1), day))
    days = [
        statistics_of(
            rows[first : (starts[k + 1] if k + 1 < len(starts) else None)], (*names, *before)
        )
        for k, first in enumerate(starts)
    ]
    explained = {*CAUSES, *KPIS, NEAR_LOAD}
    return days, tuple(name for name in (*names, *before) if name not in explained)


def knowledge_of_panel() -> Knowledge:
    """Return what is known of the variables that are not held.

    Every cause may act on every KPI and keeps its place among its causes: where candidates
    are few, a posterior would drop edges that are weak, and what goes along them.
    """
    names = (*LEVERS, *KPIS, NEAR_LOAD)
    like = {TRIGGER: "time_to_trigger_s", NEAR_LOAD: "prb_utilisation_ratio"}
    known = radio_knowledge(names, like=like)
    apart = [Edge(a, b, 0) for one in LEVERS for a, b in ((one, DEMAND), (DEMAND, one))]
    acts = [Edge(cause, kpi, 0) for cause in CAUSES for kpi in (*KPIS, NEAR_LOAD)]
    encouraged = {edge: odds for edge, odds in known.encouraged.items() if edge not in set(acts)}
    return replace(
        known, tiers={DEMAND: min(known.tiers.values()), **known.tiers},
        forbidden=(*known.forbidden, *apart), required=(*known.required, *acts),
        encouraged=encouraged,
    )  # fmt: skip


def estimated_effects(
    records: Sequence[CityRecord],
    generator: np.random.Generator,
    settings: EstimateSettings | None = None,
) -> BaggedEffects:
    """Return the effects of the causes, per unit, by the panels alone.

    Args:
        records: Cities; what clones did is not looked at.
        generator: Where chance comes from.
        settings: How.
    """
    asked = settings or EstimateSettings()
    middles = middles_of(records)
    parts = [day_statistics(record, middles, asked.day) for record in records]
    return bagged_effects(
        [days for days, _ in parts], CAUSES, generator, knowledge=knowledge_of_panel(),
        held=parts[0][1], settings=asked.bags,
    )  # fmt: skip


# ------------------------------------------------------------------ side by side


@dataclass(frozen=True)
class EffectRow:
    """One effect of a step: estimated, and true."""

    cause: str
    kpi: str
    mean: float
    low: float
    """Lower end of the 90 % interval."""
    high: float
    truth: float
    noise: float
    """Standard error of the truth."""

    @property
    def clear(self) -> bool:
        """Whether the truth differs from zero by more than its noise."""
        return abs(self.truth) > _CLEAR * self.noise

    @property
    def sign_right(self) -> bool:
        """Whether estimate and truth point the same way."""
        return self.mean * self.truth > 0.0

    @property
    def claimed(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low > 0.0 or self.high < 0.0

    @property
    def covered(self) -> bool:
        """Whether the truth, as it was measured, lies in the interval."""
        return self.low <= self.truth <= self.high

    @property
    def covered_with_noise(self) -> bool:
        """Whether it does when the interval is widened by the noise of the truth."""
        reach = _Z_90 * self.noise
        low = self.mean - float(np.hypot(self.mean - self.low, reach))
        return low <= self.truth <= self.mean + float(np.hypot(self.high - self.mean, reach))


def compared(estimate: BaggedEffects, truth: TrueEffects) -> tuple[EffectRow, ...]:
    """Return every effect of a step on a KPI, estimated and true.

    Args:
        estimate: Effects per unit.
        truth: Effects of steps.
    """
    mean, (low, high) = estimate.mean(), estimate.interval(0.9)
    rows = []
    for k, cause in enumerate(CAUSES):
        for j, kpi in enumerate(KPIS):
            at = estimate.names.index(kpi)
            ends = sorted((STEPS[cause] * float(low[k, at]), STEPS[cause] * float(high[k, at])))
            rows.append(
                EffectRow(
                    cause, kpi, STEPS[cause] * float(mean[k, at]), ends[0], ends[1],
                    float(truth.mean[k, j]), float(truth.error[k, j]),
                )
            )  # fmt: skip
    return tuple(rows)
