"""Can the values of a column be what its name says? Limits, sentinels, dead and late counters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

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
from cellhive.core.schema import QUANTITIES
from cellhive.core.types import Bools, Floats, Ints

SURE = 0.5
"""Confidence of a mapping from which the registry's limits hold for the column."""
ENOUGH = 12
"""Values from which "always" and "never" mean something."""
NEARLY_EMPTY = 0.05
LEAST_QUIET = 7
"""Periods of nothing or 0 from which a counter may have been switched on or off."""
STUCK = 6
"""Equal neighbouring values of a finely resolved counter that look frozen."""
ROUNDING = 1.005
"""Shares may exceed their limit by this factor through rounding."""
SENTINELS = (
    -1.0, -99.0, -999.0, -9999.0, -99999.0, 9999.0, 99999.0, 999999.0, 9999999.0, 99999999.0,
    1e9, 32767.0, -32768.0, 65535.0, 2147483647.0, -2147483648.0, 4294967295.0,
    9223372036854775807.0, 18446744073709551615.0, -1e9, 1e10, 1e12,
)  # fmt: skip
"""Numbers that stand for "no value": all nines, -1, and the largest of common integer types."""

_LIMITS: tuple[tuple[re.Pattern[str], str, float, float, str], ...] = (
    (re.compile(r"(?i)rsrp"), "dBm", -156.0, -31.0, "TS 38.133 table 10.1.6.1-1"),
    (re.compile(r"(?i)rsrq"), "dB", -43.0, 20.0, "TS 38.133 table 10.1.11.1-1"),
    (re.compile(r"(?i)sinr"), "dB", -40.0, 60.0, "TS 38.133 table 10.1.16.1-1"),
    (re.compile(r"(?i)(^|[^a-z])cqi"), "", 0.0, 15.0, "TS 38.214 §5.2.2.1"),
    (re.compile(r"(?i)(^|[^a-z])mcs"), "", 0.0, 31.0, "TS 38.214 §5.1.3.1"),
    (re.compile(r""), "dBm", -200.0, 100.0, "thermal noise and the strongest transmitters"),
)


def listed(names: Sequence[object], shown: int = 3) -> str:
    """Return the first few names and how many more there are."""
    text = ", ".join(str(name) for name in names[:shown])
    return f"{text} and {len(names) - shown} more" if len(names) > shown else text


def limits_of(info: ColumnInfo) -> tuple[float, float, str]:
    """Return the smallest and largest possible value of a column, in its own unit, and why."""
    low, high, source = -np.inf, np.inf, ""
    if info.role is Role.RATIO and info.share:
        return 0.0, 1.0 if info.share == "fraction" else 100.0, "a share"
    quantity = QUANTITIES.get(info.quantity or "")
    if quantity is not None and info.confidence >= SURE and info.scale > 0:
        low, high = quantity.low / info.scale, quantity.high / info.scale
        unsure = info.origin == "guess" and not info.unit and info.scale == 1.0
        if unsure and quantity.unit in {"ratio", "%"}:
            high = np.inf  # neither a unit nor the values say that it is a share
        source = f"{quantity.name} in the KPI registry"
    for pattern, unit, least, most, why in _LIMITS:
        if pattern.search(info.name) and (not unit or unit == info.unit) and low == -np.inf:
            return least, most, why
    if low == -np.inf and info.role is Role.COUNTER:
        low, source = 0.0, "a count"
    return low, high, source


class _Column:
    """One column under examination: its values, where they belong, and what was found."""

    def __init__(self, info: ColumnInfo, values: Floats, objects: Sequence[str], row: Ints) -> None:
        self.info, self.values, self.objects, self.row = info, values, objects, row
        self.found: list[Finding] = []

    @property
    def known(self) -> Bools:
        """Where there is a value."""
        return np.asarray(~np.isnan(self.values))

    def say(self, severity: Severity, code: str, texts: tuple[str, str, str], at: Bools) -> None:
        """Add a finding (expected, found, done) about the values at some rows."""
        first = int(np.flatnonzero(at)[0]) if at.any() else -1
        name = self.objects[int(self.row[first])] if first >= 0 else ""
        self.found.append(
            Finding(severity, code, *texts, column=self.info.name, object=name,
                    count=max(int(at.sum()), 1))
        )  # fmt: skip

    def names(self, which: Bools) -> list[str]:
        """Return the names of the objects that are true, (objects,)."""
        return [self.objects[i] for i in np.flatnonzero(which).tolist()]


