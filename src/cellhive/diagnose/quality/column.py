"""One column under examination: its values, the rows they belong to, and what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from cellhive.core.measurements import NAMED, OBJECT, TIME, ColumnInfo, Finding, Severity
from cellhive.core.types import Bools, Floats, Ints

DAY_S = 86400.0
FINE_S = 7200.0
"""Length of periods up to which a day holds enough of them to be a block [s]."""
Amount = tuple[int, str]
"""How many of what: (3, "series")."""
Indices = npt.NDArray[np.int64]
"""Numbers of rows or blocks."""
CHUNK = 8
"""Rows of a block where a day holds too few of them."""


def listed(names: Sequence[object], shown: int = 3) -> str:
    """Return the first few names and how many more there are."""
    text = ", ".join(str(name) for name in names[:shown])
    return f"{text} and {len(names) - shown} more" if len(names) > shown else text


def clock(time: datetime | None) -> str:
    """Return a time as it is written in findings."""
    if time is None:
        return "an unknown time"
    return time.strftime("%Y-%m-%d %H:%M:%S" if time.second else "%Y-%m-%d %H:%M")


def many(count: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun: "1 value", "3 values"."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def values_of(column: pl.Series) -> Floats:
    """Return the values of a column as an array of its own, NaN where there is none."""
    return np.array(column.cast(pl.Float64).to_numpy(), dtype=np.float64)


def moment(seconds: float) -> datetime:
    """Return seconds since the epoch as a time in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


@dataclass(frozen=True)
class Blocks:
    """The rows of each object in stretches: days, or a few rows where rows are long."""

    starts: Indices
    """First row of each block."""
    row: Ints
    """Object of each block."""
    number: Indices
    """Place of each block in time, from 0."""
    count: int
    """Places in time."""
    objects: int

    def dense(self, values: Floats) -> Floats:
        """Return one value per block as (objects, places), NaN where there is no block."""
        out = np.full((self.objects, self.count), np.nan)
        out[self.row, self.number] = values
        return out

    def sums(self, values: Floats) -> Floats:
        """Return the sum of a value per row over each block."""
        return np.asarray(np.add.reduceat(values, self.starts), dtype=np.float64)


