"""Counters that change their meaning: another unit, a running total, coarser values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cellhive.core.measurements import Role, Severity
from cellhive.core.types import Bools, Floats
from cellhive.diagnose.quality.column import Blocks, Column, Indices, clock, listed, moment
from cellhive.diagnose.quality.shares import is_share

FACTORS = (8.0, 10.0, 60.0, 100.0, 1000.0, 3600.0, 8000.0, 1e6, 8e6, 1e9)
"""By how much units of the same thing differ: bits and bytes, kilo, minutes, per cent."""
FEWEST_BLOCKS = 2
"""Days that a unit must last."""
MOST_SWITCHES = 3
"""Changes of unit and back that are one finding; more are the nature of the counter."""
WIDE = 0.8
"""Share of the objects that change together from which the change is that of the unit."""
TOLERANCE = 0.04
"""Difference of a ratio of levels from a factor that scatter explains, at least [log10]."""
MOST_TOLERANCE = 0.13
ENOUGH = 6
"""Values that a block must have to show a course."""
_TOPS = (2.0**16, 2.0**32)
MONOTONE = 0.9
"""Share of an object's blocks that rise throughout, from which all of it is a running total."""


@dataclass(frozen=True)
class _TwoLevels:
    """Series that have two levels far apart, (objects, ...)."""

    found: Bools
    """Which objects have, (objects,)."""
    ratio: Floats
    """Distance of the levels, (objects,)."""
    high: Bools
    """Which places are at the upper level, (objects, places)."""
    spread: Floats
    """Standard error of the distance, (objects,)."""


def two_levels(levels: Floats, least: float, fewest: int = FEWEST_BLOCKS) -> _TwoLevels:
    """Find series whose values fall into two groups with a wide gap between.

    Args:
        levels: Values by object and place, NaN where there is none.
        least: Smallest gap.
        fewest: Values that each group must have.
    """
    count, width = levels.shape
    none = np.zeros(count, dtype=np.bool_)
    if width < 2 * fewest:
        empty = np.zeros(count)
        return _TwoLevels(none, empty, np.zeros(levels.shape, dtype=np.bool_), empty)
    ordered = np.sort(levels, axis=1)
    known = np.sum(~np.isnan(levels), axis=1)
    gaps = np.diff(ordered, axis=1)
    place = np.arange(1, width)
    allowed = (place >= fewest) & (place <= known[:, None] - fewest)
    gaps = np.where(allowed & ~np.isnan(gaps), gaps, -1.0)
    cut = np.argmax(gaps, axis=1)
    gap = gaps[np.arange(count), cut]
    edge = (ordered[np.arange(count), cut] + ordered[np.arange(count), cut + 1]) / 2
    with np.errstate(invalid="ignore"):
        high, low = levels > edge[:, None], levels < edge[:, None]
    top, bottom = _middle(levels, high), _middle(levels, low)
    ratio = top - bottom
    with np.errstate(invalid="ignore", divide="ignore"):
        # A day of the change itself lies between the levels and tells nothing of their scatter.
        near = np.maximum(0.15 * np.nan_to_num(ratio), 0.3)[:, None]
        upper = high & (np.abs(levels - top[:, None]) <= near)
        lower = low & (np.abs(levels - bottom[:, None]) <= near)
        spread = np.sqrt(
            _variance(levels, upper) / np.maximum(upper.sum(1), 1)
            + _variance(levels, lower) / np.maximum(lower.sum(1), 1)
        )
        found = (gap >= least) & (gap >= 0.3 * ratio)  # a day may be half and half
    found &= _switches(high, ~np.isnan(levels)) <= MOST_SWITCHES
    return _TwoLevels(found, ratio, high, spread)