def examine_values(m: Measurements, period_s: float | None) -> tuple[Measurements, list[Finding]]:
    """Return measurements whose impossible values are null, and what was found in the columns."""
    if m.frame.height == 0 or not m.columns:
        return m, []
    frame = m.frame if m.frame[TIME].null_count() else m.frame.sort(OBJECT, TIME)
    objects = frame[OBJECT].unique().sort().to_list()
    index = {name: i for i, name in enumerate(objects)}
    row = np.array([index[name] for name in frame[OBJECT]], dtype=np.int32)
    timed = period_s is not None and frame[TIME].null_count() == 0
    found: list[Finding] = []
    columns: list[pl.Series] = []
    infos: dict[str, ColumnInfo] = {}
    alive = _alive(frame, m)
    fractions = _by_company(frame, m)
    for name, info in m.columns.items():
        values = frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy().copy()
        column = _Column(info, values, objects, row)
        if info.role is not Role.ATTRIBUTE:
            _examine(column, alive, timed=timed, fractions=fractions)
        else:
            _examine_attribute(column)
        infos[name] = column.info
        columns.append(pl.Series(name, column.values).fill_nan(None))
        found.extend(column.found)
    return replace(m, frame=frame.with_columns(columns), columns=infos), found


def _by_company(frame: pl.DataFrame, m: Measurements) -> bool:
    """Return whether the shares of a table are fractions, by those that leave no doubt.

    A column of drop rates up to 0.02 could be either; beside success rates of 0.99 under the
    same "%" heading, and no column that goes beyond 1, it is a fraction.
    """
    sure = 0
    for name, info in m.columns.items():
        if info.unit != "%" and not (info.role is Role.RATIO and info.share):
            continue
        values = frame[name].drop_nulls()
        known = values.filter(~values.is_in(SENTINELS)).to_numpy()
        if known.size == 0:
            continue
        if float(np.quantile(known, 0.99)) > ROUNDING:
            return False
        sure += _looks_whole(info, known)
    return sure > 0


def _alive(frame: pl.DataFrame, m: Measurements) -> Ints:
    """Return in how many columns each row has a value other than 0, (rows,)."""
    names = [name for name, info in m.columns.items() if info.role is not Role.ATTRIBUTE]
    counted = frame.select(
        pl.sum_horizontal((pl.col(name).fill_null(0) != 0).cast(pl.Int32) for name in names).alias(
            "n"
        )
        if names
        else pl.lit(0).repeat_by(frame.height).alias("n")
    )["n"]
    return np.asarray(counted.to_numpy(), dtype=np.int32)


def _examine_attribute(column: _Column) -> None:
    big = column.known & (np.abs(column.values) >= 2.0**53)
    if big.any():
        column.say(
            Severity.WARNING, "identifier-lost-digits",
            ("identifiers in full", f"numbers of more than 15 digits, for example "
             f"{column.values[big][0]:.0f}: a spreadsheet has rounded them",
             "kept as read; different objects may share one number"), big,
        )  # fmt: skip


def _examine(column: _Column, alive: Ints, *, timed: bool, fractions: bool) -> None:
    known = column.known
    filled = float(known.mean()) if known.size else 0.0
    if filled <= NEARLY_EMPTY and known.size >= ENOUGH:
        column.say(
            Severity.INFO, "empty-column" if filled == 0 else "nearly-empty-column",
            ("a value in every row", f"{int(known.sum())} of {known.size} rows filled",
             "listed, but not judged"), ~known,
        )  # fmt: skip
        return
    _sentinels(column)
    _settle_share(column, fractions=fractions)
    _impossible(column)
    known = column.known
    if known.sum() >= ENOUGH:
        _constant(column)
        if timed:
            _switched(column, alive)
            _stuck(column)


