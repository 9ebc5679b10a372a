"""Can these measurements be trusted? What is wrong with them, and what was done about it.

Nothing is averaged, filled in or dropped without a finding that says so. Values that
cannot be are set to null, never to another number; everything else stays as it was.
Rows, times and identities are judged here, the values of the columns in ``diagnose.values``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import polars as pl

from cellhive.core.measurements import (
    OBJECT,
    PERIOD_S,
    SUSPECT,
    TIME,
    Finding,
    Measurements,
    Severity,
)
from cellhive.diagnose.quality.values import examine_values, listed

SPARSE = 0.5
"""Share of the periods below which an object reports only now and then."""
LATE_PERIODS = 2
"""Periods by which an object may start late or stop early without a word."""
NEARLY_EMPTY = 0.05
"""Share of filled values up to which a column is called nearly empty."""
MAJORITY = 0.8
"""Share of identifiers that make a form the usual one."""
SCATTERED = 20
"""Periods per time that is there, from which the times are samples and not a series."""
SHOWN_TIMES = 3
SAME_TIME = 1e-3


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
class Examined:
    """Measurements that can be worked with, and what was found on the way."""

    measurements: Measurements
    findings: tuple[Finding, ...]
    period_s: float | None
    """Expected distance of two rows of an object [s]; None where it cannot be told."""
    coverage: tuple[Coverage, ...]


def examine(measurements: Measurements) -> Examined:
    """Return measurements without what cannot be, and the findings that say what that was."""
    found: list[Finding] = []
    measurements = _without_duplicates(measurements, found)
    measurements = _without_suspect(measurements, found)
    measurements = _without_timeless(measurements, found)
    period = expected_period(measurements.frame)
    coverage = _coverage(measurements, period, found)
    _say_gaps(measurements, period, coverage, found)
    _say_zone(measurements, found)
    _say_labels(measurements, found)
    measurements, of_values = examine_values(measurements, period)
    file = measurements.sources[0] if len(measurements.sources) == 1 else measurements.name
    every = tuple(replace(one, file=one.file or file) for one in (*found, *of_values))
    return Examined(measurements, every, period, coverage)


# Rows ------------------------------------------------------------------------


def _without_duplicates(m: Measurements, found: list[Finding]) -> Measurements:
    timeless = m.frame.filter(pl.col(TIME).is_null())
    frame = m.frame.filter(pl.col(TIME).is_not_null())
    keys = [OBJECT, TIME, PERIOD_S]
    repeated = frame.select(pl.struct(keys).is_duplicated()).to_series()
    if frame.height == 0 or not repeated.any():
        return m
    filled = pl.sum_horizontal(pl.col(name).is_not_null() for name in m.columns)
    order = frame.with_row_index("_row").with_columns(filled.alias("_filled"))
    distinct = frame.unique(maintain_order=True)
    same = frame.height - distinct.height
    kept = (
        order.sort(["_filled", "_row"], descending=[True, False])
        .unique(subset=keys, keep="first", maintain_order=True)
        .sort("_row")
        .drop("_row", "_filled")
    )
    differing = distinct.height - kept.height
    example = frame.filter(repeated).row(0, named=True)
    place = f"{example[OBJECT]} at {_clock(example[TIME])}"
    if same:
        found.append(
            Finding(
                Severity.INFO, "duplicate-rows", "one row per object and period",
                f"{same} rows that repeat another one exactly, for example {place}",
                "one of each was kept", object=str(example[OBJECT]), count=same,
            )
        )  # fmt: skip
    if differing:
        found.append(
            Finding(
                Severity.WARNING, "conflicting-rows", "one row per object and period",
                f"{differing} rows with the key of another one but other values, "
                f"for example {place}",
                "the row with most values was kept, the first of equals; nothing was averaged",
                object=str(example[OBJECT]), count=differing,
            )
        )  # fmt: skip
    return replace(m, frame=pl.concat([kept, timeless]))


def _without_suspect(m: Measurements, found: list[Finding]) -> Measurements:
    suspect = m.frame[SUSPECT].fill_null(value=False)
    count = int(suspect.sum())
    if not count:
        return m
    names = m.frame.filter(suspect)[OBJECT].unique().sort().to_list()
    found.append(
        Finding(
            Severity.WARNING, "suspect-rows", "values that the source stands by",
            f"{count} rows that the source itself marks as suspect: {listed(names)}",
            "their values are left out of summaries and incidents", count=count,
            object=str(names[0]),
        )
    )  # fmt: skip
    keep = ~pl.col(SUSPECT).fill_null(value=False)
    cleared = [pl.when(keep).then(pl.col(name)).alias(name) for name in m.columns]
    return replace(m, frame=m.frame.with_columns(cleared))


def _without_timeless(m: Measurements, found: list[Finding]) -> Measurements:
    for column, code, what in ((TIME, "no-time", "time"), (OBJECT, "no-object", "object name")):
        missing = int(m.frame[column].null_count())
        if missing and not (column == TIME and missing == m.frame.height):
            found.append(
                Finding(
                    Severity.WARNING, code, f"a {what} in every row", f"{missing} rows without",
                    "left out: they belong to no series", count=missing,
                )
            )  # fmt: skip
            m = replace(m, frame=m.frame.filter(pl.col(column).is_not_null()))
    if m.frame.height and m.frame[TIME].null_count() == m.frame.height:
        found.append(
            Finding(
                Severity.WARNING, "no-time", "a time in every row", "no time at all",
                "summarised over all rows; nothing can be said about incidents",
            )
        )  # fmt: skip
    return m


# Times -----------------------------------------------------------------------


def expected_period(frame: pl.DataFrame) -> float | None:
    """Return the usual distance of two rows of an object [s]; None where no object has two.

    The most frequent distance counts; the length of the period is used where it is the
    only thing known. Exports that leave out rows still show the period this way.
    """
    timed = frame.filter(pl.col(TIME).is_not_null())
    steps = (
        timed.sort(OBJECT, TIME)
        .select(
            (pl.col(TIME).diff().over(OBJECT).dt.total_microseconds() / 1e6).alias("step"),
        )
        .filter(pl.col("step") > 0)["step"]
    )
    stated = timed[PERIOD_S].drop_nulls()
    if stated.len() and stated.n_unique() == 1:
        only = float(stated[0])
        if only > 0 and (steps.len() == 0 or _multiples(steps, only)):
            return only
    if steps.len() == 0:
        return None
    counts = steps.value_counts().sort(["count", "step"], descending=[True, False])
    return float(counts["step"][0])


def _multiples(steps: pl.Series, period: float) -> bool:
    ratio = steps.to_numpy() / period
    return bool(np.mean(np.abs(ratio - np.rint(ratio)) < SAME_TIME) > MAJORITY)


def _coverage(m: Measurements, period: float | None, found: list[Finding]) -> tuple[Coverage, ...]:
    timed = m.frame.filter(pl.col(TIME).is_not_null())
    if period is None or timed.height == 0:
        return ()
    every: list[datetime] = timed[TIME].unique().sort().to_list()
    begin, end = every[0], every[-1]
    expected = round((end - begin).total_seconds() / period) + 1
    if len(every) * SCATTERED < expected:
        found.append(
            Finding(
                Severity.INFO, "scattered-times", f"a row every {_span(period)}",
                f"{len(every)} different times in the {expected} periods from {_clock(begin)} to "
                f"{_clock(end)}",
                "taken as separate samples; their gaps are not counted",
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


def _say_gaps(
    m: Measurements, period: float | None, coverage: Sequence[Coverage], found: list[Finding]
) -> None:
    if period is None or not coverage:
        return
    begin = min(one.first for one in coverage)
    end = max(one.last for one in coverage)
    slack = LATE_PERIODS * period
    sparse = [one for one in coverage if one.ratio < SPARSE]
    late = [c for c in coverage if (c.first - begin).total_seconds() > slack and c not in sparse]
    early = [c for c in coverage if (end - c.last).total_seconds() > slack and c not in sparse]
    _say_missing(m, period, [c for c in coverage if c not in sparse], found)
    if sparse:
        names = [one.object for one in sparse]
        total = sum(one.periods for one in sparse)
        found.append(
            Finding(
                Severity.WARNING, "reports-now-and-then",
                "every object in every period",
                f"{len(sparse)} of {len(coverage)} objects in less than half of the periods "
                f"({total} of {sum(one.expected for one in sparse)} values): {listed(names)}",
                "left as it is; if the export holds only rows that passed a filter (busy or bad "
                "ones), its means describe those rows and not the network",
                object=names[0], count=len(sparse),
            )
        )  # fmt: skip
    for group, code, what in (
        (late, "starts-late", "no value before"), (early, "stops-early", "no value after"),
    ):  # fmt: skip
        if group:
            moment = group[0].first if code == "starts-late" else group[0].last
            found.append(
                Finding(
                    Severity.WARNING, code, "every object over the whole time",
                    f"{len(group)} objects with {what} a time inside the data: "
                    f"{group[0].object} ({_clock(moment)})"
                    + (f" and {len(group) - 1} more" if len(group) > 1 else ""),
                    "judged over its own time only", object=group[0].object, count=len(group),
                )
            )  # fmt: skip


def _say_missing(
    m: Measurements, period: float, coverage: Sequence[Coverage], found: list[Finding]
) -> None:
    """Say which periods are missing inside the time of an object, and which for all."""
    inside = {
        one.object: round((one.last - one.first).total_seconds() / period) + 1 - one.periods
        for one in coverage
    }
    missing = {name: count for name, count in inside.items() if count > 0}
    if not missing:
        return
    worst = max(missing, key=lambda name: missing[name])
    total = sum(missing.values())
    times = m.frame[TIME].drop_nulls().unique().sort()
    steps = times.diff().dt.total_microseconds().to_numpy() / 1e6
    holes = [i for i in range(1, len(steps)) if steps[i] > 1.5 * period]
    shared = ""
    if holes:
        shown = [f"after {_clock(times[i - 1])}" for i in holes[:SHOWN_TIMES]]
        more = f" and {len(holes) - SHOWN_TIMES} more" if len(holes) > SHOWN_TIMES else ""
        shared = f"; nothing at all is there {', '.join(shown)}{more}"
    found.append(
        Finding(
            Severity.WARNING, "gaps", f"a row every {_span(period)}",
            f"{total} periods missing in {len(missing)} of {len(coverage)} objects, most in "
            f"{worst} ({missing[worst]}){shared}",
            "left empty; nothing was filled in", object=worst, count=total,
        )
    )  # fmt: skip


def _say_zone(m: Measurements, found: list[Finding]) -> None:
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


# Identities ------------------------------------------------------------------

_FORMS = (
    ("a number", re.compile(r"^\d+$")),
    ("a number with an exponent", re.compile(r"^\d+(\.\d+)?[eE]\+?\d+$")),
    ("a number with a decimal point", re.compile(r"^\d+\.\d+$")),
)


def _form(text: str) -> str:
    return next((name for name, pattern in _FORMS if pattern.match(text)), "text")


def _say_labels(m: Measurements, found: list[Finding]) -> None:
    for label in m.labels:
        values = m.frame[label].cast(pl.String)
        known = values.drop_nulls().filter(values.drop_nulls() != "")
        share = known.len() / max(values.len(), 1)
        if share <= NEARLY_EMPTY and values.len() > 0:
            found.append(
                Finding(
                    Severity.INFO, "nearly-empty-column", "a value in every row",
                    f"{known.len()} of {values.len()} rows filled",
                    "kept; not used for anything", column=label,
                    count=values.len() - known.len(),
                )
            )  # fmt: skip
        elif re.search(r"(?i)(^|[^a-z])(id|identity|identifier)s?([^a-z]|$)|[a-z]I[dD]$", label):
            _say_forms(label, known.unique().to_list(), found)
    _say_forms(OBJECT, m.objects, found, only_lost=True)


def _say_forms(
    label: str, values: Sequence[str], found: list[Finding], *, only_lost: bool = False
) -> None:
    """Say where identifiers have lost digits, or where a few are written in another form."""
    forms: dict[str, list[str]] = {}
    for value in values:
        forms.setdefault(_form(value), []).append(value)
    lost = forms.get("a number with an exponent", [])
    if lost:
        found.append(
            Finding(
                Severity.WARNING, "identifier-lost-digits", "identifiers in full",
                f"{len(lost)} in exponent notation, for example {sorted(lost)[0]}: a spreadsheet "
                "has rounded them",
                "kept as written; different objects may share one name", column=label,
                count=len(lost),
            )
        )  # fmt: skip
    usual = max(forms, key=lambda name: len(forms[name]), default="")
    odd = sorted(value for name, group in forms.items() if name != usual for value in group)
    if odd and not only_lost and 2 * len(forms[usual]) >= len(values) and usual != "text":
        found.append(
            Finding(
                Severity.WARNING, "identifier-forms", f"{usual}, as in most rows "
                f"(for example {sorted(forms[usual])[0]})", listed(odd),
                "kept as written; joining with other tables by this column will miss them",
                column=label, count=len(odd),
            )
        )  # fmt: skip


def _clock(time: datetime | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M") if time is not None else "an unknown time"


def _span(seconds: float) -> str:
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        if seconds >= length and seconds % length == 0:
            count = int(seconds // length)
            return unit if count == 1 else f"{count} {unit}s"
    return f"{seconds:g} seconds"
