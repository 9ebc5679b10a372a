"""Where a series departs from what is usual for it: spikes, level shifts and drifts.

The method, for every object and KPI:

1. Cycles are removed and values expressed in units of the row's usual spread
   (``diagnose.cycles``).
2. Contrasts are scanned over a geometric ladder of lengths: a *bump* (mean of a window
   minus the mean of what lies before and after) and a *step* (mean after minus mean
   before). The spread of each contrast is measured on the series itself, by its
   median absolute deviation over all positions, so autocorrelated noise, and even a random
   walk, brings its own yardstick with it. Days differ as wholes: where a window begins or ends
   about midnight, the contrast is judged by what it is at midnights.
3. Few independent positions make that yardstick uncertain: it is moderated over the
   objects of the panel (Smyth 2004) and judged with Student's t. Windows of up to three
   periods must also beat a generalised Pareto tail fitted to the panel's own 90 to 99 %
   points (an exponential tail where there is too little data for that); for longer windows
   single values are limited to four to six spreads, so that no single value makes a level shift.
4. p-values are multiplied by the number of positions and contrasts that were looked at
   (Bonferroni) within a series; over series, the caller controls the false
   discovery rate (``discoveries``).
5. The strongest departure is taken out of the series and the scan repeated.

Axis letters: ``N`` objects (rows), ``T`` reporting periods.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cellhive.core.types import Bools, Floats
from cellhive.diagnose.cycles import Usual, robust_sigma
from cellhive.diagnose.kernels import best_edges, median_of_known
from cellhive.diagnose.yardstick import (
    FLANK,
    SHORT,
    Contrast,
    Indices,
    Yardstick,
    contrasts,
    limit_of,
    memory_of,
    p_values,
    pair_of_sums,
    scan,
    strongest,
    yardstick_of,
)

SHORTEST = 12
"""Values a series needs before it is judged at all."""
MOST_PER_SERIES = 12
"""Departures looked for in one series."""
FAR = 1.5
"""Multiple of the limit of single values beyond which long windows' yardsticks leave them out."""
ALIKE = 0.5
"""How alike in size two opposite steps must be for one to undo the other."""
UNDOING = 20.0
"""Times the level at which a step is believed that takes back one that was found: that something
happened is known then, and only its other end is looked for."""


@dataclass(frozen=True)
class Departure:
    """One stretch of one series that is not as usual."""

    row: int
    kind: str
    """"spike" (up to three periods), "level shift" or "drift"."""
    first: int
    """First period."""
    last: int
    """One past the last period."""
    sigmas: float
    """Mean departure in usual spreads of the series, signed."""
    p_value: float
    """Probability of something as strong anywhere in this series without a cause."""
    open_start: bool = False
    """It was already so at the start of the data."""
    open_end: bool = False
    """It is still so at the end of the data."""


@dataclass(frozen=True)
class _Best:
    """The strongest contrast of each row."""

    p_value: Floats
    contrast: Indices
    position: Indices
    size: Floats


def _strongest(
    values: Floats, limit: Floats, ladder: list[Contrast], sticks: list[Yardstick], rows: Indices
) -> _Best:
    """Return the strongest contrast of the rows given; values and limits of those rows only."""
    sums = pair_of_sums(values, limit)
    best = _Best(
        np.ones(rows.size), np.zeros(rows.size, np.int64), np.zeros(rows.size, np.int64),
        np.zeros(rows.size),
    )  # fmt: skip
    for index, (contrast, stick) in enumerate(zip(ladder, sticks, strict=True)):
        size, position = strongest(sums[contrast.short], contrast, stick.weight)
        p = p_values(np.nan_to_num(size), stick, rows)
        better = (p < best.p_value) & np.isfinite(size)
        best = _Best(
            np.where(better, p, best.p_value),
            np.where(better, index, best.contrast),
            np.where(better, position, best.position),
            np.where(better, size, best.size),
        )
    return best


def _sharpen(row: Floats, first: int, last: int, kind: str) -> tuple[int, int]:
    """Return the window with its edges moved, again and again, to where they explain most."""
    for _ in range(8):
        moved = _move_edges(row, first, last, kind)
        if moved == (first, last):
            break
        first, last = moved
    return first, last


