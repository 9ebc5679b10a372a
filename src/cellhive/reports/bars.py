"""Bars with intervals, forest plots and histograms as SVG text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

from cellhive.reports.drawing.scales import Scale, nice_limits, nice_ticks
from cellhive.reports.drawing.svg import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    Frame,
    Look,
    grid,
    no_data,
    svg_element,
)
from cellhive.reports.numbers import format_number, with_unit


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of a bar chart."""

    label: str
    value: float
    low: float = math.nan
    """Lower end of the interval; NaN draws none."""
    high: float = math.nan
    """Upper end of the interval."""
    tone: str = ""
    """"better", "worse", "muted" or "" for the first colour."""
    note: str = ""
    """Added to the tooltip."""


def bar_chart(
    bars: Sequence[Bar],
    *,
    title: str,
    unit: str = "",
    dots: bool = False,
    look: Look | None = None,
) -> str:
    """Return horizontal bars from zero, with intervals where given.

    Args:
        bars: Rows from top to bottom; a NaN value draws none.
        title: What is shown.
        unit: Unit of the values.
        dots: Draw a dot with its interval instead of a bar: a forest plot of effects.
        look: Width and limits; the height follows from the number of rows.
    """
    row = 22
    base = look or Look()
    height = TOP + row * max(len(bars), 1) + BOTTOM
    look = Look(base.width, height, base.x_label, base.x_unit, base.low, base.high)
    known = [v for bar in bars for v in (bar.value, bar.low, bar.high) if math.isfinite(v)]
    known += [v for v in (look.low, look.high, 0.0) if v is not None]
    low, high = nice_limits(min(known), max(known))
    longest = max((len(bar.label) for bar in bars), default=0)
    left = min(look.width * 0.5, 16 + 6.6 * longest)
    scale = Scale(low, high, left, look.width - 70)
    body = [_bar_axis(scale, look)]
    for index, bar in enumerate(bars):
        body.append(_bar_row(bar, scale, TOP + row * index, unit=unit, dots=dots))
    if not bars:
        body.append(no_data(look))
    return svg_element(title, body, look, unit)


def _bar_axis(scale: Scale, look: Look) -> str:
    bottom = look.height - BOTTOM
    parts = []
    for tick in nice_ticks(scale.low, scale.high, max(3, look.width // 110)):
        at = scale(tick.at)
        kind = "zero" if tick.at == 0 else "grid"
        parts.append(
            f'<line class="{kind}" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP - 4}" y2="{bottom}"/>'
            f'<text class="axis" x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">'
            f"{escape(tick.label)}</text>"
        )
    return "".join(parts)


def _bar_row(bar: Bar, scale: Scale, top: float, *, unit: str, dots: bool) -> str:
    middle = top + 11
    label = (
        f'<text class="rowlabel" x="{scale.start - 10:.1f}" y="{middle + 4:.1f}" '
        f'text-anchor="end">{escape(bar.label)}</text>'
    )
    if not math.isfinite(bar.value):
        return f'<g class="row">{label}</g>'
    tone = escape(bar.tone or "c0", quote=True)
    zero, at = scale(min(max(0.0, scale.low), scale.high)), scale(bar.value)
    text = with_unit(format_number(bar.value), unit)
    has_interval = math.isfinite(bar.low) and math.isfinite(bar.high)
    tip = f"{bar.label}: {text}"
    whisker, end = "", max(at, zero)
    if has_interval:
        a, b = scale(bar.low), scale(bar.high)
        tip += f" ({format_number(bar.low)} to {format_number(bar.high)})"
        end = max(end, b)
        whisker = (
            f'<path class="whisker" d="M{a:.1f} {middle:.1f} H{b:.1f} M{a:.1f} {middle - 4:.1f} v8 '
            f'M{b:.1f} {middle - 4:.1f} v8"/>'
        )
    tip += f"\n{bar.note}" if bar.note else ""
    shape = (
        f'<circle class="dot {tone}" cx="{at:.1f}" cy="{middle:.1f}" r="4.5"/>'
        if dots
        else f'<rect class="bar {tone}" x="{min(at, zero):.1f}" y="{top + 4:.1f}" '
        f'width="{max(abs(at - zero), 0.8):.1f}" height="14" rx="2"/>'
    )
    parts = (whisker, shape) if dots else (shape, whisker)
    return (
        f'<g class="row">{label}{"".join(parts)}<text class="value" x="{end + 6:.1f}" '
        f'y="{middle + 4:.1f}">{escape(text)}</text><title>{escape(tip)}</title></g>'
    )


def histogram(
    values: npt.ArrayLike,
    *,
    title: str,
    unit: str = "",
    bins: int = 30,
    look: Look | None = None,
) -> str:
    """Return the distribution of values as columns; unknown values are left out and counted."""
    look = look or Look()
    data = np.asarray(values, dtype=np.float64).ravel()
    known = data[np.isfinite(data)]
    if not known.size:
        return svg_element(title, [no_data(look)], look, unit)
    low, high = nice_limits(float(known.min()), float(known.max()))
    counts, edges = np.histogram(known, bins=bins, range=(low, high))
    top = nice_limits(0.0, float(counts.max()))[1]
    frame = Frame(
        Look(look.width, look.height, look.x_label or unit, x_unit=unit),
        Scale(low, high, LEFT, look.width - RIGHT),
        Scale(0.0, top, look.height - BOTTOM, TOP),
        calendar=False,
    )
    body = [grid(frame)]
    for count, a, b in zip(counts.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        y = frame.y(count)
        tip = f"{format_number(a)} to {with_unit(format_number(b), unit)}: {count}"
        body.append(
            f'<rect class="bar c0" x="{frame.x(a) + 0.5:.1f}" y="{y:.1f}" '
            f'width="{max(frame.x(b) - frame.x(a) - 1, 0.5):.1f}" '
            f'height="{frame.bottom - y:.1f}"><title>{escape(tip)}</title></rect>'
        )
    if known.size < data.size:
        title = f"{title} ({data.size - known.size} unknown left out)"
    return svg_element(title, body, look, "count")
