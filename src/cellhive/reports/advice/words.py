"""The words and numbers in which recommendations and forecasts are told."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from cellhive.diagnose.advice.capacity import Forecast, State
from cellhive.diagnose.advice.recommendation import Expected, Recommendation, Step
from cellhive.flows.advice.advise import Advised
from cellhive.reports.numbers import ABSENT, format_number, format_signed, with_unit


def summary(advised: Advised) -> list[str]:
    """Return the sentences that the section begins with."""
    count = len(advised.recommendations)
    if not count:
        return ["Nothing is recommended: no reason for a change is probable enough in these data."]
    orders = len(advised.orders)
    changes = len(advised.plan.plan.changes) if advised.plan.plan is not None else 0
    carried = f" ({_counted(changes, 'parameter')})" if changes else ""
    kinds = [
        f"{_counted(count - orders, 'change')} that a plan can carry{carried}" if count > orders
        else "",
        _counted(orders, "work order") if orders else "",
    ]  # fmt: skip
    said = " and ".join(kind for kind in kinds if kind)
    if orders == count:  # the count is said already
        said = "a work order" if count == 1 else "all of them work orders"
    first = ", the most useful first" if count > 1 else ""
    lines = [f"{_counted(count, 'recommendation')}{first}: {said}."]
    if advised.beyond:
        lines.append(f"{advised.beyond} more, of less use, are not listed.")
    return lines


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def effect(one: Expected | None) -> str:
    """Return an expected effect with both of its intervals."""
    if one is None:
        return "not foretold: nothing in the data says by how much"
    scale, unit = _scale(one.unit)
    if one.unit == "days":

        def days(value: float) -> str:
            return format_number(value, 3) if math.isfinite(value) else "beyond the horizon"

        return (
            f"{days(one.mean)} days (50 %: {days(one.low_50)} to {days(one.high_50)}, "
            f"90 %: {days(one.low_90)} to {days(one.high_90)})"
        )

    def shown(value: float) -> str:
        return format_signed(scale * value, 3)

    if one.low_90 == one.high_90:  # counted, not foretold
        return f"{one.figure}: {with_unit(shown(one.mean), unit)}"
    return (
        f"{one.figure}: {with_unit(shown(one.mean), unit)} (50 %: {shown(one.low_50)} to "
        f"{shown(one.high_50)}, 90 %: {shown(one.low_90)} to {shown(one.high_90)})"
    )


def _scale(unit: str) -> tuple[float, str]:
    return (100.0, "points") if unit in ("ratio", "") else (1.0, unit)


def basis(one: Recommendation) -> str:
    """Return what an effect rests on."""
    if one.effect is None:
        return "no effect is foretold"
    return {
        "measured": "measured: from this network's own counters",
        "counted": "counted in the configuration",
        "causal posterior": "causal posterior: from changes made in this network",
        "rule of thumb": "rule of thumb: untested in this network, so try it on one cell first",
    }[one.effect.basis.value]


def step(one: Step) -> str:
    """Return a step as object, parameter, from and to."""
    if math.isfinite(one.before) and math.isfinite(one.after):
        return f"{one.object_id}: {one.parameter} {one.before:g} → {one.after:g}"
    if math.isfinite(one.by):
        return f"{one.object_id}: {one.parameter} {one.by:+g} from its present value (not known)"
    return f"{one.object_id}: {one.parameter}, one value on from the present one (not known)"


def risk(one: Recommendation) -> str:
    """Return the risk with its probability."""
    if one.risk_probability >= 1.0:
        return f"{one.risk} (for certain)"
    if one.risk_probability > 0.0:
        return f"{one.risk} (probability {share(one.risk_probability)})"
    return one.risk


def share(value: float) -> str:
    """Return a probability or share in per cent, never rounded to certainty."""
    if not math.isfinite(value):
        return ABSENT
    if 0.0 < value < 0.005:  # noqa: PLR2004  # rounds to nothing
        return "< 1 %"
    if 0.995 <= value < 1.0:  # noqa: PLR2004  # rounds to everything
        return "> 99 %"
    return f"{100 * value:.0f} %"


def day(time_s: float) -> str:
    """Return a date, or that it lies beyond the horizon."""
    if not math.isfinite(time_s):
        return "beyond"
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d}"


def value(one: Forecast, number: float) -> str:
    """Return a value of a forecast's figure with its unit."""
    if one.unit == "ratio":
        return with_unit(format_number(100 * number), "%")
    return with_unit(format_number(number), one.unit)


def change(one: Forecast, number: float) -> str:
    """Return a change of a forecast's figure with its unit."""
    if one.unit == "ratio":
        return with_unit(format_signed(100 * number, 2), "points")
    return with_unit(format_signed(number, 2), one.unit)


def forecast_totals(advised: Advised) -> list[str]:
    """Return how many forecasts ended how, and why there are none for the others."""
    count: dict[State, int] = {}
    for one in advised.forecasts:
        count[one.state] = count.get(one.state, 0) + 1
    return [f"{number} × {state.value}" for state, number in count.items()]
