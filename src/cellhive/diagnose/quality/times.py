"""Are the times of the rows what they seem: the period, the zone, the clock?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from cellhive.core.measurements import (
    OBJECT,
    PERIOD_S,
    TIME,
    Finding,
    Measurements,
    Role,
    Severity,
)
from cellhive.core.types import Bools, Floats
from cellhive.diagnose.quality.column import (
    DAY_S,
    Indices,
    Rows,
    clock,
    listed,
    many,
    moment,
    values_of,
)
from cellhive.diagnose.quality.rows import finding_of_rows

MAJORITY = 0.8
"""Share of the steps that must fit a period."""
SAME_TIME = 1e-3
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
FAR = 20.0
"""Spans of the bulk of the times, beyond which a few times are wrong."""
FEW = 0.01
"""Share of the rows that a few are at most."""
FEWEST_STEPS = 12
"""Distances between rows from which they say more than the length that is stated."""


def span_of(seconds: float) -> str:
    """Return a length of time in words: "hour", "15 minutes"."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        if seconds >= length and seconds % length == 0:
            count = int(seconds // length)
            return unit if count == 1 else f"{count} {unit}s"
    return f"{seconds:g} seconds"


def expected_period(frame: pl.DataFrame) -> float | None:
    """Return the usual distance of two rows of an object [s]; None where no object has two.

    The most frequent distance counts; the length of the period is used where it is the
    only thing known. Exports that leave out rows still show the period this way.
    """
    timed = frame.select(OBJECT, TIME, PERIOD_S).filter(pl.col(TIME).is_not_null())
    steps = _steps(timed)["step"]
    stated = timed[PERIOD_S].drop_nulls()
    counts = steps.value_counts().sort(["count", "step"], descending=[True, False])
    usual = float(counts["step"][0]) if steps.len() else None
    if stated.len() and stated.n_unique() == 1:
        only = float(stated[0])
        if usual is None or (
            # Where rows are left out, steps differ; where nearly all agree, they are the period.
            _multiples(steps, only)
            and counts["count"][0] <= MAJORITY * max(steps.len(), FEWEST_STEPS)
        ):
            return only if only > 0 else usual
    return usual


def _steps(timed: pl.DataFrame) -> pl.DataFrame:
    """Return object, time and distance to the row before [s] of all rows but the first."""
    return (
        timed.select(OBJECT, TIME)
        .sort(OBJECT, TIME)
        .with_columns(
            (pl.col(TIME).diff().dt.total_microseconds() / 1e6).alias("step"),
            (pl.col(OBJECT) == pl.col(OBJECT).shift()).alias("_same"),
        )
        .filter(pl.col("_same") & (pl.col("step") > 0))
        .drop("_same")
    )


def _multiples(steps: pl.Series, period: float) -> bool:
    ratio = steps.to_numpy() / period
    return bool(np.mean(np.abs(ratio - np.rint(ratio)) < SAME_TIME) > MAJORITY)


# Times that cannot be --------------------------------------------------------------


FEWEST_DATES = 3
"""Dates that must stand alone to look exchanged."""


def say_exchanged_dates(m: Measurements, found: list[Finding]) -> None:
    """Say where the day and the month of some dates seem to be exchanged.

    Such dates stand alone, a month from each other, and lie one beside the other once they are
    turned round.
    """
    dates = m.frame[TIME].drop_nulls().dt.date().unique().to_list()
    day = timedelta(days=1)
    present = set(dates)
    alone = [d for d in dates if {d - day, d + day}.isdisjoint(present) and d.day <= 12]  # noqa: PLR2004  # months
    turned = {d: d.replace(month=d.day, day=d.month) for d in alone if d.day != d.month}
    if len(turned) < FEWEST_DATES:
        return
    right = (present - set(turned)) | set(turned.values())
    fits = [d for d, t in turned.items() if t not in present and {t - day, t + day} & right]
    if len(fits) < MAJORITY * len(turned):
        return
    rows = m.frame.filter(pl.col(TIME).dt.date().is_in(fits))
    first = min(fits)
    found.append(
        finding_of_rows(
            Severity.WARNING, "day-and-month-exchanged",
            ("dates beside each other", f"{len(fits)} dates that stand alone, and do not if day "
             f"and month are exchanged, for example {first} for {turned[first]}",
             "kept as read; export times as year-month-day"),
            rows, rows.height,
        )
    )  # fmt: skip


def without_odd_times(m: Measurements, found: list[Finding]) -> Measurements:
    """Leave out rows whose time cannot be, or lies far from that of all others."""
    times = m.frame[TIME].drop_nulls()
    if times.len() < 12:  # noqa: PLR2004  # too few to know what is usual
        return m
    ordered = times.sort()
    first: datetime = ordered[int(0.02 * ordered.len())]
    last: datetime = ordered[-1 - int(0.02 * ordered.len())]
    margin = max(last - first, timedelta(days=1)) * FAR
    low, high = max(EARLIEST, _shifted(first, -margin)), min(LATEST, _shifted(last, margin))
    odd = (pl.col(TIME) < low) | (pl.col(TIME) > high)
    rows = m.frame.filter(odd)
    if rows.is_empty() or rows.height > FEW * m.frame.height + 1:
        return m
    found.append(
        finding_of_rows(
            Severity.WARNING, "impossible-time",
            (f"times near {clock(first)} to {clock(last)}",
             f"{rows.height} rows far outside, for example {clock(rows[TIME][0])}",
             "left out: the clock was wrong, or the date was misread"), rows, rows.height,
        )
    )  # fmt: skip
    return replace(m, frame=m.frame.filter(~odd.fill_null(value=False)))


def _shifted(time: datetime, margin: timedelta) -> datetime:
    try:
        return time + margin
    except OverflowError:
        return EARLIEST if margin < timedelta(0) else LATEST


# Rows of another length or off the grid ---------------------------------------------


def say_granularity(m: Measurements, period: float, found: list[Finding]) -> set[str]:
    """Find rows of another granularity than the usual one, and rows beside the grid.

    Returns:
        The objects whose rows come at longer, regular distances.
    """
    timed = m.frame.select(OBJECT, TIME).filter(pl.col(TIME).is_not_null())
    if timed.height < 12:  # noqa: PLR2004  # too few to have a usual step
        return set()
    steps = _steps(timed)
    _say_finer(steps, period, found)
    _say_beside(timed, period, found)
    return _say_coarser(steps, period, found)


def _say_finer(steps: pl.DataFrame, period: float, found: list[Finding]) -> None:
    finer = steps.filter(pl.col("step") < 0.95 * period)
    if finer.height < 12 or finer.height < 0.005 * steps.height:  # noqa: PLR2004
        return
    counts = finer["step"].round().value_counts(sort=True)
    usual = float(counts["step"][0])
    found.append(
        finding_of_rows(
            Severity.WARNING, "finer-rows",
            (f"a row every {span_of(period)}", f"{finer.height} rows closer together, most "
             f"{span_of(usual)} after the one before: rows of several granularities in one table",
             f"rows that fall on the same {span_of(period)} cannot all be shown: the last counts "
             "in summaries and incidents; export one granularity"), finer, finer.height,
        )
    )  # fmt: skip


def _say_coarser(steps: pl.DataFrame, period: float, found: list[Finding]) -> set[str]:
    """Say and return which objects report in longer periods than the others."""
    by = steps.group_by(OBJECT).agg(
        pl.col("step").median().alias("usual"), pl.len().alias("n"),
        (pl.col("step") - pl.col("step").median()).abs().le(0.01 * pl.col("step").median())
        .mean().alias("same"),
    )  # fmt: skip
    coarse = by.filter(
        (pl.col("usual") >= 1.95 * period) & (pl.col("n") >= 3) & (pl.col("same") >= MAJORITY)  # noqa: PLR2004
    ).sort(OBJECT)
    if coarse.is_empty() or coarse.height == by.height:
        return set()
    usual = float(coarse["usual"].mode().sort()[0])
    rows = steps.filter(pl.col(OBJECT).is_in(coarse[OBJECT].implode()))
    finding = finding_of_rows(
        Severity.WARNING, "coarser-rows",
        (f"a row every {span_of(period)}", f"a row every {span_of(usual)} in {coarse.height} of "
         f"{by.height} objects: {listed(coarse[OBJECT].to_list())}",
         "kept as found; if they are sums over the longer period, they cannot be compared with "
         "the other objects"), rows, rows.height,
    )  # fmt: skip
    found.append(replace(finding, count=coarse.height, counted="objects"))
    return set(coarse[OBJECT].to_list())


def _say_beside(timed: pl.DataFrame, period: float, found: list[Finding]) -> None:
    """Say which rows lie beside the grid of periods that most lie on."""
    seconds = timed[TIME].dt.epoch("us").to_numpy() / 1e6
    phase = np.mod(np.rint(seconds * 10) / 10, period)
    sample = phase[:: max(phase.size // 20000, 1)]
    values, counts = np.unique(sample, return_counts=True)
    usual = float(values[np.argmax(counts)])
    if counts.max() < MAJORITY * sample.size:
        return
    off = np.abs(phase - usual)
    beside = np.minimum(off, period - off) > SAME_TIME * period
    if not beside.any():
        return
    rows = timed.filter(pl.Series(beside))
    found.append(
        finding_of_rows(
            Severity.WARNING, "times-beside-the-grid",
            (f"a row every {span_of(period)}, as most are",
             f"{rows.height} rows at other times, for example {rows[OBJECT][0]} at "
             f"{rows[TIME][0]:%Y-%m-%d %H:%M:%S}",
             "each is shown in the nearest period; where two meet, the last counts"),
            rows, rows.height,
        )
    )  # fmt: skip


# Zones ------------------------------------------------------------------------------


def say_zone(m: Measurements, found: list[Finding]) -> None:
    """Say whether it is known in which zone the times are."""
    if m.time_zone == "mixed":
        found.append(
            Finding(
                Severity.WARNING, "time-zones-mixed", "one time zone", "several",
                "each time was converted to UTC with its own offset",
            )
        )  # fmt: skip
    elif m.time_zone == "" and m.frame[TIME].null_count() < m.frame.height:
        found.append(
            Finding(
                Severity.INFO, "time-zone-unknown", "a time zone", "none stated",
                "times are shown as they are written; a change of summer time would show as a "
                "gap or a repetition of one hour",
            )
        )  # fmt: skip


def between(measurements: Sequence[Measurements]) -> list[Finding]:
    """Return what is odd about tables beside each other: several periods, other zones."""
    found: list[Finding] = []
    zones: dict[tuple[str, ...], list[Measurements]] = {}
    for m in measurements:
        lengths = m.frame[PERIOD_S].drop_nulls().value_counts().sort(PERIOD_S)
        file = m.sources[0] if len(m.sources) == 1 else m.name
        if lengths.height > 1:
            told = [f"{many(count, 'row')} of {length:g} s" for length, count in lengths.rows()]
            found.append(
                Finding(
                    Severity.WARNING, "several-periods", "one length of period",
                    listed(told, 5), "judged apart from each other; nothing was added up",
                    file=file, count=lengths.height, counted="lengths",
                )
            )  # fmt: skip
        zones.setdefault(tuple(m.columns), []).append(m)
    for group in zones.values():
        names = sorted({m.time_zone or "none stated" for m in group})
        if len(names) > 1:
            first = {name: next(m for m in group if (m.time_zone or "none stated") == name)
                     for name in names}  # fmt: skip
            told = [f"{name} in {(m.sources or (m.name,))[0]}" for name, m in first.items()]
            found.append(
                Finding(
                    Severity.WARNING, "time-zones-differ", "one time zone in all files",
                    listed(told), "the files are judged apart; where none is stated, times are "
                    "taken as they are written and may be hours off: give time_zone in a mapping",
                    file=group[0].name, count=len(group), counted="tables",
                )
            )  # fmt: skip
    return found


# The course of the day ----------------------------------------------------------------

LEAST_DAYS = 6
"""Days from which it can be told that the course of the day moved."""
LASTING = 3
"""Days that a shift must last."""
CYCLIC = 0.7
"""Correlation with the usual course from which a day has one."""
GAIN = 0.5
"""Share of what a day's course leaves unexplained, that must remain at most after a shift."""
KPIS = 6


def say_shifted_days(m: Measurements, rows: Rows, found: list[Finding]) -> None:
    """Find stretches of days in which all objects together are hours early or late.

    That happens when an export goes from local time to UTC, when clocks are changed, or when
    files in several zones are put together.

    Args:
        m: Measurements without what cannot be.
        rows: Objects and times of their rows.
        found: Takes the finding.
    """
    period = rows.period_s
    if rows.seconds is None or period is None or period > DAY_S / 12 or DAY_S % period:
        return
    slots = round(DAY_S / period)
    first = np.floor(rows.seconds.min() / DAY_S) * DAY_S
    place = np.rint((rows.seconds - first) / period).astype(np.int64)
    days = int(place.max()) // slots + 1
    if days < LEAST_DAYS or days * slots > 20 * rows.seconds.size:
        return
    names = [n for n, i in m.columns.items() if i.role in _CYCLIC and i.bin is None][:KPIS]
    curves = {name: _courses(values_of(m.frame[name]), place, days, slots) for name in names}
    known = {name: curve for name, curve in curves.items() if curve is not None}
    calendar = _Calendar(first, days, slots, place)
    if not _say_moved(list(known.values()), "", calendar, (m, rows, found)):
        for name, curve in known.items():
            _say_moved([curve], name, calendar, (m, rows, found))


@dataclass(frozen=True)
class _Calendar:
    """The days of a table."""

    first: float
    """Midnight of the first day, seconds since the epoch [s]."""
    days: int
    slots: int
    """Periods of a day."""
    place: Indices
    """Period of each row, from 0 at the first midnight, (rows,)."""


def _say_moved(
    curves: Sequence[Floats], column: str, calendar: _Calendar,
    where: tuple[Measurements, Rows, list[Finding]],
) -> bool:  # fmt: skip
    """Say on which days the courses moved, of all columns together or of one; False if on none."""
    m, rows, found = where
    slots, first = calendar.slots, calendar.first
    lags = _lags(curves, slots)
    if lags is None:
        return False
    usual = _mode(lags)
    moved = _lasting((lags != usual) & (lags != _UNKNOWN))
    if not moved.any() or moved.sum() > 0.5 * calendar.days:
        return False
    hours = [int(x) * DAY_S / slots / 3600 for x in np.unique(lags[moved] - usual)]
    hours = [(h + 12) % 24 - 12 for h in hours]
    at = np.isin(calendar.place // slots, np.flatnonzero(moved))
    on = np.flatnonzero(moved)
    told = listed([f"{abs(h):g} h {'later' if h > 0 else 'earlier'}" for h in hours])
    clock_change = m.time_zone in {"UTC", "mixed"} and all(abs(h) == 1 for h in hours)
    done = (
        "kept as found; people's clocks were changed" if clock_change else
        "kept as found; local time and UTC may be mixed, or clocks were changed: give "
        "time_zone in a mapping" if not column else
        "kept as found; the other columns did not move: this one may be read at other times"
    )  # fmt: skip
    finding = rows.finding(
        Severity.INFO if clock_change else Severity.WARNING, "daily-course-shifted",
        ("the same course of the day all the time",
         f"a course {told} on {on.size} days between {_day(first, on[0])} and "
         f"{_day(first, on[-1])}, in all objects together", done), at, (int(on.size), "days"),
    )  # fmt: skip
    found.append(replace(finding, column=column))
    return True


_CYCLIC = {Role.COUNTER, Role.GAUGE, Role.UNKNOWN}
_UNKNOWN = -(10**6)


def _day(first: float, index: int) -> str:
    return f"{moment(first + float(index) * DAY_S):%Y-%m-%d}"


def _courses(values: Floats, place: Indices, days: int, slots: int) -> Floats | None:
    """Return the mean over objects in each period, each day scaled alike, (days, slots)."""
    known = ~np.isnan(values)
    count = np.bincount(place[known], minlength=days * slots)
    total = np.bincount(place[known], values[known], minlength=days * slots)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan).reshape(days, slots)
    full = np.sum(~np.isnan(mean), axis=1) > 0.9 * slots  # nearly whole days
    if full.sum() < LEAST_DAYS:
        return None
    middle = np.where(full, np.nansum(mean, axis=1) / np.maximum((~np.isnan(mean)).sum(1), 1), 0)
    centred = np.where(np.isnan(mean), 0.0, mean - middle[:, None])
    size = np.sqrt(np.sum(centred**2, axis=1))
    ok = full & (size > 0)
    if ok.sum() < LEAST_DAYS:
        return None
    return np.where(ok[:, None], centred / np.maximum(size, 1e-300)[:, None], np.nan)


def _lags(curves: Sequence[Floats], slots: int) -> Indices | None:
    """Return by how many periods each day lies behind the first days; None without a cycle."""
    scores: list[Floats] = []
    for curve in curves:
        good = np.flatnonzero(~np.isnan(curve[:, 0]))
        usual = np.median(curve[good], axis=0)
        # The days that are most alike tell the usual course, even where half are shifted.
        close = curve[good] @ usual
        base = np.median(curve[good][close >= np.quantile(close, 0.4)], axis=0)
        size = float(np.linalg.norm(base))
        if size < CYCLIC:
            continue
        turned = np.stack([np.roll(base, lag) for lag in range(slots)]) / size
        scores.append(curve @ turned.T)
    if not scores:
        return None
    stack = np.stack(scores)
    count = np.sum(~np.isnan(stack), axis=0)
    score = np.where(count > 0, np.nansum(stack, axis=0) / np.maximum(count, 1), np.nan)
    unknown = np.isnan(score).any(axis=1)
    filled = np.where(np.isnan(score), -1.0, score)
    best = np.argmax(filled, axis=1)
    top, none = filled.max(axis=1), filled[:, 0]
    sure = (top >= CYCLIC) & (1 - top <= GAIN * (1 - none))
    lags = np.where(sure, np.where(best > slots // 2, best - slots, best), 0)
    return np.asarray(np.where(unknown, _UNKNOWN, lags))


def _mode(lags: Indices) -> int:
    known = lags[lags != _UNKNOWN]
    values, counts = np.unique(known, return_counts=True)
    return int(values[np.argmax(counts)]) if values.size else 0


def _lasting(moved: Bools) -> Bools:
    """Return the true stretches of at least three days."""
    bounds = np.flatnonzero(np.diff(np.concatenate([[0], moved.astype(np.int8), [0]])))
    out = np.zeros(moved.size, dtype=np.bool_)
    for a, b in bounds.reshape(-1, 2).tolist():
        if b - a >= LASTING:
            out[a:b] = True
    return out
