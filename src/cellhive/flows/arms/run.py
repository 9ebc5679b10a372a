"""One arm in one city: who runs the network there, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from cellhive.core.errors import NotFound
from cellhive.core.types import KpiFrame, Mode, Parameters, Plan
from cellhive.flows.arms.bayesian import BayesianSettings, optimise
from cellhive.flows.arms.fixed import MOBILITY_SETS, Toward, mobility_set
from cellhive.flows.arms.guards import CountingGuard
from cellhive.flows.decide import LoopSettings, Optimizer, PlanApplied, PlanGuard, Silent
from cellhive.flows.evaluate import run_seed
from cellhive.flows.headroom import HeadroomSettings, run_fixed, search_course
from cellhive.flows.policy.plans import AUTHOR, BESIDE_RULES
from cellhive.flows.trial import Hooks, TrialSettings
from cellhive.flows.tuning import Course, RunJobs, SearchSettings, Setting, Tuned, in_turn, tune
from cellhive.flows.watch import Kpis, Scoring, mean_kpis
from cellhive.ran.guard import Guard
from cellhive.ran.parameters import diff
from cellhive.ran.scenarios import HOUR_S, Scenario, activity_curve, build_world, daily_curve
from cellhive.ran.simulator import Clock, Twin, World

NOTHING, RULES, TUNED, BAYESIAN = "nothing", "rules", "tuned", "bayesian"
SEARCHED = (TUNED, BAYESIAN)
"""Arms whose setting is searched for in the city itself."""
FIXED = (*MOBILITY_SETS, *SEARCHED)
"""Arms that have one setting."""
UNLEARNED = (NOTHING, *MOBILITY_SETS, TUNED, BAYESIAN, RULES)
"""Arms that need no model, in the order of tables."""

FOLLOWING = frozenset({AUTHOR, "fixed"})
"""Authors with one plan for the whole network, who may go on where an own plan is watched."""

OptimizerOf = Callable[[str], Optimizer]
"""Returns a new optimiser for the name of an arm, such as "rules" or "rl:NAME"."""


@dataclass(frozen=True)
class ArmSettings:
    """What every arm is run with: the terms of a comparison."""

    hours: float | None = None
    """How long a run lasts [h]; None means the scenario's own."""
    observed_s: float = 30.0
    """Radio time simulated per period [s]."""
    period_s: float = 900.0
    evaluations: int = 48
    """Settings that a search may try in a city."""
    moments: int = 4
    """Moments of the day in which a search tries each of them."""
    moment_s: float = 20.0
    """Radio time of each moment that counts [s]."""
    settle_s: float = 10.0
    """Radio time before each moment [s]."""

    def periods(self, scenario: Scenario) -> int:
        """Return how many periods a run has."""
        hours = scenario.hours if self.hours is None else self.hours
        return max(1, round(hours * HOUR_S / self.period_s))

    def course(self, scenario: Scenario, seed: int) -> Course:
        """Return what the searches of a city try settings in."""
        terms = HeadroomSettings(hours=self.hours, moments=self.moments, moment_s=self.moment_s)
        return replace(search_course(scenario, seed, terms), settle_s=self.settle_s)


@dataclass(frozen=True)
class ArmResult:
    """One arm in one city."""

    scenario: str
    arm: str
    guarded: bool
    seed: int
    kpis: Kpis
    """Means over the run; "objective" is the score."""
    changes: int
    """Changes made; those of a setting that was in force from the beginning count once."""
    objections: dict[str, int]
    """Changes that the guard refused, or without it would have refused, by rule."""
    kept: int
    rolled_back: int
    searched: int
    """Moments of this city that were simulated to find the setting; 0 where none was sought."""
    expected: float
    """Objective that the search saw with users of its own; NaN where none was sought."""
    search_s: float
    """Processor time of the search [s]."""
    run_s: float
    """Processor time of the run [s]."""


@dataclass(frozen=True)
class ArmSurroundings:
    """What an arm needs from outside."""

    optimizer: OptimizerOf
    clock: Callable[[], float]
    """Processor time used so far [s]."""
    guard: Callable[[], PlanGuard] = Guard
    run: RunJobs = in_turn


@dataclass
class City:
    """One city of a scenario, ready for every arm."""

    scenario: Scenario
    seed: int
    settings: ArmSettings
    world: World
    initial: Parameters
    _found: dict[str, tuple[Tuned, float]] = field(default_factory=dict)
    """Settings that were searched for, with the processor time."""

    def twin(self, start: Parameters | None = None) -> Twin:
        """Return the network at the beginning of a run."""
        clock = Clock(
            self.settings.period_s, self.settings.observed_s, start_s=self.scenario.start_h * HOUR_S
        )
        return Twin(
            self.world, self.initial if start is None else start, seed=self.seed, clock=clock,
            activity=activity_curve(self.scenario),
        )  # fmt: skip

    def busy(self, time_s: float) -> float:
        """Return the share of the busiest hour's traffic at a time of day [s]."""
        return daily_curve(time_s, self.scenario.curve)

    def searched(self, arm: str, outside: ArmSurroundings) -> tuple[Tuned, float]:
        """Return the setting that a search found and its processor time; searched once."""
        if arm not in self._found:
            begin = outside.clock()
            start = Setting(self.initial, ~self.world.network.coverage_cell)
            course = self.settings.course(self.scenario, self.seed)
            count = self.settings.evaluations
            if arm == TUNED:
                search = SearchSettings(evaluations=count)
                found = tune(self.world, start, course, search, outside.run)
            else:
                found = optimise(
                    self.world, start, course, BayesianSettings(evaluations=count), outside.run
                )
            self._found[arm] = (found, outside.clock() - begin)
        return self._found[arm]