@dataclass(frozen=True)
class Rows:
    """Which object and time each row of a table belongs to; rows are sorted by both."""

    objects: tuple[str, ...]
    row: Ints
    """Object of each row, (rows,)."""
    seconds: Floats | None
    """Start of each row's period [s since the epoch]; None where times are not known."""
    period_s: float | None
    series: bool = True
    """Whether the times of an object make a series, not single recordings."""

    @classmethod
    def of(cls, frame: pl.DataFrame, period_s: float | None, *, series: bool = True) -> Rows:
        """Return the rows of a frame that is sorted by object, and by time if it has one."""
        row = frame[OBJECT].rle_id().to_numpy().astype(np.int32)
        timed = frame[TIME].null_count() == 0 and period_s is not None and period_s > 0
        seconds = frame[TIME].dt.epoch("us").to_numpy() / 1e6 if timed else None
        names = frame[OBJECT].unique(maintain_order=True).to_list()
        return cls(tuple(names), row, seconds, period_s if timed else None, series)

    @property
    def timed(self) -> bool:
        """Whether the times of the rows are known, and make a series."""
        return self.seconds is not None and self.series

    @cached_property
    def starts(self) -> Indices:
        """First row of each object."""
        return np.concatenate([[0], np.flatnonzero(np.diff(self.row)) + 1]).astype(np.int64)

    @cached_property
    def ends(self) -> Indices:
        """Row after the last of each object."""
        return np.concatenate([self.starts[1:], [self.row.size]]).astype(np.int64)

    @cached_property
    def day(self) -> Indices:
        """Day of each row since the epoch."""
        assert self.seconds is not None  # noqa: S101  # asked of timed rows only
        return np.asarray(np.floor(self.seconds / DAY_S), dtype=np.int64)

    @cached_property
    def levels(self) -> Blocks:
        """Days where a day has many rows, otherwise each row: for the level of a column."""
        fine = self.period_s is not None and self.period_s <= FINE_S
        if fine:
            return self._blocks(self.day)
        return self._blocks(self._slots())

    @cached_property
    def chunks(self) -> Blocks:
        """Days where a day has many rows, otherwise a few rows: for the course of a column."""
        fine = self.period_s is not None and self.period_s <= FINE_S
        return self._blocks(self.day if fine else self._slots() // CHUNK)

    def _slots(self) -> Indices:
        assert self.seconds is not None  # noqa: S101  # asked of timed rows only
        period = self.period_s or 1.0
        return np.asarray(np.rint((self.seconds - self.seconds.min()) / period), dtype=np.int64)

    def _blocks(self, place: Indices) -> Blocks:
        change = (np.diff(self.row) != 0) | (np.diff(place) != 0)
        starts = np.concatenate([[0], np.flatnonzero(change) + 1]).astype(np.int64)
        places, number = np.unique(place[starts], return_inverse=True)
        count = len(self.objects)
        return Blocks(starts, self.row[starts], number.astype(np.int64), places.size, count)

    def names(self, which: Bools) -> list[str]:
        """Return the names of the objects that are true, (objects,)."""
        return [self.objects[i] for i in np.flatnonzero(which).tolist()]

    def time(self, row: int) -> datetime | None:
        """Return the time of a row."""
        return None if self.seconds is None else moment(float(self.seconds[row]))

    def finding(
        self, severity: Severity, code: str, texts: tuple[str, str, str], at: Bools,
        amount: Amount | None = None,
    ) -> Finding:  # fmt: skip
        """Return a finding (expected, found, done) about the values at some rows.

        Args:
            severity: How much it matters.
            code: Its name.
            texts: What was expected, what was found, what was done.
            at: The rows concerned, (rows,).
            amount: How many of what; by default the rows, as values.
        """
        rows = np.flatnonzero(at)
        touched = np.unique(self.row[rows])
        named = tuple(self.objects[i] for i in touched[:NAMED].tolist())
        start = end = None
        if rows.size and self.seconds is not None:
            when = self.seconds[rows]
            start, end = moment(float(when.min())), moment(float(when.max()))
        return Finding(
            severity, code, *texts, object=named[0] if named else "",
            count=max(rows.size, 1) if amount is None else amount[0],
            counted="values" if amount is None else amount[1],
            objects=int(touched.size), named=named, start=start, end=end,
        )  # fmt: skip


class Column:
    """One column under examination: its values, where they belong, and what was found."""

    def __init__(self, info: ColumnInfo, values: Floats, rows: Rows) -> None:
        """Start with values that may be changed in place."""
        self.info, self.values, self.rows = info, values, rows
        self.found: list[Finding] = []
        self.cut = False
        """Whether a stretch of time was left out, so that the edges are not those of the data."""

    @property
    def known(self) -> Bools:
        """Where there is a value."""
        return np.asarray(~np.isnan(self.values))

    @property
    def objects(self) -> tuple[str, ...]:
        """Names of the objects."""
        return self.rows.objects

    def say(
        self, severity: Severity, code: str, texts: tuple[str, str, str], at: Bools,
        amount: Amount | None = None,
    ) -> None:  # fmt: skip
        """Add a finding (expected, found, done) about the values at some rows."""
        finding = self.rows.finding(severity, code, texts, at, amount)
        self.found.append(replace(finding, column=self.info.name))

    def say_series(
        self, severity: Severity, code: str, texts: tuple[str, str, str], which: Sequence[int]
    ) -> None:
        """Add a finding about this column of some objects, by their numbers."""
        at = self.known & np.isin(self.rows.row, np.asarray(which))
        self.say(severity, code, texts, at, (len(which), "series"))

    def per_object(self) -> tuple[Indices, Floats, Floats]:
        """Return number of values, smallest and largest value of each object, (objects,)."""
        starts = self.rows.starts
        count = np.add.reduceat(self.known.astype(np.int64), starts)
        low, high = np.fmin.reduceat(self.values, starts), np.fmax.reduceat(self.values, starts)
        return count, low, high

    def part_of(self, which: Bools) -> str:
        """Return how many of the objects are true, and the first few: "3 of 20 (A, B ...)"."""
        count = int(which.sum())
        if count == len(self.objects):
            return "all of them" if count > 1 else self.objects[0]
        return f"{count} of {len(self.objects)}: {listed(self.rows.names(which))}"