def _move_edges(row: Floats, first: int, last: int, kind: str) -> tuple[int, int]:
    """Return the window near another whose mean differs most from what is around it.

    Least squares: the gain of one level inside and one outside over a common level.
    """
    length = min(last - first, 200)
    reach = max(2, length // 2) if length > 1 else 1
    low = max(0, first - length - FLANK)
    high = min(row.size, (first if kind == "step" else last) + length + FLANK)
    size = high - low
    starts = (max(1, first - low - reach), min(size - 1, first - low + reach))
    ends = (max(1, last - low - reach), min(size, last - low + reach))
    if kind == "step":
        ends = (size, size)
    start, end = best_edges(row[low:high], low, starts, ends, np.empty((2, size + 1)))
    if start < 0:
        return first, last
    return start, (last if kind == "step" else end)


def _take_out(line: Floats, contrast: Contrast, first: int, last: int) -> float:
    """Remove a departure from a row, in place, and return its mean size.

    A step is judged by as many periods on each side as showed it.
    """
    if contrast.kind == "step":
        width = max(FLANK, contrast.length)
        size = _nanmedian(line[first : first + width])
        size -= _nanmedian(line[max(0, first - width) : first])
        line[first:] -= size
        return size
    width = max(FLANK, last - first)
    around = np.concatenate([line[max(0, first - width) : first], line[last : last + width]])
    size = _nanmedian(line[first:last]) - _nanmedian(around)
    line[first:last] = np.nan
    return size


def _nanmedian(values: Floats) -> float:
    middle = float(median_of_known(values))
    return 0.0 if math.isnan(middle) else middle


@dataclass(frozen=True)
class Judged:
    """What the detection found in one panel."""

    departures: tuple[Departure, ...]
    """All with a p-value up to the level asked for, strongest first within a row."""
    p_values: Floats
    """Smallest p-value of each series, NaN where it was not judged, (N,)."""
    refused: tuple[str, ...]
    """Why a series was not judged, "" where it was, length N."""


def judge(usual: Usual, level: float = 0.05) -> Judged:
    """Return the departures of every row of a panel whose p-value is at most a level.

    Args:
        usual: The panel without its cycles.
        level: Largest p-value of interest, after correction for the positions of a series.
    """
    values = np.array(usual.residual)
    count = np.sum(~np.isnan(values), axis=1)
    constant = _constant(values)
    refused = tuple(
        f"{n} values; at least {SHORTEST} are needed" if n < SHORTEST
        else ("it never changes" if flat else "")
        for n, flat in zip(count.tolist(), constant.tolist(), strict=True)
    )  # fmt: skip
    rows = np.flatnonzero(np.array([reason == "" for reason in refused], dtype=np.bool_))
    smallest = np.full(values.shape[0], np.nan)
    if rows.size == 0:
        return Judged((), smallest, refused)
    values = values[rows]
    ladder = contrasts(values.shape[1])
    limit = limit_of(values.shape[1]) * np.maximum(robust_sigma(values), 1.0)
    # What is far out must not stretch the yardstick it is measured with; for spikes it stays,
    # because it is what shows how heavy the tail is.
    calm = np.where(np.abs(values) > FAR * limit[:, None], np.nan, values)
    sums = {True: pair_of_sums(values, limit)[True], False: pair_of_sums(calm, limit)[False]}
    memory = memory_of(calm)
    weak = usual.weak[rows]
    midnights = np.array(usual.midnights, dtype=np.int64)
    sticks = [
        yardstick_of(scan(sums[one.short], one), one, memory, weak, midnights) for one in ladder
    ]
    looks = count[rows] * len(ladder)
    found: list[list[_Found]] = [[] for _ in range(rows.size)]
    active = np.arange(rows.size, dtype=np.int64)
    for turn in range(MOST_PER_SERIES):
        best = _strongest(values[active], limit[active], ladder, sticks, active)
        p = np.minimum(best.p_value * looks[active], 1.0)
        if turn == 0:
            smallest[rows] = p
        keep = p <= np.where([_open_step(found[row]) != 0 for row in active], UNDOING, 1) * level
        for index in np.flatnonzero(keep):
            row = int(active[index])
            contrast, first = ladder[int(best.contrast[index])], int(best.position[index])
            one = _taken(values[row], contrast, first, limit[row], float(p[index]))
            keep[index] = one.p_value <= level or _undoes(one, _open_step(found[row]))
            if keep[index]:
                found[row].append(one)
        active = active[keep]
        if active.size == 0:
            break
    departures = [
        departure
        for row, items in enumerate(found)
        for departure in _intervals(int(rows[row]), items, values.shape[1])
    ]
    return Judged(tuple(departures), smallest, refused)


def _open_step(items: Sequence[_Found]) -> float:
    """Return the size of a row's steps that nothing has undone, 0 where there is none."""
    left: list[float] = []
    for item in items:
        if item.kind == "step":
            undone = next((size for size in left if _undoes(item, size)), None)
            if undone is None:
                left.append(item.size)
            else:
                left.remove(undone)
    return max(left, key=abs, default=0.0)


def _undoes(one: _Found, step: float) -> bool:
    """Return whether something takes back a step of such a size."""
    size = one.size
    return one.kind == "step" and size * step < 0 and ALIKE <= abs(size / step) <= 1 / ALIKE


def _taken(line: Floats, contrast: Contrast, first: int, limit: float, p_value: float) -> _Found:
    """Return what a contrast shows with its edges moved to where they fit best, and remove it."""
    clipped = line if contrast.short else np.clip(line, -limit, limit)
    start, end = _sharpen(clipped, first, first + contrast.length, contrast.kind)
    end = line.size if contrast.kind == "step" else end
    return _Found(contrast.kind, start, end, _take_out(line, contrast, start, end), p_value)


def _constant(values: Floats) -> Bools:
    with np.errstate(invalid="ignore"):
        low = np.nanmin(np.where(np.isnan(values), np.inf, values), axis=1)
        high = np.nanmax(np.where(np.isnan(values), -np.inf, values), axis=1)
    return np.asarray(~(high > low))


@dataclass(frozen=True)
class _Found:
    """A bump or a step of one row, before steps are paired."""

    kind: str
    first: int
    last: int
    size: float
    p_value: float


def _intervals(row: int, items: list[_Found], periods: int) -> list[Departure]:
    """Return the departures of a row: a step and the one that undoes it become one stretch."""
    out: list[Departure] = []
    steps = sorted((item for item in items if item.kind == "step"), key=lambda item: item.first)
    used: set[int] = set()
    for index, step in enumerate(steps):
        if index in used:
            continue
        partner = next(
            (
                other
                for other in range(index + 1, len(steps))
                if other not in used and _undoes(steps[other], step.size)
            ),
            None,
        )  # fmt: skip
        last, p_value = periods, step.p_value
        if partner is not None:
            used.add(partner)
            last, p_value = steps[partner].first, min(p_value, steps[partner].p_value)
        if last <= step.first:  # one undoes the other at once
            continue
        out.append(
            Departure(row, _kind(step.first, last), step.first, last, step.size, p_value,
                      open_end=partner is None)
        )  # fmt: skip
    for item in items:
        if item.kind == "bump":
            kind = _kind(item.first, item.last)
            out.append(Departure(row, kind, item.first, item.last, item.size, item.p_value))
    return sorted(_joined(out), key=lambda departure: departure.p_value)


def _joined(items: list[Departure]) -> list[Departure]:
    """Return the departures with neighbours of one sign (at most two periods apart) as one.

    A far smaller one that begins within another is what taking that one out has left: it
    must not stretch it.
    """
    out: list[Departure] = []
    for item in sorted(items, key=lambda departure: departure.first):
        last = out[-1] if out else None
        if last and item.first < last.last and abs(item.sigmas) < ALIKE * abs(last.sigmas):
            continue
        if last and item.first <= last.last + 2 and item.sigmas * last.sigmas > 0:
            a, b = last.last - last.first, item.last - item.first
            end = max(last.last, item.last)
            out[-1] = Departure(
                item.row, _kind(last.first, end), last.first, end,
                (a * last.sigmas + b * item.sigmas) / (a + b), min(last.p_value, item.p_value),
                last.open_start, last.open_end or item.open_end,
            )  # fmt: skip
        else:
            out.append(item)
    return out


def _kind(first: int, last: int) -> str:
    return "spike" if last - first <= SHORT else "level shift"


def discoveries(p_values: Floats, rate: float) -> float:
    """Return the largest p-value to accept so that the false discovery rate is at most a rate.

    Benjamini and Hochberg 1995, over all p-values that are not NaN; 0 if none passes.
    """
    known = np.sort(p_values[~np.isnan(p_values)])
    if known.size == 0:
        return 0.0
    passed = known <= rate * np.arange(1, known.size + 1) / known.size
    return float(known[np.flatnonzero(passed)[-1]]) if passed.any() else 0.0