def _middle(levels: Floats, which: Bools) -> Floats:
    """Return the median of the chosen values of each row; NaN where there is none."""
    chosen = np.sort(np.where(which, levels, np.nan), axis=1)
    last = np.maximum(which.sum(axis=1) - 1, 0)
    rows = np.arange(levels.shape[0])
    return np.asarray((chosen[rows, last // 2] + chosen[rows, (last + 1) // 2]) / 2)


def _variance(levels: Floats, which: Bools) -> Floats:
    count = np.maximum(which.sum(axis=1), 1)
    value = np.where(which, levels, 0.0)
    mean = value.sum(axis=1) / count
    squares = np.where(which, (levels - mean[:, None]) ** 2, 0.0).sum(axis=1)
    return np.asarray(squares / np.maximum(count - 1, 1))


def _switches(high: Bools, known: Bools) -> Indices:
    """Return how often each row changes between the levels, leaving out what is unknown."""
    state = np.where(known, np.where(high, 1, -1), 0)
    index = np.where(known, np.arange(state.shape[1]), 0)
    last = np.maximum.accumulate(index, axis=1)
    filled = np.take_along_axis(state, last, axis=1)
    changed = (np.diff(filled, axis=1) != 0) & (filled[:, :-1] != 0)
    return np.asarray(changed.sum(axis=1))


# Single values of another size -------------------------------------------------

THOUSAND = 1000.0
"""By how much a misread separator of thousands, or kilo for mega, makes a value larger."""
THOUSAND_LOG = np.log10(THOUSAND)
NEAR_THOUSAND = 0.5
"""Difference from that which the course of the day explains [log10]."""
STEADY = 2.0
"""Range of an object's other values from which a thousand times as much may be one of them [log10,
from the first to the last hundredth]."""
FEWEST_STRAYS = 5


def say_strays(column: Column) -> None:
    """Find single values a thousand times as large as those around them."""
    if column.info.role not in {Role.COUNTER, Role.GAUGE, Role.UNKNOWN}:
        return
    values, row = column.values, column.rows.row
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(values > 0, np.log10(values), np.nan)
    known = logs[np.isfinite(logs)]
    if known.size == 0 or float(known.max()) - float(np.median(known)) < THOUSAND_LOG / 2:
        return
    around = np.full((4, values.size), np.nan)
    for k, by in enumerate((-2, -1, 1, 2)):
        same = np.roll(row, by) == row
        around[k] = np.where(same, np.roll(logs, by), np.nan)
    step = logs - _middle(around.T, ~np.isnan(around.T))
    with np.errstate(invalid="ignore"):
        at = np.abs(step - THOUSAND_LOG) <= NEAR_THOUSAND
    for one in np.unique(row[at]).tolist():
        here = slice(int(column.rows.starts[one]), int(column.rows.ends[one]))
        rest = logs[here][~at[here]]
        rest = rest[np.isfinite(rest)]
        if rest.size < ENOUGH or float(np.ptp(np.quantile(rest, [0.01, 0.99]))) > STEADY:
            at[here] = False
    if at.sum() >= FEWEST_STRAYS:
        column.say(
            Severity.WARNING, "stray-scale",
            ("values of one size", f"{int(at.sum())} single values about {THOUSAND:g} times as "
             f"large as those around them, for example {values[at][0]:.6g}",
             "kept as found: a separator of thousands may be misread, or a unit"), at,
        )  # fmt: skip


# Another unit -------------------------------------------------------------------


def say_unit_changes(column: Column, elsewhere: Callable[[], Floats | None]) -> None:
    """Find columns whose level changes by the ratio of two units.

    Where nearly all objects change together, the values in the rarer unit become null; where
    a few do, it may be a fault of the network, and all is kept.

    Args:
        column: The column.
        elsewhere: Returns the typical level of the other columns by object and place [log10];
            None where there are no others.
    """
    blocks = column.rows.levels
    if blocks.count < 2 * FEWEST_BLOCKS or blocks.count * blocks.objects > 20 * column.values.size:
        return
    levels = log_levels(column.values, blocks)
    fewest = FEWEST_BLOCKS if blocks.starts.size * 4 <= column.values.size else ENOUGH
    two = two_levels(levels, 0.25, fewest)
    factor = _nearest(two.ratio)
    off = np.abs(two.ratio - np.log10(factor))
    found = two.found & (off <= MOST_TOLERANCE) & (two.spread <= MOST_TOLERANCE)
    if found.sum() < WIDE * np.sum(~np.isnan(levels).all(axis=1)):
        # What only a few objects do may be a fault: it has to be a unit more exactly.
        found &= off <= np.clip(3 * two.spread, TOLERANCE, TOLERANCE * 2)
    if is_share(column.info):
        found &= factor == 100.0  # noqa: PLR2004  # fractions and per cent
    others = elsewhere() if found.any() else None
    if others is not None:
        found &= ~_all_changed(others, two)
    if found.any():
        _tell_units(column, levels, two, found, factor)


def log_levels(values: Floats, blocks: Blocks) -> Floats:
    """Return the mean decimal logarithm of what is not 0 in each block, (objects, places)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(np.abs(values))
    there = np.isfinite(logs)
    count = blocks.sums(there.astype(np.float64))
    total = blocks.sums(np.where(there, logs, 0.0))
    return blocks.dense(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def _nearest(ratio: Floats) -> Floats:
    factors = np.array(FACTORS)
    distance = np.abs(np.nan_to_num(ratio)[:, None] - np.log10(factors)[None, :])
    return np.asarray(factors[np.argmin(distance, axis=1)])


def _all_changed(elsewhere: Floats, two: _TwoLevels) -> Bools:
    """Return where the other columns changed as well: an outage, or other traffic."""
    known = ~np.isnan(elsewhere)
    change = _middle(elsewhere, two.high & known) - _middle(elsewhere, ~two.high & known)
    return np.asarray(np.abs(np.nan_to_num(change)) > 0.3)  # noqa: PLR2004  # by a factor of two


def _tell_units(
    column: Column, levels: Floats, two: _TwoLevels, found: Bools, factor: Floats
) -> None:
    judged = np.sum(~np.isnan(levels), axis=1) >= 2 * FEWEST_BLOCKS
    usual = float(np.median(factor[found]))
    found = found & (factor == usual)
    wide = found.sum() >= WIDE * judged.sum()
    known = ~np.isnan(levels)
    upper = int((two.high & found[:, None] & known).sum())
    minority = two.high if 2 * upper <= int((found[:, None] & known).sum()) else ~two.high
    blocks = column.rows.levels
    dense = np.zeros(levels.shape, dtype=np.bool_)
    dense[found] = minority[found] & known[found]
    at = _of_blocks(blocks, dense, column.values.size)
    _refine(at, column, levels, two, found, minority)
    at &= column.known
    larger = minority is two.high
    code = "fraction-and-percent" if is_share(column.info) else "unit-changed"
    sure = wide and (judged.sum() > 1 or is_share(column.info))
    word = "larger" if larger else "smaller"
    span = _spans(column, at)
    done = (
        f"these {int(at.sum())} values are left empty, as no mean over both units is right; "
        "export them in one unit" if sure
        else "kept as found: it may be another unit, or a fault of the network"
    )  # fmt: skip
    column.say(
        Severity.WARNING, code,
        ("one unit all the time", f"values {usual:g} times {word} {span} in "
         f"{column.part_of(found)}", done), at,
    )  # fmt: skip
    if sure:
        column.values[at] = np.nan
        column.cut = True


def _of_blocks(blocks: Blocks, dense: Bools, size: int) -> Bools:
    """Return the rows of the blocks that are true."""
    flags = dense[blocks.row, blocks.number]
    lengths = np.diff(np.concatenate([blocks.starts, [size]]))
    return np.asarray(np.repeat(flags, lengths))


def _refine(
    at: Bools, column: Column, levels: Floats, two: _TwoLevels, found: Bools, minority: Bools
) -> None:
    """Settle row by row which are of the rarer unit, in blocks that border on a change.

    A unit changes at noon as well as at midnight. What is usual at a time of day is taken from
    the other blocks.
    """
    blocks, values = column.rows.levels, column.values
    if blocks.starts.size * 4 > values.size:
        return
    lengths = np.diff(np.concatenate([blocks.starts, [values.size]]))
    block = np.repeat(np.arange(blocks.starts.size), lengths)
    place = (blocks.row[block], blocks.number[block])
    border = np.zeros(levels.shape, dtype=np.bool_)
    change = np.diff(two.high.astype(np.int8), axis=1) != 0
    border[:, 1:] |= change
    border[:, :-1] |= change
    near = (border & found[:, None])[place]
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(np.abs(values))
    usual = _time_of_day(column, logs - levels[place], ~border[place])
    rows = np.flatnonzero(near)
    one = column.rows.row[rows]
    major = _middle(levels, ~minority & ~np.isnan(levels) & ~border)
    off = np.nan_to_num(logs[rows] - major[one] - usual[rows])
    sign = np.where(two.high[:, 0] == minority[:, 0], 1.0, -1.0)[one]
    at[rows] = off * sign > two.ratio[one] / 2


def _time_of_day(column: Column, residual: Floats, use: Bools) -> Floats:
    """Return what is usual at the time of day of each row, over the chosen rows."""
    seconds = column.rows.seconds
    assert seconds is not None  # noqa: S101  # asked of timed rows only
    slot = ((seconds % 86400.0) // (column.rows.period_s or 3600.0)).astype(np.int64)
    use = use & np.isfinite(residual)
    count = np.bincount(slot[use], minlength=int(slot.max()) + 1)
    total = np.bincount(slot[use], residual[use], minlength=int(slot.max()) + 1)
    return np.asarray((total / np.maximum(count, 1))[slot])


def _spans(column: Column, at: Bools) -> str:
    """Return from when to when rows are, as one or a few stretches of time."""
    seconds = column.rows.seconds
    assert seconds is not None  # noqa: S101  # asked of timed rows only
    times = np.unique(seconds[at])
    if times.size == 0:
        return "at times"
    every = np.unique(seconds)
    place = np.searchsorted(every, times)
    cut = np.flatnonzero(np.diff(place) > max(every.size // 20, 1))
    edges = zip(
        np.concatenate([[0], cut + 1]), np.concatenate([cut, [times.size - 1]]), strict=True
    )
    told = [
        f"from {clock(moment(float(times[a])))} to {clock(moment(float(times[b])))}"
        for a, b in edges
    ]
    return listed(told)


# Running totals -----------------------------------------------------------------


def empty_running_totals(column: Column) -> None:
    """Find counters that add up: all the time, or from some time on."""
    if column.info.role not in {Role.COUNTER, Role.UNKNOWN} or column.info.bin is not None:
        return
    blocks, values = column.rows.chunks, column.values
    step = np.full(values.size, np.nan)
    step[1:] = np.diff(values)
    step[blocks.starts] = np.nan
    up, down = blocks.sums((step > 0).astype(float)), blocks.sums((step < 0).astype(float))
    steps = blocks.sums((~np.isnan(step)).astype(float))
    enough = steps >= ENOUGH - 1
    # One step down may be a reset; a block that does not rise half the time shows nothing.
    rising = enough & (up >= 0.5 * steps) & (down <= np.where(steps >= 3 * ENOUGH, 1, 0))
    share = np.bincount(blocks.row, rising, blocks.objects)
    judged = np.bincount(blocks.row, enough, blocks.objects)
    rises = np.bincount(blocks.row, np.where(rising, up, 0), blocks.objects)
    total = (judged >= 1) & (share >= MONOTONE * judged) & (rises >= 3 * ENOUGH)
    moving = np.bincount(blocks.row, np.where(enough, up + down, 0), blocks.objects) > 0
    if total.sum() < 0.5 * moving.sum():  # a few objects need more than one day of it
        total &= share >= 3  # noqa: PLR2004
    _tell_late_totals(column, rising & ~total[blocks.row], enough)
    if total.any():
        _difference(column, total)


def _difference(column: Column, total: Bools) -> None:
    """Replace running totals by what each period added; null where that cannot be told."""
    values, row, seconds = column.values, column.rows.row, column.rows.seconds
    assert seconds is not None  # noqa: S101  # asked of timed rows only
    before = np.concatenate([[np.nan], values[:-1]])
    gone = np.diff(seconds, prepend=np.nan) > 1.5 * (column.rows.period_s or 0.0)
    gone[column.rows.starts] = True
    jump = values - before
    at = total[row] & column.known
    fell = at & ~gone & (jump < 0)
    with np.errstate(invalid="ignore"):
        wrapped = fell & np.any([(before > 0.9 * top) & (before <= top) for top in _TOPS], axis=0)
    empty = at & (gone | fell | np.isnan(before))
    wraps = int(wrapped.sum())
    column.say(
        Severity.WARNING, "running-total",
        ("a count per period", f"values that only rise, in {column.part_of(total)}: totals since "
         f"some start, with {int(fell.sum()) - wraps} resets and {wraps} wraps at 2^16 or 2^32",
         "each value was replaced by its rise since the period before; "
         f"{int(empty.sum())} after a gap, a reset or at the start are left empty"), at,
    )  # fmt: skip
    values[at] = np.where(empty[at], np.nan, jump[at])


def _tell_late_totals(column: Column, rising: Bools, enough: Bools) -> None:
    """Find stretches of at least three blocks that rise throughout."""
    blocks = column.rows.chunks
    dense = blocks.dense(np.where(enough, rising.astype(np.float64), np.nan))
    up = dense == 1.0
    three = up[:, :-2] & up[:, 1:-1] & up[:, 2:] if up.shape[1] > 2 else up[:, :0]  # noqa: PLR2004
    if not three.any():
        return
    stretch = np.zeros(up.shape, dtype=np.bool_)
    for shift in range(3):
        stretch[:, shift : shift + three.shape[1]] |= three
    at = _of_blocks(blocks, stretch, column.values.size) & column.known
    which = np.asarray(stretch.any(axis=1))
    column.say(
        Severity.WARNING, "running-total",
        ("a count per period", f"values that only rise {_spans(column, at)}, in "
         f"{column.part_of(which)}: a total since some start",
         f"these {int(at.sum())} values are left empty in summaries and incidents; export the "
         "difference of each period"), at,
    )  # fmt: skip
    column.values[at] = np.nan
    column.cut = True


# Coarser values -----------------------------------------------------------------

_DECIMALS = 4


def say_resolution(column: Column) -> bool:
    """Say and return whether values are written with fewer decimals for a part of the time."""
    blocks, values = column.rows.chunks, column.values
    if blocks.count < 2 * FEWEST_BLOCKS or blocks.count * blocks.objects > 20 * values.size:
        return False
    decimals = _decimals_of(values)
    if decimals.max() == 0:
        return False
    most = np.maximum.reduceat(decimals, blocks.starts).astype(np.float64)
    count = blocks.sums((column.known & (values != 0)).astype(np.float64))
    dense = blocks.dense(np.where(count >= ENOUGH, most, np.nan))
    two = two_levels(dense, 2.0)
    if not two.found.any():
        return False
    fine = two.high.sum() * 2 >= (~np.isnan(dense)).sum()
    coarse = ~two.high & two.found[:, None] & ~np.isnan(dense)
    at = _of_blocks(blocks, coarse, values.size) & column.known
    column.say(
        Severity.INFO, "resolution-changed",
        ("values of one resolution", f"values with at most {int(decimals[at].max(initial=0))} "
         f"decimals {_spans(column, at)}, in {column.part_of(np.asarray(two.found))}, and with "
         f"{int(decimals.max())} {'otherwise' if fine else 'at other times'}",
         "kept as found; small changes cannot be seen there"), at,
    )  # fmt: skip
    return True


def _decimals_of(values: Floats) -> npt.NDArray[np.int8]:
    """Return with how many decimals each value is written, up to 4; 0 where there is none."""
    out = np.full(values.size, _DECIMALS, dtype=np.int8)
    open_ = np.ones(values.size, dtype=np.bool_)
    for places in range(_DECIMALS):
        scaled = values * 10.0**places
        with np.errstate(invalid="ignore"):
            whole = ~(np.abs(scaled - np.rint(scaled)) > 1e-7 * np.maximum(np.abs(scaled), 1.0))
        out[open_ & whole] = places
        open_ &= ~whole
        if not open_.any():
            break
    return out
