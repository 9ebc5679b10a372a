"""Every plan of a run as people read it: what, why, what the guard said, what came of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cellhive.core.types import Change, Effect, Outcome, Plan, Refusal, Verdict
from cellhive.flows.decide import KEPT, ROLLBACK, ROLLED_BACK
from cellhive.flows.trial import AREA_OBJECTIVE, RunRecord, Truth, truth_of
from cellhive.reports.numbers import (
    format_change,
    format_number,
    format_quantity,
    label_of,
    quantity_of,
)
from cellhive.reports.run.summary import OBJECTIVE


@dataclass(frozen=True, slots=True)
class Decision:
    """An applied plan from proposal to verdict."""

    outcome: Outcome
    verdict: Verdict | None
    """What the guard said; None where the record does not hold it."""
    truth: Truth

    @property
    def plan(self) -> Plan:
        """The plan as it was applied."""
        return self.outcome.plan

    @property
    def true_effect(self) -> Effect | None:
        """True effect on the score of the whole network, where it is known."""
        return effect_on(self.outcome.true_effect, OBJECTIVE)

    @property
    def area_effect(self) -> Effect | None:
        """True effect on the score of the cells that the plan reaches."""
        return effect_on(self.outcome.true_effect, AREA_OBJECTIVE)


def effect_on(effects: Sequence[Effect], name: str) -> Effect | None:
    """Return the effect on one KPI, or None."""
    return next((effect for effect in effects if effect.kpi == name), None)


def decisions_of(record: RunRecord) -> list[Decision]:
    """Return every applied plan that has an outcome, in the order of application."""
    verdict_of = {verdict.plan.plan_id: verdict for verdict in record.verdicts if verdict.accepted}
    found = [
        Decision(outcome, verdict_of.get(outcome.plan.plan_id), truth_of(outcome))
        for outcome in record.outcomes
    ]
    return sorted(found, key=lambda decision: decision.plan.time_s)


@dataclass(frozen=True, slots=True)
class Totals:
    """How the plans of one function fared."""

    function: str
    proposed: int
    changes: int
    refused: int
    """Changes the guard did not let through."""
    held: int
    applied: int
    kept: int
    rolled_back: int
    unconfirmed: int
    right: int
    wrong: int
    effect: float
    """Sum of the true effects of plans not rolled back on the network's score, while
    watched [points]."""


def totals_of(record: RunRecord) -> list[Totals]:
    """Return how the plans of each function fared, functions in alphabetical order."""
    proposed = [v for v in record.verdicts if v.plan.function != ROLLBACK]
    names = {v.plan.function for v in proposed} | {o.plan.function for o in record.outcomes}
    return [_totals(name, proposed, record) for name in sorted(names)]


def _totals(name: str, proposed: Sequence[Verdict], record: RunRecord) -> Totals:
    mine = [v for v in proposed if v.plan.function == name]
    outcomes = [o for o in record.outcomes if o.plan.function == name]
    verdicts = Counter(outcome.verdict for outcome in outcomes)
    truths = Counter(truth_of(outcome) for outcome in outcomes)
    effects = [
        effect.mean
        for outcome in outcomes
        if outcome.verdict != ROLLED_BACK
        and (effect := effect_on(outcome.true_effect, OBJECTIVE)) is not None
    ]
    return Totals(
        function=name,
        proposed=len(mine),
        changes=sum(len(v.plan.changes) for v in mine),
        refused=sum(len(v.refused) for v in mine),
        held=sum(held.plan.function == name for held in record.held),
        applied=len(outcomes),
        kept=verdicts[KEPT],
        rolled_back=verdicts[ROLLED_BACK],
        unconfirmed=len(outcomes) - verdicts[KEPT] - verdicts[ROLLED_BACK],
        right=truths[Truth.RIGHT],
        wrong=truths[Truth.WRONG],
        effect=sum(effects) if effects else math.nan,
    )


@dataclass(frozen=True, slots=True)
class RefusalRow:
    """All refusals by one rule."""

    rule: str
    count: int
    functions: str
    example: str


def refusals_of(record: RunRecord) -> list[RefusalRow]:
    """Return the refusals by rule, the most frequent first."""
    by_rule: dict[str, list[tuple[str, Refusal]]] = {}
    for verdict in record.verdicts:
        for refusal in verdict.refused:
            by_rule.setdefault(refusal.rule, []).append((verdict.plan.function, refusal))
    rows = [
        RefusalRow(
            rule,
            len(found),
            ", ".join(f"{name} {count}" for name, count in Counter(f for f, _ in found).items()),
            f"{change_text(found[0][1].change)}: {found[0][1].reason}",
        )
        for rule, found in by_rule.items()
    ]
    return sorted(rows, key=lambda row: -row.count)


def value_text(parameter: str, value: float) -> str:
    """Return a parameter's value as people say it."""
    if parameter == "asleep":
        return "asleep" if value else "awake"
    if parameter == "time_to_trigger_s":
        return f"{format_number(value * 1e3, 4)}\u00a0ms"
    return format_quantity(parameter, value)


def change_text(change: Change) -> str:
    """Return a change in words: object, parameter, from and to."""
    target = f" → {change.target}" if change.target is not None else ""
    return (
        f"{change.cell}{target}: {label_of(change.parameter)} "
        f"{value_text(change.parameter, change.before)} ⇒ "
        f"{value_text(change.parameter, change.after)}"
    )


def effect_text(effect: Effect) -> str:
    """Return an effect with its range, in words."""
    text = f"{label_of(effect.kpi)} {format_change(effect.kpi, effect.mean)}"
    if math.isfinite(effect.low) and math.isfinite(effect.high) and effect.low != effect.high:
        low, high = (format_change(effect.kpi, v) for v in (effect.low, effect.high))
        text += f" ({low} to {high})"
    return text


def measured_texts(outcome: Outcome, most: int = 3) -> list[str]:
    """Return how the watched cells' KPIs moved, score first, then those expected, in words."""
    expected = [effect.kpi for effect in outcome.plan.expected]
    names = [OBJECTIVE, *expected, *outcome.after]
    found: list[str] = []
    for name in dict.fromkeys(names):
        before, after = outcome.before.get(name, math.nan), outcome.after.get(name, math.nan)
        if not (math.isfinite(before) and math.isfinite(after)) or quantity_of(name) is None:
            continue
        found.append(
            f"{label_of(name)} {format_quantity(name, before)} → {format_quantity(name, after)}"
        )
    return found[: max(most, 1 + len(expected))]
