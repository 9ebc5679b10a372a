"""What a candidate must pass before it is one: better than rules and champion, and safe.

It runs in the loop, as it would serve, in cities that no policy learnt in. Every arm sees the
same users, so that differences are paired.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import stdtrit

from cellhive.core.models import GateResult
from cellhive.core.ports import Observer
from cellhive.core.types import Effect, KpiFrame, Mode
from cellhive.flows.decide import LoopSettings, Optimizer, PlanGuard
from cellhive.flows.policy.plans import AUTHOR, BESIDE_RULES
from cellhive.flows.training.recipe import GateTerms, held_out_seeds
from cellhive.flows.trial import Hooks, RunStart, TrialSettings, Twin, run_trial
from cellhive.flows.watch import OBJECTIVE, mean_kpis
from cellhive.ran.scenarios import Scenario

CANDIDATE, CHAMPION, RULES, NOTHING = "candidate", "champion", "rules", "do nothing"
"""Who is compared."""

HARD_RULES = frozenset(
    {"unknown", "value", "bounds", "grid", "duplicate", "read-back", "no-effect", "protected",
     "step", "deviation"}
)  # fmt: skip
"""Rules that a policy must never run into: what they refuse could not be done at any time. The
others say "not now", or depend on which of several plans comes first."""

_PERIOD_S = 900.0


@dataclass(frozen=True)
class CityJudged:
    """What each arm came to in one city."""

    scenario: str
    seed: int
    objective: Mapping[str, float]
    """Mean objective over the run by arm [points]."""
    refused: Mapping[str, int]
    """Changes of the candidate that the guard or the loop refused, by rule."""
    made: int
    """Changes of the candidate that were applied."""
    undone: int
    """Plans of the candidate that were rolled back."""


@dataclass(frozen=True)
class Judged:
    """All cities, and what follows from them."""

    cities: tuple[CityJudged, ...]
    gates: tuple[GateResult, ...]

    @property
    def passed(self) -> bool:
        """Whether every gate was passed."""
        return all(gate.passed for gate in self.gates)


@dataclass(frozen=True)
class Bench:
    """What is needed to run arms beside each other."""

    arms: Mapping[str, Callable[[], Optimizer]]
    """Makes new optimisers by name: the candidate, the rules, and the champion if there is one."""
    guard: Callable[[], PlanGuard]
    twin: Callable[[Scenario, int, float], Twin]
    """Builds a city from a scenario, a seed and the radio time per period [s]."""
    latency_s: Callable[[], Sequence[float]]
    """Processor time of some decisions of the candidate [s]."""
    hooks: Hooks = field(default_factory=Hooks)
    observer: Observer = lambda _: None


def judge_candidate(scenarios: Sequence[Scenario], terms: GateTerms, bench: Bench) -> Judged:
    """Run all arms in held-out cities of some scenarios and put the candidate to the gates."""
    cities = []
    for scenario in scenarios:
        for seed in held_out_seeds(scenario, terms.cities):
            city = judge_city(scenario, seed, terms, bench)
            bench.observer(city)
            cities.append(city)
    return Judged(tuple(cities), gates_of(cities, terms, bench.latency_s()))


def judge_city(scenario: Scenario, seed: int, terms: GateTerms, bench: Bench) -> CityJudged:
    """Run all arms in one city, and doing nothing beside the candidate."""
    hours = min(terms.hours, scenario.hours)
    objective: dict[str, float] = {}
    refused: Counter[str] = Counter()
    made = undone = 0
    for name, optimizer in bench.arms.items():
        loop = LoopSettings(
            mode=Mode.AUTONOMOUS, may_follow=frozenset({AUTHOR}), open_to_all=BESIDE_RULES
        )
        trial = TrialSettings(
            periods=max(1, round(hours * 3600.0 / _PERIOD_S)), loop=loop, branches=False,
            baseline=name == CANDIDATE,
        )  # fmt: skip
        record = run_trial(
            bench.twin(scenario, seed, terms.observed_s),
            RunStart(f"{name}-{seed}", "", "", scenario.name, seed, {}),
            trial, optimizer(), bench.guard(), bench.hooks,
        )  # fmt: skip
        objective[name] = _mean(record.frames, loop)
        if name == CANDIDATE:
            objective[NOTHING] = _mean(record.baseline, loop)
            own = [v for v in record.verdicts if v.plan.function.startswith(AUTHOR)]
            refused.update(r.rule for v in own for r in v.refused)
            made = sum(len(p.changes) for p in record.applied if p.function.startswith(AUTHOR))
            undone = sum(o.verdict == "rolled back" for o in record.outcomes)
    return CityJudged(scenario.name, seed, objective, dict(refused), made, undone)


def _mean(frames: Sequence[KpiFrame], loop: LoopSettings) -> float:
    everywhere = range(frames[0].values.shape[0])
    return mean_kpis([loop.scoring.over(frame, everywhere) for frame in frames])[OBJECTIVE]


def gates_of(
    cities: Sequence[CityJudged], terms: GateTerms, latency_s: Sequence[float]
) -> tuple[GateResult, ...]:
    """Return which gates were passed, with the figures."""
    harmless = [city for city in cities if city.scenario in terms.harmless]
    others = [city for city in cities if city.scenario not in terms.harmless]
    gates = []
    if others:
        gates += [
            _clearly_above(others, RULES, "better than the rules"),
            _nowhere_far_below(others, terms),
        ]
    if any(CHAMPION in city.objective for city in cities):
        gates.append(_clearly_above(cities, CHAMPION, "better than the champion"))
    if harmless:
        gap = difference(harmless, NOTHING)
        told = f"{_figures(gap)} against doing nothing, {terms.margin:g} points allowed"
        gates.append(GateResult("no harm where nothing is wrong", gap.low > -terms.margin, told))
    gates += [_within_the_guard(cities), _quick(terms, latency_s)]
    return tuple(gates)


def difference(cities: Sequence[CityJudged], other: str) -> Effect:
    """Return the mean objective of the candidate less another arm's, 95 %, Student's t."""
    gaps = np.array([city.objective[CANDIDATE] - city.objective[other] for city in cities])
    mean = float(gaps.mean())
    if gaps.size < 2:  # noqa: PLR2004
        return Effect(OBJECTIVE, mean, float("-inf"), float("inf"))
    reach = float(stdtrit(gaps.size - 1, 0.975) * gaps.std(ddof=1) / np.sqrt(gaps.size))
    return Effect(OBJECTIVE, mean, mean - reach, mean + reach)


def _figures(gap: Effect) -> str:
    return f"{gap.mean:+.2f} points ({gap.low:+.2f} to {gap.high:+.2f})"


def _clearly_above(cities: Sequence[CityJudged], other: str, name: str) -> GateResult:
    gap = difference(cities, other)
    return GateResult(name, gap.low > 0.0, f"{_figures(gap)} over {len(cities)} cities")


def _nowhere_far_below(cities: Sequence[CityJudged], terms: GateTerms) -> GateResult:
    names = dict.fromkeys(city.scenario for city in cities)
    means = {
        name: difference([city for city in cities if city.scenario == name], RULES).mean
        for name in names
    }
    worst = min(means, key=lambda name: means[name])
    told = f"at worst {means[worst]:+.2f} points, in {worst}; {terms.margin:g} allowed"
    return GateResult("nowhere far below the rules", means[worst] > -terms.margin, told)


def _within_the_guard(cities: Sequence[CityJudged]) -> GateResult:
    refused: Counter[str] = Counter()
    for city in cities:
        refused.update({rule: n for rule, n in city.refused.items() if rule in HARD_RULES})
    told = ", ".join(f"{n} by {rule}" for rule, n in refused.most_common()) or "no violation"
    made = sum(city.made for city in cities)
    return GateResult("within the guard", not refused, f"{told} beside {made} changes made")


def _quick(terms: GateTerms, latency_s: Sequence[float]) -> GateResult:
    slowest_s = float(np.quantile(latency_s, 0.99)) if len(latency_s) else float("inf")
    told = f"{1e3 * slowest_s:.2f} ms in 99 of 100, {1e3 * terms.latency_s:g} ms allowed"
    return GateResult("quick to decide", slowest_s <= terms.latency_s, told)
