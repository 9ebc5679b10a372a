"""When a cell will exceed its limit, with an interval, and where nothing can be said of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from scipy.stats import beta

from cellhive.core.schema import QUANTITIES
from cellhive.core.types import Bools, Floats
from cellhive.diagnose.advice.busy_hour import Daily, daily
from cellhive.diagnose.advice.forecast import (
    FEWEST_DAYS,
    FEWEST_SHARE,
    SHIFT_RATIO,
    WEEK,
    Fitted,
    draw,
    fit,
)
from cellhive.diagnose.advice.recommendation import (
    Basis,
    Expected,
    Limits,
    Recommendation,
    Seen,
    Topic,
)
from cellhive.diagnose.advice.verification import verification
from cellhive.diagnose.cycles import DAY_S

UPLINK_PRB = "uplink PRB utilisation"
"""Quantity of this package: share of uplink PRBs in use."""

DRAWS = 1000
RECENT_DAYS = 28
BUSY_SHARE = 0.08
"""Share of a day's traffic that its busy hour carries, for the ranking: usual in dimensioning."""
NOW_SHARE = 0.2
"""Share of the last four weeks' days above its limit from which a cell is full now: more than
one day a week."""


class State(StrEnum):
    """What can be said of a cell's limit."""

    FULL = "beyond its limit now"
    WILL = "will pass its limit"
    MAY = "may pass its limit"
    NOT = "not within the horizon"
    NO_TREND = "no trend towards its limit"
    SHIFTED = "its level has just shifted"
    SHORT = "history too short"


@dataclass(frozen=True)
class Forecast:
    """One figure of one object against its limit."""

    object: str
    quantity: str
    called: str
    """What the input calls it."""
    unit: str
    limit: float
    above: bool
    """Whether the limit is exceeded from above it; False where from below."""
    state: State
    words: str
    now: float
    """Median of the busiest weekday over the last four weeks [unit]."""
    slope_per_month: float
    """Expected change in 30 days [unit]; NaN where not fitted."""
    toward: float
    """Probability that the trend leads to the limit."""
    probability: float
    """That the limit is exceeded within the horizon, in the mean of a week."""
    horizon_days: float
    dates_s: tuple[float, float, float, float, float]
    """5, 25, 50, 75 and 95 % quantile of the day on which the busy hour of the busiest weekday
    first exceeds the limit, in the mean of the week around it, seconds since the epoch; infinity
    is beyond the horizon."""
    beyond: float
    """Expected share of the days within the horizon on which the limit is exceeded."""
    ahead: Floats
    """5, 25, 50, 75, 95 % quantile of the busiest weekday's level in each week ahead, (5, W)."""
    history: Floats
    """Daily values, (D,)."""
    start_s: float
    """Midnight of the first day [s]."""
    busy_hour: int
    """Usual busy hour of the day; -1 where periods are days."""


@dataclass(frozen=True)
class Limit:
    """A figure and the limit of it."""

    quantity: str
    value: float
    above: bool = True
    growing: bool = False
    """Whether it grows by shares of itself, so that its logarithm is straight."""


def limits_of(limits: Limits) -> tuple[Limit, ...]:
    """Return the figures that are forecast, and their limits."""
    users = math.isfinite(limits.connected_users)
    return (
        Limit("prb_utilisation_ratio", limits.prb_utilisation_ratio),
        Limit(UPLINK_PRB, limits.prb_utilisation_ratio),
        Limit("ue_throughput_mbps", limits.ue_throughput_mbps, above=False, growing=True),
        *((Limit("RRC.ConnMax", limits.connected_users, growing=True),
           Limit("RRC.ConnMean", limits.connected_users, growing=True)) if users else ()),
    )  # fmt: skip


