"""Counters that do not count: dead, frozen, switched on or off in the middle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cellhive.core.measurements import Role, Severity
from cellhive.core.types import Bools, Floats, Ints
from cellhive.diagnose.quality.column import Column, Indices, clock, listed, many
from cellhive.diagnose.quality.values import SENTINELS

ENOUGH = 12
"""Values from which "always" and "never" mean something."""
LEAST_QUIET = 7
"""Periods of nothing or 0 from which a counter may have been switched on or off."""
STUCK = 6
"""Equal neighbouring values of a finely resolved counter that look frozen."""
STRAIGHT = 6
"""Neighbouring values of a finely resolved counter on one straight line that look filled in."""
RECURS = 8
"""Times one value of a finely resolved counter must recur in an object, and its share of the
object's values at least."""
RECURS_SHARE = 0.02
LEAST_DAYS = 5
"""Days before the last period that tell what is usual at its time of day."""
LEAST_OBJECTS = 3
UNFINISHED = 0.7
"""Share of what is usual at that time of day, below which the last period looks cut short."""
WIDE = 0.8
"""Share of the objects that must agree on it."""


def say_constant(column: Column) -> None:
    """Say where a column never changes: in all objects, or in some while others do."""
    count, low, high = column.per_object()
    known = column.known
    if float(np.nanmin(low)) == float(np.nanmax(high)):
        value = float(np.nanmin(low))
        if value in SENTINELS:
            column.say(
                Severity.WARNING, "sentinel",
                ("measured values", f"{value:.15g} in all {many(int(known.sum()), 'value')}",
                 "taken as \"no value\" and left empty"), known,
            )  # fmt: skip
            column.values[known] = np.nan
            return
        _say_dead(column, value) if value == 0 else column.say(
            Severity.INFO, "constant",
            ("values that change", f"{value:g} in all {int(known.sum())} values of "
             f"{many(int((count > 0).sum()), 'object')}", "kept; nothing can be said about it"),
            known, (int((count > 0).sum()), "series"),
        )  # fmt: skip
        return
    judged = count >= ENOUGH
    with np.errstate(invalid="ignore"):
        flat = judged & (low == high)
    dead = flat & (low == 0)
    if dead.any():
        rare = column.info.better == "lower"
        told = "nothing of that kind happened there, or it is not counted" if rare else ""
        column.say_series(
            Severity.INFO, "dead-in-objects",
            ("a counter that counts in every object",
             f"always 0 in {int(dead.sum())} of {many(int(judged.sum()), 'object')}: "
             f"{listed(column.rows.names(dead))}",
             f"kept; those series are not judged{': ' if told else ''}{told}"),
            np.flatnonzero(dead).tolist(),
        )  # fmt: skip
    same = flat & ~dead & ~np.isin(low, (1.0, 100.0))
    if same.any():
        values = np.unique(low[same])
        which = f" ({values[0]:g})" if values.size == 1 else ""
        column.say_series(
            Severity.WARNING, "constant-in-objects",
            ("a counter that changes in every object",
             f"always the same{which} in {int(same.sum())} of {many(int(judged.sum()), 'object')}: "
             f"{listed(column.rows.names(same))}", "kept; those series are not judged"),
            np.flatnonzero(same).tolist(),
        )  # fmt: skip


def _say_dead(column: Column, value: float) -> None:
    rare = column.info.better == "lower" or column.info.role is Role.RATIO
    count = int((column.per_object()[0] > 0).sum())
    done = (
        "kept; nothing of that kind happened, or it is not counted" if rare
        else "kept; it is switched off, or not supported: nothing can be said about it"
    )  # fmt: skip
    column.say(
        Severity.INFO if rare else Severity.WARNING, "dead-counter",
        ("a counter that counts", f"{value:g} in all {int(column.known.sum())} values of "
         f"{many(count, 'object')}", done), column.known, (count, "series"),
    )  # fmt: skip


# Switched on, switched off ------------------------------------------------------


def _quiet_edges(column: Column) -> list[tuple[int, int, int]]:
    """Return start, end and number of the objects that begin or end with nothing or 0.

    Only those can have been switched on or off; with thousands of cells and few periods, as
    in one day of measurement files, they are few.
    """
    starts, ends = column.rows.starts, column.rows.ends
    first, last = column.values[starts], column.values[ends - 1]
    quiet = np.isnan(first) | (first == 0) | np.isnan(last) | (last == 0)
    quiet &= ends - starts > LEAST_QUIET
    rows = np.flatnonzero(quiet)
    return list(zip(starts[rows].tolist(), ends[rows].tolist(), rows.tolist(), strict=True))


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


