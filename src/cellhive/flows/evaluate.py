"""How much better a run is than doing nothing: one run by blocks of time, many by seeds.

Both compare pairs on common random numbers: the same users move and ask for the same
data in the run and in the baseline beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from cellhive.core.errors import BadInput
from cellhive.core.types import Effect, KpiFrame
from cellhive.flows.decide import LoopSettings, Optimizer, PlanGuard
from cellhive.flows.trial import Hooks, RunStart, TrialSettings, Twin, run_trial
from cellhive.flows.watch import OBJECTIVE, Kpis, mean_kpis
from cellhive.ran.kpi import better

FEWEST_PAIRS = 2
"""Fewest pairs from which an interval can be had."""


def paired_effect(
    name: str,
    with_plans: Sequence[float],
    without: Sequence[float],
    rng: np.random.Generator,
    *,
    block: int = 4,
    confidence: float = 0.95,
) -> Effect:
    """Return the mean difference of two series of periods with a bootstrap interval.

    Circular block bootstrap (Politis and Romano 1992), percentile interval. It says how
    well the mean over this run is determined, given that neighbouring periods are alike;
    it says nothing about other cities or other days, for which seeds are needed. With
    fewer than some five blocks it is too narrow. Periods in which either value is not
    known are left out.

    Args:
        name: The KPI.
        with_plans: Value of each period of the run.
        without: The same periods with nothing done.
        rng: Draws the blocks.
        block: Periods drawn together.
        confidence: Of the interval.
    """
    gaps = np.subtract(with_plans, without, dtype=np.float64)
    gaps = gaps[np.isfinite(gaps)]
    if gaps.size == 0:
        return Effect(name, float("nan"), float("nan"), float("nan"))
    length = min(block, gaps.size)
    blocks = -(-gaps.size // length)
    starts = rng.integers(0, gaps.size, (2000, blocks, 1))
    drawn = (starts + np.arange(length)) % gaps.size
    means = gaps[drawn.reshape(len(starts), -1)[:, : gaps.size]].mean(axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Effect(name, float(gaps.mean()), float(low), float(high))


@dataclass(frozen=True)
class SeedResult:
    """One seed: mean KPIs of the run and of the baseline beside it."""

    seed: int
    with_plans: Kpis
    without: Kpis
    """Empty where "do nothing" did not run."""
    kept: int
    """Plans that were kept."""
    rolled_back: int


@dataclass(frozen=True)
class PairedRow:
    """One KPI over all seeds."""

    kpi: str
    without: tuple[float, ...]
    """Mean over the run with nothing done, per seed."""
    with_plans: tuple[float, ...]
    difference: Effect
    """Mean difference with its interval over seeds."""
    better: str
    """"higher", "lower" or ""."""

    @property
    def gain(self) -> float:
        """Mean difference, positive where it is for the better; NaN where neither is."""
        sign = {"higher": 1.0, "lower": -1.0}.get(self.better, float("nan"))
        return sign * self.difference.mean

    @property
    def beats(self) -> bool:
        """Whether the interval lies entirely on the better side of zero."""
        if self.better == "lower":
            return self.difference.high < 0
        return self.better == "higher" and self.difference.low > 0

    def harms_at_most(self, margin: float) -> bool:
        """Return whether the interval excludes a worsening beyond a margin."""
        if self.better == "lower":
            return self.difference.high < margin
        return self.difference.low > -margin


Agents = tuple[Twin, Optimizer, PlanGuard]


def run_seed(
    make: Callable[[int], Agents],
    seed: int,
    settings: TrialSettings,
    *,
    first_period: int = 0,
    hooks: Hooks | None = None,
    baseline: bool = True,
) -> SeedResult:
    """Run one seed with "do nothing" beside it and return the means of both.

    Args:
        make: Returns a new twin, optimiser and guard for a seed.
        seed: The seed.
        settings: Branches are not run, whatever they say.
        first_period: Periods before this one are not averaged over; zero includes all
            that the optimiser needs to learn about the network.
        hooks: Observer and ways to run things side by side.
        baseline: Run "do nothing" beside; without it, its means are not known.
    """
    twin, optimizer, guard = make(seed)
    settings = replace(settings, baseline=baseline, branches=False)
    start = RunStart(f"seed-{seed}", "", "", "", seed, {})
    record = run_trial(twin, start, settings, optimizer, guard, hooks or Hooks())
    verdicts = [outcome.verdict for outcome in record.outcomes]
    return SeedResult(
        seed=seed,
        with_plans=_means(record.frames[first_period:], settings.loop),
        without=_means(record.baseline[first_period:], settings.loop) if baseline else {},
        kept=verdicts.count("kept"),
        rolled_back=verdicts.count("rolled back"),
    )


def _means(frames: Sequence[KpiFrame], loop: LoopSettings) -> Kpis:
    everywhere = range(frames[0].values.shape[0]) if frames else range(0)
    return mean_kpis([loop.scoring.over(frame, everywhere) for frame in frames])


def paired_rows(results: Sequence[SeedResult], confidence: float = 0.95) -> tuple[PairedRow, ...]:
    """Return every KPI with the mean paired difference and Student's t interval over seeds.

    Raises:
        BadInput: There are fewer than two seeds, or one is there twice.
    """
    seeds = [result.seed for result in results]
    if len(seeds) < FEWEST_PAIRS or len(set(seeds)) < len(seeds):
        raise BadInput(
            expected=f"at least {FEWEST_PAIRS} different seeds", found=str(seeds), place="seeds"
        )
    rows = []
    for name in results[0].with_plans:
        without = tuple(result.without.get(name, float("nan")) for result in results)
        with_plans = tuple(result.with_plans.get(name, float("nan")) for result in results)
        difference = _interval(name, np.subtract(with_plans, without), confidence)
        direction = "higher" if name == OBJECTIVE else better(name)
        rows.append(PairedRow(name, without, with_plans, difference, direction))
    return tuple(rows)


def _interval(
    name: str, gaps: np.ndarray[tuple[int], np.dtype[np.float64]], confidence: float
) -> Effect:
    """Return mean and Student's t interval; not known where any seed is not."""
    mean = float(gaps.mean())
    error = float(gaps.std(ddof=1)) / np.sqrt(gaps.size)
    reach = float(stdtrit(gaps.size - 1, (1 + confidence) / 2)) * error
    return Effect(name, mean, mean - reach, mean + reach)


def evaluate(
    make: Callable[[int], Agents],
    seeds: Sequence[int],
    settings: TrialSettings,
    *,
    first_period: int = 0,
    hooks: Hooks | None = None,
) -> tuple[PairedRow, ...]:
    """Run every seed and return every KPI over them; see ``run_seed`` and ``paired_rows``."""
    return paired_rows(
        [run_seed(make, seed, settings, first_period=first_period, hooks=hooks) for seed in seeds]
    )