# Values that cannot be --------------------------------------------------------


def _sentinels(column: _Column) -> None:
    values = column.values
    for sentinel in SENTINELS:
        at = values == sentinel
        if not at.any():
            continue
        rest = values[column.known & ~at]
        if rest.size < at.sum() or not _apart(sentinel, rest, int(at.sum())):
            continue
        values[at] = np.nan
        column.say(
            Severity.WARNING, "sentinel",
            ("measured values", f"{sentinel:.15g} {int(at.sum())} times, while all others lie "
             f"between {rest.min():.6g} and {rest.max():.6g}",
             "taken as \"no value\" and left empty"), at,
        )  # fmt: skip


def _apart(value: float, rest: Floats, times: int) -> bool:
    """Return whether a value lies so far from all others that it cannot be one of them."""
    low, high = float(rest.min()), float(rest.max())
    if value == -1.0:
        return low >= 0 and times > 0
    if low <= value <= high:
        return False
    q05, q95 = (float(q) for q in np.quantile(rest, [0.05, 0.95]))
    spread = max(q95 - q05, 0.05 * max(abs(q05), abs(q95)), 1e-9)
    gap = low - value if value < low else value - high
    return gap > (3.0 if times > 1 else 10.0) * spread


def _settle_share(column: _Column, *, fractions: bool) -> None:
    """Settle whether a share is written from 0 to 1 or to 100, and say what is odd about it."""
    info, values = column.info, column.values
    per_cent = info.unit == "%"
    if not per_cent and not (info.role is Role.RATIO and info.share):
        return
    known = values[column.known]
    if known.size == 0:
        return
    mixed = _mixed(column)
    if mixed is not None and mixed.any():
        column.say(
            Severity.WARNING, "fraction-and-percent",
            ("one way of writing shares", "values from 0 to 1 for some objects and to 100 for "
             f"others: {listed(column.names(mixed))} write fractions",
             "kept as found; compare these objects with care"), mixed[column.row],
        )  # fmt: skip
        return
    sure = fractions or (float(np.quantile(known, 0.99)) <= 1.0 and _looks_whole(info, known))
    share = info.share or ("fraction" if sure else "percent")
    column.info = replace(info, share=share, role=Role.RATIO)
    if per_cent and share == "fraction":
        doubt = "" if _looks_whole(info, known) else ", as in the other columns of this table"
        column.say(
            Severity.INFO, "fraction-under-percent",
            ("values from 0 to 100 under a \"%\" heading",
             f"{float(known.min()):.4g} to {float(known.max()):.4g}: fractions{doubt}",
             "kept as found; shown as per cent (times 100)"), column.known,
        )  # fmt: skip


def _looks_whole(info: ColumnInfo, known: Floats) -> bool:
    """Return whether values below 1 are fractions rather than small percentages.

    A drop rate of 0.3 may be 0.3 %; a success rate of 0.98 is a fraction.
    """
    if info.better == "higher":
        return True
    return float(np.median(known)) > 0.2 or bool(re.search(r"(?i)succ|avail|util", info.name))  # noqa: PLR2004  # a fifth


def _mixed(column: _Column) -> Bools | None:
    """Return which objects write fractions where others write per cent; None if not so."""
    count = len(column.objects)
    median = np.full(count, np.nan)
    top = np.full(count, np.nan)
    frame = pl.DataFrame({"row": column.row, "v": column.values}).filter(pl.col("v").is_not_nan())
    for row, mid, most in (
        frame.group_by("row")
        .agg(pl.col("v").median().alias("mid"), pl.col("v").max().alias("most"))
        .iter_rows()
    ):
        median[row], top[row] = mid, most
    small = (top <= ROUNDING) & (median > 0.3)  # noqa: PLR2004  # far above any drop rate
    large = median > 30.0  # noqa: PLR2004  # far above any fraction
    return small if small.any() and large.any() else None


