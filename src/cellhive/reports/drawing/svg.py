"""What every chart shares: size and look, the drawing frame, grid, and the SVG shell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources

from cellhive.reports.drawing.scales import (
    MAX_POINTS,
    Scale,
    Tick,
    calendar_ticks,
    hour_ticks,
    nice_ticks,
)

LEFT, RIGHT, TOP, BOTTOM = 58, 14, 46, 34
"""Margins around the drawing area [px]."""


@dataclass(frozen=True, slots=True)
class Look:
    """Size and axes of a chart."""

    width: int = 720
    height: int = 260
    x_label: str = ""
    x_unit: str = "h"
    """Unit of numeric positions; "h" gives ticks in hours, "clock" the same as time of day."""
    low: float | None = None
    """Smallest value the y axis must show."""
    high: float | None = None
    """Largest value the y axis must show."""
    reference: float | None = None
    """A horizontal line: a target, a threshold."""
    reference_label: str = ""
    points: int = MAX_POINTS
    """Points of one series beyond which it is thinned."""
    strips: bool = True
    """Write every value into the chart, for pointers without a script. Without, a chart takes a
    tenth of the room and the script of the page reads the values off the lines."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The drawing area of a chart: scales and ticks of both axes."""

    look: Look
    x: Scale
    y: Scale
    calendar: bool

    @property
    def bottom(self) -> float:
        """Pixel of the lower edge of the drawing area."""
        return self.look.height - BOTTOM


def grid(frame: Frame) -> str:
    """Return the grid lines, ticks and labels of both axes."""
    look = frame.look
    parts = [_horizontal(look, frame.y(t.at), t.label) for t in _value_ticks(frame)]
    for tick in _time_ticks(frame):
        at = frame.x(tick.at)
        parts.append(
            f'<line class="tick" x1="{at:.1f}" x2="{at:.1f}" '
            f'y1="{frame.bottom:.1f}" y2="{frame.bottom + 4:.1f}"/>'
            f'<text class="axis" x="{at:.1f}" y="{frame.bottom + 16:.1f}" '
            f'text-anchor="middle">{escape(tick.label)}</text>'
        )
    silent = frame.calendar or look.x_unit == "clock"
    label = look.x_label or ("" if silent else look.x_unit)
    if label:
        parts.append(
            f'<text class="axis label" x="{look.width - RIGHT}" y="{look.height - 3}" '
            f'text-anchor="end">{escape(label)}</text>'
        )
    return "".join(parts)


def _horizontal(look: Look, y: float, label: str) -> str:
    return (
        f'<line class="grid" x1="{LEFT}" x2="{look.width - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="axis" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
        f"{escape(label)}</text>"
    )


def _value_ticks(frame: Frame) -> list[Tick]:
    return nice_ticks(frame.y.low, frame.y.high, max(3, frame.look.height // 44))


def _time_ticks(frame: Frame) -> list[Tick]:
    count = max(3, frame.look.width // 80)
    if frame.calendar:
        return calendar_ticks(frame.x.low, frame.x.high, count)
    if frame.look.x_unit in ("h", "clock"):
        clock = frame.look.x_unit == "clock"
        return hour_ticks(frame.x.low, frame.x.high, count, clock=clock)
    return nice_ticks(frame.x.low, frame.x.high, count)


def no_data(look: Look) -> str:
    """Return the words that stand in an empty chart."""
    return (
        f'<text class="axis" x="{look.width / 2}" y="{look.height / 2}" '
        f'text-anchor="middle">no data</text>'
    )


def axes(frame: Frame, unit: str) -> str:
    """Return what the script of a page needs to read values off a chart, as attributes."""
    ends = (
        frame.x.low, frame.x.high, frame.x.start, frame.x.end,
        frame.y.low, frame.y.high, frame.y.start, frame.y.end,
    )  # fmt: skip
    told = " ".join(f"{value:.12g}" for value in ends)
    kind = "calendar" if frame.calendar else frame.look.x_unit
    return f' data-axes="{told}" data-x="{escape(kind)}" data-unit="{escape(unit)}"'


def svg_element(
    title: str, body: Sequence[str], look: Look, unit: str, attributes: str = ""
) -> str:
    """Return a whole ``<svg>`` element: title, unit and the parts of the body.

    Args:
        title: Written above the chart and read by screen readers.
        body: Parts, in drawing order.
        look: Size.
        unit: Unit of the values.
        attributes: Further attributes, written and escaped by this package.
    """
    told = re.search(rf"(?<![A-Za-z]){re.escape(unit)}[\])]?$", title)  # as in "drops_%"
    shown_unit = "" if told or not unit else f' <tspan class="unit">{escape(unit)}</tspan>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" '
        f'viewBox="0 0 {look.width} {look.height}" width="{look.width}" height="{look.height}"'
        f"{attributes}><title>{escape(title)}</title>"
        f'<text class="title" x="8" y="17">{escape(title)}{shown_unit}</text>'
        f"{''.join(body)}</svg>"
    )


def chart_css() -> str:
    """Return the style sheet that every chart needs once per page."""
    return (resources.files("cellhive.reports") / "templates" / "chart.css").read_text("utf-8")


def standalone_svg(chart: str) -> str:
    """Return a chart as the text of an SVG file of its own, with its style inside."""
    head, _, rest = chart.partition(">")
    return f"{head}><style>{chart_css()}</style>{rest}\n"
