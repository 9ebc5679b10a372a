"""How completely do objects and counters report, and are they the same ones all the time?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from cellhive.core.measurements import (
    NAMED,
    OBJECT,
    SUSPECT,
    TIME,
    Finding,
    Measurements,
    Role,
    Severity,
)
from cellhive.core.types import Bools, Floats
from cellhive.diagnose.quality.column import Rows, clock, listed, many, values_of
from cellhive.diagnose.quality.times import say_granularity, span_of

SPARSE = 0.5
"""Share of the periods below which an object reports only now and then."""
LATE_PERIODS = 2
"""Periods by which an object may start late or stop early without a word."""
SCATTERED = 20
"""Periods per time that is there, from which the times are samples and not a series."""
RARE = 0.05
"""Share of the periods of all objects, below which rows are recordings."""
SHOWN = 3
NIGHT = 5
"""Hour of the day before which clocks are changed."""
CHANGED = 0.05
"""Share of the objects that come or go, from which means over all are over changing ones."""


@dataclass(frozen=True)
class Coverage:
    """How completely one object reports."""

    object: str
    first: datetime
    last: datetime
    periods: int
    """Periods with a row."""
    expected: int
    """Periods from the first to the last time of the whole table."""

    @property
    def ratio(self) -> float:
        """Share of the expected periods that are there."""
        return self.periods / self.expected if self.expected else 0.0


@dataclass(frozen=True)
class CounterCoverage:
    """How completely one counter is filled in the rows that are there."""

    column: str
    values: int
    """Rows with a value, as read."""
    rows: int
    objects: int
    """Objects that have a value."""
    without: int
    """Objects that have none."""
    lowest: str
    """The object with the smallest share of filled rows, of those that have a value."""
    lowest_ratio: float


def _ends(timed: pl.DataFrame) -> tuple[datetime, datetime]:
    begin, end = timed[TIME].min(), timed[TIME].max()
    assert isinstance(begin, datetime)  # noqa: S101  # timed rows have times
    assert isinstance(end, datetime)  # noqa: S101
    return begin, end


def _expected(timed: pl.DataFrame, period: float) -> int:
    begin, end = _ends(timed)
    return round((end - begin).total_seconds() / period) + 1


def are_recordings(frame: pl.DataFrame, period: float | None) -> bool:
    """Return whether rows are samples of when a phone or a trace was there, and not a series."""
    timed = frame.select(OBJECT, TIME).filter(pl.col(TIME).is_not_null())
    if period is None or timed.height == 0:
        return False
    expected = _expected(timed, period)
    objects = timed[OBJECT].n_unique()
    rare = timed.height < RARE * objects * expected and objects > 2  # noqa: PLR2004
    return timed[TIME].n_unique() * SCATTERED < expected or rare


def coverage_of(
    m: Measurements, period: float | None, found: list[Finding]
) -> tuple[Coverage, ...]:
    """Return how completely each object reports; nothing where times are scattered."""
    timed = m.frame.select(OBJECT, TIME).filter(pl.col(TIME).is_not_null())
    if period is None or timed.height == 0:
        return ()
    begin, end = _ends(timed)
    expected = _expected(timed, period)
    if are_recordings(m.frame, period):
        found.append(
            Finding(
                Severity.INFO, "scattered-times", f"a row of each object every {span_of(period)}",
                f"recordings: {timed[TIME].n_unique()} different times of "
                f"{timed[OBJECT].n_unique()} objects in the {expected} periods from "
                f"{clock(begin)} to {clock(end)}",
                "taken as separate samples, as in a drive test or a trace: what lies between them "
                "is no gap, and rows of one moment are all kept", start=begin, end=end,
            )
        )  # fmt: skip
        return ()
    rows = (
        timed.group_by(OBJECT)
        .agg(
            pl.col(TIME).min().alias("first"),
            pl.col(TIME).max().alias("last"),
            pl.col(TIME).n_unique().alias("n"),
        )
        .sort(OBJECT)
    )
    return tuple(
        Coverage(name, first, last, n, expected) for name, first, last, n in rows.iter_rows()
    )


def say_gaps(
    m: Measurements, period: float | None, coverage: Sequence[Coverage], found: list[Finding]
) -> None:
    """Say which objects report rarely, start late or stop early, and where rows are missing."""
    if period is None or not coverage:
        return
    coarse = say_granularity(m, period, found)
    begin = min(one.first for one in coverage)
    end = max(one.last for one in coverage)
    slack = LATE_PERIODS * period
    regular = [one for one in coverage if one.object not in coarse]
    sparse = [one for one in regular if one.ratio < SPARSE and not _whole(one, period)]
    rare = {one.object for one in sparse} | coarse
    rest = [one for one in coverage if one.object not in rare]
    late = [c for c in rest if (c.first - begin).total_seconds() > slack]
    early = [c for c in rest if (end - c.last).total_seconds() > slack]
    _say_missing(m, period, rest, found)
    if sparse:
        total = sum(one.periods for one in sparse)
        found.append(
            _of_objects(
                Severity.WARNING, "reports-now-and-then", "every object in every period",
                f"{len(sparse)} of {len(coverage)} objects in less than half of the periods "
                f"({total} of {sum(one.expected for one in sparse)} rows): "
                f"{listed([one.object for one in sparse])}",
                "left as it is; if the export holds only rows that passed a filter (busy or bad "
                "ones), its means describe those rows and not the network", sparse,
            )
        )  # fmt: skip
    if late:
        found.append(
            _of_objects(
                Severity.WARNING, "starts-late", "every object from the start",
                f"{many(len(late), 'object')} with no row before a time inside the data: "
                f"{_moments(late, first=True)}", "judged over its own time only", late,
            )
        )  # fmt: skip
    if early:
        found.append(
            _of_objects(
                Severity.WARNING, "stops-early", "every object to the end",
                f"{many(len(early), 'object')} with no row after a time inside the data: "
                f"{_moments(early, first=False)}", "judged over its own time only", early,
            )
        )  # fmt: skip


def _whole(one: Coverage, period: float) -> bool:
    """Return whether an object reports all the time between its own first and last row."""
    own = (one.last - one.first).total_seconds() / period + 1
    return one.periods >= 0.9 * own and one.periods >= 12  # noqa: PLR2004


def _of_objects(
    severity: Severity, code: str, expected: str, told: str, done: str, which: Sequence[Coverage]
) -> Finding:  # fmt: skip
    names = tuple(one.object for one in which)
    return Finding(
        severity, code, expected, told, done, object=names[0], count=len(names),
        counted="objects", objects=len(names), named=names[:NAMED],
        start=min(one.first for one in which), end=max(one.last for one in which),
    )  # fmt: skip


def _moments(which: Sequence[Coverage], *, first: bool) -> str:
    moments: dict[str, list[str]] = {}
    for one in which:
        moments.setdefault(clock(one.first if first else one.last), []).append(one.object)
    ordered = sorted(moments.items(), key=lambda item: (-len(item[1]), item[0]))
    return listed([f"{listed(names, 2)} ({when})" for when, names in ordered])


def _say_missing(
    m: Measurements, period: float, coverage: Sequence[Coverage], found: list[Finding]
) -> None:
    """Say which periods are missing inside the time of an object, and which for all."""
    times = m.frame[TIME].drop_nulls().unique().sort()
    steps = times.diff().dt.total_microseconds().to_numpy() / 1e6
    holes = [(times[i - 1], times[i]) for i in np.flatnonzero(steps > 1.5 * period).tolist()]
    skipped = [hole for hole in holes if _clock_change(hole, period, m.time_zone)]
    _say_skipped(skipped, coverage, found)
    each = round(3600 / period)
    missing: dict[str, int] = {}
    for one in coverage:
        own = round((one.last - one.first).total_seconds() / period) + 1 - one.periods
        own -= each * sum(1 for a, b in skipped if one.first <= a and b <= one.last)
        if own > 0:
            missing[one.object] = own
    if not missing:
        return
    holes = [hole for hole in holes if hole not in skipped]
    worst = max(missing, key=lambda name: missing[name])
    total = sum(missing.values())
    shared = ""
    if holes:
        shown = [f"after {clock(a)} until {clock(b)}" for a, b in holes[:SHOWN]]
        more = f" and {len(holes) - SHOWN} more times" if len(holes) > SHOWN else ""
        shared = f"; no object has any {', '.join(shown)}{more}"
    names = sorted(missing, key=lambda name: -missing[name])
    found.append(
        Finding(
            Severity.WARNING, "gaps", f"a row every {span_of(period)}",
            f"{many(total, 'period')} missing in {len(missing)} of {len(coverage)} objects, "
            f"most in {worst} ({missing[worst]}){shared}",
            "left empty; nothing was filled in", object=worst, count=total, counted="periods",
            objects=len(missing), named=tuple(names[:NAMED]),
        )
    )  # fmt: skip


def _clock_change(hole: tuple[datetime, datetime], period: float, zone: str) -> bool:
    """Return whether a hole is the hour that clocks skip in spring: one hour, at night."""
    before, after = hole
    hour = (after - before).total_seconds() - period == 3600.0  # noqa: PLR2004
    spring = before.month in {3, 4, 5} or before.month in {8, 9, 10, 11}
    weekend = after.weekday() in {3, 4, 5, 6}
    return bool(zone != "UTC" and hour and period <= 3600 and spring and weekend  # noqa: PLR2004
                and after.hour < NIGHT)  # fmt: skip


def _say_skipped(
    skipped: Sequence[tuple[datetime, datetime]],
    coverage: Sequence[Coverage],
    found: list[Finding],
) -> None:
    if not skipped or len(skipped) > 1 + (skipped[-1][1] - skipped[0][0]).days // 300:
        return
    told = listed([f"between {clock(a)} and {clock(b)}" for a, b in skipped])
    found.append(
        Finding(
            Severity.INFO, "clock-change-skipped-hour", "times without a jump",
            f"one hour missing in all {len(coverage)} objects {told}, as when clocks are put "
            "forward in spring", "not counted as a gap; the times are local: give time_zone in a "
            "mapping", count=len(skipped), counted="hours", objects=len(coverage),
            named=tuple(one.object for one in coverage[:NAMED]),
            start=skipped[0][0], end=skipped[-1][1],
        )
    )  # fmt: skip


# Counters --------------------------------------------------------------------------


def counters_of(m: Measurements, rows: Rows, found: list[Finding]) -> tuple[CounterCoverage, ...]:
    """Return how completely each counter is filled, and say where values are missing.

    Args:
        m: Measurements.
        rows: Objects of the rows.
        found: Takes the finding.
    """
    size = rows.ends - rows.starts
    suspect = m.frame[SUSPECT].fill_null(value=False)  # their values were there, and are said
    out: list[CounterCoverage] = []
    for name in m.columns:
        there = (m.frame[name].is_not_null() | suspect).to_numpy()
        count = np.add.reduceat(there.astype(np.int64), rows.starts)
        some = count > 0
        ratio = np.where(some, count / size, np.inf)
        low = int(np.argmin(ratio)) if some.any() else -1
        out.append(
            CounterCoverage(
                name, int(count.sum()), int(there.size), int(some.sum()), int((~some).sum()),
                rows.objects[low] if low >= 0 else "", float(ratio[low]) if low >= 0 else 0.0,
            )
        )  # fmt: skip
    _say_holes(m, out, found)
    return tuple(out)


def _say_holes(m: Measurements, every: Sequence[CounterCoverage], found: list[Finding]) -> None:
    """Say where rows are there and values are not; empty columns are said elsewhere."""
    judged = [
        one for one in every
        if 0.05 * one.rows < one.values < one.rows and m.columns[one.column].bin is None
        and m.columns[one.column].role is not Role.ATTRIBUTE
    ]  # fmt: skip
    if not judged:
        return
    missing = sum(one.rows - one.values for one in judged)
    worst = min(judged, key=lambda one: one.values / one.rows)
    partly = [one for one in judged if one.without]
    absent = (
        f"; some objects have none at all in {len(partly)} of these columns, for example "
        f"{partly[0].without} of {partly[0].without + partly[0].objects} in {partly[0].column}"
        if partly else ""
    )  # fmt: skip
    share = 100 * (1 - worst.values / worst.rows)
    found.append(
        Finding(
            Severity.INFO, "values-missing", "a value of every counter in every row",
            f"{many(missing, 'value')} missing in {len(judged)} of {len(every)} columns, most in "
            f"{worst.column} ({share:.3g} % of its rows){absent}",
            "left empty; means are over the values that are there", count=missing,
            counted="values",
        )
    )  # fmt: skip


# Changing populations ----------------------------------------------------------------


def say_population(
    m: Measurements,
    coverage: Sequence[Coverage],
    rows: Rows,
    columns: Sequence[str],
    found: list[Finding],
) -> None:
    """Say how much a mean over all objects moves only because objects come and go.

    Args:
        m: Measurements without what cannot be.
        coverage: Of the objects.
        rows: Objects and times of the rows.
        columns: Columns to compare by.
        found: Takes the finding.
    """
    if rows.seconds is None or len(coverage) < 2:  # noqa: PLR2004  # one object is no population
        return
    begin, end = float(rows.seconds.min()), float(rows.seconds.max())
    third = (end - begin) / 3
    head, tail = rows.seconds < begin + third, rows.seconds > end - third
    early = np.zeros(len(rows.objects), dtype=np.bool_)
    late = early.copy()
    early[rows.row[head]] = True
    late[rows.row[tail]] = True
    stay = early & late
    come, go = int((late & ~early).sum()), int((early & ~late).sum())
    if stay.sum() < 2 or come + go < max(2, CHANGED * len(rows.objects)):  # noqa: PLR2004
        return
    effect = max(
        (_effect(values_of(m.frame[n]), head, tail, stay[rows.row], n) for n in columns),
        default=None, key=lambda item: item[0],
    )  # fmt: skip
    if effect is None or effect[0] == 0:
        return
    _, name, everyone, same = effect
    which = (late & ~early) | (early & ~late)
    named = rows.names(which)
    found.append(
        Finding(
            Severity.WARNING, "changing-population", "the same objects all the time",
            f"{come} objects came and {go} went between the first and the last third of the time; "
            f"the mean of {name} changes by {everyone:+.3g} % over all objects, and by "
            f"{same:+.3g} % over the {int(stay.sum())} that stayed",
            "kept; means and trends over all objects are over a changing population",
            object=named[0], column=name, count=come + go, counted="objects", objects=come + go,
            named=tuple(named[:NAMED]),
        )
    )  # fmt: skip


def _effect(
    values: Floats, head: Bools, tail: Bools, stay: Bools, name: str
) -> tuple[float, str, float, float]:  # fmt: skip
    """Return by how much two changes differ, the column, and both changes [%]."""
    known = ~np.isnan(values)
    parts = [values[which & known] for which in (head, tail, head & stay, tail & stay)]
    if any(part.size == 0 for part in parts):
        return 0.0, name, 0.0, 0.0
    a, b, c, d = (float(part.mean()) for part in parts)
    if a == 0 or c == 0:
        return 0.0, name, 0.0, 0.0
    everyone, same = 100 * (b - a) / abs(a), 100 * (d - c) / abs(c)
    return abs(everyone - same), name, everyone, same