def _impossible(column: _Column) -> None:
    low, high, source = limits_of(column.info)
    if column.info.role is Role.RATIO:
        high *= ROUNDING
    values = column.values
    with np.errstate(invalid="ignore"):
        bad = ((values < low) | (values > high)) & column.known
        endless = np.isinf(values)
    bad |= endless
    if not bad.any():
        return
    worst = values[bad][np.argmax(np.abs(values[bad]))]
    code = "share-above-limit" if column.info.role is Role.RATIO and worst > high else "impossible"
    text = f"{low:g} to {high / (ROUNDING if column.info.role is Role.RATIO else 1):g} ({source})"
    column.say(
        Severity.WARNING, code,
        (text, f"{int(bad.sum())} values outside, at worst {worst:.6g}",
         "left empty in summaries and incidents"), bad,
    )  # fmt: skip
    values[bad] = np.nan


# Counters that do not count ----------------------------------------------------


def _per_object(column: _Column) -> pl.DataFrame:
    frame = pl.DataFrame({"row": column.row, "v": column.values}).filter(pl.col("v").is_not_nan())
    value = pl.col("v")
    return (
        frame.group_by("row")
        .agg(
            pl.len().alias("n"), value.min().alias("low"), value.max().alias("high"),
            (value != 0).sum().alias("counted"),
        )
        .sort("row")
    )  # fmt: skip


def _constant(column: _Column) -> None:
    table = _per_object(column).filter(pl.col("n") >= ENOUGH)
    every = column.values[column.known]
    if float(every.min()) == float(every.max()):
        dead = every[0] == 0
        column.say(
            Severity.WARNING if dead and column.info.role is not Role.RATIO else Severity.INFO,
            "dead-counter" if dead else "constant",
            ("values that change", f"{every[0]:g} in all {every.size} values of "
             f"{len(column.objects)} objects", "kept; nothing can be said about it"),
            column.known,
        )  # fmt: skip
        return
    flat = table.filter(pl.col("low") == pl.col("high"))
    zero = flat.filter(pl.col("low") == 0)["row"].to_list()
    full = {1.0, 100.0}
    same = flat.filter((pl.col("low") != 0) & ~pl.col("low").is_in(full))["row"].to_list()
    for rows, code, what in (
        (zero, "dead-counter", "always 0"),
        (same, "stuck", "always the same"),
    ):
        if rows:
            names = [column.objects[row] for row in rows]
            column.say(
                Severity.WARNING if code == "stuck" else Severity.INFO, code,
                ("a counter that counts in every object",
                 f"{what}{_same_value(flat, rows)} in {len(rows)} of {table.height} objects: "
                 f"{listed(names)}",
                 "kept; those series are not judged"),
                np.isin(column.row, rows) & column.known,
            )  # fmt: skip


def _same_value(flat: pl.DataFrame, rows: Sequence[int]) -> str:
    """Return the value that objects are stuck at, where it is one and not zero."""
    values = flat.filter(pl.col("row").is_in(list(rows)))["low"].unique().to_list()
    return f" ({values[0]:g})" if len(values) == 1 and values[0] != 0 else ""


def _edges(column: _Column) -> tuple[Ints, Ints, Ints]:
    """Return start and end of each object's rows and its number; rows are sorted by object."""
    change = np.flatnonzero(np.diff(column.row)) + 1
    starts = np.concatenate([[0], change]).astype(np.int32)
    ends = np.concatenate([change, [column.row.size]]).astype(np.int32)
    return starts, ends, column.row[starts]


def _quiet_edges(column: _Column) -> list[tuple[int, int, int]]:
    """Return start, end and number of the objects that begin or end with nothing or 0.

    Only those can have been switched on or off; with thousands of cells and few periods, as
    in one day of measurement files, they are few.
    """
    starts, ends, rows = _edges(column)
    first, last = column.values[starts], column.values[ends - 1]
    quiet = np.isnan(first) | (first == 0) | np.isnan(last) | (last == 0)
    quiet &= ends - starts > LEAST_QUIET
    chosen = (part[quiet].tolist() for part in (starts, ends, rows))
    return list(zip(*chosen, strict=True))


