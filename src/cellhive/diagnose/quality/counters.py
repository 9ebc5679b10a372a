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
