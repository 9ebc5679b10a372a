"""The way of a drive test as a picture: a dot per sample, coloured by its RSRP."""

from __future__ import annotations

import math

import numpy as np

from cellhive.flows.drives.survey import Survey
from cellhive.ran.layout import local_xy
from cellhive.reports.drawing.colours import ColourScale
from cellhive.reports.numbers import format_number

_WIDTH, _MOST_HIGH, _MARGIN, _LEGEND = 720, 420, 12, 40
_SCALE = ColourScale(-120.0, -70.0)
FAR_AWAY = 3.0
"""Distance from the middle, in that of 95 % of the samples, from which one is not drawn."""
STANDING_M = 20.0
"""Who moved less stood in one place: there is no way to draw."""
_STEPS_DBM = (-120, -110, -100, -90, -80, -70)


def track_picture(one: Survey) -> str:
    """Return the way of a drive as SVG text, north up; "" for one that stood in one place."""
    lat, lon, rsrp = one.track
    if lat.size == 0:
        return ""
    east, north = local_xy(lat, lon, (float(np.median(lat)), float(np.median(lon))))
    off = np.hypot(east, north)
    reach = float(np.quantile(off, 0.95))
    near = off <= FAR_AWAY * max(reach, STANDING_M)
    east, north, rsrp = east[near], north[near], rsrp[near]
    if max(np.ptp(east), np.ptp(north)) < STANDING_M:
        return ""
    wide, high = float(np.ptp(east)) or 1e-6, float(np.ptp(north)) or 1e-6
    per_m = min((_WIDTH - 2 * _MARGIN) / wide, (_MOST_HIGH - 2 * _MARGIN) / high)
    height = round(high * per_m) + 2 * _MARGIN + _LEGEND
    x = _MARGIN + (east - east.min()) * per_m
    y = _MARGIN + (north.max() - north) * per_m
    dots = "".join(
        f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="2.6" fill="{_colour(level)}"/>'
        for cx, cy, level in zip(x, y, rsrp, strict=True)
    )
    legend = _legend(height, int(np.sum(~near)))
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img" aria-label="The way, coloured by RSRP">{dots}{legend}</svg>'
    )


def _colour(level: float) -> str:
    return _SCALE.hex(level) if math.isfinite(level) else "#9aa7b4"


def _legend(height: int, far: int) -> str:
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
    if far:
        parts.append(
            f'<text class="axis" x="{left + 110}" y="{at + 4}">{far} far away, not drawn</text>'
        )
    return "".join(parts)
