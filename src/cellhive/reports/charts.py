"""Line charts, distributions and sparklines as SVG text, drawn on the server.

No script and no library is needed to look at them. Colours are CSS variables of
``templates/chart.css`` (light, dark, colour-blind safe); every mark has a ``<title>``
for pointer and screen reader; unknown values are gaps; all text is escaped. Bars and
histograms are in ``bars.py``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

import numpy as np
import numpy.typing as npt

from cellhive.core.types import Floats, Ints
from cellhive.reports.drawing.scales import (
    Instants,
    Scale,
    instant_text,
    nice_limits,
    positions,
    thin,
)
from cellhive.reports.drawing.svg import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    Frame,
    Look,
    axes,
    grid,
    no_data,
    svg_element,
)
from cellhive.reports.numbers import format_number, with_unit

MAX_HOVER = 400
"""Most places along a chart that answer the pointer."""

_LETTER_PX, _KEY_PX = 6.4, 36.0
"""Width of a letter of the legend, and of the line before a label with the gaps around it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One series of a line chart."""

    label: str
    x: Instants
    """Positions: ``datetime``, ``datetime64``, or numbers such as hours, ascending."""
    y: npt.ArrayLike
    """Values; NaN is drawn as a gap."""
    tone: str = ""
    """"run", "baseline", "better", "worse", "muted", or "" for the next colour of the palette."""
    low: npt.ArrayLike | None = None
    """Lower edge of an interval around the line."""
    high: npt.ArrayLike | None = None
    """Upper edge of an interval around the line."""
    max_gap: float = math.inf
    """Distance of neighbouring positions beyond which the line is broken [h or s, as ``x``]."""


@dataclass(frozen=True, slots=True)
class Mark:
    """An event or a span of time marked on a line chart."""

    x: object
    """Where it happened, in the kind of ``Line.x``."""
    label: str
    """What happened; shown on hover."""
    tone: str = "info"
    """"info", "better", "worse", "warn", or "quiet" for a short tick where there are many."""
    end: object | None = None
    """End of a span; None marks one moment."""


# Line charts -----------------------------------------------------------------


def line_chart(
    lines: Sequence[Line],
    *,
    title: str,
    unit: str = "",
    marks: Sequence[Mark] = (),
    look: Look | None = None,
) -> str:
    """Return a line chart as an ``<svg>`` element.

    Args:
        lines: Series to draw; later ones lie on top.
        title: What is shown; written above the chart and read by screen readers.
        unit: Unit of the values, written beside the title and in tooltips.
        marks: Events and spans along the x axis.
        look: Size, limits and reference line.
    """
    look = look or Look()
    series = [_prepared(line, look.points) for line in lines]
    frame = _frame(series, marks, look)
    body = [
        grid(frame),
        *(_mark(frame, mark) for mark in marks if mark.end is not None),
        _reference(frame, unit),
        *(_band(frame, one, _tone(lines[i], i)) for i, one in enumerate(series)),
        *(_path(frame, one, _tone(lines[i], i), lines[i].label) for i, one in enumerate(series)),
        *(_mark(frame, mark) for mark in marks if mark.end is None),
        _legend([(line.label, _tone(line, i)) for i, line in enumerate(lines)], look),
        _hover(frame, lines, series, unit) if look.strips else "",
    ]
    if not any(np.isfinite(s.y).any() for s in series):
        body.append(no_data(look))
    return svg_element(title, body, look, unit, "" if look.strips else axes(frame, unit))


def compare_lines(x: Instants, run: npt.ArrayLike, baseline: npt.ArrayLike) -> list[Line]:
    """Return the lines of a run over what would have happened without it.

    Args:
        x: Positions.
        run: Values of the run.
        baseline: Values of "do nothing"; empty where there was none.
    """
    beside = [Line("do nothing", x, baseline, tone="baseline")] if np.size(baseline) else []
    return [*beside, Line("with CellHive", x, run, tone="run")]


@dataclass(frozen=True, slots=True)
class _Series:
    x: Floats
    y: Floats
    low: Floats | None
    high: Floats | None
    calendar: bool


def _prepared(line: Line, points: int) -> _Series:
    x, calendar = positions(line.x)
    y = np.asarray(line.y, dtype=np.float64)
    low = None if line.low is None else np.asarray(line.low, dtype=np.float64)
    high = None if line.high is None else np.asarray(line.high, dtype=np.float64)
    wide = np.flatnonzero(np.diff(x) > line.max_gap)
    if wide.size:
        middles = (x[wide] + x[wide + 1]) / 2
        x = np.insert(x, wide + 1, middles)
        y = np.insert(y, wide + 1, np.nan)
        low = None if low is None else np.insert(low, wide + 1, np.nan)
        high = None if high is None else np.insert(high, wide + 1, np.nan)
    keep: Ints = thin(y, points)
    return _Series(
        x[keep],
        y[keep],
        None if low is None else low[keep],
        None if high is None else high[keep],
        calendar,
    )


def _frame(series: Sequence[_Series], marks: Sequence[Mark], look: Look) -> Frame:
    calendar = any(s.calendar for s in series)
    along = [s.x for s in series if s.x.size]
    if not along and marks:
        along = [np.array([_at(mark.x) for mark in marks])]
    left = min((float(a.min()) for a in along), default=0.0)
    right = max((float(a.max()) for a in along), default=1.0)
    if right <= left:
        room = 1800.0 if calendar else 0.5
        left, right = left - room, right + room
    low, high = _value_range(series, look)
    low, high = nice_limits(low, high)
    return Frame(
        look,
        Scale(left, right, LEFT, look.width - RIGHT),
        Scale(low, high, look.height - BOTTOM, TOP),
        calendar,
    )


def _value_range(series: Sequence[_Series], look: Look) -> tuple[float, float]:
    values: list[Floats] = []
    for one in series:
        values += [part for part in (one.y, one.low, one.high) if part is not None]
    fixed = [v for v in (look.low, look.high, look.reference) if v is not None]
    known = np.concatenate([*values, np.array(fixed, dtype=np.float64)])
    known = known[np.isfinite(known)]
    if not known.size:
        return math.nan, math.nan
    return float(known.min()), float(known.max())


def _tone(line: Line, index: int) -> str:
    return line.tone if line.tone else f"c{index % 8}"


def _runs(known: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return (start, stop) of each stretch of known values."""
    edges = np.diff(np.concatenate(([0], known.astype(np.int8), [0])))
    starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return list(zip(starts.tolist(), stops.tolist(), strict=True))


