"""What was foretold of plans beside what happened to them: how often intervals held, how wide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from cellhive.core.types import Effect, Outcome, Plan, Prediction, Verdict

FEWEST_BEFORE = 3
"""Outcomes of the same function from which its own history gives an interval."""

HARM_RULE = "probable-harm"
"""Rule of the guard that refuses what was foretold to do harm."""

_WATCHED = ("kept", "rolled back")


@dataclass(frozen=True)
class Told:
    """One KPI of one plan: foretold, and measured by the watch."""

    plan: Plan
    predicted: Prediction
    measured: float
    """Change that the watch measured."""
    true_effect: float
    """Effect on the cells reached, against an exact branch; NaN where it is not known."""
    naive: tuple[float, float] | None
    """90 % interval from earlier outcomes of the same function alone; None before there are a
    few."""

    @property
    def inside_50(self) -> bool:
        """Whether the 50 % interval held."""
        return self.predicted.low_50 <= self.measured <= self.predicted.high_50

    @property
    def inside_90(self) -> bool:
        """Whether the 90 % interval held."""
        return self.predicted.low_90 <= self.measured <= self.predicted.high_90

    @property
    def width(self) -> float:
        """Width of the 90 % interval."""
        return self.predicted.high_90 - self.predicted.low_90


@dataclass(frozen=True)
class Coverage:
    """How predictions fared over several plans."""

    count: int
    """Predictions with an outcome."""
    inside_50: float
    """Share of them whose 50 % interval held."""
    inside_90: float
    width: float
    """Median width of the 90 % interval."""
    beside: int
    """Predictions beside which the function's own history gives an interval."""
    naive_inside: float
    """Share of those whose naive 90 % interval held."""
    relative_width: float
    """Median width of the 90 % interval relative to the naive one, over those."""
    effects: int
    """Predictions whose true effect is known."""
    effects_inside: float
    """Share of those whose true effect lies in the 90 % interval of the effect."""


def compared(outcomes: Sequence[Outcome]) -> tuple[Told, ...]:
    """Return every prediction whose plan was watched to the end, in the order of verdicts.

    Args:
        outcomes: What became of the plans of a run.
    """
    watched = [o for o in outcomes if o.verdict in _WATCHED]
    found = []
    for outcome in watched:
        measured = _means(outcome.measured)
        true = _means(outcome.true_effect)
        earlier = [
            _means(other.measured)
            for other in watched
            if other.plan.function == outcome.plan.function
            and other.decided_s <= outcome.plan.time_s
        ]
        for told in outcome.plan.predicted:
            if told.kpi in measured:
                past = [one[told.kpi] for one in earlier if told.kpi in one]
                found.append(
                    Told(outcome.plan, told, measured[told.kpi],
                         true.get(told.kpi, float("nan")), _naive(past))
                )  # fmt: skip
    return tuple(found)


def coverage_of(told: Sequence[Told]) -> Coverage:
    """Return how predictions fared; shares of nothing are NaN."""
    beside = [(one, one.naive) for one in told if one.naive is not None]
    effects = [one for one in told if np.isfinite(one.true_effect)]
    return Coverage(
        count=len(told),
        inside_50=_share([one.inside_50 for one in told]),
        inside_90=_share([one.inside_90 for one in told]),
        width=float(np.median([one.width for one in told])) if told else float("nan"),
        beside=len(beside),
        naive_inside=_share([low <= one.measured <= high for one, (low, high) in beside]),
        relative_width=_median(
            [one.width / (high - low) for one, (low, high) in beside if high > low]
        ),
        effects=len(effects),
        effects_inside=_share([_effect_inside(one) for one in effects]),
    )


def untold(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Return why applied plans have no prediction, and how many."""
    reasons = [o.plan.unpredicted for o in outcomes if o.plan.unpredicted]
    return dict(Counter(reasons).most_common())


def refused_for_harm(verdicts: Sequence[Verdict]) -> int:
    """Return how many plans were refused because their harm was too probable."""
    return sum(any(r.rule == HARM_RULE for r in verdict.refused) for verdict in verdicts)


def _effect_inside(told: Told) -> bool:
    foretold = told.predicted
    reach = foretold.effect_error * float(stdtrit(foretold.freedom, 0.95))
    return abs(told.true_effect - foretold.effect) <= reach


def _naive(past: Sequence[float]) -> tuple[float, float] | None:
    """Return the 90 % interval of a next value like earlier ones, with Student's t."""
    if len(past) < FEWEST_BEFORE:
        return None
    reach = stdtrit(len(past) - 1, 0.95) * np.std(past, ddof=1) * np.sqrt(1 + 1 / len(past))
    middle = float(np.mean(past))
    return middle - float(reach), middle + float(reach)


def _means(effects: Sequence[Effect]) -> dict[str, float]:
    return {effect.kpi: effect.mean for effect in effects}


def _share(held: Sequence[bool]) -> float:
    return float(np.mean(held)) if held else float("nan")


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else float("nan")
