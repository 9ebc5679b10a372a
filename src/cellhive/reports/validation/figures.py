"""Distributions of a calibration over the range of the companies, alone or as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from cellhive.core.types import Floats
from cellhive.ran.validation import QUANTITIES, TOLERANCE_DB, Calibration, Check, Spread
from cellhive.reports.charts import Line, line_chart
from cellhive.reports.drawing.scales import Scale, nice_limits
from cellhive.reports.drawing.svg import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    Frame,
    Look,
    grid,
    standalone_svg,
    svg_element,
)
from cellhive.reports.validation.words import db, listed_range, verdict

LOOK = Look(width=460, height=300, x_label="dB", x_unit="dB")
_DRAWN = np.linspace(0.5, 99.5, 199)
"""Percentiles between which the line is drawn straight."""
_SHOWN, _INNER = (1.0, 99.0), (5.0, 95.0)
"""Percentiles between which the companies' range and differences are drawn: beyond, the
longest tail of any company rules."""
_HEAD, _GAP, _EDGE = 62, 22, 14
_CAP = 4.0
_BAND = "band c5"
"""How the companies' range is coloured."""


def distribution_chart(calibration: Calibration, spread: Spread, checks: Sequence[Check]) -> str:
    """Return the distribution of one quantity beside the companies' as an ``<svg>`` element.

    Args:
        calibration: What was found.
        spread: What the companies found for the quantity.
        checks: The checked percentiles of the quantity.
    """
    quantity = checks[0].quantity
    found = np.percentile(calibration.values[quantity], _DRAWN)
    spread = _within(spread, *_SHOWN)
    shown = [float(found[1]), float(found[-2]), *spread.low, *spread.high]
    low, high = nice_limits(min(shown), max(shown))
    frame = Frame(
        LOOK,
        Scale(low, high, LEFT, LOOK.width - RIGHT),
        Scale(0.0, 100.0, LOOK.height - BOTTOM, TOP),
        calendar=False,
    )
    body = [
        grid(frame),
        _range(frame, spread),
        _line(frame, np.array(spread.mean), np.array(spread.percent), "baseline"),
        _line(frame, found, _DRAWN, "run"),
        *(_mark(frame, check) for check in checks),
        _legend(spread),
    ]
    name = QUANTITIES[quantity]
    title = f"{name[0].upper()}{name[1:]}"
    return svg_element(title, body, LOOK, "share of users at or below [%]")


def difference_chart(calibration: Calibration, spread: Spread, quantity: str) -> str:
    """Return how far one quantity lies from the companies' mean, beside their extremes.

    Args:
        calibration: What was found.
        spread: What the companies found for the quantity.
        quantity: One of ``QUANTITIES``.
    """
    spread = _within(spread, *_INNER)
    percent, mean = np.array(spread.percent), np.array(spread.mean)
    low, high = np.array(spread.low) - mean, np.array(spread.high) - mean
    found = np.percentile(calibration.values[quantity], percent) - mean
    lines = [
        Line("companies", percent, np.zeros(percent.size), tone="c5", low=low, high=high),
        Line("CellHive", percent, found, tone="run"),
    ]
    look = Look(width=LOOK.width, height=210, x_label="share of users [%]", x_unit="%")
    return line_chart(lines, title="Difference from the companies' mean", unit="dB", look=look)


def _within(spread: Spread, low: float, high: float) -> Spread:
    """Return the part of a spread between two percentiles."""
    inner = [index for index, percent in enumerate(spread.percent) if low <= percent <= high]
    return Spread(
        spread.companies,
        *(tuple(values[index] for index in inner) for values in spread[1:]),
    )


def _pixels(frame: Frame, values: Floats, percent: Floats) -> str:
    x = np.clip(frame.x.pixels(values), frame.x.start, frame.x.end)
    y = frame.y.pixels(percent)
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))


def _range(frame: Frame, spread: Spread) -> str:
    """Return the area between the companies' smallest and largest values."""
    percent = np.array(spread.percent)
    there = _pixels(frame, np.array(spread.low), percent)
    back = _pixels(frame, np.array(spread.high)[::-1], percent[::-1])
    return f'<polygon class="{_BAND}" style="opacity:.42" points="{there} {back}"/>'


