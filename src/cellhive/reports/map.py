"""Maps of a network as SVG text: sectors coloured by a value, rasters, labels, scale and legend."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from cellhive.core.types import Bools, Floats, Floats32
from cellhive.reports.drawing.colours import ColourScale
from cellhive.reports.drawing.png import data_uri, palette_png
from cellhive.reports.drawing.scales import nice_step, nice_ticks
from cellhive.reports.numbers import format_number, with_unit

MAX_SITE_LABELS = 60
"""Sites beyond which only the pointer tells their names."""

_TOP, _LEGEND, _SIDE = 28, 46, 6
_HALF_WIDTH_DEG = 28.0
_SAME_BEARING_DEG = 20.0
_MAX_RASTER = 500
_KILOMETRE_M = 1000
_LETTER_PX, _LINE_PX = 5.6, 10.0
_WIDTH_PX, _WIDE_PX, _LEAST_PX = 430, 1080, 110.0
_WIDE_RATIO = 3.0


class Raster(Protocol):
    """Values on square pixels; row 0 lies furthest south, column 0 furthest west."""

    @property
    def x0_m(self) -> float:
        """Western edge [m]."""
        ...

    @property
    def y0_m(self) -> float:
        """Southern edge [m]."""
        ...

    @property
    def pixel_m(self) -> float:
        """Edge of a pixel [m]."""
        ...

    @property
    def values(self) -> Floats32:
        """Values, (rows, columns); NaN is drawn as nothing."""
        ...


class Placed(Protocol):
    """Cells on a plane, as a map needs them: a network, or any objects that have a position."""

    @property
    def cells(self) -> int:
        """Number of cells C."""
        ...

    @property
    def cell_ids(self) -> tuple[str, ...]:
        """Name of each cell."""
        ...

    @property
    def site_ids(self) -> tuple[str, ...]:
        """Name of the site of each cell."""
        ...

    @property
    def x_m(self) -> Floats:
        """East [m], (C,)."""
        ...

    @property
    def y_m(self) -> Floats:
        """North [m], (C,)."""
        ...

    @property
    def azimuth_deg(self) -> Floats:
        """Bearing of the main lobe, clockwise from north [deg], (C,)."""
        ...

    @property
    def omnidirectional(self) -> Bools | None:
        """Cells without a main lobe, (C,); None where there is none."""
        ...


@dataclass(frozen=True)
class Overlay:
    """What is drawn besides the sectors."""

    raster: Raster | None = None
    """Picture under the sectors; the sectors are then outlines only."""
    notes: Mapping[int, str] = field(default_factory=dict)
    """Lines added to the tooltip of a cell, by cell index."""
    outlined: Sequence[int] = ()
    """Cells drawn with a strong outline: those that were changed."""
    relations: Sequence[tuple[int, int]] = ()
    """Neighbour relations drawn as lines, by (source, target) cell index."""
    width: int = 0
    """Width of the map [px]; 0 takes what suits the network."""


@dataclass(frozen=True, slots=True)
class _View:
    """The projection from metres to pixels."""

    west_m: float
    north_m: float
    px_per_m: float
    left: float
    width: int
    height: int
    sector_px: float

    def x(self, east_m: float) -> float:
        return self.left + (east_m - self.west_m) * self.px_per_m

    def y(self, north_m: float) -> float:
        return _TOP + (self.north_m - north_m) * self.px_per_m


def network_map(
    network: Placed,
    values: npt.ArrayLike | None,
    *,
    title: str,
    scale: ColourScale,
    unit: str = "",
    overlay: Overlay | None = None,
) -> str:
    """Return a map as an ``<svg>`` element.

    Args:
        network: Sites and sectors; drawn where and how they point.
        values: Value of each cell, (C,), NaN where not known; None where a raster is shown.
        title: What is shown, without the unit.
        scale: Colours of values, shared by maps that are to be compared.
        unit: Unit of the values and of the legend.
        overlay: Raster, notes, outlines and relations.
    """
    overlay = overlay or Overlay()
    shown = None if values is None else np.asarray(values, dtype=np.float64)
    suits = _WIDE_PX if is_wide(network) else _WIDTH_PX
    view = _view(network, overlay.raster, width=overlay.width or suits)
    shown_unit = f' <tspan class="unit">{escape(unit)}</tspan>' if unit else ""
    body = [
        f'<text class="title" x="8" y="17">{escape(title)}{shown_unit}</text>',
        _raster(view, overlay.raster, scale),
        _relations(view, network, overlay.relations),
        _sectors(view, network, shown, scale, unit=unit, overlay=overlay),
        _labels(view, network),
        _legend(view, scale),
        _scale_bar(view),
        _north(view),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart map" role="img" '
        f'viewBox="0 0 {view.width} {view.height}" width="{view.width}" height="{view.height}">'
        f"<title>{escape(title)}</title>{''.join(body)}</svg>"
    )


def is_wide(network: Placed) -> bool:
    """Return whether a network is so much wider than high that its map needs the full width."""
    margin = _site_distance_m(network)
    wide = float(np.ptp(network.x_m)) + margin
    return wide > _WIDE_RATIO * (float(np.ptp(network.y_m)) + margin)


def _view(network: Placed, raster: Raster | None, width: int) -> _View:
    reach = _site_distance_m(network) * 0.62
    west, east = float(network.x_m.min()) - reach, float(network.x_m.max()) + reach
    south, north = float(network.y_m.min()) - reach, float(network.y_m.max()) + reach
    if raster is not None:
        rows, columns = raster.values.shape
        west, south = min(west, raster.x0_m), min(south, raster.y0_m)
        east = max(east, raster.x0_m + columns * raster.pixel_m)
        north = max(north, raster.y0_m + rows * raster.pixel_m)
    drawn = width - 2 * _SIDE
    tallest = 430.0
    px_per_m = min(drawn / (east - west), tallest / (north - south))
    shortest = max((north - south) * px_per_m, _LEAST_PX)
    north += (shortest / px_per_m - (north - south)) / 2
    sector = min(max(0.46 * _site_distance_m(network) * px_per_m, 6.0), 46.0)
    left = _SIDE + (drawn - (east - west) * px_per_m) / 2
    return _View(west, north, px_per_m, left, width, round(_TOP + shortest + _LEGEND), sector)


def _site_distance_m(network: Placed) -> float:
    """Return the median distance to the next site [m]; 500 m for a single site."""
    places = np.unique(np.stack([network.x_m, network.y_m], axis=1).round(1), axis=0)
    if len(places) <= 1:
        return 500.0
    return float(np.median(cKDTree(places).query(places, k=[2])[0]))


def _raster(view: _View, raster: Raster | None, scale: ColourScale) -> str:
    if raster is None:
        return ""
    values = np.asarray(raster.values, dtype=np.float64)
    rows, columns = values.shape
    skip = max(1, math.ceil(max(rows, columns) / _MAX_RASTER))
    picture = values[::skip, ::skip][::-1]
    levels = np.linspace(scale.low, scale.high, 255)
    palette = np.concatenate([np.zeros((1, 3), np.uint8), scale.rgb(levels)])
    share = (picture - scale.low) / (scale.high - scale.low)
    indices = 1 + np.nan_to_num(np.clip(share, 0, 1) * 254).round().astype(np.uint8)
    indices[~np.isfinite(picture)] = 0
    uri = data_uri(palette_png(indices, palette))
    return (
        f'<image x="{view.x(raster.x0_m):.1f}" '
        f'y="{view.y(raster.y0_m + rows * raster.pixel_m):.1f}" '
        f'width="{columns * raster.pixel_m * view.px_per_m:.1f}" '
        f'height="{rows * raster.pixel_m * view.px_per_m:.1f}" preserveAspectRatio="none" '
        f'style="image-rendering:pixelated" href="{uri}"/>'
    )


def _layers(network: Placed) -> tuple[list[int], list[int]]:
    """Return, per cell, its layer and the number of layers that share its site and bearing."""
    groups: list[tuple[str, float, list[int]]] = []
    for cell, site in enumerate(network.site_ids):
        bearing = float(network.azimuth_deg[cell])
        for name, other, members in groups:
            apart = abs((bearing - other + 180.0) % 360.0 - 180.0)
            if name == site and apart < _SAME_BEARING_DEG:
                members.append(cell)
                break
        else:
            groups.append((site, bearing, [cell]))
    layer, layers = [0] * network.cells, [1] * network.cells
    for _, _, members in groups:
        for index, cell in enumerate(members):
            layer[cell], layers[cell] = index, len(members)
    return layer, layers


def _sectors(
    view: _View,
    network: Placed,
    values: Floats | None,
    scale: ColourScale,
    *,
    unit: str,
    overlay: Overlay,
) -> str:
    layer, layers = _layers(network)
    outlined = set(overlay.outlined)
    parts: list[str] = []
    for cell in sorted(range(network.cells), key=lambda c: c in outlined):
        inner = view.sector_px * layer[cell] / layers[cell]
        outer = view.sector_px * (layer[cell] + 1) / layers[cell]
        shape = _wedge(view, network, cell, inner, outer)
        classes = "sector changed" if cell in outlined else "sector"
        tip = [network.cell_ids[cell]]
        fill = ""
        if values is not None:
            known = math.isfinite(values[cell])
            fill = f' style="fill:{scale.hex(float(values[cell]))}"' if known else ""
            classes += "" if known else " unknown"
            tip.append(
                with_unit(format_number(float(values[cell])), unit) if known else "not known"
            )
        else:
            classes += " outline"
        tip += [overlay.notes[cell]] if cell in overlay.notes else []
        title = escape("\n".join(tip))
        parts.append(
            f'<path class="{classes}" data-cell="{cell}"{fill} d="{shape}">'
            f"<title>{title}</title></path>"
        )
    return "".join(parts)


def _wedge(view: _View, network: Placed, cell: int, inner: float, outer: float) -> str:
    x, y = view.x(float(network.x_m[cell])), view.y(float(network.y_m[cell]))
    omni = network.omnidirectional is not None and bool(network.omnidirectional[cell])
    if omni:
        radius = outer * 0.75
        return (
            f"M{x - radius:.1f} {y:.1f}a{radius:.1f} {radius:.1f} 0 1 0 {2 * radius:.1f} 0"
            f"a{radius:.1f} {radius:.1f} 0 1 0 {-2 * radius:.1f} 0z"
        )
    start = math.radians(float(network.azimuth_deg[cell]) - _HALF_WIDTH_DEG)
    stop = math.radians(float(network.azimuth_deg[cell]) + _HALF_WIDTH_DEG)

    def point(radius: float, bearing: float) -> str:
        return f"{x + radius * math.sin(bearing):.1f} {y - radius * math.cos(bearing):.1f}"

    far = f"{point(outer, start)}A{outer:.1f} {outer:.1f} 0 0 1 {point(outer, stop)}"
    if inner <= 0:
        return f"M{x:.1f} {y:.1f}L{far}z"
    near = f"L{point(inner, stop)}A{inner:.1f} {inner:.1f} 0 0 0 {point(inner, start)}"
    return f"M{far}{near}z"


def _relations(view: _View, network: Placed, relations: Sequence[tuple[int, int]]) -> str:
    def middle(cell: int) -> tuple[float, float]:
        bearing = math.radians(float(network.azimuth_deg[cell]))
        half = view.sector_px * 0.6
        x = view.x(float(network.x_m[cell])) + half * math.sin(bearing)
        return x, view.y(float(network.y_m[cell])) - half * math.cos(bearing)

    parts = []
    for source, target in relations:
        (x1, y1), (x2, y2) = middle(source), middle(target)
        tip = escape(f"{network.cell_ids[source]} → {network.cell_ids[target]}")
        parts.append(
            f'<line class="relation" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}">'
            f"<title>{tip}</title></line>"
        )
    return "".join(parts)


def _labels(view: _View, network: Placed) -> str:
    first: dict[str, int] = {}
    for cell, site in enumerate(network.site_ids):
        first.setdefault(site, cell)
    parts = []
    many = len(first) > MAX_SITE_LABELS
    written: list[tuple[float, float, float]] = []
    for site, cell in first.items():
        x, y = view.x(float(network.x_m[cell])), view.y(float(network.y_m[cell]))
        parts.append(
            f'<circle class="site" cx="{x:.1f}" cy="{y:.1f}" r="{1.6 if many else 2.4}">'
            f"<title>{escape(site)}</title></circle>"
        )
        half = _LETTER_PX * len(site) / 2
        if not many and _is_free(written, x, y, half):
            written.append((x, y, half))
            parts.append(
                f'<text class="sitename" x="{x:.1f}" y="{y + 14:.1f}" text-anchor="middle">'
                f"{escape(site)}</text>"
            )
    return "".join(parts)


def _is_free(
    written: Sequence[tuple[float, float, float]], x: float, y: float, half: float
) -> bool:
    """Return whether a name would not be written over another; the pointer tells the rest."""
    return all(abs(x - a) > half + other or abs(y - b) > _LINE_PX for a, b, other in written)


def _legend(view: _View, scale: ColourScale) -> str:
    left, width, top = 12.0, 180.0, view.height - 30
    steps = 42
    parts = []
    for index in range(steps):
        value = scale.low + (index + 0.5) / steps * (scale.high - scale.low)
        parts.append(
            f'<rect x="{left + index * width / steps:.2f}" y="{top}" '
            f'width="{width / steps + 0.4:.2f}" height="9" fill="{scale.hex(value)}"/>'
        )
    for tick in nice_ticks(scale.low, scale.high, 4):
        at = left + (tick.at - scale.low) / (scale.high - scale.low) * width
        parts.append(
            f'<text class="axis" x="{at:.1f}" y="{top + 22}" text-anchor="middle">'
            f"{escape(tick.label)}</text>"
        )
    return f'<g class="mapkey">{"".join(parts)}</g>'


def _scale_bar(view: _View) -> str:
    longest_m = 100 / view.px_per_m
    step = nice_step(longest_m, 1)
    length_m = step if step <= longest_m * 1.05 else step / 2
    text = (
        f"{format_number(length_m / _KILOMETRE_M)} km"
        if length_m >= _KILOMETRE_M
        else f"{length_m:.0f} m"
    )
    right, y = view.width - 44.0, view.height - 21
    left = right - length_m * view.px_per_m
    return (
        f'<path class="scalebar" d="M{left:.1f} {y - 5}v5H{right:.1f}v-5"/>'
        f'<text class="axis" x="{(left + right) / 2:.1f}" y="{y + 13}" '
        f'text-anchor="middle">{text}</text>'
    )


def _north(view: _View) -> str:
    x, y = view.width - 22, view.height - 36
    return (
        f'<path class="north" d="M{x} {y}l5 16l-5 -4l-5 4z"><title>North</title></path>'
        f'<text class="axis" x="{x}" y="{y + 28}" text-anchor="middle">N</text>'
    )
