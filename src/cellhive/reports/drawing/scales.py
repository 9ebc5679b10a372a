"""Axes of charts: nice ticks, calendar ticks, pixel scales, and thinning of long series."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from cellhive.core.types import Floats, Ints
from cellhive.reports.numbers import format_clock, format_number, format_time_of_day

MAX_POINTS = 2000
"""Points of one series beyond which it is thinned."""

Instants = Sequence[float] | Sequence[datetime] | npt.NDArray[Any]
"""Positions on an x axis: numbers, ``datetime`` or ``datetime64``."""

_SECONDS = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5,
    1, 2, 5, 10, 15, 30, 60, 300, 900, 1800, 3600, 7200, 10800, 21600, 43200,
    86400, 2 * 86400, 7 * 86400, 14 * 86400,
)  # fmt: skip
_MINUTE_S = 60
_DAY_S = 86400
_MONTH_S = 30.44 * _DAY_S
_YEAR_MONTHS = 12
_MOST_PLACES = 6
_LARGE = 1e6


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map from values to pixels."""

    low: float
    high: float
    start: float
    """Pixel of ``low``."""
    end: float
    """Pixel of ``high``."""

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def pixels(self, values: Floats) -> Floats:
        """Return the pixels of many values; NaN stays NaN."""
        share = (values - self.low) / (self.high - self.low)
        return np.asarray(self.start + share * (self.end - self.start), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Tick:
    """One labelled place on an axis."""

    at: float
    label: str


def nice_step(span: float, count: int) -> float:
    """Return the step of 1, 2 or 5 times a power of ten that cuts a span into about ``count``."""
    raw = span / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    for factor in (1.0, 2.0, 5.0):
        if raw <= factor * power * (1 + 1e-9):
            return factor * power
    return 10.0 * power


def nice_ticks(low: float, high: float, count: int = 5) -> list[Tick]:
    """Return ticks at multiples of a 1-2-5 step that lie within the limits."""
    step = nice_step(high - low, count)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    return [
        Tick(index * step, _tick_text(index * step, places)) for index in range(first, last + 1)
    ]


def _tick_text(value: float, places: int) -> str:
    if abs(value) >= _LARGE or places > _MOST_PLACES:
        return format_number(value, 3)
    text = f"{value:,.{places}f}".replace(",", "\u202f").replace("-", "−")
    return text.replace("−0", "0") if float(f"{value:.{places}f}") == 0 else text


def nice_limits(low: float, high: float, *, count: int = 5) -> tuple[float, float]:
    """Return limits rounded outwards to a nice step; a flat series gets room around it."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return 0.0, 1.0
    if high - low < 1e-9 * max(abs(high), abs(low), 1e-300):
        room = abs(high) * 0.1 or 1.0
        low, high = low - room, high + room
    step = nice_step(high - low, count)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step


def hour_ticks(low: float, high: float, count: int = 8, *, clock: bool = False) -> list[Tick]:
    """Return ticks on an axis in hours: parts of an hour, then 1, 2, 3, 6, 12, 24 hours.

    Args:
        low: Left end [h].
        high: Right end [h].
        count: Most ticks.
        clock: Write them as the time of day instead of a number.
    """
    span = high - low
    steps = (1 / 12, 0.25, 0.5, 1, 2, 3, 6, 12, 24, 48, 168)
    step = next((s for s in steps if span / s <= count), nice_step(span, count))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    text = format_time_of_day if clock else _hours_text
    return [Tick(i * step, text(i * step)) for i in range(first, last + 1)]


def _hours_text(hours: float) -> str:
    return format_number(hours, 4)


def calendar_ticks(low_s: float, high_s: float, count: int = 8) -> list[Tick]:
    """Return ticks on whole seconds, minutes, hours, days or months of an axis in epoch seconds."""
    span = high_s - low_s
    step = next((s for s in _SECONDS if span / s <= count), 0)
    if not step:
        return _month_ticks(low_s, high_s, count)
    offset = 4 * 86400 if step >= 7 * 86400 else 0  # the epoch began on a Thursday
    first = math.ceil((low_s - offset) / step - 1e-9)
    last = math.floor((high_s - offset) / step + 1e-9)
    return [
        Tick(float(i * step + offset), _calendar_text(i * step + offset, step))
        for i in range(first, last + 1)
    ]


def _calendar_text(epoch_s: float, step_s: float) -> str:
    moment = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=round(epoch_s * 1e3))
    if step_s < 1:
        return f"{moment:%S}.{moment.microsecond // 1000:03d} s"
    if step_s < _MINUTE_S:
        return f"{moment:%H:%M:%S}"
    midnight = moment.hour == 0 and moment.minute == 0
    return f"{moment.day} {moment:%b}" if step_s >= _DAY_S or midnight else f"{moment:%H:%M}"


def _month_ticks(low_s: float, high_s: float, count: int) -> list[Tick]:
    months = (high_s - low_s) / _MONTH_S
    step = next((s for s in (1, 3, 6, 12, 24, 60, 120) if months / s <= count), 240)
    moment = datetime.fromtimestamp(low_s, UTC)
    year, month = moment.year, 1
    ticks: list[Tick] = []
    while (start := datetime(year, month, 1, tzinfo=UTC).timestamp()) <= high_s:
        if start >= low_s:
            text = (
                f"{datetime(year, month, 1, tzinfo=UTC):%b %Y}"
                if step < _YEAR_MONTHS
                else str(year)
            )
            ticks.append(Tick(start, text))
        year, month = year + (month - 1 + step) // 12, (month - 1 + step) % 12 + 1
    return ticks


def positions(values: Instants) -> tuple[Floats, bool]:
    """Return x positions as floats, and whether they are calendar times (then epoch seconds).

    The wall clock of a ``datetime`` is kept as it is: its time zone is dropped, not applied.
    """
    items = values if isinstance(values, np.ndarray) else np.asarray(_plain(values))
    if np.issubdtype(items.dtype, np.datetime64):
        return items.astype("datetime64[ms]").astype(np.float64) / 1e3, True
    return items.astype(np.float64), False


def _plain(values: Sequence[float] | Sequence[datetime]) -> list[float | np.datetime64]:
    return [
        np.datetime64(item.replace(tzinfo=None)) if isinstance(item, datetime) else item
        for item in values
    ]


def instant_text(position: float, *, calendar: bool, unit: str = "h") -> str:
    """Return an x position in words, for tooltips."""
    if calendar:
        moment = datetime.fromtimestamp(0, UTC) + timedelta(seconds=float(position))
        return f"{moment:%Y-%m-%d %H:%M:%S}" if moment.second else f"{moment:%Y-%m-%d %H:%M}"
    if unit == "clock":
        return format_clock(position * 3600)
    return f"{format_number(position, 4)} {unit}".strip()


def thin(y: Floats, limit: int = MAX_POINTS) -> Ints:
    """Return the indices to draw: the low and the high of each stretch, and one per gap.

    A series of up to ``limit`` points keeps them all. Peaks survive; a stretch with
    unknown values keeps one of them, so that gaps stay gaps.
    """
    if y.size <= limit:
        return np.arange(y.size, dtype=np.int32)
    edges = np.linspace(0, y.size, max(limit // 3, 1) + 1).astype(int)
    keep: set[int] = {0, y.size - 1}
    for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        part = y[start:stop]
        known = np.flatnonzero(np.isfinite(part))
        if known.size:
            keep.add(start + int(known[np.argmin(part[known])]))
            keep.add(start + int(known[np.argmax(part[known])]))
        if known.size < part.size:
            keep.add(start + int(np.flatnonzero(~np.isfinite(part))[0]))
    return np.array(sorted(keep), dtype=np.int32)