def _line(frame: Frame, values: Floats, percent: Floats, tone: str) -> str:
    inside = (values >= frame.x.low) & (values <= frame.x.high)
    points = _pixels(frame, values[inside], percent[inside])
    return f'<polyline class="line {tone}" points="{points}"/>'


def _mark(frame: Frame, check: Check) -> str:
    """Return a checked percentile: the allowed range as a bracket, what was found as a dot."""
    y = frame.y(check.percent)
    start, end = (
        min(max(frame.x(value), frame.x.start), frame.x.end)
        for value in (check.low_db - TOLERANCE_DB, check.high_db + TOLERANCE_DB)
    )
    bracket = (
        f"M{start:.1f} {y - _CAP:.1f} V{y + _CAP:.1f} M{start:.1f} {y:.1f} H{end:.1f} "
        f"M{end:.1f} {y - _CAP:.1f} V{y + _CAP:.1f}"
    )
    tip = (
        f"{check.percent:g} %: {db(check.found_db)} ± {check.error_db:.2f} dB, {verdict(check)}\n"
        f"companies: {listed_range(check)} dB, mean {db(check.mean_db)} dB"
    )
    x = min(max(frame.x(check.found_db), frame.x.start), frame.x.end)
    tone = "run" if check.passes else "worse"
    return (
        f'<path class="whisker" d="{bracket}"/>'
        f'<circle class="dot {tone}" cx="{x:.1f}" cy="{y:.1f}" r="4">'
        f"<title>{escape(tip)}</title></circle>"
    )


def _legend(spread: Spread) -> str:
    """Return what line, area, broken line and bracket are."""
    names = (
        ('<line class="line run" x1="0" x2="17" y1="0" y2="0"/>', "CellHive"),
        (f'<rect class="{_BAND}" style="opacity:.42" width="17" height="9" y="-4.5"/>',
         f"{spread.companies} companies"),
        ('<line class="line baseline" x1="0" x2="17" y1="0" y2="0"/>', "their mean"),
        ('<path class="whisker" d="M1 -4 V4 M1 0 H16 M16 -4 V4"/>', "allowed"),
    )  # fmt: skip
    parts, x = [], 8.0
    for symbol, name in names:
        parts.append(
            f'<g transform="translate({x:.1f} 31)">{symbol}'
            f'<text class="legend" x="22" y="4">{escape(name)}</text></g>'
        )
        x += 22 + 6.1 * len(name) + 14
    return "".join(parts)


def picture(rows: Sequence[tuple[str, Sequence[str]]], heading: str) -> str:
    """Return charts as one SVG file, a row for each set-up.

    Args:
        rows: Heading and charts of each row.
        heading: What stands above all.
    """
    columns = max(len(charts) for _, charts in rows)
    step = LOOK.height + _GAP + 20
    look = Look(
        width=2 * _EDGE + columns * LOOK.width + (columns - 1) * _GAP,
        height=_HEAD + len(rows) * step,
    )
    body = [f'<rect width="{look.width}" height="{look.height}" fill="var(--paper)"/>',
            f'<text x="{_EDGE + 8}" y="34" style="font-size:19px;font-weight:650">'
            f"{escape(heading)}</text>"]  # fmt: skip
    for row, (name, charts) in enumerate(rows):
        top = _HEAD + row * step
        body.append(
            f'<text x="{_EDGE + 8}" y="{top + 8}" style="font-size:15px;font-weight:600">'
            f"{escape(name)}</text>"
        )
        for column, chart in enumerate(charts):
            inner = chart.partition(">")[2].removesuffix("</svg>")
            left = _EDGE + column * (LOOK.width + _GAP)
            body.append(f'<g transform="translate({left} {top + 16})">{inner}</g>')
    shell = svg_element("", body, look, "").replace("<title></title>", "", 1)
    return standalone_svg(shell.replace("<text", f"<title>{escape(heading)}</title><text", 1))
