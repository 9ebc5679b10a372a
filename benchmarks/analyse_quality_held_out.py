"""How many faults does the examination find that nobody looked at while it was written?

The tables and the judgement are those of ``analyse_quality``, whose kinds of fault the detectors
were tuned on. The kinds here were written from what goes wrong in exports, without a look at the
detectors, and measured before anything was mended (``--first``, a result of its own). Once mended
for, a kind says no more than those of ``analyse_quality``; only the first figure tells of faults
to come.
"""

# ruff: noqa: PLR2004  # the numbers are those of the faults that are planted
from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import polars as pl
from _bench import report
from analyse_quality import (
    ATT,
    CELLS,
    DAYS,
    DROP,
    ENERGY,
    HOURS,
    RSRP,
    SEEDS,
    THROUGHPUT,
    USERS,
    VOLUME,
    Table,
    Truth,
    measure,
)

MAX_USERS, SUCCESSES = "Max RRC Connected Users", "RRC Setup Successes"
TIMES = ("gaps", "changing-population", "starts-late", "stops-early", "reports-now-and-then",
         "several-periods")  # fmt: skip
"""What follows when rows stand at a wrong time."""


def _names(t: Table, rows: list[int]) -> tuple[str, ...]:
    return tuple(t.cells[i] for i in rows)


def _written(t: Table, column: str, at: object, text: pl.Expr) -> None:
    """Write a text in place of some values, in rows of the file."""
    mask = pl.Series(np.asarray(at).ravel())
    kept = pl.col(column).cast(pl.String)
    t.edit.append(lambda f: f.with_columns(pl.when(mask).then(text).otherwise(kept).alias(column)))


def thousands(t: Table) -> Truth:
    """A separator of thousands is misread: single values are 1000 times too large."""
    at = t.touched(0.005)
    t.values[VOLUME][at] *= 1000
    rows = np.flatnonzero(at.any(axis=1)).tolist()
    codes = ("unit-changed", "impossible", "sentinel", "recurring-extreme", "stray-scale")
    return Truth(codes, VOLUME, _names(t, rows), int(at.sum()))


def sentinel_at_night(t: Table) -> Truth:
    """Two cells say -999 from 1 to 4 h every night."""
    rows = t.some(2)
    night = (np.arange(HOURS) % 24 >= 1) & (np.arange(HOURS) % 24 < 4)
    t.values[THROUGHPUT][np.ix_(np.array(rows), np.flatnonzero(night))] = -999.0
    return Truth(("sentinel", "impossible"), THROUGHPUT, _names(t, rows), 2 * int(night.sum()))


def sentinel_32_bit(t: Table) -> Truth:
    """Attempts of 2^32 - 1 in 0.3 % of the rows."""
    at = t.touched(0.003)
    t.values[ATT][at] = 4294967295.0
    rows = np.flatnonzero(at.any(axis=1)).tolist()
    return Truth(("sentinel", "impossible"), ATT, _names(t, rows), int(at.sum()))


def division_by_zero(t: Table) -> Truth:
    """A spreadsheet has written #DIV/0! for 1 % of the drop rates."""
    at = t.touched(0.01)
    _written(t, DROP, at, pl.lit("#DIV/0!"))
    return Truth(("value-missing", "value-not-a-number", "values-missing"), DROP, (),
                 int(at.sum()), ("value-missing", "values-missing"))  # fmt: skip


def values_as_dates(t: Table) -> Truth:
    """A spreadsheet has taken some volumes for dates."""
    at = t.touched(0.004)
    _written(t, VOLUME, at, pl.lit("03-Apr"))
    return Truth(("value-not-a-number",), VOLUME, (), int(at.sum()), ("values-missing",))


def units_behind(t: Table) -> Truth:
    """In some rows the unit stands behind the value, gigabytes instead of megabytes."""
    at = t.touched(0.01)
    text = pl.format("{} GB", (pl.col(VOLUME) / 1000).round(4))
    _written(t, VOLUME, at, text)
    return Truth(("value-not-a-number", "unit-changed"), VOLUME, (), int(at.sum()),
                 ("values-missing",))  # fmt: skip


def swapped_columns(t: Table) -> Truth:
    """Attempts stand under successes and the other way round in three cells."""
    rows = t.some(3)
    a, b = t.values[ATT][rows].copy(), t.values[SUCCESSES][rows].copy()
    t.values[ATT][rows], t.values[SUCCESSES][rows] = b, a
    return Truth(("contradicting-counters",), SUCCESSES, _names(t, rows), int((a > b).sum()))


def counter_late(t: Table) -> Truth:
    """One counter is six hours late from a day on."""
    at = int(t.rng.integers(5, 15)) * 24
    t.values[USERS][:, at:] = np.roll(t.values[USERS], 6, axis=1)[:, at:]
    return Truth(
        ("daily-course-shifted",), USERS, tuple(t.cells), None, ("contradicting-counters",)
    )


