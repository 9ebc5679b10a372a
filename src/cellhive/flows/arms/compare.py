"""Arms over cities: paired differences, their intervals, and the share of the ceiling reached."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.stats import bootstrap

from cellhive.core.types import Effect, Floats
from cellhive.flows.arms.run import NOTHING, RULES, SEARCHED, UNLEARNED, ArmResult, ArmSettings
from cellhive.flows.arms.seeds import FEWEST_SEEDS
from cellhive.flows.watch import OBJECTIVE

RESAMPLES = 9999
_CONFIDENCE = 0.95

Key = tuple[str, bool]
"""An arm, and whether the guard was in force."""


@dataclass(frozen=True)
class Budget:
    """What a learned arm was trained with, in all cities together."""

    arm: str
    decisions: float
    """Decisions of single cells."""
    wall_s: float
    """Wall clock of the training [s]."""
    note: str = ""
    """Scenarios and command."""
    sources: str = ""
    """Digest of the sources that policies decide by."""


@dataclass(frozen=True)
class ArmStudy:
    """All results of a comparison and the terms they were made on."""

    sources: str
    """Digest of the sources that every result follows from."""
    settings: ArmSettings
    results: tuple[ArmResult, ...] = ()
    budgets: tuple[Budget, ...] = ()
    """Of learned arms."""

    def with_result(self, result: ArmResult) -> ArmStudy:
        """Return the study with one more result, or with one made again."""
        others = [one for one in self.results if _place(one) != _place(result)]
        return replace(self, results=tuple(sorted([*others, result], key=_place)))

    def with_budget(self, budget: Budget) -> ArmStudy:
        """Return the study with what a learned arm was trained with.

        Results of the arm by other sources are dropped.
        """
        others = [one for one in self.budgets if one.arm != budget.arm]
        before = [one for one in self.budgets if one.arm == budget.arm]
        stale = any(one.sources != budget.sources for one in before)
        kept = tuple(one for one in self.results if not (stale and one.arm == budget.arm))
        return replace(self, budgets=(*others, budget), results=kept)

    def has(self, scenario: str, arm: str, guarded: bool, seed: int) -> bool:
        """Return whether a result is there."""
        return any(_place(one) == (scenario, arm, guarded, seed) for one in self.results)

    def same_terms(self, other: ArmStudy) -> bool:
        """Return whether results of both may stand in one table."""
        return self.sources == other.sources and self.settings == other.settings

    @property
    def scenarios(self) -> tuple[str, ...]:
        """Names of the scenarios, in order of their results."""
        return tuple(dict.fromkeys(one.scenario for one in self.results))


def _place(result: ArmResult) -> tuple[str, str, bool, int]:
    return result.scenario, result.arm, result.guarded, result.seed


@dataclass(frozen=True)
class ArmRow:
    """One arm in one scenario over cities."""

    arm: str
    guarded: bool
    seeds: tuple[int, ...]
    """Cities that this arm, the rules and doing nothing were all run in."""
    objective: float
    beyond_nothing: Effect
    """Objective less doing nothing [points]."""
    beyond_rules: Effect
    """Objective less the rules with the guard [points]."""
    share: Effect | None
    """Gain over the gain of the ceiling; None where the ceiling is not clear of nothing."""
    changes: float
    """Changes made per city."""
    objections: float
    """Changes the guard refused, or would have, per city."""
    searched: float
    """Moments simulated for tuning, per city."""
    search_s: float
    """Processor time of tuning, per city [s]."""
    run_s: float

    @property
    def beats_rules(self) -> bool:
        """Whether the interval of the difference lies above zero."""
        return self.beyond_rules.low > 0

    @property
    def harmless(self) -> bool:
        """Whether the interval of the difference to doing nothing excludes a point of loss."""
        return self.beyond_nothing.low > -1.0


def arm_rows(study: ArmStudy, scenario: str) -> tuple[ArmRow, ...]:
    """Return every arm of a scenario that was run in at least two cities with its references.

    Intervals are bias-corrected accelerated bootstrap intervals over cities, of paired
    differences: every arm saw the same users. The ceiling of a city is the fixed setting
    that a search, whichever, found best with users of its own, in force from the beginning.
    """
    found: dict[Key, dict[int, ArmResult]] = {}
    for one in study.results:
        if one.scenario == scenario:
            found.setdefault((one.arm, one.guarded), {})[one.seed] = one
    nothing, rules = found.get((NOTHING, True), {}), found.get((RULES, True), {})
    ceiling = _ceiling([found.get((arm, False), {}) for arm in SEARCHED])
    rows = []
    for key in sorted(found, key=_order):
        seeds = sorted(found[key].keys() & nothing.keys() & rules.keys())
        if len(seeds) >= FEWEST_SEEDS:
            rows.append(_row(key, found[key], (nothing, rules, ceiling), seeds))
    return tuple(rows)


def _ceiling(searched: Sequence[dict[int, ArmResult]]) -> dict[int, ArmResult]:
    """Return the setting of each city that its search expected most of."""
    best: dict[int, ArmResult] = {}
    for results in searched:
        for seed, one in results.items():
            if seed not in best or one.expected > best[seed].expected:
                best[seed] = one
    return best


def _order(key: Key) -> tuple[int, str, bool]:
    arm, guarded = key
    place = UNLEARNED.index(arm) if arm in UNLEARNED else len(UNLEARNED)
    return place, arm, not guarded


def _row(
    key: Key,
    own: dict[int, ArmResult],
    references: tuple[dict[int, ArmResult], ...],
    seeds: Sequence[int],
) -> ArmRow:
    nothing, rules, ceiling = references
    mine, idle, ruled = (_scores(each, seeds) for each in (own, nothing, rules))
    chosen = [own[seed] for seed in seeds]
    return ArmRow(
        arm=key[0], guarded=key[1], seeds=tuple(seeds), objective=float(mine.mean()),
        beyond_nothing=interval(OBJECTIVE, mine - idle),
        beyond_rules=interval(OBJECTIVE, mine - ruled),
        share=_share(own, nothing, ceiling),
        changes=_mean(one.changes for one in chosen),
        objections=_mean(sum(one.objections.values()) for one in chosen),
        searched=_mean(one.searched for one in chosen),
        search_s=_mean(one.search_s for one in chosen),
        run_s=_mean(one.run_s for one in chosen),
    )  # fmt: skip


def _scores(results: dict[int, ArmResult], seeds: Sequence[int]) -> Floats:
    return np.array([results[seed].kpis[OBJECTIVE] for seed in seeds])


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def interval(name: str, gaps: Floats) -> Effect:
    """Return the mean of paired differences with its bootstrap interval.

    Where all are the same number, the interval is that number.
    """
    mean = float(gaps.mean())
    if np.ptp(gaps) <= 1e-12 * max(1.0, abs(mean)):
        return Effect(name, mean, mean, mean)
    found = bootstrap(
        (gaps,), np.mean, n_resamples=RESAMPLES, confidence_level=_CONFIDENCE, method=_method(gaps),
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return Effect(name, mean, float(found.low), float(found.high))


def _method(gaps: Floats) -> Literal["BCa", "percentile"]:
    """Return the kind of interval: with two or three values the acceleration means nothing."""
    return "BCa" if gaps.size > 3 else "percentile"  # noqa: PLR2004


def _share(
    own: dict[int, ArmResult], nothing: dict[int, ArmResult], ceiling: dict[int, ArmResult]
) -> Effect | None:
    """Return mean gain over mean gain of the ceiling, where that is clear of zero."""
    seeds = sorted(own.keys() & nothing.keys() & ceiling.keys())
    if len(seeds) < FEWEST_SEEDS:
        return None
    idle = _scores(nothing, seeds)
    part, whole = _scores(own, seeds) - idle, _scores(ceiling, seeds) - idle
    if interval("headroom", whole).low <= 0:
        return None

    def ratio(part: Floats, whole: Floats, axis: int = -1) -> Floats:
        return np.asarray(part.mean(axis=axis) / whole.mean(axis=axis))

    share = float(ratio(part, whole))
    if np.ptp(part - share * whole) <= 1e-9 * max(1.0, float(np.abs(whole).max())):
        return Effect("share", share, share, share)
    found = bootstrap(
        (part, whole), ratio, paired=True, n_resamples=RESAMPLES, confidence_level=_CONFIDENCE,
        method="percentile", rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return Effect("share", share, float(found.low), float(found.high))