def _points(x: Floats, y: Floats) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))


def _path(frame: Frame, series: _Series, tone: str, label: str) -> str:
    x, y = frame.x.pixels(series.x), frame.y.pixels(series.y)
    name = "" if frame.look.strips else f' data-name="{escape(label, quote=True)}"'
    parts: list[str] = []
    for start, stop in _runs(np.isfinite(y)):
        if stop - start == 1:
            parts.append(
                f'<circle class="dot {tone}" cx="{x[start]:.1f}" cy="{y[start]:.1f}" r="2"{name}/>'
            )
        else:
            parts.append(
                f'<polyline class="line {tone}" points="{_points(x[start:stop], y[start:stop])}"'
                f"{name}/>"
            )
    return "".join(parts)


def _band(frame: Frame, series: _Series, tone: str) -> str:
    if series.low is None or series.high is None:
        return ""
    x, low, high = frame.x.pixels(series.x), frame.y.pixels(series.low), frame.y.pixels(series.high)
    return "".join(
        f'<polygon class="band {tone}" points="{_points(x[a:b], low[a:b])} '
        f'{_points(x[a:b][::-1], high[a:b][::-1])}"/>'
        for a, b in _runs(np.isfinite(low) & np.isfinite(high))
        if b - a > 1
    )


def _at(value: object) -> float:
    return float(
        positions(np.asarray([value]) if not isinstance(value, datetime) else [value])[0][0]
    )


def _mark(frame: Frame, mark: Mark) -> str:
    tone, tip = escape(mark.tone, quote=True), f"<title>{escape(mark.label)}</title>"
    start = frame.x(_at(mark.x))
    if mark.end is not None:
        stop = min(frame.x(_at(mark.end)), frame.x.end)
        start = max(start, frame.x.start)
        if stop < start:
            return ""
        return (
            f'<rect class="span {tone}" x="{start:.1f}" y="{TOP}" '
            f'width="{max(stop - start, 1.5):.1f}" height="{frame.bottom - TOP:.1f}">{tip}</rect>'
        )
    if not frame.x.start - 0.5 <= start <= frame.x.end + 0.5:
        return ""
    if mark.tone == "quiet":
        tick = f'<rect x="{start - 0.8:.1f}" y="{TOP - 7}" width="1.6" height="7"/>'
        return f'<g class="mark info">{tick}{tip}</g>'
    return (
        f'<g class="mark {tone}"><line x1="{start:.1f}" x2="{start:.1f}" y1="{TOP}" '
        f'y2="{frame.bottom:.1f}"/>{_glyph(mark.tone, start)}{tip}</g>'
    )


def _glyph(tone: str, x: float) -> str:
    """Return the head of a mark; its shape says the tone without colour."""
    top = TOP - 1
    if tone == "worse":
        return f'<path d="M{x - 4:.1f} {top - 8} h8 l-4 8 z"/>'
    if tone == "better":
        return f'<path d="M{x - 4:.1f} {top} h8 l-4 -8 z"/>'
    return f'<circle cx="{x:.1f}" cy="{top - 4}" r="3.2"/>'


