"""How far the best fixed setting is above doing nothing, and how much of that the rules reach.

In every city three networks run on the same users: as found, under the rules, and with the
best setting that a search found (``flows.tuning``). The search saw other users of the same
city, so its setting is not fitted to those it is judged with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import stdtrit

from cellhive.core.types import Effect, KpiFrame, Mode, Parameters, Plan
from cellhive.flows.decide import LoopSettings, Optimizer, PlanGuard
from cellhive.flows.evaluate import SeedResult, run_seed
from cellhive.flows.trial import Hooks, TrialSettings
from cellhive.flows.tuning import Course, RunJobs, SearchSettings, Setting, in_turn, tune
from cellhive.flows.watch import OBJECTIVE, Kpis, mean_kpis
from cellhive.ran.kpi import better
from cellhive.ran.parameters import diff
from cellhive.ran.scenarios import HOUR_S, Scenario, activity_curve, build_world, daily_curve
from cellhive.ran.simulator import Clock, Twin

FRESH = 0x5EED_0000
"""Added to the seed of a city for the users of the search; the run has the city's own."""

CLEAR = 1.96
"""Times its standard error that a headroom must be for a share of it to be stated."""


@dataclass(frozen=True)
class HeadroomSettings:
    """What is run in every city."""

    hours: float | None = None
    """How long each of the three runs lasts [h]; None means the scenario's own."""
    observed_s: float = 120.0
    """Radio time simulated per period [s]."""
    period_s: float = 900.0
    moments: int = 6
    """Moments of the scenario that the search tries settings in."""
    moment_s: float = 30.0
    """Radio time of each moment that counts [s]."""
    search: SearchSettings = field(default_factory=SearchSettings)


@dataclass(frozen=True)
class CityResult:
    """Mean KPIs of the three runs in one city; "objective" is the score."""

    seed: int
    nothing: Kpis
    rules: Kpis
    best: Kpis
    promised: float
    """Gain of the objective that the search saw with its own users."""
    evaluations: int
    steps: tuple[str, ...]
    """What improved the setting, in order."""


@dataclass(frozen=True)
class Surroundings:
    """What the runs need from outside."""

    optimizer: Callable[[], Optimizer]
    """Returns new rules."""
    guard: Callable[[], PlanGuard]
    hooks: Hooks = field(default_factory=Hooks)
    run: RunJobs = in_turn


def moments_of(scenario: Scenario, hours: float, count: int) -> tuple[float, ...]:
    """Return the middles of equal parts of a scenario's hours [s]."""
    part_h = hours / count
    return tuple((scenario.start_h + (index + 0.5) * part_h) * HOUR_S for index in range(count))


def city_headroom(
    scenario: Scenario, seed: int, settings: HeadroomSettings, outside: Surroundings
) -> CityResult:
    """Return the three runs in one city.

    Args:
        scenario: The recipe.
        seed: The city, and its users in the three runs.
        settings: What is run.
        outside: Who proposes, and ways to run things side by side.
    """
    world, parameters = build_world(scenario, seed)
    hours = scenario.hours if settings.hours is None else settings.hours
    start = Setting(parameters, ~world.network.coverage_cell)
    course = search_course(scenario, seed, settings)
    tuned = tune(world, start, course, settings.search, outside.run)
    clock = Clock(settings.period_s, settings.observed_s, start_s=scenario.start_h * HOUR_S)
    activity = activity_curve(scenario)

    def twin(start: Parameters) -> Twin:
        return Twin(world, start, seed=seed, clock=clock, activity=activity)

    periods = max(1, round(hours * HOUR_S / settings.period_s))
    loop = LoopSettings(mode=Mode.AUTONOMOUS, scoring=settings.search.scoring)
    trial = TrialSettings(periods=periods, loop=loop, branches=False)
    arms: SeedResult = run_seed(
        lambda _: (twin(parameters), outside.optimizer(), outside.guard()),
        seed, trial, hooks=outside.hooks,
    )  # fmt: skip
    frames = run_fixed(twin(tuned.setting.at(1.0)), tuned.setting, scenario, periods)
    scoring = settings.search.scoring
    everywhere = range(world.network.cells)
    return CityResult(
        seed=seed,
        nothing=arms.without,
        rules=arms.with_plans,
        best=mean_kpis([scoring.over(frame, everywhere) for frame in frames]),
        promised=tuned.objective - tuned.start,
        evaluations=tuned.evaluations,
        steps=tuned.steps,
    )