def _leading(line: Floats, alive: Ints) -> tuple[int, bool]:
    """Return how many values of an object come before it counts, and whether they are zeros."""
    known = ~np.isnan(line)
    if not known.any():
        return 0, False
    empty = int(np.argmax(known))
    if empty > 0:
        return empty, False
    counting = known & (line != 0)
    if not counting.any():
        return 0, False
    first = int(np.argmax(counting))
    later = line[first:]
    sure = np.mean(later[~np.isnan(later)] == 0) < 0.1 and bool(np.all(alive[:first] > 0))  # noqa: PLR2004  # a tenth
    return (first, True) if first > 0 and sure else (0, False)


def _switched(column: _Column, alive: Ints) -> None:
    """Find counters that start, or stop, in the middle of an object's time."""
    on: list[tuple[str, int]] = []
    off: list[tuple[str, int]] = []
    before = np.zeros(column.values.size, dtype=np.bool_)
    after = np.zeros(column.values.size, dtype=np.bool_)
    for start, end, row in _quiet_edges(column):
        line = column.values[start:end]
        least = max(LEAST_QUIET, line.size // 20)
        lead, zeros = _leading(line, alive[start:end])
        if lead >= least:
            on.append((column.objects[row], lead))
            before[start : start + lead] = zeros
        trail, zeros = _leading(line[::-1], alive[start:end][::-1])
        if trail >= least and trail < line.size - lead:
            off.append((column.objects[row], trail))
            after[end - trail : end] = True
    if on:
        done = 'the zeros before are taken as "not counted yet" and left empty'
        column.say(
            Severity.WARNING, "switched-on",
            ("a counter that counts from the start", f"nothing or 0 at first in {len(on)} objects "
             f"while their other counters ran: {_lengths(on)}",
             done if before.any() else "judged from its first value on"), before,
        )  # fmt: skip
        column.values[before] = np.nan
    if off:
        column.say(
            Severity.WARNING, "switched-off",
            ("a counter that counts to the end", f"nothing or only 0 at the end in {len(off)} "
             f"objects while their other counters ran: {_lengths(off)}",
             "kept as found; it may have been switched off, or the service may be out"), after,
        )  # fmt: skip


def _lengths(items: list[tuple[str, int]]) -> str:
    items = sorted(items, key=lambda item: -item[1])
    return listed([f"{name} ({count} periods)" for name, count in items])


def _stuck(column: _Column) -> None:
    """Find finely resolved counters that repeat one value over many periods."""
    table = _per_object(column)
    moving = table.filter(pl.col("low") != pl.col("high"))["row"].to_numpy()
    values = column.values
    known = column.known & np.isin(column.row, moving)
    distinct = np.unique(values[known]).size
    if not known.any() or distinct < 0.5 * known.sum():  # coarse values repeat by themselves
        return
    same = np.zeros(values.size, dtype=np.bool_)
    same[1:] = (values[1:] == values[:-1]) & (column.row[1:] == column.row[:-1]) & (values[1:] != 0)
    same &= known
    bounds = np.flatnonzero(np.diff(np.concatenate([[0], same.astype(np.int8), [0]])))
    runs = [(a, b) for a, b in bounds.reshape(-1, 2) if b - a + 1 >= STUCK]
    if not runs:
        return
    at = np.zeros(values.size, dtype=np.bool_)
    for a, b in runs:
        at[a - 1 : b] = True
    a, b = max(runs, key=lambda run: run[1] - run[0])
    column.say(
        Severity.WARNING, "stuck",
        ("values that change from period to period", f"{len(runs)} stretches of one repeated "
         f"value, the longest {b - a + 1} periods of {values[a]:.6g} in "
         f"{column.objects[column.row[a]]}", "kept as found; its source may have been frozen"), at,
    )  # fmt: skip
