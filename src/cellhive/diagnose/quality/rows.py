"""Rows that repeat or contradict one another, are marked as suspect, or belong nowhere."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import polars as pl

from cellhive.core.measurements import (
    NAMED,
    OBJECT,
    PERIOD_S,
    SUSPECT,
    TIME,
    Finding,
    Measurements,
    Role,
    Severity,
)
from cellhive.diagnose.quality.column import clock, listed

MOST = 0.8
"""Share of the objects that must be concerned for something to be the export's doing."""
NIGHT = 5
"""Hour of the day before which clocks are changed."""


def finding_of_rows(
    severity: Severity, code: str, texts: tuple[str, str, str], rows: pl.DataFrame, count: int
) -> Finding:
    """Return a finding (expected, found, done) about some rows of a frame."""
    names = rows[OBJECT].drop_nulls().unique().sort()
    start, end = rows[TIME].min(), rows[TIME].max()
    return Finding(
        severity, code, *texts, object=str(names[0]) if names.len() else "", count=count,
        counted="rows", objects=names.len(), named=tuple(names.head(NAMED).to_list()),
        start=start, end=end,  # type: ignore[arg-type]  # times
    )  # fmt: skip


def without_duplicates(m: Measurements, found: list[Finding], *, recordings: bool) -> Measurements:
    """Keep one row per object, time and period.

    Args:
        m: Measurements.
        found: Takes the findings.
        recordings: Whether rows are samples, of which several of one moment are all kept.
    """
    keys = [OBJECT, TIME, PERIOD_S]
    timed = pl.col(TIME).is_not_null()
    repeated = m.frame.select(pl.struct(keys).is_duplicated() & timed).to_series()
    if not repeated.any():
        return m
    sub = m.frame.with_row_index("_row").filter(repeated)
    filled = pl.sum_horizontal(pl.col(name).is_not_null() for name in m.columns)
    order = sub.with_columns(filled.alias("_filled")).sort(
        ["_filled", "_row"], descending=[True, False]
    )
    content = [name for name in sub.columns if name != "_row"]
    distinct = sub.unique(subset=content, keep="first", maintain_order=True)
    kept = distinct
    if not recordings:
        kept = order.unique(subset=keys, keep="first", maintain_order=True)
    same, differing = sub.height - distinct.height, distinct.height - kept.height
    if same:
        again = sub.join(distinct.select("_row"), on="_row", how="anti")
        found.append(
            finding_of_rows(
                Severity.INFO, "duplicate-rows",
                ("one row per object and period", f"{same} rows that repeat another one exactly, "
                 f"for example {_place(again)}", "one of each was kept"), again, same,
            )
        )  # fmt: skip
    if differing:
        lost = distinct.join(kept.select("_row"), on="_row", how="anti")
        _say_conflicts(m, lost, differing, found)
    gone = sub.join(kept.select("_row"), on="_row", how="anti")["_row"]
    frame = m.frame.with_row_index("_row").filter(~pl.col("_row").is_in(gone.implode()))
    return replace(m, frame=frame.drop("_row"))


def _place(rows: pl.DataFrame) -> str:
    first = rows.row(0, named=True)
    return f"{first[OBJECT]} at {clock(first[TIME])}"


def _say_conflicts(m: Measurements, lost: pl.DataFrame, count: int, found: list[Finding]) -> None:
    """Say which rows contradict others; those of one hour of all objects are a clock change."""
    objects = m.frame[OBJECT].n_unique()
    hours = lost.with_columns(pl.col(TIME).dt.truncate("1h").alias("_hour"))
    nights = (
        hours.filter(pl.col(TIME).dt.hour() < NIGHT)
        .group_by("_hour").agg(pl.col(OBJECT).n_unique().alias("n"))
        .filter(pl.col("n") >= MOST * objects).sort("_hour")["_hour"].to_list()
    )  # fmt: skip
    alone = [
        t for t in nights if not any(abs(t - u) <= timedelta(hours=1) for u in nights if u != t)
    ]
    doubled = hours.filter(pl.col("_hour").is_in(alone)) if alone else hours.head(0)
    if (
        m.time_zone != "UTC"
        and objects > 0
        and 0 < len(alone) <= 1 + _years(m)
        and not doubled.is_empty()
    ):
        told = listed([clock(moment) for moment in alone])
        found.append(
            finding_of_rows(
                Severity.WARNING, "clock-change-doubled-hour",
                ("each hour once", f"the hour from {told} twice in nearly all objects, as when "
                 "clocks are put back in autumn", f"{doubled.height} rows are left out: of each "
                 "pair the one with most values was kept, the first of equals; give time_zone in a "
                 "mapping to keep both"),
                doubled, doubled.height,
            )
        )  # fmt: skip
        lost, count = hours.filter(~pl.col("_hour").is_in(alone)), count - doubled.height
    if count:
        found.append(
            finding_of_rows(
                Severity.WARNING, "conflicting-rows",
                ("one row per object and period", f"{count} rows with the key of another one but "
                 f"other values, for example {_place(lost)}",
                 "left out: the row with most values was kept, the first of equals; nothing was "
                 "averaged"), lost, count,
            )
        )  # fmt: skip