def search_course(scenario: Scenario, seed: int, settings: HeadroomSettings) -> Course:
    """Return what a search tries settings in: users of the city that the runs never see."""
    hours = scenario.hours if settings.hours is None else settings.hours
    return Course(
        moments_s=moments_of(scenario, hours, settings.moments),
        activity=activity_curve(scenario),
        busy=lambda time_s: daily_curve(time_s, scenario.curve),
        seed=(seed + FRESH) % 2**32,
        observed_s=settings.moment_s,
    )


def run_fixed(twin: Twin, setting: Setting, scenario: Scenario, periods: int) -> list[KpiFrame]:
    """Run a fixed setting, its sleep included, and return the frames."""
    frames = []
    for index in range(periods):
        wanted = setting.at(daily_curve(twin.time_s, scenario.curve))
        changes = diff(twin.network, twin.parameters(), wanted)
        if changes:
            twin.apply(Plan(f"fixed-{index}", "fixed", twin.time_s, changes))
        frames.append(twin.observe())
    return frames


# --------------------------------------------------------------------------- over cities


@dataclass(frozen=True)
class HeadroomRow:
    """One KPI over cities."""

    kpi: str
    better: str
    """"higher", "lower" or ""."""
    nothing: float
    rules: float
    best: float
    rules_gain: Effect
    """Rules less doing nothing, with its interval over cities."""
    headroom: Effect
    """Best fixed setting less doing nothing."""
    beyond: Effect
    """Best fixed setting less rules."""
    reached: Effect | None
    """Share of the headroom that the rules reach; None where there is no clear headroom."""


def headroom_rows(
    results: Sequence[CityResult], kpis: Sequence[str], confidence: float = 0.95
) -> tuple[HeadroomRow, ...]:
    """Return the objective and some KPIs over cities.

    Intervals are Student's t over cities; that of the share is by the jackknife.

    Args:
        results: At least two cities.
        kpis: KPIs besides the objective.
        confidence: Of the intervals.
    """
    rows = []
    for name in (OBJECTIVE, *kpis):
        nothing, rules, best = (
            np.array([arm.get(name, np.nan) for arm in arms])
            for arms in zip(*((r.nothing, r.rules, r.best) for r in results), strict=True)
        )
        direction = "higher" if name == OBJECTIVE else better(name)
        rows.append(
            HeadroomRow(
                kpi=name,
                better=direction,
                nothing=float(nothing.mean()),
                rules=float(rules.mean()),
                best=float(best.mean()),
                rules_gain=_interval(name, rules - nothing, confidence),
                headroom=_interval(name, best - nothing, confidence),
                beyond=_interval(name, best - rules, confidence),
                reached=_share(rules - nothing, best - nothing, direction, confidence),
            )
        )
    return tuple(rows)


Values = np.ndarray[tuple[int], np.dtype[np.float64]]


def _interval(name: str, values: Values, confidence: float) -> Effect:
    mean, error = float(values.mean()), float(values.std(ddof=1) / np.sqrt(values.size))
    reach = float(stdtrit(values.size - 1, (1 + confidence) / 2)) * error
    return Effect(name, mean, mean - reach, mean + reach)


def _share(part: Values, whole: Values, direction: str, confidence: float) -> Effect | None:
    """Return mean part over mean whole with a jackknife interval, if the whole is clear."""
    sign = -1.0 if direction == "lower" else 1.0
    error = float(whole.std(ddof=1) / np.sqrt(whole.size))
    if not direction or not sign * float(whole.mean()) > CLEAR * error:
        return None
    count = whole.size
    without = (part.sum() - part) / (whole.sum() - whole)
    spread = float(np.sqrt((count - 1) / count * np.sum((without - without.mean()) ** 2)))
    share = float(part.mean() / whole.mean())
    reach = float(stdtrit(count - 1, (1 + confidence) / 2)) * spread
    return Effect("share of headroom", share, share - reach, share + reach)


@dataclass(frozen=True)
class HeadroomStudy:
    """Cities by scenario, and what all of them were run with."""

    sources: str
    """Digest of the twin's sources."""
    evaluations: int
    observed_s: float
    hours: float | None
    cities: dict[str, tuple[CityResult, ...]]

    def with_city(self, scenario: str, result: CityResult) -> HeadroomStudy:
        """Return the study with one more city, or with a city run again."""
        others = [city for city in self.cities.get(scenario, ()) if city.seed != result.seed]
        cities = tuple(sorted([*others, result], key=lambda city: city.seed))
        return replace(self, cities={**self.cities, scenario: cities})

    def has(self, scenario: str, seed: int) -> bool:
        """Return whether a city was run."""
        return any(city.seed == seed for city in self.cities.get(scenario, ()))

    def same_terms(self, other: HeadroomStudy) -> bool:
        """Return whether cities of both may stand in one table."""
        return replace(self, cities={}) == replace(other, cities={})
