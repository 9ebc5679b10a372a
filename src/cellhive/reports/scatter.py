"""Scatter plots of one measure against another, both on logarithmic axes, as SVG text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

from cellhive.core.types import Floats
from cellhive.reports.drawing.scales import Scale
from cellhive.reports.drawing.svg import BOTTOM, LEFT, RIGHT, TOP, Look, no_data, svg_element
from cellhive.reports.numbers import format_number, with_unit

_STEPS = (1.0, 2.0, 5.0)
_ROOM = 1.08
"""Room beyond the outermost dots, as a factor."""


@dataclass(frozen=True, slots=True)
class Dots:
    """Points of one kind."""

    label: str
    x: npt.ArrayLike
    y: npt.ArrayLike
    names: Sequence[str] = ()
    """What each point is; shown on hover."""
    tone: str = ""
    """As ``charts.Line.tone``; "" for the next colour of the palette."""


def scatter_chart(
    groups: Sequence[Dots],
    *,
    title: str,
    unit: str = "",
    axes: tuple[str, str],
    band: tuple[float, float] | None = None,
    look: Look | None = None,
) -> str:
    """Return a scatter plot with the line of equality; both axes are equal and logarithmic.

    Points with a value that is not above zero cannot be shown; the title says how many.

    Args:
        groups: Points to draw.
        title: What is shown.
        unit: Unit of both measures.
        axes: What is along and what is up.
        band: Least and largest ratio of y to x of a band around the line of equality.
        look: Size.
    """
    look = look or Look(width=560, height=460)
    pairs = [_pairs(group) for group in groups]
    shown = [np.all(pair > 0, axis=0) for pair in pairs]
    missing = sum(int(np.count_nonzero(~keep)) for keep in shown)
    if missing:
        title = f"{title} ({missing} without events left out)"
    known = np.concatenate([pair[:, keep].ravel() for pair, keep in zip(pairs, shown, strict=True)])
    if not known.size:
        return svg_element(title, [no_data(look)], look, unit)
    low, high = math.log10(known.min() / _ROOM), math.log10(known.max() * _ROOM)
    x = Scale(low, high, LEFT, look.width - RIGHT)
    y = Scale(low, high, look.height - BOTTOM, TOP)
    body = [_band(x, y, band) if band else "", _grid(x, y, look), _equality(x, y, look)]
    for index, (group, pair, keep) in enumerate(zip(groups, pairs, shown, strict=True)):
        tone = group.tone or f"c{index % 8}"
        body += [
            _dot(x, y, pair[:, i], tone, _tip(group, i, pair[:, i], axes, unit))
            for i in np.flatnonzero(keep).tolist()
        ]
    body += [_axis_names(axes, look), _legend(groups, look)]
    return svg_element(title, body, look, unit)


def _pairs(group: Dots) -> Floats:
    return np.stack([np.asarray(group.x, np.float64), np.asarray(group.y, np.float64)])


def log_ticks(low: float, high: float) -> list[float]:
    """Return the values 1, 2 and 5 times a power of ten within limits given as log10."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    values = [step * 10.0**power for power in powers for step in _STEPS]
    return [value for value in values if low <= math.log10(value) <= high]


def _grid(x: Scale, y: Scale, look: Look) -> str:
    parts = []
    for value in log_ticks(x.low, x.high):
        across, up = x(math.log10(value)), y(math.log10(value))
        text = format_number(value)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{look.width - RIGHT}" '
            f'y1="{up:.1f}" y2="{up:.1f}"/>'
            f'<line class="grid" x1="{across:.1f}" x2="{across:.1f}" '
            f'y1="{TOP}" y2="{look.height - BOTTOM}"/>'
            f'<text class="axis" x="{LEFT - 6}" y="{up + 4:.1f}" text-anchor="end">{text}</text>'
            f'<text class="axis" x="{across:.1f}" y="{look.height - BOTTOM + 16}" '
            f'text-anchor="middle">{text}</text>'
        )
    return "".join(parts)


def _band(x: Scale, y: Scale, band: tuple[float, float]) -> str:
    """Return the part of the square between two ratios: a hexagon along the diagonal."""
    below, above = (math.log10(ratio) for ratio in band)
    low, high = y.low, y.high
    corners = [
        (low, low), (low - below, low), (high, high + below),
        (high, high), (high - above, high), (low, low + above),
    ]  # fmt: skip
    inside = " ".join(f"{x(along):.1f},{y(up):.1f}" for along, up in corners)
    tip = f"{format_number(band[0])} to {format_number(band[1])} times"
    return f'<polygon class="band muted" points="{inside}"><title>{escape(tip)}</title></polygon>'


def _equality(x: Scale, y: Scale, look: Look) -> str:
    return (
        f'<g class="reference"><line x1="{x.start:.1f}" y1="{y.start:.1f}" '
        f'x2="{x.end:.1f}" y2="{y.end:.1f}"/><text x="{look.width - RIGHT - 34}" '
        f'y="{TOP + 14}" text-anchor="end">equal</text></g>'
    )


def _dot(x: Scale, y: Scale, pair: Floats, tone: str, tip: str) -> str:
    return (
        f'<circle class="dot {escape(tone)}" cx="{x(math.log10(pair[0])):.1f}" '
        f'cy="{y(math.log10(pair[1])):.1f}" r="3.4" fill-opacity="0.75">'
        f"<title>{escape(tip)}</title></circle>"
    )


def _tip(group: Dots, index: int, pair: Floats, axes: tuple[str, str], unit: str) -> str:
    name = group.names[index] if index < len(group.names) else group.label
    values = (
        f"{axis}: {with_unit(format_number(float(value)), unit)}"
        for axis, value in zip(axes, pair, strict=True)
    )
    return "\n".join((name, *values))


def _axis_names(axes: tuple[str, str], look: Look) -> str:
    return (
        f'<text class="axis label" x="{look.width - RIGHT}" y="{look.height - 3}" '
        f'text-anchor="end">{escape(axes[0])}</text>'
        f'<text class="axis label" x="{LEFT}" y="{TOP - 8}">{escape(axes[1])}</text>'
    )


def _legend(groups: Sequence[Dots], look: Look) -> str:
    parts, right = [], float(look.width - RIGHT)
    for index, group in reversed(list(enumerate(groups))):
        right -= 6.4 * len(group.label)
        tone = group.tone or f"c{index % 8}"
        parts.append(
            f'<text class="legend" x="{right:.1f}" y="34">{escape(group.label)}</text>'
            f'<circle class="dot {escape(tone)}" cx="{right - 9:.1f}" cy="30" r="3.6"/>'
        )
        right -= 26
    return "".join(parts)