def saturated(t: Table) -> Truth:
    """A counter stops at a largest value, which busy hours reach."""
    cap = float(np.quantile(t.values[VOLUME], 0.93))
    over = t.values[VOLUME] > cap
    t.values[VOLUME][over] = round(cap, 3)
    rows = np.flatnonzero(over.any(axis=1)).tolist()
    return Truth(("recurring-extreme", "sentinel", "saturated"), VOLUME, _names(t, rows),
                 int(over.sum()), ("frozen",))  # fmt: skip


def per_second(t: Table) -> Truth:
    """Half of the cells turn from sums of an hour to means a second at a day."""
    rows, at = t.some(CELLS // 2), int(t.rng.integers(5, 15)) * 24
    t.values[VOLUME][rows, at:] = np.round(t.values[VOLUME][rows, at:] / 3600, 6)
    return Truth(("unit-changed",), VOLUME, _names(t, rows), None, ("resolution-changed",))


def lost_sign(t: Table) -> Truth:
    """One cell's received power has lost its minus."""
    row = t.some(1)[0]
    t.values[RSRP][row] *= -1
    return Truth(("impossible",), RSRP, (t.cells[row],), HOURS)


def lost_sign_now_and_then(t: Table) -> Truth:
    """The minus of received power is lost in 0.5 % of the rows."""
    at = t.touched(0.005)
    t.values[RSRP][at] *= -1
    rows = np.flatnonzero(at.any(axis=1)).tolist()
    return Truth(("impossible", "sentinel"), RSRP, _names(t, rows), int(at.sum()))


def hyphens(t: Table) -> Truth:
    """Three cells are written with another stroke in the last third."""
    rows = t.some(3)
    cells = _names(t, rows)
    late = np.arange(CELLS * HOURS) % HOURS >= 2 * HOURS // 3
    t.edit.append(lambda f: f.with_columns(
        pl.when(pl.Series(late) & pl.col("Cell Name").is_in(cells))
        .then(pl.col("Cell Name").str.replace("_", " - ", literal=True))
        .otherwise(pl.col("Cell Name")).alias("Cell Name")))  # fmt: skip
    return Truth(("object-names-differ",), "", cells, 3,
                 ("starts-late", "stops-early", "changing-population"))  # fmt: skip


def straight_filled(t: Table) -> Truth:
    """Twelve missing hours of three cells were filled with a straight line."""
    rows, at = t.some(3), int(t.rng.integers(50, 400))
    for row in rows:
        first, last = t.values[THROUGHPUT][row, [at, at + 13]].tolist()
        t.values[THROUGHPUT][row, at : at + 14] = np.round(np.linspace(first, last, 14), 6)
    return Truth(("interpolated", "frozen", "values-filled"), THROUGHPUT, _names(t, rows), None,
                 ("resolution-changed",))  # fmt: skip


def mean_filled(t: Table) -> Truth:
    """Missing values, 4 % of the rows, were filled with the cell's mean."""
    at = t.touched(0.04)
    mean = np.round(t.values[THROUGHPUT].mean(axis=1, keepdims=True), 3)
    t.values[THROUGHPUT] = np.where(at, mean, t.values[THROUGHPUT])
    rows = np.flatnonzero(at.any(axis=1)).tolist()
    return Truth(("recurring-value", "recurring-extreme", "values-filled", "sentinel"),
                 THROUGHPUT, _names(t, rows), int(at.sum()))  # fmt: skip


def day_and_month(t: Table) -> Truth:
    """Up to the twelfth of a month, day and month are exchanged."""
    march = pl.col("Start Time").str.starts_with("2024-03-0") | (
        pl.col("Start Time").str.slice(0, 10).is_in(["2024-03-10", "2024-03-11", "2024-03-12"])
    )
    exchanged = pl.format(
        "2024-{}-03{}", pl.col("Start Time").str.slice(8, 2), pl.col("Start Time").str.slice(10)
    )
    new = pl.when(march).then(exchanged).otherwise(pl.col("Start Time"))
    t.edit.append(lambda f: f.with_columns(new.alias("Start Time")))
    return Truth(("ambiguous-date", "impossible-time", "day-and-month-exchanged"), "", (), None,
                 TIMES)  # fmt: skip


def half_day_clock(t: Table) -> Truth:
    """Hours are written from 1 to 12, without morning and afternoon."""
    hour = pl.col("Start Time").str.slice(11, 2).cast(pl.Int32)
    twelve = pl.when(hour % 12 == 0).then(12).otherwise(hour % 12).cast(pl.String).str.zfill(2)
    t.edit.append(lambda f: f.with_columns(
        pl.format("{}{}{}", pl.col("Start Time").str.slice(0, 11), twelve,
                  pl.col("Start Time").str.slice(13)).alias("Start Time")))  # fmt: skip
    return Truth(("conflicting-rows",), "", tuple(t.cells), HOURS // 2 * CELLS, TIMES)


def largest_below_mean(t: Table) -> Truth:
    """The largest number of users is divided by four in two cells."""
    rows = t.some(2)
    t.values[MAX_USERS][rows] = np.ceil(t.values[MAX_USERS][rows] / 4)
    return Truth(("contradicting-counters",), "", _names(t, rows), None)


def exchanged_cells(t: Table) -> Truth:
    """Two cells of different size have exchanged their names from a day on."""
    a, b = t.some(2)
    at = int(t.rng.integers(5, 15)) * 24
    for values in t.values.values():
        values[[a, b], at:] = values[[b, a], at:]
    return Truth(("objects-exchanged",), "", _names(t, [a, b]), 2)


def average_among(t: Table) -> Truth:
    """A row called like a cell holds the mean of all others."""
    row = t.some(1)[0]
    others = [i for i in range(CELLS) if i != row]
    for values in t.values.values():
        values[row] = np.round(values[others].mean(axis=0), 6)
    return Truth(("total-among-objects",), "", (t.cells[row],), HOURS, ("resolution-changed",))


def unfinished_hour(t: Table) -> Truth:
    """The file was written when a third of its last hour had passed."""
    for name in (VOLUME, ATT, SUCCESSES, "HO Attempts", "HO Successes", ENERGY):
        values = t.values[name]
        values[:, -1] = np.floor(values[:, -1] / 3) if name != ENERGY else values[:, -1] / 3
    return Truth(("period-unfinished", "unit-changed"), "", tuple(t.cells), CELLS)


def below_zero(t: Table) -> Truth:
    """One cell's meter counts backwards for a day."""
    row, day = t.some(1)[0], int(t.rng.integers(1, DAYS))
    t.values[ENERGY][row, day * 24 : day * 24 + 24] *= -1
    return Truth(("impossible",), ENERGY, (t.cells[row],), 24)


def total_with_reboots(t: Table) -> Truth:
    """In four cells a counter adds up, and starts again when the cell does."""
    rows = t.some(4)
    for row in rows:
        starts = np.sort(t.rng.choice(HOURS, 5, replace=False))
        for part in np.split(np.arange(HOURS), starts):
            t.values[VOLUME][row, part] = np.round(np.cumsum(t.values[VOLUME][row, part]), 3)
    return Truth(("running-total",), VOLUME, _names(t, rows), 4 * HOURS)


def counter_missing_a_day(t: Table) -> Truth:
    """One counter has no value for any cell on one day."""
    day = int(t.rng.integers(2, DAYS - 2))
    t.values[ENERGY][:, day * 24 : day * 24 + 24] = np.nan
    return Truth(("values-missing", "value-missing"), ENERGY, (), 24 * CELLS,
                 ("value-missing", "values-missing"))  # fmt: skip


HELD_OUT: dict[str, Callable[[Table], Truth]] = {
    "thousands misread (0.5 %)": thousands,
    "-999 at night in two cells": sentinel_at_night,
    "2^32-1 as missing, attempts (0.3 %)": sentinel_32_bit,
    "#DIV/0! (1 %)": division_by_zero,
    "numbers turned to dates (0.4 %)": values_as_dates,
    "another unit behind values (1 %)": units_behind,
    "two columns exchanged in three cells": swapped_columns,
    "one counter six hours late": counter_late,
    "saturated counter (7 %)": saturated,
    "per hour to per second in half the cells": per_second,
    "minus lost in one cell": lost_sign,
    "minus lost now and then (0.5 %)": lost_sign_now_and_then,
    "another stroke in three names": hyphens,
    "gap filled with a straight line": straight_filled,
    "gaps filled with the mean (4 %)": mean_filled,
    "day and month exchanged": day_and_month,
    "twelve-hour clock": half_day_clock,
    "largest below the mean in two cells": largest_below_mean,
    "two cells exchanged from a day on": exchanged_cells,
    "average among the cells": average_among,
    "last hour unfinished": unfinished_hour,
    "meter counts backwards for a day": below_zero,
    "running total with reboots in four cells": total_with_reboots,
    "counter missing for a day": counter_missing_a_day,
}


def main() -> None:
    """Measure and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--only", default="", help="kinds that contain this text")
    parser.add_argument("--first", action="store_true", help="keep as the first measurement")
    args = parser.parse_args()
    rows = measure(args.seeds, {name: f for name, f in HELD_OUT.items() if args.only in name})
    if args.only:
        for row in rows:
            print(f"{row.name}: {row.value:.3g}")
        return
    name = "analyse_quality_held_out"
    report(
        f"{name}_first" if args.first else name, rows, packages=("polars", "numpy"),
        notes=(
            f"{len(HELD_OUT)} kinds of fault that were written without a look at the detectors, "
            f"{args.seeds} seeds each, in the tables of analyse_quality.",
        ),
    )  # fmt: skip


if __name__ == "__main__":
    main()
