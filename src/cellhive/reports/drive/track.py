"""The way of a drive test as a picture: a dot per sample, coloured by its RSRP."""

from __future__ import annotations

import math

import numpy as np

from cellhive.flows.drives.survey import Survey
from cellhive.reports.drawing.colours import ColourScale
from cellhive.reports.numbers import format_number

_WIDTH, _MOST_HIGH, _MARGIN, _LEGEND = 720, 420, 12, 40
_SCALE = ColourScale(-120.0, -70.0)
_STEPS_DBM = (-120, -110, -100, -90, -80, -70)


def track_picture(one: Survey) -> str:
    """Return the way of a drive as SVG text, north up."""
    lat, lon, rsrp = one.track
    east = (lon - lon.mean()) * math.cos(math.radians(float(lat.mean())))
    north = lat - lat.mean()
    wide, high = float(np.ptp(east)) or 1e-6, float(np.ptp(north)) or 1e-6
    per_degree = min((_WIDTH - 2 * _MARGIN) / wide, (_MOST_HIGH - 2 * _MARGIN) / high)
    height = round(high * per_degree) + 2 * _MARGIN + _LEGEND
    x = _MARGIN + (east - east.min()) * per_degree
    y = _MARGIN + (north.max() - north) * per_degree
    dots = "".join(
        f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="2.6" fill="{_colour(level)}"/>'
        for cx, cy, level in zip(x, y, rsrp, strict=True)
    )
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img" aria-label="The way, coloured by RSRP">{dots}{_legend(height)}</svg>'
    )


def _colour(level: float) -> str:
    return _SCALE.hex(level) if math.isfinite(level) else "#9aa7b4"


def _legend(height: int) -> str:
    at = height - _LEGEND + 22
    parts = [f'<text class="axis" x="{_MARGIN}" y="{at + 4}">RSRP (dBm)</text>']
    for index, level in enumerate(_STEPS_DBM):
        left = _MARGIN + 80 + index * 62
        parts.append(
            f'<circle cx="{left}" cy="{at}" r="5" fill="{_colour(level)}"/>'
            f'<text class="axis" x="{left + 10}" y="{at + 4}">{format_number(float(level))}</text>'
        )
    left = _MARGIN + 80 + len(_STEPS_DBM) * 62
    parts.append(
        f'<circle cx="{left}" cy="{at}" r="5" fill="#9aa7b4"/>'
        f'<text class="axis" x="{left + 10}" y="{at + 4}">no LTE or NR</text>'
    )
    return "".join(parts)