def say_switched(column: Column, alive: Ints) -> None:
    """Find counters that start, or stop, in the middle of an object's time.

    Args:
        column: The column; zeros before a counter starts become null.
        alive: In how many columns each row has a value other than 0, (rows,).
    """
    if column.cut:
        return
    on: list[tuple[int, int]] = []
    off: list[tuple[int, int]] = []
    before = np.zeros(column.values.size, dtype=np.bool_)
    after = np.zeros(column.values.size, dtype=np.bool_)
    for start, end, row in _quiet_edges(column):
        line = column.values[start:end]
        least = max(LEAST_QUIET, line.size // 20)
        lead, zeros = _leading(line, alive[start:end])
        if lead >= least:
            on.append((row, start + lead))
            before[start : start + lead] = zeros
        trail, zeros = _leading(line[::-1], alive[start:end][::-1])
        if trail >= least and trail < line.size - lead:
            off.append((row, end - trail - 1))
            after[end - trail : end] = zeros
    if on:
        emptied = int(before.sum())
        done = (
            f"the {emptied} zeros before are taken as \"not counted yet\" and left empty"
            if emptied else "judged from its first value on"
        )  # fmt: skip
        _say_switch(column, "switched-on", on, "has no value or 0 until", done)
        column.values[before] = np.nan
    if off:
        done = (
            f"kept as found ({int(after.sum())} zeros): it may have been switched off, or the "
            "service may be out"
            if after.any() else "judged up to its last value"
        )  # fmt: skip
        _say_switch(column, "switched-off", off, "has no value or 0 after", done)


def _say_switch(
    column: Column, code: str, edges: Sequence[tuple[int, int]], what: str, done: str
) -> None:
    """Say at which moments a counter was switched, the one with most objects first."""
    moments: dict[str, list[str]] = {}
    at = np.zeros(column.values.size, dtype=np.bool_)
    for row, edge in edges:
        at[edge] = True
        moments.setdefault(clock(column.rows.time(edge)), []).append(column.objects[row])
    ordered = sorted(moments.items(), key=lambda item: (-len(item[1]), item[0]))
    told = [
        f"{moment} in {many(len(names), 'object')} ({listed(names)})" for moment, names in ordered
    ]
    column.say(
        Severity.WARNING, code,
        ("a counter that counts from the start to the end",
         f"it {what} {listed(told)}, while other counters ran", done), at, (len(edges), "series"),
    )  # fmt: skip


# Frozen -------------------------------------------------------------------------


def say_frozen(column: Column) -> None:
    """Find finely resolved counters that repeat one value over many periods."""
    values = column.values
    _, low, high = column.per_object()
    with np.errstate(invalid="ignore"):
        moving = low != high
        same = np.zeros(values.size, dtype=np.bool_)
        same[1:] = (values[1:] == values[:-1]) & (values[1:] != 0)
    row = column.rows.row
    same[1:] &= row[1:] == row[:-1]
    same &= moving[row]
    # Coarse values repeat by themselves.
    if not same.any() or same.sum() > 0.5 * max(int(column.known.sum()), 1):
        return
    bounds = np.flatnonzero(np.diff(np.concatenate([[0], same.astype(np.int8), [0]])))
    runs = bounds.reshape(-1, 2)
    runs = runs[runs[:, 1] - runs[:, 0] + 1 >= STUCK]
    if runs.size == 0 or not _fine(values[moving[row] & column.known]):
        return
    at = _filled(values.size, runs)
    a, b = runs[int(np.argmax(runs[:, 1] - runs[:, 0]))].tolist()
    column.say(
        Severity.WARNING, "frozen",
        ("values that change from period to period",
         f"{many(len(runs), 'stretch', 'stretches')} of one repeated value, the longest "
         f"{b - a + 1} periods of {values[a]:.6g} in {column.objects[row[a]]} from "
         f"{clock(column.rows.time(a - 1))}",
         "kept as found; its source may have been frozen"), at,
    )  # fmt: skip


def say_filled(column: Column) -> None:
    """Find values that were filled in: on a straight line, or one value again and again.

    A value that recurs and is the largest there is, is a counter that can count no further; what
    is no counter may stay at its limits.
    """
    known = column.known
    if not _fine(column.values[known]):
        return
    _say_straight(column)
    _say_recurring(column)


def _say_straight(column: Column) -> None:
    values, row = column.values, column.rows.row
    if values.size < STRAIGHT:
        return
    bend = np.abs(values[2:] - 2.0 * values[1:-1] + values[:-2])
    rise = np.abs(values[1:-1] - values[:-2])
    with np.errstate(invalid="ignore"):
        line = np.zeros(values.size, dtype=np.bool_)
        # as good as straight: rounding bends a line by a small part of its rise
        line[2:] = (bend <= 1e-3 * rise) & (rise > 0) & (row[2:] == row[:-2])
    runs = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(np.int8), [0]]))).reshape(-1, 2)
    runs = runs[runs[:, 1] - runs[:, 0] + 2 >= STRAIGHT]
    if runs.size == 0 or line.sum() > 0.5 * int(column.known.sum()):  # it is a line by its nature
        return
    at = _filled(values.size, runs - np.array([1, 0]))
    a, b = runs[int(np.argmax(runs[:, 1] - runs[:, 0]))].tolist()
    column.say(
        Severity.WARNING, "interpolated",
        ("measured values", f"{many(len(runs), 'stretch', 'stretches')} on a straight line, the "
         f"longest {b - a + 2} periods in {column.objects[row[a]]} from "
         f"{clock(column.rows.time(a - 2))}",
         "kept as found; a gap was filled before the export"), at,
    )  # fmt: skip


