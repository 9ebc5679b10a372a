"""How many of the faults that are planted in clean tables does the examination find?

Clean hourly tables of 24 cells over three weeks, with daily and weekly cycles, are written as
CSV with one kind of fault, read back as any file, and examined. A fault counts as found when a
finding of the right kind names the right column and one of the right objects; it is exact when
the number in the finding is that of the values, rows or objects that were touched. Findings of
severity "warning" that no fault explains are false; on clean tables each is.
"""

# ruff: noqa: PLR2004  # the numbers are those of the faults that are planted
from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from _bench import Row, report

from cellhive.adapters.reading import read_paths
from cellhive.core.measurements import Finding, Findings, Severity
from cellhive.core.types import Bools, Floats
from cellhive.flows.analyse import parts_of

CELLS, DAYS = 24, 21
HOURS = DAYS * 24
SEEDS = 5
START = "2024-02-26"  # a Monday; the clocks of Berlin change on 31 March and 27 October


@dataclass
class Table:
    """A clean table and what has been done to it."""

    rng: np.random.Generator
    values: dict[str, Floats] = field(default_factory=dict)
    """By heading, (cells, hours)."""
    cells: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    start: str = START
    step: str = "1h"
    edit: list[Callable[[pl.DataFrame], pl.DataFrame]] = field(default_factory=list)
    """Done to the rows before they are written."""

    def some(self, count: int) -> list[int]:
        """Return a few cells."""
        return sorted(self.rng.choice(CELLS, count, replace=False).tolist())

    def touched(self, rate: float) -> Bools:
        """Return values chosen at a rate, (cells, hours)."""
        return np.asarray(self.rng.random((CELLS, HOURS)) < rate)

    def frame(self) -> pl.DataFrame:
        """Return the rows as they are written."""
        times = pl.datetime_range(
            pl.lit(self.start).str.to_datetime(), pl.lit(self.start).str.to_datetime()
            + pl.duration(hours=HOURS - 1), self.step, eager=True,
        )  # fmt: skip
        frame = pl.DataFrame(
            {
                "Start Time": pl.concat([times] * CELLS).dt.strftime("%Y-%m-%d %H:%M:%S"),
                "Cell Name": np.repeat(self.cells, HOURS),
                "Cell ID": np.repeat(self.ids, HOURS),
                **{name: pl.Series(v.ravel()).fill_nan(None) for name, v in self.values.items()},
            }
        )
        for change in self.edit:
            frame = change(frame)
        return frame