def open_city(scenario: Scenario, seed: int, settings: ArmSettings) -> City:
    """Return a city as found, with nobody at work in it."""
    world, initial = build_world(scenario, seed)
    return City(scenario, seed, settings, world, initial)


def check_arm(arm: str) -> None:
    """Refuse names that are no arm.

    Raises:
        NotFound: With the names there are.
    """
    if arm not in UNLEARNED and not arm.startswith("rl:"):
        message = f"expected an arm out of {', '.join(UNLEARNED)} or rl:NAME, found {arm!r}"
        raise NotFound(message)


def run_arm(city: City, arm: str, guarded: bool, outside: ArmSurroundings) -> ArmResult:
    """Run one arm in a city.

    With the guard, a fixed setting is approached through the loop as any other proposal
    is; without it, it is in force from the beginning, as in ``flows.headroom``. Rules and
    learned policies run in the same loop either way: without the guard everything passes
    and what would have been refused is counted; the watch over what was applied stays.

    Args:
        city: Where.
        arm: Who: one of ``UNLEARNED``, or a name that ``outside.optimizer`` knows.
        guarded: Whether the guard is in force.
        outside: What the arm needs.
    """
    searched, search_s, expected, setting = 0, 0.0, float("nan"), None
    if arm in SEARCHED:
        tuned, search_s = city.searched(arm, outside)
        setting, searched = tuned.setting, tuned.evaluations * city.settings.moments
        expected = tuned.objective
    elif arm in MOBILITY_SETS:
        setting = mobility_set(arm, city.initial)
    begin = outside.clock()
    if setting is not None and not guarded:
        part = _in_force(city, setting, outside)
    else:
        part = _in_the_loop(city, _optimizer(city, arm, setting, outside), guarded, outside)
    return ArmResult(
        scenario=city.scenario.name, arm=arm, guarded=guarded, seed=city.seed,
        kpis=part.kpis, changes=part.changes, objections=dict(sorted(part.objections.items())),
        kept=part.kept, rolled_back=part.rolled_back, searched=searched,
        expected=expected, search_s=search_s, run_s=outside.clock() - begin,
    )  # fmt: skip


@dataclass(frozen=True)
class _Part:
    """What a run itself gives."""

    kpis: Kpis
    changes: int
    objections: Counter[str]
    kept: int = 0
    rolled_back: int = 0


def _optimizer(
    city: City, arm: str, setting: Setting | None, outside: ArmSurroundings
) -> Optimizer:
    if setting is not None:
        return Toward(setting, city.busy)
    return Silent() if arm == NOTHING else outside.optimizer(arm)


def _in_the_loop(
    city: City, optimizer: Optimizer, guarded: bool, outside: ArmSurroundings
) -> _Part:
    """Run whoever proposes in the closed loop."""
    made = Counter[str]()

    def see(event: object) -> None:
        if isinstance(event, PlanApplied):
            made.update(change.parameter for change in event.plan.changes)

    guard = CountingGuard(outside.guard(), enforce=guarded)
    loop = LoopSettings(mode=Mode.AUTONOMOUS, may_follow=FOLLOWING, open_to_all=BESIDE_RULES)
    trial = TrialSettings(periods=city.settings.periods(city.scenario), loop=loop)
    result = run_seed(
        lambda _: (city.twin(), optimizer, guard), city.seed, trial,
        hooks=Hooks(observer=see), baseline=False,
    )  # fmt: skip
    return _Part(result.with_plans, made.total(), guard.objections, result.kept, result.rolled_back)


def _in_force(city: City, setting: Setting, outside: ArmSurroundings) -> _Part:
    """Run a setting that is in force from the beginning."""
    network, scoring = city.world.network, Scoring()
    changes = diff(network, city.initial, replace(setting.parameters, asleep=city.initial.asleep))
    plan = Plan("fixed", "fixed", 0.0, changes)
    verdict = outside.guard().check(plan, network, city.initial, 0.0)
    frames: list[KpiFrame] = run_fixed(
        city.twin(setting.at(1.0)), setting, city.scenario, city.settings.periods(city.scenario)
    )
    kpis = mean_kpis([scoring.over(frame, range(network.cells)) for frame in frames])
    objections = Counter(refusal.rule for refusal in verdict.refused)
    return _Part(kpis, len(changes), objections)