def _reference(frame: Frame, unit: str) -> str:
    value = frame.look.reference
    if value is None:
        return ""
    y = frame.y(value)
    name = frame.look.reference_label or "reference"
    text = f"{name} {with_unit(format_number(value), unit)}"
    return (
        f'<g class="reference"><line x1="{LEFT}" x2="{frame.look.width - RIGHT}" '
        f'y1="{y:.1f}" y2="{y:.1f}"/><text x="{frame.look.width - RIGHT - 4}" y="{y - 4:.1f}" '
        f'text-anchor="end">{escape(text)}</text></g>'
    )


def _hover(frame: Frame, lines: Sequence[Line], series: Sequence[_Series], unit: str) -> str:
    """Return invisible strips whose titles tell every series' value at that place."""
    if not series:
        return ""
    longest = max(series, key=lambda s: s.x.size)
    if not longest.x.size:
        return ""
    chosen = np.unique(np.linspace(0, longest.x.size - 1, MAX_HOVER).round().astype(int))
    at = longest.x[chosen]
    pixels = frame.x.pixels(at)
    edges = np.concatenate(([frame.x.start], (pixels[:-1] + pixels[1:]) / 2, [frame.x.end]))
    parts = []
    for place, left, right in zip(
        at.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True
    ):
        known = _values_at(lines, series, place, unit)
        if known:
            when = instant_text(place, calendar=frame.calendar, unit=frame.look.x_unit)
            parts.append(
                f'<rect class="strip" x="{left:.1f}" y="{TOP}" width="{right - left:.1f}" '
                f'height="{frame.bottom - TOP}">'
                f"<title>{escape(when)}\n{escape(known)}</title></rect>"
            )
    return "".join(parts)


def _values_at(lines: Sequence[Line], series: Sequence[_Series], place: float, unit: str) -> str:
    told = []
    for line, one in zip(lines, series, strict=True):
        index = int(np.searchsorted(one.x, place))
        if index < one.x.size and one.x[index] == place and math.isfinite(one.y[index]):
            told.append(f"{line.label}: {with_unit(format_number(float(one.y[index]), 4), unit)}")
    return "\n".join(told)


def _legend(entries: Sequence[tuple[str, str]], look: Look) -> str:
    if len(entries) <= 1:
        return ""
    parts, right = [], float(look.width - RIGHT)
    room = (right / len(entries) - _KEY_PX) / _LETTER_PX
    fits = sum(len(label) for label, _ in entries) <= room * len(entries)
    for whole, tone in reversed(entries):
        # names in a hierarchy differ at their end
        label = whole if fits or len(whole) <= room else f"…{whole[1 - int(room) :]}"
        right -= _LETTER_PX * len(label)
        parts.append(f'<text class="legend" x="{right:.1f}" y="34">{escape(label)}</text>')
        right -= 22  # with what follows, _KEY_PX
        parts.append(
            f'<line class="line {tone}" x1="{right:.1f}" x2="{right + 17:.1f}" y1="30" y2="30"/>'
        )
        right -= 14
    return "".join(parts)


def cdf_chart(
    samples: Iterable[tuple[str, npt.ArrayLike]],
    *,
    title: str,
    unit: str = "",
    look: Look | None = None,
) -> str:
    """Return empirical distributions: share of values [%] up to each value, one line each."""
    base = look or Look()
    lines = []
    for label, values in samples:
        data = np.sort(np.asarray(values, dtype=np.float64).ravel())
        data = data[np.isfinite(data)]
        if data.size:
            share = 100.0 * np.arange(1, data.size + 1) / data.size
            keep = np.unique(np.linspace(0, data.size - 1, 400).round().astype(int))
            lines.append(Line(label, data[keep], share[keep]))
    look = Look(base.width, base.height, base.x_label or unit, unit or " ", 0.0, 100.0)
    return line_chart(lines, title=title, unit="%", look=look)


def sparkline(y: npt.ArrayLike, *, label: str, width: int = 120, height: int = 28) -> str:
    """Return a small line without axes, its last value marked; for tables and cards."""
    values = np.asarray(y, dtype=np.float64)
    values = values[thin(values, 300)]
    known = np.flatnonzero(np.isfinite(values))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart spark" '
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
        f"<title>{escape(label)}</title>"
    )
    if not known.size:
        return head + "</svg>"
    low, high = float(values[known].min()), float(values[known].max())
    if high <= low:
        low, high = low - 1, high + 1
    x = np.linspace(3, width - 4, values.size) if values.size > 1 else np.array([width / 2])
    y_pixels = Scale(low, high, height - 4, 4).pixels(values)
    drawn = "".join(
        f'<polyline class="line run" points="{_points(x[a:b], y_pixels[a:b])}"/>'
        for a, b in _runs(np.isfinite(values))
        if b - a > 1
    )
    last = int(known[-1])
    dot = f'<circle class="dot run" cx="{x[last]:.1f}" cy="{y_pixels[last]:.1f}" r="2.4"/>'
    return f"{head}{drawn}{dot}</svg>"