def forecasts(seen: Seen, limits: Limits, rng: np.random.Generator) -> tuple[Forecast, ...]:
    """Return for each object and limited figure when its limit will be exceeded.

    Args:
        seen: Measurements of periods of at most an hour, or of a day.
        limits: From where on something is to be done.
        rng: Where chance comes from.
    """
    out: list[Forecast] = []
    for limit in limits_of(limits):
        days = daily(seen, limit.quantity, worst="high" if limit.above else "low")
        if days is not None:
            out += _of(seen, days, limit, limits.horizon_days, rng)
    return tuple(out)


def _of(
    seen: Seen, days: Daily, limit: Limit, horizon_days: float, rng: np.random.Generator
) -> list[Forecast]:
    count = days.values.shape[1]
    known = np.isfinite(days.values).sum(axis=1)
    fits = (known >= FEWEST_DAYS) & (known >= FEWEST_SHARE * count)
    rows = np.flatnonzero(fits)
    scale = _scaled(days.values[rows], limit)
    fitted = fit(scale, days.first_weekday) if rows.size else None
    place = {int(row): at for at, row in enumerate(rows)}
    out = []
    for row in range(len(seen.objects)):
        if not known[row]:
            continue
        common = _common(seen, days, limit, row, horizon_days)
        at = place.get(row)
        if at is None or fitted is None:
            words = (
                f"{known[row]} of {count} days have a value; a trend is told from the week "
                f"from {FEWEST_DAYS} on, of which {FEWEST_SHARE:.0%} must be there"
            )
            full = _full_now(days.values[row], limit)
            state = State.FULL if full and known[row] >= RECENT_DAYS // 2 else State.SHORT
            out.append(_made(common, state, _full_words(days.values[row], limit) if
                             state is State.FULL else words))  # fmt: skip
            continue
        out.append(_judged(common, fitted, at, (days, limit), rng))
    return out


def _scaled(values: Floats, limit: Limit) -> Floats:
    if not limit.growing:
        return values
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(values > 0, np.log(values), np.nan)


def _common(seen: Seen, days: Daily, limit: Limit, row: int, horizon_days: float) -> Forecast:
    values = days.values[row]
    recent = values[-RECENT_DAYS:]
    by_day = [recent[k::7][np.isfinite(recent[k::7])] for k in range(7)]
    middles = [float(np.median(one)) for one in by_day if one.size]
    now = (max(middles) if limit.above else min(middles)) if middles else math.nan
    return Forecast(
        seen.objects[row], limit.quantity, seen.called(limit.quantity),
        _unit(limit.quantity), limit.value, limit.above, State.SHORT, "", now, math.nan,
        math.nan, math.nan, min(horizon_days, float(values.size)), (math.inf,) * 5,
        float(_beyond(recent, limit).mean()) if _beyond(recent, limit).size else 0.0,
        np.zeros((5, 0)), values, days.start_s,
        int(days.busy_hour[row]) if days.busy_hour is not None else -1,
    )  # fmt: skip


def _unit(quantity: str) -> str:
    known = QUANTITIES.get(quantity)
    return known.unit if known is not None else "ratio"


def _made(common: Forecast, state: State, words: str, **changed: object) -> Forecast:
    return replace(common, state=state, words=words, **changed)  # type: ignore[arg-type]


def _beyond(values: Floats, limit: Limit) -> Bools:
    known = values[np.isfinite(values)][-RECENT_DAYS:]
    return known > limit.value if limit.above else known < limit.value


def _full_now(values: Floats, limit: Limit) -> bool:
    beyond = _beyond(values[-RECENT_DAYS:], limit)
    return bool(beyond.size and beyond.mean() > NOW_SHARE)


def _full_words(values: Floats, limit: Limit) -> str:
    beyond = _beyond(values[-RECENT_DAYS:], limit)
    side = "above" if limit.above else "below"
    return f"{side} its limit on {int(beyond.sum())} of the last {beyond.size} days with a value"


