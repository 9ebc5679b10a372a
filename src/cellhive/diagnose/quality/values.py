"""Can the values of a column be what its name says? Limits and stand-ins for "no value"."""

from __future__ import annotations

import re

import numpy as np

from cellhive.core.measurements import ColumnInfo, Role, Severity
from cellhive.core.schema import QUANTITIES
from cellhive.core.types import Bools, Floats
from cellhive.diagnose.quality.column import Column, many
from cellhive.diagnose.quality.shares import ROUNDING

SURE = 0.5
"""Confidence of a mapping from which the registry's limits hold for the column."""
ENOUGH = 12
"""Values from which "always" and "never" mean something."""
FEWEST = 5
"""Times a value far from all others must occur to be taken for a stand-in of its own."""
SENTINELS = (
    -1.0, -99.0, -999.0, -9999.0, -99999.0, 999.0, 9999.0, 99999.0, 999999.0, 9999999.0,
    99999999.0, 999999999.0, 1e9, 32767.0, -32768.0, 65535.0, 16777215.0, 2147483647.0,
    -2147483648.0, 4294967295.0, 9223372036854775807.0, -9223372036854775808.0,
    18446744073709551615.0, -1e9, 1e10, 1e12,
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


# Stand-ins for "no value" ------------------------------------------------------


def empty_sentinels(column: Column) -> None:
    """Set numbers that stand for "no value" to null."""
    values = column.values
    if not column.known.any():
        return
    least, most = float(np.nanmin(values)), float(np.nanmax(values))
    for sentinel in SENTINELS:
        if not least <= sentinel <= most:
            continue
        at = values == sentinel
        if not at.any():
            continue
        rest = values[column.known & ~at]
        few = ENOUGH if rest.size * 20 >= at.sum() else at.sum()
        if rest.size >= min(few, max(int(at.sum()), 1)) and _apart(sentinel, rest, int(at.sum())):
            _empty(column, sentinel, at, rest)
        else:
            at = _apart_in_objects(column, sentinel, at)
            if at.any():
                _empty(column, sentinel, at, values[np.isin(column.rows.row, column.rows.row[at])
                                                    & column.known & ~at])  # fmt: skip
    _empty_zeros(column)
    _say_far(column)


def _empty(column: Column, sentinel: float, at: Bools, rest: Floats) -> None:
    column.say(
        Severity.WARNING, "sentinel",
        ("measured values", f"{sentinel:.15g} {int(at.sum())} times, while all others "
         f"{'there ' if rest.size < column.known.sum() - at.sum() else ''}lie between "
         f"{rest.min():.6g} and {rest.max():.6g}", "taken as \"no value\" and left empty"), at,
    )  # fmt: skip
    column.values[at] = np.nan


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


def _apart_in_objects(column: Column, sentinel: float, at: Bools) -> Bools:
    """Return where a number stands for "no value" in objects that have no others of its size."""
    out = np.zeros(at.size, dtype=np.bool_)
    if abs(sentinel) < 9999 or at.sum() > 0.05 * at.size:  # noqa: PLR2004  # too common to be apart
        return out
    starts, ends = column.rows.starts, column.rows.ends
    for index in np.unique(column.rows.row[at]).tolist():
        here = slice(int(starts[index]), int(ends[index]))
        mine = at[here]
        rest = column.values[here][column.known[here] & ~mine]
        if rest.size >= max(ENOUGH, int(mine.sum())) and _apart(sentinel, rest, int(mine.sum())):
            out[here] |= mine
    return out


def _empty_zeros(column: Column) -> None:
    """Judge zeros among levels that are never near zero."""
    if column.info.role in {Role.COUNTER, Role.ATTRIBUTE}:
        return
    values = column.values
    zero = values == 0
    if not zero.any():
        return
    rest = values[column.known & ~zero]
    if rest.size < max(ENOUGH, int(zero.sum())) or not _apart(0.0, rest, int(zero.sum())):
        return
    below = float(rest.max()) < 0
    done = (
        "taken as \"no value\" and left empty" if below
        else "kept as found: it may be a failure, or a missing value"
    )  # fmt: skip
    column.say(
        Severity.WARNING, "zero-as-missing",
        ("measured values", f"0 {int(zero.sum())} times, while all others lie between "
         f"{rest.min():.6g} and {rest.max():.6g}", done), zero,
    )  # fmt: skip
    if below:
        values[zero] = np.nan


def _say_far(column: Column) -> None:
    """Say where one value recurs far beyond all others: a stand-in nobody told us of."""
    known = column.values[column.known]
    if known.size < 2 * ENOUGH:
        return
    for value in (float(known.max()), float(known.min())):
        at = column.values == value
        times = int(at.sum())
        rest = known[known != value]
        if times < FEWEST or value == 0 or rest.size < max(ENOUGH, 2 * times):
            continue
        q05, q95 = (float(q) for q in np.quantile(rest, [0.05, 0.95]))
        beyond = value - float(rest.max()) if value > rest.max() else float(rest.min()) - value
        if q95 > q05 and beyond > 10.0 * (q95 - q05):  # ten ranges
            column.say(
                Severity.WARNING, "recurring-extreme",
                ("measured values", f"{value:.15g} {times} times, while all others lie between "
                 f"{rest.min():.6g} and {rest.max():.6g}",
                 "kept as found; if it stands for \"no value\", remove it before the export"), at,
            )  # fmt: skip


ENDLESS = 1e30
"""Size that no measurement of a network has in any unit."""


def empty_endless(column: Column) -> None:
    """Set infinities and numbers of absurd size to null, before anything is computed of them."""
    with np.errstate(invalid="ignore"):
        bad = np.abs(column.values) > ENDLESS
    if bad.any():
        column.say(
            Severity.WARNING, "impossible",
            (f"numbers up to {ENDLESS:g}", f"{many(int(bad.sum()), 'value')} beyond, for example "
             f"{column.values[bad][0]:g}", "left empty in summaries and incidents"), bad,
        )  # fmt: skip
        column.values[bad] = np.nan


# Limits ------------------------------------------------------------------------


def empty_impossible(column: Column) -> None:
    """Set values outside the limits of the column to null."""
    low, high, source = limits_of(column.info)
    share = column.info.role is Role.RATIO
    stretched = high * ROUNDING if share else high
    values = column.values
    with np.errstate(invalid="ignore"):
        bad = ((values < low) | (values > stretched)) & column.known
        rounded = (values > high) & ~bad
    text = f"{low:g} to {high:g}" + (f" ({source})" if source else "")
    if share and rounded.any():
        column.say(
            Severity.INFO, "share-above-limit-slightly",
            (text, f"{many(int(rounded.sum()), 'value')} up to {values[rounded].max():.6g}",
             "kept as found: no more than rounding or counts that cross the end of a period"),
            rounded,
        )  # fmt: skip
    if not bad.any():
        return
    worst = values[bad][np.argmax(np.abs(values[bad]))]
    if worst in {0.0, -1.0} and bool((values[bad] == worst).all()):
        column.say(
            Severity.WARNING, "sentinel",
            (text, f"{worst:g} {int(bad.sum())} times, and no other value outside",
             "taken as \"no value\" and left empty"), bad,
        )  # fmt: skip
        values[bad] = np.nan
        return
    code = "share-above-limit" if share and worst > high else "impossible"
    column.say(
        Severity.WARNING, code,
        (text, f"{many(int(bad.sum()), 'value')} outside, at worst {worst:.6g}",
         "left empty in summaries and incidents"), bad,
    )  # fmt: skip
    values[bad] = np.nan
