"""The weekly pattern of a panel: weekends with a shape of their own, holidays that are Sundays.

Axis letters: ``N`` objects (rows), ``T`` periods, ``D`` days, ``H`` blocks of a day.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cellhive.core.types import Floats

ROWS_TO_POOL = 4
"""Objects needed before one borrows strength from the others."""
MAD_TO_SIGMA = 1.4826
"""Standard deviation of a Gaussian over its median absolute deviation."""
HOURS = 24
SHARED = (0.35, 4.0)
"""Share of the objects, and number, of which the smaller must have a pattern for it to be one
that they have in common."""
MOST_PATTERNS = 5
"""Patterns that the objects of a panel may have in common."""
ODD_DAY = 2.0
"""How many times the usual misfit makes a day one that may be a holiday."""
FAR = 5.0
"""Spreads that a single misfit counts at most."""
OF_WEEKS_AGREED = 0.23
"""Mean square of what two weeks of noise agree in, in variances of their median."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Week:
    """What repeats from week to week."""

    cycle: Floats
    """Offset from the week's level, (N, T)."""
    holidays: Mapping[int, int]
    """Days, counted from the first of the grid, that were like another day of the week, and
    which: 0 is that on which weeks of the grid start."""


def fold(values: Floats, lead: int, length: int) -> Floats:
    """Return rows folded into cycles of a length, (N, cycles, length), padded with NaN."""
    rows, periods = values.shape
    cycles = -(-(lead + periods) // length)
    padded = np.full((rows, cycles * length), np.nan)
    padded[:, lead : lead + periods] = values
    return padded.reshape(rows, cycles, length)


def median_over(values: Floats, axis: int) -> Floats:
    """Return medians along an axis without NaN; 0 where there is no value at all."""
    moved = np.moveaxis(values, axis, -1)
    flat = np.ascontiguousarray(moved).reshape(-1, moved.shape[-1])
    ordered = np.sort(flat, axis=1)
    count = np.sum(~np.isnan(flat), axis=1)
    rows = np.arange(flat.shape[0])
    low = ordered[rows, np.maximum((count - 1) // 2, 0)]
    high = ordered[rows, np.maximum(count // 2, 0) % flat.shape[1]]
    middle = np.where(count > 0, 0.5 * (low + high), 0.0)
    return middle.reshape(moved.shape[:-1])


def unfold(profile: Floats, lead: int, periods: int) -> Floats:
    """Return a profile of one cycle repeated along the grid, (N, T)."""
    index = (lead + np.arange(periods)) % profile.shape[1]
    return profile[:, index]


def weekly_cycle(
    values: Floats, lead: int, per_day: int, *, own: bool, holidays: Mapping[int, int] | None = None
) -> Week:
    """Return what a panel, its daily cycle already out, does every week.

    Each weekday has a level, by how much it lies above or below the seven days around it, and
    a shape, both medians over the weeks. Medians of a few weeks are noisy, so what many
    objects have in common (the leading singular vectors, where several have them) is
    believed, and of the rest only as much as exceeds its noise (James and Stein 1961). A day
    whose values fit another weekday much better, as a holiday fits a Sunday, is taken for one.

    Args:
        values: Values, (N, T); NaN where there is none.
        lead: Periods from the start of a week to the start of the grid.
        per_day: Periods of a day.
        own: Whether there are weeks enough for what a single object does in most of them. Of
            fewer, that counts which a cell does in every one of them.
        holidays: Days that are known to be like another day of the week, in the terms of
            ``Week.holidays``, whether or not these values show it.
    """
    periods = values.shape[1]
    days = fold(values, lead % per_day, per_day)
    blocks = _blocks(days)
    usual_labels = (lead // per_day + np.arange(days.shape[1])) % 7
    labels = usual_labels.copy()
    for day, like in (holidays or {}).items():
        if 0 <= day < labels.size:
            labels[day] = like
    level = np.where(np.isnan(days).all(axis=2), np.nan, median_over(days, 2))
    around = _of_seven_days(level)
    pattern = _pattern(level - around, blocks - level[:, :, None], labels, own=own)
    if values.shape[0] >= ROWS_TO_POOL and blocks.shape[2] > 1:
        other = _relabelled(blocks - around[:, :, None], pattern, labels)
        if (other != labels).any():
            labels = other
            pattern = _pattern(level - around, blocks - level[:, :, None], labels, own=own)
    on_days = np.repeat(pattern[:, labels], per_day // blocks.shape[2], axis=2)
    whole = on_days.reshape(values.shape[0], -1)[:, lead % per_day :][:, :periods]
    odd = np.flatnonzero(labels != usual_labels)
    return Week(whole, dict(zip(odd.tolist(), labels[odd].tolist(), strict=True)))


def _blocks(days: Floats) -> Floats:
    """Return the days in blocks of an hour, or of a period where it is longer, (N, D, H)."""
    rows, count, per_day = days.shape
    if per_day <= HOURS or per_day % HOURS:
        return days
    known = ~np.isnan(days)
    hours = (rows, count, HOURS, per_day // HOURS)
    total = np.where(known, days, 0.0).reshape(hours).sum(axis=3)
    number = known.reshape(hours).sum(axis=3)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _of_seven_days(level: Floats) -> Floats:
    """Return the median level of the seven days around each, so that every weekday counts."""
    count = level.shape[1]
    first = np.clip(np.arange(count) - 3, 0, max(count - 7, 0))
    window = np.minimum(first[:, None] + np.arange(7)[None, :], count - 1)
    return median_over(level[:, window], 2)


def _pattern(offset: Floats, shape: Floats, labels: Ints, *, own: bool) -> Floats:
    """Return level and shape of each weekday, (N, 7, H)."""
    rows, _, blocks = shape.shape
    weeks = max(labels.size / 7.0, 1.0)
    days = [labels == day for day in range(7)]
    levels = _each_day(offset[:, :, None], days, median_over)
    forms = _each_day(shape, days, median_over)
    noise = _noise((offset - levels[:, labels, 0]), weeks)
    levels = _believed(levels[:, :, 0], noise, None if own else _range(offset[:, :, None], days))
    if blocks == 1:
        return levels[:, :, None]
    noise = _noise((shape - forms[:, labels]).reshape(rows, -1), weeks)
    forms = _believed(forms.reshape(rows, -1), noise, None if own else _range(shape, days))
    forms = forms.reshape(rows, 7, blocks)
    return levels[:, :, None] + forms


def _each_day(
    values: Floats, days: Sequence[npt.NDArray[np.bool_]], of: Callable[[Floats, int], Floats]
) -> Floats:
    """Return a statistic over the days of each weekday, (N, 7, H)."""
    out = np.zeros((values.shape[0], len(days), values.shape[2]))
    for day, here in enumerate(days):
        if here.any():
            out[:, day] = of(values[:, here], 1)
    return out


def _range(values: Floats, days: Sequence[npt.NDArray[np.bool_]]) -> tuple[Floats, Floats]:
    """Return the least and the greatest of each weekday's days, (N, 7 * H).

    One day alone, which agrees with none, may be anything.
    """
    rows = values.shape[0]
    several = _each_day((~np.isnan(values)).astype(np.float64), days, np.sum).reshape(rows, -1) > 1
    least = _each_day(values, days, np.fmin.reduce).reshape(rows, -1)
    most = _each_day(values, days, np.fmax.reduce).reshape(rows, -1)
    return np.where(several, least, -np.inf), np.where(several, most, np.inf)


def _noise(rest: Floats, weeks: float) -> Floats:
    """Return the spread of a median over some weeks, from what it leaves, (N, 1)."""
    spread = MAD_TO_SIGMA * median_over(np.abs(rest), 1)
    left = np.sqrt(max(1.0 - 1.0 / weeks, 0.25))  # a median takes part of its own noise with it
    return np.asarray((1.25 * spread / left / np.sqrt(weeks))[:, None])


def _believed(found: Floats, noise: Floats, weeks: tuple[Floats, Floats] | None) -> Floats:
    """Return rows drawn towards what they have in common, and their rest towards nothing.

    Args:
        found: Medians of the weeks, (N, K).
        noise: Their spread, (N, 1).
        weeks: The least and the greatest of the weeks, where they are too few for their median
            to be believed of a single object: that counts by which all of them are off.
    """
    safe = np.where(noise > 0, noise, 1.0)
    unit = np.where(noise > 0, found / safe, 0.0)
    common = np.zeros_like(unit)
    rows, columns = unit.shape
    if rows >= ROWS_TO_POOL:
        middle = np.median(unit, axis=0, keepdims=True)
        far = FAR * np.maximum(MAD_TO_SIGMA * np.median(np.abs(unit - middle), axis=0), 1.0)
        limited = np.clip(unit, middle - far, middle + far)
        values, vectors = np.linalg.eigh(limited.T @ limited)
        size = np.sqrt(np.maximum(values[::-1][:MOST_PATTERNS], 0.0))
        chosen = vectors[:, ::-1][:, :MOST_PATTERNS][:, size > 1.5 * _of_noise(rows, columns)]
        chosen = chosen[:, _shared_by(limited @ chosen) >= min(SHARED[0] * rows, SHARED[1])]
        common = (limited @ chosen) @ chosen.T
    rest, usual = unit - common, 1.0
    if weeks is not None:
        least, most = (np.where(noise > 0, week / safe, 0.0) - common for week in weeks)
        rest, usual = np.maximum(least, 0.0) + np.minimum(most, 0.0), OF_WEEKS_AGREED
    power = np.mean(np.square(rest), axis=1, keepdims=True)
    believed = np.maximum(1.0 - usual / np.maximum(power, 1e-12), 0.0)
    return np.asarray((common + believed * rest) * safe)


def _shared_by(weights: Floats) -> Floats:
    """Return by how many rows each pattern is shared: one, if only one has it, (K,)."""
    square = np.square(weights)
    return np.asarray(square.sum(axis=0) ** 2 / np.maximum(np.square(square).sum(axis=0), 1e-300))


def _of_noise(rows: int, columns: int) -> float:
    """Return the largest singular value of unit noise, about (Marchenko and Pastur 1967)."""
    return float(np.sqrt(rows) + np.sqrt(columns))


def _relabelled(blocks: Floats, pattern: Floats, labels: Ints) -> Ints:
    """Return the weekday that each day is like: its own, unless another fits twice as well."""
    rows = blocks.shape[0]
    rest = blocks - pattern[:, labels]
    spread = MAD_TO_SIGMA * median_over(np.abs(rest).reshape(rows, -1), 1)
    usable = spread > 0
    if not usable.any():
        return labels
    unit = spread[usable][:, None, None]
    misfit = _misfit(rest[usable] / unit)
    usual = float(np.nanmedian(misfit)) if np.isfinite(misfit).any() else np.nan
    out = labels.copy()
    for day in np.flatnonzero(misfit > ODD_DAY * usual):
        here = blocks[usable, day][:, None] - pattern[usable]
        each = _misfit(here / unit)
        best = int(np.argmin(np.nan_to_num(each, nan=np.inf)))
        if each[best] < 0.5 * misfit[day]:
            out[day] = best
    return out


def _misfit(unit: Floats) -> Floats:
    """Return the mean squared misfit over the blocks of a day, of the median object, (D,)."""
    limited = np.square(np.minimum(np.abs(unit), FAR))
    known = ~np.isnan(limited)
    number = known.sum(axis=2)
    total = np.where(known, limited, 0.0).sum(axis=2)
    each = np.where(number > 0, total / np.maximum(number, 1), np.nan)
    return np.where((number > 0).any(axis=0), median_over(each, 0), np.nan)