def _years(m: Measurements) -> int:
    span = m.frame[TIME].max() - m.frame[TIME].min()  # type: ignore[operator]  # times
    return int(span.days // 365) if isinstance(span, timedelta) else 0


def without_suspect(m: Measurements, found: list[Finding]) -> Measurements:
    """Set the values of rows that the source marks as suspect to null."""
    suspect = m.frame[SUSPECT].fill_null(value=False)
    count = int(suspect.sum())
    if not count:
        return m
    rows = m.frame.filter(suspect)
    names = rows[OBJECT].unique().sort().to_list()
    found.append(
        finding_of_rows(
            Severity.WARNING, "suspect-rows",
            ("values that the source stands by",
             f"{count} rows that the source itself marks as suspect: {listed(names)}",
             "their values are left out of summaries and incidents"), rows, count,
        )
    )  # fmt: skip
    keep = ~pl.col(SUSPECT).fill_null(value=False)
    cleared = [pl.when(keep).then(pl.col(name)).alias(name) for name in m.columns]
    return replace(m, frame=m.frame.with_columns(cleared))


def without_timeless(m: Measurements, found: list[Finding]) -> Measurements:
    """Leave out rows that have no object, or no time where others have one."""
    for column, code, what in (
        (TIME, "rows-without-time", "time"),
        (OBJECT, "rows-without-object", "object name"),
    ):
        missing = int(m.frame[column].null_count())
        if missing and not (column == TIME and missing == m.frame.height):
            rows = m.frame.filter(pl.col(column).is_null())
            found.append(
                finding_of_rows(
                    Severity.WARNING, code, (f"a {what} in every row", f"{missing} rows without",
                    "left out: they belong to no series"), rows, missing,
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


# Rows that add up others ---------------------------------------------------------

LEAST_ROWS = 6
"""Rows that such an object must have."""
LEAST_SUMMED = 3
"""Objects from which one that equals the sum of the others is told from chance."""
LEAST_MEANS = 3
"""Counters that must all say that an object is the mean of the others."""


def say_totals(m: Measurements, found: list[Finding]) -> None:
    """Find objects whose counters are the sum or the mean of all others: totals among the parts."""
    counts = [n for n, i in m.columns.items() if i.role is Role.COUNTER and i.bin is None][:6]
    if not counts or m.frame[OBJECT].n_unique() <= LEAST_SUMMED:
        return
    largest: set[str] = set()
    middle: list[set[str]] = []
    for name in counts:
        by = m.frame.group_by(OBJECT).agg(pl.col(name).sum()).sort(name, descending=True)
        top, rest = float(by[name][0] or 0.0), float(by[name][1:].sum() or 0.0)
        often = m.frame.filter(pl.col(OBJECT) == by[OBJECT][0]).height >= LEAST_ROWS
        if often and top > 0 and abs(top - rest) <= 1e-3 * top:
            largest.add(str(by[OBJECT][0]))
        else:
            mean = (top + rest) / by.height  # also without the object, if it is the mean
            near = by.filter((pl.col(name) - mean).abs() <= 1e-3 * abs(mean))
            middle.append(set(near[OBJECT].cast(pl.String)))
    # near the mean in one counter may be chance; in every one it is none
    means = set.intersection(*middle) if len(middle) >= LEAST_MEANS else set()
    kinds = {**dict.fromkeys(means, "mean"), **dict.fromkeys(largest, "sum")}
    for one, kind in sorted(kinds.items()):
        rows = m.frame.filter(pl.col(OBJECT) == one)
        found.append(
            finding_of_rows(
                Severity.WARNING, "total-among-objects",
                ("rows of one level", f"{one} holds the {kind} of all other objects",
                 "kept as an object of its own; sums and means over all objects count it twice"),
                rows, rows.height,
            )
        )  # fmt: skip


# Counters that contradict each other ----------------------------------------------

_WORDS = (
    (r"succ(ess(ful(ly)?|es)?)?", r"att(empts?)?|req(uests?)?|tot(al)?"),
    (r"mean|avg|average", r"max(imum)?|peak"),
    (r"min(imum)?", r"mean|avg|average"),
)


def say_contradictions(m: Measurements, found: list[Finding]) -> None:
    """Find rows with more successes than attempts, or a mean above the maximum."""
    for small, large in contradicting_pairs(m):
        more = m.frame.select(OBJECT, TIME, small, large).filter(
            pl.col(small) > pl.col(large) * (1 + 1e-9)
        )
        if more.is_empty():
            continue
        both = int((m.frame[small].is_not_null() & m.frame[large].is_not_null()).sum())
        worst = more.select((pl.col(small) - pl.col(large)).max()).item()
        often = more.height > 0.05 * both  # what crosses a period's end is rarer
        finding = finding_of_rows(
            Severity.WARNING if often else Severity.INFO, "contradicting-counters",
            (f"{small} up to {large}", f"more in {more.height} of {both} rows, at worst by "
             f"{worst:.6g}", "kept as found; a rate of the two is above 100 % there"),
            more, more.height,
        )  # fmt: skip
        found.append(replace(finding, column=small))


def contradicting_pairs(m: Measurements) -> list[tuple[str, str]]:
    """Return pairs of columns, the first of which cannot exceed the second, by their names."""
    levels = {Role.COUNTER, Role.GAUGE, Role.UNKNOWN}
    names = [n for n, i in m.columns.items() if i.role in levels and i.bin is None]
    pairs: list[tuple[str, str]] = []
    for lesser, greater in _WORDS:
        keys = {_without(name, greater): name for name in names if _without(name, greater)}
        for name in names:
            other = keys.get(_without(name, lesser))
            if (
                other is not None
                and other != name
                and m.columns[name].unit == m.columns[other].unit
            ):
                pairs.append((name, other))
    return pairs


def _without(name: str, word: str) -> str:
    """Return a name with one word replaced by a mark; "" where it has no such word."""
    plain = re.sub(r"[^a-z0-9]+", " ", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower())
    marked, count = re.subn(rf"\b({word})\b", "#", plain)
    return marked if count == 1 else ""
