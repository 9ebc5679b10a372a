"""Can these measurements be trusted? What is wrong with them, and what was done about it.

Nothing is averaged, filled in or dropped without a finding that says so. Values that
cannot be are set to null; the only values that are replaced are running totals, by what each
period added to them. Everything else stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import polars as pl

from cellhive.core.measurements import (
    OBJECT,
    TIME,
    ColumnInfo,
    Finding,
    Measurements,
    Role,
    Severity,
)
from cellhive.core.types import Floats, Ints
from cellhive.diagnose.quality import changes, coverage, times
from cellhive.diagnose.quality.column import Column, Rows, values_of
from cellhive.diagnose.quality.copies import say_copies
from cellhive.diagnose.quality.counters import (
    ENOUGH,
    say_constant,
    say_filled,
    say_frozen,
    say_switched,
    say_unfinished,
)
from cellhive.diagnose.quality.coverage import CounterCoverage, Coverage
from cellhive.diagnose.quality.identities import NEARLY_EMPTY, say_labels
from cellhive.diagnose.quality.rows import (
    say_contradictions,
    say_totals,
    without_duplicates,
    without_suspect,
    without_timeless,
)
from cellhive.diagnose.quality.shares import fractions_by_company, settle_share
from cellhive.diagnose.quality.values import (
    SENTINELS,
    empty_endless,
    empty_impossible,
    empty_sentinels,
)

COMPANY = 9
"""Columns that an outage is told from a change of unit by."""


@dataclass(frozen=True)
class Examined:
    """Measurements that can be worked with, and what was found on the way."""

    measurements: Measurements
    findings: tuple[Finding, ...]
    period_s: float | None
    """Expected distance of two rows of an object [s]; None where it cannot be told."""
    coverage: tuple[Coverage, ...]
    counters: tuple[CounterCoverage, ...] = ()
    """How completely each counter is filled, in the rows as read."""


def examine(measurements: Measurements) -> Examined:
    """Return measurements without what cannot be, and the findings that say what that was."""
    found: list[Finding] = []
    period = times.expected_period(measurements.frame)
    recordings = coverage.are_recordings(measurements.frame, period)
    m = without_duplicates(measurements, found, recordings=recordings)
    m = without_suspect(m, found)
    m = without_timeless(m, found)
    times.say_exchanged_dates(m, found)
    m = times.without_odd_times(m, found)
    period = times.expected_period(m.frame)
    covered = coverage.coverage_of(m, period, found)
    coverage.say_gaps(m, period, covered, found)
    times.say_zone(m, found)
    say_labels(m, found)
    say_totals(m, found)
    counters: tuple[CounterCoverage, ...] = ()
    if m.frame.height and m.columns:
        m, counters = _examine_columns(m, period, covered, found)
    file = m.sources[0] if len(m.sources) == 1 else m.name
    every = tuple(replace(one, file=one.file or file) for one in found)
    return Examined(m, every, period, covered, counters)


def _examine_columns(
    m: Measurements, period: float | None, covered: tuple[Coverage, ...], found: list[Finding]
) -> tuple[Measurements, tuple[CounterCoverage, ...]]:
    keys = [OBJECT] if m.frame[TIME].null_count() else [OBJECT, TIME]
    m = replace(m, frame=m.frame.sort(keys, maintain_order=True))
    rows = Rows.of(m.frame, period, series=bool(covered))
    behaviour = [n for n, i in m.columns.items() if i.role is not Role.ATTRIBUTE and i.bin is None]
    counters = coverage.counters_of(m, rows, found)
    if rows.timed:
        say_copies(m, rows, behaviour, found)
    m = examine_values(m, rows, found)
    say_contradictions(m, found)
    if rows.timed:
        times.say_shifted_days(m, rows, found)
        coverage.say_population(m, covered, rows, behaviour, found)
    return m, counters


def examine_values(m: Measurements, rows: Rows, found: list[Finding]) -> Measurements:
    """Return measurements whose impossible values are null.

    Args:
        m: Measurements, sorted by object, and by time where there is one.
        rows: Objects and times of their rows.
        found: Takes what was found in the columns.
    """
    alive = _alive(m)
    fractions = fractions_by_company(m.frame, m.columns, SENTINELS)
    company = _Company(m, rows)
    columns: list[pl.Series] = []
    infos: dict[str, ColumnInfo] = {}
    for name, info in m.columns.items():
        column = Column(info, values_of(m.frame[name]), rows)
        if info.role is Role.ATTRIBUTE:
            _examine_attribute(column)
        else:
            _examine(column, alive, company.without(name), fractions=fractions)
        infos[name] = column.info
        columns.append(pl.Series(name, column.values).fill_nan(None))
        found.extend(column.found)
    _say_all_zero(m, rows, alive, found)
    return replace(m, frame=m.frame.with_columns(columns), columns=infos)


class _Company:
    """The typical level of the columns of a table, which an outage moves together."""

    def __init__(self, m: Measurements, rows: Rows) -> None:
        names = [n for n, i in m.columns.items() if i.role is not Role.ATTRIBUTE and i.bin is None]
        self._names = names[:: max(len(names) // COMPANY, 1)][:COMPANY]
        self._m, self._rows = m, rows
        self._levels = cache(self._level)

    def _level(self, name: str) -> Floats:
        return changes.log_levels(values_of(self._m.frame[name]), self._rows.levels)

    def without(self, name: str) -> Callable[[], Floats | None]:
        """Return what returns the typical level of the other columns."""
        others = [other for other in self._names if other != name]

        def levels() -> Floats | None:
            if not others:
                return None
            stack = np.sort(np.stack([self._levels(other) for other in others]), axis=0)
            last = np.maximum(np.sum(~np.isnan(stack), axis=0) - 1, 0)
            return np.asarray(np.take_along_axis(stack, (last // 2)[None], axis=0)[0])

        return levels


def _alive(m: Measurements) -> Ints:
    """Return in how many columns each row has a value other than 0, (rows,)."""
    names = [name for name, info in m.columns.items() if info.role is not Role.ATTRIBUTE]
    if not names:
        return np.zeros(m.frame.height, dtype=np.int32)
    counts = (pl.col(name).fill_null(0).ne(0).cast(pl.Int32) for name in names)
    return np.asarray(m.frame.select(pl.sum_horizontal(counts).alias("n"))["n"].to_numpy())


def _say_all_zero(m: Measurements, rows: Rows, alive: Ints, found: list[Finding]) -> None:
    """Say which rows hold nothing but zeros, where the object otherwise counts."""
    names = [name for name, info in m.columns.items() if info.role is not Role.ATTRIBUTE]
    if len(names) < 3 or not rows.timed:  # noqa: PLR2004  # two zeros are no sign of anything
        return
    known = m.frame.select(
        pl.sum_horizontal(pl.col(name).is_not_null().cast(pl.Int32) for name in names).alias("n")
    )["n"].to_numpy()
    usual = np.median(alive[known > 0]) if (known > 0).any() else 0
    dead = (alive == 0) & (known >= max(3, 0.5 * len(names)))
    living = np.zeros(len(rows.objects), dtype=np.bool_)
    living[rows.row[alive > 0]] = True
    dead &= living[rows.row]
    if dead.any() and usual >= 0.5 * len(names):
        found.append(
            rows.finding(
                Severity.WARNING, "all-zero-rows",
                ("values other than 0", f"{int(dead.sum())} rows of "
                 f"{np.unique(rows.row[dead]).size} objects with 0 in all {len(names)} columns",
                 "kept as found: the cell was out of service, or 0 stands for a missing value"),
                dead, (int(dead.sum()), "rows"),
            )
        )  # fmt: skip


def _examine_attribute(column: Column) -> None:
    big = column.known & (np.abs(column.values) >= 2.0**53)
    if big.any():
        column.say(
            Severity.WARNING, "identifier-lost-digits",
            ("identifiers in full", f"numbers of more than 15 digits, for example "
             f"{column.values[big][0]:.0f}: a spreadsheet has rounded them",
             "kept as read; different objects may share one number"), big,
        )  # fmt: skip


def _examine(
    column: Column, alive: Ints, others: Callable[[], Floats | None], *, fractions: bool
) -> None:
    known = column.known
    filled = float(known.mean()) if known.size else 0.0
    if filled <= NEARLY_EMPTY and known.size >= ENOUGH:
        column.say(
            Severity.INFO, "empty-column" if filled == 0 else "nearly-empty-column",
            ("a value in every row", f"{int(known.sum())} of {known.size} rows filled",
             "listed, but not judged"), ~known, (int((~known).sum()), "rows"),
        )  # fmt: skip
        return
    timed = column.rows.timed
    empty_endless(column)
    empty_sentinels(column)
    if timed and column.known.sum() >= ENOUGH:
        changes.empty_running_totals(column)
    if timed and column.known.any():
        changes.say_unit_changes(column, others)
        changes.say_strays(column)
    settle_share(column, fractions=fractions)
    empty_impossible(column)
    if column.known.sum() < ENOUGH:
        return
    say_constant(column)
    if timed:
        say_switched(column, alive)
        if not changes.say_resolution(column):  # coarse values repeat by themselves
            say_frozen(column)
            say_filled(column)
        say_unfinished(column)
