"""What to change, by all that an analysis knows: measured, ranked, without contradictions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cellhive.diagnose.advice.balance import balance_advice, pairs
from cellhive.diagnose.advice.capacity import Forecast, capacity_advice, forecasts
from cellhive.diagnose.advice.configuration import configuration_advice
from cellhive.diagnose.advice.coverage import coverage_advice, radio_findings
from cellhive.diagnose.advice.energy import energy_advice, sleeps
from cellhive.diagnose.advice.mobility import (
    HANDOVERS_PER_USER_DAY,
    ends,
    handovers_of,
    mobility_advice,
)
from cellhive.diagnose.advice.network import surroundings
from cellhive.diagnose.advice.recommendation import Limits, Recommendation, Seen, Topic
from cellhive.diagnose.audit.configuration import Audit, Configuration
from cellhive.flows.advice.plan import Planned, SetAside, planned, without_conflicts
from cellhive.flows.advice.seen import Present, present_of, seen_of, users_by_object
from cellhive.flows.advice.tested import Told, causal_advice
from cellhive.flows.analyse import Analysis
from cellhive.flows.causes.why import Causes

MOST_FORECASTS = 300


@dataclass(frozen=True)
class Known:
    """What is known of a network beside its measurements."""

    configuration: Configuration | None = None
    audit: Audit | None = None


@dataclass(frozen=True)
class Advised:
    """What to change."""

    recommendations: tuple[Recommendation, ...]
    """Best first, without contradictions, each within the limits of the guard."""
    set_aside: tuple[SetAside, ...]
    """What gave way to another or was refused by the guard, and why."""
    beyond: int
    """Recommendations that the list had no room for."""
    forecasts: tuple[Forecast, ...]
    """Of every figure that has a limit."""
    plan: Planned
    limits: Limits
    missing: tuple[str, ...]
    """What would be needed for more, each with what for."""
    notes: tuple[str, ...]
    """Assumptions."""

    @property
    def orders(self) -> tuple[Recommendation, ...]:
        """Return the recommendations that no plan can carry."""
        return tuple(one for one in self.recommendations if one.is_order)


def advise(
    analysis: Analysis,
    causes: Causes | None = None,
    known: Known | None = None,
    *,
    limits: Limits | None = None,
    seed: int = 1,
) -> Advised:
    """Return what to change in an analysed network; never raises.

    Args:
        analysis: The analysis.
        causes: What the causal engine says of it.
        known: Configuration and its audit, where files gave them.
        limits: From where on something is to be done.
        seed: Where chance comes from.
    """
    known, limits = known or Known(), limits or Limits()
    try:
        return _advised(analysis, causes, known, limits, seed)
    except Exception as problem:  # the rest of the report must not suffer
        why = f"what to change could not be said ({type(problem).__name__}: {problem})"
        return Advised((), (), 0, (), planned((), {}, None, 0.0), limits, (), (why,))


def _advised(
    analysis: Analysis, causes: Causes | None, known: Known, limits: Limits, seed: int
) -> Advised:
    rng = np.random.default_rng([seed, 7])
    seen = seen_of(analysis.parts)
    present = present_of(analysis.parts, known.configuration)
    told = Told(causes)
    found: list[Recommendation] = []
    foretold: list[Forecast] = []
    lacks: list[str] = []
    for one in seen:
        mine = forecasts(one, limits, rng)
        foretold += mine
        found += capacity_advice(mine, one)
        found += _of_measurements(one, (known, limits, present, told), lacks, rng)
    if known.audit is not None and known.configuration is not None:
        found += configuration_advice(known.audit, known.configuration, users_by_object(seen))
    found += causal_advice(causes, seen, present)
    ranked = sorted(found, key=lambda one: (-one.score, one.topic, one.headline))
    kept, aside = without_conflicts(ranked)
    time_s = _end_s(seen)
    plan = planned(kept, present, known.configuration, time_s)
    stopped = {id(one.recommendation) for one in plan.refused}
    good = [one for one in kept if id(one) not in stopped]
    listed = good[: limits.most]
    if len(good) > limits.most:
        plan = planned(listed, present, known.configuration, time_s)
    return Advised(
        tuple(listed), (*plan.refused, *aside), len(good) - len(listed),
        tuple(_nearest(foretold)[:MOST_FORECASTS]), plan, limits,
        tuple(dict.fromkeys([*lacks, *_lacking(seen, foretold, known, told)])),
        _notes(limits, plan, found),
    )  # fmt: skip


def _of_measurements(
    one: Seen, context: tuple[Known, Limits, Present, Told], lacks: list[str],
    rng: np.random.Generator,
) -> list[Recommendation]:  # fmt: skip
    """Return what the counters of one set of like objects recommend."""
    known, limits, present, told = context
    found = mobility_advice(one, limits, rng, present)
    if any(ends(name) is not None for name in one.objects[:1]):
        return found
    found += coverage_advice(radio_findings(one, limits), one, present, limits, rng)
    if one.get("prb_utilisation_ratio") is None:
        return found
    around = surroundings(one.objects, known.configuration)
    asleep, why = sleeps(one, around, limits, rng)
    lacks += why
    found += energy_advice(asleep, one, around, limits)
    moves = told.per_unit("cio_db", "prb_utilisation_ratio")
    full = pairs(one, around, limits)
    found += balance_advice(full, one, around, limits, (present, moves, rng))
    return found


def _end_s(seen: Sequence[Seen]) -> float:
    ends_s = [
        one.start_s + one.step_s * next(iter(one.values.values())).shape[1]
        for one in seen if one.values
    ]  # fmt: skip
    return max(ends_s, default=0.0)


def _nearest(found: Sequence[Forecast]) -> list[Forecast]:
    """Return forecasts, those that reach their limit first standing first."""

    def key(one: Forecast) -> tuple[int, float, float, str]:
        order = ("FULL", "WILL", "MAY", "SHIFTED", "NOT", "NO_TREND", "SHORT")
        probability = one.probability if math.isfinite(one.probability) else 0.0
        return order.index(one.state.name), one.dates_s[2], -probability, one.object

    return sorted(found, key=key)


def _lacking(
    seen: Sequence[Seen], foretold: Sequence[Forecast], known: Known, told: Told
) -> list[str]:
    """Return what would be needed for more, each with what for."""
    out = []
    if not foretold:
        out.append(
            "capacity: daily or hourly PRB utilisation or throughput per user, for at least six "
            "weeks"
        )
    if not any(handovers_of(one) is not None for one in seen):
        out.append(
            "mobility: handover attempts with too late, too early or ping-pong counts, best per "
            "relation (objects named source->target)"
        )
    if not any(one.get("weak_coverage_ratio") is not None or one.get("rsrp_mean_dbm") is not None
               for one in seen):  # fmt: skip
        out.append("coverage: RSRP or the share of weak coverage; timing advance for overshoot")
    if known.configuration is None:
        out.append(
            "load balancing, sleep and plans: a site list with carriers, neighbour relations and "
            "a bulk CM export, which say who stands beside whom and what is set now"
        )
    why = told.why_not()
    if why:
        out.append(f"effects identified by the causal engine: {why}")
    return out


def _notes(limits: Limits, plan: Planned, found: Sequence[Recommendation]) -> tuple[str, ...]:
    notes = [
        f"A cell counts as full from a PRB utilisation of {limits.prb_utilisation_ratio:.0%} in "
        f"its busy hour, service as poor below {limits.ue_throughput_mbps:g} Mbit/s per user, "
        f"and another cell as having room below {limits.room_ratio:.0%}. Something is recommended "
        f"where the reason for it is at least {limits.sure:.0%} probable (forecasts: 50 %).",
        "Ranked by the probability of the reason times the share of service expected to become "
        "good times users; where users are not counted, one is taken.",
    ]
    if any(one.topic is Topic.ENERGY for one in found):
        notes.append(
            f"A kWh a day counts as {limits.users_per_kwh_day:g} users whose service becomes good."
        )
    if any(one.topic is Topic.MOBILITY for one in found):
        notes.append(
            f"Users of a relation are reckoned from its handovers, {HANDOVERS_PER_USER_DAY:g} a "
            "user and day."
        )
    if plan.assumed:
        notes.append(f"{plan.assumed[:1].upper()}{plan.assumed[1:]}.")
    return tuple(notes)