def clean(seed: int) -> Table:
    """Return a table without faults."""
    rng = np.random.default_rng(seed)
    table = Table(rng)
    table.cells = [f"L{100 + i // 3}_{i % 3 + 1}" for i in range(CELLS)]
    table.ids = [f"{262010000000 + 256 * (i // 3) + i % 3 + 1}" for i in range(CELLS)]
    hour = np.arange(HOURS)
    day = 0.55 + 0.45 * np.sin((hour % 24 - 9) / 24 * 2 * np.pi)
    week = np.where((hour // 24) % 7 >= 5, 0.8, 1.0)
    size = rng.lognormal(0, 0.5, (CELLS, 1))
    load = np.clip(size * (day * week + 0.05) * rng.lognormal(0, 0.15, (CELLS, HOURS)), 0.01, None)
    att = rng.poisson(400 * load + 20).astype(float)
    ho = rng.poisson(150 * load + 10).astype(float)
    prb = 100 * (1 - np.exp(-0.5 * load))
    drop = np.clip(0.3 * rng.lognormal(0, 0.3, (CELLS, HOURS)) * (1 + prb / 100), 0, 20)
    users = 30 * load * rng.lognormal(0, 0.05, load.shape)
    table.values = {
        "DL Traffic Volume (MB)": np.round(2000 * load * rng.lognormal(0, 0.1, load.shape), 3),
        "Avg RRC Connected Users": np.round(users, 3),
        "Max RRC Connected Users": np.ceil(users * rng.uniform(1.5, 2.5, load.shape)) + 1,
        "DL PRB Utilization (%)": np.round(prb, 3),
        "DL User Throughput (Mbps)": np.round(60 / (1 + load) * rng.lognormal(0, 0.08, load.shape),
                                              3),
        "RRC Setup Attempts": att,
        "RRC Setup Successes": att - rng.binomial(att.astype(int), 0.01),
        "HO Attempts": ho,
        "HO Successes": ho - rng.binomial(ho.astype(int), 0.03),
        "Drop Rate (%)": np.round(drop, 4),
        "RRC Setup Success Rate (%)": np.round(99.5 - rng.gamma(2, 0.2, load.shape), 3),
        "Average RSRP (dBm)": np.round(-95 + 4 * rng.standard_normal((CELLS, 1))
                                       + rng.standard_normal(load.shape), 2),
        "Energy (kWh)": np.round(0.4 + 0.3 * load + 0.01 * rng.standard_normal(load.shape), 4),
    }  # fmt: skip
    return table


@dataclass(frozen=True)
class Truth:
    """What a fault should be found as."""

    codes: tuple[str, ...]
    column: str = ""
    objects: tuple[str, ...] = ()
    count: int | None = None
    """The number that the finding should give; None where several would be right."""
    also: tuple[str, ...] = ()
    """Findings that follow from the fault and are right too."""


VOLUME, USERS, RSRP = "DL Traffic Volume (MB)", "Avg RRC Connected Users", "Average RSRP (dBm)"
RATE, DROP, ATT = "RRC Setup Success Rate (%)", "Drop Rate (%)", "RRC Setup Attempts"
THROUGHPUT, ENERGY, PRB = "DL User Throughput (Mbps)", "Energy (kWh)", "DL PRB Utilization (%)"


def _cells(t: Table, rows: list[int]) -> tuple[str, ...]:
    return tuple(t.cells[i] for i in rows)


def _scattered(t: Table, column: str, value: float, rate: float) -> Truth:
    values = t.values[column]
    at = t.rng.random(values.shape) < rate
    values[at] = value
    rows = np.flatnonzero(at.any(axis=1)).tolist()
    codes = ("sentinel", "impossible", "zero-as-missing")
    return Truth(codes, column, _cells(t, rows), int(at.sum()), ("identifier-forms",))


def _sentinel(column: str, value: float, rate: float) -> Callable[[Table], Truth]:
    return lambda t: _scattered(t, column, value, rate)


def gaps(t: Table) -> Truth:
    """Rows are missing here and there in three cells."""
    rows = t.some(3)
    cells = _cells(t, rows)
    keep = t.rng.random(CELLS * HOURS) >= 0.05
    inside = (np.arange(CELLS * HOURS) % HOURS > 2) & (np.arange(CELLS * HOURS) % HOURS < HOURS - 3)
    here = np.isin(np.arange(CELLS * HOURS) // HOURS, rows) & inside
    gone = here & ~keep
    t.edit.append(lambda f: f.filter(pl.Series(~gone)))
    return Truth(("gaps",), "", cells, int(gone.sum()))


def hole(t: Table) -> Truth:
    """Five hours are missing for all."""
    begin = int(t.rng.integers(50, 400)) // 24 * 24 + 10
    gone = np.isin(np.arange(CELLS * HOURS) % HOURS, np.arange(begin, begin + 5))
    t.edit.append(lambda f: f.filter(pl.Series(~gone)))
    return Truth(("gaps",), "", tuple(t.cells), 5 * CELLS)


def duplicates(t: Table) -> Truth:
    """Rows come twice."""
    rows = np.sort(t.rng.choice(CELLS * HOURS, 80, replace=False))
    t.edit.append(lambda f: pl.concat([f, f[rows]]))
    return Truth(("duplicate-rows",), "", tuple({t.cells[i // HOURS] for i in rows}), 80)


def conflicts(t: Table) -> Truth:
    """Rows come twice with other values."""
    rows = np.sort(t.rng.choice(CELLS * HOURS, 60, replace=False))
    t.edit.append(lambda f: pl.concat([f, f[rows].with_columns(pl.col(ENERGY) + 1.5)]))
    return Truth(("conflicting-rows",), "", tuple({t.cells[i // HOURS] for i in rows}), 60)


def lost_keys(t: Table) -> Truth:
    """Some rows have no cell name."""
    rows = np.sort(t.rng.choice(CELLS * HOURS, 30, replace=False))
    gone = np.isin(np.arange(CELLS * HOURS), rows)
    t.edit.append(
        lambda f: f.with_columns(
            pl.when(pl.Series(gone)).then(None).otherwise(pl.col("Cell Name")).alias("Cell Name")
        )
    )
    return Truth(("object-unknown", "rows-without-object"), "", (), 30,
                 ("gaps", "reports-now-and-then", "coarser-rows", "conflicting-rows",
                  "duplicate-rows"))  # fmt: skip


def lost_times(t: Table) -> Truth:
    """Some rows have a time that is none."""
    rows = np.sort(t.rng.choice(CELLS * HOURS, 30, replace=False))
    gone = np.isin(np.arange(CELLS * HOURS), rows)
    t.edit.append(lambda f: f.with_columns(
        pl.when(pl.Series(gone)).then(pl.lit("")).otherwise(pl.col("Start Time"))
        .alias("Start Time")))  # fmt: skip
    return Truth(("time-unknown", "rows-without-time"), "", (), 30, ("gaps",))


def above_100(t: Table) -> Truth:
    """A rate goes to 130 %."""
    at = t.touched(0.003)
    t.values[RATE][at] = 130.0 + t.rng.random(int(at.sum()))
    rows = np.flatnonzero(at.any(axis=1)).tolist()
    return Truth(("share-above-limit",), RATE, _cells(t, rows), int(at.sum()))


def negative(t: Table) -> Truth:
    """Counts below zero, all different."""
    at = t.touched(0.003)
    t.values[ATT][at] = -t.rng.integers(2, 900, int(at.sum()))
    rows = np.flatnonzero(at.any(axis=1)).tolist()
    return Truth(("impossible",), ATT, _cells(t, rows), int(at.sum()), ("contradicting-counters",))


def infinite(t: Table) -> Truth:
    """Cells say inf and NaN; the reader knows the words."""
    at = t.touched(0.005)
    t.values[VOLUME][at] = np.inf
    return Truth(("value-missing",), VOLUME, (), int(at.sum()), ("values-missing",))


def dead(t: Table) -> Truth:
    """A counter is 0 everywhere."""
    t.values[VOLUME][:] = 0
    return Truth(("dead-counter",), VOLUME, tuple(t.cells), CELLS)


def dead_in_some(t: Table) -> Truth:
    """A counter is 0 in three cells."""
    rows = t.some(3)
    t.values[VOLUME][rows] = 0
    return Truth(("dead-in-objects",), VOLUME, _cells(t, rows), 3)


def constant_in_some(t: Table) -> Truth:
    """A counter repeats one value in two cells."""
    rows = t.some(2)
    t.values[THROUGHPUT][rows] = 17.5
    return Truth(("constant-in-objects",), THROUGHPUT, _cells(t, rows), 2)


def switched_on(t: Table) -> Truth:
    """A counter is 0 up to a day."""
    until = int(t.rng.integers(60, 300))
    t.values[VOLUME][:, :until] = 0
    return Truth(("switched-on",), VOLUME, tuple(t.cells), CELLS)


def switched_off(t: Table) -> Truth:
    """A counter has no value after a day, in four cells."""
    rows, after = t.some(4), int(t.rng.integers(250, 430))
    t.values[VOLUME][rows, after:] = np.nan
    return Truth(("switched-off",), VOLUME, _cells(t, rows), 4)


def unit_thousand(t: Table) -> Truth:
    """Megabytes become kilobytes in the middle, at any hour."""
    at = int(t.rng.integers(80, 420))
    t.values[VOLUME][:, at:] *= 1000
    return Truth(("unit-changed",), VOLUME, tuple(t.cells), CELLS * min(at, HOURS - at))


def unit_day_files(t: Table) -> Truth:
    """Two daily files are in bits instead of bytes."""
    day = int(t.rng.integers(2, DAYS - 4))
    t.values[VOLUME][:, day * 24 : day * 24 + 48] *= 8
    return Truth(("unit-changed",), VOLUME, tuple(t.cells), CELLS * 48)


def unit_in_some(t: Table) -> Truth:
    """Three cells of another vendor switch to kilobytes."""
    rows, at = t.some(3), int(t.rng.integers(5, 15)) * 24
    t.values[VOLUME][rows, at:] *= 1000
    return Truth(("unit-changed",), VOLUME, _cells(t, rows), 3 * min(at, HOURS - at))


def percent_at_date(t: Table) -> Truth:
    """Per cent become fractions at a date."""
    at = int(t.rng.integers(5, 15)) * 24
    t.values[RATE][:, at:] = np.round(t.values[RATE][:, at:] / 100, 5)
    return Truth(("fraction-and-percent",), RATE, tuple(t.cells), CELLS * min(at, HOURS - at))


def small_percent_at_date(t: Table) -> Truth:
    """A small rate becomes a fraction at a date."""
    at = int(t.rng.integers(5, 15)) * 24
    t.values[DROP][:, at:] = np.round(t.values[DROP][:, at:] / 100, 6)
    return Truth(("fraction-and-percent",), DROP, tuple(t.cells), CELLS * min(at, HOURS - at),
                 ("resolution-changed",))  # fmt: skip


def percent_in_some(t: Table) -> Truth:
    """Four cells write fractions."""
    rows = t.some(4)
    t.values[RATE][rows] = np.round(t.values[RATE][rows] / 100, 5)
    return Truth(("fraction-and-percent",), RATE, _cells(t, rows), 4 * HOURS)


def fraction_under_percent(t: Table) -> Truth:
    """Every share is a fraction under a "%" heading."""
    for name in (RATE, DROP, PRB):
        t.values[name] = np.round(t.values[name] / 100, 6)
    return Truth(("fraction-under-percent",), RATE, tuple(t.cells), CELLS * HOURS)


def running_total(t: Table) -> Truth:
    """A counter adds up and is never read back."""
    total: Floats = np.cumsum(t.values[VOLUME], axis=1)
    t.values[VOLUME] = np.round(total, 3)
    return Truth(("running-total",), VOLUME, tuple(t.cells), CELLS * HOURS)


def running_total_reset(t: Table) -> Truth:
    """A counter adds up and starts again each midnight."""
    daily = t.values[ATT].reshape(CELLS, DAYS, 24)
    t.values[ATT] = np.cumsum(daily, axis=2).reshape(CELLS, HOURS)
    return Truth(("running-total",), ATT, tuple(t.cells), CELLS * HOURS,
                 ("contradicting-counters",))  # fmt: skip


def running_total_wrap(t: Table) -> Truth:
    """A counter adds up and wraps at 2^16."""
    total: Floats = np.cumsum(t.values[ATT], axis=1)
    t.values[ATT] = np.asarray(total - 65536.0 * np.floor(total / 65536.0), dtype=np.float64)
    return Truth(("running-total",), ATT, tuple(t.cells), CELLS * HOURS,
                 ("contradicting-counters",))  # fmt: skip


def becomes_total(t: Table) -> Truth:
    """A counter adds up from a day on."""
    at = int(t.rng.integers(5, 15)) * 24
    t.values[ATT][:, at:] = np.cumsum(t.values[ATT][:, at:], axis=1)
    return Truth(("running-total",), ATT, tuple(t.cells), CELLS * (HOURS - at),
                 ("contradicting-counters",))  # fmt: skip


def rounded(t: Table) -> Truth:
    """Decimals disappear from a day on."""
    at = int(t.rng.integers(5, 15)) * 24
    t.values[USERS][:, at:] = np.rint(t.values[USERS][:, at:])
    return Truth(("resolution-changed",), USERS, tuple(t.cells), CELLS * (HOURS - at))


def frozen(t: Table) -> Truth:
    """A value stays for ten hours in three cells."""
    rows, at = t.some(3), int(t.rng.integers(50, 400))
    t.values[THROUGHPUT][rows, at : at + 10] = t.values[THROUGHPUT][rows, at : at + 1]
    return Truth(("frozen",), THROUGHPUT, _cells(t, rows), 30)


def copied_day(t: Table) -> Truth:
    """A cell's Tuesday is a copy of its Monday."""
    row, day = t.some(1)[0], int(t.rng.integers(1, DAYS))
    for values in t.values.values():
        values[row, day * 24 : day * 24 + 24] = values[row, day * 24 - 24 : day * 24]
    return Truth(("copied-time",), "", (t.cells[row],), 1)


def copied_counter_day(t: Table) -> Truth:
    """One counter of all cells repeats a day."""
    day = int(t.rng.integers(1, DAYS))
    values = t.values[THROUGHPUT]
    values[:, day * 24 : day * 24 + 24] = values[:, day * 24 - 24 : day * 24]
    return Truth(("copied-time",), THROUGHPUT, tuple(t.cells), CELLS)


def copied_cell(t: Table) -> Truth:
    """A cell holds the data of another one."""
    a, b = t.some(2)
    for values in t.values.values():
        values[b] = values[a]
    return Truth(("copied-object",), "", (t.cells[b],), DAYS)


def same_column(t: Table) -> Truth:
    """A counter is exported twice under two names."""
    t.values["UL Traffic Volume (MB)"] = t.values[VOLUME].copy()
    return Truth(("identical-columns",), VOLUME)


def contradiction(t: Table) -> Truth:
    """More successes than attempts in a tenth of the rows."""
    at = t.touched(0.1)
    t.values["RRC Setup Successes"][at] = t.values[ATT][at] + 5
    return Truth(("contradicting-counters",), "RRC Setup Successes", tuple(t.cells), int(at.sum()))


def zero_rows(t: Table) -> Truth:
    """All counters of two cells are 0 for six hours."""
    rows, at = t.some(2), int(t.rng.integers(50, 400))
    for values in t.values.values():
        values[rows, at : at + 6] = 0
    return Truth(("all-zero-rows",), "", _cells(t, rows), 12,
                 ("zero-as-missing", "sentinel", "impossible"))  # fmt: skip


def total_among(t: Table) -> Truth:
    """A row called like a cell holds the sum of all."""
    row = t.some(1)[0]
    others = [i for i in range(CELLS) if i != row]
    for name in (VOLUME, ATT, "HO Attempts", "RRC Setup Successes", "HO Successes"):
        t.values[name][row] = t.values[name][others].sum(axis=0)
    return Truth(("total-among-objects",), "", (t.cells[row],), HOURS)


def lost_digits(t: Table) -> Truth:
    """A spreadsheet has written three ids with an exponent."""
    rows = t.some(3)
    for i in rows:
        t.ids[i] = f"{float(t.ids[i]):.2E}"
    return Truth(("identity-rounded", "identifier-lost-digits"), "Cell ID", (), None,
                 ("identifier-forms",))  # fmt: skip


def lost_digits_long(t: Table) -> Truth:
    """Ids of 17 digits have gone through a float."""
    t.ids = [f"{int(float(f'9262{name}{i:02d}')):d}"[:15] + "00" for i, name in enumerate(t.ids)]
    return Truth(("identity-rounded", "identifier-lost-digits"), "Cell ID", ())


def id_forms(t: Table) -> Truth:
    """Two ids are written with the network in front."""
    for i in t.some(2):
        t.ids[i] = f"262-01_{t.ids[i][5:]}"
    return Truth(("identifier-forms",), "Cell ID", (), 2)


def lost_zeros(t: Table) -> Truth:
    """Ids of eight digits lose their leading zeros in six cells."""
    t.ids = [f"00{1000 + i:06d}" for i in range(CELLS)]
    for i in t.some(6):
        t.ids[i] = t.ids[i].lstrip("0")
    return Truth(("identifier-zeros-lost",), "Cell ID", (), 6)


def two_names(t: Table) -> Truth:
    """Two cells are written in small letters in the second half."""
    rows = t.some(2)
    cells = _cells(t, rows)
    late = np.arange(CELLS * HOURS) % HOURS >= HOURS // 2
    t.edit.append(lambda f: f.with_columns(
        pl.when(pl.Series(late) & pl.col("Cell Name").is_in(cells))
        .then(pl.col("Cell Name").str.to_lowercase()).otherwise(pl.col("Cell Name"))
        .alias("Cell Name")))  # fmt: skip
    return Truth(("object-names-differ",), "", cells, 2,
                 ("starts-late", "stops-early", "changing-population"))  # fmt: skip


def clock_forward(t: Table) -> Truth:
    """Local times of spring: one hour does not exist."""
    t.start = "2024-03-18"
    t.edit.append(lambda f: f.filter(pl.col("Start Time") != "2024-03-31 02:00:00"))
    return Truth(("clock-change-skipped-hour",), "", tuple(t.cells), 1)


def clock_back(t: Table) -> Truth:
    """Local times of autumn: one hour comes twice."""
    t.start = "2024-10-14"

    def change(frame: pl.DataFrame) -> pl.DataFrame:
        again = frame.filter(pl.col("Start Time") == "2024-10-27 03:00:00")
        again = again.with_columns(pl.lit("2024-10-27 02:00:00").alias("Start Time"))
        return pl.concat([frame, again])

    t.edit.append(change)
    return Truth(("clock-change-doubled-hour",), "", tuple(t.cells), CELLS)


def local_and_utc(t: Table) -> Truth:
    """From a day on the file is in UTC instead of local time, three hours off."""
    at = int(t.rng.integers(5, 15)) * 24
    for values in t.values.values():
        values[:, at:] = np.roll(values, -3, axis=1)[:, at:]
    days = min(at, HOURS - at) // 24
    return Truth(("daily-course-shifted",), "", tuple(t.cells), days)


def offsets(t: Table) -> Truth:
    """Times carry two offsets."""
    t.edit.append(lambda f: f.with_columns(
        (pl.col("Start Time") + pl.when(pl.col("Start Time") < "2024-03-07").then(pl.lit("+01:00"))
         .otherwise(pl.lit("+02:00"))).alias("Start Time")))  # fmt: skip
    also = ("duplicate-rows", "conflicting-rows", "clock-change-doubled-hour", "gaps")
    return Truth(("time-zones-mixed",), "", (), 1, also)


def survivors(t: Table) -> Truth:
    """Six busy cells go in the middle."""
    rows = t.some(6)
    for name in (VOLUME, USERS, ATT, "RRC Setup Successes"):
        t.values[name][rows] *= 4
    t.values["Max RRC Connected Users"][rows] *= 4
    gone = np.isin(np.arange(CELLS * HOURS) // HOURS, rows) & (
        np.arange(CELLS * HOURS) % HOURS >= HOURS // 2
    )
    t.edit.append(lambda f: f.filter(pl.Series(~gone)))
    return Truth(("changing-population",), "", _cells(t, rows), 6, ("stops-early",))


def coarser(t: Table) -> Truth:
    """Three cells report every four hours."""
    rows = t.some(3)
    gone = np.isin(np.arange(CELLS * HOURS) // HOURS, rows) & (np.arange(CELLS * HOURS) % 4 != 0)
    t.edit.append(lambda f: f.filter(pl.Series(~gone)))
    return Truth(("coarser-rows",), "", _cells(t, rows), 3)


def finer(t: Table) -> Truth:
    """Two days of two cells come in quarters of an hour."""
    rows = t.some(2)
    cells = _cells(t, rows)

    def change(frame: pl.DataFrame) -> pl.DataFrame:
        here = frame.filter(
            pl.col("Cell Name").is_in(cells) & pl.col("Start Time").str.starts_with("2024-03-0")
        )
        more = [
            here.with_columns(pl.col("Start Time").str.replace(":00:00", f":{m}:00"))
            for m in ("15", "30", "45")
        ]
        return pl.concat([frame, *more])

    t.edit.append(change)
    return Truth(("finer-rows", "times-beside-the-grid"), "", cells, None,
                 ("frozen", "times-beside-the-grid", "finer-rows", "copied-time"))  # fmt: skip


def clock_off(t: Table) -> Truth:
    """One cell's clock is seven minutes off from a day on."""
    row = t.some(1)[0]
    cell = t.cells[row]
    t.edit.append(lambda f: f.with_columns(
        pl.when((pl.col("Cell Name") == cell) & (pl.col("Start Time") >= "2024-03-08"))
        .then(pl.col("Start Time").str.replace(":00:00", ":07:00"))
        .otherwise(pl.col("Start Time")).alias("Start Time")))  # fmt: skip
    days = (np.datetime64("2024-03-08") - np.datetime64(START)).astype(int)
    return Truth(("times-beside-the-grid",), "", (cell,), int(HOURS - 24 * days))


def clock_jump(t: Table) -> Truth:
    """One cell's clock jumps back by five hours, and stays there."""
    row, at = t.some(1)[0], int(t.rng.integers(100, 400))
    cell = t.cells[row]

    def change(frame: pl.DataFrame) -> pl.DataFrame:
        here = frame["Cell Name"].to_numpy() == cell
        earlier = (
            pl.col("Start Time").str.to_datetime().dt.offset_by("-5h")
            .dt.strftime("%Y-%m-%d %H:%M:%S")
        )  # fmt: skip
        late = here & (np.arange(frame.height) % HOURS >= at)
        return frame.with_columns(
            pl.when(pl.Series(late)).then(earlier).otherwise(pl.col("Start Time"))
            .alias("Start Time")
        )  # fmt: skip

    t.edit.append(change)
    return Truth(("conflicting-rows",), "", (cell,), 5, ("stops-early",))


def year_9999(t: Table) -> Truth:
    """A few rows have the time 9999-12-31 or 1970-01-01."""
    rows = np.sort(t.rng.choice(CELLS * HOURS, 6, replace=False))
    wrong = np.isin(np.arange(CELLS * HOURS), rows[:3])
    early = np.isin(np.arange(CELLS * HOURS), rows[3:])
    t.edit.append(lambda f: f.with_columns(
        pl.when(pl.Series(wrong)).then(pl.lit("2088-12-31 00:00:00"))
        .when(pl.Series(early)).then(pl.lit("1985-01-01 00:00:00"))
        .otherwise(pl.col("Start Time")).alias("Start Time")))  # fmt: skip
    return Truth(("impossible-time", "time-unknown"), "", (), 6, ("gaps",))


FAULTS: dict[str, Callable[[Table], Truth]] = {
    "gaps in three cells (5 %)": gaps,
    "hole of five hours": hole,
    "duplicate rows (0.7 %)": duplicates,
    "conflicting rows (0.5 %)": conflicts,
    "rows without a cell": lost_keys,
    "rows without a time": lost_times,
    "-1 as missing, volume (1 %)": _sentinel(VOLUME, -1.0, 0.01),
    "-1 as missing, rate (0.1 %)": _sentinel(RATE, -1.0, 0.001),
    "65535 as missing, users (1 %)": _sentinel(USERS, 65535.0, 0.01),
    "65535 as missing, volume (0.2 %)": _sentinel(VOLUME, 65535.0, 0.002),
    "9999 as missing, throughput (5 %)": _sentinel(THROUGHPUT, 9999.0, 0.05),
    "2^31-1 as missing, volume (0.1 %)": _sentinel(VOLUME, 2147483647.0, 0.001),
    "-32768 as missing, RSRP (1 %)": _sentinel(RSRP, -32768.0, 0.01),
    "0 as missing, RSRP (1 %)": _sentinel(RSRP, 0.0, 0.01),
    "0 as missing, rate (1 %)": _sentinel(RATE, 0.0, 0.01),
    "rates above 100 %": above_100,
    "negative counts": negative,
    "inf as text": infinite,
    "dead counter": dead,
    "dead in three cells": dead_in_some,
    "constant in two cells": constant_in_some,
    "counter starts": switched_on,
    "counter stops in four cells": switched_off,
    "unit x1000 at an hour": unit_thousand,
    "unit x8 for two days": unit_day_files,
    "unit x1000 in three cells": unit_in_some,
    "per cent to fraction at a date": percent_at_date,
    "small rate to fraction at a date": small_percent_at_date,
    "fractions in four cells": percent_in_some,
    "fractions under %": fraction_under_percent,
    "running total": running_total,
    "running total, reset daily": running_total_reset,
    "running total, wraps": running_total_wrap,
    "becomes a running total": becomes_total,
    "decimals disappear": rounded,
    "frozen in three cells": frozen,
    "copied day of a cell": copied_day,
    "copied day of a counter": copied_counter_day,
    "copied cell": copied_cell,
    "same counter twice": same_column,
    "successes above attempts": contradiction,
    "rows of zeros": zero_rows,
    "total among the cells": total_among,
    "ids with exponents": lost_digits,
    "ids rounded to 15 digits": lost_digits_long,
    "ids in two forms": id_forms,
    "leading zeros lost": lost_zeros,
    "one cell under two names": two_names,
    "summer time, skipped hour": clock_forward,
    "summer time, doubled hour": clock_back,
    "local time, then UTC": local_and_utc,
    "mixed offsets": offsets,
    "busy cells vanish": survivors,
    "coarser rows in three cells": coarser,
    "finer rows in two cells": finer,
    "clock seven minutes off": clock_off,
    "clock jumps back": clock_jump,
    "times in 1985 and 2088": year_9999,
}  # fmt: skip
USUAL = {"time-zone-missing", "time-zone-unknown", "period-inferred"}
"""What is said of every table here: it states no zone and no period."""


def findings_of(table: Table, folder: Path) -> tuple[Finding, ...]:
    """Return what is found in a table that is written and read as a file."""
    path = folder / "kpis.csv"
    table.frame().write_csv(path)
    result = read_paths([path])
    collected = Findings()
    collected.extend(result.findings)
    parts_of(result.measurements, collected, [])
    return tuple(one for one in collected.as_tuple() if one.code not in USUAL)


@dataclass(frozen=True)
class Outcome:
    """How a planted fault fared."""

    found: bool
    exact: bool | None
    false: tuple[str, ...]


def judge(findings: tuple[Finding, ...], truth: Truth) -> Outcome:
    """Return whether a fault was found, exactly, and which warnings nothing explains."""
    right = [
        one for one in findings
        if one.code in truth.codes and (not truth.column or one.column == truth.column)
        and (not truth.objects or not one.named or set(one.named) & set(truth.objects))
    ]  # fmt: skip
    exact = None if truth.count is None else any(one.count == truth.count for one in right)
    allowed = {*truth.codes, *truth.also}
    false = [
        f"{one.code} {one.column}" for one in findings
        if one.severity is not Severity.INFO and one.code not in allowed
    ]  # fmt: skip
    return Outcome(bool(right), exact, tuple(false))


def measure(seeds: int, kinds: Mapping[str, Callable[[Table], Truth]]) -> list[Row]:
    """Return recall, exactness and false findings per kind of fault."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        told = [findings_of(clean(seed), folder) for seed in range(100, 100 + seeds)]
        warned = [one for every in told for one in every if one.severity is not Severity.INFO]
        for one in warned:
            print("  false on clean data:", one)
        rows.append(Row("false warnings per clean table", len(warned) / seeds, "", "0"))
        every: list[Outcome] = []
        for kind, fault in kinds.items():
            outcomes: list[Outcome] = []
            for seed in range(seeds):
                table = clean(seed)
                truth = fault(table)
                findings = findings_of(table, folder)
                outcome = judge(findings, truth)
                if not outcome.found or outcome.exact is False or outcome.false:
                    print(f"  {kind}, seed {seed}: {outcome}, expected {truth.count}")
                    for one in findings:
                        print("     ", one.code, one.count, one.counted, str(one)[:230])
                outcomes.append(outcome)
            every += outcomes
            judged = [one.exact for one in outcomes if one.exact is not None]
            rows.append(Row(f"{kind}: found", _share(one.found for one in outcomes), "ratio"))
            if judged:
                rows.append(Row(f"{kind}: exact count", _share(judged), "ratio"))
            false = statistics.mean(len(one.false) for one in outcomes)
            rows.append(Row(f"{kind}: false warnings per table", false, ""))
    found, false_all = sum(o.found for o in every), sum(len(o.false) for o in every)
    rows.insert(1, Row("recall, all kinds", found / len(every), "ratio", ">= 0.95"))
    rows.insert(
        2, Row("precision, all kinds", found / max(found + false_all, 1), "ratio", ">= 0.95")
    )
    return rows


def _share(values: object) -> float:
    return statistics.mean(float(bool(one)) for one in values)  # type: ignore[attr-defined]


def main() -> None:
    """Measure and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--only", default="", help="kinds that contain this text")
    args = parser.parse_args()
    rows = measure(args.seeds, {name: f for name, f in FAULTS.items() if args.only in name})
    if args.only:
        for row in rows:
            print(f"{row.name}: {row.value:.3g}")
        return
    report(
        "analyse_quality", rows, packages=("polars", "numpy"),
        notes=(
            f"{len(FAULTS)} kinds of fault, {args.seeds} seeds each, in hourly tables of {CELLS} "
            f"cells, {DAYS} days and 13 KPIs that are written as CSV and read back.",
            "A false warning is one that the planted fault does not explain.",
        ),
    )  # fmt: skip


if __name__ == "__main__":
    main()