def _say_recurring(column: Column) -> None:
    _, low, high = column.per_object()
    with np.errstate(invalid="ignore"):
        moving = (low != high)[column.rows.row]
    known = np.flatnonzero(column.known & (column.values != 0) & moving)
    if known.size == 0:
        return
    pairs = np.stack([column.rows.row[known].astype(np.float64), column.values[known]])
    _, first, group, count = np.unique(
        pairs, axis=1, return_index=True, return_inverse=True, return_counts=True
    )
    size = np.bincount(column.rows.row[known], minlength=len(column.objects))
    often = count >= np.maximum(RECURS, RECURS_SHARE * size[column.rows.row[known[first]]])
    at = np.zeros(column.values.size, dtype=np.bool_)
    at[known[often[group.ravel()]]] = True
    if column.info.role is not Role.COUNTER:  # a rate or a level may well stay at its limits
        ends = (column.values == low[column.rows.row]) | (column.values == high[column.rows.row])
        at &= ~ends
    if not at.any() or at.sum() > 0.5 * known.size:
        return
    most = float(column.values[known].max())
    top = at & (column.values == most)
    if top.any():
        top = column.values == most  # also in objects that seldom reach it
        column.say(
            Severity.WARNING, "saturated",
            ("a counter that counts as far as there is something to count",
             f"{most:.6g}, the largest value, {int(top.sum())} times",
             "kept as found: it may be able to count no further"), top,
        )  # fmt: skip
    at &= column.values != most
    if at.any():
        column.say(
            Severity.WARNING, "recurring-value",
            ("values that change from period to period",
             f"one value again and again in {many(np.unique(column.rows.row[at]).size, 'object')}, "
             f"for example {column.values[at][0]:.6g} in {column.objects[column.rows.row[at][0]]}",
             "kept as found; gaps may have been filled with a mean before the export"), at,
        )  # fmt: skip


def say_unfinished(column: Column) -> None:
    """Say where the last period holds too little in nearly all objects: it was not over yet."""
    rows = column.rows
    if rows.seconds is None or column.info.role is not Role.COUNTER:
        return
    last = float(rows.seconds.max())
    now = np.flatnonzero((rows.seconds == last) & column.known)
    whole = np.mod(last - rows.seconds, 86400.0) < 1.0
    ratios, before = [], []
    for one in now.tolist():
        start = int(rows.starts[rows.row[one]])
        usual = column.values[start:one][whole[start:one]]
        usual = usual[np.isfinite(usual)]
        if usual.size >= LEAST_DAYS and np.median(usual) > 0:
            ratios.append(column.values[one] / np.median(usual))
            before.append(usual[-LEAST_DAYS:] / np.median(usual))
    if len(ratios) < LEAST_OBJECTS:
        return
    low = np.mean(np.array(ratios) < UNFINISHED) >= WIDE
    other_days = (np.array(before) < UNFINISHED).mean(axis=0)  # a weekend, a holiday: no sign
    if low and not (other_days >= WIDE / 2).any():
        at = np.zeros(column.values.size, dtype=np.bool_)
        at[now] = True
        column.say(
            Severity.WARNING, "period-unfinished",
            ("a last period that is over", f"{np.median(ratios):.0%} of what is usual at that time "
             f"of day in {many(len(ratios), 'object')} at {clock(rows.time(int(now[0])))}",
             "kept as found; the export was made before the period was over"), at,
        )  # fmt: skip


def _filled(size: int, runs: Indices) -> Bools:
    """Return the rows of all runs; a run begins one row before its first repetition."""
    steps = np.zeros(size + 1, dtype=np.int64)
    np.add.at(steps, runs[:, 0] - 1, 1)
    np.add.at(steps, runs[:, 1], -1)
    return np.asarray(np.cumsum(steps)[:-1] > 0)


def _fine(known: Floats) -> bool:
    """Return whether there are so many different values that repetition is no chance."""
    sample = known[:: max(known.size // 5000, 1)]
    return bool(np.unique(sample).size >= 0.5 * sample.size)