def _judged(
    common: Forecast, fitted: Fitted, at: int, what: tuple[Daily, Limit],
    rng: np.random.Generator,
) -> Forecast:  # fmt: skip
    days, limit = what
    sign = 1.0 if limit.above else -1.0
    toward = float(fitted.towards(sign)[at])
    horizon = int(common.horizon_days)
    drawn = draw(fitted, at, horizon, DRAWS, rng)
    busiest = (drawn.weekday * sign).max(axis=1) * sign
    level = drawn.level + busiest[:, None]
    lasting = _week_means(level)
    mark = math.log(limit.value) if limit.growing else limit.value
    crossed = lasting > mark if limit.above else lasting < mark
    ever = crossed.any(axis=1)
    first = np.where(ever, crossed.argmax(axis=1).astype(np.float64), np.inf)
    end_s = days.start_s + days.values.shape[1] * DAY_S
    dates = np.quantile(first, [0.05, 0.25, 0.5, 0.75, 0.95], method="inverted_cdf")
    slope = float(np.median(drawn.slope)) * 30.0
    if limit.growing:
        slope = common.now * math.expm1(slope)
    ahead = np.quantile(level[:, 6::7], [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
    known: dict[str, object] = {
        "slope_per_month": slope, "toward": toward, "probability": float(ever.mean()),
        "beyond": max(float(crossed.mean()), common.beyond),
        "dates_s": tuple(float(end_s + day * DAY_S) for day in dates),
        "ahead": np.exp(ahead) if limit.growing else ahead,
    }  # fmt: skip
    if fitted.shift[at] > SHIFT_RATIO:
        back = days.values.shape[1] - int(fitted.shift_day[at])
        full = _full_now(common.history[-back:], limit) and back >= 7  # noqa: PLR2004
        words = f"its level shifted {back} days before the end: what comes next is not known yet"
        none = {"probability": math.nan, "dates_s": (math.inf,) * 5}
        if full:
            return _made(common, State.FULL, _full_words(common.history[-back:], limit),
                         **{**known, **none})  # fmt: skip
        return _made(common, State.SHIFTED, words, **{**known, **none})
    if _full_now(common.history, limit):
        return _made(common, State.FULL, _full_words(common.history, limit), **known)
    return _stated(common, known, toward, float(ever.mean()))


def _week_means(level: Floats) -> Floats:
    """Return the mean of the week around each day, the ends repeated beyond, (M, H).

    A limit counts as exceeded when a week exceeds it. Of a level that wanders some single day
    nearly always does: on the first days of real sites 37 % of limits would have been exceeded
    within one to three months by that, and 19 to 28 % were.
    """
    half = WEEK // 2
    padded = np.pad(level, ((0, 0), (half, half)), mode="edge")
    total = np.cumsum(np.pad(padded, ((0, 0), (1, 0))), axis=1)
    return np.asarray((total[:, WEEK:] - total[:, :-WEEK]) / WEEK)


def _stated(
    common: Forecast, known: dict[str, object], toward: float, probability: float
) -> Forecast:
    horizon = f"{common.horizon_days:.0f} days"
    if toward < 0.9 and probability < 0.5:  # noqa: PLR2004
        words = f"the probability of a trend towards the limit is {toward:.0%}; 90 % are needed"
        return _made(common, State.NO_TREND, words, **known)
    state = State.WILL if probability >= 0.95 else State.MAY  # noqa: PLR2004
    if probability < 0.5:  # noqa: PLR2004
        state = State.NOT
    return _made(
        common, state, f"exceeds its limit within {horizon} with probability {probability:.0%}",
        **known,
    )  # fmt: skip


def capacity_advice(found: Sequence[Forecast], seen: Seen) -> list[Recommendation]:
    """Return what forecasts recommend: one for each object, of the figure that is first.

    Args:
        found: Forecasts of these measurements.
        seen: The measurements, for users.
    """
    urgent = [one for one in found if one.state in (State.FULL, State.WILL, State.MAY)]
    urgent.sort(key=lambda one: (one.state is not State.FULL, one.dates_s[2], -one.probability))
    first: dict[str, Forecast] = {}
    for one in urgent:
        first.setdefault(one.object, one)
    return [_recommended(one, seen) for one in first.values()]


def _recommended(one: Forecast, seen: Seen) -> Recommendation:
    full = one.state is State.FULL
    probability = 1.0 if full else one.probability
    days = [(date - (one.start_s + one.history.size * DAY_S)) / DAY_S for date in one.dates_s]
    when = Expected(
        "days until the limit", "days", days[2], days[1], days[3], days[0], days[4],
        Basis.MEASURED,
    )  # fmt: skip
    kind = "exceeds" if one.above else "falls below"
    what = f"{one.called} in its busy hour" if one.busy_hour >= 0 else f"its daily {one.called}"
    headline = (
        f"Add capacity at {one.object}: {what} {kind} the limit of {_shown(one.limit, one)} "
        + ("now" if full else f"in about {days[2]:.0f} days")
    )
    evidence = [f"{one.called}: {one.words}; {_shown(one.now, one)} on its busiest weekday now"]
    if math.isfinite(one.slope_per_month) and not full:
        evidence.append(
            f"{_shown(one.slope_per_month, one, signed=True)} a month; the probability that it "
            f"leads to the limit is {one.toward:.0%}"
        )
    row = seen.objects.index(one.object)
    series = seen.values[one.quantity][row]
    back = one.limit - one.now  # what capacity must do at least: bring it back to the limit
    least = 0.05 * one.limit * (-1.0 if one.above else 1.0)
    headroom = back if full and back * least > least**2 else least
    known = int(np.isfinite(one.history).sum())
    if known < 0.9 * one.history.size:
        evidence.append(
            f"only {known} of {one.history.size} days have a value: if the export keeps busy days "
            "only, this is said of these"
        )
    risk = (
        "no growth is foretold: the load may fall again by itself, as after an event" if full else
        "growth may end, and the capacity is not needed: the limit is not reached within "
        f"{one.horizon_days:.0f} days"
    )  # fmt: skip
    return Recommendation(
        Topic.CAPACITY, (one.object,), headline, (), _needed(one) if full else when,
        tuple(evidence), users_of(seen, one.object), risk,
        math.nan if full else 1.0 - probability,
        verification(one.called, one.unit, series, seen.step_s, headroom),
        "nothing is set: a work order; a carrier that was added can be locked again",
        _surely_full(one) if full else probability,
        (BUSY_SHARE if one.busy_hour >= 0 else 1.0) * one.beyond,
        "balance or offload first where a neighbour has room",
    )  # fmt: skip


def _surely_full(one: Forecast) -> float:
    """Return the probability that the limit is exceeded on more than one day a week."""
    beyond = _beyond(one.history[-RECENT_DAYS:], Limit(one.quantity, one.limit, one.above))
    count = int(beyond.sum())
    return float(beta.sf(NOW_SHARE, count + 0.5, beyond.size - count + 0.5))


def _needed(one: Forecast) -> Expected:
    """Return how much more capacity would keep the days of the last weeks within the limit."""
    known = one.history[np.isfinite(one.history)][-RECENT_DAYS:]
    lack = known / one.limit if one.above else one.limit / np.maximum(known, 1e-9)
    return Expected.of_draws(
        "capacity that keeps a day within the limit, over what is there", "%",
        100.0 * (lack - 1.0), Basis.MEASURED,
    )  # fmt: skip


def users_of(seen: Seen, name: str) -> float:
    """Return the mean number of users of an object, NaN where it is not measured."""
    row = seen.objects.index(name)
    for quantity in ("RRC.ConnMean", "DRB.MeanActiveUeDl", "RRC.ConnMax"):
        values = seen.get(quantity)
        if values is not None and np.isfinite(values[row]).any():
            return float(np.nanmean(values[row]))
    return math.nan


def _shown(value: float, one: Forecast, *, signed: bool = False) -> str:
    scale, unit = (100.0, "%") if one.unit == "ratio" else (1.0, one.unit)
    digits = f"{scale * value:+.3g}" if signed else f"{scale * value:.3g}"
    return f"{digits} {unit}".rstrip()
